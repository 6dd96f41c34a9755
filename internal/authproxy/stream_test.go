package authproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// A watch: what the API server has said arrives before it says more.
func TestWatchArrivesAtOnce(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2 ", http2), func(t *testing.T) {
			next := make(chan string)
			api := newStub(t, http2, func(w http.ResponseWriter, r *http.Request) {
				for line := range next {
					_, _ = io.WriteString(w, line+"\n")
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			f := serve(t, authproxy.Config{Target: api.target(), Drain: 100 * time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			first := make(chan string, 1)
			go func() { first <- "event 0"; close(first) }()
			go func() { next <- <-first }()
			res, err := f.client(http2).Do(f.request(t, http.MethodGet, "/stream?watch=1", nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.ProtoMajor != map[bool]int{false: 1, true: 2}[http2] || api.last(t).ProtoMajor != res.ProtoMajor {
				t.Errorf("HTTP/%d in, HTTP/%d out", res.ProtoMajor, api.last(t).ProtoMajor)
			}
			lines := bufio.NewScanner(res.Body)
			for i := range 20 {
				if i > 0 {
					next <- fmt.Sprint("event ", i)
				}
				if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
					t.Fatalf("%q %v", lines.Text(), lines.Err())
				}
			}
			// The client goes, and the API server learns of it.
			cancel()
			close(next)
			waitFor(t, func() bool { return api.last(t).Context().Err() != nil })
		})
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}

// kubelet is a stand-in for what is behind exec and port-forward: it switches the
// protocol and sends back, in capitals, what comes. It is no kubelet.
func kubelet(protocol string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), protocol) {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		if protocol == "websocket" && r.Header.Get("Origin") == "" {
			// As an API server does with a watch (golang.org/x/net/websocket).
			http.Error(w, "no origin", http.StatusForbidden)
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Stream-Protocol-Version: %s\r\n\r\n",
			r.Header.Get("Upgrade"), r.Header.Get("X-Stream-Protocol-Version"))
		_ = buf.Flush()
		for {
			line, err := buf.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = buf.WriteString(strings.ToUpper(line))
			_ = buf.Flush()
		}
	}
}

const podPath = "/api/v1/namespaces/shop/pods/cart"

// exec and port-forward against the stand-in of a kubelet, in the two protocols
// that clients use: SPDY (before Kubernetes 1.30) and WebSocket.
func TestUpgrades(t *testing.T) {
	for _, http2 := range []bool{false, true} { // an API server that speaks HTTP/2 is upgraded in HTTP/1.1
		for _, tt := range []struct{ method, path, protocol, header string }{
			{"POST", podPath + "/exec?command=sh&stdin=true", "SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"},
			{"GET", podPath + "/exec?command=sh&stdin=true", "websocket", "Sec-WebSocket-Protocol: v5.channel.k8s.io"},
			{"POST", podPath + "/portforward?ports=80", "SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io"},
			{"GET", podPath + "/portforward?ports=80", "websocket", "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"},
		} {
			t.Run(fmt.Sprint(tt.protocol, tt.path, http2), func(t *testing.T) {
				api := newStub(t, http2, kubelet(tt.protocol))
				f := serve(t, authproxy.Config{Target: api.target()})
				c := f.dial(t)
				_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade, Authorization\r\nUpgrade: %s\r\n%s\r\nImpersonate-User: root\r\n\r\n",
					tt.method, tt.path, f.address, bearer, tt.protocol, tt.header)
				r := bufio.NewReader(c)
				res, err := http.ReadResponse(r, nil)
				if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != tt.protocol {
					t.Fatal(res, err)
				}
				got := api.last(t)
				if got.Header.Get("Authorization") != "Bearer "+tokenNumber(0).Value() || got.Header.Get("Impersonate-User") != "" || got.URL.RequestURI() != tt.path {
					t.Errorf("it asks for %s", got.URL.RequestURI())
				}
				name, value, _ := strings.Cut(tt.header, ": ")
				if got.Header.Get(name) != value {
					t.Errorf("%s: %q", name, got.Header.Get(name))
				}
				for i := range 50 {
					_, _ = fmt.Fprintf(c, "line %d\n", i)
					if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("LINE %d\n", i) {
						t.Fatalf("%q %v", line, err)
					}
				}
			})
		}
	}
}

// A subprotocol that holds a token goes, those beside it stay.
func TestSubprotocols(t *testing.T) {
	api := newStub(t, false, kubelet("websocket"))
	f := serve(t, authproxy.Config{Target: api.target()})
	res := f.raw(t, "GET "+podPath+"/exec HTTP/1.1\nHost: "+f.address+"\nAuthorization: Bearer "+bearer+
		"\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Protocol: v4.channel.k8s.io,base64url.bearer.authorization.k8s.io.azhz\nSec-WebSocket-Protocol: other\n\n")
	if res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	if got := api.last(t).Header.Values("Sec-WebSocket-Protocol"); fmt.Sprint(got) != "[v4.channel.k8s.io, other]" {
		t.Errorf("%q", got)
	}
}

// An end asked for: what is under way is done, what does not end is cut, and Serve
// returns nil.
func TestDrain(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2 ", http2), func(t *testing.T) {
			inside, finish := make(chan bool), make(chan bool)
			api := newStub(t, true, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api" {
					inside <- true
					<-finish
				}
				_, _ = io.WriteString(w, "whole")
			})
			f := serve(t, authproxy.Config{Target: api.target(), Drain: 20 * time.Second})
			answer := make(chan string, 1)
			go func() {
				_, body := do(t, f.client(http2), f.request(t, http.MethodGet, "/api", nil))
				answer <- body
			}()
			<-inside
			f.stop()
			// It takes nobody any more, once it has noticed.
			waitFor(t, func() bool {
				r := f.request(t, http.MethodGet, "/version", nil)
				res, err := f.client(http2).Do(r)
				if err == nil {
					_ = res.Body.Close()
				}
				return err != nil
			})
			close(finish)
			if body := <-answer; body != "whole" {
				t.Errorf("%q", body)
			}
			if err := <-f.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDrainIsBounded(t *testing.T) {
	api := newStub(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			kubelet("websocket")(w, r)
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f := serve(t, authproxy.Config{Target: api.target(), Drain: 50 * time.Millisecond})
	res, err := f.client(true).Do(f.request(t, http.MethodGet, "/stream?watch=1", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	up := f.raw(t, "GET "+podPath+"/exec HTTP/1.1\nHost: "+f.address+"\nAuthorization: Bearer "+bearer+"\nConnection: Upgrade\nUpgrade: websocket\n\n")
	if up.StatusCode != 101 {
		t.Fatal(up.Status)
	}
	f.stop()
	if err := <-f.ended; err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a watch that was cut looks as if it had ended well")
	}
	waitFor(t, func() bool { return api.last(t).Context().Err() != nil })
}

// An API server that goes while it answers: the client sees that the answer is not
// whole.
func TestCutAnswer(t *testing.T) {
	api := newStub(t, true, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	f := serve(t, authproxy.Config{Target: api.target()})
	for _, http2 := range []bool{false, true} {
		res, err := f.client(http2).Do(f.request(t, http.MethodGet, "/api", nil))
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("http2 %v: %v", http2, err)
		}
	}
}
