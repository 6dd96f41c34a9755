package awsconf_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
)

// The token of a pod is read anew each time, because the kubelet renews it.
func TestPodIdentityTokenIsReadAnew(t *testing.T) {
	s := newSources(t)
	token := s.file("eks-pod-identity-token", "old")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(t, "new", s.node))
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	session := load(t, awsconf.Config{})
	if _, err := session.Credentials().Retrieve(t.Context()); err == nil {
		t.Fatal("the old token was taken")
	}
	if err := os.WriteFile(token, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := whoAmI(t, session); !strings.HasPrefix(got, "arn:aws:sts::111122223333:assumed-role/first/") {
		t.Errorf("it is %s", got)
	}
}

// TestContainerFails: what is wrong is named, and no token is in it. The URI may
// hold one too, so it is not quoted either.
func TestContainerFails(t *testing.T) {
	const secret = "secret-authorization"
	for _, tt := range []struct {
		name, cause, hint string
		set               func(*sources)
	}{
		{"refuses", "the container credentials endpoint refused: 403 AccessDenied", "check AWS_CONTAINER_AUTHORIZATION_TOKEN", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "other", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret)
		}},
		{"refuses, under a role", "the container credentials endpoint refused: 403 AccessDenied", "check AWS_CONTAINER_AUTHORIZATION_TOKEN", func(s *sources) {
			s.write("[default]\nrole_arn = " + firstRole + "\ncredential_source = EcsContainer\n")
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "other", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret)
		}},
		{"token file missing", "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE (/missing/token) cannot be read: no such file or directory", "the file is there only inside the container", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "other", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/missing/token")
		}},
		{"token with a newline", "the container authorization token has a line break in it", "check AWS_CONTAINER_AUTHORIZATION_TOKEN", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container(s.t, "other", s.node))
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", s.file("token", secret+"\r\nX: y"))
		}},
		{"does not answer", "the container credentials endpoint: dial tcp 127.0.0.1:1: ", "check AWS_CONTAINER_CREDENTIALS_FULL_URI", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"+secret)
			s.t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret)
		}},
		{"is no loopback address", "AWS_CONTAINER_CREDENTIALS_FULL_URI: host ", "", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/"+secret)
		}},
		{"is no URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI: is not a URL with a host", "", func(s *sources) {
			s.t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user:"+secret+"@127.0.0.1:x/")
		}},
		{"credential_source without one", "profile default has credential_source = EcsContainer, and neither", "", func(s *sources) {
			s.write("[default]\nrole_arn = " + firstRole + "\ncredential_source = EcsContainer\n")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			tt.set(s)
			session, err := tryLoad(t, awsconf.Config{})
			if err == nil {
				_, err = session.Credentials().Retrieve(t.Context())
			}
			var failed *awserr.CredentialsError
			if !errors.As(err, &failed) || !strings.HasPrefix(failed.Cause, tt.cause) || !strings.HasPrefix(failed.Hint, tt.hint) {
				t.Fatalf("%v, want %q, %q", err, tt.cause, tt.hint)
			}
			if strings.Contains(failed.Cause+failed.Hint, secret) || strings.Contains(failed.Cause, "\n") {
				t.Errorf("cause %q, hint %q", failed.Cause, failed.Hint)
			}
		})
	}
}
