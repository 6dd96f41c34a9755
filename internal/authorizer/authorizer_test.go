package authorizer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	authzv1 "k8s.io/api/authorization/v1"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accesspolicy"
)

const (
	devID   = "AROAEXAMPLEEXAMPLE1AB"
	otherID = "AROAEXAMPLEEXAMPLE9ZZ"
	devARN  = "arn:aws:iam::111122223333:role/dev"
	devUser = "arn:aws:sts::111122223333:assumed-role/dev/alice"
	policy  = "arn:aws:eks::aws:cluster-access-policy/"
)

type entriesFunc func(context.Context, identity.Identity) (Entry, error)

func (f entriesFunc) Entry(ctx context.Context, id identity.Identity) (Entry, error) {
	return f(ctx, id)
}

func policies(t testing.TB, names ...string) *accesspolicy.Set {
	t.Helper()
	var associations []accesspolicy.Association
	for _, name := range names {
		associations = append(associations, accesspolicy.Association{PolicyARN: policy + name, Scope: accesspolicy.Scope{Type: accesspolicy.ScopeCluster}})
	}
	s, errs := accesspolicy.NewSet("aws", associations)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

// roleDev has the view policy; its entry gives the default username.
func roleDev(t testing.TB) entriesFunc {
	view := policies(t, "AmazonEKSViewPolicy")
	return func(_ context.Context, id identity.Identity) (Entry, error) {
		if id.CanonicalARN != devARN {
			return Entry{}, ErrNoEntry
		}
		return Entry{PrincipalARN: "arn:aws:iam::111122223333:role/team/dev", PrincipalID: devID, Username: id.ARN, Policies: view}, nil
	}
}

// alice is what kube-apiserver asks when she lists pods.
func alice() *authzv1.SubjectAccessReview {
	sar := &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User: devUser, UID: "aws-iam-authenticator:111122223333:" + devID, Groups: []string{"system:authenticated"},
		Extra: map[string]authzv1.ExtraValue{
			"arn": {devUser}, "canonicalArn": {devARN}, "sessionName": {"alice"}, "principalId": {devID}, "accessKeyId": {"ASIAIOSFODNN7EXAMPLE"},
			"sigs.k8s.io/aws-iam-authenticator/principalId": {devID},
		},
		ResourceAttributes: &authzv1.ResourceAttributes{Namespace: "shop", Verb: "list", Version: "v1", Resource: "pods"},
	}}
	sar.APIVersion, sar.Kind = apiVersion, kind
	return sar
}

