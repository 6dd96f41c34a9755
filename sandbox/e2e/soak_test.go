//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"

	"github.com/ekskey/ekskey/sandbox/internal/controlplane"
	"github.com/ekskey/ekskey/sandbox/internal/pki"
	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

var soakReviews = flag.Int("reviews", 20_000, "the `number` of TokenReviews of TestSoakReviews")

const (
	soakUsers = 64
	// hungRegion's host is the one that hangs.
	hungRegion = "eu-west-1"
)

// soakSTS is the embedded AWS behind faults that come by chance.
type soakSTS struct {
	aws     *fakeaws.Server
	address string
	ca      string // file

	throttle, fail, cut atomic.Int64 // per cent of requests
	hang                atomic.Bool  // of hungRegion's host
}

func newSoakSTS(t *testing.T) *soakSTS {
	t.Helper()
	ca, err := pki.NewAuthority("soak, not Amazon", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range identity.STSEndpoints() {
		names = append(names, e.Host)
	}
	pair, err := ca.Server("soak", names, false)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := &soakSTS{aws: fakeaws.New(fakeaws.Config{}), ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := state.WriteFile(s.ca, ca.PEM()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	server := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close() })
	return s
}

func (s *soakSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.hang.Load() && strings.HasPrefix(r.Host, "sts."+hungRegion+".") {
		select {
		case <-time.After(5 * time.Second):
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	switch dice := rand.Int64N(100); {
	case dice < s.throttle.Load():
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>0</RequestId></ErrorResponse>`)
	case dice < s.throttle.Load()+s.fail.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case dice < s.throttle.Load()+s.fail.Load()+s.cut.Load():
		panic(http.ErrAbortHandler)
	default:
		s.aws.ServeHTTP(w, r)
	}
}

// soak is ekskey-servers under load, and what came of it.
type soak struct {
	sts     *soakSTS
	dir     string
	program string
	awsAuth string
	keys    []fakeaws.Key // of user I, whom aws-auth maps to the name soak-I
	nobody  fakeaws.Key   // of a user whom nothing maps

	reviews, granted, refused, passed, lost, hostile atomic.Int64
}

// instance is one ekskey-server.
type instance struct {
	*process.Child
	url    string
	port   int
	spec   process.Spec
	client *http.Client
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{sts: newSoakSTS(t), dir: t.TempDir()}
	s.awsAuth = filepath.Join(s.dir, "aws-auth.yaml")
	if err := s.sts.aws.AddAccount(seed.Account, "aws"); err != nil {
		t.Fatal(err)
	}
	for i := range soakUsers + 1 {
		key, err := s.sts.aws.AddUser(fakeaws.User{Account: seed.Account, Name: fmt.Sprint("soak-", i)})
		if err != nil {
			t.Fatal(err)
		}
		s.keys = append(s.keys, key)
	}
	s.nobody, s.keys = s.keys[soakUsers], s.keys[:soakUsers]
	s.write(t, s.mapping())
	var err error
	if _, s.program, err = maker.Own(t.Context(), s.dir); err != nil {
		t.Fatal(err)
	}
	return s
}

// mapping is the whole aws-auth.
func (s *soak) mapping() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\ndata:\n  mapUsers: |\n")
	for i := range soakUsers {
		fmt.Fprintf(&b, "    - userarn: arn:aws:iam::%s:user/soak-%d\n      username: soak-%d\n      groups: [viewers]\n", seed.Account, i, i)
	}
	return b.String()
}

func (s *soak) write(t *testing.T, text string) {
	t.Helper()
	if err := state.WriteFile(s.awsAuth, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// start starts an ekskey-server and waits until it is ready.
func (s *soak) start(t *testing.T) *instance {
	t.Helper()
	ports, err := controlplane.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, strconv.Itoa(ports[0]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{"clusterID": seed.Cluster, "server": map[string]any{
		"port": ports[0], "healthAddress": "none", "stateDir": dir, "awsAuthFile": s.awsAuth,
		"sts": map[string]any{"dialAddress": s.sts.address, "caFile": s.sts.ca},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(dir, "config.yaml"), config); err != nil {
		t.Fatal(err)
	}
	i := &instance{port: ports[0], url: "https://127.0.0.1:" + strconv.Itoa(ports[0])}
	i.spec = process.Spec{
		Name: "ekskey-server", Path: s.program, Args: []string{"serve", "--config", filepath.Join(dir, "config.yaml")},
		Log: filepath.Join(dir, "log"), PIDFile: filepath.Join(dir, "pid"), Grace: 20 * time.Second,
	}
	i.run(t)
	t.Cleanup(func() { i.Stop() })
	waitFor(t, "the certificate", func() bool {
		pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
		roots := x509.NewCertPool()
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			return false
		}
		i.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
		}}
		return true
	})
	t.Cleanup(i.client.CloseIdleConnections)
	i.waitReady(t)
	return i
}

func (i *instance) run(t *testing.T) {
	t.Helper()
	var err error
	if i.Child, err = process.Start(maker.Self, i.spec); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) ready() bool {
	resp, err := i.client.Get(i.url + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (i *instance) waitReady(t *testing.T) {
	t.Helper()
	waitFor(t, "ekskey-server to be ready", i.ready)
}

// gauge is one of the server's metrics without labels.
func (i *instance) gauge(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := i.client.Get(i.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func (i *instance) level(t *testing.T) (goroutines, megabytes float64) {
	t.Helper()
	return i.gauge(t, "go_goroutines"), i.gauge(t, "process_resident_memory_bytes") / 1e6
}

// askServer asks about one token. No answer and any status but 200 is an error.
func askServer(ctx context.Context, client *http.Client, url, tok string) (authenticationv1.TokenReviewStatus, error) {
	body, _ := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]string{"token": tok},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/authenticate", bytes.NewReader(body))
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return authenticationv1.TokenReviewStatus{}, &statusError{resp.StatusCode}
	}
	var r authenticationv1.TokenReview
	err = json.Unmarshal(text, &r)
	return r.Status, err
}

type statusError struct{ code int }

func (e *statusError) Error() string { return "HTTP status " + strconv.Itoa(e.code) }

// one asks about a good token of a user at random, again times, or about a hostile one, and
// holds each answer to who signed. Nobody may be taken for another, and no good token may get
// an answer that kube-apiserver caches as a denial: authenticated false without an error.
func (s *soak) one(t *testing.T, client *http.Client, url, region string, hostile bool, again int) {
	n := rand.IntN(soakUsers)
	key, other := s.keys[n], s.keys[(n+1)%soakUsers]
	want := fmt.Sprint("soak-", n)
	in := func(c *token.Config) {
		c.Region = region
		age := rand.N(10 * time.Minute)
		c.Now = func() time.Time { return time.Now().Add(-age) }
	}
	tok := mint(t, key.AccessKeyID, key.SecretAccessKey, "", in)
	if hostile {
		want, again = "", 1
		switch rand.IntN(8) {
		case 0:
			tok = tamper(t, tok)
		case 1:
			tok = mint(t, key.AccessKeyID, key.SecretAccessKey, "", func(c *token.Config) { in(c); c.Cluster = "staging" })
		case 2:
			tok = mint(t, s.nobody.AccessKeyID, s.nobody.SecretAccessKey, "", in)
		case 3:
			tok = mint(t, key.AccessKeyID, other.SecretAccessKey, "", in)
		case 4:
			tok = mint(t, key.AccessKeyID, key.SecretAccessKey, "", at(-16*time.Minute))
		case 5:
			tok = rewrite(t, tok, func(url string) string {
				return strings.Replace(url, ".amazonaws.com/", ".amazonaws.com.evil.example/", 1)
			})
		case 6:
			tok = rewrite(t, tok, func(url string) string { return strings.Replace(url, key.AccessKeyID, other.AccessKeyID, 1) })
		case 7:
			tok = token.Prefix + strings.Repeat("A", rand.IntN(16<<10))
		}
	}
	for range again {
		got, err := askServer(t.Context(), client, url, tok)
		s.reviews.Add(1)
		var status *statusError
		switch {
		case errors.As(err, &status) && (status.code == http.StatusTooManyRequests || status.code == http.StatusServiceUnavailable):
			s.passed.Add(1) // kube-apiserver asks again
		case errors.As(err, &status):
			t.Errorf("a review got %v", err)
		case err != nil:
			s.lost.Add(1)
		case got.Authenticated && got.User.Username != want:
			t.Errorf("%q got in as %q (hostile: %v)", want, got.User.Username, hostile)
		case got.Authenticated:
			s.granted.Add(1)
		case hostile:
			s.hostile.Add(1)
		case got.Error == "":
			t.Errorf("a good token of %s got a denial that is cached: %+v", want, got)
		default:
			s.refused.Add(1)
		}
	}
}

// load keeps workers asking until the context ends or n reviews were made; zero is no limit.
func (s *soak) load(t *testing.T, ctx context.Context, client *http.Client, url string, n int64, regions ...string) {
	var work sync.WaitGroup
	from := s.reviews.Load()
	for range 32 {
		work.Go(func() {
			for ctx.Err() == nil && (n == 0 || s.reviews.Load()-from < n) && t.Context().Err() == nil {
				s.one(t, client, url, regions[rand.IntN(len(regions))], rand.IntN(100) < 28, 4) // a tenth of the reviews: 28/(28+72*4)
			}
		})
	}
	work.Wait()
}

// figures are what came since the last call.
func (s *soak) figures(t *testing.T, what string) (granted, refused, passed, lost int64) {
	t.Helper()
	all := s.reviews.Swap(0)
	hostile := s.hostile.Swap(0)
	granted, refused, passed, lost = s.granted.Swap(0), s.refused.Swap(0), s.passed.Swap(0), s.lost.Swap(0)
	t.Logf("%s: %d reviews: %d granted, %d hostile refused, %d good refused (not cached), %d told to ask again (429, 503), %d without answer",
		what, all, granted, hostile, refused, passed, lost)
	return granted, refused, passed, lost
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestSoakReviews makes many reviews, of which a tenth are hostile, the first half of them
// while STS throttles, fails and cuts.
func TestSoakReviews(t *testing.T) {
	s := newSoak(t)
	i := s.start(t)
	n := int64(*soakReviews)
	s.load(t, t.Context(), i.client, i.url, 2000, seed.Region) // to be warm
	if granted, refused, passed, lost := s.figures(t, "calm"); granted < 1500 || refused+passed+lost > 0 {
		t.Error("not all is well at the start")
	}
	goroutines, _ := i.level(t)

	s.sts.throttle.Store(20)
	s.sts.fail.Store(10)
	s.sts.cut.Store(2)
	begin := time.Now()
	s.load(t, t.Context(), i.client, i.url, n/2, seed.Region, "us-west-2")
	granted, refused, _, lost := s.figures(t, "STS throttles 20 %, fails 10 %, cuts 2 %")
	if granted < n/10 || refused+lost > 0 {
		t.Error("faults of STS became denials or lost answers")
	}
	_, half := i.level(t)
	s.sts.throttle.Store(0)
	s.sts.fail.Store(0)
	s.sts.cut.Store(0)
	waitFor(t, "the circuit to close", func() bool {
		got, err := askServer(t.Context(), i.client, i.url, mint(t, s.keys[0].AccessKeyID, s.keys[0].SecretAccessKey, "", nil))
		return err == nil && got.Authenticated
	})
	s.load(t, t.Context(), i.client, i.url, n/2, seed.Region, "us-west-2")
	if _, refused, passed, lost := s.figures(t, "STS is well again"); refused+lost > 0 || passed > n/100 {
		t.Error("STS's faults have a tail")
	}
	elapsed := time.Since(begin)
	i.client.CloseIdleConnections()
	waitFor(t, "goroutines to be as few as before", func() bool {
		now, _ := i.level(t)
		return now <= goroutines+8
	})
	after, memory := i.level(t)
	t.Logf("%d reviews in %s; goroutines %.0f before, %.0f after; memory %.0f MB half-way, %.0f MB after", n, elapsed.Round(time.Second), goroutines, after, half, memory)
	if memory > half*1.5+16 {
		t.Errorf("memory has grown from %.0f MB to %.0f MB", half, memory)
	}
}

// TestSoakHangingHost has the STS host of one region hang: who uses another does not notice.
func TestSoakHangingHost(t *testing.T) {
	s := newSoak(t)
	i := s.start(t)
	s.sts.hang.Store(true)
	ctx := within(t, 12*time.Second)
	hung := &soak{sts: s.sts, keys: s.keys, nobody: s.nobody}
	var work sync.WaitGroup
	work.Go(func() { hung.load(t, ctx, i.client, i.url, 0, hungRegion) })
	var worst time.Duration
	var asked int
	for ctx.Err() == nil {
		begin := time.Now()
		s.one(t, i.client, i.url, seed.Region, false, 1)
		asked++
		worst = max(worst, time.Since(begin))
		time.Sleep(10 * time.Millisecond)
	}
	work.Wait()
	if granted, _, _, _ := hung.figures(t, "the hanging host"); granted > 0 {
		t.Error("a host that hangs let somebody in")
	}
	granted, refused, passed, lost := s.figures(t, "another host")
	t.Logf("the slowest answer of %d took %s", asked, worst.Round(time.Millisecond))
	if granted < int64(asked) || refused+passed+lost > 0 || worst > 2*time.Second {
		t.Error("a host that hangs is felt at another")
	}
	s.sts.hang.Store(false)
	waitFor(t, "the host to be asked again", func() bool {
		got, err := askServer(t.Context(), i.client, i.url, mint(t, s.keys[0].AccessKeyID, s.keys[0].SecretAccessKey, "", func(c *token.Config) { c.Region = hungRegion }))
		return err == nil && got.Authenticated
	})
}

// TestSoakMappingFile has the file of mappings replaced under load: by garbage, by half of
// itself, by nothing; and deleted.
func TestSoakMappingFile(t *testing.T) {
	s := newSoak(t)
	i := s.start(t)
	whole := s.mapping()
	for _, tc := range []struct {
		name, text string
		refuses    bool // some good tokens: no such file differs from one that revokes
	}{
		{"garbage", "\x00\x01{{{]]\n\tnot YAML: [", false},
		{"half of itself", whole[:len(whole)/2], true},
		{"half of its entries", whole[:strings.Index(whole, fmt.Sprintf("    - userarn: arn:aws:iam::%s:user/soak-%d\n", seed.Account, soakUsers/2))], true},
		{"half of a line", whole[:strings.Index(whole, "groups: [view")+12], false},
		{"nothing", "", false},
		{"another document", "kind: Secret\napiVersion: v1\n", false},
		{"deleted", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var work sync.WaitGroup
			work.Go(func() { s.load(t, ctx, i.client, i.url, 0, seed.Region) })
			if tc.name == "deleted" {
				if err := os.Remove(s.awsAuth); err != nil {
					t.Error(err)
				}
			} else {
				s.write(t, tc.text)
			}
			fewer := false
			waitFor(t, "the server to see it", func() bool {
				fewer = i.gauge(t, `ekskey_mapping_entries{backend="aws-auth"}`) < soakUsers
				return fewer || i.gauge(t, `ekskey_mapping_stale{backend="aws-auth"}`) == 1
			})
			t.Logf("fewer entries: %v", fewer)
			s.figures(t, "before it was seen")
			time.Sleep(2 * time.Second)
			cancel()
			work.Wait()
			granted, refused, _, _ := s.figures(t, tc.name)
			if granted == 0 || refused > 0 && !tc.refuses || tc.name == "half of its entries" && refused == 0 {
				t.Errorf("%d granted, %d refused", granted, refused)
			}
			s.write(t, whole)
			waitFor(t, "the whole file", func() bool {
				got, err := askServer(t.Context(), i.client, i.url, mint(t, s.keys[soakUsers-1].AccessKeyID, s.keys[soakUsers-1].SecretAccessKey, "", nil))
				return err == nil && got.Authenticated &&
					i.gauge(t, `ekskey_mapping_entries{backend="aws-auth"}`) == soakUsers && i.gauge(t, `ekskey_mapping_stale{backend="aws-auth"}`) == 0
			})
		})
	}
}

// balancer is a TCP balancer that watches readiness, as load balancers do.
type balancer struct {
	backends []*instance
	mu       sync.Mutex
	in       []bool // by backend
}

func (b *balancer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		for n, i := range b.backends {
			ok := i.ready()
			b.mu.Lock()
			b.in[n] = ok
			b.mu.Unlock()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (b *balancer) pick() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ready []int
	for n, ok := range b.in {
		if ok {
			ready = append(ready, n)
		}
	}
	if len(ready) == 0 {
		return -1
	}
	return ready[rand.IntN(len(ready))]
}

func (b *balancer) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			n := b.pick()
			if n < 0 {
				return
			}
			out, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.backends[n].port)))
			if err != nil {
				return
			}
			defer out.Close()
			go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
			_, _ = io.Copy(in, out)
		}()
	}
}

// TestSoakRollingRestart restarts two instances behind a balancer, in turn.
func TestSoakRollingRestart(t *testing.T) {
	s := newSoak(t)
	b := &balancer{backends: []*instance{s.start(t), s.start(t)}, in: []bool{true, true}}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go b.serve(l)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go b.watch(ctx)

	// One trust for both: each has a certificate of its own.
	roots := x509.NewCertPool()
	for _, i := range b.backends {
		pem, err := os.ReadFile(filepath.Join(filepath.Dir(i.spec.Log), "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(pem)
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
		ForceAttemptHTTP2: true, // as kube-apiserver does
	}}
	defer client.CloseIdleConnections()
	loading, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { s.load(t, loading, client, "https://"+l.Addr().String(), 0, seed.Region) })
	for range 2 {
		for _, i := range b.backends {
			time.Sleep(time.Second)
			i.Stop() // SIGTERM, and the end of what is in flight
			i.run(t)
			i.waitReady(t)
			time.Sleep(300 * time.Millisecond) // the balancer sees it
		}
	}
	time.Sleep(500 * time.Millisecond)
	// load's own end is no loss.
	before := s.lost.Load()
	stop()
	work.Wait()
	s.lost.Store(before)
	granted, refused, passed, lost := s.figures(t, "four restarts")
	if granted < 1000 || refused+passed+lost > 0 {
		t.Errorf("a rolling restart lost %d reviews, refused %d and put off %d", lost, refused, passed)
	}
}

// TestSoakStrangers has 4,096 connections that say nothing, and 60 clients whose bodies are
// large and never end. The API server, which has a connection, and one that makes a new one
// are answered.
func TestSoakStrangers(t *testing.T) {
	s := newSoak(t)
	i := s.start(t)
	s.load(t, t.Context(), i.client, i.url, 500, seed.Region)
	s.figures(t, "calm")
	_, before := i.level(t)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(i.port))

	const strangers, greedy = 4096, 60
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range strangers {
		c, err := net.DialTimeout("tcp4", address, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	conf := i.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	conf.NextProtos = []string{"http/1.1"}
	for range greedy {
		c, err := tls.Dial("tcp4", address, conf)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		fmt.Fprintf(c, "POST /authenticate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", 48<<20, `{"spec":{"token":"`)
		go func() {
			chunk := bytes.Repeat([]byte("A"), 32<<10)
			for {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		}()
	}
	var took []time.Duration
	for n := range 200 {
		if n%2 == 0 {
			i.client.CloseIdleConnections() // a new connection
		}
		begin := time.Now()
		s.one(t, i.client, i.url, seed.Region, false, 1)
		took = append(took, time.Since(begin))
	}
	granted, refused, passed, lost := s.figures(t, "beside strangers and greedy ones")
	_, now := i.level(t)
	slices.Sort(took)
	t.Logf("p50 %s, slowest %s; memory %.0f MB before, %.0f MB with them", took[100].Round(time.Millisecond), took[199].Round(time.Millisecond), before, now)
	if granted != 200 || refused+passed+lost > 0 || now > before+128 {
		t.Error("strangers are felt")
	}
}
