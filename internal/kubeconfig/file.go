package kubeconfig

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// MaxSize is how many bytes a kubeconfig may have. The largest seen in the wild
// have some 5 MB, for about three thousand clusters.
const MaxSize = 16 << 20

// The three lists of a kubeconfig and the key of each one's entries
// (k8s.io/client-go/tools/clientcmd/api/v1, Config).
const (
	clusterList = "clusters"
	contextList = "contexts"
	userList    = "users"
)

var bodyKey = map[string]string{clusterList: "cluster", contextList: "context", userList: "user"}

// schema is a kubeconfig's. Its keys are shown in messages and diffs.
var schema = &yamlsplice.Schema{
	Lists:      []string{clusterList, contextList, userList},
	InnerLists: []string{extensionsKey},
	Head:       fields{{Key: "apiVersion", Value: "v1"}, {Key: "kind", Value: "Config"}},
	Keys: slices.Concat(credentialKeys, impersonationKeys, []string{
		"apiVersion", "args", "certificate-authority", "certificate-authority-data", "cluster", "clusters", "command",
		"context", "contexts", "current-context", "env", "exec", "extension", "extensions", "insecure-skip-tls-verify", "installHint",
		"interactiveMode", "kind", "name", "namespace", "preferences", "provideClusterInfo", "proxy-url", "server",
		"tls-server-name", "user", "users", "value",
	}),
}

// File is a parsed kubeconfig. It is for one goroutine.
type File struct {
	doc      *yamlsplice.Document
	clusters []Cluster
	contexts []Context
	users    []User
	current  string
	twins    []*DuplicateEntryError
	warnings []string // of what kubectl cannot read
}

// Bytes returns the file as it is to be written.
func (f *File) Bytes() []byte { return bytes.Clone(f.doc.Bytes()) }

// Name returns the file's name as given to Parse.
func (f *File) Name() string { return f.doc.Name() }

// Parse reads a kubeconfig, in YAML or JSON. The name is for errors alone; data must
// not be altered afterwards. No content, or nothing but comments, is a kubeconfig
// without entries. The errors are *SyntaxError and *TypeError. What kubectl may take
// otherwise, a key or an entry that is there twice, can be read and is an error of
// [File.Writable]: of a key the last counts, of an entry the first.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, &SyntaxError{File: name, Reason: fmt.Sprintf("has more than %d bytes", MaxSize)}
	}
	doc, err := yamlsplice.Parse(schema, name, data)
	if err != nil {
		return nil, err
	}
	return newFile(doc)
}

func newFile(doc *yamlsplice.Document) (*File, error) {
	f := &File{doc: doc}
	if err := f.readEntries(); err != nil {
		return nil, err
	}
	return f, nil
}

// Writable says why a file that can be read is not edited: a *DuplicateKeyError or
// *DuplicateEntryError.
func (f *File) Writable() error {
	for _, err := range f.doubts() {
		return err
	}
	return nil
}

// doubts are what the file has twice.
func (f *File) doubts() (all []error) {
	for _, err := range f.doc.Duplicates() {
		all = append(all, err)
	}
	for _, err := range f.twins {
		all = append(all, err)
	}
	return all
}

// Apply makes changes to the file in memory. Bytes outside the entries touched
// stay as they are, and where an entry already is as wanted it is not touched.
// On an error the file is as it was.
//
// A user entry is never altered where a context other than the change's own
// would act as somebody else afterwards, nor where it holds credentials that
// would be lost: the change's user then gets another name, which the result
// tells, or with UserChosen the change is refused with a *ConflictError. Other
// errors are *NotEditableError, *OptionError and those of [File.Writable].
func (f *File) Apply(changes ...Change) ([]Result, error) {
	set := fileSet{{path: f.Name(), file: f}}
	if err := set.plan(); err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(changes))
	for _, c := range changes {
		r, err := set.add(c)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	if _, err := set[0].commit(); err != nil {
		return nil, err
	}
	*f = *set[0].file
	return results, nil
}
