package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ekskey/ekskey/token"
)

// server is one of the two, running.
type server struct {
	name    string
	cmd     *exec.Cmd
	address string
	tls     *tls.Config
}

// start starts a server with the same mapping in both, and waits until it answers.
func (s *server) start(ctx context.Context, dir, program string, sts *standIn, ours bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(s.address)
	text := "clusterID: bench\nserver:\n  port: " + port + "\n  stateDir: " + dir + "\n  generateKubeconfig: " + dir + "/kubeconfig\n" +
		"  mapRoles:\n  - roleARN: arn:aws:iam::111122223333:role/platform\n    username: platform:{{SessionName}}\n    groups: [platform-admins, viewers]\n"
	args := []string{dir, port, sts.listener.Addr().String()}
	if ours {
		args = []string{"serve", "--config", filepath.Join(dir, "config.yaml")}
		text += "  sts:\n    caFile: " + sts.caFile + "\n    dialAddress: " + sts.listener.Addr().String() + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	s.cmd = exec.CommandContext(ctx, program, args...) // #nosec G204 -- the servers to measure
	s.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=us-east-1",
		"SSL_CERT_FILE=" + sts.caFile, "GOMAXPROCS=" + os.Getenv("GOMAXPROCS"),
	}
	log, err := os.Create(filepath.Join(dir, "log")) // #nosec G304 -- ours
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for range 200 {
		if pem, err := os.ReadFile(filepath.Join(dir, "cert.pem")); err == nil && pool.AppendCertsFromPEM(pem) { // #nosec G304 -- ours
			s.tls = &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
			if c, err := tls.Dial("tcp", s.address, s.tls); err == nil {
				return c.Close()
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	text2, _ := os.ReadFile(log.Name())
	return fmt.Errorf("%s does not answer: %s", s.name, text2)
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	done.Stop()
}

// cpu is the CPU time that the process has used, in seconds: utime and stime of
// /proc/PID/stat, in ticks of 10 ms.
func (s *server) cpu() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(err1, err2)
}

// peak is the peak of resident memory, in MB.
func (s *server) peak() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024, err
}

// mint makes tokens that no server has seen: each is signed with another key. With a
// session token of 800 bytes they are as long as those of an assumed role.
type mint struct {
	session string
	next    atomic.Int64
}

func newMint() *mint { return &mint{session: strings.Repeat("IQoJb3JpZ2luX2VjEBx/", 40)} }

func (m *mint) request() ([]byte, error) {
	key := fmt.Sprintf("ASIA%012d", m.next.Add(1))
	source, err := token.New(token.Config{Cluster: "bench", Region: "us-east-1", Credentials: token.StaticKeys(key, "secret", m.session)})
	if err != nil {
		return nil, err
	}
	t, err := source.Token(context.Background())
	if err != nil {
		return nil, err
	}
	body := `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","metadata":{"creationTimestamp":null},"spec":{"token":"` +
		t.Value() + `"},"status":{"user":{}}}`
	return fmt.Appendf(nil, "POST /authenticate HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver\r\nAccept: application/json\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body), nil
}

// result is what one measurement found: CPU seconds of the server a review, reviews a
// second, latencies, and STS calls a review.
type result struct {
	cpu, rate, calls float64
	p50, p99         time.Duration
}

// measure loads one server for a while. The requests are made before it begins.
func measure(ctx context.Context, s *server, sts *standIn, tokens *mint, o options, again bool) (result, error) {
	n := 1
	if !again {
		n = int(o.window.Seconds() * 12000)
	}
	requests := make([][]byte, n)
	for i := range requests {
		var err error
		if requests[i], err = tokens.request(); err != nil {
			return result{}, err
		}
	}
	conns := make([]*tls.Conn, o.connections)
	for i := range conns {
		c, err := tls.Dial("tcp", s.address, s.tls)
		if err != nil {
			return result{}, err
		}
		defer func() { _ = c.Close() }()
		conns[i] = c
	}
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	cpu, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	calls, begin := sts.calls.Load(), time.Now()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			var took []time.Duration
			in := bufio.NewReaderSize(c, 8<<10)
			var err error
			for err == nil && ctx.Err() == nil && time.Since(begin) < o.window {
				i := int(next.Add(1) - 1)
				if !again && i >= n {
					err = errors.New("more reviews than tokens were minted for: shorten -window")
					break
				}
				start := time.Now()
				err = exchange(c, in, requests[i%n])
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	after, err := s.cpu()
	if err := errors.Join(failed, err, ctx.Err()); err != nil {
		return result{}, err
	}
	slices.Sort(all)
	reviews := float64(len(all))
	return result{
		cpu: (after - cpu) / reviews, rate: reviews / elapsed.Seconds(), calls: float64(sts.calls.Load()-calls) / reviews,
		p50: all[len(all)/2], p99: all[len(all)*99/100],
	}, nil
}

// exchange posts one review, and fails unless it is granted.
func exchange(c io.Writer, in *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"authenticated":true`)) {
		return fmt.Errorf("HTTP status %d: %s", resp.StatusCode, body)
	}
	return nil
}
