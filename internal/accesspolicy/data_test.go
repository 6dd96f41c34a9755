package accesspolicy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the user guide's tables have: rows, and permissions, which are all
// combinations of a row's API groups, resources or URLs, and verbs.
var tables = map[string]struct{ rows, permissions int }{
	"AmazonEKSAdminPolicy":        {22, 389},
	"AmazonEKSAdminViewPolicy":    {1, 3},
	"AmazonEKSClusterAdminPolicy": {2, 2},
	"AmazonEKSEditPolicy":         {20, 372},
	"AmazonEKSHybridPolicy":       {1, 1},
	"AmazonEKSSecretReaderPolicy": {1, 3},
	"AmazonEKSViewPolicy":         {10, 168},
}

func TestDataHasWhatTheGuideHas(t *testing.T) {
	policies, err := load()
	if err != nil {
		t.Fatal(err)
	}
	published := 0
	for name, p := range policies {
		if name != p.name || !regexp.MustCompile(`^[A-Za-z]+Policy(ForBackup|ForRestore)?$`).MatchString(name) {
			t.Errorf("%q is named %q", name, p.name)
		}
		if _, err := time.Parse(time.DateOnly, p.source.Read); err != nil || !strings.HasPrefix(p.source.Source, "https://docs.aws.amazon.com/") {
			t.Errorf("%s: source %+v", name, p.source)
		}
		want, ok := tables[name]
		if ok != p.published {
			t.Errorf("%s: published is %v", name, p.published)
		}
		if !p.published {
			continue
		}
		published++
		if p.source.Revision == "" {
			t.Errorf("%s has no revision", name)
		}
		permissions := 0
		for _, r := range p.rules {
			permissions += (len(r.APIGroups)*len(r.Resources) + len(r.NonResourceURLs)) * len(r.Verbs)
		}
		if len(p.rules) != want.rows || permissions != want.permissions {
			t.Errorf("%s has %d rows and %d permissions, want %+v", name, len(p.rules), permissions, want)
		}
	}
	if published != len(tables) || len(policies) < 33 {
		t.Errorf("%d policies, %d with rules", len(policies), published)
	}
}

var verbs = []string{"create", "delete", "deletecollection", "get", "impersonate", "list", "patch", "update", "watch", "*"}

// Each word of the data is one that Kubernetes knows: a misspelt one would allow
// nothing, silently.
func TestDataNamesWhatKubernetesKnows(t *testing.T) {
	text, err := os.ReadFile("testdata/discovery.txt")
	if err != nil {
		t.Fatal(err)
	}
	resources, groups := map[string]bool{}, map[string]bool{"*": true}
	for line := range strings.Lines(string(text)) {
		if group, resource, ok := strings.Cut(strings.TrimSpace(line), " "); ok && group != "#" {
			group = strings.TrimPrefix(group, "core")
			groups[group], resources[group+" "+resource] = true, true
		}
	}
	anywhere := func(resource string) bool {
		for known := range resources {
			if strings.HasSuffix(known, " "+resource) {
				return true
			}
		}
		return false
	}
	for name, p := range catalog() {
		for i, r := range p.rules {
			known := func(what, word string, ok bool) {
				if !ok || word != strings.ToLower(word) || word != strings.TrimSpace(word) {
					t.Errorf("%s, rule %d: %s %q", name, i+1, what, word)
				}
			}
			unique := func(what string, words []string) {
				sorted := slices.Sorted(slices.Values(words))
				if len(slices.Compact(sorted)) != len(words) {
					t.Errorf("%s, rule %d: a %s is named twice", name, i+1, what)
				}
			}
			unique("group", r.APIGroups)
			unique("resource", r.Resources)
			unique("verb", r.Verbs)
			if len(r.Verbs) == 0 || (len(r.Resources) == 0) == (len(r.NonResourceURLs) == 0) || (len(r.Resources) == 0) != (len(r.APIGroups) == 0) {
				t.Errorf("%s, rule %d: %+v", name, i+1, r)
			}
			for _, v := range r.Verbs {
				known("verb", v, slices.Contains(verbs, v))
			}
			for _, url := range r.NonResourceURLs {
				known("URL", url, url == "*")
			}
			for _, g := range r.APIGroups {
				known("group", g, groups[g])
				for _, res := range r.Resources {
					known("resource", res, res == "*" || resources[g+" "+res] || g == "*" && anywhere(res))
				}
			}
		}
	}
}
