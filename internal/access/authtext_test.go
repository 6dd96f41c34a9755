package access

import (
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/mapping"
)

const (
	dev = "arn:aws:iam::111122223333:role/dev"
	ops = "arn:aws:iam::111122223333:role/ops"
)

func editRoles(text string, item *authItem) (string, error) {
	after, err := editAuth(map[string]string{mapRoles: text, mapUsers: "- userarn: arn:aws:iam::111122223333:user/u\n  username: u\n"}, "aws", mapRoles, dev, item)
	return after[mapRoles], err
}

func TestAuthText(t *testing.T) {
	put := &authItem{section: mapRoles, arn: dev, username: "dev", groups: []string{"a", "b"}}
	const item = "- rolearn: " + dev + "\n  username: dev\n  groups:\n    - a\n    - b\n"
	const other = "- rolearn: " + ops + "\n  username: ops\n"
	for name, c := range map[string]struct {
		before, put, drop string
	}{
		"nothing":                {"", item, ""},
		"blank":                  {"\n", item, ""},
		"empty list":             {"[]\n", item, ""},
		"null":                   {"~\n", item, ""},
		"a comment":              {"# none yet\n", "# none yet\n" + item, "# none yet\n"},
		"another":                {other, other + item, other},
		"no line break":          {strings.TrimSuffix(other, "\n"), other + item, strings.TrimSuffix(other, "\n")},
		"there":                  {item + other, item + other, other},
		"there, other groups":    {"- rolearn: " + dev + "\n  username: x\n  groups: [c] # why\n" + other, item + other, other},
		"in another case":        {"- rolearn: " + strings.ToUpper(dev) + "\n  username: x\n" + other, "- rolearn: " + strings.ToUpper(dev) + "\n  username: dev\n  groups:\n    - a\n    - b\n" + other, other},
		"twice, the last counts": {"- rolearn: " + dev + "\n  username: x\n" + other + "- rolearn: " + dev + "\n  username: y\n", "- rolearn: " + dev + "\n  username: x\n" + other + item, other},
		"comments around": {
			"# top\n- rolearn: " + ops + " # ops\n  username: ops\n\n# of dev\n- rolearn: " + dev + "\n  # inside\n  username: x\n# of nobody\n\n# end\n",
			"# top\n- rolearn: " + ops + " # ops\n  username: ops\n\n# of dev\n- rolearn: " + dev + "\n  # inside\n  username: dev\n  groups:\n    - a\n    - b\n# of nobody\n\n# end\n",
			"# top\n- rolearn: " + ops + " # ops\n  username: ops\n\n# of dev\n# of nobody\n\n# end\n",
		},
		"indented": {
			"  - rolearn: " + ops + "\n    username: ops\n",
			"  - rolearn: " + ops + "\n    username: ops\n  - rolearn: " + dev + "\n    username: dev\n    groups:\n      - a\n      - b\n",
			"  - rolearn: " + ops + "\n    username: ops\n",
		},
		"dash alone":      {"-\n  rolearn: " + ops + "\n  username: ops\n", "-\n  rolearn: " + ops + "\n  username: ops\n" + item, "-\n  rolearn: " + ops + "\n  username: ops\n"},
		"other keys stay": {"- rolearn: " + dev + "\n  username: x\n  note: keep\n", "- rolearn: " + dev + "\n  username: dev\n  note: keep\n  groups:\n    - a\n    - b\n", ""},
		"CRLF":            {strings.ReplaceAll(other, "\n", "\r\n"), strings.ReplaceAll(other+item, "\n", "\r\n"), strings.ReplaceAll(other, "\n", "\r\n")},
		"flow items":      {"- {rolearn: \"" + ops + "\", username: ops}\n", "- {rolearn: \"" + ops + "\", username: ops}\n" + item, "- {rolearn: \"" + ops + "\", username: ops}\n"},
	} {
		if got, err := editRoles(c.before, put); err != nil || got != c.put {
			t.Errorf("%s: put: %v\n%s", name, err, got)
		}
		if got, err := editRoles(c.before, nil); err != nil || got != c.drop {
			t.Errorf("%s: drop: %v\n%q", name, err, got)
		}
	}
	for name, text := range map[string]string{
		"CR": "- a\r- b\n", "what EKS does not read": "- &000000: 0\n  000000: 0\n  000000:\n",
		"no YAML": "- a: [\n", "a mapping": "a: b\n", "text": "hello\n", "in brackets": "[{rolearn: \"" + ops + "\"}]\n",
		"an anchor": "- &a\n  rolearn: " + ops + "\n  username: x\n- *a\n", "JSON": `[{"rolearn":"` + ops + `","username":"x"}]`,
	} {
		if got, err := editRoles(text, put); err == nil {
			t.Errorf("%s is edited to\n%s", name, got)
		}
	}
}

// An edit of any text touches only what it names, as EKS reads it.
func FuzzAuthText(f *testing.F) {
	for _, text := range []string{
		"", "[]", "- rolearn: " + dev + "\n  username: x\n", "- rolearn: " + ops + "\n  groups: [a]\n  username: |\n    x\n    # y\n\n# z\n",
		"  -   rolearn: " + ops + "\n      username: 'a\n\n       b'\n", "- - a\n- rolearn: " + dev + "\n", "-\t a\n", "- rolearn: \"" + ops + "\"\r\n",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, put bool) {
		if len(text) > 1<<12 {
			return
		}
		var item *authItem
		if put {
			item = &authItem{section: mapRoles, arn: dev, username: "dev", groups: []string{"a"}}
		}
		got, err := editRoles(text, item)
		if err != nil {
			return
		}
		set, err := mapping.ParseAWSAuthData(map[string]string{mapRoles: got}, mapping.Options{Dialect: mapping.EKS})
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		found := false
		for _, l := range set.Listed() {
			if strings.EqualFold(l.ARN, dev) {
				found = true
				if put && l.InEffect && (l.Username != "dev" || len(l.Groups) != 1 || l.Groups[0] != "a") {
					t.Errorf("%+v\n%s", l, got)
				}
			}
		}
		if found != put {
			t.Errorf("it is there: %v\n%s", found, got)
		}
	})
}
