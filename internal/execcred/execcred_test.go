package execcred_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/execcred"
)

func TestParseInfo(t *testing.T) {
	const good = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":true}}`
	for _, tt := range []struct {
		name, value string
		want        execcred.Info // zero: refused
	}{
		{"v1", good, execcred.Info{APIVersion: execcred.V1, Interactive: true}},
		{"v1beta1", strings.Replace(good, "/v1", "/v1beta1", 1), execcred.Info{APIVersion: execcred.V1Beta1, Interactive: true}},
		{"v1alpha1", strings.Replace(good, "/v1", "/v1alpha1", 1), execcred.Info{APIVersion: execcred.V1Alpha1, Interactive: true}},
		{"not interactive", strings.Replace(good, "true", "false", 1), execcred.Info{APIVersion: execcred.V1}},
		{"no spec", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}`, execcred.Info{APIVersion: execcred.V1, Interactive: true}},
		{"cluster and unknown fields", strings.Replace(good, `"spec":{`, `"new":1,"spec":{"cluster":{"server":"https://x"},`, 1), execcred.Info{APIVersion: execcred.V1, Interactive: true}},
		{"empty", "", execcred.Info{}},
		{"null", "null", execcred.Info{}},
		{"list", "[]", execcred.Info{}},
		{"string", `"v1"`, execcred.Info{}},
		{"empty object", "{}", execcred.Info{}},
		{"broken", good[:40], execcred.Info{}},
		{"two documents", good + good, execcred.Info{}},
		{"another kind", strings.Replace(good, "ExecCredential", "TokenReview", 1), execcred.Info{}},
		{"another group", strings.Replace(good, "client.", "x.", 1), execcred.Info{}},
		{"no group", strings.Replace(good, "client.authentication.k8s.io/", "", 1), execcred.Info{}},
		{"unknown version", strings.Replace(good, "/v1", "/v2", 1), execcred.Info{}},
		{"version of another type", strings.Replace(good, `"client.authentication.k8s.io/v1"`, "1", 1), execcred.Info{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := execcred.ParseInfo(tt.value)
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			var info *execcred.InfoError
			if refused := tt.want == (execcred.Info{}); refused != errors.As(err, &info) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMarshal(t *testing.T) {
	expiry := time.Date(2026, 1, 2, 3, 4, 5, 999, time.FixedZone("", 3600))
	got, err := execcred.Marshal("v1", "k8s-aws-v1.abc", expiry)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"expirationTimestamp":"2026-01-02T02:04:05Z","token":"k8s-aws-v1.abc"}}` + "\n"
	if string(got) != want {
		t.Errorf("got %s want %s", got, want)
	}
	var version *execcred.VersionError
	if _, err := execcred.Marshal("v3", "x", expiry); !errors.As(err, &version) {
		t.Errorf("v3: %v", err)
	}
	if tok, err := execcred.Token(got); err != nil || tok != "k8s-aws-v1.abc" {
		t.Errorf("reading it back: %q, %v", tok, err)
	}
}

func TestToken(t *testing.T) {
	const good = `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"secret-token"}}`
	for _, tt := range []struct{ name, doc string }{
		{"not JSON", "{" + good},
		{"another kind", strings.Replace(good, "ExecCredential", "Secret", 1)},
		{"another group", strings.Replace(good, "k8s.io", "example.com", 1)},
		{"no token", strings.Replace(good, `"token"`, `"nothing"`, 1)},
		{"something behind", good + "{}"},
		{"a bracket behind", good + "]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tok, err := execcred.Token([]byte(tt.doc))
			if err == nil || tok != "" {
				t.Fatalf("accepted: %q", tok)
			}
			if strings.Contains(err.Error(), "secret-token") {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
}

func FuzzParseInfo(f *testing.F) {
	for _, seed := range []string{"", "null", "[]", "{}", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		info, err := execcred.ParseInfo(value)
		if err != nil {
			if info != (execcred.Info{}) {
				t.Errorf("an error and a value: %+v", info)
			}
			return
		}
		if _, err := execcred.ParseVersion(info.APIVersion); err != nil {
			t.Errorf("accepted version %q", info.APIVersion)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		tok, err := execcred.Token(doc)
		if (err == nil) != (tok != "") {
			t.Errorf("%q, %v", tok, err)
		}
		if err == nil && !json.Valid(doc) {
			t.Errorf("accepted what is not JSON")
		}
	})
}
