package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/discovery"
)

var aliasCluster = discovery.Cluster{
	ARN: "arn:aws:eks:eu-central-1:111122223333:cluster/prod", Name: "prod", Region: "eu-central-1", Account: "111122223333", Partition: "aws",
}

func TestAlias(t *testing.T) {
	for _, tt := range []struct{ pattern, want string }{
		{defaultAlias, "111122223333-eu-central-1-prod"},
		{"{name}", "prod"},
		{"{name}{name}", "prodprod"},
		{"x", "x"},
		{"{arn}", aliasCluster.ARN},
		{"<{partition}/{profile}/{role}>", "<aws/dev/viewer>"},
		{"ä{name}ö", "äprodö"},
		{"{nmae}", ""},
		{"{Name}", ""},
		{"{ name }", ""},
		{"{}", ""},
		{"{name", ""},
		{"name}", ""},
		{"{name}}", ""},
		{"{{name}}", ""},
		{"{na{name}me}", ""},
		{"}{", ""},
		{"", ""},
		{"a\nb", ""},
		{"a\x1b[2J", ""},
		{"a\u202eb", ""},
	} {
		p, err := parseAlias(tt.pattern)
		var usage *usageError
		switch {
		case tt.want == "" && (!errors.As(err, &usage) || usage.hint != aliasHint):
			t.Errorf("%q: %v", tt.pattern, err)
		case tt.want == "":
		case err != nil:
			t.Errorf("%q: %v", tt.pattern, err)
		default:
			if got := p.name(aliasCluster, "dev", "arn:aws:iam::111122223333:role/path/viewer"); got != tt.want {
				t.Errorf("%q: %q, want %q", tt.pattern, got, tt.want)
			}
		}
	}
	for _, f := range aliasFields {
		if !strings.Contains(aliasHint, "{"+f+"}") {
			t.Errorf("the hint leaves out {%s}", f)
		}
	}
}

// What is put in for a field is not read as a pattern again, and a pattern that is
// taken has a field in every second place.
func FuzzAlias(f *testing.F) {
	for _, seed := range []string{defaultAlias, "{name", "}", "{{}}", "{role}{profile}x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		p, err := parseAlias(pattern)
		if err != nil {
			return
		}
		var again strings.Builder
		for i, part := range p {
			if i%2 == 1 {
				part = "{" + part + "}"
			}
			again.WriteString(part)
		}
		if again.String() != pattern {
			t.Errorf("%q was taken apart into %q", pattern, p)
		}
		c := discovery.Cluster{Account: "{name}", Region: "{name}", Name: "{x", Partition: "{name}", ARN: "{name}"}
		want := strings.NewReplacer("{account}", "{name}", "{region}", "{name}", "{partition}", "{name}", "{arn}", "{name}",
			"{name}", "{x", "{profile}", "{role}", "{role}", "{x}").Replace(pattern)
		if got := p.name(c, "{role}", "{x}"); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	})
}
