package servercli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/token"
)

// liveServer is a live with its files.
type liveServer struct {
	*live
	t   *testing.T
	dir string
	log bytes.Buffer
	reg *prometheus.Registry
}

func newLiveServer(t *testing.T, text string, files map[string]string) *liveServer {
	t.Helper()
	s := &liveServer{t: t, dir: t.TempDir(), reg: prometheus.NewRegistry()}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		s.write(name, text)
	}
	c, err := parseConfig("server.yaml", []byte(s.text(text)))
	if err != nil {
		t.Fatal(err)
	}
	c.text = []byte(s.text(text))
	if s.live, err = newLive(c, slog.New(slog.NewTextHandler(&s.log, nil)), s.reg); err != nil {
		t.Fatal(err)
	}
	return s
}

// text puts DIR into a configuration, and a cluster before it.
func (s *liveServer) text(text string) string {
	return "clusterID: demo\nserver:\n  stateDir: " + filepath.ToSlash(s.dir) + "\n" + strings.ReplaceAll(text, "DIR", filepath.ToSlash(s.dir))
}

func (s *liveServer) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *liveServer) is(who string) string {
	s.t.Helper()
	id, err := identity.New("arn:aws:iam::111122223333:user/"+who, "111122223333", "AIDAEXAMPLEEXAMPLE123")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Allow(id); err != nil {
		return "not allowed"
	}
	m, err := s.Map(context.Background(), id)
	switch {
	case mapping.Temporary(err):
		return "unavailable"
	case errors.Is(err, mapping.ErrNotMapped):
		return "not mapped"
	case err != nil:
		return err.Error()
	}
	return m.Username
}

func (s *liveServer) want(when string, want map[string]string) {
	s.t.Helper()
	for who, w := range want {
		if got := s.is(who); got != w {
			s.t.Errorf("%s: %s is %q, want %q", when, who, got, w)
		}
	}
}

// metric lists a gauge's values by backend.
func (s *liveServer) metric(name string) string {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				out = append(out, fmt.Sprintf("%s=%v", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
			}
		}
	}
	return strings.Join(out, " ")
}

func users(names ...string) string {
	out := "  mapUsers:\n"
	for _, n := range names {
		out += fmt.Sprintf("  - {userarn: 'arn:aws:iam::111122223333:user/%s', username: %s}\n", strings.SplitN(n, "=", 2)[0], n[strings.IndexByte(n, '=')+1:])
	}
	return out
}

const dynamicCarol = `{"mapUsers":[{"userarn":"arn:aws:iam::111122223333:user/carol","username":"c-dynamic"},{"userarn":"arn:aws:iam::111122223333:user/alice","username":"a-dynamic"}]}`

