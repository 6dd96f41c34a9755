package kubeconfig

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A password is anything at all, YAML's indicators included. None of it may be
// in an error, which ends in a terminal or a build log.
func TestErrorsRepeatNoSecret(t *testing.T) {
	user := func(body string) string { return "users:\n- name: " + demoUser + "\n  user:\n    " + body + "\n" }
	tests := []struct{ name, in string }{
		{"an alias", user("password: *hunter2")},
		{"an alias, later anchor", user("password: *hunter2") + "x: &hunter2 y\n"},
		{"an alias inside itself", user("password: &hunter2 [*hunter2]")},
		{"a tag", user("password: !hunter2")},
		{"a tag with a value", user("password: !<hunter2> x")},
		{"a long tag", user("password: !!hunter2 x")},
		{"a tag handle", user("password: !hunter2!x")},
		{"a directive", user("password:\n%hunter2")},
		{"a duplicate key", user("{hunter2: 1, hunter2: 2}")},
		{"a list", user("password: [hunter2]")},
		{"a mapping", user("password: {hunter2: }")},
		{"a block scalar", user("password: |hunter2")},
		{"a folded scalar", user("password: >hunter2")},
		{"a quote", user(`password: "hunter2`)},
		{"an escape", user(`password: "\hunter2"`)},
		{"an at sign", user("password: @hunter2")},
		{"a percent sign", user("password: %hunter2")},
		{"a colon", user("password: a: hunter2")},
		{"a question mark", user("? [hunter2]: x")},
		{"a merge", user("<<: hunter2")},
		{"kind", "kind: hunter2\n"},
		{"apiVersion", "apiVersion: hunter2\n"},
		{"text alone", "hunter2"},
		{"a boolean", user("exec: {provideClusterInfo: hunter2}")},
		{"anchor used elsewhere", user("exec: &hunter2 {command: ekskey, args: [token, -i, demo]}") + "x: *hunter2\n"},
		{"alias in the way", "x: &hunter2 ekskey\n" + user("exec: {command: *hunter2, args: [token, -i, demo]}")},
		{"list used elsewhere", "users: &hunter2 []\nx: *hunter2\n"},
		{"current context used elsewhere", "current-context: &hunter2 x\nx: *hunter2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("config", []byte(tt.in))
			if err == nil {
				_, err = f.Apply(mustChange(t, demo()))
			}
			if err == nil {
				t.Fatal("it is not refused")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("repeated: %v", err)
			}
		})
	}
}

func TestManyKeysAreRefused(t *testing.T) {
	const maxKeys = 10_000
	in := func(n int) []byte {
		var b strings.Builder
		b.WriteString("users:\n- name: " + demoUser + "\n  user:\n")
		for i := range n {
			fmt.Fprintf(&b, "    k%d: x\n", i)
		}
		return []byte(b.String())
	}
	if _, err := Parse("config", in(maxKeys)); err != nil {
		t.Error(err)
	}
	var e *SyntaxError
	if _, err := Parse("config", in(maxKeys+1)); !errors.As(err, &e) || e.Line != 4 {
		t.Errorf("got %v", err)
	}
}
