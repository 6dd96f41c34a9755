package main

import (
	"errors"
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
	err := write(&b, []row{
		{"a : b", 12345 * time.Microsecond, 2 * time.Millisecond, "<= 6"},
		{"c : d", time.Microsecond, 40 * time.Microsecond, "<= 1/40"},
		{"e : f", 0, time.Second, "none"},
	})
	const want = `what |ours |theirs |ratio |target
a : b |12.3ms |2ms |6.17 |<= 6
c : d |1µs |40µs |1/40.0 |<= 1/40
e : f |0s |1s |- |none
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
	ours, theirs, err := minters()
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
