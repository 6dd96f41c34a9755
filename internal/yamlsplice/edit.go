package yamlsplice

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Setting is a value for a path inside an item; a nil value removes it. A value is a string, a bool, []any or [Fields].
type Setting struct {
	Path  []string // keys, and names of items of a list of [Schema.InnerLists]
	Value any
	// KeepComments has the comments inside a list that is replaced stand before the
	// new one. Where they cannot, the setting is refused.
	KeepComments bool
}

// Outcome is what an edit did to an item. The zero value is Unchanged.
type Outcome int

// The outcomes.
const (
	Unchanged Outcome = iota
	Added
	Updated
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Added:
		return "added"
	case Updated:
		return "updated"
	}
	return "unchanged"
}

// Edit gathers changes of a document before a byte is touched. It is for one
// goroutine and one [Edit.Apply].
type Edit struct {
	doc     *Document
	old     map[string]map[string]*oldItem // list, name
	fresh   map[string][]*freshItem
	freshAt map[named]*freshItem
	removed map[string]map[string]bool // list, name
	ops     []op                       // in order, to be replayed on the result
	tops    Fields                     // scalars of the top level
}

// named is an item by its list and name.
type named struct{ list, name string }

type op struct {
	list, name string
	settings   []Setting
}

type oldItem struct {
	index  int
	before string
	frag   *fragment
	start  int // offsets in the source's data
	end    int
}

type freshItem struct {
	name  string
	value Fields
}

// NewEdit begins an edit. A document in which a mapping has a key twice is refused
// with a *DuplicateKeyError.
func NewEdit(d *Document) (*Edit, error) {
	if len(d.duplicates) > 0 {
		return nil, d.duplicates[0]
	}
	return newEdit(d), nil
}

func newEdit(d *Document) *Edit {
	return &Edit{
		doc: d, old: map[string]map[string]*oldItem{}, fresh: map[string][]*freshItem{},
		freshAt: map[named]*freshItem{}, removed: map[string]map[string]bool{},
	}
}

// SetTop sets a scalar of the top level to a string.
func (ed *Edit) SetTop(key, value string) {
	for i := range ed.tops {
		if ed.tops[i].Key == key {
			ed.tops[i].Value = value
			return
		}
	}
	ed.tops = append(ed.tops, Pair{key, value})
}

// Set makes settings in an item of a list, which is added if there is none of the
// name. On an error, a *NotEditableError, nothing of it is planned.
func (ed *Edit) Set(list, name string, settings []Setting) (Outcome, error) {
	if f := ed.freshAt[named{list, name}]; f != nil {
		ed.ops = append(ed.ops, op{list, name, settings})
		if f.value.holdsAll(settings) {
			return Unchanged, nil
		}
		f.value = ed.doc.schema.putAll(f.value, settings)
		return Updated, nil
	}
	e, err := ed.oldItem(list, name)
	if err != nil {
		return Unchanged, err
	}
	if e == nil {
		ed.ops = append(ed.ops, op{list, name, settings})
		value := ed.doc.schema.putAll(Fields{{"name", name}}, settings)
		slices.SortStableFunc(value, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) }) // as kubectl writes them
		f := &freshItem{name, value}
		ed.fresh[list] = append(ed.fresh[list], f)
		ed.freshAt[named{list, name}] = f
		return Added, nil
	}
	item := ed.doc.Items(list)[e.index]
	before := *e.frag
	if before.text == e.before && holdsAll(item, settings) {
		ed.ops = append(ed.ops, op{list, name, settings})
		return Unchanged, nil
	}
	for _, s := range settings {
		if err := e.frag.change(s); err != nil {
			*e.frag = before
			return Unchanged, ed.notEditable(item, fmt.Sprintf("entry %q of %s %v", name, list, err))
		}
	}
	ed.ops = append(ed.ops, op{list, name, settings})
	if e.frag.text == before.text {
		return Unchanged, nil
	}
	return Updated, nil
}

// Remove takes an item out of its list. A missing item is not an error.
func (ed *Edit) Remove(list, name string) error {
	i, ok := ed.doc.find(list, name)
	if !ok {
		return nil
	}
	if _, err := ed.ownList(list); err != nil {
		return err
	}
	if err := ed.separable(ed.doc.Items(list)[i]); err != nil {
		return err
	}
	if ed.removed[list] == nil {
		ed.removed[list] = map[string]bool{}
	}
	ed.removed[list][name] = true
	return nil
}

// Apply returns the document with all that was planned, and the splices that make
// it; the same document where it is so already. Errors are *NotEditableError, and
// ours where the result is not what it should be.
func (ed *Edit) Apply() (*Document, []Splice, error) {
	splices, err := ed.splices()
	if err != nil || len(splices) == 0 {
		return ed.doc, nil, err
	}
	data, err := ed.doc.splice(splices)
	if err != nil {
		return nil, nil, err
	}
	after, err := Parse(ed.doc.schema, ed.doc.name, data)
	if err != nil {
		return nil, nil, &verifyError{ed.doc.name, "is not valid: " + err.Error()}
	}
	if err := verify(ed.doc, after, ed); err != nil {
		return nil, nil, err
	}
	return after, splices, nil
}

// style is that of the file at large.
func (ed *Edit) style() style {
	st := style{quote: ed.doc.json}
	for _, list := range ed.doc.schema.Lists {
		if ed.doc.root == nil {
			break
		}
		k, v := Child(ed.doc.root, list)
		if v != nil && v.Kind == yaml.SequenceNode && v.Style&yaml.FlowStyle == 0 {
			s := ed.doc.src
			st.seqIndent = s.column(s.content(v)) - s.column(s.begin(k))
			break
		}
	}
	return st
}

