package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// fleet is a world with a second account, and a way to break listings.
type fleet struct {
	*world
	mu     sync.Mutex
	broken map[string]string // region, or region and page → AWS's code, or all of a 200's body
	during func()            // at the next listing
}

// TestSyncScripts runs testdata/sync/*.txtar, with the profiles a (of alice), a2 (of
// the same account), b (of the other account) and x (that has no keys).
func TestSyncScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/sync",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld()
			if err != nil {
				return err
			}
			env.Defer(w.close)
			f := &fleet{world: w, broken: map[string]string{}}
			srv := w.ca.serve(f)
			env.Defer(srv.Close)
			vars, err := w.environ(env.WorkDir)
			if err != nil {
				return err
			}
			vars["AWS_ENDPOINT_URL_STS"], vars["AWS_ENDPOINT_URL_EKS"] = srv.URL, srv.URL
			vars["AWS_CONFIG_FILE"] = filepath.Join(env.WorkDir, "profiles")
			for name, value := range vars {
				env.Setenv(name, value)
			}
			env.Values["world"], env.Values["fleet"] = w, f
			return f.writeProfiles(vars["AWS_CONFIG_FILE"])
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": cmdFails, "as": cmdAs, "fault": cmdFault, "count": cmdCount, "await": cmdAwait,
			"cluster": cmdCluster, "break": cmdBreak, "during": cmdDuring,
		},
	})
}

func (f *fleet) writeProfiles(path string) error {
	if _, err := f.aws.AddRole(fakeaws.Role{Account: otherAccount, Name: "viewer"}); err != nil {
		return err
	}
	second, err := f.aws.AddUser(fakeaws.User{Account: testAccount, Name: "second"})
	if err != nil {
		return err
	}
	for i := range 130 { // the world's have no endpoint
		if err := f.aws.AddCluster(fakeaws.Cluster{Account: testAccount, Region: "us-east-1", Name: fmt.Sprintf("c%03d", i), Endpoint: f.kubeURL}); err != nil {
			return err
		}
	}
	var text strings.Builder
	for _, p := range []struct {
		name string
		key  fakeaws.Key
	}{{"a", f.keys["alice"]}, {"a2", second}, {"b", f.keys["carol"]}} {
		fmt.Fprintf(&text, "[profile %s]\nregion = %s\naws_access_key_id = %s\naws_secret_access_key = %s\n", p.name, testRegion, p.key.AccessKeyID, p.key.SecretAccessKey)
	}
	text.WriteString("[profile x]\nregion = " + testRegion + "\nrole_arn = arn:aws:iam::111122223333:role/ext\ncredential_source = Environment\n")
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// ServeHTTP answers as the world's AWS, but for what is broken.
func (f *fleet) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if part := strings.Split(scope, "/"); len(part) > 3 && part[3] == "eks" && r.URL.Path == "/clusters" {
		page := part[2]
		if r.URL.Query().Get("nextToken") != "" {
			page += "/2"
		}
		f.mu.Lock()
		code, broken := f.broken[page]
		during := f.during
		f.during = nil
		f.mu.Unlock()
		if during != nil {
			during()
		}
		if broken && (code == "" || strings.Contains(code, "{")) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, code)
			return
		}
		if broken {
			rw.Header().Set("X-Amzn-Errortype", code)
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, `{"message":"broken"}`)
			return
		}
	}
	f.serveAWS(rw, r)
}

func fleetOf(ts *testscript.TestScript) *fleet { return ts.Value("fleet").(*fleet) }

// cmdDuring is `during FROM TO`: while the next listing is made, one file is moved
// to another.
func cmdDuring(ts *testscript.TestScript, _ bool, args []string) {
	f, from, to := fleetOf(ts), ts.MkAbs(args[0]), ts.MkAbs(args[1])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.during = func() { _ = os.Rename(from, to) }
}

// cmdBreak is `break REGION[/2] CODE`: the region's first or second page fails, or
// says just this where it is no code but empty or has a brace. `break` alone mends
// all.
func cmdBreak(ts *testscript.TestScript, _ bool, args []string) {
	f := fleetOf(ts)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(args) == 0 {
		clear(f.broken)
		return
	}
	f.broken[args[0]] = args[1]
}
