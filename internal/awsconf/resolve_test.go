package awsconf_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
)

// sdks is what the SDK's own loader makes of the process's environment.
type sdks struct {
	sources []aws.CredentialSource
	keys    aws.Credentials // if they stand somewhere
	region  string
	fips    aws.FIPSEndpointState
	dual    aws.DualStackEndpointState
}

func loadSDK(t *testing.T, profile, region string) (sdks, error) {
	t.Helper()
	var options []func(*config.LoadOptions) error
	if profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), options...)
	if err != nil {
		return sdks{}, err
	}
	out := sdks{region: cfg.Region, sources: cfg.Credentials.(aws.CredentialProviderSource).ProviderSources()}
	for _, source := range cfg.ConfigSources {
		switch c := source.(type) {
		case config.EnvConfig:
			out.fips, out.dual = c.UseFIPSEndpoint, c.UseDualStackEndpoint
		case config.SharedConfig:
			if out.fips == aws.FIPSEndpointStateUnset {
				out.fips = c.UseFIPSEndpoint
			}
			if out.dual == aws.DualStackEndpointStateUnset {
				out.dual = c.UseDualStackEndpoint
			}
		}
	}
	if inPlace(out.sources) {
		out.keys, err = cfg.Credentials.Retrieve(t.Context())
	}
	return out, err
}

// inPlace reports whether the credentials are keys that stand in the environment or
// in a profile.
func inPlace(sources []aws.CredentialSource) bool {
	return slices.Equal(sources, []aws.CredentialSource{aws.CredentialSourceEnvVars}) || slices.Equal(sources, []aws.CredentialSource{aws.CredentialSourceProfile})
}

