package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// stub answers as a verifier would; each function may be replaced.
type stub struct {
	check func(string) (*token.Parsed, error)
	ask   func() (identity.Identity, error)
	allow func() error
	asked atomic.Int32
}

func (s *stub) Check(raw string) (*token.Parsed, error) {
	if s.check != nil {
		return s.check(raw)
	}
	return parsed("demo")
}

// parsed is a real token's, signed for a cluster at the clock's time.
func parsed(cluster string) (*token.Parsed, error) {
	now := func() time.Time { return clock }
	s, err := token.New(token.Config{Cluster: cluster, Credentials: token.StaticKeys("ASIAIOSFODNN7EXAMPLE", "secret", "session"), Now: now})
	if err != nil {
		return nil, err
	}
	t, err := s.Token(context.Background())
	if err != nil {
		return nil, err
	}
	return token.Policy{Now: now}.Check(t.Value())
}

func (s *stub) Ask(context.Context, *token.Parsed) (identity.Identity, error) {
	s.asked.Add(1)
	if s.ask != nil {
		return s.ask()
	}
	return alice()
}

func (s *stub) Allow(identity.Identity) error {
	if s.allow != nil {
		return s.allow()
	}
	return nil
}

func alice() (identity.Identity, error) {
	id, err := identity.New("arn:aws:sts::111122223333:assumed-role/dev/alice", "111122223333", "AROAEXAMPLEEXAMPLE1AB:alice")
	id.AccessKeyID = "ASIAIOSFODNN7EXAMPLE"
	return id, err
}

type mapFunc func(identity.Identity) (mapping.Mapping, error)

func (f mapFunc) Map(_ context.Context, id identity.Identity) (mapping.Mapping, error) { return f(id) }

func toDev(identity.Identity) (mapping.Mapping, error) {
	return mapping.Mapping{Username: "dev:alice", Groups: []string{"devs", "viewers"}}, nil
}

type fixture struct {
	*webhook.Handler
	stub   *stub
	now    time.Time
	mapper mapFunc
	log    bytes.Buffer
	reg    *prometheus.Registry
}

func newFixture(change ...func(*webhook.Config)) *fixture {
	f := &fixture{stub: &stub{}, now: clock, mapper: toDev, reg: prometheus.NewRegistry()}
	c := webhook.Config{
		Verifier: f.stub, Mapper: mapFunc(func(id identity.Identity) (mapping.Mapping, error) { return f.mapper(id) }),
		Now: func() time.Time { return f.now }, Metrics: webhook.NewMetrics(f.reg),
		Log: slog.New(slog.NewJSONHandler(&f.log, nil)),
	}
	for _, ch := range change {
		ch(&c)
	}
	f.Handler = webhook.New(c)
	return f
}

func (f *fixture) post(body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, webhook.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

const theToken = "k8s-aws-v1.SECRET-CANARY"

func review(version string, audiences ...string) string {
	list, _ := json.Marshal(audiences)
	return fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/%s","kind":"TokenReview","metadata":{"creationTimestamp":null},"spec":{"token":%q,"audiences":%s}}`, version, theToken, list)
}

func TestAuthenticated(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		w := newFixture().post(review(version))
		want := `{"apiVersion":"authentication.k8s.io/` + version + `","kind":"TokenReview","status":{"authenticated":true,"user":{` +
			`"username":"dev:alice","uid":"aws-iam-authenticator:111122223333:AROAEXAMPLEEXAMPLE1AB","groups":["devs","viewers"],"extra":{` +
			`"accessKeyId":["ASIAIOSFODNN7EXAMPLE"],"arn":["arn:aws:sts::111122223333:assumed-role/dev/alice"],` +
			`"canonicalArn":["arn:aws:iam::111122223333:role/dev"],"principalId":["AROAEXAMPLEEXAMPLE1AB"],"sessionName":["alice"],` +
			`"sigs.k8s.io/aws-iam-authenticator/principalId":["AROAEXAMPLEEXAMPLE1AB"]}}}}`
		var got, expected any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v %s", w.Code, err, w.Body)
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
	}
}

