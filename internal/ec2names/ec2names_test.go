package ec2names_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/ec2names"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	node    = "i-0123456789abcdef0"
)

// counted counts the calls, and the instances of each.
type counted struct {
	ec2names.EC2
	mu    sync.Mutex
	calls []int
	err   error
}

func (c *counted) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, o ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	c.mu.Lock()
	c.calls = append(c.calls, len(in.Filters[0].Values))
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.EC2.DescribeInstances(ctx, in, o...)
}

type world struct {
	fake *fakeaws.Server
	ec2  *counted
	iam  *iam.Client
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{fake: fakeaws.New(fakeaws.Config{}), now: time.Now()}
	key, err := w.fake.AddUser(fakeaws.User{Account: account, Name: "server"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(w.fake)
	t.Cleanup(srv.Close)
	creds := credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, "")
	w.ec2 = &counted{EC2: ec2.New(ec2.Options{Region: region, BaseEndpoint: &srv.URL, Credentials: creds})}
	w.iam = iam.New(iam.Options{Region: region, BaseEndpoint: &srv.URL, Credentials: creds})
	for _, name := range []string{"node", "other"} {
		if _, err := w.fake.AddRole(fakeaws.Role{Account: account, Name: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.fake.AddInstanceProfile(fakeaws.InstanceProfile{Account: account, Name: "profile-" + name, RoleARN: "arn:aws:iam::" + account + ":role/" + name}); err != nil {
			t.Fatal(err)
		}
	}
	w.add(t, node, "ip-10-0-0-5.eu-central-1.compute.internal", "node")
	return w
}

func (w *world) add(t *testing.T, id, dns, role string) {
	t.Helper()
	i := fakeaws.Instance{Account: account, Region: region, ID: id, PrivateDNSName: dns}
	if role != "" {
		i.ProfileARN = "arn:aws:iam::" + account + ":instance-profile/profile-" + role
	}
	if err := w.fake.AddInstance(i); err != nil {
		t.Fatal(err)
	}
}

func (w *world) resolver(check bool) *ec2names.Resolver {
	c := ec2names.Config{EC2: w.ec2, QPS: 1000, Burst: 1000, Now: func() time.Time { return w.now }}
	if check {
		c.IAM = w.iam
	}
	return ec2names.New(c)
}

func session(t *testing.T, name string) identity.Identity {
	t.Helper()
	id, err := identity.New("arn:aws:sts::"+account+":assumed-role/node/"+name, account, "AROAEXAMPLEEXAMPLE1AB:"+name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestName(t *testing.T) {
	w := newWorld(t)
	w.add(t, "i-00000000000000001", "", "node")
	w.add(t, "i-00000000000000002", "ip-2", "other")
	w.add(t, "i-00000000000000003", "ip-3", "")
	w.add(t, "i-0abc1234", "ip-4", "node")
	for _, check := range []bool{true, false} {
		r := w.resolver(check)
		for _, c := range []struct{ id, want, unchecked string }{
			{node, "ip-10-0-0-5.eu-central-1.compute.internal", ""},
			{"i-0abc1234", "ip-4", ""},
			{"i-00000000000000001", "has no private DNS name", ""},
			{"i-00000000000000002", "has an instance profile with another role than node", "ip-2"},
			{"i-00000000000000003", "has no instance profile, and so not the role node", "ip-3"},
			{"i-0ffffffffffffffff", "does not exist, or EC2 does not know it yet", ""},
			{"me", "is not the ID of an instance", ""}, {"", "is not the ID of an instance", ""},
			{"i-0123456789ABCDEF0", "is not the ID of an instance", ""}, {node + "\n", "is not the ID of an instance", ""}, {"i-0123456789abcdef0,i-00000000000000002", "is not the ID of an instance", ""},
		} {
			want := c.want
			if !check && c.unchecked != "" {
				want = c.unchecked
			}
			got, err := r.Name(t.Context(), c.id, session(t, "x"))
			var final *ec2names.InstanceError
			if err != nil && (!errors.As(err, &final) || final.Temporary()) {
				t.Errorf("%q: %v", c.id, err)
			}
			if err != nil && !strings.HasSuffix(err.Error(), want) || err == nil && got != want {
				t.Errorf("check %v, %q: %q %v, want %q", check, c.id, got, err, want)
			}
		}
	}
}

func TestOneCallForMany(t *testing.T) {
	w := newWorld(t)
	const instances = 60
	for i := range instances {
		w.add(t, fmt.Sprintf("i-1%016x", i), fmt.Sprint("ip-", i), "node")
	}
	r := w.resolver(false)
	var work sync.WaitGroup
	for i := range instances * 5 {
		work.Go(func() {
			if name, err := r.Name(t.Context(), fmt.Sprintf("i-1%016x", i%instances), session(t, "x")); err != nil || name != fmt.Sprint("ip-", i%instances) {
				t.Errorf("%q %v", name, err)
			}
		})
	}
	work.Wait()
	if len(w.ec2.calls) > 3 {
		t.Errorf("calls of %v instances", w.ec2.calls)
	}
	before := len(w.ec2.calls)
	if _, err := r.Name(t.Context(), fmt.Sprintf("i-1%016x", 0), session(t, "x")); err != nil || len(w.ec2.calls) != before {
		t.Errorf("what is known is asked again: %v", err)
	}
	w.now = w.now.Add(2 * time.Hour)
	if _, err := r.Name(t.Context(), fmt.Sprintf("i-1%016x", 0), session(t, "x")); err != nil || len(w.ec2.calls) != before+1 {
		t.Errorf("it is remembered for ever: %v", err)
	}
}

func TestMissingIsRememberedShortly(t *testing.T) {
	w := newWorld(t)
	r := w.resolver(false)
	const late = "i-0aaaaaaaaaaaaaaaa"
	for range 3 {
		if _, err := r.Name(t.Context(), late, session(t, "x")); err == nil {
			t.Fatal("no error")
		}
	}
	if len(w.ec2.calls) != 1 {
		t.Errorf("%d calls", len(w.ec2.calls))
	}
	w.add(t, late, "ip-late", "node")
	w.now = w.now.Add(11 * time.Second)
	if name, err := r.Name(t.Context(), late, session(t, "x")); err != nil || name != "ip-late" {
		t.Errorf("%q %v", name, err)
	}
}

// Who gives up leaves the call to those who wait, and a failure is told to all and not kept.
func TestCanceledAndFailed(t *testing.T) {
	w := newWorld(t)
	r := w.resolver(false)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.Name(ctx, node, session(t, "x"))
		first <- err
	}()
	time.Sleep(5 * time.Millisecond)
	cancel()
	if name, err := r.Name(t.Context(), node, session(t, "x")); err != nil || name == "" {
		t.Errorf("%q %v", name, err)
	}
	if err := <-first; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(w.ec2.calls) != 1 {
		t.Errorf("%d calls", len(w.ec2.calls))
	}
	broken := errors.New("EC2 is away")
	w.ec2.err = broken
	if _, err := r.Name(t.Context(), "i-0bbbbbbbbbbbbbbbb", session(t, "x")); !errors.Is(err, broken) {
		t.Error(err)
	}
	w.ec2.err = nil
	var final *ec2names.InstanceError
	if _, err := r.Name(t.Context(), "i-0bbbbbbbbbbbbbbbb", session(t, "x")); !errors.As(err, &final) {
		t.Errorf("a failure is remembered: %v", err)
	}
}
