// Package yamlsplice edits YAML (and JSON) text by splices: bytes outside what an
// edit names stay identical, with comments, order, quoting, indentation, blank
// lines and line breaks.
//
// It knows one shape of document: a mapping whose [Schema.Lists] are lists of
// mappings, the items, each found by its key "name". An [Edit] sets and removes
// values inside items, adds and removes items, and sets scalars of the top level.
// What cannot be changed without touching something else is refused. After each
// edit the result is parsed again and compared with the original.
package yamlsplice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Schema says what an edit must know of a kind of file.
type Schema struct {
	// Lists are the top-level keys whose values are lists of items.
	Lists []string
	// InnerLists are keys inside an item whose values are such lists as well.
	InnerLists []string
	// Head is what a document without any content gets first.
	Head Fields
	// Keys are those that a message may repeat. Another key may be a secret with
	// its colon in the wrong place.
	Keys []string
}

// Document is parsed text. It is for one goroutine and is never altered.
type Document struct {
	name   string
	schema *Schema
	data   []byte // all of it
	bom    int    // length of the byte order mark
	src    *source
	json   bool

	root       *yaml.Node // nil where there is no content
	anchors    map[*yaml.Node]int
	duplicates []*DuplicateKeyError
	index      map[string]map[string]int // list, name: place in the list
}

// Parse reads one YAML or JSON document with a mapping at its top, and checks all
// that an edit relies on. The name is for errors alone; data must not be altered
// afterwards. No content, or nothing but comments, is an empty document. The errors
// are *SyntaxError. A key that a mapping has twice is an error of [NewEdit] only.
func Parse(schema *Schema, name string, data []byte) (*Document, error) {
	d := &Document{name: name, schema: schema, data: data, anchors: map[*yaml.Node]int{}}
	if bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")) {
		d.bom = 3
	}
	text := data[d.bom:]
	if encoding := utf16Name(data); encoding != "" {
		return nil, d.syntax(1, "is "+encoding+", not UTF-8")
	}
	if !utf8.Valid(text) {
		return nil, d.syntax(1+bytes.Count(text[:validPrefix(text)], []byte("\n")), "is not UTF-8")
	}
	if bytes.HasPrefix(text, []byte("\uFEFF")) {
		return nil, d.syntax(1, "begins with two byte order marks")
	}
	d.json = json.Valid(text)
	d.src = newSource(text)

	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if err == nil {
		d.root = doc.Content[0]
		if err = dec.Decode(&second); err == nil {
			return nil, d.syntax(second.Line, "has a second YAML document")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, d.yamlError(err)
	}
	if d.root != nil && d.root.Kind == yaml.ScalarNode && d.root.Value == "" && d.root.Style == 0 {
		d.root = nil // "---" and no more
	}
	if d.root == nil {
		return d, nil
	}
	if d.root.Kind != yaml.MappingNode {
		return nil, d.syntax(d.root.Line, "the top level is "+KindOf(d.root)+", not a mapping")
	}
	return d, d.checkTree()
}

// Bytes returns the text, which must not be altered.
func (d *Document) Bytes() []byte { return d.data }

// Name returns the name given to [Parse].
func (d *Document) Name() string { return d.name }

// Root is the top-level mapping, nil in a document without content.
func (d *Document) Root() *yaml.Node { return d.root }

// Duplicates are the keys that a mapping has twice. [Lookup] gives the last one's
// value, as kubectl's reader does.
func (d *Document) Duplicates() []*DuplicateKeyError { return d.duplicates }

// Items returns the items of a list as they stand there, aliases included; none
// where there is no such list.
func (d *Document) Items(list string) []*yaml.Node {
	if d.root == nil {
		return nil
	}
	if n := Lookup(d.root, list); n != nil && n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return nil
}

