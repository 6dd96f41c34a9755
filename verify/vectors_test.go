package verify_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

type vector struct {
	name, token string
	header      map[string]string
}

// readVector reads the format that testdata/vectors/README.md describes.
func readVector(t *testing.T, file string) vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		t.Fatalf("%s: no empty line behind the headers", file)
	}
	v := vector{name: strings.TrimSuffix(filepath.Base(file), ".txt"), header: map[string]string{}}
	for _, line := range strings.Split(head, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%s: header %q", file, line)
		}
		v.header[key] = strings.TrimSpace(value)
	}
	v.token = strings.TrimSuffix(body, "\n")
	switch v.header["encoding"] {
	case "":
	case "quoted":
		v.token, err = strconv.Unquote(v.token)
	case "base64":
		var raw []byte
		raw, err = base64.StdEncoding.DecodeString(v.token)
		v.token = string(raw)
	default:
		t.Fatalf("%s: encoding %q", file, v.header["encoding"])
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

func (v vector) policy(t *testing.T) token.Policy {
	t.Helper()
	now, err := time.Parse(time.RFC3339, v.header["now"])
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	p := token.Policy{Partition: v.header["partition"], Now: func() time.Time { return now }}
	if k := v.header["deny-key"]; k != "" {
		p.DeniedKeys = []string{k}
	}
	if s := v.header["max-age"]; s != "" {
		if p.MaxAge, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
	}
	return p
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, file := range files {
		v := readVector(t, file)
		want := v.header["expect"]
		seen[want]++
		t.Run(v.name, func(t *testing.T) {
			verifier, err := verify.New(verify.Config{Cluster: v.header["cluster"], Policy: v.policy(t)})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := verifier.Check(v.token)
			var broken *token.RuleError
			switch {
			case want == "ok" && err != nil:
				t.Fatalf("refused: %v", err)
			case want == "ok" && !strings.HasPrefix(parsed.RequestURL(), "https://"+parsed.Host+"/?"):
				t.Fatal("the URL to send is not the host's")
			case want == "ok":
				return
			case !errors.As(err, &broken):
				t.Fatalf("%v, want %s", err, want)
			case string(broken.Code) != want:
				t.Errorf("%v, want %s", err, want)
			case parsed != nil:
				t.Error("an error and a result")
			}
		})
	}
	for i := 1; i <= 22; i++ {
		if code := "V" + strconv.Itoa(100 + i)[1:]; seen[code] == 0 {
			t.Errorf("no vector for %s", code)
		}
	}
	if seen["ok"] < 20 {
		t.Errorf("only %d vectors that must pass", seen["ok"])
	}
}
