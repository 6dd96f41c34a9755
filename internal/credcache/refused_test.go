package credcache

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The rule of the refused token, as a list of what happened before and what a
// new process is served then.
func TestRefused(t *testing.T) {
	k := key("a")
	put := func(p Parent) func(*world) {
		return func(w *world) { w.store().PutToken(k, p, w.token(), nil, about); w.pass(time.Millisecond) }
	}
	ask := func(p Parent) func(*world) { return func(w *world) { w.served(k, p) } }
	wait := func(d time.Duration) func(*world) { return func(w *world) { w.pass(d) } }
	marker := func(do func(path string) error) func(*world) {
		return func(w *world) { must(w.t, do(w.path(markerName(k, self)))) }
	}
	text := func(s string) func(*world) {
		return marker(func(p string) error { return os.WriteFile(p, []byte(s), 0o600) })
	}
	for _, c := range []struct {
		name   string
		before []func(*world)
		p      Parent
		want   string
	}{
		{"first asking", nil, self, "both"},
		{"asked again", []func(*world){ask(self)}, self, "nothing"},
		{"asked a third time", []func(*world){ask(self), ask(self)}, self, "nothing"},
		{"another process asked", []func(*world){ask(other)}, self, "both"},
		{"given when it was made", []func(*world){put(self)}, self, "nothing"},
		{"made for another", []func(*world){put(other)}, self, "both"},
		{"given, then another's took its place", []func(*world){put(self), put(other)}, self, "nothing"},
		{"of another key", []func(*world){func(w *world) { w.fill(key("b")); w.served(key("b"), self) }}, self, "both"},
		{"unknown", nil, Parent{}, "nothing"},
		{"unknown again", []func(*world){ask(Parent{})}, Parent{}, "nothing"},
		{"unknown does not count for others", []func(*world){ask(Parent{}), put(Parent{})}, self, "both"},
		{"after what it was given expired", []func(*world){ask(self), wait(tokenLife), put(other)}, self, "both"},
		{"and again after that", []func(*world){ask(self), wait(tokenLife), put(other), ask(self)}, self, "nothing"},
		{"just before that", []func(*world){ask(self), wait(tokenLife - 2*time.Second), put(other)}, self, "nothing"},
		{"given, and the entry is gone", []func(*world){ask(self), func(w *world) { must(w.t, os.Remove(w.path(kindToken.file(k)))) }}, self, "nothing"},
		{"not given, and the entry is gone", []func(*world){func(w *world) { must(w.t, os.Remove(w.path(kindToken.file(k)))) }}, self, "credentials"},
		{"given, and the entry expired early", []func(*world){ask(self), wait(tokenLife - margin)}, self, "nothing"},
		{"given one that was not kept", []func(*world){func(w *world) {
			tok := w.token()
			tok.Expiry = w.clock().Add(time.Minute)
			w.store().PutToken(k, self, tok, nil, about)
			w.pass(time.Millisecond)
		}}, self, "nothing"},
		{"an empty marker", []func(*world){text("")}, self, "nothing"},
		{"a torn marker", []func(*world){text("00000")}, self, "nothing"},
		{"an odd marker", []func(*world){text("never\n")}, self, "nothing"},
		{"an overlong marker", []func(*world){text(strings.Repeat("0", 100))}, self, "nothing"},
		{"an empty marker of long ago", []func(*world){text(""), func(w *world) {
			must(w.t, dateFile(w.path(markerName(k, self)), w.clock().Add(-time.Hour)))
		}}, self, "both"},
		{"a folder for a marker", []func(*world){marker(func(p string) error { return os.Mkdir(p, 0o700) })}, self, "nothing"},
		{"an old folder for a marker, and the entry is gone", []func(*world){
			marker(func(p string) error { return os.Mkdir(p, 0o700) }),
			func(w *world) {
				must(w.t, dateFile(w.path(markerName(k, self)), w.clock().Add(-time.Hour)))
				must(w.t, os.Remove(w.path(kindToken.file(k))))
			},
		}, self, "nothing"},
		{"refused, then cleared", []func(*world){ask(self), func(w *world) {
			if _, err := w.store().Clear(); err != nil {
				w.t.Error(err)
			}
		}}, self, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			// Markers are compared with the system's time where they have no text.
			w.now = time.Now()
			w.fill(k)
			for _, do := range c.before {
				do(w)
			}
			if got := w.served(k, c.p); got != c.want {
				t.Errorf("served %s\n%s", got, w.said())
			}
		})
	}
}

