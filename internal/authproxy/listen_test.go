//go:build unix

package authproxy_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
	"github.com/ekskey/ekskey/internal/safefile"
)

func TestListenAddresses(t *testing.T) {
	for _, address := range []string{"", "0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "localhost", "127.0.0.2", "127.1", "::ffff:127.0.0.1", "::1%lo", "example.com", "127.0.0.1:80"} {
		_, err := authproxy.Listen(t.Context(), address, 0)
		var bad *authproxy.AddressError
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", address, err)
		}
	}
	l, err := authproxy.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = authproxy.Listen(t.Context(), "127.0.0.1", l.Addr().(*net.TCPAddr).Port)
	var taken *authproxy.ListenError
	if !errors.As(err, &taken) || !taken.Taken || !strings.Contains(err.Error(), "another program listens there") {
		t.Error(err)
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // a socket's path may have 104 bytes only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocket(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := shortDir(t)
	path := filepath.Join(dir, "p")
	l, err := authproxy.ListenSocket(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	_, err = authproxy.ListenSocket(t.Context(), path)
	var taken *authproxy.ListenError
	if !errors.As(err, &taken) || !taken.Taken {
		t.Errorf("a second one: %v", err)
	}
	api := newStub(t, true, nil)
	p, err := authproxy.New(authproxy.Config{Target: api.target(), Tokens: &fakeTokens{}, AnyHost: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l, nil) }()
	for _, h2c := range []bool{false, true} {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(!h2c)
		protocols.SetUnencryptedHTTP2(h2c)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://anything/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer of the client")
		if code, _ := do(t, client, r); code != 200 || api.last(t).Header.Get("Authorization") != "Bearer "+tokenNumber(0).Value() {
			t.Errorf("h2c %v: %d", h2c, code)
		}
		r.Header.Set("Origin", "https://evil.example")
		if code, _ := do(t, client, r); code != 403 {
			t.Errorf("a page: %d", code)
		}
		client.CloseIdleConnections()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestSocketPlaces(t *testing.T) {
	dir := shortDir(t)
	// One that a killed process left is replaced.
	stale, err := net.Listen("unix", filepath.Join(dir, "stale"))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err := authproxy.ListenSocket(t.Context(), filepath.Join(dir, "stale"))
	if err != nil {
		t.Fatal(err)
	}
	// The next one's file is not removed by the one before.
	if err := os.Rename(filepath.Join(dir, "stale"), filepath.Join(dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stale"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if data, err := os.ReadFile(filepath.Join(dir, "stale")); err != nil || string(data) != "x" {
		t.Error("it removed what was not its own")
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stale", "link", "none/s", strings.Repeat("long", 40)} {
		_, err := authproxy.ListenSocket(t.Context(), filepath.Join(dir, name))
		var failed *authproxy.ListenError
		if !errors.As(err, &failed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Folders in which somebody else could put a socket of his own in its place.
func TestSocketFolders(t *testing.T) {
	dir := shortDir(t)
	for name, mode := range map[string]os.FileMode{"group": 0o770, "all": 0o777} {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(sub, mode); err != nil {
			t.Fatal(err)
		}
	}
	theirs := "/usr" // root's
	if os.Geteuid() == 0 {
		theirs = filepath.Join(dir, "theirs")
		if err := os.Mkdir(theirs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(theirs, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{filepath.Join(dir, "group"), filepath.Join(dir, "all"), theirs} {
		l, err := authproxy.ListenSocket(t.Context(), filepath.Join(folder, "s"))
		var failed *authproxy.ListenError
		var unfit *safefile.DirError
		if !errors.As(err, &failed) || !errors.As(err, &unfit) {
			t.Errorf("%s: %v", folder, err)
		}
		if l != nil {
			_ = l.Close()
		}
	}
}
