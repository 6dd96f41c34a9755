package credcache

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var denied = Failure{Kind: "denied", Cause: "assuming role x: AccessDenied", Hint: "the trust policy"}

// C05: the failure of the holder is that of those who waited for it, and of nobody
// else.
func TestC05WaitersShareTheFailure(t *testing.T) {
	w := newWorld(t)
	holder, shared := w.store().Lock(t.Context(), key("a"), "one")
	if shared != nil {
		t.Fatal(shared)
	}
	const many = 20
	var waiting, done sync.WaitGroup
	got := make([]*Failure, many)
	leases := make([]*Lease, many)
	for i := range many {
		waiting.Add(1)
		done.Go(func() {
			s := w.store(func(c *Config) { c.Waiting = waiting.Done })
			leases[i], got[i] = s.Lock(t.Context(), key("a"), "one")
		})
	}
	waiting.Wait()
	holder.Fail(denied)
	// Before the holder releases the lock, and so without waiting in turn.
	done.Wait()
	for i := range many {
		if d := cmp.Diff(&denied, got[i]); d != "" || leases[i].lock != nil {
			t.Errorf("waiter %d: %s, holds the lock: %v", i, d, leases[i].lock != nil)
		}
		leases[i].Release()
	}
	holder.Release()
	late, shared := w.store().Lock(t.Context(), key("a"), "one")
	if shared != nil || late.lock == nil {
		t.Errorf("one who came later: %v, holds the lock: %v", shared, late.lock != nil)
	}
	late.Release()
}

// What failed for one who connects in another way, or for another key, did not fail
// for us.
func TestC05FailureOfAnotherScope(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ holder, waiter string }{{"proxy one", "proxy two"}, {"proxy", ""}, {"", "proxy"}} {
		holder, _ := w.store().Lock(t.Context(), key("a"), c.holder)
		type answer struct {
			lease  *Lease
			shared *Failure
		}
		answers := make(chan answer)
		waiting := make(chan struct{})
		go func() {
			s := w.store(func(c *Config) { c.Waiting = func() { close(waiting) } })
			l, f := s.Lock(t.Context(), key("a"), c.waiter)
			answers <- answer{l, f}
		}()
		<-waiting
		other, _ := w.store().Lock(t.Context(), key("b"), c.waiter)
		other.Fail(denied)
		other.Release()
		holder.Fail(denied)
		holder.Release()
		a := <-answers
		if a.shared != nil || a.lease.lock == nil {
			t.Errorf("%+v: shared %v, holds the lock: %v", c, a.shared, a.lease.lock != nil)
		}
		a.lease.Release()
	}
}

// A failure's file holds nothing of the scope, which may name a proxy's password,
// and goes with the next success. What is readable by others is not believed.
func TestFailureFile(t *testing.T) {
	w := newWorld(t)
	lease, _ := w.store().Lock(t.Context(), key("a"), "http://me:CANARYpassword@proxy")
	lease.Fail(denied)
	lease.Release()
	path := w.path(failureName(key("a")))
	data, err := os.ReadFile(path)
	must(t, err)
	if bytes.Contains(data, []byte("CANARY")) || !bytes.Contains(data, []byte(denied.Cause)) {
		t.Errorf("%s", data)
	}
	s := w.store()
	if f := s.sharedFailure(key("a"), failureFile{}, "http://me:CANARYpassword@proxy"); f == nil {
		t.Error("the failure is not found")
	}
	for _, text := range []string{"", "{", strings.Repeat(" ", maxFailure+1)} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if f := s.sharedFailure(key("a"), failureFile{}, ""); f != nil {
			t.Errorf("%q: %+v", text[:min(len(text), 5)], f)
		}
	}
	w.fill(key("a"))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there after a success: %v", err)
	}
}

// C11: credentials that needed no code are due at 15 minutes, and one minute after
// each attempt that failed.
func TestC11Due(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	get := func() Entry {
		t.Helper()
		e, ok := s.Get(key("a"), time.Time{})
		if !ok {
			t.Fatal("a miss")
		}
		return e
	}
	code := entryOf(w.credentials())
	code.NeededCode = true
	s.Put(key("code"), code)
	w.fill(key("a"))
	for _, step := range []struct {
		pass time.Duration
		due  bool
	}{{0, false}, {refetchAge - time.Second, false}, {2 * time.Second, true}} {
		w.pass(step.pass)
		if got := s.Due(get()); got != step.due {
			t.Errorf("after %v: due %v", step.pass, got)
		}
	}
	s.Defer(key("a"), get())
	if s.Due(get()) {
		t.Error("due right after an attempt")
	}
	w.pass(retryWait + time.Second)
	if !s.Due(get()) {
		t.Error("never due again")
	}
	if e, ok := s.Get(key("code"), time.Time{}); !ok || s.Due(e) {
		t.Errorf("with a code: %v, due %v", ok, s.Due(e))
	}
	w.fill(key("a"))
	if s.Due(get()) {
		t.Error("new ones are due")
	}
	// A time that only another clock can have written puts nothing off.
	e := get()
	e.created, e.retryAt = e.created.Add(-refetchAge), w.clock().Add(time.Hour)
	if !s.Due(e) {
		t.Error("put off by an hour")
	}
}

// C12: what AWS has refused is dropped, by key or by the key that signed, and nothing
// else is; and nothing older than a moment is served where that is asked for.
func TestC12Drop(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	put := func(name, id string) {
		c := w.credentials()
		c.AccessKeyID = id
		s.Put(key(name), entryOf(c))
	}
	has := func() string {
		out := ""
		for _, name := range []string{"a", "b", "c"} {
			if _, ok := s.Get(key(name), time.Time{}); ok {
				out += name
			}
		}
		return out
	}
	put("a", "ASIAONE")
	put("b", "ASIATWO")
	put("c", "ASIAONE")
	s.DropAccessKey("")
	s.DropAccessKey("ASIATHREE")
	if got := has(); got != "abc" {
		t.Errorf("left %s", got)
	}
	s.DropAccessKey("ASIAONE")
	if got := has(); got != "b" {
		t.Errorf("left %s", got)
	}
	since := w.clock()
	if _, ok := s.Get(key("b"), since); ok {
		t.Error("served what is older")
	}
	w.pass(time.Millisecond)
	put("b", "ASIATWO")
	if _, ok := s.Get(key("b"), since); !ok {
		t.Error("what is newer is not served")
	}
	refreshing := w.store(func(c *Config) { c.Refresh = true })
	if _, ok := refreshing.Get(key("b"), time.Time{}); ok {
		t.Error("--refresh serves what is older")
	}
	s.Drop(key("b"))
	s.Drop(key("b"))
	if got := has(); got != "" {
		t.Errorf("left %s", got)
	}
}
