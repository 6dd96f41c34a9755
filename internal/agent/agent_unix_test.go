//go:build unix

package agent_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ekskey/ekskey/internal/agent"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
)

// weather is an AWS that may be down.
type weather struct {
	mu    sync.Mutex
	down  error
	calls int
}

func (w *weather) set(err error) { w.mu.Lock(); w.down = err; w.mu.Unlock() }

// Token is a token.Minter's.
func (w *weather) Token(ctx context.Context) (token.Token, error) {
	w.mu.Lock()
	w.calls++
	down := w.down
	w.mu.Unlock()
	if down != nil {
		return token.Token{}, down
	}
	source, err := token.New(token.Config{Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", "")})
	if err != nil {
		return token.Token{}, err
	}
	return source.Token(ctx)
}

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func target(t *testing.T, w *weather, path string) agent.Target {
	t.Helper()
	keeper, err := token.NewKeeper(token.KeeperConfig{Minter: w})
	if err != nil {
		t.Fatal(err)
	}
	return agent.Target{Name: filepath.Base(path), File: safefile.SecretFile{Path: path}, Tokens: keeper}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func signedAt(t *testing.T, path string) time.Time {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := token.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SignedAt
}

// A day in which AWS goes away twice: once for a few minutes, once for longer than
// a token lives.
func TestDay(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		good, moody := &weather{}, &weather{}
		ready := filepath.Join(dir, "ready")
		var told []string
		a, err := agent.New(agent.Config{
			Targets: []agent.Target{target(t, good, dir+"/good"), target(t, moody, dir+"/moody")},
			Ready:   safefile.SecretFile{Path: ready}, Tell: func(s string) { told = append(told, s) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		healthy := func() bool { ok, _ := a.Healthy(); return ok }
		steady := func(d time.Duration) {
			t.Helper()
			for range int(d / time.Minute) {
				time.Sleep(time.Minute)
				for _, name := range []string{"good", "moody"} {
					if age := time.Since(signedAt(t, dir+"/"+name)); age > 13*time.Minute {
						t.Fatalf("%s is %v old", name, age)
					}
				}
				if !exists(ready) || !healthy() {
					t.Fatal("not ready")
				}
			}
		}
		time.Sleep(time.Second)
		steady(3 * time.Hour)
		moody.set(errors.New("sts is down"))
		time.Sleep(90 * time.Second)
		moody.set(nil)
		time.Sleep(time.Minute)
		steady(time.Hour)

		moody.set(errors.New("sts is\ndown"))
		time.Sleep(14*time.Minute + time.Second)
		if exists(dir+"/moody") || exists(ready) || healthy() {
			t.Error("a token that has ended is still there, or said to be good")
		}
		if _, text := a.Healthy(); !strings.Contains(text, "failed moody: sts is down\n") || !strings.Contains(text, "ok good until ") {
			t.Errorf("%s", text)
		}
		if age := time.Since(signedAt(t, dir+"/good")); age > 13*time.Minute {
			t.Error("another cluster suffers")
		}
		moody.set(nil)
		time.Sleep(time.Minute + time.Second)
		steady(time.Hour)

		cancel()
		<-ended
		if exists(ready) || !exists(dir+"/good") || !exists(dir+"/moody") {
			t.Error("at its end the ready file is to go, and the tokens are to stay")
		}
		if strings.Join(told, " ") != "READY=1 STOPPING=1" {
			t.Errorf("%q", told)
		}
	})
}

// It is not ready before the last of them is.
func TestNeverReady(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		down := &weather{down: errors.New("role refused")}
		a, err := agent.New(agent.Config{
			Targets: []agent.Target{target(t, &weather{}, dir+"/good"), target(t, down, dir+"/bad")},
			Ready:   safefile.SecretFile{Path: dir + "/ready"}, Tell: func(s string) {
				if s == "READY=1" {
					t.Error("systemd is told that it is ready")
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		a.Run(ctx)
		if exists(dir+"/bad") || exists(dir+"/ready") || !exists(dir+"/good") {
			t.Error("wrong files")
		}
		if down.calls < 55 || down.calls > 140 {
			t.Errorf("%d attempts in an hour", down.calls)
		}
	})
}

// What another agent left: a good token stays until there is a newer one, or until
// it ends; one that has ended goes.
func TestInherits(t *testing.T) {
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := &weather{}
		for name, age := range map[string]time.Duration{"young": time.Minute, "old": time.Hour} {
			source, _ := token.New(token.Config{
				Cluster: "demo", Region: "eu-central-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""),
				Now: func() time.Time { return time.Now().Add(-age) },
			})
			tok, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(tok.Value()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.set(errors.New("down"))
		a, err := agent.New(agent.Config{Targets: []agent.Target{target(t, w, dir+"/young"), target(t, w, dir+"/old")}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		time.Sleep(time.Second)
		if !exists(dir+"/young") || exists(dir+"/old") {
			t.Error("wrong files")
		}
		if ok, _ := a.Healthy(); ok {
			t.Error("another agent's token is not this one's")
		}
		time.Sleep(13 * time.Minute)
		if exists(dir + "/young") {
			t.Error("it has ended, and is there")
		}
		cancel()
		<-ended
	})
}

// A folder that goes away and comes back.
func TestFolderGoes(t *testing.T) {
	dir := folder(t)
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a, err := agent.New(agent.Config{Targets: []agent.Target{target(t, &weather{}, sub+"/t")}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		time.Sleep(time.Second)
		if err := os.RemoveAll(sub); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if ok, text := a.Healthy(); ok || !strings.Contains(text, "does not exist") {
			t.Error(text)
		}
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if ok, text := a.Healthy(); !ok || !exists(sub+"/t") {
			t.Error(text)
		}
		cancel()
		<-ended
	})
}

func TestRefusesFiles(t *testing.T) {
	dir := folder(t)
	if err := os.WriteFile(dir+"/key", []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []agent.Config{
		{Targets: []agent.Target{target(t, &weather{}, dir+"/none/t")}},
		{Targets: []agent.Target{target(t, &weather{}, dir+"/key")}},
		{Targets: []agent.Target{target(t, &weather{}, dir+"/t")}, Ready: safefile.SecretFile{Path: dir + "/key"}},
	} {
		_, err := agent.New(c)
		var file *agent.FileError
		if !errors.As(err, &file) {
			t.Errorf("%v", err)
		}
	}
}

func TestHealth(t *testing.T) {
	a, err := agent.New(agent.Config{Targets: []agent.Target{target(t, &weather{}, folder(t)+"/t")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, host, path, origin string
		code                       int
	}{
		{"GET", "127.0.0.1:1", "/healthz", "", 503},
		{"HEAD", "localhost", "/healthz", "", 503},
		{"GET", "[::1]:1", "/healthz", "", 503},
		{"GET", "evil.example", "/healthz", "", 403},
		{"GET", "127.0.0.1.evil.example:1", "/healthz", "", 403},
		{"GET", "127.0.0.1", "/healthz", "https://evil.example", 403},
		{"POST", "127.0.0.1", "/healthz", "", 405},
		{"GET", "127.0.0.1", "/", "", 404},
	} {
		r := httptest.NewRequest(tt.method, "http://"+tt.host+tt.path, http.NoBody)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != tt.code {
			t.Errorf("%+v: %d", tt, w.Code)
		}
	}
}
