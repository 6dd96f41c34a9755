package token_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

func encode(rawURL string) string {
	return token.Prefix + base64.RawURLEncoding.EncodeToString([]byte(rawURL))
}

func at(d time.Duration) func() time.Time {
	return func() time.Time { return clock.Truncate(time.Second).Add(d) }
}

func TestParseReadsWhatSourceMinted(t *testing.T) {
	long := strings.Repeat("FwoGZXIvYXdzE/+=", 256) // 4,096 bytes, STS's limit
	for _, session := range []string{"", "x/+= is no"[:4], long} {
		tok := mint(t, token.Config{Region: "eu-central-1", Credentials: token.StaticKeys(keyID, secret, session)})
		p, err := token.Parse(tok.Value())
		if err != nil {
			t.Fatal(err)
		}
		if p.Host != "sts.eu-central-1.amazonaws.com" || p.Region != "eu-central-1" || p.AccessKeyID != keyID ||
			!p.SignedAt.Equal(tok.SignedAt) || p.Expires != time.Minute || !p.ClusterSigned ||
			p.Temporary != (session != "") || p.Length != len(tok.Value()) || !p.End().Equal(tok.SignedAt.Add(15*time.Minute)) {
			t.Errorf("%+v", p)
		}
		if p.RequestURL() != signedURL(t, tok) {
			t.Errorf("rebuilt %s\nfrom    %s", p.RequestURL(), signedURL(t, tok))
		}
	}
	if (&token.Parsed{}).RequestURL() != "" {
		t.Error("a URL of nothing")
	}
}

