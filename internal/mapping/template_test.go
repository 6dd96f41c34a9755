package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/identity"
)

func TestRendering(t *testing.T) {
	dns := func(answer string, err error) Options {
		return Options{EC2PrivateDNSName: func(_ context.Context, id string, _ identity.Identity) (string, error) {
			if id != instance && id != "i-01234567" {
				t.Errorf("EC2 was asked about %q", id)
			}
			return answer, err
		}}
	}
	good := dns("ip-10-0-0-1.ec2.internal", nil)
	for _, tt := range []struct {
		name     string
		username string
		session  string
		opts     Options
		want     string
	}{
		{"literal", "admin", "s", Options{}, "admin"},
		{"account", "a:{{AccountID}}", "s", Options{}, "a:111122223333"},
		{"session", "a:{{SessionName}}", "al@example.com", Options{}, "a:al-example.com"},
		{"raw session", "a:{{SessionNameRaw}}", "al@example.com", Options{}, "a:al@example.com"},
		{"access key", "a:{{AccessKeyID}}", "s", Options{}, "a:ASIAEXAMPLEEXAMPLE12"},
		{"all at once", "{{AccountID}}:{{SessionName}}{{SessionName}}!", "s", Options{}, "111122223333:ss!"},
		{"single braces", "a{b}c", "s", Options{}, "a{b}c"},

		{"injected account", "a:{{SessionName}}", "{{AccountID}}", Options{}, "a:{{AccountID}}"},
		{"injected raw session", "a:{{SessionName}}", "{{SessionNameRaw}}", Options{}, "a:{{SessionNameRaw}}"},
		{"placeholder completed by a session", "a:{{SessionName}}AccountID}}", "{{", Options{}, "bad template"},
		{"no session", "a:{{SessionName}}", "", Options{}, "render error"},
		{"session with a newline", "a:{{SessionName}}", "x\ny", Options{}, "render error"},
		{"session with NUL", "a:{{SessionName}}", "x\x00", Options{}, "render error"},
		{"session with DEL", "a:{{SessionName}}", "x\x7f", Options{}, "render error"},
		{"session with a right-to-left override", "a:{{SessionName}}", "x\u202Ey", Options{}, "render error"},
		{"session with a zero-width space", "a:{{SessionName}}", "x\u200By", Options{}, "render error"},
		{"session with a line separator", "a:{{SessionName}}", "x\u2028y", Options{}, "render error"},
		{"session that is no UTF-8", "a:{{SessionName}}", "x\xff", Options{}, "render error"},
		{"session with a space behind", "a:{{SessionName}}", "x ", Options{}, "render error"},
		{"session with a space before", "{{SessionName}}:a", " x", Options{}, "render error"},
		{"session that is a no-break space", "a:{{SessionName}}", "\u00a0", Options{}, "render error"},
		{"session of the longest name", "a:{{SessionName}}", strings.Repeat("x", 1022), Options{}, "a:" + strings.Repeat("x", 1022)},
		{"session too long", "a:{{SessionName}}", strings.Repeat("x", 1023), Options{}, "render error"},

		{"node", "system:node:{{EC2PrivateDNSName}}", instance, good, "system:node:ip-10-0-0-1.ec2.internal"},
		{"node, short id", "system:node:{{EC2PrivateDNSName}}", "i-01234567", good, "system:node:ip-10-0-0-1.ec2.internal"},
		{"node without EC2", "system:node:{{EC2PrivateDNSName}}", instance, Options{}, "render error"},
		{"node, EC2 fails", "system:node:{{EC2PrivateDNSName}}", instance, dns("", errors.New("throttled")), "lookup error"},
		{"node, EC2 knows no name", "system:node:{{EC2PrivateDNSName}}", instance, dns("", nil), "render error"},
		{"node, EC2 gives a template", "system:node:{{EC2PrivateDNSName}}", instance, dns("{{AccountID}}", nil), "render error"},
		{"node, EC2 gives a colon", "{{EC2PrivateDNSName}}", instance, dns("system:admin", nil), "render error"},
		{"no instance", "system:node:{{EC2PrivateDNSName}}", "alice", good, "render error"},
		{"instance with 16 digits", "system:node:{{EC2PrivateDNSName}}", "i-0123456789abcdef", good, "render error"},
		{"instance with 18 digits", "system:node:{{EC2PrivateDNSName}}", "i-0123456789abcdef01", good, "render error"},
		{"instance in upper case", "system:node:{{EC2PrivateDNSName}}", "i-0123456789ABCDEF0", good, "render error"},
		{"instance with word characters", "system:node:{{EC2PrivateDNSName}}", "i-_123456789abcdefz", good, "render error"},
		{"instance with a tail", "system:node:{{EC2PrivateDNSName}}", instance + "\n", good, "render error"},

		{"unknown placeholder", "a:{{Session}}", "s", Options{}, "bad template"},
		{"placeholder in other case", "a:{{sessionname}}", "s", Options{}, "bad template"},
		{"placeholder with spaces", "a:{{ SessionName }}", "s", Options{}, "bad template"},
		{"placeholder unclosed", "a:{{SessionName}", "s", Options{}, "bad template"},
		{"placeholder unopened", "a:SessionName}}", "s", Options{}, "bad template"},
		{"empty placeholder", "a:{{}}", "s", Options{}, "bad template"},
		{"three braces", "a:{{{SessionName}}}", "s", Options{}, "bad template"},
		{"literal newline", "a\nb", "s", Options{}, "bad template"},
		{"literal space behind", "a ", "s", Options{}, "bad template"},
		{"literal too long", strings.Repeat("x", 1025), "s", Options{}, "bad template"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := serverNode(t, fmt.Sprintf("mapRoles: [{rolearn: %q, username: u, groups: []}]", roleARN))
			username := node.Content[0].Content[1].Content[0].Content[3]
			groups := node.Content[0].Content[1].Content[0].Content[5]
			username.Value = tt.username
			s, err := ParseServer(node, tt.opts)
			if err != nil {
				var load *LoadError
				if !errors.As(err, &load) || load.Problems[0].Code != BadTemplate || tt.want != "bad template" {
					t.Fatalf("ParseServer: %v, want %q", err, tt.want)
				}
				return
			}
			got := strings.TrimSuffix(outcome(s, session(t, "dev", tt.session)), " []")
			if got != tt.want {
				t.Errorf("as username: got %q, want %q", got, tt.want)
			}
			// The same template names a group.
			item := *username
			username.Value, groups.Content = "u", append(groups.Content, &item)
			item.Value = tt.username
			if s, err = ParseServer(node, tt.opts); err != nil {
				t.Fatalf("ParseServer: %v", err)
			}
			want := tt.want
			if !strings.HasSuffix(want, "error") {
				want = "u [" + want + "]"
			}
			if got := outcome(s, session(t, "dev", tt.session)); got != want {
				t.Errorf("as group: got %q, want %q", got, want)
			}
		})
	}
}

