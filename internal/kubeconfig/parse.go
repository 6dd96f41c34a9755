package kubeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
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

// File is a parsed kubeconfig. It is for one goroutine.
type File struct {
	name string
	data []byte // all of the file
	bom  int    // length of the byte order mark
	src  *source
	json bool

	root    *yaml.Node // nil where the file has no content
	anchors map[*yaml.Node]int

	lists    map[string][]entry
	index    map[string]map[string]int // list, name: place in lists
	clusters []Cluster
	contexts []Context
	users    []User
	current  string
}

// entry is one item of a list.
type entry struct {
	name string
	item *yaml.Node // as it stands in the list, may be an alias
}

// Bytes returns the file as it is to be written.
func (f *File) Bytes() []byte { return bytes.Clone(f.data) }

// Name returns the file's name as given to Parse.
func (f *File) Name() string { return f.name }

// Parse reads a kubeconfig, in YAML or JSON, and checks all that an edit relies
// on. The name is for errors alone; data must not be altered afterwards. No content, or nothing but comments, is a
// kubeconfig without entries. The errors are *SyntaxError, *TypeError,
// *DuplicateKeyError and *DuplicateEntryError.
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name, data: data, anchors: map[*yaml.Node]int{}}
	if len(data) > MaxSize {
		return nil, f.syntax(0, fmt.Sprintf("has more than %d bytes", MaxSize))
	}
	if bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")) {
		f.bom = 3
	}
	text := data[f.bom:]
	if !utf8.Valid(text) {
		return nil, f.syntax(1+bytes.Count(text[:validPrefix(text)], []byte("\n")), "is not UTF-8")
	}
	if bytes.HasPrefix(text, []byte("\uFEFF")) {
		return nil, f.syntax(1, "begins with two byte order marks")
	}
	f.json = json.Valid(text)
	f.src = newSource(text)

	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if err == nil {
		f.root = doc.Content[0]
		if err = dec.Decode(&second); err == nil {
			return nil, f.syntax(second.Line, "has a second YAML document")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, f.yamlError(err)
	}
	if f.root != nil && f.root.Kind == yaml.ScalarNode && f.root.Value == "" && f.root.Style == 0 {
		f.root = nil // "---" and no more
	}
	if f.root == nil {
		return f, nil
	}
	if f.root.Kind != yaml.MappingNode {
		return nil, f.syntax(f.root.Line, "the top level is "+kindOf(f.root)+", not a mapping")
	}
	if err := f.checkTree(); err != nil {
		return nil, err
	}
	if err := f.readEntries(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) syntax(line int, reason string) error {
	return &SyntaxError{File: f.name, Line: line, Reason: reason}
}

// yamlPatterns takes messages of the YAML library apart. They are compiled at
// need: most starts of the client read no kubeconfig, let alone a broken one.
var yamlPatterns = sync.OnceValue(func() (p struct{ line, fromZero, anchor *regexp.Regexp }) {
	p.line = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// For these the library counts lines from 0.
	p.fromZero = regexp.MustCompile(`^did not find expected (?:node content|key|'-' indicator|',' or|<)|^found undefined tag handle`)
	p.anchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
	return p
})

// yamlError takes the line out of the library's message, or finds it. A word
// of the file is never repeated: a password that begins with * is an alias.
func (f *File) yamlError(err error) error {
	patterns := yamlPatterns()
	m := patterns.line.FindStringSubmatch(err.Error())
	if m == nil {
		return f.syntax(0, "is not YAML")
	}
	msg := strings.TrimPrefix(err.Error(), m[0])
	line, _ := strconv.Atoi(m[1])
	if line == 0 || patterns.fromZero.MatchString(msg) {
		line++
	}
	text := f.data[f.bom:]
	at := -1
	if a := patterns.anchor.FindStringSubmatch(msg); a != nil {
		at = bytes.Index(text, []byte("*"+a[1]))
		msg = "an alias has no anchor"
	} else if strings.HasPrefix(msg, "control characters") {
		at = bytes.IndexFunc(text, func(r rune) bool { return mustEscape(r) && !strings.ContainsRune("\t\n\r\u0085\u00A0", r) })
	}
	if at >= 0 {
		line = 1 + bytes.Count(text[:at], []byte("\n"))
	}
	return f.syntax(line, "is not YAML: "+msg)
}

func validPrefix(b []byte) int {
	for i := 0; i < len(b); {
		r, w := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && w == 1 {
			return i
		}
		i += w
	}
	return len(b)
}

// Aliases may blow a file up by this much, which is far more than any hand
// would write, before a reader that expands them is in danger.
const (
	maxExpansion       = 10
	freeExpansion      = 100_000
	maxMergesPerLookup = 1000
	// A mapping has a few keys; lookups read all of them.
	maxKeys = 10_000
)

// checkTree refuses duplicate keys and alias bombs anywhere in the file.
func (f *File) checkTree() error {
	w := walker{file: f, size: map[*yaml.Node]int{}}
	expanded, err := w.walk(f.root)
	if err != nil {
		return err
	}
	if expanded > freeExpansion+maxExpansion*w.nodes {
		return f.syntax(0, "has aliases that expand to more than is reasonable")
	}
	return nil
}

type walker struct {
	file  *File
	nodes int
	size  map[*yaml.Node]int // of anchored nodes, expanded; 0 while inside
}

// walk returns the number of nodes that n expands to.
func (w *walker) walk(n *yaml.Node) (int, error) {
	w.nodes++
	switch n.Kind {
	case yaml.AliasNode:
		w.file.anchors[n.Alias]++
		size := w.size[n.Alias]
		if size == 0 {
			return 0, w.file.syntax(n.Line, "an alias is inside what it stands for")
		}
		return size, nil
	case yaml.MappingNode:
		if err := w.checkKeys(n); err != nil {
			return 0, err
		}
	}
	total := 1
	for _, c := range n.Content {
		size, err := w.walk(c)
		if err != nil {
			return 0, err
		}
		total = min(total+size, 1<<40)
	}
	if n.Anchor != "" {
		w.size[n] = total
	}
	return total, nil
}

func (w *walker) checkKeys(n *yaml.Node) error {
	if len(n.Content)/2 > maxKeys {
		return w.file.syntax(n.Line, fmt.Sprintf("has a mapping of more than %d keys", maxKeys))
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := deref(n.Content[i])
		line := n.Content[i].Line
		if key.Kind != yaml.ScalarNode {
			return w.file.syntax(line, "a key is "+kindOf(key)+", not a string")
		}
		if first, ok := seen[key.Value]; ok {
			return &DuplicateKeyError{File: w.file.name, Key: key.Value, Line: line, FirstLine: first}
		}
		seen[key.Value] = line
		if !isMerge(key) {
			continue
		}
		for _, m := range mergeSources(n.Content[i+1]) {
			if deref(m).Kind != yaml.MappingNode {
				return w.file.syntax(line, "a merge key needs a mapping")
			}
		}
	}
	return nil
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isMerge(key *yaml.Node) bool { return key.Tag == "!!merge" }

// mergeSources returns what a merge key draws from, the first with priority
// (https://yaml.org/type/merge.html).
func mergeSources(value *yaml.Node) []*yaml.Node {
	if v := deref(value); v.Kind == yaml.SequenceNode {
		return v.Content
	}
	return []*yaml.Node{value}
}

// lookup returns the value of a key, aliases and merge keys followed, or nil.
func lookup(m *yaml.Node, key string) *yaml.Node {
	budget := maxMergesPerLookup
	return lookupMerged(m, key, &budget)
}

func lookupMerged(m *yaml.Node, key string, budget *int) *yaml.Node {
	if _, v := child(m, key); v != nil {
		return deref(v)
	}
	for i := 0; i < len(m.Content); i += 2 {
		if !isMerge(m.Content[i]) {
			continue
		}
		for _, source := range mergeSources(m.Content[i+1]) {
			if *budget--; *budget < 0 {
				return nil
			}
			if v := lookupMerged(deref(source), key, budget); v != nil {
				return v
			}
		}
	}
	return nil
}

// child returns the nodes of a key of m itself, or nil.
func child(m *yaml.Node, key string) (k, v *yaml.Node) {
	for i := 0; i < len(m.Content); i += 2 {
		if k := deref(m.Content[i]); k.Value == key && !isMerge(k) {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

// kindOf names a node's type for messages.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	case "!!str":
		return "a string"
	}
	return "of another type"
}