// One mutation of a good URL a row. The vectors in verify/testdata hold more.
func TestParseRefuses(t *testing.T) {
	good := signedURL(t, mint(t, token.Config{Region: "us-east-1", Credentials: token.StaticKeys(keyID, secret, "SESSION")}))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return encode(strings.Replace(good, old, new, 1))
	}
	for _, c := range []struct {
		code  token.Code
		name  string
		token string
	}{
		{"V01", "too long", token.Prefix + strings.Repeat("A", token.MaxLength-len(token.Prefix)+1)},
		{"V02", "empty", ""},
		{"V02", "bearer", "Bearer " + encode(good)},
		{"V02", "upper case", strings.ToUpper(token.Prefix) + encode(good)[len(token.Prefix):]},
		{"V03", "padded", encode(good+"a"[:(3-len(good)%3)%3]) + "="},
		{"V03", "newline", encode(good)[:40] + "\n" + encode(good)[40:]},
		{"V03", "carriage return", encode(good) + "\r"},
		{"V03", "stray bits", encode("a")[:len(token.Prefix)+1] + "R"},
		{"V04", "NUL", replace("/?", "/\x00?")},
		{"V04", "space", replace("Action", " Action")},
		{"V04", "not UTF-8", replace("Action", "\xff")},
		{"V04", "not ASCII", replace("sts.", "st\u017f.")},
		{"V04", "backslash", replace("amazonaws.com/", "amazonaws.com\\@evil.com/")},
		{"V04", "broken escape", replace("%2F", "%zz")},
		{"V05", "http", replace("https://", "http://")},
		{"V05", "HTTPS", replace("https://", "HTTPS://")},
		{"V05", "nothing", encode("")},
		{"V06", "user", replace("https://", "https://u:p@")},
		{"V06", "fragment", encode(good + "#x")},
		{"V06", "empty fragment", encode(good + "#")},
		{"V06", "empty port", replace("amazonaws.com/", "amazonaws.com:/")},
		{"V07", "port", replace("amazonaws.com/", "amazonaws.com:443/")},
		{"V07", "evil suffix", replace("amazonaws.com/", "amazonaws.com.evil.com/")},
		{"V04", "escaped slash", replace("amazonaws.com/", "amazonaws.com%2f.evil.com/")},
		{"V08", "no path", replace("amazonaws.com/?", "amazonaws.com?")},
		{"V08", "two slashes", replace("amazonaws.com/?", "amazonaws.com//?")},
		{"V08", "dots", replace("amazonaws.com/?", "amazonaws.com/../?")},
		{"V09", "no query", replace("?"+good[strings.Index(good, "?")+1:], "")},
		{"V09", "tenth key", encode(good + "&Foo=bar")},
		{"V09", "trailing &", encode(good + "&")},
		{"V09", "second ?", replace("/?", "/??")},
		{"V09", "lower-case twin", encode(good + "&action=GetCallerIdentity")},
		{"V09", "twice", encode(good + "&Action=GetCallerIdentity")},
		{"V09", "escaped key", replace("?Action", "?%41ction")},
		{"V09", "semicolon", replace("GetCallerIdentity&", "GetCallerIdentity;")},
		{"V09", "empty value", replace("=GetCallerIdentity", "=")},
		{"V10", "another action", replace("GetCallerIdentity", "AssumeRole")},
		{"V10", "missing", replace("Action=GetCallerIdentity&", "")},
		{"V11", "another version", replace("2011-06-15", "2011-06-16")},
		{"V12", "SHA1", replace("HMAC-SHA256", "HMAC-SHA1")},
		{"V13", "another service", replace("%2Fsts%2F", "%2Fs3%2F")},
		{"V13", "four parts", replace("%2Faws4_request", "")},
		{"V13", "short key id", replace(keyID, "AKIA")},
		{"V14", "another region", replace("%2Fus-east-1", "%2Fus-east-2")},
		{"V15", "fraction", replace("030405Z", "030405.0Z")},
		{"V15", "another day", replace("%2F20260102", "%2F20260103")},
		{"V15", "no day in the scope", replace("%2F20260102", "%2F")},
		{"V18", "too large", replace("Expires=60", "Expires=901")},
		{"V18", "leading zero", replace("Expires=60", "Expires=060")},
		{"V18", "plus", replace("Expires=60", "Expires=%2B60")},
		{"V19", "a third header", replace("host%3B", "accept%3Bhost%3B")},
		{"V19", "no cluster", replace("host%3Bx-k8s-aws-id", "host")},
		{"V19", "a Kelvin sign", replace("x-k8s", "x-%E2%84%AA8s")},
		{"V20", "short", encode(good[:len(good)-1])},
		{"V20", "upper case", encode(good[:len(good)-64] + strings.Repeat("A", 64))},
		{"V21", "space in the session token", replace("SESSION", "SESS+ION")},
		{"V21", "control byte", replace("SESSION", "SESS%0AION")},
	} {
		p, err := token.Parse(c.token)
		var broken *token.RuleError
		if !errors.As(err, &broken) || broken.Code != c.code {
			t.Errorf("%s, %s: %v", c.code, c.name, err)
		}
		if p != nil {
			t.Errorf("%s, %s: an error and %v", c.code, c.name, p)
		}
	}
}

