package authconfigmap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/authconfigmap"
)

// api is a Kubernetes API with one ConfigMap, or none.
type api struct {
	mu      sync.Mutex
	data    map[string]string // nil if there is none
	version int
	away    bool
	watches []chan string
	lists   int
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.away {
		a.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path != "/api/v1/namespaces/kube-system/configmaps" || r.URL.Query().Get("fieldSelector") != "metadata.name=aws-auth" {
		a.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "" {
		items := []any{}
		if a.data != nil {
			items = append(items, a.object())
		}
		a.lists++
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ConfigMapList", "apiVersion": "v1", "metadata": map[string]string{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
		a.mu.Unlock()
		return
	}
	events := make(chan string, 10)
	a.watches = append(a.watches, events)
	a.mu.Unlock()
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-events:
			if !ok {
				panic(http.ErrAbortHandler) // the connection breaks
			}
			_, _ = fmt.Fprintln(w, e)
			w.(http.Flusher).Flush()
		}
	}
}

func (a *api) object() map[string]any {
	return map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "data": a.data,
		"metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system", "resourceVersion": fmt.Sprint(a.version)}}
}

// change sets the ConfigMap, and tells who watches, or breaks their connections.
func (a *api) change(kind string, data map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object := any(a.object())
	a.data = data
	if data != nil {
		object = a.object()
	}
	if kind == "ERROR" {
		object = map[string]any{"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old"}
	}
	event, _ := json.Marshal(map[string]any{"type": kind, "object": object})
	for _, w := range a.watches {
		if kind == "BREAK" {
			close(w)
			continue
		}
		w <- string(event)
	}
	if kind == "BREAK" {
		a.watches = nil
	}
}

// target notes what it is told.
type target struct {
	mu   sync.Mutex
	says string
}

func (t *target) set(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.says = s
}

func (t *target) Use(data map[string]string) error {
	t.set(fmt.Sprintf("use %v", data))
	return nil
}
func (t *target) Delete() error  { t.set("delete"); return nil }
func (t *target) Fail(err error) { t.set("fail: " + err.Error()) }

func (t *target) wait(tt *testing.T, want string) {
	tt.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		t.mu.Lock()
		says := t.says
		t.mu.Unlock()
		if strings.HasPrefix(says, want) {
			return
		}
		if time.Now().After(end) {
			tt.Fatalf("it says %q, want %q", says, want)
		}
	}
}

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: \"" + server + "\"}}]\nusers: [{name: a, user: {token: t}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFollows(t *testing.T) {
	a := &api{data: map[string]string{"mapRoles": "1"}, version: 1}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	to := &target{}
	f, err := authconfigmap.New(kubeconfig(t, srv.URL), "", to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; srv.CloseClientConnections() })

	to.wait(t, "use map[mapRoles:1]")
	watched := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			a.mu.Lock()
			n := len(a.watches)
			a.mu.Unlock()
			if n > 0 {
				return
			}
			if time.Now().After(end) {
				t.Fatal("nobody watches")
			}
		}
	}
	watched()
	a.change("MODIFIED", map[string]string{"mapRoles": "2"})
	to.wait(t, "use map[mapRoles:2]")
	a.change("DELETED", nil)
	to.wait(t, "delete")
	a.change("ADDED", map[string]string{})
	to.wait(t, "use map[]")
	// What a broken watch misses is listed: here, a deletion.
	a.change("BREAK", nil)
	to.wait(t, "delete")
	watched()
	a.change("ERROR", map[string]string{"mapRoles": "3"}) // 410: the version is too old
	to.wait(t, "use map[mapRoles:3]")
	watched()
	// The API server is away, and comes back without a word having changed.
	a.mu.Lock()
	a.away = true
	a.mu.Unlock()
	a.change("BREAK", map[string]string{"mapRoles": "3"})
	to.wait(t, "fail: listing the ConfigMap kube-system/aws-auth: ")
	a.mu.Lock()
	a.away = false
	a.mu.Unlock()
	to.wait(t, "use map[mapRoles:3]")
}

func TestOnce(t *testing.T) {
	a := &api{version: 1}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	to := &target{}
	f, err := authconfigmap.New(kubeconfig(t, "https://127.0.0.1:1"), srv.URL, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Once(t.Context()); err != nil || to.says != "delete" {
		t.Errorf("%v %s", err, to.says)
	}
	a.away = true
	if err := f.Once(t.Context()); err == nil || !strings.HasPrefix(to.says, "fail: ") {
		t.Errorf("%v %s", err, to.says)
	}
	if _, err := authconfigmap.New(filepath.Join(t.TempDir(), "none"), "", to); err == nil {
		t.Error("a kubeconfig that does not exist is taken")
	}
	if _, err := authconfigmap.New("", "", to); err == nil {
		t.Error("there is a service account")
	}
}
