package accesspolicy

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ekskey/ekskey/identity"
)

// Policy is one of EKS's access policies. It never changes, so it is safe for
// concurrent use.
type Policy struct {
	name      string
	published bool
	source    Source
	rules     []Rule
}

// Source says where the rules of a policy, or its name, were read.
type Source struct {
	// Source is the page.
	Source string `json:"source"`
	// Revision is the revision of the page's text, if known.
	Revision string `json:"revision,omitempty"`
	// Read is the day it was read, such as "2026-12-01".
	Read string `json:"read"`
}

// Rule is one row of a policy's table. It names resources or non-resource URLs,
// not both. The core API group is "".
type Rule struct {
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
	Verbs           []string `json:"verbs"`
}

// Name is the last part of the policy's ARN, such as "AmazonEKSViewPolicy".
func (p *Policy) Name() string { return p.name }

// ARN is the policy's ARN in a partition, such as "aws-cn".
func (p *Policy) ARN(partition string) string {
	return "arn:" + partition + ":eks::aws:" + resourcePrefix + p.name
}

// Published reports whether the user guide has a table of the policy's rules.
// Without one the policy has no rules here, which says nothing about EKS.
func (p *Policy) Published() bool { return p.published }

// Source says where the rules, or only the name, were read.
func (p *Policy) Source() Source { return p.source }

// Rules returns the rules in the order of the user guide. The slice and all in it
// are the caller's own.
func (p *Policy) Rules() []Rule {
	rules := make([]Rule, len(p.rules))
	for i, r := range p.rules {
		rules[i] = Rule{
			APIGroups: slices.Clone(r.APIGroups), Resources: slices.Clone(r.Resources),
			NonResourceURLs: slices.Clone(r.NonResourceURLs), Verbs: slices.Clone(r.Verbs),
		}
	}
	return rules
}

// ARNError says that a text is not the ARN of an access policy.
type ARNError struct{ ARN, Reason string }

func (e *ARNError) Error() string { return fmt.Sprintf("access policy arn %q: %s", e.ARN, e.Reason) }

// UnknownPolicyError says that no access policy of this name is known. EKS may have
// one: it adds policies.
type UnknownPolicyError struct{ Name string }

func (e *UnknownPolicyError) Error() string {
	return fmt.Sprintf("access policy %q is not known", e.Name)
}

const resourcePrefix = "cluster-access-policy/"

// Lookup finds a policy by its ARN, such as
// "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", and returns the ARN's
// partition with it. It fails with *ARNError or *UnknownPolicyError.
func Lookup(arn string) (p *Policy, partition string, err error) {
	fail := func(reason string) (*Policy, string, error) { return nil, "", &ARNError{ARN: arn, Reason: reason} }
	// The account is "aws", which identity.ParseARN refuses.
	f := strings.SplitN(arn, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[2] != "eks" || f[3] != "" || f[4] != "aws" {
		return fail("is not of the form arn:partition:eks::aws:cluster-access-policy/name")
	}
	name, ok := strings.CutPrefix(f[5], resourcePrefix)
	if !ok || name == "" {
		return fail("does not name a cluster-access-policy")
	}
	if _, err := identity.LookupPartition(f[1]); err != nil {
		return fail(err.Error())
	}
	if p = catalog()[name]; p == nil {
		return nil, "", &UnknownPolicyError{Name: name}
	}
	return p, f[1], nil
}

// All returns every policy that is known, sorted by name.
func All() []*Policy {
	var all []*Policy
	for _, p := range catalog() {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Policy) int { return strings.Compare(a.name, b.name) })
	return all
}

// Allowing returns the policies that allow a request, sorted by name, when they are
// associated with a scope that covers it: the cluster, or the request's namespace
// where it has one.
func Allowing(q Request) []*Policy {
	return slices.DeleteFunc(All(), func(p *Policy) bool { return p.rule(q) == 0 })
}

//go:embed policies/*.json
var files embed.FS

// catalog is read at first use, so that a program that does not need it does not
// pay for it.
var catalog = sync.OnceValue(func() map[string]*Policy {
	policies, err := load()
	if err != nil {
		panic(err) // the files are part of the program, and a test reads them
	}
	return policies
})

const unpublishedFile = "unpublished.json"

func load() (map[string]*Policy, error) {
	entries, err := files.ReadDir("policies")
	if err != nil {
		return nil, err
	}
	policies := map[string]*Policy{}
	for _, entry := range entries {
		text, err := files.ReadFile("policies/" + entry.Name())
		if err != nil {
			return nil, err
		}
		var file struct {
			Source
			Name  string   `json:"name"`
			Rules []Rule   `json:"rules"`
			Names []string `json:"names"`
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&file); err != nil {
			return nil, fmt.Errorf("reading policies/%s: %w", entry.Name(), err)
		}
		if entry.Name() != unpublishedFile {
			policies[file.Name] = &Policy{name: file.Name, published: true, source: file.Source, rules: file.Rules}
		}
		for _, name := range file.Names {
			policies[name] = &Policy{name: name, source: file.Source}
		}
	}
	return policies, nil
}
