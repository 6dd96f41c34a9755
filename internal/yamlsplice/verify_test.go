package yamlsplice

import (
	"errors"
	"strings"
	"testing"
)

// A file that is not what a removal should have left is never written.
func TestVerifyRemoval(t *testing.T) {
	const before = "current-context: b\ncontexts:\n- name: a\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n"
	tests := []struct {
		name  string
		after string
		ok    bool
	}{
		{"right", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", true},
		{"still there", before, false},
		{"another gone as well", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another gone instead", "current-context: b\ncontexts:\n- name: a\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another one made of it", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: d\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another order", "current-context: b\ncontexts:\n- name: c\n- name: b\n  context: {user: u}\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another value", "current-context: b\ncontexts:\n- name: b\n  context: {user: v}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"another style", "current-context: b\ncontexts:\n- name: b\n  context: {user: 'u'}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
		{"a user gone", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers: []\n", false},
		{"a list gone", "current-context: b\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\n", false},
		{"another current context", "current-context: c\ncontexts:\n- name: b\n  context: {user: u}\n- name: c\nusers:\n- name: u\n  user: {token: t}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustParse(t, before)
			ed := newEdit(d)
			if err := ed.Remove("contexts", "a"); err != nil {
				t.Fatal(err)
			}
			err := verify(d, mustParse(t, tt.after), ed)
			var e *verifyError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &e) {
				t.Errorf("got %v", err)
			}
		})
	}
}

var testSchema = &Schema{
	Lists: []string{"clusters", "contexts", "users"}, InnerLists: []string{"extensions"},
	Head: Fields{{"apiVersion", "v1"}}, Keys: []string{"name"},
}

func mustParse(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse(testSchema, "config", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Nor is one in which a mark that is written anew took anything along.
func TestVerifyMark(t *testing.T) {
	text := func(extensions string) string {
		return "contexts:\n- name: a\n  context: {extensions: " + extensions + "}\n"
	}
	before := text("[{name: b, extension: 1}, {name: ekskey, extension: {cluster: x}, more: 1}, {name: c}]")
	tests := []struct {
		name  string
		after string
		ok    bool
	}{
		{"right", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}]", true},
		{"not done", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: x}, more: 1}, {name: c}]", false},
		{"done twice", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: ekskey, extension: {cluster: y}, more: 1}]", false},
		{"another's altered", "[{name: b, extension: 2}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}]", false},
		{"another's altered behind it", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: d}]", false},
		{"another's gone", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}]", false},
		{"one more", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: c}, {name: d}]", false},
		{"another order", "[{name: c}, {name: ekskey, extension: {cluster: y}, more: 1}, {name: b, extension: 1}]", false},
		{"its own other key altered", "[{name: b, extension: 1}, {name: ekskey, extension: {cluster: y}, more: 2}, {name: c}]", false},
		{"another style", "\n    - {name: b, extension: 1}\n    - {name: ekskey, extension: {cluster: y}, more: 1}\n    - {name: c}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustParse(t, before)
			ed := newEdit(d)
			mark := Setting{Path: []string{"context", "extensions", "ekskey", "extension"}, Value: Fields{{"cluster", "y"}}}
			if _, err := ed.Set("contexts", "a", []Setting{mark}); err != nil {
				t.Fatal(err)
			}
			after := text(tt.after)
			if strings.Contains(after, "\n    -") {
				after = strings.NewReplacer("context: {", "context:\n    ", "}\n}", "}\n").Replace(after)
			}
			err := verify(d, mustParse(t, after), ed)
			var e *verifyError
			if (err == nil) != tt.ok || err != nil && !errors.As(err, &e) {
				t.Errorf("got %v", err)
			}
		})
	}
}
