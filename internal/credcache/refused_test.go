package credcache

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// The rule of the refused token, as a list of what happened before and what a
// new process is served then.
func TestRefused(t *testing.T) {
	k := key("a")
	put := func(p Parent) func(*world) {
		return func(w *world) {
			s := w.store()
			defer s.end()
			s.PutToken(k, p, w.token(), nil, about)
			w.pass(time.Millisecond)
		}
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
			s := w.store()
			defer s.end()
			s.PutToken(k, self, tok, nil, about)
			w.pass(time.Millisecond)
		}}, self, "nothing"},
		{"a marker of nothing given", []func(*world){text("")}, self, "both"},
		{"a whole marker", []func(*world){text("0000000009999999999 0000000000000000000 0000000000000000000\n")}, self, "nothing"},
		{"a marker with a sign", []func(*world){text("-000000000000000001 0000000000000000000 0000000000000000000\n")}, self, "nothing"},
		{"a torn marker", []func(*world){text("00000")}, self, "nothing"},
		{"an odd marker", []func(*world){text("never\n")}, self, "nothing"},
		{"an overlong marker", []func(*world){text(strings.Repeat("0", 100))}, self, "nothing"},
		{"an odd marker of long ago", []func(*world){text("never\n"), func(w *world) {
			must(w.t, dateFile(w.path(markerName(k, self)), w.clock().Add(-time.Hour)))
		}}, self, "both"},
		{"a marker that one who is stopped holds alone", []func(*world){text(""), func(w *world) {
			l, err := safefile.TryOS(w.path(markerName(k, self)), false)
			must(w.t, err)
			w.t.Cleanup(func() { _ = l.Release() })
		}}, self, "nothing"},
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
			if _, ok := s.Token(k, self); ok {
				t.Error("the same Store serves it twice")
			}
			s.end()
			if got := w.served(k, self); got != "nothing" {
				t.Errorf("asked again after that: served %s", got)
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

// Processes that one client starts at once, and that overlap, ask for one thing:
// what is there is for all of them. Who begins when they are done asks again.
func TestAskedAtOnce(t *testing.T) {
	for _, c := range []struct{ name, marker string }{
		{"never before", ""},
		{"given one that has expired", "0000000000000000001 0000000000000000001 0000000000000000001\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			now := time.Now()
			k := key("a")
			New(Config{Dir: dir}).PutToken(k, Parent{1, 1}, NewToken(tokenSecret, now.Add(10*time.Minute), now, ""), nil, about)
			if c.marker != "" {
				must(t, os.WriteFile(filepath.Join(dir, markerName(k, self)), []byte(c.marker), 0o600))
			}
			const processes = 20
			var ends []io.Closer
			var waits []func() error
			served := 0
			for range processes {
				cmd := start(t, "ask", dir)
				end, err := cmd.StdinPipe()
				must(t, err)
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				ends, waits = append(ends, end), append(waits, cmd.Wait)
				line := make([]byte, 1)
				_, err = io.ReadFull(out, line) // it has asked, and is not done
				must(t, err)
				served += int(line[0] - '0')
			}
			if served != processes {
				t.Errorf("served to %d of %d", served, processes)
			}
			for i := range processes {
				must(t, ends[i].Close())
				must(t, waits[i]())
			}
			late := start(t, "ask", dir)
			if out, err := late.Output(); err != nil || string(out) != "0" {
				t.Errorf("one that began later: served %s, %v", out, err)
			}
		})
	}
}

// askOnce is a process of one client: it asks, prints how often it was served, and
// stays until it is let go.
func askOnce(args []string) error {
	s := New(Config{Dir: args[0], Began: ProcessStart()})
	n := "0"
	if _, ok := s.Token(key("a"), self); ok {
		n = "1"
	}
	if _, err := os.Stdout.WriteString(n); err != nil {
		return err
	}
	_, err := io.ReadAll(os.Stdin)
	return err
}

// Which askings of one client are one: a list of when they began and ended.
func TestOverlap(t *testing.T) {
	k := key("a")
	for _, c := range []struct {
		name string
		do   func(w *world) string
		want string
	}{
		{"began before the answer", func(w *world) string {
			began := w.clock()
			w.served(k, self)
			return w.served(k, self, func(c *Config) { c.Began = began })
		}, "both"},
		{"began after it", func(w *world) string {
			w.served(k, self)
			return w.served(k, self)
		}, "nothing"},
		{"began before another answer", func(w *world) string {
			began := w.clock()
			w.served(k, self)
			between := w.clock()
			w.served(k, self, func(c *Config) { c.Began = began })
			return w.served(k, self, func(c *Config) { c.Began = between })
		}, "both"},
		{"long after the first of them", func(w *world) string {
			began := w.clock()
			w.served(k, self)
			w.pass(together + time.Second)
			return w.served(k, self, func(c *Config) { c.Began = began })
		}, "nothing"},
		{"beside one that is not done", func(w *world) string {
			s := w.store()
			defer s.end()
			s.Token(k, self)
			return w.served(k, self)
		}, "both"},
		{"beside one of another client", func(w *world) string {
			w.served(k, self)
			s := w.store()
			defer s.end()
			s.Token(k, other)
			return w.served(k, self)
		}, "nothing"},
		{"beside one that asks again", func(w *world) string {
			w.served(k, self)
			s := w.store()
			defer s.end()
			s.Token(k, self)
			return w.served(k, self)
		}, "nothing"},
		{"beside one that expects a token", func(w *world) string {
			s := w.store()
			defer s.end()
			s.Expect(k, self)
			w.served(k, self)
			return w.served(k, self)
		}, "both"},
		{"after one that expected a token in vain", func(w *world) string {
			s := w.store()
			s.Expect(k, self)
			s.Forget(k, self)
			if _, err := os.Lstat(w.path(markerName(k, self))); !os.IsNotExist(err) {
				w.t.Errorf("it left its marker: %v", err)
			}
			return w.served(k, self)
		}, "both"},
		{"what was given is not forgotten", func(w *world) string {
			s := w.store()
			s.Token(k, self)
			s.Forget(k, self)
			return w.served(k, self)
		}, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.now = time.Now()
			w.fill(k)
			if got := c.do(w); got != c.want {
				t.Errorf("served %s, want %s\n%s", got, c.want, w.said())
			}
		})
	}
}