// What another process makes after we began is new enough, for the one that was
// refused as for the one that asked for new things.
func TestNewerThanUs(t *testing.T) {
	k := key("a")
	for _, c := range []struct {
		name   string
		config func(*Config)
		before func(*world)
	}{
		{"refresh", func(c *Config) { c.Refresh = true }, func(*world) {}},
		{"refused", func(*Config) {}, func(w *world) { w.served(k, self) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(k)
			c.before(w)
			s := w.store(c.config)
			_, tok := s.Token(k, self)
			_, creds := s.Credentials(k)
			if got := what(tok, creds); got != "nothing" {
				t.Errorf("the old: served %s", got)
			}
			w.fill(k) // by another process
			_, creds = s.Credentials(k)
			_, tok = s.Token(k, self)
			if got := what(tok, creds); got != "both" {
				t.Errorf("the new: served %s\n%s", got, w.said())
			}
			if got := w.served(k, self); got != "nothing" {
				t.Errorf("asked again after that: served %s", got)
			}
			if _, ok := s.Token(k, self); ok {
				t.Error("the same Store serves it twice")
			}
		})
	}
	t.Run("own", func(t *testing.T) {
		w := newWorld(t)
		s := w.store()
		s.PutToken(k, self, w.token(), nil, about)
		w.pass(time.Second)
		if _, ok := s.Token(k, self); ok {
			t.Error("a Store serves to the same process what it has just kept for it")
		}
	})
}

// Of processes that one client starts at once, the old token goes to one.
func TestAskedAtOnce(t *testing.T) {
	for _, c := range []struct{ name, marker string }{{"never before", ""}, {"given one that has expired", "0000000000000000001\n"}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			now := time.Now()
			k := key("a")
			New(Config{Dir: dir}).PutToken(k, Parent{1, 1}, NewToken(tokenSecret, now.Add(10*time.Minute), now, ""), nil, about)
			if c.marker != "" {
				must(t, os.WriteFile(filepath.Join(dir, markerName(k, self)), []byte(c.marker), 0o600))
			}
			const processes = 20
			gate, open, err := os.Pipe()
			must(t, err)
			outs := make([]*strings.Builder, processes)
			var waits []func() error
			for i := range processes {
				cmd := start(t, "ask", dir)
				cmd.Stdin = gate
				outs[i] = &strings.Builder{}
				cmd.Stdout, cmd.Stderr = outs[i], outs[i]
				must(t, cmd.Start())
				waits = append(waits, cmd.Wait)
			}
			must(t, gate.Close())
			must(t, open.Close()) // and they are off
			served := 0
			for i, wait := range waits {
				if err := wait(); err != nil {
					t.Errorf("%v: %s", err, outs[i])
				}
				if n, _ := strconv.Atoi(strings.TrimSpace(outs[i].String())); n == 1 {
					served++
				}
			}
			if served != 1 {
				t.Errorf("served to %d", served)
			}
		})
	}
}

// askOnce is a process of one client: it waits for the gate, and prints how
// often it was served.
func askOnce(args []string) error {
	s := New(Config{Dir: args[0]})
	_, _ = os.Stdin.Read(make([]byte, 1))
	n := 0
	if _, ok := s.Token(key("a"), self); ok {
		n++
	}
	_, err := os.Stdout.WriteString(strconv.Itoa(n) + "\n")
	return err
}
