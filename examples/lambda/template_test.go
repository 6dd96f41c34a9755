package main

import (
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// load reads a YAML document. CloudFormation's short forms become its long ones, so
// that !Ref X is {Ref: X}.
func load(t *testing.T, d *yaml.Decoder) map[string]any {
	t.Helper()
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	lengthen(&doc)
	var out map[string]any
	if err := doc.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func lengthen(n *yaml.Node) {
	for _, c := range n.Content {
		lengthen(c)
	}
	tag := strings.TrimPrefix(n.Tag, "!")
	if tag == n.Tag || strings.HasPrefix(tag, "!") {
		return
	}
	if tag != "Ref" && tag != "Condition" {
		tag = "Fn::" + tag
	}
	inner := *n
	inner.Tag = ""
	*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: tag}, &inner}}
}

// at goes down a path of keys.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, step := range path {
		ok := false
		switch key := step.(type) {
		case string:
			var m map[string]any
			if m, ok = v.(map[string]any); ok {
				v, ok = m[key]
			}
		case int:
			var l []any
			if l, ok = v.([]any); ok && key < len(l) {
				v = l[key]
			}
		}
		if !ok {
			t.Fatalf("no %v", path[:i+1])
		}
	}
	return v
}

func open(t *testing.T, name string) *yaml.Decoder {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return yaml.NewDecoder(f)
}

// What the function's role may do is this and no more.
func TestTemplatePermissions(t *testing.T) {
	resources := at(t, load(t, open(t, "template.yaml")), "Resources").(map[string]any)
	type grant struct{ condition, action, resource any }
	got := map[string]grant{}
	for name, r := range resources {
		r := r.(map[string]any)
		switch r["Type"] {
		case "AWS::IAM::RolePolicy":
			statements := at(t, r, "Properties", "PolicyDocument", "Statement").([]any)
			if len(statements) != 1 || at(t, statements, 0, "Effect") != "Allow" {
				t.Errorf("%s: %v", name, statements)
			}
			got[name] = grant{r["Condition"], at(t, statements, 0, "Action"), at(t, statements, 0, "Resource")}
		case "AWS::IAM::Role":
			properties := at(t, r, "Properties").(map[string]any)
			if len(properties) != 1 || at(t, properties, "AssumeRolePolicyDocument", "Statement", 0, "Principal", "Service") != "lambda.amazonaws.com" {
				t.Errorf("%s: %v", name, properties)
			}
		case "AWS::Serverless::Function":
			if policies, ok := at(t, r, "Properties").(map[string]any)["Policies"]; ok {
				t.Errorf("%s: %v", name, policies)
			}
		}
	}
	where := map[string]any{"Region": map[string]any{"Fn::If": []any{
		"ElsewhereRegion", map[string]any{"Ref": "ClusterRegion"}, map[string]any{"Ref": "AWS::Region"},
	}}}
	want := map[string]grant{
		"LogsPolicy": {nil, []any{"logs:CreateLogStream", "logs:PutLogEvents"}, map[string]any{"Fn::GetAtt": "Logs.Arn"}},
		"DescribePolicy": {"AsksEKS", "eks:DescribeCluster", map[string]any{"Fn::Sub": []any{
			"arn:${AWS::Partition}:eks:${Region}:${AWS::AccountId}:cluster/${ClusterName}", where,
		}}},
		"AssumePolicy": {"AssumesRole", "sts:AssumeRole", map[string]any{"Ref": "RoleArn"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// The function reads what the template sets, and asks for nothing that it does not,
// but for the one setting of rare clusters.
func TestTemplateVariables(t *testing.T) {
	template := load(t, open(t, "template.yaml"))
	function := at(t, template, "Resources", "PodCounter", "Properties")
	if at(t, function, "Runtime") != "provided.al2023" || at(t, function, "Handler") != "bootstrap" {
		t.Error(function)
	}
	set := []string{"TOKEN_MAX_AGE"}
	for name := range at(t, function, "Environment", "Variables").(map[string]any) {
		set = append(set, name)
	}
	var asked []string
	if _, err := read(func(name string) string {
		asked = append(asked, name)
		return map[string]string{"CLUSTER": "c", "POD": "p", "POD_NAMESPACE": "n"}[name]
	}); err != nil {
		t.Error(err)
	}
	sort.Strings(set)
	sort.Strings(asked)
	if !slices.Equal(set, asked) {
		t.Errorf("set: %v, asked for: %v", set, asked)
	}
}

// The access entry's group is the one that rbac.yaml allows to see pods, and that is
// all that it allows.
func TestTemplateAccess(t *testing.T) {
	entry := at(t, load(t, open(t, "template.yaml")), "Resources", "AccessEntry", "Properties")
	manifests := open(t, "rbac.yaml")
	role, binding := load(t, manifests), load(t, manifests)
	if rules := at(t, role, "rules"); !reflect.DeepEqual(rules, []any{map[string]any{
		"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get", "list"},
	}}) {
		t.Error(rules)
	}
	if at(t, binding, "roleRef", "name") != at(t, role, "metadata", "name") {
		t.Error(binding)
	}
	if at(t, binding, "subjects", 0, "kind") != "Group" || at(t, binding, "subjects", 0, "name") != at(t, entry, "KubernetesGroups", 0) {
		t.Errorf("%v for %v", binding, entry)
	}
}
