package credcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// putForEver writes entries that are as large as they come until it is killed.
func putForEver(args []string) error {
	w := &world{now: time.Now()}
	s := New(Config{Dir: args[0]})
	fmt.Println("off")
	for {
		s.Put(key("a"), entryOf(large(w)))
	}
}

func large(w *world) aws.Credentials {
	c := w.credentials()
	c.SessionToken = strings.Repeat("s", maxEntry/2)
	return c
}

// serveAll prints what is served from a folder to whoever this process is.
func serveAll(args []string) error {
	w := &world{dir: args[0], now: time.Now()}
	s := New(w.config())
	s.Put(key("a"), entryOf(w.credentials()))
	_, ok := s.Get(key("a"), time.Time{})
	fmt.Printf("served %s\n%s", what(ok), w.said())
	return nil
}

// A process killed anywhere in writing leaves the old entry or the new one, and
// its temporary file to the next sweep.
func TestKilledInPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	w := &world{t: t, dir: dir, now: time.Now()}
	want := large(w)
	// A child may be killed before its first one is there.
	New(w.config()).Put(key("a"), entryOf(want))
	for i := range 20 {
		cmd := start(t, "put", dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, err = out.Read(make([]byte, 3))
		must(t, err)
		time.Sleep(time.Duration(5+i) * time.Millisecond) // to be somewhere in it
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		s := New(Config{Dir: dir, Log: w.config().Log})
		if e, ok := s.Get(key("a"), time.Time{}); !ok || e.Credentials.SessionToken != want.SessionToken || e.Credentials.SecretAccessKey != want.SecretAccessKey {
			t.Fatalf("served %v, %d bytes\n%s", ok, len(e.Credentials.SessionToken), w.said())
		}
	}
	if n, err := New(Config{Dir: dir}).Clear(); n != 1 || err != nil || len(w.files()) != 0 {
		t.Errorf("cleared %d, %v; left %v", n, err, w.files())
	}
}

// Two that write one entry again and again leave one of theirs at each moment.
func TestTwoWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	for range 2 {
		cmd := start(t, "put", dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, err = out.Read(make([]byte, 3))
		must(t, err)
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed
		}()
	}
	w := &world{t: t, dir: dir}
	s := New(Config{Dir: dir, Log: w.config().Log})
	for n := 0; n < 500; {
		e, ok := s.Get(key("a"), time.Time{})
		c := e.Credentials
		switch {
		case ok && len(c.SessionToken) == maxEntry/2:
			n++
		case ok || n > 0:
			t.Fatalf("served %v, %d bytes\n%s", ok, len(c.SessionToken), w.said())
		default:
			time.Sleep(time.Millisecond) // the first is still being written
		}
	}
}

// useKeyring is the process in that session.
func useKeyring(args []string) error {
	w := &world{t: &testing.T{}, dir: args[0], now: time.Now()}
	system := sealed(systemVault{})
	fail := func(text string) error { return errors.New(text + "\n" + w.said()) }
	if _, err := (systemVault{}).Get(); !errors.Is(err, ErrNoKey) {
		return fail(fmt.Sprint("an empty keyring says ", err))
	}
	w.fillSealed(key("a"), systemVault{})
	if got := w.served(key("a"), system); got != "credentials" {
		return fail("served " + got)
	}
	secret, err := systemVault{}.Get()
	if err != nil {
		return err
	}
	if err := (systemVault{}).Set(strings.Repeat("A", 43) + "="); err != nil {
		return err
	}
	if got := w.served(key("a"), system); got != "nothing" {
		return fail("with another key: served " + got)
	}
	if err := (systemVault{}).Set(secret); err != nil {
		return err
	}
	if got := w.served(key("a"), system); got != "credentials" {
		return fail("with the key again: served " + got)
	}
	if n, err := w.store(system).Clear(); n != 1 || err != nil {
		return fail("clear")
	}
	if err := (systemVault{}).Remove(); !errors.Is(err, ErrNoKey) {
		return fail("the key is still there")
	}
	if strings.Contains(w.said(), "CANARY") || strings.Contains(w.said(), secret) {
		return fail("a secret was logged")
	}
	_, err = os.Stdout.WriteString("all well\n")
	return err
}
