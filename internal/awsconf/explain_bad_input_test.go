package awsconf_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// TestBadInput: one thing wrong a row. Each has a cause of one line and something
// to do, and quotes no secret.
func TestBadInput(t *testing.T) {
	const (
		chain   = "[profile p]\nrole_arn = " + firstRole + "\nsource_profile = "
		mfa     = "arn:aws:iam::111122223333:mfa/alice"
		secret  = "secret-value"
		noToken = "the web identity token"
	)
	asAlice := func(s *sources) awsconf.Config { setKeys(s.t, s.alice); return awsconf.Config{} }
	withRole := func(r awsconf.Role) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config {
			setKeys(s.t, s.alice)
			return awsconf.Config{Roles: []awsconf.Role{r}}
		}
	}
	file := func(text string) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config { s.write(text); return awsconf.Config{Profile: "p"} }
	}
	code := func(code string) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config {
			setKeys(s.t, s.alice)
			return awsconf.Config{
				Roles:   []awsconf.Role{{ARN: firstRole, MFASerial: mfa}},
				MFACode: func(context.Context, string) (string, error) { return code, nil },
			}
		}
	}
	web := func(set func(*sources) string) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_ROLE_ARN", webRole)
			s.t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", set(s))
			return awsconf.Config{}
		}
	}
	skewed := func(d time.Duration) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config {
			s.aws.SetSkew(d)
			setKeys(s.t, s.alice)
			return awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}}}
		}
	}
	fault := func(f fakeaws.Fault) func(*sources) awsconf.Config {
		return func(s *sources) awsconf.Config {
			s.aws.SetFault(fakeaws.AssumeRole, f)
			return withRole(awsconf.Role{ARN: firstRole})(s)
		}
	}
	const assuming = "assuming role " + firstRole + ": "
	for _, tt := range []struct {
		name, cause, hint string
		set               func(*sources) awsconf.Config
	}{
		{"a line without a setting", "the AWS configuration cannot be used: line 2 of ", "fix the file", file("[profile p]\naws_access_key_id " + secret + "\n")},
		{"half a key, and a bad line", "the AWS configuration cannot be used: line 3 of ", "fix the file", file("[profile p]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key " + secret + "\n")},
		{"half a key", "profile p has one half of an access key only", "give it both", file("[profile p]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n")},
		{"a setting outside", "the AWS configuration cannot be used: line 1 of ", "fix the file", file("aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n[profile p]\n")},
		{"a credential_source that is none", "profile p has a credential_source that does not exist", "credential_source is ", file("[profile p]\nrole_arn = " + firstRole + "\ncredential_source = Elsewhere\n")},
		{"an sso-session that does not exist", `profile p names the sso_session "nope", which does not exist`, "add the section [sso-session nope]", file("[profile p]\nsso_session = nope\nsso_account_id = 111122223333\nsso_role_name = Ops\n")},
		{"a section that does not end", "the AWS configuration cannot be used: line 1 of ", "fix the file", file("[profile p\naws_secret_access_key = " + secret + "\n")},
		{"a file that is a folder", "the AWS configuration file ", "fix the file", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_CONFIG_FILE", s.dir)
			return awsconf.Config{}
		}},
		{"a loop of one", "the source profiles go round in a loop: p → p", "give one of them", file(chain + "p\n")},
		{"a loop of two", "the source profiles go round in a loop: p → q → p", "give one of them", file(chain + "q\n[profile q]\nrole_arn = " + firstRole + "\nsource_profile = p\n")},
		{"a loop further on", "the source profiles go round in a loop: p → q → r → q", "give one of them", file(chain + "q\n[profile q]\nrole_arn = " + firstRole + "\nsource_profile = r\n[profile r]\nrole_arn = " + firstRole + "\nsource_profile = q\n")},
		{"a source without credentials", `profile "p" takes its credentials from profile "q", which has none`, "give profile q", file(chain + "q\n[profile q]\nregion = eu-west-1\n")},
		{"a source that does not exist", `profile "p" takes its credentials from profile "q", which does not exist`, "profiles there are: ", file(chain + "q\n")},

		{"a role that may not be assumed", "assuming role " + webRole + ": AccessDenied: User: arn:aws:sts::111122223333:assumed-role/first/ekskey is not authorized", "the role's trust policy", func(s *sources) awsconf.Config {
			setKeys(s.t, s.alice)
			return awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}, {ARN: webRole}}}
		}},
		{"a role that does not exist", "assuming role " + firstRole + "x: AccessDenied: User: arn:aws:iam::111122223333:user/alice is not authorized", "the role's trust policy", withRole(awsconf.Role{ARN: firstRole + "x"})},
		{"a role of a profile", "assuming the role of profile p: AccessDenied: User: ", "the role's trust policy", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + webRole + "\nsource_profile = q\n[profile q]\n" + keyLines(s.alice))
			return awsconf.Config{Profile: "p"}
		}},
		{"a wrong code", assuming + "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code.", "wait for the next code", code("654321")},
		{"a code too short", assuming, "the MFA code is six digits", func(s *sources) awsconf.Config {
			s.aws.SetFault(fakeaws.AssumeRole, fakeaws.Fault{Code: "ValidationError", Message: "1 validation error detected: Value '" + secret + "' at 'tokenCode' failed to satisfy constraint: Member must have length greater than or equal to 6"})
			return code(secret)(s)
		}},
		{"another's MFA device", assuming + "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code.", "check the serial number", func(s *sources) awsconf.Config {
			c := code("123456")(s)
			c.Roles[0].MFASerial += "2"
			return c
		}},
		{"a session longer than the role's", assuming + "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration", "ask for less with --duration", withRole(awsconf.Role{ARN: firstRole, Duration: 2 * time.Hour})},
		{"a long session of a chain", "assuming role " + secondRole + ": ValidationError: The requested DurationSeconds exceeds the ", "ask for less with --duration", func(s *sources) awsconf.Config {
			setKeys(s.t, s.alice)
			return awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}, {ARN: secondRole, Duration: 2 * time.Hour}}}
		}},
		{"chaining, as AWS words it", assuming + "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit", "a role assumed by another role's session has an hour",
			fault(fakeaws.Fault{Code: "ValidationError", Message: "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."})},
		{"throttled", assuming + "Throttling: Rate exceeded", "wait a moment", fault(fakeaws.Fault{Code: "Throttling"})},

		{"a clock behind", assuming + "this computer's clock is 17 minutes behind AWS's (SignatureDoesNotMatch)", "set this computer's clock", skewed(17 * time.Minute)},
		{"a clock ahead", assuming + "this computer's clock is 3 hours ahead of AWS's (SignatureDoesNotMatch)", "set this computer's clock", skewed(-3 * time.Hour)},
		{"a clock of another week", assuming + "this computer's clock is 7 days ahead of AWS's (SignatureDoesNotMatch)", "set this computer's clock", skewed(-7 * 24 * time.Hour)},
		{"a clock behind, and a role of a profile", "assuming the role of profile p: this computer's clock is 17 minutes behind AWS's (SignatureDoesNotMatch)", "set this computer's clock", func(s *sources) awsconf.Config {
			skewed(17 * time.Minute)(s)
			s.write("[profile p]\nrole_arn = " + firstRole + "\nsource_profile = q\n[profile q]\n" + keyLines(s.alice))
			return awsconf.Config{Profile: "p"}
		}},
		{"a wrong secret, by a clock that is off", assuming + "SignatureDoesNotMatch: The request signature we calculated", "check the secret access key", func(s *sources) awsconf.Config {
			s.alice.SecretAccessKey = "wrong"
			return skewed(10 * time.Minute)(s)
		}},

		{"expired credentials of the environment", assuming + "the AWS credentials from environment variables have expired", "get new credentials", func(s *sources) awsconf.Config {
			setKeys(s.t, s.node)
			if err := s.aws.ExpireSession(s.node.AccessKeyID); err != nil {
				s.t.Fatal(err)
			}
			return awsconf.Config{Roles: []awsconf.Role{{ARN: firstRole}}}
		}},
		{"expired credentials of a profile", assuming + "the AWS credentials from profile p (access key) have expired", "get new credentials", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.node))
			if err := s.aws.ExpireSession(s.node.AccessKeyID); err != nil {
				s.t.Fatal(err)
			}
			return awsconf.Config{Profile: "p", Roles: []awsconf.Role{{ARN: firstRole}}}
		}},
		{"a key of nobody", assuming + "InvalidClientTokenId: ", "check the access key", func(s *sources) awsconf.Config {
			c := withRole(awsconf.Role{ARN: firstRole})(s)
			s.t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
			return c
		}},

		{"no web identity file", noToken + " file /missing/token cannot be read: no such file or directory", "in a pod, ", web(func(*sources) string { return "/missing/token" })},
		{"an empty web identity file", noToken + " file ", "in a pod, ", web(func(s *sources) string { return s.file("token", "") })},
		{"an expired web identity", noToken + " in ", "whoever writes the file must renew it", web(func(s *sources) string {
			return s.file("token", webToken(s.t, time.Now().Add(-time.Minute)))
		})},
		{"a web identity that is none", "STS does not accept the web identity token in ", "the role's account needs an OIDC identity provider", web(func(s *sources) string { return s.file("token", secret) })},
		{"a web identity for another role", "assuming a role with the web identity token in ", "the role must exist", web(func(s *sources) string {
			s.t.Setenv("AWS_ROLE_ARN", firstRole)
			return s.file("token", webToken(s.t, time.Now().Add(time.Hour)))
		})},
		{"a web identity of a profile, expired", noToken + " in ", "whoever writes the file", func(s *sources) awsconf.Config {
			s.write("[profile p]\nrole_arn = " + webRole + "\nweb_identity_token_file = " + s.file("token", webToken(s.t, time.Now().Add(-time.Minute))) + "\n")
			return awsconf.Config{Profile: "p"}
		}},
		{"a web identity without a role", "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not", "set AWS_ROLE_ARN", func(s *sources) awsconf.Config {
			s.t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", s.file("token", secret))
			return awsconf.Config{}
		}},
		{"nothing wrong", "", "", asAlice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			if !strings.Contains(tt.name, "clock") { // what the SDK would mend by trying again
				t.Setenv("AWS_MAX_ATTEMPTS", "1")
			}
			session, err := tryLoad(t, tt.set(s))
			if err == nil {
				_, err = session.Credentials().Retrieve(t.Context())
			}
			if tt.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var bad *awserr.CredentialsError
			if !errors.As(err, &bad) || !strings.HasPrefix(bad.Cause, tt.cause) || !strings.HasPrefix(bad.Hint, tt.hint) {
				t.Fatalf("%T %v, hint %q, want %q, %q", err, err, awserr.HintFor(err), tt.cause, tt.hint)
			}
			if text := bad.Cause + bad.Hint; strings.Contains(text, secret) || strings.Contains(text, "\n") || len(bad.Cause) > 400 {
				t.Errorf("cause %q, hint %q", bad.Cause, bad.Hint)
			}
		})
	}
}

