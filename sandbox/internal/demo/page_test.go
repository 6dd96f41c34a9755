package demo

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"a  b", []string{"a b"}},
		{"one two three", []string{"one two", "three"}},
		{"averyverylongword x", []string{"averyverylongword", "x"}},
		{"für über alle", []string{"für über", "alle"}},
	} {
		if got := wrap(tc.text, 8); !slices.Equal(got, tc.want) {
			t.Errorf("wrap(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestPage(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		p := &page{out: &out, colour: colour}
		p.step("First")
		p.command("kubectl get svc")
		p.result("a\r\nb")
		p.hops("STS: said yes")
		p.ok("fine")
		got := out.String()
		if strings.Contains(got, "\x1b") != colour {
			t.Errorf("colour %v: %q", colour, got)
		}
		if !colour && got != "\n1. First\n--------\n\n   $ kubectl get svc\n   | a\n   | b\n\n   STS              said yes\n   ok: fine\n" {
			t.Errorf("got %q", got)
		}
	}
}

func TestTamperChangesOneDigit(t *testing.T) {
	for _, url := range []string{"https://x/?s=a0", "https://x/?s=af"} {
		bad, err := tamper(tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(url)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(bad, tokenPrefix))
		if err != nil || string(got) == url || string(got[:len(got)-1]) != url[:len(url)-1] {
			t.Errorf("%q became %q, %v", url, got, err)
		}
	}
	for _, bad := range []string{"", tokenPrefix, tokenPrefix + "=="} {
		if _, err := tamper(bad); err == nil {
			t.Errorf("tamper(%q): want an error", bad)
		}
	}
}

func TestOutcome(t *testing.T) {
	o := outcome{stdout: "pods", stderr: "Forbidden", code: 1}
	for _, tc := range []struct {
		code  int
		texts []string
		ok    bool
	}{
		{1, nil, true}, {1, []string{"pods", "Forbidden"}, true}, {0, nil, false}, {1, []string{"pods", "nodes"}, false},
	} {
		if err := o.want(tc.code, tc.texts...); (err == nil) != tc.ok {
			t.Errorf("want(%d, %q) = %v", tc.code, tc.texts, err)
		}
	}
}
