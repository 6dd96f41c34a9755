package awsconf_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// A source with credentials that are about to expire is asked again: nothing between it
// and the caller remembers them after Invalidate.
func TestInvalidateReachesTheSource(t *testing.T) {
	var calls atomic.Int64
	document := func(expiration string) string {
		return fmt.Sprintf(`{"Version":1,"Code":"Success","AccessKeyId":"ASIAEXAMPLE%09d","SecretAccessKey":"s","Token":"t","SessionToken":"t","Expiration":%q}`, calls.Add(1), expiration)
	}
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = fmt.Fprint(w, "session")
		case "/latest/meta-data/iam/security-credentials/":
			_, _ = fmt.Fprint(w, "node")
		default:
			_, _ = fmt.Fprint(w, document(soon))
		}
	}))
	t.Cleanup(endpoint.Close)
	for name, set := range map[string]func(t *testing.T, s *sources){
		"container": func(t *testing.T, s *sources) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.URL+"/v1/credentials")
		},
		"metadata": func(t *testing.T, s *sources) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.URL)
		},
		"credential_process": func(t *testing.T, s *sources) {
			if runtime.GOOS == "windows" {
				t.Skip("the process is a shell script")
			}
			count := filepath.Join(t.TempDir(), "count")
			script := s.file("process", "#!/bin/sh\necho x >>"+count+"\nn=$(wc -l <"+count+" | tr -d ' ')\n"+
				`printf '{"Version":1,"AccessKeyId":"ASIAEXAMPLE%09d","SecretAccessKey":"s","SessionToken":"t","Expiration":"`+soon+`"}' "$n"`+"\n")
			if err := os.Chmod(script, 0o700); err != nil { // #nosec G302 -- it is run
				t.Fatal(err)
			}
			s.write("[default]\ncredential_process = " + script + "\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSources(t)
			setKeys(t, fakeaws.Key{})
			set(t, s)
			credentials := load(t, awsconf.Config{}).Credentials()
			keys := map[string]bool{}
			for range 3 {
				creds, err := credentials.Retrieve(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				keys[creds.AccessKeyID] = true
				credentials.(interface{ Invalidate() }).Invalidate()
			}
			if len(keys) != 3 {
				t.Errorf("%d keys in 3 calls: %v", len(keys), keys)
			}
		})
	}
}
