package authproxy_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// Whoever has no bearer, or may not ask what he asks, can hold no connection with a
// body that never comes.
func TestSlowBodyOfRefused(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), ReadOnly: true})
	for name, header := range map[string]string{
		"no bearer":      "Host: 127.0.0.1\n",
		"foreign host":   "Host: evil.example\nAuthorization: Bearer " + bearer + "\n",
		"read-only":      "Host: 127.0.0.1\nAuthorization: Bearer " + bearer + "\n",
		"asks before":    "Host: 127.0.0.1\nExpect: 100-continue\n",
		"another bearer": "Host: 127.0.0.1\nAuthorization: Bearer other\n",
	} {
		for _, length := range []string{"Content-Length: 200000\n\nx", "Transfer-Encoding: chunked\n\n1\nx\n"} {
			t.Run(name+" "+length[:8], func(t *testing.T) {
				t.Parallel() // each takes a second
				c := f.dial(t)
				request := "POST /api HTTP/1.1\n" + header + length
				if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
					t.Fatal(err)
				}
				// To its end: the connection is given up, too.
				all, err := io.ReadAll(c)
				if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 40") || !strings.Contains(string(all), "\r\nConnection: close\r\n") {
					t.Errorf("%v %q", err, all)
				}
			})
		}
	}
	t.Cleanup(func() {
		if n := len(api.requests()); n > 0 {
			t.Errorf("%d came through", n)
		}
	})
}

// Nor can he fill the log.
func TestLogOfRefused(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), ReadOnly: true})
	long := "/" + strings.Repeat("a", 20000)
	for _, http2 := range []bool{false, true} {
		r := f.request(t, http.MethodGet, long, nil)
		r.Header.Del("Authorization")
		if code, _ := do(t, f.client(http2), r); code != 401 {
			t.Errorf("%d", code)
		}
	}
	if text := f.log.String(); strings.Contains(text, "level=WARN") || len(text) > 4000 || !strings.Contains(text, "request refused") {
		t.Errorf("%d bytes: %.1000s", len(text), text)
	}
	if do(t, f.client(true), f.request(t, http.MethodPost, "/api", nil)); !strings.Contains(f.log.String(), `level=WARN msg="request refused"`) {
		t.Error("what somebody with the bearer is refused is not told")
	}
}

// A proxy on the way that lets nothing through, and a server that hangs up before a
// request was sent: EKS is asked, and the request is sent to where it says.
func TestAskedWhereNothingWasSent(t *testing.T) {
	hangUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangUp.Close() })
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1)) // of its hello
			_ = c.Close()
		}
	}()
	connects := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = connects.Serve(l) }()
	t.Cleanup(func() { _ = connects.Close() })
	old := newStub(t, true, nil)
	for _, tt := range []struct {
		name   string
		target authproxy.Target
		proxy  bool
	}{
		{"hangs up in the handshake", authproxy.Target{Server: "https://" + hangUp.Addr().String(), CA: old.ca}, false},
		{"a proxy that refuses", old.target(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := newStub(t, true, nil)
			moved := func(context.Context) (authproxy.Target, error) { return other.target(), nil }
			f := serve(t, authproxy.Config{Target: tt.target, Resolve: moved, Proxy: func(r *http.Request) (*url.URL, error) {
				if !tt.proxy || "https://"+r.URL.Host != tt.target.Server {
					return nil, nil
				}
				return &url.URL{Scheme: "http", Host: l.Addr().String()}, nil
			}})
			if code, body := do(t, f.client(true), f.request(t, http.MethodPost, "/api", strings.NewReader("abc"))); code != 200 || len(other.requests()) != 1 {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}

// What was sent may have been done: it is not sent to another address.
func TestNotAskedWhereSomethingWasSent(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		api := newStub(t, http2, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		other := newStub(t, true, nil)
		var requestPath atomic.Int64
		f := serve(t, authproxy.Config{Target: api.target(), Resolve: func(context.Context) (authproxy.Target, error) {
			requestPath.Add(1)
			return other.target(), nil
		}})
		for _, body := range []string{"", "abc"} {
			if code, _ := do(t, f.client(true), f.request(t, http.MethodPost, "/api", strings.NewReader(body))); code != 502 {
				t.Errorf("code %d", code)
			}
		}
		if requestPath.Load() != 0 || len(other.requests()) != 0 || len(api.requests()) != 2 {
			t.Errorf("asked %d times, sent %d and %d times", requestPath.Load(), len(api.requests()), len(other.requests()))
		}
	}
}

// A 401 from behind a proxy subresource may be the answer of a program that has done
// something.
func TestRefusedBehindProxySubresource(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		sent         int
	}{
		{"POST", "/api/v1/namespaces/a/pods/b:80/proxy/orders", 1},
		{"PUT", "/api/v1/namespaces/a/services/https:b:x/proxy", 1},
		{"PATCH", "/api/v1/nodes/n/proxy/", 1},
		{"DELETE", "/api/v1/namespaces/a/services/b/proxy/x", 1},
		{"POST", "/api/v1//namespaces/a/pods/b/proxy/x", 1},
		{"POST", "/api/v1/proxy/namespaces/a/pods/b/x", 1},
		{"GET", "/api/v1/namespaces/a/services/b/proxy/x", 2},
		{"POST", "/api/v1/namespaces/proxy/pods", 2},
		{"DELETE", "/api/v1/namespaces/a/pods/proxy", 2},
	} {
		var want atomic.Int64
		want.Store(1)
		api := newStub(t, true, picky(&want))
		tokens := &fakeTokens{}
		f := serve(t, authproxy.Config{Target: api.target(), Tokens: tokens})
		code, _ := do(t, f.client(true), f.request(t, tt.method, tt.path, nil))
		if len(api.requests()) != tt.sent || (code == 200) != (tt.sent == 2) || tokens.refused != 1 {
			t.Errorf("%s %s: %d, sent %d times, renewed %d times", tt.method, tt.path, code, len(api.requests()), tokens.refused)
		}
	}
}

// A client without the bearer that takes no bytes of its answers, by a window of zero, has
// its streams ended: else each would be held, headers and all, for as long as it likes.
func TestRefusedClientThatDoesNotRead(t *testing.T) {
	f := serve(t, authproxy.Config{Target: newStub(t, true, nil).target()})
	c, err := tls.Dial("tcp", f.address, &tls.Config{RootCAs: f.pool, ServerName: "127.0.0.1", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	frame := func(kind, flags byte, stream uint32, payload string) string {
		head := []byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(head[5:], stream)
		return string(head) + payload
	}
	const settings, headers, reset, streams = 4, 1, 3, 5
	out := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, "\x00\x04\x00\x00\x00\x00") // INITIAL_WINDOW_SIZE
	for i := range uint32(streams) {
		// GET, https, /, and the authority as it is.
		out += frame(headers, 0x5, 2*i+1, "\x82\x87\x84\x41"+string(rune(len(f.address)))+f.address)
	}
	if _, err := io.WriteString(c, out); err != nil {
		t.Fatal(err)
	}
	for ended := 0; ended < streams; {
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			t.Fatalf("%d of %d streams were ended: %v", ended, streams, err)
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[1])<<8|int64(head[2])); err != nil {
			t.Fatal(err)
		}
		if head[3] == reset {
			ended++
		}
	}
}