func TestPolicy(t *testing.T) {
	global := mint(t, token.Config{}).Value()
	china := mint(t, token.Config{Region: "cn-north-1"}).Value()
	newer := mint(t, token.Config{Region: "eu-west-9"}).Value()
	local := identity.STSEndpoint{Host: "127.0.0.1:8443", Region: "us-east-1", Partition: "aws"}
	sandbox := mint(t, token.Config{Endpoint: local}).Value()
	year1 := encode(strings.ReplaceAll(strings.Replace(signedURL(t, mint(t, token.Config{})), "20260102T030405Z", "00010101T000000Z", 1), "20260102", "00010101"))
	for _, c := range []struct {
		name, token string
		policy      token.Policy
		want        token.Code
	}{
		{"good", global, token.Policy{Now: at(0)}, ""},
		{"exactly 15 minutes old", global, token.Policy{Now: at(15 * time.Minute)}, ""},
		{"older", global, token.Policy{Now: at(15*time.Minute + time.Second)}, "V17"},
		{"exactly 15 minutes ahead", global, token.Policy{Now: at(-15 * time.Minute)}, ""},
		{"further ahead", global, token.Policy{Now: at(-15*time.Minute - time.Second)}, "V16"},
		{"a century ahead", global, token.Policy{Now: at(-100 * 365 * 24 * time.Hour)}, "V16"},
		{"the year one", year1, token.Policy{Now: at(0)}, "V17"},
		{"a shorter age", global, token.Policy{Now: at(21 * time.Second), MaxAge: 20 * time.Second}, "V17"},
		{"a shorter age, within the tolerance ahead", global, token.Policy{Now: at(-31 * time.Second), MaxAge: time.Second}, ""},
		{"a shorter age, further ahead", global, token.Policy{Now: at(-32 * time.Second), MaxAge: time.Second}, "V16"},
		{"a shorter age, 14 minutes ahead", global, token.Policy{Now: at(-14 * time.Minute), MaxAge: time.Second}, "V16"},
		{"an age near the limit extends no skew", global, token.Policy{Now: at(-15*time.Minute - time.Second), MaxAge: 15*time.Minute - time.Second}, "V16"},
		{"a longer age does not count", global, token.Policy{Now: at(16 * time.Minute), MaxAge: time.Hour}, "V17"},
		{"partition", china, token.Policy{Now: at(0), Partition: "aws-cn"}, ""},
		{"another partition", china, token.Policy{Now: at(0), Partition: "aws"}, "V07"},
		{"the global host is of aws only", global, token.Policy{Now: at(0), Partition: "aws-cn"}, "V07"},
		{"a newer region, not named", newer, token.Policy{Now: at(0)}, "V07"},
		{"a newer region, named", newer, token.Policy{Now: at(0), Partition: "aws", Regions: []string{"eu-west-9"}}, ""},
		{"a newer region of another partition", newer, token.Policy{Now: at(0), Partition: "aws-cn", Regions: []string{"eu-west-9"}}, "V07"},
		{"an extra host", sandbox, token.Policy{Now: at(0), Partition: "aws", ExtraHosts: []identity.STSEndpoint{local}}, ""},
		{"an extra host with another port", sandbox, token.Policy{Now: at(0), ExtraHosts: []identity.STSEndpoint{{Host: "127.0.0.1:8444", Region: "us-east-1"}}}, "V07"},
		{"an extra host of another region", sandbox, token.Policy{Now: at(0), ExtraHosts: []identity.STSEndpoint{{Host: local.Host, Region: "us-east-2", Partition: "aws"}}}, "V14"},
		{"a denied key", global, token.Policy{Now: at(0), DeniedKeys: []string{"AKIAOTHEROTHEROTHER1", keyID}}, "V22"},
	} {
		p, err := c.policy.Check(c.token)
		var broken *token.RuleError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.As(err, &broken) || broken.Code != c.want || p != nil):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestInspectNamesEveryRuleBroken(t *testing.T) {
	good := signedURL(t, mint(t, token.Config{Region: "us-east-1"}))
	bad := strings.NewReplacer("/?", "/x?", "2011-06-15", "1", "Expires=60", "Expires=-1", "host%3Bx-k8s-aws-id", "host").Replace(good)
	p, broken := token.Policy{Now: at(time.Hour)}.Inspect(encode(bad))
	var codes []string
	for _, b := range broken {
		codes = append(codes, string(b.Code))
	}
	if got := strings.Join(codes, " "); got != "V08 V11 V17 V18 V19" {
		t.Errorf("%s", got)
	}
	if p == nil || p.Host != "sts.us-east-1.amazonaws.com" || p.ClusterSigned {
		t.Errorf("%v", p)
	}
	if p.RequestURL() != "" {
		t.Error("a broken token gave a URL to send")
	}
	mangled := strings.Replace(good, "/?Action=GetCallerIdentity", "&"+good[strings.Index(good, "X-Amz-Signature="):]+"&Action=GetCallerIdentity/?", 1)
	if p, _ := (token.Policy{}).Inspect(encode(mangled)); p == nil || p.Host != "" {
		t.Errorf("what is no host was shown as one: %v", p)
	}
	if p, broken := (token.Policy{}).Inspect("nonsense"); p != nil || len(broken) != 1 {
		t.Errorf("%v %v", p, broken)
	}
}

func FuzzParse(f *testing.F) {
	src, err := token.New(token.Config{Cluster: "demo", Region: "us-east-1", Credentials: token.StaticKeys(keyID, secret, "a/b+c="), Now: at(0)})
	if err != nil {
		f.Fatal(err)
	}
	tok, err := src.Token(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(tok.Value(), token.Prefix))
	f.Add(string(raw))
	f.Add("https://sts.amazonaws.com/?")
	f.Add("https://u:p@sts.amazonaws.com:/?#")
	f.Fuzz(func(t *testing.T, rawURL string) {
		p, err := token.Parse(encode(rawURL))
		if err != nil {
			if p != nil {
				t.Fatal("an error and a result")
			}
			return
		}
		again, err := token.Parse(encode(p.RequestURL()))
		if err != nil {
			t.Fatalf("the rebuilt URL is refused: %v", err)
		}
		if again.RequestURL() != p.RequestURL() || again.Host != p.Host || again.AccessKeyID != p.AccessKeyID ||
			!again.SignedAt.Equal(p.SignedAt) || again.Region != p.Region || again.Expires != p.Expires {
			t.Fatalf("%v became %v", p, again)
		}
	})
}

// Regions can be narrowed, and a checked token is checked again against a policy that
// changed since, the clock, and changes by the caller.
func TestRecheck(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s, err := token.New(token.Config{Cluster: "demo", Region: "eu-west-1", Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "secret", ""), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) func() time.Time { return func() time.Time { return now.Add(d) } }
	for name, c := range map[string]struct {
		policy token.Policy
		change func(*token.Parsed)
		want   token.Code
	}{
		"good":              {token.Policy{Now: at(0)}, nil, ""},
		"its region alone":  {token.Policy{Now: at(0), OnlyRegions: []string{"eu-west-1"}}, nil, ""},
		"another region":    {token.Policy{Now: at(0), OnlyRegions: []string{"us-east-1"}}, nil, "V07"},
		"another partition": {token.Policy{Now: at(0), Partition: "aws-cn"}, nil, "V07"},
		"too old":           {token.Policy{Now: at(16 * time.Minute)}, nil, "V17"},
		"from the future":   {token.Policy{Now: at(-16 * time.Minute)}, nil, "V16"},
		"a denied key":      {token.Policy{Now: at(0), DeniedKeys: []string{"AKIAIOSFODNN7EXAMPLE"}}, nil, "V22"},
		"another host":      {token.Policy{Now: at(0)}, func(p *token.Parsed) { p.Host = "sts.us-east-1.amazonaws.com" }, "V23"},
		"another key":       {token.Policy{Now: at(0)}, func(p *token.Parsed) { p.AccessKeyID = "AKIAIOSFODNN7EXAMPLF" }, "V23"},
		"another time":      {token.Policy{Now: at(16 * time.Minute)}, func(p *token.Parsed) { p.SignedAt = now.Add(16 * time.Minute) }, "V23"},
		"never checked":     {token.Policy{}, func(p *token.Parsed) { *p = token.Parsed{} }, "V23"},
	} {
		p, err := token.Parse(tok.Value())
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(p)
		}
		var broken *token.RuleError
		if err := c.policy.Recheck(p); (err != nil) != (c.want != "") || err != nil && (!errors.As(err, &broken) || broken.Code != c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if c.change == nil && c.want != "V16" && c.want != "V17" {
			if _, err := c.policy.Check(tok.Value()); (err != nil) != (c.want != "") {
				t.Errorf("%s: Check says %v", name, err)
			}
		}
	}
}
