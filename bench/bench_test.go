package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/token"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []time.Duration
		want time.Duration
	}{
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{9, 1, 5, 7}, 6},
	} {
		if got := median(c.list); got != c.want {
			t.Errorf("%v: %d, want %d", c.list, got, c.want)
		}
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	missing := &missingError{what: "g", why: "it is not there"}
	err := write(&b, []row{
		{what: "a : b", ours: 12345 * time.Microsecond, theirs: 2 * time.Millisecond, target: "<= 6", note: "b is slow"},
		{what: "c : d", ours: time.Microsecond, theirs: 40 * time.Microsecond, target: "<= 1/40"},
		{what: "e : f", theirs: time.Second, target: "none"},
	}, []string{missing.Error()})
	const want = `what |ours |theirs |ratio |target
a : b |12.3ms |2ms |6.17 |<= 6
c : d |1µs |40µs |1/40.0 |<= 1/40
e : f |0s |1s |- |none
g was not measured: it is not there
b is slow
`
	got := strings.Join(strings.Fields(b.String()), " ")
	if err != nil || got != strings.Join(strings.Fields(strings.ReplaceAll(want, "|", "| ")), " ") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// Both sides run as often, by turns, and the first run of each does not count.
func TestInTurns(t *testing.T) {
	var order []string
	side := func(name string, times ...time.Duration) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			order = append(order, name)
			d := times[0]
			times = times[1:]
			return d, nil
		}
	}
	a, b, err := inTurns(3, side("a", 1000, 1, 2, 3), side("b", 1000, 30, 10, 20))
	if err != nil || a != 2 || b != 20 {
		t.Errorf("%d %d %v", a, b, err)
	}
	if got := strings.Join(order, ""); got != "abababab" {
		t.Errorf("order %s", got)
	}
	cause := errors.New("broken")
	if _, _, err := inTurns(3, side("a", 1), func() (time.Duration, error) { return 0, cause }); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

// The two sides must make tokens of the same kind, or the ratio says nothing.
func TestMinters(t *testing.T) {
	ours, theirs, err := minters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, mint := range map[string]minter{"ours": ours, "theirs": theirs} {
		value, err := mint()
		if err != nil {
			t.Fatal(err)
		}
		p, err := token.Parse(value)
		if err != nil || p.Host != "sts.eu-central-1.amazonaws.com" || p.AccessKeyID != keyID || p.Expires != time.Minute {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestPerCallTellsFailure(t *testing.T) {
	cause := errors.New("broken")
	if _, err := perCall(func() (string, error) { return "", cause })(); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

// A program that fails is an error with what it said.
func TestTime(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &programs{}
	d, err := p.time(t.Context(), os.Environ(), self, "-test.run", "^$")()
	if err != nil || d <= 0 || d > time.Hour {
		t.Errorf("%v, %v", d, err)
	}
	_, err = p.time(t.Context(), os.Environ(), self, "-no-such-flag")()
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("%v: want what the program said", err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "EKSKEY_CACHE", "KUBERNETES_EXEC_INFO"} {
		t.Setenv(name, "theirs")
	}
	p := &programs{dir: t.TempDir()}
	env := p.environment("A=b")
	for _, v := range env {
		if strings.HasSuffix(v, "=theirs") {
			t.Errorf("the user's %s is left", v)
		}
	}
	if !slices.Contains(env, "A=b") || !slices.Contains(env, "EKSKEY_CACHE_DIR="+filepath.Join(p.dir, "cache")) {
		t.Errorf("%v", env)
	}
}

func TestKubectlIsLeftOut(t *testing.T) {
	p := &programs{dir: t.TempDir()}
	for _, sandbox := range []string{"", filepath.Join(p.dir, "none")} {
		var missing *missingError
		if _, err := p.kubectl(t.Context(), sandbox, io.Discard); !errors.As(err, &missing) {
			t.Errorf("%q: %v", sandbox, err)
		}
	}
}

func TestAddBareUser(t *testing.T) {
	const one = `{"apiVersion":"v1","clusters":[{"name":"c","cluster":{"server":"https://x"}}],
"users":[{"name":"u","user":{"exec":{"command":"ekskey"}}}],"contexts":[{"name":"cached","context":{"cluster":"c","user":"u"}}]}`
	got, err := addBareUser([]byte(one), "word")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"name":"bare","user":{"token":"word"}}`, `{"context":{"cluster":"c","user":"bare"},"name":"bare"}`, `{"exec":{"command":"ekskey"}}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"users":[],"clusters":[],"contexts":[]}`, string(got)} {
		if _, err := addBareUser([]byte(bad), "word"); err == nil {
			t.Errorf("%s: want an error", bad)
		}
	}
}

func TestVariables(t *testing.T) {
	got, err := variables([]byte(`{"set":{"A":"b"},"unset":["C"],"path":"/d"}`))
	if err != nil || !slices.Equal(got, []string{"A=b"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"set":[]}`} {
		if _, err := variables([]byte(bad)); err == nil {
			t.Errorf("%s: want an error", bad)
		}
	}
}