// Entries, deny lists, the creator and the order of backends change without a restart;
// what does not is named.
func TestConfigurationIsFollowed(t *testing.T) {
	s := newLiveServer(t, users("alice=a"), map[string]string{"dynamic.json": dynamicCarol, "aws-auth.yaml": "mapUsers: |\n  - {userarn: 'arn:aws:iam::111122223333:user/dave', username: d}\n"})
	s.want("at start", map[string]string{"alice": "a", "bob": "not mapped", "carol": "not mapped"})
	change := func(text string) {
		t.Helper()
		if err := s.reload([]byte(s.text(text))); err != nil {
			t.Fatal(err)
		}
	}
	change(users("bob=b"))
	s.want("other entries", map[string]string{"alice": "not mapped", "bob": "b"})
	change(users("alice=a") + "  dynamicFilePath: DIR/dynamic.json\n  awsAuthFile: DIR/aws-auth.yaml\n")
	s.want("backends added", map[string]string{"alice": "a", "carol": "c-dynamic", "dave": "d"})
	if got := s.metric("ekskey_mapping_entries"); got != "aws-auth=1 dynamic-file=2 file=1" {
		t.Error(got)
	}
	before := s.backends[1]
	change(users("alice=a") + "  dynamicFilePath: DIR/dynamic.json\n  awsAuthFile: DIR/aws-auth.yaml\n  backends: [dynamic-file, file, aws-auth]\n")
	s.want("another order", map[string]string{"alice": "a-dynamic", "carol": "c-dynamic"})
	if s.backends[2] != before {
		t.Error("a backend that did not change was read again")
	}
	change(users("alice=a") + "  creator: arn:aws:iam::111122223333:user/bob\n  backends: [file]\n  dynamicFilePath: DIR/dynamic.json\n")
	s.want("creator", map[string]string{"alice": "a", "bob": "kubernetes-admin", "carol": "not mapped"})
	change(users("alice=a") + "  deniedAccounts: ['111122223333']\n")
	s.want("an account denied", map[string]string{"alice": "not allowed"})

	// A mistake changes nothing.
	for _, bad := range []string{"  prot: 1\n", users("alice=x", "alice=y"), "  mapUsers: [x]\n", "  creator: nobody\n", "  backends: [aws-auth]\n", "[", "  sts: {caFile: DIR/none.pem}\n  clientCAFile: x\n  prot: 1\n"} {
		if err := s.reload([]byte(s.text(bad))); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	s.want("after mistakes", map[string]string{"alice": "not allowed"})

	s.log.Reset()
	change(users("alice=a2") + "  port: 1\n  audiences: [x]\n  sts: {timeout: 1s}\n")
	s.want("with what needs a restart", map[string]string{"alice": "a2"})
	for _, key := range []string{"server.port", "server.audiences", "server.sts"} {
		if !strings.Contains(s.log.String(), key) {
			t.Errorf("%s is not named: %s", key, s.log.String())
		}
	}
	if strings.Contains(s.log.String(), "server.address") {
		t.Error(s.log.String())
	}
}

func TestDenyListIsFollowed(t *testing.T) {
	s := newLiveServer(t, "", nil)
	src, err := token.New(token.Config{Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := src.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(tok.Value()); err != nil {
		t.Fatal(err)
	}
	if err := s.reload([]byte(s.text("  deniedAccessKeyIDs: [AKIAIOSFODNN7EXAMPLE]\n"))); err != nil {
		t.Fatal(err)
	}
	var broken *token.RuleError
	if _, err := s.Check(tok.Value()); !errors.As(err, &broken) || broken.Code != "V22" {
		t.Errorf("got %v", err)
	}
}

// The order may stand in aws-iam-authenticator's file of backend modes.
func TestBackendModeFile(t *testing.T) {
	text := users("alice=a") + "  dynamicFilePath: DIR/dynamic.json\n  dynamicBackendModePath: DIR/mode.json\n  backendMode: MountedFile\n"
	s := newLiveServer(t, text, map[string]string{"dynamic.json": dynamicCarol})
	s.want("no file", map[string]string{"alice": "a", "carol": "not mapped"})
	step := func(when string, want map[string]string) {
		t.Helper()
		s.poller.Look()
		s.poller.Look()
		s.want(when, want)
	}
	s.write("mode.json", `{"backendMode": "DynamicFile MountedFile"}`)
	step("both", map[string]string{"alice": "a-dynamic", "carol": "c-dynamic"})
	for _, bad := range []string{`{"backendMode": "EKSConfigMap"}`, `{"backendMode": "CRD"}`, `{}`, `[`, `{"backendMode": " "}`} {
		s.write("mode.json", bad)
		step(bad, map[string]string{"alice": "a-dynamic"})
	}
	if !strings.Contains(s.log.String(), "aws-auth needs server.awsAuthFile") || !strings.Contains(s.log.String(), "CRD is not supported") {
		t.Error(s.log.String())
	}
	if err := s.reload([]byte(s.text(text + "  creator: arn:aws:iam::111122223333:user/bob\n"))); err != nil {
		t.Fatal(err)
	}
	s.want("configuration changed meanwhile", map[string]string{"alice": "a-dynamic", "bob": "kubernetes-admin"})
	if err := os.Remove(filepath.Join(s.dir, "mode.json")); err != nil {
		t.Fatal(err)
	}
	step("gone", map[string]string{"alice": "a", "carol": "not mapped"})

	s.write("mode.json", `{"backendMode": "DynamicFile"}`)
	s = &liveServer{t: t, dir: s.dir, reg: prometheus.NewRegistry()}
	c, err := parseConfig("server.yaml", []byte(s.text(text)))
	if err != nil {
		t.Fatal(err)
	}
	if s.live, err = newLive(c, slog.New(slog.NewTextHandler(&s.log, nil)), s.reg); err != nil {
		t.Fatal(err)
	}
	s.want("there at start", map[string]string{"alice": "a-dynamic", "carol": "c-dynamic"})
}

// A source that cannot be read is neither "not mapped" nor passed on to the creator.
func TestUnavailableBackend(t *testing.T) {
	for _, source := range []string{"awsAuthFile", "dynamicFilePath"} {
		text := users("alice=a") + "  creator: arn:aws:iam::111122223333:user/bob\n  " + source + ": DIR/none\n"
		s := newLiveServer(t, text, nil)
		s.want(source, map[string]string{"alice": "a", "bob": "unavailable", "carol": "unavailable"})
		if err := s.reload([]byte(s.text(text + "  creatorWhileBroken: true\n"))); err != nil {
			t.Fatal(err)
		}
		s.want(source+", creatorWhileBroken", map[string]string{"alice": "a", "bob": "kubernetes-admin", "carol": "unavailable"})
		backend := map[string]string{"awsAuthFile": "aws-auth", "dynamicFilePath": "dynamic-file"}[source]
		if got := s.metric("ekskey_mapping_ready"); got != backend+"=0 file=1" {
			t.Error(got)
		}
		if got := s.metric("ekskey_mapping_stale"); got != backend+"=1 file=0" {
			t.Error(got)
		}
	}
}

// Run follows the configuration file and the sources by itself, those too that a new
// configuration added, and stops with its context.
func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer(t, users("alice=a"), nil)
		path := filepath.Join(s.dir, "server.yaml")
		s.config.path = path
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.run(ctx)
		}()
		wait := func() {
			time.Sleep(2*mapping.PollInterval + time.Second) // a source is read twice
			synctest.Wait()
		}
		s.write("aws-auth.yaml", "mapUsers: |\n  - {userarn: 'arn:aws:iam::111122223333:user/dave', username: d}\n")
		s.write("server.yaml", s.text(users("alice=b")+"  awsAuthFile: DIR/aws-auth.yaml\n"))
		wait()
		s.want("changed", map[string]string{"alice": "b", "dave": "d"})
		s.write("aws-auth.yaml", "mapUsers: |\n  - {userarn: 'arn:aws:iam::111122223333:user/dave', username: d2}\n")
		wait()
		s.want("aws-auth changed", map[string]string{"dave": "d2"})
		s.write("server.yaml", "clusterID: [")
		wait()
		s.want("broken", map[string]string{"alice": "b", "dave": "d2"})
		if got := s.metric("ekskey_mapping_stale"); got != "aws-auth=0 file=1" || !strings.Contains(s.log.String(), "is not YAML") {
			t.Errorf("%s, %s", got, s.log.String())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		s.want("broken for an hour", map[string]string{"alice": "unavailable", "dave": "unavailable"})
		s.write("server.yaml", s.text(users("alice=c")+"  maxStale: {file: 24h}\n"))
		wait()
		s.want("mended", map[string]string{"alice": "c", "dave": "not mapped"})
		s.write("server.yaml", "clusterID: [")
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		s.want("broken for half a day, with a limit of a day", map[string]string{"alice": "c"})
		if n := strings.Count(s.log.String(), "is not YAML"); n != 2 {
			t.Errorf("the mistake was told %d times", n)
		}
		cancel()
		<-done
		synctest.Wait()
	})
}