// The table of the Webhook contract, a row a case.
func TestHowItSaysNo(t *testing.T) {
	rule := func(c token.Code) error { return &token.RuleError{Code: c, Reason: "r"} }
	type answer struct {
		status     int
		body       string // the status of the review, where there is one
		retryAfter string
	}
	never := answer{status: 200, body: `{"user":{}}`}
	soon := answer{status: 200, body: `{"user":{},"error":"not authorized"}`}
	retry := answer{status: 429}
	later := answer{status: 503, retryAfter: "5"}
	rows := map[string]struct {
		change func(*fixture)
		want   answer
	}{
		"sts denies":  {func(f *fixture) { f.stub.ask = failing(&verify.DeniedError{Code: "AccessDenied"}) }, soon},
		"V30, odd":    {func(f *fixture) { f.stub.ask = failing(&verify.UnavailableError{Reason: "V30"}) }, later},
		"V31":         {func(f *fixture) { f.stub.ask = failing(rule("V31")) }, soon},
		"V32":         {func(f *fixture) { f.stub.ask = failing(rule("V32")) }, soon},
		"V33":         {func(f *fixture) { f.stub.allow = func() error { return rule("V33") } }, soon},
		"V34":         {func(f *fixture) { f.stub.allow = func() error { return rule("V34") } }, soon},
		"throttled":   {func(f *fixture) { f.stub.ask = failing(&verify.UnavailableError{Throttled: true}) }, retry},
		"unreachable": {func(f *fixture) { f.stub.ask = failing(&verify.UnavailableError{Err: context.DeadlineExceeded}) }, later},
		"not mapped": {func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) { return mapping.Mapping{}, mapping.ErrNotMapped }
		}, soon},
		"a mapping source cannot be read": {func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) {
				return mapping.Mapping{}, fmt.Errorf("mapping by aws-auth: %w", &mapping.UnavailableError{Backend: "aws-auth"})
			}
		}, later},
		"EC2 cannot be asked": {func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) {
				return mapping.Mapping{}, &mapping.LookupError{Err: errors.New("x")}
			}
		}, later},
		"a mapping fails": {func(f *fixture) {
			f.mapper = func(identity.Identity) (mapping.Mapping, error) { return mapping.Mapping{}, errors.New("no EC2") }
		}, soon},
	}
	for i := 1; i <= 22; i++ {
		code := token.Code(fmt.Sprintf("V%02d", i))
		want := never
		if code == "V16" || code == "V22" {
			want = soon
		}
		rows[string(code)] = struct {
			change func(*fixture)
			want   answer
		}{func(f *fixture) { f.stub.check = func(string) (*token.Parsed, error) { return nil, rule(code) } }, want}
	}
	for name, row := range rows {
		f := newFixture()
		row.change(f)
		w := f.post(review("v1"))
		got := answer{status: w.Code, retryAfter: w.Header().Get("Retry-After")}
		var doc struct{ Status json.RawMessage }
		if json.Unmarshal(w.Body.Bytes(), &doc) == nil {
			got.body = string(doc.Status)
		}
		if got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

func failing(err error) func() (identity.Identity, error) {
	return func() (identity.Identity, error) { return identity.Identity{}, err }
}

// The log names the entry that granted access, and a source that is away is not said to
// be STS.
func TestLogNamesTheEntry(t *testing.T) {
	f := newFixture()
	f.mapper = func(identity.Identity) (mapping.Mapping, error) {
		return mapping.Mapping{Username: "dev", Source: "aws-auth mapRoles[2] line 14"}, nil
	}
	f.post(review("v1"))
	if !strings.Contains(f.log.String(), `"entry":"aws-auth mapRoles[2] line 14"`) {
		t.Error(f.log.String())
	}
	f.mapper = func(identity.Identity) (mapping.Mapping, error) {
		return mapping.Mapping{}, &mapping.UnavailableError{Backend: "aws-auth", Reason: "gone"}
	}
	if w := f.post(review("v1")); w.Body.String() != "the mapping is not available\n" || !strings.Contains(f.log.String(), "aws-auth is unavailable: gone") {
		t.Errorf("%q, %s", w.Body, f.log.String())
	}
	f = newFixture(func(c *webhook.Config) { c.ScrubbedAccounts = []string{"111122223333"} })
	f.mapper = func(identity.Identity) (mapping.Mapping, error) {
		return mapping.Mapping{Username: "dev", Source: "creator arn:aws:iam::111122223333:role/dev"}, nil
	}
	f.post(review("v1"))
	if strings.Contains(f.log.String(), "entry") {
		t.Error(f.log.String())
	}
}

func TestAudiences(t *testing.T) {
	configured := func(c *webhook.Config) { c.Audiences = []string{"ours", "also"} }
	for _, c := range []struct {
		name      string
		f         *fixture
		asked     []string
		ok        bool
		audiences []string
	}{
		{"none configured", newFixture(), []string{"api"}, true, nil},
		{"none asked", newFixture(configured), nil, true, []string{"ours", "also"}},
		{"one in common", newFixture(configured), []string{"api", "also"}, true, []string{"also"}},
		{"none in common", newFixture(configured), []string{"api"}, false, nil},
	} {
		var doc struct {
			Status struct {
				Authenticated bool
				Audiences     []string
			}
		}
		if err := json.Unmarshal(c.f.post(review("v1", c.asked...)).Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Status.Authenticated != c.ok || cmp.Diff(c.audiences, doc.Status.Audiences) != "" {
			t.Errorf("%s: %+v", c.name, doc.Status)
		}
	}
}

func TestMalformed(t *testing.T) {
	f := newFixture()
	for name, c := range map[string]struct {
		method, contentType, body string
		want                      int
	}{
		"GET":            {http.MethodGet, "application/json", "", 405},
		"no type":        {http.MethodPost, "", review("v1"), 415},
		"a form":         {http.MethodPost, "application/x-www-form-urlencoded", review("v1"), 415},
		"no JSON":        {http.MethodPost, "application/json", "{", 400},
		"another kind":   {http.MethodPost, "application/json", strings.Replace(review("v1"), "TokenReview", "Pod", 1), 400},
		"another group":  {http.MethodPost, "application/json", strings.Replace(review("v1"), "authentication.k8s.io", "evil.io", 1), 400},
		"v1alpha1":       {http.MethodPost, "application/json", review("v1alpha1"), 400},
		"no type meta":   {http.MethodPost, "application/json", `{"spec":{"token":"x"}}`, 400},
		"a huge body":    {http.MethodPost, "application/json", strings.Repeat(" ", 128<<10) + review("v1"), 413},
		"token a number": {http.MethodPost, "application/json", strings.Replace(review("v1"), `"`+theToken+`"`, "1", 1), 400},
	} {
		r := httptest.NewRequest(c.method, webhook.Path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != c.want || strings.Contains(w.Body.String(), "CANARY") {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
	if f.stub.asked.Load() != 0 {
		t.Error("STS was asked")
	}
}

// What STS said is remembered for a minute, what the configuration says is not.
func TestRemembersIdentitiesOnly(t *testing.T) {
	f := newFixture()
	ok := func() bool { return strings.Contains(f.post(review("v1")).Body.String(), `"authenticated":true`) }
	for range 5 {
		if !ok() {
			t.Fatal("refused")
		}
	}
	if n := f.stub.asked.Load(); n != 1 {
		t.Errorf("STS was asked %d times", n)
	}
	f.mapper = func(identity.Identity) (mapping.Mapping, error) { return mapping.Mapping{}, mapping.ErrNotMapped }
	if ok() {
		t.Error("a mapping was remembered")
	}
	f.mapper = toDev
	f.stub.allow = func() error { return &token.RuleError{Code: "V34"} }
	if ok() {
		t.Error("an account rule was remembered")
	}
	f.stub.allow = nil
	f.stub.check = func(string) (*token.Parsed, error) { return nil, &token.RuleError{Code: "V22"} }
	if ok() {
		t.Error("a deny list was remembered")
	}
	f.stub.check = nil
	f.now = f.now.Add(59 * time.Second)
	if !ok() || f.stub.asked.Load() != 1 {
		t.Errorf("asked again within the minute: %d", f.stub.asked.Load())
	}
	f.now = f.now.Add(time.Second)
	if !ok() || f.stub.asked.Load() != 2 {
		t.Errorf("not asked again after the minute: %d", f.stub.asked.Load())
	}
}

func TestRemembersNoLongerThanTheToken(t *testing.T) {
	f := newFixture()
	f.now = clock.Add(token.Lifetime - 10*time.Second)
	f.post(review("v1"))
	f.now = f.now.Add(11 * time.Second)
	f.post(review("v1"))
	if n := f.stub.asked.Load(); n != 2 {
		t.Errorf("STS was asked %d times", n)
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	f := newFixture()
	f.stub.ask = failing(&verify.DeniedError{Code: "AccessDenied"})
	f.post(review("v1"))
	f.stub.ask = nil
	if w := f.post(review("v1")); !strings.Contains(w.Body.String(), `"authenticated":true`) {
		t.Errorf("%s", w.Body)
	}
}

func TestScrubbedAccounts(t *testing.T) {
	f := newFixture(func(c *webhook.Config) { c.ScrubbedAccounts = []string{"111122223333"} })
	w := f.post(review("v1"))
	if strings.Contains(w.Body.String()+f.log.String(), "ASIAIOSFODNN7EXAMPLE") || !strings.Contains(w.Body.String(), `"authenticated":true`) {
		t.Errorf("%s\n%s", w.Body, f.log.String())
	}
	// Whose it is, is not known where STS did not say: then it may be theirs.
	f.now = f.now.Add(2 * time.Minute)
	f.stub.ask = failing(&verify.DeniedError{Code: "AccessDenied"})
	f.post(review("v1"))
	f.stub.ask = nil
	f.mapper = func(id identity.Identity) (mapping.Mapping, error) {
		return mapping.Mapping{}, errors.New("no " + id.ARN)
	}
	f.post(review("v1"))
	if log := f.log.String(); strings.Contains(log, "ASIAIOSFODNN7EXAMPLE") || strings.Contains(log, "assumed-role") || strings.Count(log, "access denied") != 2 {
		t.Errorf("%s", log)
	}
}

func TestLogsNoToken(t *testing.T) {
	f := newFixture()
	f.post(review("v1"))
	f.stub.check = func(string) (*token.Parsed, error) { return nil, &token.RuleError{Code: "V03", Reason: "r"} }
	f.post(review("v1"))
	if log := f.log.String(); strings.Contains(log, "CANARY") || !strings.Contains(log, "dev:alice") || !strings.Contains(log, "V03") {
		t.Errorf("%s", log)
	}
}
