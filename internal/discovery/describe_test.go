package discovery_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	w.add(t, accountA, regionA, "x")
	const id = "0a1b2c3d-0000-4000-8000-000000000000"
	for _, c := range []fakeaws.Cluster{
		{Name: "local", Endpoint: "https://127.0.0.1:1", CAData: "Y2E=", ID: id, OutpostARNs: []string{"arn:aws:outposts:eu-central-1:111122223333:outpost/op-1"}},
		{Name: "creating", Status: "CREATING"},
		{Name: "empty"},
		{Name: "connected", Connector: &fakeaws.Connector{Provider: "GKE"}},
	} {
		c.Account, c.Region = accountA, regionA
		if err := w.aws.AddCluster(c); err != nil {
			t.Fatal(err)
		}
	}
	f := discovery.New(discovery.Config{Tags: []string{"team", "none"}})
	s := w.session(t, "a", nil)
	for _, tt := range []struct {
		name, cluster, account string
		want                   string
	}{
		{"there", "x", accountA, "x ACTIVE x"},
		{"there, of no matter whom", "x", "", "x ACTIVE x"},
		{"local", "local", accountA, id + " ACTIVE "},
		{"creating", "creating", accountA, "creating CREATING : is CREATING, not ACTIVE or UPDATING"},
		{"without an endpoint", "empty", accountA, "empty ACTIVE : has no endpoint yet"},
		{"connected", "connected", accountA, "connected ACTIVE : is only registered with EKS and has no endpoint there"},
		{"gone", "y", accountA, "gone"},
		{"not there, of no matter whom", "y", "", "ResourceNotFoundException"},
		{"of another account", "x", accountB, "account"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := w.aws.Counts()[fakeaws.DescribeCluster]
			answers, err := f.Describe(t.Context(), []discovery.Question{{Session: s, Region: regionA, Name: tt.cluster, Account: tt.account}})
			if err != nil {
				t.Fatal(err)
			}
			if got := words(answers[0]); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n := w.aws.Counts()[fakeaws.DescribeCluster] - before; tt.want == "account" && n != 0 {
				t.Error("it was asked with another account's credentials")
			}
		})
	}
}

// words is an answer in one line.
func words(a discovery.Answer) string {
	var account *discovery.AccountError
	var api *awserr.APIError
	switch {
	case a.Gone:
		return "gone"
	case errors.As(a.Err, &account):
		return "account"
	case errors.As(a.Err, &api):
		return api.Code
	case a.Err != nil:
		return "error"
	}
	c := a.Cluster
	s := c.TokenName + " " + c.Status + " "
	for _, key := range []string{"team", "other", "none"} {
		s += c.Tags[key]
	}
	if reason, hint := c.Unreachable(); reason != "" && hint != "" {
		s += ": " + reason
	}
	return s
}

// An endpoint that is not AWS's answers about what it was not asked.
func TestHostileAnswers(t *testing.T) {
	const uuid = "0a1b2c3d-0000-4000-8000-000000000000"
	good := map[string]string{"name": "demo", "arn": "arn:aws:eks:eu-central-1:111122223333:cluster/demo", "id": uuid}
	for _, tt := range []struct{ name, key, value string }{
		{"honest", "name", "demo"},
		{"another name", "name", "prod"},
		{"no name", "name", ""},
		{"no ARN", "arn", ""},
		{"an entry of the kubeconfig", "arn", "minikube"},
		{"another cluster's ARN", "arn", strings.Replace(good["arn"], "demo", "prod", 1)},
		{"another region", "arn", strings.Replace(good["arn"], "eu-central-1", "us-east-1", 1)},
		{"another partition", "arn", strings.Replace(good["arn"], "arn:aws:", "arn:aws-cn:", 1)},
		{"another account", "arn", strings.Replace(good["arn"], accountA, accountB, 1)},
		{"a short account", "arn", strings.Replace(good["arn"], accountA, "1111", 1)},
		{"an id that is a name", "id", "prod"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			body := maps.Clone(good)
			body[tt.key] = tt.value
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Raw: &fakeaws.RawAnswer{Status: http.StatusOK, Body: fmt.Appendf(nil,
				`{"cluster":{"name":%q,"arn":%q,"id":%q,"outpostConfig":{},"status":"ACTIVE","endpoint":"https://127.0.0.1:1"}}`,
				body["name"], body["arn"], body["id"])}})
			answers, err := discovery.New(discovery.Config{}).Describe(t.Context(),
				[]discovery.Question{{Session: w.session(t, "a", nil), Region: regionA, Name: "demo", Account: accountA}})
			if err != nil {
				t.Fatal(err)
			}
			if a := answers[0]; (a.Err == nil) != (tt.name == "honest") || a.Gone {
				t.Errorf("%+v", a)
			}
		})
	}
	w := newWorld(t)
	w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Raw: &fakeaws.RawAnswer{Body: []byte(`{}`)}})
	answers, err := discovery.New(discovery.Config{}).Describe(t.Context(), []discovery.Question{{Session: w.session(t, "a", nil), Region: regionA, Name: "demo"}})
	if err != nil || answers[0].Err == nil {
		t.Errorf("an empty answer: %v, %+v", err, answers)
	}
}
