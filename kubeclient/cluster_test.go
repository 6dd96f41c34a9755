package kubeclient

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	cluster = "demo"
)

// world is an AWS with a cluster.
type world struct {
	t   *testing.T
	aws *fakeaws.Server
	key fakeaws.Key
	api *api
	k8s *tlstest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	noAWS(t)
	w := &world{t: t, aws: fakeaws.New(fakeaws.Config{}), api: newAPI(0)}
	server := tlstest.Serve(t, w.aws)
	bundle := filepath.Join(t.TempDir(), "aws.pem")
	if err := os.WriteFile(bundle, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "https://"+server.Address)
	t.Setenv("AWS_CA_BUNDLE", bundle)
	var err error
	if w.key, err = w.aws.AddUser(fakeaws.User{Account: account, Name: "admin"}); err != nil {
		t.Fatal(err)
	}
	w.k8s = tlstest.Serve(t, w.api)
	w.moveTo("https://"+w.k8s.Address, w.k8s.CA)
	return w
}

// moveTo has EKS say that the cluster is there.
func (w *world) moveTo(endpoint string, ca []byte) {
	w.t.Helper()
	err := w.aws.AddCluster(fakeaws.Cluster{
		Account: account, Region: region, Name: cluster, Endpoint: endpoint, CAData: base64.StdEncoding.EncodeToString(ca),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) config() Config {
	return Config{
		Cluster: cluster, Region: region, Credentials: token.StaticKeys(w.key.AccessKeyID, w.key.SecretAccessKey, ""),
	}
}

func (w *world) open(c Config) *Client {
	w.t.Helper()
	client, err := New(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) described() int { return w.aws.Counts()[fakeaws.DescribeCluster] }

func clientset(t *testing.T, c *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c.QPS = -1
	set, err := kubernetes.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func list(set *kubernetes.Clientset) error {
	_, err := set.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	return err
}

func TestDescribesOnce(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.config())
	for range 3 {
		set := clientset(t, rest.CopyConfig(client.RESTConfig()))
		if err := list(set); err != nil {
			t.Fatal(err)
		}
	}
	if w.described() != 1 || w.api.tokens() != 1 {
		t.Errorf("EKS was asked %d times, %d tokens were used", w.described(), w.api.tokens())
	}
	tok, err := client.Token(t.Context())
	if err != nil || tok.AccessKeyID != w.key.AccessKeyID {
		t.Errorf("%v %v", tok, err)
	}
}

func TestStaticEndpointAsksNobody(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Endpoint, c.CAData = "https://"+w.k8s.Address+"/", w.k8s.CA
	set := clientset(t, w.open(c).RESTConfig())
	if err := list(set); err != nil {
		t.Fatal(err)
	}
	w.k8s.HTTP.Close()
	var away *UnreachableError
	if err := list(set); !errors.As(err, &away) || away.Cause != CauseConnect {
		t.Errorf("%v", err)
	}
	if n := w.aws.Counts(); len(n) != 0 {
		t.Errorf("AWS was asked: %v", n)
	}
}

// Another endpoint, another CA, or both: new connections find it, and a watch on
// the old one goes on.
func TestClusterMoves(t *testing.T) {
	for _, c := range []struct {
		name string
		// dial is what happens to new connections to the old address; nil leaves them.
		dial error
	}{
		{"another endpoint", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}},
		{"another name", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			client := w.open(w.config())
			conf := client.RESTConfig()
			var mu sync.Mutex
			moved := false
			conf.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				if moved && address == w.k8s.Address {
					return nil, c.dial
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			set := clientset(t, conf)
			watch, err := set.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			next := newAPI(0)
			server := tlstest.Serve(t, next) // with a CA of its own
			w.moveTo("https://"+server.Address, server.CA)
			mu.Lock()
			moved = true
			mu.Unlock()
			if err := list(set); err != nil {
				t.Fatal(err)
			}
			other := client.RESTConfig()
			other.Dial = conf.Dial
			if err := list(clientset(t, other)); err != nil || next.lists.Load() != 2 || w.described() != 2 {
				t.Fatal(err, next.lists.Load(), w.described())
			}
			if event, open := <-watch.ResultChan(); !open || event.Type != "ADDED" {
				t.Errorf("the watch ended: %v", event)
			}
			if got := client.RESTConfig().Host; got != "https://"+server.Address {
				t.Errorf("a new configuration has %s", got)
			}
		})
	}
}

// The API server shows another certificate at the same address.
func TestCARotates(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.config())
	set := clientset(t, client.RESTConfig())
	if err := list(set); err != nil {
		t.Fatal(err)
	}
	cert, ca := tlstest.Certificate(t, "localhost")
	w.k8s.HTTP.CloseClientConnections()
	w.k8s.HTTP.TLS.Certificates[0] = cert
	var away *UnreachableError
	if err := list(set); !errors.As(err, &away) || away.Cause != CauseTLS {
		t.Fatalf("EKS says nothing new, and it went well: %v", err)
	}
	client.rediscovery.after = time.Time{} // the pause is over
	w.moveTo("https://"+w.k8s.Address, ca)
	for range 3 {
		if err := list(set); err != nil {
			t.Fatal(err)
		}
	}
	if w.described() != 3 {
		t.Errorf("EKS was asked %d times", w.described())
	}
}

// A cluster that cannot be reached costs EKS few calls.
func TestAsksSeldom(t *testing.T) {
	w := newWorld(t)
	set := clientset(t, w.open(w.config()).RESTConfig())
	w.k8s.HTTP.Close()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			var away *UnreachableError
			if err := list(set); !errors.As(err, &away) || away.Host != w.k8s.Address {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if n := w.described(); n != 2 {
		t.Errorf("EKS was asked %d times", n)
	}
}

// The pause is over at its time of day, and does not begin anew where a clock is put
// back.
func TestPauseGoesByTheTimeOfDay(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	start := time.Now()
	var later atomic.Int64
	c.Now = func() time.Time { return start.Add(time.Duration(later.Load())) }
	client := w.open(c)
	set := clientset(t, client.RESTConfig())
	w.k8s.HTTP.Close()
	for i, step := range []time.Duration{0, 0, -time.Hour} {
		later.Add(int64(step))
		var away *UnreachableError
		if err := list(set); !errors.As(err, &away) {
			t.Error(err)
		}
		if want := []int{2, 2, 3}[i]; w.described() != want {
			t.Errorf("EKS was asked %d times, want %d", w.described(), want)
		}
	}
	if at := client.rediscovery.after; at.IsZero() || at != at.Round(0) {
		t.Errorf("the pause is over at %v", at)
	}
}

func TestClusterIsGone(t *testing.T) {
	w := newWorld(t)
	set := clientset(t, w.open(w.config()).RESTConfig())
	w.k8s.HTTP.Close()
	if err := w.aws.RemoveCluster(account, region, cluster); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := list(set)
		var gone *ClusterNotFoundError
		var away *UnreachableError
		if !errors.As(err, &gone) || !errors.As(err, &away) || away.Cause != CauseConnect {
			t.Errorf("%v", err)
		}
	}
	if n := w.described(); n != 2 {
		t.Errorf("EKS was asked %d times", n)
	}
}

func TestRevokedTokens(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	// Another second for each token, or they would be the same.
	var mu sync.Mutex
	now := time.Now()
	c.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Millisecond)
		return now
	}
	client := w.open(c)
	set := clientset(t, client.RESTConfig())
	if err := list(set); err != nil {
		t.Fatal(err)
	}
	w.api.revoke()
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := list(set); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.api.tokens(); n != 2 {
		t.Errorf("%d tokens were used", n)
	}
	if w.api.refusals.Load() == 0 {
		t.Error("nothing was refused")
	}
}

func TestCloseCuts(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(client *Client, cancel func())
	}{
		{"Close", func(client *Client, _ func()) { client.Close(); client.Close() }},
		{"the context", func(client *Client, cancel func()) { cancel(); client.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client, err := New(ctx, w.config())
			if err != nil {
				t.Fatal(err)
			}
			set := clientset(t, client.RESTConfig())
			watch, err := set.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c.end(client, cancel)
			for range watch.ResultChan() { // ends
			}
			if err := list(set); !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
			if _, err := client.Token(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A wrapper, a proxy and a CA of the caller's own are kept.
func TestCallersSettings(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.config())
	conf := client.RESTConfig()
	wrapped := 0
	conf.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(r *http.Request) (*http.Response, error) { wrapped++; return rt.RoundTrip(r) })
	})
	if err := list(clientset(t, conf)); err != nil || wrapped == 0 {
		t.Error(err, wrapped)
	}
	_, other := tlstest.Certificate(t, "localhost")
	conf = client.RESTConfig()
	conf.CAData = other
	var away *UnreachableError
	if err := list(clientset(t, conf)); !errors.As(err, &away) || away.Cause != CauseTLS {
		t.Errorf("another CA than asked for was trusted: %v", err)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
