package awsconf_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
)

func TestLoadingAsksNoService(t *testing.T) {
	clean(t)
	var asked atomic.Int32
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer metadata.Close()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	t.Setenv("AWS_DEFAULTS_MODE", "auto")
	load(t, awsconf.Config{})
	if n := asked.Load(); n != 0 {
		t.Errorf("the instance metadata service was asked %d times", n)
	}
}

func TestLongAnswer(t *testing.T) {
	clean(t)
	newAWS(t)
	for _, tt := range []struct {
		name  string
		blank int // bytes
		ok    bool
	}{
		{"short", 1 << 20, true},
		{"too long", 17 << 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, "<GetCallerIdentityResponse><GetCallerIdentityResult>"+strings.Repeat(" ", tt.blank)+
					"<Arn>a</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>")
			}))
			defer srv.Close()
			if !tt.ok {
				// Else not: an answer may be there before the request is sent to its end, and
				// net/http then closes the connection.
				t.Setenv("AWS_MAX_ATTEMPTS", "1")
			}
			_, err := load(t, awsconf.Config{EndpointURL: srv.URL}).STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if (err == nil) != tt.ok {
				t.Errorf("%v", awserr.Explain(err))
			}
		})
	}
}