func post(h http.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func encode(t testing.TB, sar *authzv1.SubjectAccessReview) string {
	t.Helper()
	body, err := json.Marshal(sar)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const (
	no  = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":false}}` + "\n"
	yes = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true,"reason":"EKS Access Policy: allowed by AmazonEKSViewPolicy, scope cluster, rule 8, of access entry arn:aws:iam::111122223333:role/team/dev"}}` + "\n"
)

func TestAllowed(t *testing.T) {
	w := post(New(Config{Entries: roleDev(t)}), encode(t, alice()))
	if w.Code != http.StatusOK || w.Body.String() != yes || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Somebody else, or almost the same: one change to what is allowed a row, and no
// opinion on each.
func TestNoOpinion(t *testing.T) {
	type specT = authzv1.SubjectAccessReviewSpec
	lower := func(s *specT) {
		extra := map[string]authzv1.ExtraValue{}
		for k, v := range s.Extra {
			extra[strings.ToLower(k)] = v
		}
		s.Extra = extra
	}
	for name, change := range map[string]func(*specT){
		"another's username":   func(s *specT) { s.User = "arn:aws:sts::111122223333:assumed-role/dev/bob" },
		"an aws-auth username": func(s *specT) { s.User = "dev:alice" },
		"no username":          func(s *specT) { s.User = "" },
		"username in capitals": func(s *specT) { s.User = strings.ToUpper(s.User) },
		"a certificate's common name": func(s *specT) {
			s.UID, s.Extra = "", map[string]authzv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"X509SHA256=ab"}}
		},
		"no extras":                    func(s *specT) { s.Extra = nil },
		"keys of headers":              lower,
		"keys of headers, both forms":  func(s *specT) { id := s.Extra["principalId"]; lower(s); s.Extra["principalId"] = id },
		"no canonicalArn":              func(s *specT) { delete(s.Extra, "canonicalArn") },
		"no principalId":               func(s *specT) { delete(s.Extra, "principalId") },
		"no sessionName":               func(s *specT) { delete(s.Extra, "sessionName") },
		"two canonicalArns":            func(s *specT) { s.Extra["canonicalArn"] = append(s.Extra["canonicalArn"], devARN) },
		"two principalIds":             func(s *specT) { s.Extra["principalId"] = authzv1.ExtraValue{devID, otherID} },
		"two sessionNames":             func(s *specT) { s.Extra["sessionName"] = authzv1.ExtraValue{"alice", "bob"} },
		"empty canonicalArn":           func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{""} },
		"canonicalArn without a value": func(s *specT) { s.Extra["canonicalArn"] = nil },
		"a principal without an entry": func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:iam::111122223333:role/ops"} },
		"another account":              func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:iam::999988887777:role/dev"} },
		"another partition":            func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws-cn:iam::111122223333:role/dev"} },
		"a user of the role's name":    func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:iam::111122223333:user/dev"} },
		"a role with a path": func(s *specT) {
			s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:iam::111122223333:role/team/dev"}
		},
		"a session for a canonical ARN": func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{devUser} },
		"the root":                      func(s *specT) { s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:iam::111122223333:root"} },
		"a federated user": func(s *specT) {
			s.Extra["canonicalArn"] = authzv1.ExtraValue{"arn:aws:sts::111122223333:federated-user/dev"}
		},
		"a role deleted and made again":  func(s *specT) { s.Extra["principalId"] = authzv1.ExtraValue{otherID} },
		"empty unique id":                func(s *specT) { s.Extra["principalId"] = authzv1.ExtraValue{""} },
		"unique id with the session":     func(s *specT) { s.Extra["principalId"] = authzv1.ExtraValue{devID + ":alice"} },
		"another session":                func(s *specT) { s.Extra["sessionName"] = authzv1.ExtraValue{"bob"} },
		"a session that STS cannot make": func(s *specT) { s.Extra["sessionName"] = authzv1.ExtraValue{"a/b"} },
		"another verb":                   func(s *specT) { s.ResourceAttributes.Verb = "delete" },
		"another resource":               func(s *specT) { s.ResourceAttributes.Resource = "secrets" },
		"another group":                  func(s *specT) { s.ResourceAttributes.Group = "apps" },
		"a subresource":                  func(s *specT) { s.ResourceAttributes.Subresource = "exec" },
		"neither resource nor path":      func(s *specT) { s.ResourceAttributes = nil },
		"an empty path": func(s *specT) {
			s.ResourceAttributes, s.NonResourceAttributes = nil, &authzv1.NonResourceAttributes{Verb: "list"}
		},
		"a path": func(s *specT) {
			s.ResourceAttributes, s.NonResourceAttributes = nil, &authzv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}
		},
		"both": func(s *specT) { s.NonResourceAttributes = &authzv1.NonResourceAttributes{Verb: "list", Path: "/x"} },
	} {
		sar := alice()
		change(&sar.Spec)
		if w := post(New(Config{Entries: roleDev(t)}), encode(t, sar)); w.Code != http.StatusOK || w.Body.String() != no {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// The entry decides too, not the review alone.
func TestEntryDecides(t *testing.T) {
	good := Entry{PrincipalARN: "arn:aws:iam::111122223333:role/team/dev", PrincipalID: devID, Username: devUser, Policies: policies(t, "AmazonEKSViewPolicy")}
	for name, c := range map[string]struct {
		change func(*Entry)
		want   string
	}{
		"as it is":                             {func(*Entry) {}, yes},
		"a group that the user has":            {func(e *Entry) { e.Groups = []string{"system:authenticated"} }, yes},
		"a group that an impersonator has not": {func(e *Entry) { e.Groups = []string{"system:authenticated", "access-entries"} }, no},
		"another's username":                   {func(e *Entry) { e.Username = "bob" }, no},
		"no username":                          {func(e *Entry) { e.Username = "" }, no},
		"not pinned":                           {func(e *Entry) { e.PrincipalID = "" }, no},
		"pinned to another":                    {func(e *Entry) { e.PrincipalID = otherID }, no},
		"no policies":                          {func(e *Entry) { e.Policies = nil }, no},
		"a policy that is too little":          {func(e *Entry) { e.Policies = policies(t, "AmazonEKSSecretReaderPolicy") }, no},
		"rules that nobody published": {func(e *Entry) { e.Policies = policies(t, "AmazonEKSAutoNodePolicy") },
			strings.Replace(no, `false}`, `false,"reason":"EKS Access Policy: the rules of AmazonEKSAutoNodePolicy are unpublished"}`, 1)},
	} {
		entry := good
		c.change(&entry)
		h := New(Config{Entries: entriesFunc(func(context.Context, identity.Identity) (Entry, error) { return entry, nil })})
		if got := post(h, encode(t, alice())).Body.String(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Without a username, an entry without one is not equal.
	sar := alice()
	sar.Spec.User, good.Username = "", ""
	h := New(Config{Entries: entriesFunc(func(context.Context, identity.Identity) (Entry, error) { return good, nil })})
	if got := post(h, encode(t, sar)).Body.String(); got != no {
		t.Errorf("nobody: %s", got)
	}
}

// The identity that the entries are asked about is the one that STS named.
func TestIdentity(t *testing.T) {
	userARN, userID := "arn:aws:iam::111122223333:user/team/bob", "AIDAEXAMPLEEXAMPLE1AB"
	for _, c := range []struct {
		extra                map[string]authzv1.ExtraValue
		arn, account, userID string
	}{
		{alice().Spec.Extra, devUser, "111122223333", devID + ":alice"},
		{map[string]authzv1.ExtraValue{"canonicalArn": {userARN}, "principalId": {userID}, "sessionName": {""}, "arn": {userARN}}, userARN, "111122223333", userID},
		{map[string]authzv1.ExtraValue{"canonicalArn": {"arn:aws-cn:iam::111122223333:role/dev"}, "principalId": {devID}, "sessionName": {"a@b"}},
			"arn:aws-cn:sts::111122223333:assumed-role/dev/a@b", "111122223333", devID + ":a@b"},
	} {
		want, err := identity.New(c.arn, c.account, c.userID)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := subject(c.extra)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %v %s", c.arn, ok, diff)
		}
	}
	// No access entry names these, though STS does.
	for arn, userID := range map[string]string{
		"arn:aws:iam::111122223333:root":               "111122223333",
		"arn:aws:sts::111122223333:federated-user/dev": "111122223333:dev",
	} {
		if id, ok := subject(map[string]authzv1.ExtraValue{"canonicalArn": {arn}, "principalId": {userID}, "sessionName": {""}}); ok {
			t.Errorf("%+v", id)
		}
	}
}

// What is no clean question gets no answer in force.
func TestMalformed(t *testing.T) {
	good := encode(t, alice())
	entries := entriesFunc(func(context.Context, identity.Identity) (Entry, error) {
		t.Error("the entries were asked")
		return Entry{}, ErrNoEntry
	})
	h := New(Config{Entries: entries})
	edit := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	for name, body := range map[string]string{
		"nothing":              "",
		"no JSON":              "{",
		"a list":               "[" + good + "]",
		"null":                 "null",
		"v1beta1":              edit("authorization.k8s.io/v1", "authorization.k8s.io/v1beta1"),
		"v2":                   edit("authorization.k8s.io/v1", "authorization.k8s.io/v2"),
		"no version":           edit(`"apiVersion":"authorization.k8s.io/v1"`, `"apiVersion":""`),
		"another group":        edit("authorization.k8s.io/v1", "authorization.evil.io/v1"),
		"another kind":         edit("SubjectAccessReview", "LocalSubjectAccessReview"),
		"a TokenReview":        edit("SubjectAccessReview", "TokenReview"),
		"trailing JSON":        good + good,
		"trailing text":        good + "x",
		"extra as a list":      edit(`"extra":{`, `"extra":[],"x":{`),
		"value without a list": edit(`"canonicalArn":["`+devARN+`"]`, `"canonicalArn":"`+devARN+`"`),
		"an extra twice":       edit(`"canonicalArn":`, `"canonicalArn":["arn:aws:iam::111122223333:role/ops"],"canonicalArn":`),
		"extras twice":         edit(`"extra":{`, `"extra":{},"extra":{`),
		"user twice":           edit(`"user":`, `"user":"bob","user":`),
		"spec twice":           edit(`"spec":{`, `"spec":{},"spec":{`),
		"verb twice":           edit(`"verb":`, `"verb":"get","verb":`),
	} {
		w := post(h, body)
		if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "allowed") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := post(h, strings.Repeat(" ", maxRequest)+good); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge body: %d", w.Code)
	}
	for name, c := range map[string]struct {
		method, contentType string
		want                int
	}{
		"GET":      {http.MethodGet, "application/json", http.StatusMethodNotAllowed},
		"PUT":      {http.MethodPut, "application/json", http.StatusMethodNotAllowed},
		"no type":  {http.MethodPost, "", http.StatusUnsupportedMediaType},
		"YAML":     {http.MethodPost, "application/yaml", http.StatusUnsupportedMediaType},
		"protobuf": {http.MethodPost, "application/vnd.kubernetes.protobuf", http.StatusUnsupportedMediaType},
	} {
		r := httptest.NewRequest(c.method, Path, strings.NewReader(good))
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", name, w.Code, c.want)
		}
	}
}

// Keys are compared with case: a twin in other letters is another key.
func TestCaseTwinsDoNotCount(t *testing.T) {
	body := strings.Replace(encode(t, alice()), `"extra":`, `"extra":{},"Extra":`, 1)
	if w := post(New(Config{Entries: roleDev(t)}), body); w.Code != http.StatusOK || w.Body.String() != no {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A field that this version does not know only narrows a request.
func TestNewerFieldsDoNotMatter(t *testing.T) {
	body := strings.Replace(encode(t, alice()), `"verb":`, `"newer":{"a":1},"fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b"]}]},"verb":`, 1)
	if got := post(New(Config{Entries: roleDev(t)}), body).Body.String(); got != yes {
		t.Errorf("%s", got)
	}
}

func TestUnavailable(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{
		Entries: entriesFunc(func(context.Context, identity.Identity) (Entry, error) { return Entry{}, errors.New("not synced") }),
		Log:     slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	w := post(h, encode(t, alice()))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "" || strings.Contains(w.Body.String(), "not synced") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(log.String(), "not synced") {
		t.Errorf("%s", log.String())
	}
}

func TestMetricsAndLog(t *testing.T) {
	registry := prometheus.NewRegistry()
	var log bytes.Buffer
	now := time.Unix(1_800_000_000, 0)
	down := false
	entries := roleDev(t)
	h := New(Config{
		Entries: entriesFunc(func(ctx context.Context, id identity.Identity) (Entry, error) {
			if down {
				return Entry{}, errors.New("down")
			}
			return entries(ctx, id)
		}),
		Metrics: NewMetrics(registry), Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	other := alice()
	other.Spec.User = "bob"
	post(h, encode(t, alice()))
	post(h, encode(t, other))
	post(h, encode(t, other))
	post(h, "{")
	down = true
	post(h, encode(t, alice()))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "ekskey_subject_access_reviews_total" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if want := map[string]float64{"allowed": 1, "no-opinion": 2, "malformed": 1, "unavailable": 1}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, want := range []string{"allowed by AmazonEKSViewPolicy", "the access entry gives another username"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in\n%s", want, log.String())
		}
	}
}
