package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// What a server or a token says may hold anything, and is written to a terminal.
func TestOutputPrints(t *testing.T) {
	for _, text := range []string{
		"plain", "a\u009b31mb", "\u202egnp.exe", "\x1b[2J", "\x7f", "a\tb\nc\u0085d", "\ufeff", "\U000e0041", "\u2028", "caf\u00e9 \U0001f600", "two\nlines", `back\slash "u202e"`,
	} {
		for _, format := range []string{formatJSON, formatYAML} {
			var buf bytes.Buffer
			given := map[string]string{text: text}
			if err := testApp().write(&buf, format, given, nil); err != nil {
				t.Errorf("%s of %q: %v", format, text, err)
				continue
			}
			for _, r := range buf.String() {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%s of %q has %U raw: %q", format, text, r, buf.String())
				}
			}
			var got map[string]string
			unmarshal := json.Unmarshal
			if format == formatYAML {
				unmarshal = yaml.Unmarshal
			}
			if err := unmarshal(buf.Bytes(), &got); err != nil || got[text] != text {
				t.Errorf("%s of %q reads as %q, %v: %q", format, text, got, err, buf.String())
			}
		}
	}
}

// A caller may give the program the name of another one.
func TestOwnPath(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{self: self, "go": self, "no-such-program": self} {
		a := testApp()
		a.env.Program = program
		if got, err := a.ownPath(); err != nil || got != want {
			t.Errorf("called as %s: %s %v, want %s", program, got, err, want)
		}
	}
}
