//go:build unix

package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/agent"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
)

// runs starts an agent, and gives what ends it.
func runs(t *testing.T, c agent.Config) (*agent.Agent, func()) {
	t.Helper()
	a, err := agent.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	time.Sleep(time.Second)
	return a, func() { cancel(); <-ended }
}

func signed(t *testing.T, at time.Time) string {
	t.Helper()
	source, err := token.New(token.Config{
		Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		Now: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tok.Value()
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Somebody removes or spoils what the agent wrote: it is there again soon.
func TestSpoiledFiles(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, path string) { put(t, path, "") },
		"cut":     func(t *testing.T, path string) { put(t, path, text(t, path)[:40]) },
	} {
		for _, file := range []string{"t", "ready"} {
			t.Run(name+" "+file, func(t *testing.T) {
				dir := folder(t)
				synctest.Test(t, func(t *testing.T) {
					w := &weather{}
					a, end := runs(t, agent.Config{Targets: []agent.Target{target(t, w, dir+"/t")}, Ready: safefile.SecretFile{Path: dir + "/ready"}})
					want := text(t, filepath.Join(dir, file))
					spoil(t, filepath.Join(dir, file))
					time.Sleep(16 * time.Second)
					if ok, why := a.Healthy(); !ok || text(t, filepath.Join(dir, file)) != want || w.calls != 1 {
						t.Errorf("it is not there again: %s (%d calls)", why, w.calls)
					}
					end()
				})
			})
		}
	}
}

// What cannot be written again is said to be missing.
func TestSpoiledForGood(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		a, end := runs(t, agent.Config{Targets: []agent.Target{target(t, &weather{}, dir+"/t")}, Ready: safefile.SecretFile{Path: dir + "/ready"}})
		put(t, dir+"/t", "something else")
		time.Sleep(16 * time.Second)
		if ok, _ := a.Healthy(); ok || exists(dir+"/ready") || text(t, dir+"/t") != "something else" {
			t.Error("it is said to be good, or was overwritten")
		}
		end()
	})
}

// The ready file says until when, and is good for nothing after that: an agent that
// was killed leaves it.
func TestReadyUntil(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		_, end := runs(t, agent.Config{
			Targets: []agent.Target{target(t, &weather{}, dir+"/t"), target(t, &weather{}, dir+"/u")}, Ready: safefile.SecretFile{Path: dir + "/ready"},
		})
		first := text(t, dir+"/ready")
		for range 60 {
			time.Sleep(time.Minute)
			if err := agent.CheckReady([]byte(text(t, dir+"/ready")), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if agent.CheckReady([]byte(first), time.Now()) == nil {
			t.Error("what a killed agent leaves is good for ever")
		}
		end()
	})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const good = "ekskey agent: all tokens are good until 2026-01-02T03:04:06Z\n"
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{good, true},
		{good[:len(good)-1], true},
		{"", false},
		{"ekskey agent: all tokens are good\n", false},
		{"ekskey agent: all tokens are good until \n", false},
		{"ekskey agent: all tokens are good until tomorrow\n", false},
		{good + good, false},
		{" " + good, false},
		{"ekskey agent: all tokens are good until 2026-01-02T03:04:05Z\n", false},
		{"2027-01-02T03:04:06Z\n", false},
	} {
		if err := agent.CheckReady([]byte(tt.text), now); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
}

// An agent that cannot renew leaves the token that another put in its place.
func TestLeavesAnothersToken(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := &weather{}
		a, end := runs(t, agent.Config{Targets: []agent.Target{target(t, w, dir+"/t")}})
		w.set(errors.New("down"))
		time.Sleep(13 * time.Minute)
		another := signed(t, time.Now())
		put(t, dir+"/t", another)
		time.Sleep(3 * time.Minute)
		if !exists(dir+"/t") || text(t, dir+"/t") != another {
			t.Error("another's good token is gone")
		}
		if ok, _ := a.Healthy(); ok {
			t.Error("it takes another's token for its own")
		}
		w.set(nil)
		time.Sleep(time.Minute + time.Second)
		if ok, why := a.Healthy(); !ok || text(t, dir+"/t") == another {
			t.Error(why)
		}
		end()
	})
}

// A token that has ended and could not be removed then is removed later.
func TestRemovesLater(t *testing.T) {
	dir := folder(t)
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &weather{}
		a, end := runs(t, agent.Config{Targets: []agent.Target{target(t, w, sub+"/t")}})
		w.set(errors.New("down"))
		if err := os.Chmod(sub, 0o722); err != nil { // which the agent does not touch
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if ok, _ := a.Healthy(); ok || !exists(sub+"/t") {
			t.Error("said to be good, or removed")
		}
		if err := os.Chmod(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Second)
		if exists(sub + "/t") {
			t.Error("a token that has ended is left for ever")
		}
		end()
	})
}

// Credentials that nobody renews: a minute before they end the file goes, once, and
// whatever keeps them is not asked again and again in that minute.
func TestCredentialsEnd(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(30 * time.Minute)
		var asked atomic.Int64
		source, err := token.New(token.Config{Cluster: "demo", Region: "eu-central-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			asked.Add(1)
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret", SessionToken: "session", CanExpire: true, Expires: end}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		keeper, err := token.NewKeeper(token.KeeperConfig{Minter: source})
		if err != nil {
			t.Fatal(err)
		}
		file, ready := dir+"/token", dir+"/ready"
		a, err := agent.New(agent.Config{
			Targets: []agent.Target{{Name: "demo", File: safefile.SecretFile{Path: file}, Tokens: keeper}}, Ready: safefile.SecretFile{Path: ready},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		time.Sleep(28*time.Minute + 55*time.Second)
		if !exists(file) || !exists(ready) {
			t.Error("not ready, though the credentials are good")
		}
		time.Sleep(5100 * time.Millisecond)
		before := asked.Load()
		for range 290 {
			if exists(file) || exists(ready) {
				t.Fatalf("the file is there %v before the credentials end", time.Until(end))
			}
			time.Sleep(200 * time.Millisecond)
		}
		if n := asked.Load() - before; n > 20 {
			t.Errorf("the credentials were asked for %d times in a minute", n)
		}
		if ok, text := a.Healthy(); ok || !strings.Contains(text, "credentials are about to expire") {
			t.Error(text)
		}
		cancel()
		<-ended
	})
}