// A call, as against a role: the clock and expired credentials are named there too.
func TestExplainCalls(t *testing.T) {
	for _, tt := range []struct {
		name, text, hint string
		set              func(*sources) awsconf.Config
	}{
		{"clock", "calling STS GetCallerIdentity: this computer's clock is 20 minutes behind AWS's (SignatureDoesNotMatch)", "set this computer's clock", func(s *sources) awsconf.Config {
			s.aws.SetSkew(20 * time.Minute)
			setKeys(s.t, s.alice)
			return awsconf.Config{}
		}},
		{"expired", "the AWS credentials from profile p (access key) have expired", "get new credentials", func(s *sources) awsconf.Config {
			s.write("[profile p]\n" + keyLines(s.node))
			if err := s.aws.ExpireSession(s.node.AccessKeyID); err != nil {
				s.t.Fatal(err)
			}
			return awsconf.Config{Profile: "p"}
		}},
		{"refused", "calling STS GetCallerIdentity: InvalidClientTokenId: ", "check the access key", func(s *sources) awsconf.Config {
			setKeys(s.t, fakeaws.Key{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "s"})
			return awsconf.Config{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			session := load(t, tt.set(s))
			_, err := session.STS().GetCallerIdentity(t.Context(), nil)
			err = session.Explain(err)
			if err == nil || !strings.HasPrefix(err.Error(), tt.text) || !strings.HasPrefix(awserr.HintFor(err), tt.hint) {
				t.Errorf("%v, hint %q, want %q, %q", err, awserr.HintFor(err), tt.text, tt.hint)
			}
			if session.Explain(nil) != nil {
				t.Error("there is nothing to explain")
			}
		})
	}
}

// What a service quotes of a parameter is left out, whole or cut off.
func TestExplainQuotesNoValue(t *testing.T) {
	for _, message := range []string{
		"1 validation error detected: Value 'secret-value' at 'tokenCode' failed to satisfy constraint",
		"2 validation errors detected: Value 'secret-value' at 'tokenCode' failed to satisfy constraint: x; Value 'secret-value' at 'webIdentityToken' failed",
		"1 validation error detected: Value 'half. secret-value' at 'tokenCode' failed",
		"1 validation error detected: Value 'secret-value",
	} {
		s := newSources(t)
		setKeys(t, s.alice)
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		s.aws.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "ValidationError", Message: message})
		_, err := load(t, awsconf.Config{}).STS().GetCallerIdentity(t.Context(), nil)
		if text := awserr.Explain(err).Error(); strings.Contains(text, "secret-value") || !strings.Contains(text, "ValidationError") {
			t.Errorf("%s", text)
		}
	}
}
