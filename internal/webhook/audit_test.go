package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/audit"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// audited is a fixture with an audit log, and what is in it once it is closed.
func audited(t *testing.T, change ...func(*webhook.Config)) (*fixture, func() []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	l, err := audit.New(audit.Config{Open: func() (io.WriteCloser, error) { return nopCloser{&out}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(append(change, func(c *webhook.Config) { c.Audit = l })...)
	return f, func() (lines []map[string]any) {
		t.Helper()
		if err := l.Close(time.Minute); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "CANARY") || strings.Contains(out.String(), "Signature") {
			t.Error(out.String())
		}
		for line := range strings.Lines(out.String()) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil {
				t.Fatal(err)
			}
			if id, _ := doc["requestID"].(string); len(id) < 14 || !strings.Contains(f.log.String(), `"requestID":"`+id+`"`) {
				t.Errorf("request id %q is not that of the log", id)
			}
			delete(doc, "requestID")
			lines = append(lines, doc)
		}
		return lines
	}
}

func TestAuditLine(t *testing.T) {
	f, lines := audited(t)
	f.mapper = func(identity.Identity) (mapping.Mapping, error) {
		f.now = f.now.Add(250 * time.Millisecond)
		return mapping.Mapping{Username: "dev", Groups: []string{"devs"}, Source: "aws-auth mapRoles[2] line 14", Backend: "aws-auth"}, nil
	}
	f.post(review("v1"))
	want := []map[string]any{{
		"time": "2026-01-02T03:04:05Z", "kind": "TokenReview", "outcome": "authenticated", "username": "dev", "groups": []any{"devs"},
		"uid": "aws-iam-authenticator:111122223333:AROAEXAMPLEEXAMPLE1AB", "canonicalARN": "arn:aws:iam::111122223333:role/dev",
		"accessKeyID": "ASIAIOSFODNN7EXAMPLE", "stsHost": "sts.amazonaws.com", "backend": "aws-auth", "entry": "aws-auth mapRoles[2] line 14",
		"durationSeconds": 0.25,
	}}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Error(diff)
	}
}

// Each way to say no has a code, and says no more of an account that is scrubbed, or may
// be.
func TestAuditReasons(t *testing.T) {
	refused := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) { return mapping.Mapping{}, err }
		}
	}
	sts := func(err error) func(*fixture) { return func(f *fixture) { f.stub.ask = failing(err) } }
	for want, change := range map[string]func(*fixture){
		"V03": func(f *fixture) {
			f.stub.check = func(string) (*token.Parsed, error) { return nil, &token.RuleError{Code: "V03"} }
		},
		"V34":             func(f *fixture) { f.stub.allow = func() error { return &token.RuleError{Code: "V34"} } },
		"sts-denied":      sts(&verify.DeniedError{Code: "AccessDenied"}),
		"sts-throttled":   sts(&verify.UnavailableError{Throttled: true}),
		"sts-unavailable": sts(&verify.UnavailableError{Err: context.DeadlineExceeded}),
		"panic": func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) { panic("SECRET-CANARY") }
		},
		"client-left":         refused(context.Canceled),
		"not-mapped":          refused(fmt.Errorf("x: %w", mapping.ErrNotMapped)),
		"mapping-unavailable": refused(&mapping.UnavailableError{Backend: "aws-auth"}),
		"other-unique-id":     refused(&mapping.PinError{}),
		"username-reserved":   refused(&mapping.ReservedError{}),
		"mapping-refused":     refused(errors.New("SECRET-CANARY")),
	} {
		for _, scrubbed := range []bool{false, true} {
			f, lines := audited(t, func(c *webhook.Config) {
				if scrubbed {
					c.ScrubbedAccounts = []string{"111122223333"}
				}
			})
			change(f)
			f.post(review("v1"))
			got := lines()
			if len(got) != 1 || got[0]["reason"] != want || got[0]["outcome"] == "authenticated" {
				t.Fatalf("%s: %v", want, got)
			}
			if left := got[0]["outcome"] == "canceled"; left != (want == "client-left") || left && counted(t, f.reg, "unavailable") != 0 {
				t.Errorf("%s: the outcome is %v", want, got[0]["outcome"])
			}
			_, arn := got[0]["canonicalARN"]
			_, key := got[0]["accessKeyID"]
			_, uid := got[0]["uid"]
			if scrubbed && (arn || key || uid) {
				t.Errorf("%s of a scrubbed account: %v", want, got)
			}
			if late := strings.HasPrefix(want, "mapping") || want == "not-mapped"; !scrubbed && late && !(arn && key && uid) {
				t.Errorf("%s: %v", want, got)
			}
		}
	}
}

