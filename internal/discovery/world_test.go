package discovery_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	accountA = "111122223333"
	accountB = "444455556666"
	regionA  = "eu-central-1"
	regionB  = "us-east-1"
)

// world is an AWS with profiles a and b, one for each account.
type world struct {
	aws         *fakeaws.Server
	url         string
	connections atomic.Int32
	before      atomic.Pointer[instead]
}

// instead may answer in place of AWS, and then reports true.
type instead func(http.ResponseWriter, *http.Request) bool

// first has requests answered by it, from now on.
func (w *world) first(f instead) { w.before.Store(&f) }

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	w := &world{aws: fakeaws.New(fakeaws.Config{})}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f := w.before.Load(); f == nil || !(*f)(rw, r) {
			w.aws.ServeHTTP(rw, r)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	w.url = srv.URL
	var config strings.Builder
	for profile, account := range map[string]string{"a": accountA, "b": accountB} {
		k, err := w.aws.AddUser(fakeaws.User{Account: account, Name: profile})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&config, "[profile %s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, k.AccessKeyID, k.SecretAccessKey)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file+"-none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return w
}

func (w *world) add(t *testing.T, account, region string, names ...string) {
	t.Helper()
	for _, n := range names {
		c := fakeaws.Cluster{Account: account, Region: region, Name: n, Endpoint: "https://127.0.0.1:1", Tags: map[string]string{"team": n, "other": "x"}}
		if err := w.aws.AddCluster(c); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) session(t *testing.T, profile string, shared *awsconf.Connections) *awsconf.Session {
	t.Helper()
	s, err := awsconf.Load(t.Context(), awsconf.Config{Profile: profile, Region: regionA, EndpointURL: w.url, Connections: shared})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) sources(t *testing.T, profiles ...string) []discovery.Source {
	t.Helper()
	shared := awsconf.NewConnections(discovery.AtOnce)
	var all []discovery.Source
	for _, p := range profiles {
		all = append(all, discovery.Source{Session: w.session(t, p, shared), Profile: p, Regions: []string{regionA, regionB}})
	}
	return all
}

// to says which region and service a request is for.
func to(r *http.Request) (region, service string) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	f := strings.Split(scope, "/")
	if len(f) < 4 {
		return "", ""
	}
	return f[2], f[3]
}

func answer(rw http.ResponseWriter, body string) bool {
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(body))
	return true
}

func refuse(rw http.ResponseWriter, code string, status int) bool {
	rw.Header().Set("X-Amzn-Errortype", code)
	rw.WriteHeader(status)
	return answer(rw, `{"message":"no"}`)
}

// gauge holds the most that there was of each at one time.
type gauge struct {
	mu        sync.Mutex
	now, most map[string]int
}

func (g *gauge) add(key string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		g.now, g.most = map[string]int{}, map[string]int{}
	}
	g.now[key] += n
	g.most[key] = max(g.most[key], g.now[key])
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