// TestC13AsTheSDK: in each combination of files, environment and flags, the same
// source is chosen as by the SDK's loader, and the same key, region and STS host;
// and keys that stand somewhere are found without a look into the cache.
func TestC13AsTheSDK(t *testing.T) {
	keys := func(name string) string {
		return "aws_access_key_id = AKIA" + strings.Repeat(strings.ToUpper(name[:1]), 16) + "\naws_secret_access_key = secret-of-" + name + "\n"
	}
	sso := "sso_account_id = 111122223333\nsso_role_name = r\nsso_region = us-east-1\nsso_start_url = https://x\n"
	files := map[string][2]string{
		"none":                 {},
		"credentials":          {"", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"config":               {"[default]\n" + keys("config") + "region = eu-west-1\n[profile p]\n" + keys("q"), ""},
		"both":                 {"[default]\n" + keys("config") + "region = eu-west-1\n[profile p]\nregion = eu-west-2\nuse_fips_endpoint = true\n", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"session":              {"", "[default]\n" + keys("default") + "aws_session_token = token\n[p]\n" + keys("p") + "aws_session_token=token-p\nregion = eu-west-3\n"},
		"dual stack":           {"[default]\nuse_dualstack_endpoint = TRUE\nregion = us-west-2\n[profile p]\nuse_dualstack_endpoint = false\n", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"colons and cases":     {"[default]\nREGION: eu-west-1\n[profile p]\nRegion=eu-west-1", "[default]\nAWS_Access_Key_ID: AKIADEFAULTDEFAULT12\nAWS_SECRET_ACCESS_KEY: s/e+c=r:et\n[p]\n" + keys("p")},
		"process":              {"[default]\ncredential_process = true\n[profile p]\ncredential_process = true\n", ""},
		"process and keys":     {"[default]\ncredential_process = true\n[profile p]\ncredential_process = true\n", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"sso":                  {"[default]\n" + sso + "[profile p]\n" + sso, ""},
		"sso and keys":         {"[default]\n" + sso + "[profile p]\n" + sso, "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"sso-session":          {"[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n", ""},
		"login":                {"[default]\nlogin_session = arn:aws:iam::111122223333:user/a\n[profile p]\nlogin_session = arn:aws:iam::111122223333:user/a\n", ""},
		"role":                 {"[default]\nrole_arn = " + firstRole + "\nsource_profile = base\n[profile p]\nrole_arn = " + firstRole + "\nsource_profile = base\nregion = eu-west-1\n", "[base]\n" + keys("base")},
		"role of itself":       {"[default]\nrole_arn = " + firstRole + "\nsource_profile = default\n[profile p]\nrole_arn = " + firstRole + "\nsource_profile = p\n", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
		"role over a role":     {"[default]\nrole_arn = " + firstRole + "\nsource_profile = p\n[profile p]\nrole_arn = " + firstRole + "\nsource_profile = base\n", "[base]\n" + keys("base")},
		"role and keys":        {"[default]\nrole_arn = " + firstRole + "\n" + keys("d") + "[profile p]\nrole_arn = " + firstRole + "\n" + keys("p"), ""},
		"role over sso":        {"[default]\nrole_arn = " + firstRole + "\nsource_profile = base\n[profile p]\nrole_arn = " + firstRole + "\nsource_profile = base\n[profile base]\n" + sso, ""},
		"role over a process":  {"[default]\nrole_arn = " + firstRole + "\nsource_profile = base\n[profile p]\nrole_arn = " + firstRole + "\nsource_profile = base\n[profile base]\ncredential_process = true\n", ""},
		"role of an instance":  {"[default]\nrole_arn = " + firstRole + "\ncredential_source = Ec2InstanceMetadata\n[profile p]\nrole_arn = " + firstRole + "\ncredential_source = Ec2InstanceMetadata\n", ""},
		"web identity":         {"[default]\nrole_arn = " + firstRole + "\nweb_identity_token_file = /token\n[profile p]\nrole_arn = " + firstRole + "\nweb_identity_token_file = /token\n", ""},
		"role and an unused":   {"[default]\nregion = eu-west-1\n[profile p]\n" + keys("p") + "[profile x]\nrole_arn = " + firstRole + "\n", "[default]\n" + keys("default")},
		"spaces and comments":  {"# c\n\n[default]   ; comment\n  region = eu-west-1\n", "[default]\n\taws_access_key_id = AKIADEFAULTDEFAULT12\n\taws_secret_access_key=s\n; c\n[p] # c\n" + strings.ReplaceAll(keys("p"), "\n", "\r\n")},
		"settings of services": {"[default]\ns3 =\n  addressing_style = path\nregion = eu-west-1\n[profile p]\nservices = l\n[services l]\nsts =\n  endpoint_url = http://127.0.0.1:1\n", "[default]\n" + keys("default") + "[p]\n" + keys("p")},
	}
	const envKeys = "AWS_ACCESS_KEY_ID=AKIAENVIRONMENT12345 AWS_SECRET_ACCESS_KEY=secret-of-environment "
	environments := map[string]string{
		"empty":         "",
		"keys":          envKeys,
		"session":       envKeys + "AWS_SESSION_TOKEN=token AWS_REGION=eu-central-1",
		"old names":     "AWS_ACCESS_KEY=AKIAENVIRONMENT12345 AWS_SECRET_KEY=secret AWS_DEFAULT_REGION=eu-north-1",
		"profile":       "AWS_PROFILE=p AWS_USE_FIPS_ENDPOINT=false",
		"old profile":   "AWS_DEFAULT_PROFILE=p AWS_USE_DUALSTACK_ENDPOINT=true",
		"profile, keys": envKeys + "AWS_PROFILE=p AWS_USE_FIPS_ENDPOINT=true AWS_REGION=us-east-1",
		"web identity":  "AWS_ROLE_ARN=" + firstRole + " AWS_WEB_IDENTITY_TOKEN_FILE=/token",
		"web and keys":  envKeys + "AWS_ROLE_ARN=" + firstRole + " AWS_WEB_IDENTITY_TOKEN_FILE=/token",
		"web, profile":  "AWS_PROFILE=p AWS_ROLE_ARN=" + firstRole + " AWS_WEB_IDENTITY_TOKEN_FILE=/token",
		"container":     "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:1/x",
		"ECS":           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x AWS_PROFILE=p",
		"token alone":   "AWS_SESSION_TOKEN=token",
		"no retries":    envKeys + "AWS_MAX_ATTEMPTS=1 AWS_RETRY_MODE=standard",
	}
	compared, static := 0, 0
	for file, texts := range files {
		for environment, vars := range environments {
			for _, flag := range []string{"", "p"} {
				t.Run(fmt.Sprintf("C13 %s, %s, %q", file, environment, flag), func(t *testing.T) {
					clean(t)(texts[0])
					if err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(texts[1]), 0o600); err != nil {
						t.Fatal(err)
					}
					for _, v := range strings.Fields(vars) {
						name, value, _ := strings.Cut(v, "=")
						t.Setenv(name, value)
					}
					want, sdkErr := loadSDK(t, flag, "")
					c := awsconf.Config{Profile: flag, Getenv: os.Getenv}
					isStatic := c.Static()
					got, err := awsconf.Load(t.Context(), c)
					missing := file == "none" && (flag != "" || strings.Contains(vars, "_PROFILE="))
					switch {
					case sdkErr != nil || missing: // the SDK forgives a missing AWS_DEFAULT_PROFILE
						var bad *awserr.CredentialsError
						if !errors.As(err, &bad) || isStatic {
							t.Errorf("%v, static %t; the SDK: %v", err, isStatic, sdkErr)
						}
						return
					case err != nil:
						t.Fatal(err)
					}
					compared++
					sources := got.Credentials().(aws.CredentialProviderSource).ProviderSources()
					if file == "sso-session" { // the SDK calls it the older form, for its account and role
						for i, source := range want.sources {
							if source == aws.CredentialSourceProfileSSOLegacy {
								want.sources = slices.Replace(want.sources, i, i+2, aws.CredentialSourceSSO)
								break
							}
						}
					}
					if !slices.Equal(sources, want.sources) {
						t.Errorf("sources %v, want %v", sources, want.sources)
					}
					if got.Region() != want.region || got.STSVariant().FIPS != (want.fips == aws.FIPSEndpointStateEnabled) ||
						got.STSVariant().DualStack != (want.dual == aws.DualStackEndpointStateEnabled) {
						t.Errorf("region %q, %+v, want %+v", got.Region(), got.STSVariant(), want)
					}
					if isStatic != inPlace(want.sources) {
						t.Errorf("static: %t", isStatic)
					}
					if !inPlace(want.sources) {
						return
					}
					static++
					creds, err := got.Credentials().Retrieve(t.Context())
					if err != nil || creds.AccessKeyID != want.keys.AccessKeyID || creds.SecretAccessKey != want.keys.SecretAccessKey || creds.SessionToken != want.keys.SessionToken {
						t.Errorf("key %s, %v, want %s", creds.AccessKeyID, err, want.keys.AccessKeyID)
					}
				})
			}
		}
	}
	t.Logf("%d combinations compared, %d of them keys in place", compared, static)
	if compared < 500 || static < 200 {
		t.Error("too few")
	}
}

// A region by flag, and a Config with roles.
func TestC13Flags(t *testing.T) {
	clean(t)("[profile p]\nregion = eu-west-1\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\n")
	c := awsconf.Config{Profile: "p", Region: "us-east-1"}
	if !c.Static() {
		t.Error("not static")
	}
	if s := load(t, c); s.Region() != "us-east-1" {
		t.Error(s.Region())
	}
	c.Roles = []awsconf.Role{{ARN: firstRole}}
	if c.Static() {
		t.Error("a role is static")
	}
}

// TestC13BundleIsReadLate: the CA bundle is read at the first connection, wherever it
// is named.
func TestC13BundleIsReadLate(t *testing.T) {
	const keys = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s\nregion = eu-west-1\n"
	for _, tt := range []struct{ name, file, variable, flag, want string }{
		{"profile", "ca_bundle = ~/missing.pem", "", "", "HOME/missing.pem: "},
		{"variable", "ca_bundle = ~/other.pem", "~/missing.pem", "", "HOME/missing.pem: "},
		{"flag", "", "/other.pem", "missing.pem", "missing.pem: "},
		{"no certificate", "", "", "resolve_test.go", "resolve_test.go: holds no PEM certificate"},
	} {
		for _, connections := range []*awsconf.Connections{nil, awsconf.NewConnections(2)} {
			t.Run(fmt.Sprintf("%s, shared %t", tt.name, connections != nil), func(t *testing.T) {
				clean(t)(keys + tt.file)
				t.Setenv("AWS_CA_BUNDLE", tt.variable)
				s := load(t, awsconf.Config{CABundle: tt.flag, Connections: connections})
				if _, err := s.Credentials().Retrieve(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := s.STS().GetCallerIdentity(t.Context(), nil)
				var bundle *awserr.CABundleError
				want := "reading CA bundle " + strings.Replace(tt.want, "HOME", os.Getenv("HOME"), 1)
				if err := s.Explain(err); !errors.As(err, &bundle) || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%T %v, want %s", err, err, want)
				}
			})
		}
	}
}
