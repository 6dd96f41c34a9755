package verify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// The vectors of STS's answers, V30 to V34.
func TestReplyVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/replies/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(text), "\n\n")
		header := map[string]string{}
		for _, line := range strings.Split(head, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			header[key] = value
		}
		seen[header["expect"]] = true
		got, id := judge(t, header, strings.TrimSuffix(body, "\n"))
		if got != header["expect"] {
			t.Errorf("%s: %s", file, got)
		}
		if (got == "ok") == (id == identity.Identity{}) {
			t.Errorf("%s: %s and %+v", file, got, id)
		}
	}
	for _, code := range []string{"ok", "V30", "V31", "V32", "V33", "V34"} {
		if !seen[code] {
			t.Errorf("no vector for %s", code)
		}
	}
}

// judge gives the code of the rule that the answer breaks, or ok.
func judge(t *testing.T, header map[string]string, body string) (string, identity.Identity) {
	t.Helper()
	c := Config{Cluster: "demo", AllowRoot: header["allow-root"] == "true"}
	if a := header["allow-account"]; a != "" {
		c.AllowAccounts = []string{a}
	}
	if a := header["deny-account"]; a != "" {
		c.DenyAccounts = []string{a}
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	id, err := accept(header["partition"], header["content-type"], []byte(body))
	if err == nil {
		err = v.Allow(id)
	}
	var broken *token.RuleError
	var unavailable *UnavailableError
	switch {
	case err == nil:
		return "ok", id
	case errors.As(err, &broken):
		return string(broken.Code), identity.Identity{}
	case errors.As(err, &unavailable) && strings.HasPrefix(unavailable.Reason, "V30: "):
		return "V30", identity.Identity{}
	}
	return err.Error(), identity.Identity{}
}
