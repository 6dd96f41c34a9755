package kubeconfig

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/execplugin"
	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// Cluster is an entry of clusters. As a wish in a [Change], an empty field
// leaves what the file has.
type Cluster struct {
	Name          string
	Server        string // URL
	CAData        string // certificate-authority-data, base64 of PEM
	TLSServerName string
	ProxyURL      string
	Line          int // where it was read, 1-based

	// CAFile and Insecure are read and never written: certificate-authority, a path
	// relative to the file's directory, and insecure-skip-tls-verify.
	CAFile   string
	Insecure bool
}

// Context is an entry of contexts. As a wish in a [Change], an empty field
// leaves what the file has.
type Context struct {
	Name      string
	Cluster   string
	User      string
	Namespace string
	// MadeFor is the ARN of the cluster that the context was made for, from the mark
	// that a context gets here when no file has one of its name. It is empty where
	// something else made the context or has led it to another cluster entry since.
	// In a Change it is the ARN of the cluster that the context is led to: a mark
	// that is there will say so, and an existing context without one gets none.
	MadeFor string
	Line    int // where it was read, 1-based

	mark mark
}

// User is an entry of users.
type User struct {
	Name string
	Exec *Exec // nil where it runs no plugin
	// Other lists the keys besides exec, as in token or client-key-data, sorted.
	// Their values are secrets and are not here.
	Other []string
	Line  int // where it was read, 1-based
}

// Exec is a credential plugin (client.authentication.k8s.io, ExecConfig).
type Exec struct {
	APIVersion         string
	Command            string
	Args               []string
	Env                []EnvVar
	InstallHint        string
	InteractiveMode    string
	ProvideClusterInfo bool
}

// EnvVar is one variable that a plugin gets beside those of its parent.
type EnvVar = execplugin.Var

// Hop is one role of a chain, assumed with the credentials of the one before.
type Hop = execplugin.Hop

func (e *Exec) invocation() execplugin.Invocation {
	return execplugin.Invocation{Command: e.Command, Args: e.Args, Env: e.Env}
}

// meaningOf is what a plugin is run for, if an update could write its words again. The
// command ours is ekskey under another name.
func meaningOf(e *Exec, ours string) (execplugin.Meaning, bool) {
	if e == nil {
		return execplugin.Meaning{}, false
	}
	m, err := execplugin.Read(e.invocation(), ours)
	return m, err == nil && m.Beyond == ""
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Clusters returns the entries of clusters in the order of the file.
func (f *File) Clusters() []Cluster { return slices.Clone(f.clusters) }

// Contexts returns the entries of contexts in the order of the file.
func (f *File) Contexts() []Context { return slices.Clone(f.contexts) }

// Users returns the entries of users in the order of the file.
func (f *File) Users() []User { return slices.Clone(f.users) }

// CurrentContext returns the name of the current context, empty where there is none.
func (f *File) CurrentContext() string { return f.current }

// reader reads known fields and keeps the first error.
type reader struct {
	file *File
	err  error
}

func (r *reader) fail(n *yaml.Node, path, want string) {
	if r.err == nil {
		path = strings.TrimPrefix(path, ".") // at the top level
		r.err = &TypeError{File: r.file.Name(), Line: n.Line, Path: path, Want: want, Got: yamlsplice.KindOf(n)}
	}
}

// field returns the value of a key of m, or nil where it is null or missing.
func field(m *yaml.Node, key string) *yaml.Node {
	if m == nil {
		return nil
	}
	if n := yamlsplice.Lookup(m, key); !yamlsplice.IsNull(n) {
		return n
	}
	return nil
}

func (r *reader) str(n *yaml.Node, path string) string {
	if n == nil {
		return ""
	}
	// A date is a string to kubectl's YAML reader, which knows no times.
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp" {
		r.fail(n, path, "a string")
		return ""
	}
	if _, ok := yaml11Boolean(n); ok {
		r.odd(n, path, fmt.Sprintf("is %s without quotes, a boolean in YAML 1.1", n.Value))
	}
	return n.Value
}

// yaml11Boolean is a plain scalar as kubectl's YAML reader takes it, which has YAML 1.1's
// booleans.
//
// Source: https://yaml.org/type/bool.html
func yaml11Boolean(n *yaml.Node) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return false, false
	}
	switch n.Value {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

func (r *reader) text(m *yaml.Node, path, key string) string {
	return r.str(field(m, key), path+"."+key)
}

func (r *reader) boolean(m *yaml.Node, path, key string) bool {
	n := field(m, key)
	if n == nil {
		return false
	}
	if value, ok := yaml11Boolean(n); ok {
		return value
	}
	r.fail(n, path+"."+key, "a boolean")
	return false
}

func (r *reader) mapping(m *yaml.Node, path, key string) *yaml.Node {
	n := field(m, key)
	if n != nil && n.Kind != yaml.MappingNode {
		r.fail(n, path+"."+key, "a mapping")
		return nil
	}
	return n
}

func (r *reader) list(m *yaml.Node, path, key string) []*yaml.Node {
	n := field(m, key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, path+"."+key, "a list")
		return nil
	}
	return n.Content
}

