package accessentry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	cluster = "prod"
	role    = "arn:aws:iam::111122223333:role/"
)

func newCluster(t *testing.T) (*fakeaws.Server, *eks.Client) {
	t.Helper()
	fake := fakeaws.New(fakeaws.Config{})
	key, err := fake.AddUser(fakeaws.User{Account: account, Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.AddCluster(fakeaws.Cluster{Account: account, Region: region, Name: cluster, AuthenticationMode: "API"}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	return fake, eks.New(eks.Options{
		Region: region, BaseEndpoint: &srv.URL, HTTPClient: srv.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
	})
}

func add(t *testing.T, fake *fakeaws.Server, name string, e fakeaws.AccessEntry) {
	t.Helper()
	r := fakeaws.Role{Account: account, Name: name}
	if path, base, ok := strings.Cut(name, "/"); ok {
		r.Path, r.Name = "/"+path+"/", base
	}
	if _, err := fake.AddRole(r); err != nil {
		t.Fatal(err)
	}
	e.Account, e.Region, e.Cluster, e.PrincipalARN = account, region, cluster, role+name
	if err := fake.AddAccessEntry(e); err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	fake, client := newCluster(t)
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	add(t, fake, "node", fakeaws.AccessEntry{Type: "EC2_LINUX"})
	add(t, fake, "team/dev", fakeaws.AccessEntry{
		Username: "dev:{{SessionName}}", Groups: []string{"b", "a"}, CreatedAt: created,
		Policies: []fakeaws.AccessPolicy{{Name: "AmazonEKSViewPolicy"}, {Name: "AmazonEKSEditPolicy", Namespaces: []string{"dev-*"}}},
	})
	for i := range 250 { // three pages
		add(t, fake, fmt.Sprintf("many-%03d", i), fakeaws.AccessEntry{})
	}
	var told []int
	got, err := accessentry.New(accessentry.Config{EKS: client, Cluster: cluster, Progress: func(done, total int) {
		if total != 252 {
			t.Errorf("%d entries in all", total)
		}
		told = append(told, done)
	}}).List(t.Context())
	if err != nil || len(got) != 252 || len(told) != 252 || !slices.IsSorted(told) {
		t.Fatalf("%d entries, told %d times, %v", len(got), len(told), err)
	}
	if !slices.IsSortedFunc(got, func(a, b accessentry.Entry) int { return strings.Compare(a.PrincipalARN, b.PrincipalARN) }) {
		t.Error("not sorted")
	}
	node, dev := got[250], got[251]
	if node.PrincipalARN != role+"node" || node.Username != "system:node:{{EC2PrivateDNSName}}" || !slices.Equal(node.Groups, []string{"system:nodes"}) || len(node.Policies) != 0 {
		t.Errorf("%+v", node)
	}
	want := []accesspolicy.Association{
		{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", Scope: accesspolicy.Scope{Type: accesspolicy.ScopeNamespace, Namespaces: []string{"dev-*"}}},
		{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", Scope: accesspolicy.Scope{Type: accesspolicy.ScopeCluster}},
	}
	if dev.PrincipalARN != role+"team/dev" || dev.Type != accessentry.Standard || dev.Username != "dev:{{SessionName}}" ||
		!slices.Equal(dev.Groups, []string{"a", "b"}) || fmt.Sprint(dev.Policies) != fmt.Sprint(want) || !dev.CreatedAt.Equal(created) {
		t.Errorf("%+v", dev)
	}
}

// api is an EKS of which the tests change single answers.
type api struct {
	*eks.Client
	describe func(*eks.DescribeAccessEntryOutput, error) (*eks.DescribeAccessEntryOutput, error)
}

func (a *api) DescribeAccessEntry(ctx context.Context, in *eks.DescribeAccessEntryInput, o ...func(*eks.Options)) (*eks.DescribeAccessEntryOutput, error) {
	return a.describe(a.Client.DescribeAccessEntry(ctx, in, o...))
}

func TestWhatChangesMeanwhile(t *testing.T) {
	fake, client := newCluster(t)
	for _, name := range []string{"a", "b", "c"} {
		add(t, fake, name, fakeaws.AccessEntry{})
	}
	broken := errors.New("broken")
	var wrong *accessentry.ResponseError
	for name, c := range map[string]struct {
		describe func(*eks.DescribeAccessEntryOutput, error) (*eks.DescribeAccessEntryOutput, error)
		check    func([]accessentry.Entry, error) bool
	}{
		"deleted": {func(*eks.DescribeAccessEntryOutput, error) (*eks.DescribeAccessEntryOutput, error) {
			return nil, &types.ResourceNotFoundException{}
		}, func(e []accessentry.Entry, err error) bool { return err == nil && len(e) == 0 }},
		"an error": {func(*eks.DescribeAccessEntryOutput, error) (*eks.DescribeAccessEntryOutput, error) {
			return nil, broken
		},
			func(e []accessentry.Entry, err error) bool { return errors.Is(err, broken) && e == nil }},
		"another principal": {func(out *eks.DescribeAccessEntryOutput, err error) (*eks.DescribeAccessEntryOutput, error) {
			if err == nil {
				out.AccessEntry.PrincipalArn = aws.String(role + "other")
			}
			return out, err
		}, func(_ []accessentry.Entry, err error) bool { return errors.As(err, &wrong) }},
		"nothing": {func(out *eks.DescribeAccessEntryOutput, err error) (*eks.DescribeAccessEntryOutput, error) {
			if err == nil {
				out.AccessEntry = nil
			}
			return out, err
		}, func(_ []accessentry.Entry, err error) bool { return errors.As(err, &wrong) }},
	} {
		got, err := accessentry.New(accessentry.Config{EKS: &api{client, c.describe}, Cluster: cluster}).List(t.Context())
		if !c.check(got, err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// flaky throttles every second call, and counts how many are in flight.
type flaky struct {
	next           http.Handler
	calls          atomic.Int64
	mu             sync.Mutex
	inFlight, most int
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	if f.calls.Add(1)%5 == 0 {
		w.Header().Set("X-Amzn-Errortype", "ThrottlingException")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"message":"Rate exceeded"}`))
		return
	}
	f.next.ServeHTTP(w, r)
}

func TestThrottled(t *testing.T) {
	fake, client := newCluster(t)
	for i := range 8 {
		add(t, fake, fmt.Sprint("r", i), fakeaws.AccessEntry{})
	}
	gate := &flaky{next: fake}
	srv := httptest.NewServer(gate)
	t.Cleanup(srv.Close)
	options := client.Options().Copy()
	options.BaseEndpoint = &srv.URL
	got, err := accessentry.New(accessentry.Config{EKS: eks.New(options), Cluster: cluster, AtOnce: 3}).List(t.Context())
	if err != nil || len(got) != 8 {
		t.Errorf("%d entries, %v", len(got), err)
	}
	if gate.most > 3 {
		t.Errorf("%d calls at once", gate.most)
	}
}

func TestCanceled(t *testing.T) {
	fake, client := newCluster(t)
	add(t, fake, "a", fakeaws.AccessEntry{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := accessentry.New(accessentry.Config{EKS: client, Cluster: cluster}).List(ctx); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}