// NameOf returns an item's name, empty where it has none.
func NameOf(item *yaml.Node) string {
	item = Deref(item)
	if item.Kind != yaml.MappingNode {
		return ""
	}
	if n := Lookup(item, "name"); !IsNull(n) && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// find returns the place of an item in its list: the first one's of the name.
func (d *Document) find(list, name string) (int, bool) {
	byName, ok := d.index[list]
	if !ok {
		items := d.Items(list)
		byName = make(map[string]int, len(items))
		for i, item := range slices.Backward(items) {
			byName[NameOf(item)] = i
		}
		if d.index == nil {
			d.index = map[string]map[string]int{}
		}
		d.index[list] = byName
	}
	i, ok := byName[name]
	return i, ok
}

// Find returns an item of a list by its name, nil where there is none.
func (d *Document) Find(list, name string) *yaml.Node {
	if i, ok := d.find(list, name); ok {
		return d.Items(list)[i]
	}
	return nil
}

// top is a scalar of the top level.
func (d *Document) top(key string) string {
	if d.root == nil {
		return ""
	}
	if n := Lookup(d.root, key); !IsNull(n) && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// utf16Name names the encoding of text with a byte order mark of UTF-16.
func utf16Name(data []byte) string {
	if bytes.HasPrefix(data, []byte("\xFF\xFE")) || bytes.HasPrefix(data, []byte("\xFE\xFF")) {
		return "UTF-16"
	}
	return ""
}

func (d *Document) syntax(line int, reason string) error {
	return &SyntaxError{File: d.name, Line: line, Reason: reason}
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
func (d *Document) yamlError(err error) error {
	patterns := yamlPatterns()
	m := patterns.line.FindStringSubmatch(err.Error())
	if m == nil {
		return d.syntax(0, "is not YAML")
	}
	msg := strings.TrimPrefix(err.Error(), m[0])
	line, _ := strconv.Atoi(m[1])
	if line == 0 || patterns.fromZero.MatchString(msg) {
		line++
	}
	text := d.data[d.bom:]
	at := -1
	if a := patterns.anchor.FindStringSubmatch(msg); a != nil {
		at = bytes.Index(text, []byte("*"+a[1]))
		msg = "an alias has no anchor"
	} else if strings.HasPrefix(msg, "control characters") {
		at = bytes.IndexFunc(text, func(r rune) bool { return mustEscape(r) && !strings.ContainsRune("\t\n\r\u0085\u00A0", r) })
	}
	if strings.HasPrefix(msg, "found a tab character") && !d.indentedByTab(line) && d.indentedByTab(line+1) {
		line++ // the library counts it by what it follows
	}
	if at >= 0 {
		line = 1 + bytes.Count(text[:at], []byte("\n"))
	}
	return d.syntax(line, "is not YAML: "+msg)
}

// indentedByTab reports whether there is a tab before the text of a line.
func (d *Document) indentedByTab(line int) bool {
	text := d.src.line(line - 1)
	return bytes.IndexByte(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t') >= 0
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

// checkTree refuses alias bombs anywhere in the file, and notes duplicate keys.
func (d *Document) checkTree() error {
	w := walker{doc: d, size: map[*yaml.Node]int{}}
	expanded, err := w.walk(d.root)
	if err != nil {
		return err
	}
	if expanded > freeExpansion+maxExpansion*w.nodes {
		return d.syntax(0, "has aliases that expand to more than is reasonable")
	}
	return nil
}

type walker struct {
	doc   *Document
	nodes int
	size  map[*yaml.Node]int // of anchored nodes, expanded; 0 while inside
}

// walk returns the number of nodes that n expands to.
func (w *walker) walk(n *yaml.Node) (int, error) {
	w.nodes++
	switch n.Kind {
	case yaml.AliasNode:
		w.doc.anchors[n.Alias]++
		size := w.size[n.Alias]
		if size == 0 {
			return 0, w.doc.syntax(n.Line, "an alias is inside what it stands for")
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
		return w.doc.syntax(n.Line, fmt.Sprintf("has a mapping of more than %d keys", maxKeys))
	}
	keys := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := Deref(n.Content[i])
		line := n.Content[i].Line
		if key.Kind != yaml.ScalarNode {
			return w.doc.syntax(line, "a key is "+KindOf(key)+", not a string")
		}
		if first, ok := keys[key.Value]; ok {
			e := &DuplicateKeyError{File: w.doc.name, Line: line, FirstLine: first}
			if slices.Contains(w.doc.schema.Keys, key.Value) {
				e.Key = key.Value
			}
			w.doc.duplicates = append(w.doc.duplicates, e)
		}
		keys[key.Value] = line
		if !isMerge(key) {
			continue
		}
		for _, m := range mergeSources(n.Content[i+1]) {
			if Deref(m).Kind != yaml.MappingNode {
				return w.doc.syntax(line, "a merge key needs a mapping")
			}
		}
	}
	return nil
}
