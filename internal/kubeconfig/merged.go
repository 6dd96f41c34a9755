package kubeconfig

import (
	"context"
	"errors"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Merged is what kubectl sees of all files of a list together: each entry is
// taken whole from the first file that has one of its name
// (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files).
// It is a picture of one moment, and safe for concurrent use.
type Merged struct {
	contexts    []MergedContext
	hidden      []MergedContext // by an earlier file's context of the name
	current     string
	currentFile string
	unwritable  error
}

// MergedContext is a context with the entries that it names.
type MergedContext struct {
	Context
	File    string // that its entry is in
	Current bool

	ClusterEntry Cluster // zero where no file has it
	HasCluster   bool
	UserEntry    User // zero where no file has it
	HasUser      bool

	EKS   Target // zero unless IsEKS
	IsEKS bool   // the user runs a plugin that is known to make tokens for EKS, as somebody known
}

// ReadMerged reads all files of env without a lock. Files that do not exist are
// left out; where none does, nothing is in it. For errors see [Parse].
func ReadMerged(ctx context.Context, env Env) (*Merged, error) {
	paths, err := env.Files()
	if err != nil {
		return nil, err
	}
	set, err := readSet(ctx, env, hasty(), paths)
	if err != nil {
		return nil, err
	}
	m := set.merged()
	for _, f := range set {
		for _, err := range f.file.doubts() {
			if m.unwritable == nil {
				m.unwritable = err
			}
			env.warn("%s; %s", err, howRead(err))
		}
	}
	return m, set.close()
}

// howRead says what becomes of a key or an entry that is there twice.
func howRead(err error) string {
	var entry *DuplicateEntryError
	if errors.As(err, &entry) {
		return "kubectl cannot read the file; here the first counts"
	}
	return "kubectl takes the last, and so is done here"
}

// Writable says why the files that were read are not edited, see [File.Writable].
func (m *Merged) Writable() error { return m.unwritable }

// Context returns the context of a name, as kubectl sees it.
func (m *Merged) Context(name string) (MergedContext, bool) {
	for _, c := range m.contexts {
		if c.Name == name {
			return c, true
		}
	}
	return MergedContext{}, false
}

// ContextNames returns the names of the contexts of all files that can be read now, for
// completion: it waits for nobody.
func (e Env) ContextNames() []string {
	paths, err := e.Files()
	if err != nil {
		return nil
	}
	var names []string
	for _, path := range paths {
		data, err := safefile.Read(path, MaxSize)
		if err != nil {
			continue
		}
		if f, err := Parse(path, data); err == nil {
			for _, c := range f.contexts {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// Contexts returns the contexts in the order of files and entries. Those that an
// earlier file hides are left out.
func (m *Merged) Contexts() []MergedContext { return m.contexts }

// Current returns the name of the current context and the file that says it, both
// empty where none does. No file need have a context of that name.
func (m *Merged) Current() (name, file string) { return m.current, m.currentFile }

// merged is the files as they were read, with nothing planned.
func (s fileSet) merged() *Merged {
	m := &Merged{}
	clusters, users := map[string]Cluster{}, map[string]User{}
	for _, f := range s {
		if m.current == "" && f.file.current != "" {
			m.current, m.currentFile = f.file.current, f.path
		}
		for _, c := range f.file.clusters {
			if _, hidden := clusters[c.Name]; !hidden {
				clusters[c.Name] = c
			}
		}
		for _, u := range f.file.users {
			if _, hidden := users[u.Name]; !hidden {
				users[u.Name] = u
			}
		}
	}
	names := map[string]bool{}
	for _, f := range s {
		for _, c := range f.file.contexts {
			x := MergedContext{Context: c, File: f.path}
			x.ClusterEntry, x.HasCluster = clusters[c.Cluster]
			x.UserEntry, x.HasUser = users[c.User]
			x.EKS, x.IsEKS = targetOf(c, x.UserEntry.Exec)
			if names[c.Name] {
				m.hidden = append(m.hidden, x)
				continue
			}
			names[c.Name] = true
			x.Current = c.Name == m.current
			m.contexts = append(m.contexts, x)
		}
	}
	return m
}
