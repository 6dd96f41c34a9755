package kubeconfig

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// FuzzConvert holds that a conversion of any valid kubeconfig is valid, leaves
// each byte outside the users it names, happens once, and that client-go sees
// all else as before.
func FuzzConvert(f *testing.F) {
	f.Add([]byte(convertIn), false)
	f.Add([]byte(convertOut), true)
	f.Add([]byte(disguise(convertIn, "crlf bom")), false)
	f.Add([]byte(execText("aws-iam-authenticator", []string{"token", "-i", "c", "-s", "x"}, "AWS_PROFILE=p")), false)
	f.Add([]byte("users: [name: a, {name: b, user: {exec: {command: aws, args: [eks, get-token, --cluster-name=c],\n apiVersion: "+awsExecAPIVersion+"}}}]"), false)
	f.Add([]byte("users:\n-\n  name: &n a\n  user: !!map {exec: {command: aws, args: !!seq [eks, get-token, --cluster-name=c],\n apiVersion: "+awsExecAPIVersion+" }}\n"), false)
	f.Add([]byte("users:\n- user:\n    exec:\n      args: [eks, get-token, \"--cluster-name=\\u0063\"]\n      command: |-\n        aws\n      apiVersion: >-\n        "+awsExecAPIVersion+"\n"), false)
	f.Add([]byte("users:\n- user:\n    exec:\n      args: # a\n      - eks # b\n\n      # c\n      - get-token\n      - --cluster-name=c # d\n      command: aws\n      apiVersion: "+awsExecAPIVersion+"\n"), false)
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, back bool) {
		if len(data) > 1<<16 {
			return
		}
		file, err := Parse("config", data)
		if err != nil || file.Writable() != nil {
			return
		}
		checkConvert(t, file, Conversion{Command: ourPath, ToAWS: back})
	})
}

// commentsOf returns the lines of all comments that the YAML library sees.
func commentsOf(n *yaml.Node) (found []string) {
	if n == nil {
		return nil
	}
	for _, text := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	for _, c := range n.Content {
		found = append(found, commentsOf(c)...)
	}
	return found
}

func checkConvert(t *testing.T, file *File, c Conversion) {
	t.Helper()
	data := bytes.Clone(file.Bytes())
	before, loadErr := clientcmd.Load(slices.Clone(data))
	untouched := *file
	users, err := convertFile(c, file)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	converted := map[string]bool{}
	kept := data
	if file.doc.Root() != nil {
		text, bom := textOf(&untouched)
		kept = slices.Clone(bom)
		at := 0
		for i, u := range users {
			if u.State != Converted {
				continue
			}
			converted[u.Name] = true
			start, end, err := untouched.doc.Extent(untouched.doc.Items(userList)[i])
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, text[at:start]...)
			at = end
		}
		kept = append(kept, text[at:]...)
	}
	if len(converted) == 0 && !bytes.Equal(file.Bytes(), data) {
		t.Fatal("nothing was converted, and it changed")
	}
	if err := subsequence(kept, file.Bytes()); err != nil {
		t.Fatalf("%v\n--- before\n%s\n--- after\n%s", err, data, file.Bytes())
	}
	for _, comment := range commentsOf(untouched.doc.Root()) {
		if !bytes.Contains(file.Bytes(), []byte(comment)) {
			t.Fatalf("the comment %q is gone\n--- before\n%s\n--- after\n%s", comment, data, file.Bytes())
		}
	}
	once := bytes.Clone(file.Bytes())
	again, err := convertFile(c, file)
	if err != nil || !bytes.Equal(once, file.Bytes()) || len(again) != len(users) {
		t.Fatalf("a second time: %v\n%s\n%s", err, once, file.Bytes())
	}
	if loadErr != nil {
		return
	}
	after, err := clientcmd.Load(slices.Clone(once))
	if err != nil {
		t.Fatalf("client-go reads it no more: %v\n--- before\n%s\n--- after\n%s", err, data, once)
	}
	for name := range converted {
		was, now := before.AuthInfos[name], after.AuthInfos[name]
		if now == nil || now.Exec == nil || !cmp.Equal(was.Exec.Env, now.Exec.Env) || was.Exec.ProvideClusterInfo != now.Exec.ProvideClusterInfo {
			t.Fatalf("user %q is %+v, was %+v", name, now, was)
		}
		now.Exec, was.Exec = nil, nil
	}
	if d := cmp.Diff(before, after, cmpopts.IgnoreUnexported(api.ExecConfig{})); d != "" {
		t.Fatal(d)
	}
}

// convertFile converts a file that is alone.
func convertFile(c Conversion, f *File) ([]ConvertedUser, error) {
	set := fileSet{{path: f.Name(), file: f}}
	users, _, err := c.apply(set)
	if err == nil {
		*f = *set[0].file
	}
	return users, err
}
