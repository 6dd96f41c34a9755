package awsconf_test

import (
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/tlstest"
)

// Sessions share connections only with those who trust the same CAs.
func TestConnectionsAndCAs(t *testing.T) {
	clean(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nonsense")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	var asked atomic.Int32
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	})
	one, two := tlstest.Serve(t, answer), tlstest.Serve(t, answer)
	files := map[*tlstest.Server]string{}
	for name, s := range map[string]*tlstest.Server{"one": one, "two": two} {
		files[s] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(files[s], s.CA, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shared := awsconf.NewConnections(4)
	for _, tt := range []struct {
		name        string
		server, ca  *tlstest.Server
		asksService int32
	}{
		{"the first", one, one, 2},
		{"others' CA", two, one, 0},
		{"its own CA", two, two, 2},
		{"others' CA, the other way round", one, two, 0},
		{"the first again", one, one, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := asked.Load()
			s := load(t, awsconf.Config{Region: "eu-central-1", EndpointURL: "https://" + tt.server.Address, CABundle: files[tt.ca], Connections: shared})
			if _, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err == nil {
				t.Error("STS succeeded")
			}
			if _, err := s.EKS("eu-central-1").ListClusters(t.Context(), &eks.ListClustersInput{}); err == nil {
				t.Error("EKS succeeded")
			}
			if n := asked.Load() - before; n != tt.asksService {
				t.Errorf("%d calls came through, want %d", n, tt.asksService)
			}
		})
	}
}

func TestRetriesChosen(t *testing.T) {
	for _, tt := range []struct {
		name, variable, value, config string
		want                          bool
	}{
		{"nothing", "", "", "", false},
		{"attempts", "AWS_MAX_ATTEMPTS", "7", "", true},
		{"mode", "AWS_RETRY_MODE", "adaptive", "", true},
		{"attempts of the profile", "", "", "max_attempts = 7", true},
		{"mode of the profile", "", "", "retry_mode = standard", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)("[default]\nregion = eu-central-1\n" + tt.config + "\n")
			if tt.variable != "" {
				t.Setenv(tt.variable, tt.value)
			}
			if got := load(t, awsconf.Config{}).RetriesChosen(); got != tt.want {
				t.Errorf("%t", got)
			}
		})
	}
}
