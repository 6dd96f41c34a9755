package awsconf_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// clean takes away every AWS variable and gives an empty home. It returns a
// function that writes the config file.
func clean(t *testing.T) func(string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	// The SDK looks for its files in the home that the process began with.
	path := filepath.Join(home, "aws-config")
	t.Setenv("AWS_CONFIG_FILE", path)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "aws-credentials"))
	return func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, c awsconf.Config) *awsconf.Session {
	t.Helper()
	s, err := tryLoad(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryLoad(t *testing.T, c awsconf.Config) (*awsconf.Session, error) {
	t.Helper()
	c.Getenv = os.Getenv
	return awsconf.Load(t.Context(), c)
}

func setKeys(t *testing.T, k fakeaws.Key) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", k.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", k.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", k.SessionToken)
}

func TestRegion(t *testing.T) {
	for _, tt := range []struct {
		name, flag, region, defaultRegion, file, want string
	}{
		{"none", "", "", "", "", ""},
		{"file", "", "", "", "[default]\nregion = eu-west-1\n", "eu-west-1"},
		{"AWS_DEFAULT_REGION", "", "", "eu-west-2", "[default]\nregion = eu-west-1\n", "eu-west-2"},
		{"AWS_REGION", "", "eu-west-3", "eu-west-2", "[default]\nregion = eu-west-1\n", "eu-west-3"},
		{"flag", "cn-north-1", "eu-west-3", "eu-west-2", "", "cn-north-1"},
		{"the SDKs' word for none", "", "aws-global", "", "", ""},
		{"newer than any table", "eu-central-9", "", "", "", "eu-central-9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write := clean(t)
			write(tt.file)
			t.Setenv("AWS_REGION", tt.region)
			t.Setenv("AWS_DEFAULT_REGION", tt.defaultRegion)
			s := load(t, awsconf.Config{Region: tt.flag})
			if got := s.Region(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			_, err := s.NeedRegion()
			var none *awserr.NoRegionError
			if errors.As(err, &none) != (tt.want == "") {
				t.Errorf("NeedRegion: %v", err)
			}
		})
	}
}

func TestSTSVariant(t *testing.T) {
	for _, tt := range []struct {
		name, fips, dual, file string
		want                   identity.STSVariant
	}{
		{"plain", "", "", "", identity.STSVariant{}},
		{"FIPS", "true", "", "", identity.STSVariant{FIPS: true}},
		{"dual stack", "", "true", "", identity.STSVariant{DualStack: true}},
		{"both, from the file", "", "", "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n", identity.STSVariant{FIPS: true, DualStack: true}},
		{"the variable goes before the file", "false", "", "[default]\nuse_fips_endpoint = true\n", identity.STSVariant{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(tt.file)
			t.Setenv("AWS_USE_FIPS_ENDPOINT", tt.fips)
			t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", tt.dual)
			if got := load(t, awsconf.Config{}).STSVariant(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSTSOverride(t *testing.T) {
	for _, tt := range []struct{ name, flag, url, stsURL, file, want string }{
		{"none", "", "", "", "", ""},
		{"AWS_ENDPOINT_URL", "", "https://all:1", "", "", "all:1"},
		{"AWS_ENDPOINT_URL_STS", "", "https://all:1", "https://sts:2", "", "sts:2"},
		{"flag", "https://flag:3", "https://all:1", "https://sts:2", "", "flag:3"},
		{"file", "", "", "", "[default]\nservices = s\n[services s]\nsts =\n  endpoint_url = https://file:4\n", "file:4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(tt.file)
			for name, value := range map[string]string{"AWS_ENDPOINT_URL": tt.url, "AWS_ENDPOINT_URL_STS": tt.stsURL} {
				if value != "" {
					t.Setenv(name, value)
				}
			}
			got, ok := load(t, awsconf.Config{EndpointURL: tt.flag}).STSOverride()
			if ok != (tt.want != "") || ok && got.Host != tt.want {
				t.Errorf("got %v %v, want %q", got, ok, tt.want)
			}
		})
	}
}

func TestLoadFails(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/r"
	for _, tt := range []struct {
		name   string
		config awsconf.Config
		env    map[string]string
		file   string
		want   any
		text   string
	}{
		{"endpoint without scheme", awsconf.Config{EndpointURL: "host:1"}, nil, "", new(*awserr.ConfigError), "endpoint URL"},
		{"endpoint of a file", awsconf.Config{EndpointURL: "file:///etc/passwd"}, nil, "", new(*awserr.ConfigError), "endpoint URL"},
		{"endpoint with a password", awsconf.Config{EndpointURL: "https://u:secretpassword@host"}, nil, "", new(*awserr.ConfigError), "endpoint URL"},
		{"role that is no ARN", awsconf.Config{Roles: []awsconf.Role{{ARN: "admin"}}}, nil, "", new(*awserr.ConfigError), "role"},
		{"role that is a user", awsconf.Config{Roles: []awsconf.Role{{ARN: strings.Replace(role, "role", "user", 1)}}}, nil, "", new(*awserr.ConfigError), "role"},
		{"second role of a chain", awsconf.Config{Roles: []awsconf.Role{{ARN: role}, {ARN: "x"}}}, nil, "", new(*awserr.ConfigError), "role"},
		{"region that is a host", awsconf.Config{Region: "x.evil.example/?"}, nil, "", new(*awserr.ConfigError), "region"},
		{"region in the file", awsconf.Config{}, nil, "[default]\nregion = here\n", new(*awserr.ConfigError), "region"},
		{"no such profile", awsconf.Config{Profile: "x"}, nil, "[profile a]\n[profile b]\n", new(*awserr.CredentialsError), `the AWS profile "x" does not exist`},
		{"no such profile, by variable", awsconf.Config{}, map[string]string{"AWS_PROFILE": "x"}, "", new(*awserr.CredentialsError), `the AWS profile "x" does not exist`},
		{"loop of source profiles", awsconf.Config{Profile: "a"}, nil, "[profile a]\nrole_arn=" + role + "\nsource_profile=b\n[profile b]\nrole_arn=" + role + "\nsource_profile=c\n", new(*awserr.CredentialsError), `profile "c", which does not exist`},
		{"switch that is none", awsconf.Config{}, map[string]string{"AWS_USE_FIPS_ENDPOINT": "maybe"}, "", new(*awserr.CredentialsError), "AWS_USE_FIPS_ENDPOINT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(tt.file)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			_, err := tryLoad(t, tt.config)
			if err == nil || !errors.As(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%T %v, want %T with %q", err, err, tt.want, tt.text)
			}
			if err != nil && strings.Contains(err.Error(), "secretpassword") {
				t.Error("the error quotes a password")
			}
		})
	}
}

// newAWS is a fake AWS over TLS that calls go to, with one user whose keys are in
// the environment.
func newAWS(t *testing.T) (*fakeaws.Server, fakeaws.Key) {
	t.Helper()
	aws := fakeaws.New(fakeaws.Config{})
	k, err := aws.AddUser(fakeaws.User{Account: "111122223333", Name: "alice", MFASerial: "arn:aws:iam::111122223333:mfa/alice", MFACode: "123456"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if _, err := aws.AddRole(fakeaws.Role{Account: "111122223333", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewTLSServer(aws)
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", ca)
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	t.Setenv("AWS_REGION", "eu-central-1")
	setKeys(t, k)
	return aws, k
}

func whoAmI(t *testing.T, s *awsconf.Session) string {
	t.Helper()
	out, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(awserr.Explain(err))
	}
	return *out.Arn
}

func TestRoleChain(t *testing.T) {
	clean(t)
	fake, _ := newAWS(t)
	s := load(t, awsconf.Config{Roles: []awsconf.Role{
		{ARN: "arn:aws:iam::111122223333:role/first", SessionName: "one"},
		{ARN: "arn:aws:iam::111122223333:role/second", SessionName: "two"},
	}})
	if n := fake.Counts()[fakeaws.AssumeRole]; n != 0 {
		t.Errorf("loading assumed %d roles", n)
	}
	for range 2 {
		if got := whoAmI(t, s); got != "arn:aws:sts::111122223333:assumed-role/second/two" {
			t.Error(got)
		}
	}
	if n := fake.Counts()[fakeaws.AssumeRole]; n != 2 {
		t.Errorf("%d roles assumed, want each once", n)
	}
	if got, want := s.Source(), "role arn:aws:iam::111122223333:role/second, assumed with: environment variables"; got != want {
		t.Errorf("source %q, want %q", got, want)
	}
	s.Credentials().(interface{ Invalidate() }).Invalidate()
	if _, err := s.Credentials().Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := fake.Counts()[fakeaws.AssumeRole]; n != 3 {
		t.Errorf("%d roles assumed after Invalidate, want one more", n)
	}
}

// A profile's role is assumed at the same address as all else.
func TestOverrideForProfileRole(t *testing.T) {
	const file = "[profile p]\nrole_arn = arn:aws:iam::111122223333:role/first\ncredential_source = Environment\n"
	for _, how := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "flag"} {
		t.Run(how, func(t *testing.T) {
			clean(t)(file)
			fake, _ := newAWS(t)
			url := os.Getenv("AWS_ENDPOINT_URL")
			t.Setenv("AWS_ENDPOINT_URL", "")
			_ = os.Unsetenv("AWS_ENDPOINT_URL")
			config := awsconf.Config{Profile: "p"}
			if how == "flag" {
				config.EndpointURL = url
			} else {
				t.Setenv(how, url)
			}
			if got := whoAmI(t, load(t, config)); got != "arn:aws:sts::111122223333:assumed-role/first/ekskey" {
				t.Error(got)
			}
			if n := fake.Counts()[fakeaws.AssumeRole]; n != 1 {
				t.Errorf("%d roles assumed, want one", n)
			}
		})
	}
}

func TestSecondFactor(t *testing.T) {
	const serial = "arn:aws:iam::111122223333:mfa/alice"
	const role = "arn:aws:iam::111122223333:role/first"
	file := "[profile p]\nrole_arn = " + role + "\ncredential_source = Environment\nmfa_serial = " + serial + "\n"
	for _, tt := range []struct {
		name   string
		config awsconf.Config
		code   string
		err    error
		text   string // of the error; empty for success
	}{
		{"by flags", awsconf.Config{Roles: []awsconf.Role{{ARN: role, MFASerial: serial}}}, "123456", nil, ""},
		{"by profile", awsconf.Config{Profile: "p"}, "123456", nil, ""},
		{"a wrong code", awsconf.Config{Profile: "p"}, "654321", nil, "assuming the role of profile p: AccessDenied: "},
		{"no code", awsconf.Config{Profile: "p"}, "", errors.New("no MFA code was entered"), "could not be read: no MFA code was entered"},
		{"nobody to ask", awsconf.Config{Profile: "p"}, "", nil, "there is no terminal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)(file)
			newAWS(t)
			asked := 0
			if tt.code != "" || tt.err != nil {
				tt.config.MFACode = func(_ context.Context, got string) (string, error) {
					asked++
					if got != serial {
						t.Errorf("asked for %s", got)
					}
					return tt.code, tt.err
				}
			}
			s := load(t, tt.config)
			_, err := s.Credentials().Retrieve(t.Context())
			if tt.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := whoAmI(t, s); got != "arn:aws:sts::111122223333:assumed-role/first/ekskey" || asked != 1 {
					t.Errorf("%s, asked %d times", got, asked)
				}
				return
			}
			var refused *awserr.CredentialsError
			if !errors.As(err, &refused) || !strings.Contains(refused.Cause, tt.text) {
				t.Errorf("%v, want %q", err, tt.text)
			}
		})
	}
}

// A service that no longer answers costs one short attempt, and none at all
// where it is turned off.
func TestInstanceMetadata(t *testing.T) {
	for _, tt := range []struct {
		name, disabled, source string
		works                  bool
		asked                  bool
	}{
		{"works", "", "instance metadata service", true, true},
		{"fails", "", "", false, true},
		{"turned off", "true", "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean(t)
			var requests atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				switch {
				case !tt.works:
					http.Error(w, "no", http.StatusInternalServerError)
				case r.Method == http.MethodPut:
					w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
					_, _ = fmt.Fprint(w, "t")
				case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
					_, _ = fmt.Fprint(w, "node")
				default:
					_, _ = fmt.Fprint(w, `{"Code":"Success","AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`)
				}
			}))
			defer srv.Close()
			t.Setenv("AWS_EC2_METADATA_DISABLED", tt.disabled)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.URL)
			s := load(t, awsconf.Config{})
			creds, err := s.Credentials().Retrieve(t.Context())
			if tt.source != "" {
				if err != nil || creds.AccessKeyID != "ASIAIOSFODNN7EXAMPLE" || s.Source() != tt.source {
					t.Errorf("%v, %v, %q", creds.AccessKeyID, err, s.Source())
				}
				return
			}
			var none *awserr.CredentialsError
			if !errors.As(err, &none) || none.Cause != "no AWS credentials found" || none.Hint == "" {
				t.Errorf("%v", err)
			}
			// One for a session token and one without, of the older protocol.
			if n := requests.Load(); tt.asked != (n > 0) || n > 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
