// Package awsprofile reads a profile of AWS's files, with the profiles that its
// source_profile leads to, into the SDK's type. What a profile lacks, or says in a way
// that the AWS CLI and the SDKs read differently, is an error that names it.
package awsprofile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/awsfiles"
)

// The settings of a profile that decide who signs.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
const (
	keyIDSetting          = "aws_access_key_id"
	secretSetting         = "aws_secret_access_key" // #nosec G101 -- the name of a setting
	sessionTokenSetting   = "aws_session_token"
	securityTokenSetting  = "aws_security_token" // what the AWS CLI called it first
	RoleARN               = "role_arn"
	SourceProfile         = "source_profile"
	CredentialSource      = "credential_source" // #nosec G101 -- the name of a setting
	processSetting        = "credential_process"
	webIdentitySetting    = "web_identity_token_file"
	ssoSessionSetting     = "sso_session"
	ssoAccountSetting     = "sso_account_id"
	ssoRoleSetting        = "sso_role_name"
	ssoRegionSetting      = "sso_region"
	ssoStartURLSetting    = "sso_start_url"
	loginSetting          = "login_session"
	useFIPSSetting        = "use_fips_endpoint"
	useDualStackSetting   = "use_dualstack_endpoint"
	maxAttemptsSetting    = "max_attempts"
	retryModeSetting      = "retry_mode"
	durationSetting       = "duration_seconds"
	regionSetting         = "region"
	servicesSetting       = "services"
	ignoreEndpointSetting = "ignore_configured_endpoint_urls"
)

// plainSettings are those whose values hold no blank with a # or ; behind it and no
// quotes around them. SDKs take these for a comment and for quotes, the AWS CLI takes
// them as part of the value, and so nobody can mean them.
func plainSettings() []string {
	return []string{
		keyIDSetting, secretSetting, sessionTokenSetting, securityTokenSetting, RoleARN, SourceProfile, CredentialSource,
		"external_id", "mfa_serial", "role_session_name", durationSetting, ssoSessionSetting, ssoAccountSetting, ssoRoleSetting,
		ssoRegionSetting, ssoStartURLSetting, loginSetting, useFIPSSetting, useDualStackSetting, maxAttemptsSetting, retryModeSetting,
		regionSetting, servicesSetting, ignoreEndpointSetting, "endpoint_url",
	}
}

// Reader reads profiles for the SDK's types. The zero value has none.
type Reader struct{ Files *awsfiles.Config }

// at says where a setting is, for messages.
func at(s awsfiles.Setting) string { return fmt.Sprintf("line %d of %s", s.Line, s.File.Path) }

// check refuses values that the AWS CLI and the SDKs read differently.
func (p Reader) check(profile *awsfiles.Profile) error {
	for _, key := range append(plainSettings(), processSetting, webIdentitySetting, "ca_bundle") {
		s, ok := profile.Get(key)
		switch {
		case !ok:
		case strings.Contains(s.Value, "\n"):
			return awserr.Bad("write each setting at the same indentation as the one above it",
				"the setting %s of profile %s (%s) goes on in the indented lines below it", key, profile.Name, at(s))
		case s.Nested != nil:
			return awserr.Bad("write the value behind the equals sign", "the setting %s of profile %s (%s) has settings of its own", key, profile.Name, at(s))
		case !slices.Contains(plainSettings(), key):
		case isQuoted(s.Value):
			return awserr.Bad("leave the quotes out: the AWS CLI takes them as part of the value",
				"the setting %s of profile %s (%s) is in quotes", key, profile.Name, at(s))
		case hasComment(s.Value):
			return awserr.Bad("write the comment on a line of its own: the AWS CLI takes it as part of the value",
				"the setting %s of profile %s (%s) has a comment behind it", key, profile.Name, at(s))
		}
	}
	return nil
}

func isQuoted(s string) bool {
	return len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0]
}

