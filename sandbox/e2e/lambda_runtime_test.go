//go:build e2e && !windows

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

// lambdaFunction is examples/lambda, run by the Runtime API as Lambda runs it.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type lambdaFunction struct {
	cmd     *exec.Cmd
	started time.Time
	events  chan time.Time // deadlines
	results chan lambdaResult
	log     locked
	ended   chan struct{}
	secrets []string // that it must not show
}

type lambdaResult struct {
	path string // what was called, such as response
	body string
	at   time.Time
}

type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// buildLambda compiles examples/lambda as docs/lambda.md says.
func buildLambda(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Dir = filepath.Join(maker.Source, "..", "examples", "lambda")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// startLambda starts the function, in its own environment and no other's.
func startLambda(t *testing.T, program string, env []string, more ...string) *lambdaFunction {
	t.Helper()
	f := &lambdaFunction{
		events: make(chan time.Time), results: make(chan lambdaResult, 8), ended: make(chan struct{}),
	}
	api := httptest.NewServer(f)
	t.Cleanup(api.Close)
	f.cmd = exec.Command(program)
	for _, kv := range append(env, more...) {
		// Lambda's environment has nothing of the user's.
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") || name == "HOME" {
			f.cmd.Env = append(f.cmd.Env, kv)
			if strings.Contains(name, "SECRET") || strings.Contains(name, "SESSION_TOKEN") {
				f.secrets = append(f.secrets, value)
			}
		}
	}
	f.cmd.Env = append(f.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=pod-counter", "POD=example-xxxxx", "POD_NAMESPACE=default")
	f.cmd.Env = append(f.cmd.Env, more...)
	f.cmd.Stdout, f.cmd.Stderr = &f.log, &f.log
	f.started = time.Now()
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = f.cmd.Wait()
		close(f.ended)
	}()
	t.Cleanup(func() {
		api.CloseClientConnections()
		_ = f.cmd.Process.Kill() // Lambda ends functions no other way
		<-f.ended
		f.harmless(t, f.log.String())
	})
	return f
}

var (
	tokenText     = regexp.MustCompile(`k8s-aws-v1\.[A-Za-z0-9_-]`)
	signatureText = regexp.MustCompile(`(?i)x-amz-(signature|security-token)|signature=`)
)

// harmless fails where a text has a secret in it.
func (f *lambdaFunction) harmless(t *testing.T, text string) {
	t.Helper()
	if tokenText.MatchString(text) || signatureText.MatchString(text) {
		t.Errorf("a token or a signature in:\n%s", text)
	}
	for _, secret := range f.secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret in:\n%s", text)
		}
	}
}

// ServeHTTP is the Runtime API.
func (f *lambdaFunction) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/2018-06-01/runtime/")
	switch {
	case !ok:
		http.NotFound(w, r)
	case r.Method == http.MethodGet && path == "invocation/next":
		select {
		case deadline := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:pod-counter")
			w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
			_, _ = io.WriteString(w, "{}")
		case <-r.Context().Done():
		}
	case r.Method == http.MethodPost:
		at := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.WriteHeader(http.StatusAccepted)
		f.results <- lambdaResult{strings.TrimPrefix(path, "invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/"), string(body), at}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// invoke has the function answer one event.
func (f *lambdaFunction) invoke(t *testing.T) lambdaResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case f.events <- time.Now().Add(30 * time.Second):
	case r := <-f.results:
		t.Fatalf("instead of asking for an event it called %s\n%s", r.path, r.body)
	case <-f.ended:
		t.Fatalf("the function ended\n%s", f.log.String())
	case <-ctx.Done():
		t.Fatalf("the function does not ask for an event\n%s", f.log.String())
	}
	select {
	case r := <-f.results:
		f.harmless(t, r.body)
		return r
	case <-f.ended:
		t.Fatalf("the function ended\n%s", f.log.String())
	case <-ctx.Done():
		t.Fatalf("no answer\n%s", f.log.String())
	}
	return lambdaResult{}
}

// counts invokes the function, which must say how many pods there are.
func (f *lambdaFunction) counts(t *testing.T, pods int) lambdaResult {
	t.Helper()
	r := f.invoke(t)
	want := fmt.Sprintf(`{"pods":%d,"pod":{"name":"example-xxxxx","namespace":"default","found":false}}`, pods)
	if r.path != "response" || r.body != want {
		t.Fatalf("%s %s, want %s\n%s", r.path, r.body, want, f.log.String())
	}
	return r
}

// fails invokes the function, which must fail with an error of this type.
func (f *lambdaFunction) fails(t *testing.T, kind string, texts ...string) {
	t.Helper()
	r := f.invoke(t)
	var e struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.path != "error" || e.ErrorType != kind {
		t.Fatalf("%s %s, want %s\n%s", r.path, r.body, kind, f.log.String())
	}
	has(t, e.ErrorMessage, texts...)
	t.Log(e.ErrorType + ": " + e.ErrorMessage)
}

// peak is the most memory that the function has had, in MiB; 0 where the system
// does not say.
func (f *lambdaFunction) peak(t *testing.T) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(f.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in\n%s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(kib) / 1024
}

// freeze stops the function as Lambda does between invocations.
func (f *lambdaFunction) freeze(t *testing.T, d time.Duration) (thawed time.Time) {
	t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	thawed = time.Now()
	if err := f.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return thawed
}

// witness stands before the API server, and sees the tokens.
type witness struct {
	*tlstest.Server
	mu   sync.Mutex
	seen []sight
}

type sight struct {
	at     time.Time
	token  *token.Parsed
	status int
}

func newWitness(t *testing.T, b *box) *witness {
	t.Helper()
	inner, err := b.Client()
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(b.Record().APIServer)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{}
	proxy := &httputil.ReverseProxy{Transport: inner.Transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy.ModifyResponse = func(res *http.Response) error {
		tok, err := token.Parse(strings.TrimPrefix(res.Request.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, sight{at: res.Request.Context().Value(arrival{}).(time.Time), token: tok, status: res.StatusCode})
		return nil
	}
	w.Server = tlstest.Serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), arrival{}, time.Now())))
	}))
	t.Cleanup(inner.CloseIdleConnections)
	return w
}

type arrival struct{}

// take gives what was seen since the last time.
func (w *witness) take() []sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// logs waits for a text in the log, which comes through a pipe and may be behind
// the answer.
func (f *lambdaFunction) logs(t *testing.T, text string) {
	t.Helper()
	waitFor(t, text, func() bool { return strings.Contains(f.log.String(), text) })
}