func TestAuditOfAScrubbedAccount(t *testing.T) {
	f, lines := audited(t, func(c *webhook.Config) { c.ScrubbedAccounts = []string{"111122223333"} })
	f.mapper = func(identity.Identity) (mapping.Mapping, error) {
		return mapping.Mapping{Username: "admin", Source: "creator arn:aws:iam::111122223333:role/dev", Backend: "creator"}, nil
	}
	f.post(review("v1"))
	want := []map[string]any{{
		"time": "2026-01-02T03:04:05Z", "kind": "TokenReview", "outcome": "authenticated", "username": "admin",
		"uid": "aws-iam-authenticator:administrative:admin", "stsHost": "sts.amazonaws.com", "backend": "creator", "durationSeconds": 0.0,
	}}
	if diff := cmp.Diff(want, lines()); diff != "" {
		t.Error(diff)
	}
}

// Overload and an open circuit are in it too.
func TestAuditOfOverload(t *testing.T) {
	f, lines := audited(t, func(c *webhook.Config) { c.MaxInFlight = 1 })
	release, entered := make(chan struct{}), make(chan struct{})
	f.stub.ask = func() (identity.Identity, error) { close(entered); <-release; return alice() }
	done := make(chan struct{})
	go func() { defer close(done); f.post(review("v1")) }()
	<-entered
	f.post(review("v1"))
	close(release)
	<-done
	n := 0
	f.stub.check = func(string) (*token.Parsed, error) { n++; return parsed(fmt.Sprint("demo", n)) }
	f.stub.ask = failing(&verify.UnavailableError{Err: context.DeadlineExceeded})
	for range 9 {
		f.post(review("v1"))
	}
	got := lines()
	if len(got) != 11 || got[0]["reason"] != "overload" || got[0]["outcome"] != "overload" || got[9]["reason"] != "sts-unavailable" || got[10]["reason"] != "sts-circuit-open" {
		t.Errorf("%v", got)
	}
}

// A server is not ready while no STS host that was called lately answers, and never
// because of a host that nobody has called, or that an attacker chose.
func TestReady(t *testing.T) {
	f := newFixture()
	n, region := 0, "us-east-1"
	f.stub.check = func(string) (*token.Parsed, error) { n++; return parsedOf(fmt.Sprint("demo", n), region) }
	silent := failing(&verify.UnavailableError{Err: context.DeadlineExceeded})
	calls := func(in string, ask func() (identity.Identity, error), times int) {
		region, f.stub.ask = in, ask
		for range times {
			f.post(review("v1"))
		}
	}
	want := func(when, host string) {
		t.Helper()
		var down *webhook.STSError
		if err := f.Ready(); (host == "") != (err == nil) || host != "" && (!errors.As(err, &down) || down.Host != host) {
			t.Errorf("%s: %v", when, err)
		}
	}
	const us, eu = "sts.us-east-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"
	want("nobody called", "")
	calls("us-east-1", silent, 7)
	want("a few calls", "")
	calls("us-east-1", silent, 1)
	want("the only host never answers", us)
	f.now = f.now.Add(31 * time.Second)
	want("nobody called lately", "")
	calls("us-east-1", silent, 1)
	want("another try", us)
	f.now = f.now.Add(6 * time.Second)
	calls("us-east-1", nil, 1)
	want("it answers", "")
	calls("eu-west-1", silent, 8)
	want("one of two answers", "")
	f.now = f.now.Add(31 * time.Second)
	calls("eu-west-1", silent, 1)
	want("the one that never answered is silent, the other is idle", "")
	f.now = f.now.Add(6 * time.Second)
	calls("eu-west-1", failing(&verify.DeniedError{Code: "AccessDenied", Status: 403}), 1)
	if got := gauges(t, f.reg, "ekskey_sts_circuit_open"); got != eu+"=0 "+us+"=0 " {
		t.Error(got)
	}
	f.now = f.now.Add(31 * time.Second)
	calls("eu-west-1", silent, 8)
	want("one that answered is silent", eu)
	if got := gauges(t, f.reg, "ekskey_sts_circuit_open"); got != eu+"=1 "+us+"=0 " {
		t.Error(got)
	}
	calls("us-east-1", failing(&verify.UnavailableError{Status: http.StatusInternalServerError}), 1)
	want("an error is a response", "")
}

// gauges lists a gauge's values by its first label.
func gauges(t *testing.T, reg *prometheus.Registry, name string) (out string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				out += fmt.Sprintf("%s=%v ", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue())
			}
		}
	}
	return out
}
