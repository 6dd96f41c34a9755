package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/authproxy"
)

const (
	// proxyClients ask at the same time, each again as soon as it is answered.
	proxyClients = 8
	// proxyRequests are those of one round of a throughput's side, and of a latency's.
	proxyRequests, proxySerial = 2000, 500
	proxyRounds                = 5
	// serviceTime is what the stub takes to answer, as an API server does for a small
	// list. In the rows without it, it costs next to nothing, and all there is to
	// measure is TLS and HTTP, once or twice, on cores that all have in common: half
	// is what to expect, so those rows have no target.
	serviceTime = 2 * time.Millisecond
)

// proxyRows measure requests through `ekskey proxy` against requests straight to a
// stub of an API server, over TLS with connections that are kept, all on loopback
// and on the same cores.
func (p *programs) proxyRows(ctx context.Context) (rows []row, err error) {
	for _, http2 := range []bool{false, true} {
		b, err := p.newProxyBench(ctx, http2)
		if err != nil {
			return nil, err
		}
		rows = append(rows, b.rows...)
	}
	return rows, nil
}

type proxyBench struct {
	direct, proxied         *http.Client
	directURL, proxiedURL   string
	authorization, protocol string
	rows                    []row
}

func (p *programs) newProxyBench(ctx context.Context, http2 bool) (b *proxyBench, err error) {
	cert, ca, err := authproxy.NewCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	stub, server, err := serveStub(ctx, cert, http2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stub.Close()) }()
	dir, err := os.MkdirTemp(p.dir, "proxy-")
	if err != nil {
		return nil, err
	}
	caFile, kubeconfig := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	proxy := exec.CommandContext(ctx, p.ekskey, "proxy", "--cluster", cluster, "--port", "0", "--kubeconfig-out", kubeconfig, // #nosec G204 -- paths of our own
		"--server", server, "--certificate-authority", caFile, "--drain-timeout", "1s")
	proxy.Env, proxy.Stderr = p.static(), os.Stderr
	proxy.Cancel = func() error { return proxy.Process.Signal(os.Interrupt) }
	out, err := proxy.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := proxy.Start(); err != nil {
		cancel()
		return nil, err
	}
	defer func() {
		cancel()
		_ = proxy.Wait() // it was told to end
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		return nil, fmt.Errorf("starting the proxy: %w", err)
	}
	text, err := os.ReadFile(kubeconfig) // #nosec G304 -- a path of our own
	if err != nil {
		return nil, err
	}
	field := func(name string) string {
		if m := regexp.MustCompile(name + `: (\S+)`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
		return ""
	}
	b = &proxyBench{
		directURL: server, proxiedURL: strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on ")),
		authorization: "Bearer " + field("token"), protocol: map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2],
	}
	if b.direct, err = benchClient(ca, http2); err != nil {
		return nil, err
	}
	proxyCA, err := base64.StdEncoding.DecodeString(field("certificate-authority-data"))
	if err != nil {
		return nil, err
	}
	if b.proxied, err = benchClient(proxyCA, http2); err != nil {
		return nil, err
	}
	defer b.direct.CloseIdleConnections()
	defer b.proxied.CloseIdleConnections()
	return b, b.measure()
}

// serveStub is a server that answers like an API server that lists a few pods.
func serveStub(ctx context.Context, cert tls.Certificate, http2 bool) (*http.Server, string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	answer := append([]byte(`{"kind":"PodList","apiVersion":"v1","items":["`), bytes.Repeat([]byte("x"), 4<<10)...)
	answer = append(answer, `"]}`...)
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	s := &http.Server{
		Protocols: protocols, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(serviceTime)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
		}),
	}
	go func() { _ = s.ServeTLS(l, "", "") }() // until it is closed
	return s, "https://" + l.Addr().String(), nil
}

func benchClient(ca []byte, http2 bool) (*http.Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the certificate authority is no PEM")
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: proxyClients, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}

func (b *proxyBench) measure() error {
	for _, c := range []struct{ path, name, target string }{
		{"/slow", "answers take " + serviceTime.String(), "<= 1.67"},
		{"/", "answers take no time", ""},
	} {
		proxied := func() (time.Duration, error) { return b.many(b.proxied, b.proxiedURL+c.path) }
		direct := func() (time.Duration, error) { return b.many(b.direct, b.directURL+c.path) }
		x, y, err := inTurns(proxyRounds, proxied, direct)
		if err != nil {
			return err
		}
		b.rows = append(b.rows, row{
			what: fmt.Sprintf("a request of %d at once, %s, through the proxy : direct; %s", proxyClients, b.protocol, c.name), ours: x, theirs: y, target: c.target,
			note: fmt.Sprintf("proxy, %s, %s: %.2f of direct requests a second (%.0f : %.0f)", b.protocol, c.name, float64(y)/float64(x), 1/x.Seconds(), 1/y.Seconds()),
		})
	}
	x, y, err := inTurns(proxyRounds, func() (time.Duration, error) { return b.one(b.proxied, b.proxiedURL) }, func() (time.Duration, error) { return b.one(b.direct, b.directURL) })
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row{
		what: fmt.Sprintf("one request after the other, %s, p50, through the proxy : direct", b.protocol), ours: x, theirs: y, target: "+ 1ms",
		note: fmt.Sprintf("proxy, %s: %s added at p50 (target 1ms)", b.protocol, short(x-y)),
	})
	return nil
}

// many is the time of one request when so many ask at once: the round's by their
// number.
func (b *proxyBench) many(client *http.Client, url string) (time.Duration, error) {
	var wg sync.WaitGroup
	failed := make(chan error, proxyClients)
	began := time.Now()
	for range proxyClients {
		wg.Go(func() {
			for range proxyRequests / proxyClients {
				if err := b.ask(client, url); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return 0, err
	default:
		return took / (proxyRequests / proxyClients * proxyClients), nil
	}
}

// one is the median of requests that nobody else competes with.
func (b *proxyBench) one(client *http.Client, url string) (time.Duration, error) {
	all := make([]time.Duration, proxySerial)
	for i := range all {
		began := time.Now()
		if err := b.ask(client, url); err != nil {
			return 0, err
		}
		all[i] = time.Since(began)
	}
	slices.Sort(all)
	return median(all), nil
}

func (b *proxyBench) ask(client *http.Client, url string) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", b.authorization)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if want := map[string]int{"HTTP/1.1": 1, "HTTP/2": 2}[b.protocol]; res.StatusCode != http.StatusOK || res.ProtoMajor != want {
		return fmt.Errorf("%s answered %s %s", url, res.Proto, res.Status)
	}
	return nil
}
