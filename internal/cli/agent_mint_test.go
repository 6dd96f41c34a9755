package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
)

// Who rotates the keys in AWS's files need not start the agent again; and what has
// not changed is not loaded again.
func TestLastingSeesChangedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	file := filepath.Join(dir, "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := testApp()
	a.env.Getenv = os.Getenv
	l := a.newLasting("demo", awsconf.Config{Region: "eu-central-1", Getenv: os.Getenv}, newLastingShare())
	signedBy := func(fresh bool) string {
		t.Helper()
		if fresh {
			l.Invalidate()
		}
		tok, err := l.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tok.AccessKeyID
	}
	write("AKIAFIRST")
	if key := signedBy(false); key != "AKIAFIRST" {
		t.Error(key)
	}
	first := l.session
	if signedBy(false); l.session != first {
		t.Error("it was loaded again for nothing")
	}
	write("AKIASECOND")
	if key := signedBy(false); key != "AKIASECOND" {
		t.Error(key)
	}
	second := l.session
	if signedBy(true); l.session == second {
		t.Error("after a refusal it was not loaded anew")
	}
	if err := os.WriteFile(file, []byte("[default\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Token(t.Context()); err == nil {
		t.Error("a broken file, and a token")
	}
	if l.session = second; !l.stale {
		t.Error("after a failure what was got before may sign")
	}
	write("AKIATHIRD")
	if key := signedBy(false); key != "AKIATHIRD" {
		t.Error(key)
	}
}
