package kubeconfig

import (
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// plan gathers what changes want of a file, before a byte is touched.
type plan struct {
	file *File
	others

	clusters map[string]Cluster
	contexts map[string]Context
	users    map[string]User
	current  string

	old   map[string]map[string]*oldEntry // list, name
	fresh map[string][]*freshEntry
	ops   []op // in order, to be replayed on the result
}

type op struct {
	list, name string
	settings   []setting
}

type oldEntry struct {
	index  int
	before string
	frag   *fragment
	start  int // offsets in the source's data
	end    int
}

type freshEntry struct {
	name  string
	value fields
}

// clusterFlags are what may stand in the way of a certificate authority.
type clusterFlags struct {
	caFile   bool
	insecure bool
}

func newPlan(f *File, o others) *plan {
	p := &plan{
		file: f, others: o, current: f.current,
		clusters: map[string]Cluster{}, contexts: map[string]Context{}, users: map[string]User{},
		old: map[string]map[string]*oldEntry{}, fresh: map[string][]*freshEntry{},
	}
	for _, c := range f.clusters {
		p.clusters[c.Name] = c
	}
	for _, c := range f.contexts {
		p.contexts[c.Name] = c
	}
	for _, u := range f.users {
		p.users[u.Name] = u
	}
	return p
}

// add plans one change.
func (p *plan) add(c Change) (Result, error) {
	var r Result
	if err := c.check(); err != nil {
		return r, err
	}
	var err error
	if c.User.Name != "" {
		name, err := p.pickUser(c)
		if err != nil {
			return r, err
		}
		if c.Context.User == c.User.Name {
			c.Context.User = name
		}
		c.User.Name = name
		old := p.user(name).Exec
		if r.User, err = p.edit(userList, name, c.User.settings(old)); err != nil {
			return r, err
		}
		u := p.users[name]
		u.Name, u.Exec = name, c.User.Exec
		p.users[name] = u
	}
	if c.Cluster.Name != "" {
		if err := p.checkCluster(c); err != nil {
			return r, err
		}
		settings := c.Cluster.settings(p.clusterFlags(c.Cluster.Name))
		if r.Cluster, err = p.edit(clusterList, c.Cluster.Name, settings); err != nil {
			return r, err
		}
		p.clusters[c.Cluster.Name] = c.Cluster
	}
	if c.Context.Name != "" && !c.currentOnly {
		if r.Context, err = p.edit(contextList, c.Context.Name, c.Context.settings()); err != nil {
			return r, err
		}
		old := p.contexts[c.Context.Name]
		c.Context.User = firstOf(c.Context.User, old.User)
		c.Context.Cluster = firstOf(c.Context.Cluster, old.Cluster)
		p.contexts[c.Context.Name] = c.Context
	}
	if c.SetCurrent {
		r.Current.Name = c.Context.Name
		if p.current != c.Context.Name {
			r.Current.Outcome = Updated
			if p.current == "" {
				r.Current.Outcome = Added
			}
		}
		p.current = c.Context.Name
	}
	return r, nil
}

// clusterFlags returns nil for a cluster that the file does not have.
func (p *plan) clusterFlags(name string) *clusterFlags {
	i, ok := p.file.find(clusterList, name)
	if !ok {
		return nil
	}
	body := lookup(deref(p.file.lists[clusterList][i].item), "cluster")
	if body == nil || body.Kind != yaml.MappingNode {
		return &clusterFlags{}
	}
	r := &reader{file: p.file}
	return &clusterFlags{
		caFile:   lookup(body, "certificate-authority") != nil,
		insecure: r.boolean(body, "", "insecure-skip-tls-verify"),
	}
}

// edit plans the settings of one entry.
func (p *plan) edit(list, name string, settings []setting) (Item, error) {
	p.ops = append(p.ops, op{list, name, settings})
	item := Item{Name: name}
	for _, e := range p.fresh[list] {
		if e.name == name {
			before := fmt.Sprint(e.value)
			e.value = e.value.with(settings)
			if fmt.Sprint(e.value) != before {
				item.Outcome = Updated
			}
			return item, nil
		}
	}
	e, err := p.oldEntry(list, name)
	if err != nil {
		return item, err
	}
	if e == nil {
		value, err := p.seed(list, name)
		if err != nil {
			return item, err
		}
		value = value.with(settings)
		if list != userList {
			value = append(value[1:], value[0]) // as kubectl sorts them
		}
		p.fresh[list] = append(p.fresh[list], &freshEntry{name, value})
		item.Outcome = Added
		return item, nil
	}
	before := e.frag.text
	for _, s := range settings {
		if s.value == nil {
			err = e.frag.remove(s.path)
		} else {
			err = e.frag.set(s.path, s.value)
		}
		if err != nil {
			return item, p.notEditable(p.file.lists[list][e.index].item, fmt.Sprintf("entry %q of %s %v", name, list, err))
		}
	}
	if e.frag.text != before {
		item.Outcome = Updated
	}
	return item, nil
}

// with returns fs with the settings made.
func (fs fields) with(settings []setting) fields {
	for _, s := range settings {
		fs = fs.withOne(s.path, s.value)
	}
	return fs
}

func (fs fields) withOne(path []string, value any) fields {
	fs = slices.Clone(fs)
	i := slices.IndexFunc(fs, func(p pair) bool { return p.key == path[0] })
	switch {
	case value == nil && i < 0:
		return fs
	case value == nil && len(path) == 1:
		return slices.Delete(fs, i, i+1)
	}
	if i < 0 {
		fs = append(fs, pair{key: path[0]})
		i = len(fs) - 1
	}
	if len(path) > 1 {
		sub, _ := fs[i].value.(fields)
		value = sub.withOne(path[1:], value)
	}
	fs[i].value = value
	return fs
}

// oldEntry returns the fragment of an entry that the file has, or nil.
func (p *plan) oldEntry(list, name string) (*oldEntry, error) {
	if e := p.old[list][name]; e != nil {
		return e, nil
	}
	f := p.file
	i, ok := f.find(list, name)
	if !ok {
		return nil, nil
	}
	item := f.lists[list][i].item
	seq, err := p.ownList(list)
	if err == nil {
		err = p.editable(item)
	}
	if err != nil {
		return nil, err
	}
	end, err := f.src.end(item)
	if err != nil {
		return nil, p.notEditable(item, fmt.Sprintf("entry %q of %s %v", name, list, err))
	}
	if seq.Style&yaml.FlowStyle == 0 {
		if !f.src.restIsBlank(end) {
			return nil, p.notEditable(item, fmt.Sprintf("entry %q of %s %v", name, list, errLayout))
		}
		end = f.src.lineEnd(end)
	}
	start := f.src.begin(item)
	text := string(f.src.data[start:end])
	e := &oldEntry{index: i, before: text, start: start, end: end, frag: &fragment{
		style: p.style(), indent: f.src.column(start), text: text, eol: f.src.eol,
	}}
	if p.old[list] == nil {
		p.old[list] = map[string]*oldEntry{}
	}
	p.old[list][name] = e
	return e, nil
}

// style is that of the file at large.
func (p *plan) style() style {
	st := style{quote: p.file.json}
	for _, list := range []string{clusterList, contextList, userList} {
		if p.file.root == nil {
			break
		}
		k, v := child(p.file.root, list)
		if v != nil && v.Kind == yaml.SequenceNode && v.Style&yaml.FlowStyle == 0 {
			s := p.file.src
			st.seqIndent = s.column(s.content(v)) - s.column(s.begin(k))
			break
		}
	}
	return st
}

func (p *plan) notEditable(n *yaml.Node, reason string) error {
	return &NotEditableError{File: p.file.name, Line: n.Line, Reason: reason}
}

// ownList returns the node of a list, which must stand where it belongs and
// nowhere else.
func (p *plan) ownList(list string) (*yaml.Node, error) {
	_, n := child(p.file.root, list)
	switch {
	case n == nil:
		return nil, p.notEditable(p.file.root, list+" comes from a merge key")
	case n.Kind == yaml.AliasNode:
		return nil, p.notEditable(n, list+" is an alias")
	case p.file.anchors[n] > 0:
		return nil, p.notEditable(n, "an anchor of "+list+" is used elsewhere, so they cannot be changed alone")
	}
	return n, nil
}

// editable refuses an entry whose text says more, or less, than it
// shows: one that is an alias, has a merge key, or shares an anchor with the
// rest of the file.
func (p *plan) editable(n *yaml.Node) error {
	inside := map[*yaml.Node]int{}
	anchors := map[*yaml.Node]bool{}
	var aliases, anchored []*yaml.Node
	var walk func(n *yaml.Node) error
	walk = func(n *yaml.Node) error {
		if n.Kind == yaml.AliasNode {
			aliases = append(aliases, n)
			inside[n.Alias]++
		}
		if n.Anchor != "" {
			anchored = append(anchored, n)
			anchors[n] = true
		}
		if isMerge(n) {
			return errors.New("has a merge key")
		}
		for _, c := range n.Content {
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(n); err != nil {
		return p.notEditable(n, "what is to be changed "+err.Error())
	}
	for _, a := range anchored {
		if p.file.anchors[a] != inside[a] {
			return p.notEditable(a, "an anchor is used elsewhere, so its place cannot be changed alone")
		}
	}
	for _, a := range aliases {
		if !anchors[a.Alias] {
			return p.notEditable(a, "an alias stands where a change is wanted")
		}
	}
	return nil
}