func (ed *Edit) notEditable(n *yaml.Node, reason string) error {
	return &NotEditableError{File: ed.doc.name, Line: n.Line, Reason: reason}
}

// ownList returns the node of a list, which must stand where it belongs and
// nowhere else.
func (ed *Edit) ownList(list string) (*yaml.Node, error) {
	_, n := Child(ed.doc.root, list)
	switch {
	case n == nil:
		return nil, ed.notEditable(ed.doc.root, list+" comes from a merge key")
	case n.Kind == yaml.AliasNode:
		return nil, ed.notEditable(n, list+" is an alias")
	case ed.doc.anchors[n] > 0:
		return nil, ed.notEditable(n, "an anchor of "+list+" is used outside of it, so they cannot be changed alone")
	}
	return n, nil
}

// editable refuses an entry whose text says more, or less, than it
// shows: one that is an alias, has a merge key, or shares an anchor with the
// rest of the file.
func (ed *Edit) editable(n *yaml.Node) error {
	refs := referencesIn(n)
	if refs.merges {
		return ed.notEditable(n, "what is to be changed has a merge key")
	}
	for _, a := range refs.anchored {
		if ed.doc.anchors[a] != refs.inside[a] {
			return ed.notEditable(a, "an anchor is used in another item, so its item cannot be changed alone")
		}
	}
	for _, a := range refs.aliases {
		if !slices.Contains(refs.anchored, a.Alias) {
			return ed.notEditable(a, "an alias stands where a change is wanted")
		}
	}
	return nil
}

// references are the anchors and aliases inside a node.
type references struct {
	anchored, aliases []*yaml.Node
	inside            map[*yaml.Node]int // how often each anchored node has an alias inside
	merges            bool
}

func referencesIn(n *yaml.Node) references {
	refs := references{inside: map[*yaml.Node]int{}}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.AliasNode {
			refs.aliases = append(refs.aliases, n)
			refs.inside[n.Alias]++
		}
		if n.Anchor != "" {
			refs.anchored = append(refs.anchored, n)
		}
		refs.merges = refs.merges || isMerge(n)
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(n)
	return refs
}

// putAll makes the settings in fs, which is used up.
func (sc *Schema) putAll(fs Fields, settings []Setting) Fields {
	for _, s := range settings {
		fs = sc.put(fs, s.Path, s.Value)
	}
	return fs
}

func (sc *Schema) put(fs Fields, path []string, value any) Fields {
	i := slices.IndexFunc(fs, func(p Pair) bool { return p.Key == path[0] })
	switch {
	case value == nil && i < 0:
		return fs
	case value == nil && len(path) == 1:
		return slices.Delete(fs, i, i+1)
	}
	if i < 0 {
		fs = append(fs, Pair{Key: path[0]})
		i = len(fs) - 1
	}
	if len(path) > 1 {
		switch sub := fs[i].Value.(type) {
		case Fields:
			value = sc.put(sub, path[1:], value)
		case []any:
			value = sc.putInItem(sub, path, value)
		default:
			value = sc.wrap(path, value)
		}
	}
	fs[i].Value = value
	return fs
}

// putInItem makes a Setting in the item of a list that path's second step names.
// The list may be shared and is copied.
func (sc *Schema) putInItem(list []any, path []string, value any) []any {
	list = slices.Clone(list)
	for i, item := range list {
		if in, ok := item.(Fields); ok && stepInto(in, "name") == path[1] {
			list[i] = sc.put(in.clone(), path[2:], value)
			return list
		}
	}
	return append(list, sc.wrap(path, value).([]any)...)
}

// holdsAll reports whether the settings would change nothing.
func (fs Fields) holdsAll(settings []Setting) bool {
	return !slices.ContainsFunc(settings, func(s Setting) bool {
		var have any = fs
		for _, key := range s.Path {
			have = stepInto(have, key)
		}
		return !reflect.DeepEqual(have, s.Value)
	})
}

// holdsAll reports whether an entry surely is as the settings want it.
func holdsAll(n *yaml.Node, settings []Setting) bool {
	return !slices.ContainsFunc(settings, func(s Setting) bool {
		in := n
		for i, key := range s.Path {
			if in.Kind != yaml.MappingNode && in.Kind != yaml.SequenceNode {
				return true
			}
			v := Step(in, key)
			if v == nil {
				return s.Value != nil
			}
			if i == len(s.Path)-1 {
				return s.Value == nil || !holds(v, s.Value)
			}
			in = v
		}
		return false
	})
}

// oldItem returns the fragment of an entry that the file has, or nil.
func (ed *Edit) oldItem(list, name string) (*oldItem, error) {
	if e := ed.old[list][name]; e != nil {
		return e, nil
	}
	d := ed.doc
	i, ok := d.find(list, name)
	if !ok {
		return nil, nil
	}
	item := d.Items(list)[i]
	seq, err := ed.ownList(list)
	if err == nil {
		err = ed.editable(item)
	}
	if err != nil {
		return nil, err
	}
	end, err := d.src.end(item)
	if err != nil {
		return nil, ed.notEditable(item, fmt.Sprintf("entry %q of %s %v", name, list, err))
	}
	if seq.Style&yaml.FlowStyle == 0 {
		if !d.src.restIsBlank(end) {
			return nil, ed.notEditable(item, fmt.Sprintf("entry %q of %s %v", name, list, errLayout))
		}
		end = d.src.lineEnd(end)
	}
	start := d.src.begin(item)
	text := string(d.src.data[start:end])
	e := &oldItem{index: i, before: text, start: start, end: end, frag: &fragment{
		schema: d.schema, style: ed.style(), indent: d.src.column(start), text: text, eol: d.src.eol,
	}}
	if ed.old[list] == nil {
		ed.old[list] = map[string]*oldItem{}
	}
	ed.old[list][name] = e
	return e, nil
}
