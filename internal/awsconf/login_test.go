package awsconf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/credcache"
)

// The files of SSO and of aws login say in different places when they expire.
func TestLoginExpired(t *testing.T) {
	past, future := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	for text, want := range map[string]bool{
		`{"accessToken":"x","expiresAt":"` + past + `"}`:   true,
		`{"accessToken":"x","expiresAt":"` + future + `"}`: false,
		`{"accessToken":{"expiresAt":"` + past + `"}}`:     true,
		`{"accessToken":{"expiresAt":"` + future + `"}}`:   false,
		`{"accessToken":{}}`:                               false,
		`{"accessToken":"x","expiresAt":"2020-01-01 UTC"}`: false,
		`{`: false, ``: false, `[]`: false,
	} {
		path := filepath.Join(t.TempDir(), "session.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := loginExpired(path); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if loginExpired(filepath.Join(t.TempDir(), "none")) {
		t.Error("a missing file has expired")
	}
}

// C06: so it is for any session of that kind, as that of aws login: many at once refresh
// it once, a failure is that of all who waited, and one that another program has
// refreshed meanwhile is none.
func TestC06AnySessionIsRefreshedOnce(t *testing.T) {
	refused := errors.New("login session has expired")
	for _, tt := range []struct {
		name  string
		write bool // the file is written
		err   error
		calls int32
		want  error
	}{
		{"refreshed", true, nil, 1, nil},
		{"another program was first", true, refused, 1, nil},
		{"it is over", false, refused, 1, refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, dir := filepath.Join(t.TempDir(), "session.json"), filepath.Join(t.TempDir(), "cache")
			write := func(end time.Time) {
				if err := os.WriteFile(path, []byte(`{"accessToken":{"expiresAt":"`+end.UTC().Format(time.RFC3339)+`"}}`), 0o600); err != nil {
					t.Error(err)
				}
			}
			write(time.Now().Add(-time.Hour))
			const many = 20
			var calls atomic.Int32
			var waiting, done sync.WaitGroup
			waiting.Add(many - 1)
			for range many {
				s := &Session{profile: "p", cache: &caching{store: credcache.New(credcache.Config{Dir: dir, Waiting: waiting.Done})}}
				f := &firstSource{session: s, CredentialsProvider: aws.AnonymousCredentials{}, login: &login{of: &namedSource{kind: kindLogin}, path: path, over: refused, renew: func(context.Context) error {
					calls.Add(1)
					waiting.Wait()
					if tt.write {
						write(time.Now().Add(time.Hour))
					}
					return tt.err
				}}}
				done.Go(func() {
					if err := f.refresh(t.Context()); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
						t.Errorf("%v, want %v", err, tt.want)
					}
				})
			}
			done.Wait()
			if n := calls.Load(); n != tt.calls {
				t.Errorf("refreshed %d times, want %d", n, tt.calls)
			}
		})
	}
}
