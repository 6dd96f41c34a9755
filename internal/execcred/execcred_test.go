package execcred_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/execcred"
)

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
