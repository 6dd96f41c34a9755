package listener_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/listener"
	"github.com/ekskey/ekskey/internal/tlstest"
)

// Many that are idle do not keep another one out, and the limit holds.
func TestLimit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener.Limit(l, 8)) }()
	defer func() { _ = server.Close(); <-ended }()
	var idle []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		idle = append(idle, c)
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	open := 0
	for _, c := range idle {
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	if open == 0 || open > 8 {
		t.Errorf("%d of 20 idle connections are open, want at most 8", open)
	}
}

// Strangers that fail their handshake are counted, and write one line a second.
func TestFailedHandshakes(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	registry := prometheus.NewRegistry()
	pair, _ := tlstest.Certificate(t, "localhost")
	l := listener.NewTLS(raw, func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}, slog.New(slog.NewTextHandler(&log, nil)), registry)
	defer func() { _ = l.Close() }()
	const strangers = 40
	begin := time.Now()
	for range strangers {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	errorsCounted := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "ekskey_tls_handshake_errors_total" {
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return -1
	}
	for deadline := time.Now().Add(10 * time.Second); errorsCounted() != strangers; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v counted", errorsCounted())
		}
	}
	if n, most := strings.Count(log.String(), "the TLS handshake failed"), 1+int(time.Since(begin)/time.Second); n < 1 || n > most {
		t.Errorf("%d lines in the log, want at most %d", n, most)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