func hasComment(s string) bool {
	for _, mark := range []string{" #", " ;", "\t#", "\t;"} {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return false
}

// Settings are what a profile says besides who signs.
func (p Reader) Settings(profile *awsfiles.Profile) (config.SharedConfig, error) {
	c := config.SharedConfig{
		Profile: profile.Name, Region: profile.Value(regionSetting),
		CustomCABundle: awsfiles.Path(profile.Value("ca_bundle")), BaseEndpoint: profile.Value("endpoint_url"),
		AppID: profile.Value("sdk_ua_app_id"), EC2IMDSEndpoint: profile.Value("ec2_metadata_service_endpoint"),
	}
	if err := p.check(profile); err != nil {
		return c, err
	}
	flag := func(key string) *bool {
		if s, ok := profile.Get(key); ok {
			return aws.Bool(strings.EqualFold(s.Value, "true"))
		}
		return nil
	}
	if on := flag(useFIPSSetting); on != nil {
		c.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
		if *on {
			c.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}
	}
	if on := flag(useDualStackSetting); on != nil {
		c.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
		if *on {
			c.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
	}
	c.IgnoreConfiguredEndpoints, c.EC2IMDSv1Disabled = flag(ignoreEndpointSetting), flag("ec2_metadata_v1_disabled")
	wrong := func(s awsfiles.Setting, want string) error {
		return awserr.Bad("", "the setting %s of profile %s (%s) is not %s", s.Key, profile.Name, at(s), want)
	}
	if s, ok := profile.Get(maxAttemptsSetting); ok {
		n, err := strconv.Atoi(s.Value)
		if err != nil {
			return c, wrong(s, "a number")
		}
		c.RetryMaxAttempts = n
	}
	if s, ok := profile.Get(retryModeSetting); ok {
		mode, err := aws.ParseRetryMode(s.Value)
		if err != nil && s.Value != "legacy" { // the AWS CLI's own
			return c, wrong(s, "legacy, standard or adaptive")
		}
		c.RetryMode = mode
	}
	if s, ok := profile.Get("ec2_metadata_service_endpoint_mode"); ok {
		var mode imds.EndpointModeState
		if err := mode.SetFromString(s.Value); err != nil {
			return c, wrong(s, "IPv4 or IPv6")
		}
		c.EC2IMDSEndpointMode = mode
	}
	c.ServicesSectionName = profile.Value(servicesSetting)
	if section, ok := p.Files.Services(c.ServicesSectionName); ok {
		c.Services.ServiceValues = map[string]map[string]string{}
		for _, s := range section.Settings() {
			c.Services.ServiceValues[s.Key] = s.Nested
		}
	}
	return c, nil
}

// Keys are a profile's access key: that of the credentials file, else of the config
// file. Zero keys mean that there is none.
func (p Reader) Keys(profile *awsfiles.Profile) (aws.Credentials, error) {
	for _, section := range []*awsfiles.Section{profile.Credentials, profile.Config} {
		if section == nil {
			continue
		}
		value := func(key string) string {
			s, _ := section.Get(key)
			return s.Value
		}
		id, secret := value(keyIDSetting), value(secretSetting)
		if id == "" && secret == "" {
			continue
		}
		if id == "" || secret == "" {
			missing := secretSetting
			if id == "" {
				missing = keyIDSetting
			}
			return aws.Credentials{}, awserr.Bad("give it both halves of the access key, or neither",
				"profile %s has one half of an access key only: %s is missing in the section of line %d of %s", profile.Name, missing, section.Line, section.File.Path)
		}
		return aws.Credentials{
			AccessKeyID: id, SecretAccessKey: secret, SessionToken: cmp.Or(value(sessionTokenSetting), value(securityTokenSetting)),
			AccountID: value("aws_account_id"), Source: "SharedConfigCredentials: " + section.File.Path,
		}, nil
	}
	return aws.Credentials{}, nil
}

// Load is a profile with the profiles that its source_profile leads to. Which of
// several sources of one profile counts is the SDK's order; what the profile lacks is
// an error that names it.
func (p Reader) Load(name string, way []string) (config.SharedConfig, error) {
	profile, ok := p.Files.Profile(name)
	if !ok {
		return config.SharedConfig{}, p.Missing(name, way)
	}
	c, err := p.Settings(profile)
	if err != nil {
		return c, err
	}
	if c.Credentials, err = p.Keys(profile); err != nil {
		return c, err
	}
	c.CredentialProcess, c.LoginSession = profile.Value(processSetting), profile.Value(loginSetting)
	c.WebIdentityTokenFile = awsfiles.Path(profile.Value(webIdentitySetting))
	if err := p.sso(profile, &c); err != nil {
		return c, err
	}
	again := slices.Contains(way, name)
	if !again {
		c.RoleARN = profile.Value(RoleARN)
	}
	if c.RoleARN == "" {
		if !again && c.WebIdentityTokenFile != "" {
			return c, awserr.Bad("give profile "+name+" a role_arn", "profile %s has web_identity_token_file and no role_arn", name)
		}
		if again && !hasSource(c) {
			loop := append(slices.Clone(way[slices.Index(way, name):]), name)
			if way[0] != name { // how it is got to, too
				loop = append(slices.Clone(way), name)
			}
			return c, awserr.Bad("give one of them credentials of its own, or another source_profile", "the source profiles go round in a loop: %s", strings.Join(loop, " → "))
		}
		return c, nil // source_profile and credential_source are for a role
	}
	c.SourceProfileName, c.CredentialSource = profile.Value(SourceProfile), profile.Value(CredentialSource)
	c.ExternalID, c.MFASerial, c.RoleSessionName = profile.Value("external_id"), profile.Value("mfa_serial"), profile.Value("role_session_name")
	if s, ok := profile.Get(durationSetting); ok {
		seconds, err := strconv.ParseUint(s.Value, 10, 31)
		if err != nil {
			return c, awserr.Bad("", "the setting %s of profile %s (%s) is not a number of seconds", s.Key, name, at(s))
		}
		c.RoleDurationSeconds = aws.Duration(time.Duration(seconds) * time.Second)
	}
	if len(way) > 0 && c.Credentials.HasKeys() {
		return c, nil
	}
	if err := oneSource(name, profile); err != nil {
		return c, err
	}
	if c.SourceProfileName == "" {
		if c.CredentialSource == "" && !hasSource(c) {
			return c, awserr.Bad("name the profile whose credentials assume the role with source_profile, or use credential_source",
				"profile %s has role_arn, and neither source_profile nor credential_source", name)
		}
		return c, nil
	}
	source, err := p.Load(c.SourceProfileName, append(way, name))
	if err != nil {
		return c, err
	}
	if source.RoleARN == "" && !hasSource(source) {
		return c, awserr.Bad(cmp.Or(p.Hint(source.Profile), "give profile "+source.Profile+" credentials, or name another source_profile"),
			"profile %q takes its credentials from profile %q, which has none", name, source.Profile)
	}
	c.Source, c.Credentials, c.CredentialProcess, c.LoginSession, c.SSOSession = &source, aws.Credentials{}, "", "", nil
	c.SSOAccountID, c.SSORoleName, c.SSORegion, c.SSOStartURL, c.SSOSessionName = "", "", "", "", ""
	return c, nil
}

// hasSource reports whether a profile itself has credentials, or says where they are.
func hasSource(c config.SharedConfig) bool {
	return c.Credentials.HasKeys() || c.CredentialSource != "" || c.CredentialProcess != "" || c.WebIdentityTokenFile != "" || HasSSO(c) || c.LoginSession != ""
}

// HasSSO reports whether a profile takes its credentials from IAM Identity Center.
func HasSSO(c config.SharedConfig) bool { return c.SSOAccountID != "" }

// oneSource refuses a role with two sources of credentials.
func oneSource(name string, profile *awsfiles.Profile) error {
	var have []string
	for _, key := range []string{SourceProfile, CredentialSource, processSetting, webIdentitySetting} {
		if profile.Value(key) != "" {
			have = append(have, key)
		}
	}
	if len(have) > 1 {
		return awserr.Bad("leave one of them", "profile %s has both %s", name, strings.Join(have, " and "))
	}
	return nil
}

// sso reads what a profile says of IAM Identity Center. What is missing is an error,
// unless the profile has keys, which go before it.
func (p Reader) sso(profile *awsfiles.Profile, c *config.SharedConfig) error {
	session, region, start := profile.Value(ssoSessionSetting), profile.Value(ssoRegionSetting), profile.Value(ssoStartURLSetting)
	account, role := profile.Value(ssoAccountSetting), profile.Value(ssoRoleSetting)
	if session+region+start+account+role == "" || c.Credentials.HasKeys() {
		return nil
	}
	if account+role == "" && (c.CredentialProcess != "" || c.LoginSession != "" || profile.Value(RoleARN) != "") {
		return nil // a session for bearer tokens, as the AWS CLI has it
	}
	if profile.Value(SourceProfile) != "" && profile.Value(RoleARN) != "" {
		return nil // the source profile's credentials count
	}
	var lacks []string
	need := func(value, name string) {
		if value == "" {
			lacks = append(lacks, name)
		}
	}
	where := "profile " + profile.Name
	if session != "" {
		section, ok := p.Files.SSOSession(session)
		if !ok {
			return awserr.Bad("add the section [sso-session "+session+"] to "+p.Files.Files().Config.Path+", or run: aws configure sso",
				"profile %s names the sso_session %q, which does not exist", profile.Name, session)
		}
		value := func(key string) string {
			s, _ := section.Get(key)
			return s.Value
		}
		c.SSOSession = &config.SSOSession{Name: session, SSORegion: value(ssoRegionSetting), SSOStartURL: value(ssoStartURLSetting)}
		for own, of := range map[string]string{region: c.SSOSession.SSORegion, start: c.SSOSession.SSOStartURL} {
			if own != "" && of != "" && own != of {
				return awserr.Bad("leave sso_region and sso_start_url to the section [sso-session "+session+"]",
					"profile %s and its sso-session %s name two different SSO portals", profile.Name, session)
			}
		}
		need(c.SSOSession.SSORegion, ssoRegionSetting)
		need(c.SSOSession.SSOStartURL, ssoStartURLSetting)
		if len(lacks) > 0 {
			where = "the sso-session " + session
		}
	} else {
		need(region, ssoRegionSetting)
		need(start, ssoStartURLSetting)
	}
	if session == "" || len(lacks) == 0 {
		need(account, ssoAccountSetting)
		need(role, ssoRoleSetting)
	}
	if len(lacks) > 0 {
		return awserr.Bad("add what is missing, or run: aws configure sso --profile "+awserr.ShellWord(profile.Name), "%s has no %s", where, strings.Join(lacks, " and no "))
	}
	c.SSOSessionName, c.SSORegion, c.SSOStartURL, c.SSOAccountID, c.SSORoleName = session, region, start, account, role
	return nil
}

// Missing says that a profile does not exist.
func (p Reader) Missing(name string, way []string) error {
	hint := cmp.Or(p.Hint(name), p.known())
	if len(way) > 0 {
		return awserr.Bad(hint, "profile %q takes its credentials from profile %q, which does not exist", way[len(way)-1], name)
	}
	return awserr.Bad(hint, "the AWS profile %q does not exist", name)
}

// Hint points at a section that somebody may have meant for the profile.
func (p Reader) Hint(name string) string {
	if s := p.Files.Misnamed(name); s != nil {
		return fmt.Sprintf("line %d of %s is [profile %s]: in that file it must be [%s]", s.Line, s.File.Path, name, name)
	}
	return ""
}

// known lists the profiles there are.
func (p Reader) known() string {
	names := p.Files.Profiles()
	if len(names) == 0 {
		return "there are no profiles in " + p.Files.Files().Names()
	}
	const most = 20
	if len(names) > most {
		names = append(names[:most], "…")
	}
	hint := "profiles there are: " + strings.Join(names, ", ")
	if f := p.Files.Files(); f.Config.Variable != "" && !f.Config.Exists || f.Credentials.Variable != "" && !f.Credentials.Exists {
		hint += "; in " + f.Names()
	}
	return hint
}