// readEntries fills the views and refuses wrong types.
func (f *File) readEntries() error {
	r := &reader{file: f}
	root := f.doc.Root()
	if root == nil {
		return nil
	}
	if kind := r.text(root, "", "kind"); r.err == nil && kind != "" && kind != "Config" {
		return f.syntax(root, "kind", "is of another kind than Config, not a kubeconfig")
	}
	if v := r.text(root, "", "apiVersion"); r.err == nil && v != "" && v != "v1" {
		return f.syntax(root, "apiVersion", "has another apiVersion than v1")
	}
	f.current = r.text(root, "", "current-context")
	r.extensions(root, "")
	r.extensions(field(root, "preferences"), "preferences")
	for _, list := range schema.Lists {
		first := map[string]int{} // line
		for i, item := range r.list(root, "", list) {
			path := fmt.Sprintf("%s[%d]", list, i)
			n := yamlsplice.Deref(item)
			if n.Kind != yaml.MappingNode {
				r.fail(item, path, "a mapping")
				break
			}
			name := r.text(n, path, "name")
			if line, ok := first[name]; ok && r.err == nil {
				f.twins = append(f.twins, &DuplicateEntryError{File: f.Name(), List: list, Name: name, Line: item.Line, FirstLine: line})
				continue // kubectl reads nothing of such a file
			}
			first[name] = item.Line
			r.entry(list, path, name, item.Line, r.mapping(n, path, bodyKey[list]))
		}
	}
	return r.err
}

func (f *File) syntax(root *yaml.Node, key, reason string) error {
	return &SyntaxError{File: f.Name(), Line: yamlsplice.Lookup(root, key).Line, Reason: reason}
}

// odd notes what kubectl cannot read, and so nothing of the file
// (k8s.io/client-go/tools/clientcmd/api/v1, types.go and conversion.go).
func (r *reader) odd(n *yaml.Node, path, what string) {
	r.file.warnings = append(r.file.warnings, fmt.Sprintf("%s:%d: %s %s, so kubectl cannot read this file", r.file.Name(), n.Line, strings.TrimPrefix(path, "."), what))
}

// binary reads a string that must be base64.
func (r *reader) binary(m *yaml.Node, path, key string) string {
	text := r.text(m, path, key)
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		r.odd(field(m, key), path+"."+key, "is not base64")
	}
	return text
}

// extensions looks for two of one name.
func (r *reader) extensions(m *yaml.Node, path string) {
	n := field(m, extensionsKey)
	if n == nil || n.Kind != yaml.SequenceNode {
		return
	}
	names := map[string]bool{}
	for i, item := range n.Content {
		name := yamlsplice.NameOf(item)
		if names[name] {
			r.odd(item, fmt.Sprintf("%s.%s[%d]", path, extensionsKey, i), "has the name of another extension")
		}
		names[name] = true
	}
}

func (r *reader) entry(list, path, name string, line int, body *yaml.Node) {
	path += "." + bodyKey[list]
	f := r.file
	r.extensions(body, path)
	switch list {
	case clusterList:
		r.boolean(body, path, "disable-compression")
		f.clusters = append(f.clusters, Cluster{
			Name:          name,
			Server:        r.text(body, path, "server"),
			CAData:        r.binary(body, path, "certificate-authority-data"),
			TLSServerName: r.text(body, path, "tls-server-name"),
			ProxyURL:      r.text(body, path, "proxy-url"),
			Line:          line,
			CAFile:        r.text(body, path, "certificate-authority"),
			Insecure:      r.boolean(body, path, "insecure-skip-tls-verify"),
		})
	case contextList:
		c := Context{
			Name:      name,
			Cluster:   r.text(body, path, "cluster"),
			User:      r.text(body, path, "user"),
			Namespace: r.text(body, path, "namespace"),
			Line:      line,
			mark:      r.mark(body, path),
		}
		c.MadeFor = c.mark.madeFor(c.Cluster)
		f.contexts = append(f.contexts, c)
	case userList:
		f.users = append(f.users, r.user(path, name, line, body))
	}
}

func (r *reader) user(path, name string, line int, body *yaml.Node) User {
	u := User{Name: name, Line: line, Other: otherKeys(body)}
	for _, key := range []string{"client-certificate", "client-key",
		"token", "tokenFile", "as", "as-uid", "username", "password"} {
		r.text(body, path, key)
	}
	r.binary(body, path, "client-certificate-data")
	r.binary(body, path, "client-key-data")
	exec := r.mapping(body, path, "exec")
	if exec == nil {
		return u
	}
	path += ".exec"
	u.Exec = &Exec{
		APIVersion:         r.text(exec, path, "apiVersion"),
		Command:            r.text(exec, path, "command"),
		InstallHint:        r.text(exec, path, "installHint"),
		InteractiveMode:    r.text(exec, path, "interactiveMode"),
		ProvideClusterInfo: r.boolean(exec, path, "provideClusterInfo"),
	}
	for i, n := range r.list(exec, path, "args") {
		u.Exec.Args = append(u.Exec.Args, r.str(yamlsplice.Deref(n), fmt.Sprintf("%s.args[%d]", path, i)))
	}
	for i, n := range r.list(exec, path, "env") {
		at := fmt.Sprintf("%s.env[%d]", path, i)
		m := yamlsplice.Deref(n)
		if m.Kind != yaml.MappingNode {
			r.fail(m, at, "a mapping")
			break
		}
		u.Exec.Env = append(u.Exec.Env, EnvVar{Name: r.text(m, at, "name"), Value: r.text(m, at, "value")})
	}
	return u
}

// otherKeys returns the keys of a user's body that hold something besides exec.
func otherKeys(body *yaml.Node) []string {
	if body == nil {
		return nil
	}
	var keys []string
	for i := 0; i < len(body.Content); i += 2 {
		k := yamlsplice.Deref(body.Content[i])
		v := yamlsplice.Deref(body.Content[i+1])
		if k.Value != "exec" && !yamlsplice.IsNull(v) && (v.Kind != yaml.ScalarNode || v.Value != "") {
			keys = append(keys, k.Value)
		}
	}
	slices.Sort(keys)
	return keys
}
