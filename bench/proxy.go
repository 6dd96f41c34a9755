package main

import (
	"bufio"
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
	"strings"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/authproxy"
)

const (
	// proxyClients ask at the same time, each again as soon as it is answered.
	proxyClients = 8
	// proxyRequests are those of one round of a throughput's side. For the latency,
	// proxySerial of both sides take turns one by one.
	proxyRequests, proxySerial = 2000, 2000
	proxyRounds                = 5
	// Of an API server, which takes longer, it is fewer.
	sandboxRequests, sandboxSerial = 800, 1000
	// serviceTime is what the stub takes to answer, as an API server does for a small
	// list. In the rows without it, it costs next to nothing, and all there is to
	// measure is TLS and HTTP, once or twice, on cores that all have in common: half
	// is what to expect, so those rows have no target.
	serviceTime = 2 * time.Millisecond
)

// proxyRows measure requests through `ekskey proxy` against requests straight to the
// server behind it, over TLS with connections that are kept, all on loopback and on
// the same cores: a stub, and the API server of a sandbox if there is one.
func (p *programs) proxyRows(ctx context.Context, sandbox string, progress io.Writer) (rows []row, notes []string, err error) {
	for _, http2 := range []bool{false, true} {
		of, err := p.stubRows(ctx, http2)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, of...)
	}
	of, err := p.sandboxRows(ctx, sandbox, progress)
	var missing *missingError
	if errors.As(err, &missing) {
		return rows, []string{missing.Error()}, nil
	}
	return append(rows, of...), nil, err
}

// behind is the server that the proxy is in front of, and what to ask it for.
type behind struct {
	url string
	ca  []byte
	// bearer is what it wants of those that ask it directly; a stub wants none.
	bearer string
	// env and args are the proxy's, in addition to those that every one needs.
	env, args []string

	loads            []load
	requests, serial int
	// alone is the path of which the latency is measured.
	alone string
}

// load is what many ask for at the same time.
type load struct{ path, name, target string }

type proxyBench struct {
	behind
	direct, proxied way
	http2           bool
}

// way is how to ask one of both sides.
type way struct {
	client             *http.Client
	url, authorization string
}

func (p *programs) stubRows(ctx context.Context, http2 bool) (rows []row, err error) {
	cert, ca, err := authproxy.NewCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	stub, server, err := serveStub(ctx, cert, http2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stub.Close()) }()
	dir, err := os.MkdirTemp(p.dir, "stub-")
	if err != nil {
		return nil, err
	}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		return nil, err
	}
	return p.throughProxy(ctx, http2, behind{
		url: server, ca: ca, bearer: "any", env: p.static(),
		args: []string{"--cluster", cluster, "--server", server, "--certificate-authority", caFile},
		loads: []load{
			{"/slow", "answers take " + serviceTime.String(), "<= 1.67"},
			{"/", "answers take no time", ""},
		},
		requests: proxyRequests, serial: proxySerial, alone: "/",
	})
}

// throughProxy runs a proxy for as long as it takes to measure it.
func (p *programs) throughProxy(ctx context.Context, http2 bool, server behind) (rows []row, err error) {
	dir, err := os.MkdirTemp(p.dir, "proxy-")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	proxy := exec.CommandContext(ctx, p.ekskey, append([]string{"proxy", "--port", "0", "--kubeconfig-out", kubeconfig, "--drain-timeout", "1s"}, server.args...)...) // #nosec G204 -- paths of our own
	proxy.Env, proxy.Stderr = server.env, os.Stderr
	proxy.Cancel = func() error { return proxy.Process.Signal(os.Interrupt) }
	out, err := proxy.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := proxy.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		_ = proxy.Wait() // it was told to end
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("starting the proxy: %w", err)
	}
	_, proxyCA, bearer, err := readKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	b := &proxyBench{behind: server, http2: http2}
	b.direct = way{url: server.url, authorization: "Bearer " + server.bearer}
	b.proxied = way{url: strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), authorization: "Bearer " + bearer}
	if b.direct.client, err = benchClient(server.ca, http2); err != nil {
		return nil, err
	}
	if b.proxied.client, err = benchClient(proxyCA, http2); err != nil {
		return nil, err
	}
	defer b.direct.client.CloseIdleConnections()
	defer b.proxied.client.CloseIdleConnections()
	return b.measure()
}

// readKubeconfig takes out of a kubeconfig of one cluster, as ekskey writes it, its
// server, its authority and the user's token, if it has one.
func readKubeconfig(file string) (server string, ca []byte, token string, err error) {
	text, err := os.ReadFile(file) // #nosec G304 -- a path of our own
	if err != nil {
		return "", nil, "", err
	}
	field := func(name string) string {
		if m := regexp.MustCompile(`(?m)^[ -]+` + name + `: (\S+)$`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
		return ""
	}
	ca, err = base64.StdEncoding.DecodeString(field("certificate-authority-data"))
	return field("server"), ca, field("token"), err
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
		return nil, errors.New("the certificate authority is not PEM")
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: proxyClients, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}

func (b *proxyBench) measure() (rows []row, err error) {
	protocol := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[b.http2]
	side := func(run func(way, string) (time.Duration, error), w way, path string) func() (time.Duration, error) {
		return func() (time.Duration, error) { return run(w, path) }
	}
	for _, l := range b.loads {
		x, y, err := inTurns(proxyRounds, side(b.many, b.proxied, l.path), side(b.many, b.direct, l.path))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{
			what: fmt.Sprintf("a request of %d at once, %s, through the proxy : direct; %s", proxyClients, protocol, l.name), ours: x, theirs: y, target: l.target,
			note: fmt.Sprintf("proxy, %s, %s: %.2f of direct requests a second (%.0f : %.0f)", protocol, l.name, float64(y)/float64(x), 1/x.Seconds(), 1/y.Seconds()),
		})
	}
	x, y, err := inTurns(b.serial, side(b.one, b.proxied, b.alone), side(b.one, b.direct, b.alone))
	if err != nil {
		return nil, err
	}
	return append(rows, row{
		what: fmt.Sprintf("one request after the other, %s, p50, through the proxy : direct; %s", protocol, b.alone), ours: x, theirs: y, target: "+ 1ms",
		note: fmt.Sprintf("proxy, %s, %s: %s added at p50 (target 1ms)", protocol, b.alone, short(x-y)),
	}), nil
}

// many is the time of one request when so many ask at once: the round's by their
// number.
func (b *proxyBench) many(w way, path string) (time.Duration, error) {
	var wg sync.WaitGroup
	failed := make(chan error, proxyClients)
	began := time.Now()
	for range proxyClients {
		wg.Go(func() {
			for range b.requests / proxyClients {
				if err := b.ask(w, path); err != nil {
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
		return took / time.Duration(b.requests/proxyClients*proxyClients), nil
	}
}

// one is the time of a request that no other competes with.
func (b *proxyBench) one(w way, path string) (time.Duration, error) {
	began := time.Now()
	err := b.ask(w, path)
	return time.Since(began), err
}

func (b *proxyBench) ask(w way, path string) error {
	req, err := http.NewRequest(http.MethodGet, w.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", w.authorization)
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if want := map[bool]int{false: 1, true: 2}[b.http2]; res.StatusCode != http.StatusOK || res.ProtoMajor != want {
		return fmt.Errorf("%s answered %s %s", w.url+path, res.Proto, res.Status)
	}
	return nil
}
