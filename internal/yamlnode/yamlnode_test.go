package yamlnode

import (
	"errors"
	"strings"
	"testing"
)

func TestDocument(t *testing.T) {
	for _, text := range []string{"", " \n", "# x", "null", "~", "---\n", "---\n---\n"} {
		if n, err := Document([]byte(text)); n != nil || err != nil {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
	for _, text := range []string{"a: b", "{\"a\": 1}", "a: b\n---\n", "a: b\n...\n"} {
		if n, err := Document([]byte(text)); n == nil || err != nil {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
	if _, err := Document([]byte("a: b\n---\nc: d")); !errors.Is(err, ErrMoreDocuments) {
		t.Errorf("two documents: %v", err)
	}
	for _, text := range []string{"[", "a: b\n---\n[", "a: *x"} {
		if n, err := Document([]byte(text)); n != nil || err == nil {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		text       string
		fold       bool
		want, errs string
	}{
		{"{a: 1, b: 2}", false, "a b", ""},
		{"{a: 1, A: 2}", false, "a A", ""},
		{"{a: 1, A: 2}", true, "a", "key \"A\" stands twice, first on line 1"},
		{"{a: 1, a: 2, a: 3}", false, "a", "key \"a\" stands twice, first on line 1; key \"a\" stands twice, first on line 1"},
		{"{K: 1, \u212a: 2}", true, "k \u212a", ""},
		{"{a: &x 1, b: *x , c: 3}", false, "a c", "has a YAML alias or merge key; write it out"},
		{"{<<: {a: 1}, b: 2}", false, "b", "has a YAML alias or merge key; write it out"},
		{"{[a]: 1, b: 2}", false, "b", "has a key that is no text"},
		{"[a]", false, "", "expected a mapping, found a list"},
		{"5", false, "", "expected a mapping, found the text \"5\""},
	} {
		n, err := Document([]byte(tt.text))
		if err != nil {
			t.Fatalf("%s: %v", tt.text, err)
		}
		fields, bad := Fields(n, tt.fold)
		var names, errs []string
		for _, f := range fields {
			names = append(names, f.Name)
		}
		for _, e := range bad {
			errs = append(errs, e.Error())
		}
		if strings.Join(names, " ") != tt.want || strings.Join(errs, "; ") != tt.errs {
			t.Errorf("%s: %q, %q", tt.text, names, errs)
		}
	}
}

func TestTextAndDescribe(t *testing.T) {
	for text, want := range map[string]string{
		"on": "on", "012": "012", "1.5": "1.5", "2001-01-01": "2001-01-01", "'null'": "null", "\"\"": "",
		"[a]": "no: a list", "{a: b}": "no: a mapping; quote a text that begins with a brace", "!!binary eA==": "no: the text \"eA==\"",
	} {
		n, err := Document([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Text(n)
		if !ok {
			got = "no: " + Describe(n)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if Describe(nil) != "nothing" || !IsNull(nil) {
		t.Error("nil")
	}
	if got := Quote(strings.Repeat("x", 200) + "\n"); len(got) > 130 || strings.Contains(got, "\n") {
		t.Errorf("%q", got)
	}
}