func TestOneLookUpForOneMapping(t *testing.T) {
	calls := 0
	s := mustServer(t, `
mapRoles:
- rolearn: arn:aws:iam::111122223333:role/dev
  username: system:node:{{EC2PrivateDNSName}}
  groups: ["x:{{EC2PrivateDNSName}}"]`, Options{
		EC2PrivateDNSName: func(context.Context, string, identity.Identity) (string, error) { calls++; return "h", nil },
	})
	if got := outcome(s, session(t, "dev", instance)); got != "system:node:h [x:h]" || calls != 1 {
		t.Errorf("got %q after %d calls", got, calls)
	}
}

func TestLookupErrorKeepsItsCause(t *testing.T) {
	s := mustServer(t, `mapRoles: [{rolearn: "`+roleARN+`", username: "n:{{EC2PrivateDNSName}}"}]`, Options{
		EC2PrivateDNSName: func(ctx context.Context, _ string, _ identity.Identity) (string, error) {
			return "", context.DeadlineExceeded
		},
	})
	_, err := s.Map(context.Background(), session(t, "dev", instance))
	var lookup *LookupError
	if !errors.As(err, &lookup) || lookup.InstanceID != instance || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestDefaultUsername(t *testing.T) {
	s := mustServer(t, `
mapRoles:
- {rolearn: "arn:aws:iam::111122223333:role/team/Dev", groups: [g]}
- {rolearn: "arn:aws:iam::111122223333:role/empty", username: "", groups: [g]}
- {rolearn: "arn:aws:iam::111122223333:role/null", username: null, groups: [g]}
mapUsers:
- {userarn: "arn:aws:iam::111122223333:user/div/bob"}`, Options{})
	for arn, want := range map[string]string{
		"arn:aws:sts::111122223333:assumed-role/Dev/a@b":   "arn:aws:sts::111122223333:assumed-role/Dev/a-b [g]",
		"arn:aws:sts::111122223333:assumed-role/empty/s":   "arn:aws:sts::111122223333:assumed-role/empty/s [g]",
		"arn:aws:sts::111122223333:assumed-role/null/s":    "arn:aws:sts::111122223333:assumed-role/null/s [g]",
		"arn:aws:iam::111122223333:user/div/bob":           "arn:aws:iam::111122223333:user/div/bob []",
		"arn:aws:iam::111122223333:role/team/Dev":          "render error", // no session
		"arn:aws:sts::111122223333:assumed-role/unnamed/s": "not mapped",
	} {
		if got := outcome(s, caller(t, arn)); got != want {
			t.Errorf("%s: got %q, want %q", arn, got, want)
		}
	}
	if got := codes(s.Problems()); got != "mapRoles[0] line 3 no-username, mapRoles[1] line 4 no-username, mapRoles[2] line 5 no-username, mapUsers[0] line 7 no-username" {
		t.Errorf("problems: %s", got)
	}
}

func TestReservedPrefixes(t *testing.T) {
	s := mustServer(t, `
mapRoles:
- {rolearn: "arn:aws:iam::111122223333:role/literal", username: "system:admin"}
- {rolearn: "arn:aws:iam::111122223333:role/rendered", username: "{{SessionName}}"}
- {rolearn: "arn:aws:iam::111122223333:role/case", username: "System:admin"}
- {rolearn: "arn:aws:iam::111122223333:role/within", username: "x:system:admin"}
- {rolearn: "arn:aws:iam::111122223333:role/group", username: "x", groups: ["system:masters"]}
mapAccounts: ["444455556666"]`, Options{ReservedPrefixes: []string{"system:", "arn:"}})
	for _, tt := range []struct {
		id   identity.Identity
		want string
	}{
		{session(t, "literal", "s"), "reserved"},
		{session(t, "rendered", "system:admin"), "reserved"},
		{session(t, "rendered", "alice"), "alice []"},
		{session(t, "case", "s"), "System:admin []"},
		{session(t, "within", "s"), "x:system:admin []"},
		{session(t, "group", "s"), "x [system:masters]"},
		{caller(t, "arn:aws:iam::444455556666:user/x"), "reserved"},
	} {
		if got := outcome(s, tt.id); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.id.ARN, got, tt.want)
		}
	}
}

// FuzzTemplate holds the renderer against the standard library's one-pass
// replacer.
func FuzzTemplate(f *testing.F) {
	f.Add("a:{{SessionName}}", "{{AccountID}}")
	f.Add("{{AccountID}}{{AccessKeyID}}", "x")
	f.Add("{{{SessionNameRaw}}", "a@b")
	f.Add("}}{{", "\xff")
	f.Fuzz(func(t *testing.T, text, session string) {
		tpl, err := parseTemplate(text)
		if err != nil {
			return
		}
		id := identity.Identity{AccessKeyID: "AKIA", Principal: identity.Principal{Account: account, SessionName: session}}
		got, err := (&renderer{id: id}).render(context.Background(), tpl)
		if err != nil {
			return
		}
		want := strings.NewReplacer(
			"{{AccountID}}", account, "{{SessionNameRaw}}", session, "{{AccessKeyID}}", "AKIA",
			"{{SessionName}}", strings.ReplaceAll(session, "@", "-"),
		).Replace(text)
		if got != want || checkName(got) != "" {
			t.Errorf("template %q, session %q: got %q, want %q", text, session, got, want)
		}
	})
}
