package kubeconfig

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// plan gathers what changes want of a file, before a byte is touched.
type plan struct {
	file   *File
	exists bool // on disk, or as soon as the plan is carried out

	// all are the plans of the files of a list, in kubectl's order: it takes each
	// entry whole from the first that has one of its name. This one is at place.
	all   []*plan
	place int

	clusters map[string]Cluster
	contexts map[string]Context
	users    map[string]User
	current  string

	old     map[string]map[string]*oldEntry // list, name
	fresh   map[string][]*freshEntry
	freshAt map[named]*freshEntry
	removed map[string]map[string]bool // list, name
	ops     []op                       // in order, to be replayed on the result
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

// newPlan begins a plan for a file that is alone.
func newPlan(f *File) *plan {
	p := &plan{
		file: f, current: f.current,
		clusters: make(map[string]Cluster, len(f.clusters)), contexts: make(map[string]Context, len(f.contexts)),
		users: make(map[string]User, len(f.users)),
		old:   map[string]map[string]*oldEntry{}, fresh: map[string][]*freshEntry{}, freshAt: map[named]*freshEntry{}, removed: map[string]map[string]bool{},
	}
	p.all = []*plan{p}
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
		r.Warnings = p.warnOfServerName(c.Cluster)
		settings := c.Cluster.settings(p.clusterFlags(c.Cluster.Name))
		if r.Cluster, err = p.edit(clusterList, c.Cluster.Name, settings); err != nil {
			return r, err
		}
		p.clusters[c.Cluster.Name] = c.Cluster
	}
	if c.Context.Name != "" {
		// What is edited: the entry of this file, or a copy of what it is going to hide.
		old, exists := p.contexts[c.Context.Name]
		if q := p.elsewhere(contextList, c.Context.Name); !exists && q != nil {
			old, exists = q.contexts[c.Context.Name], true
		}
		led := firstOf(c.Context.Cluster, old.Cluster)
		c.Context.mark = mark{}
		if c.Context.MadeFor != "" && (old.mark.there || !exists) {
			c.Context.mark = markFor(c.Context.MadeFor, led)
		}
		if r.Context, err = p.edit(contextList, c.Context.Name, c.Context.settings()); err != nil {
			return r, err
		}
		if !c.Context.mark.there {
			c.Context.mark = old.mark
		}
		c.Context.User = firstOf(c.Context.User, old.User)
		c.Context.Cluster = led
		c.Context.MadeFor = c.Context.mark.madeFor(led)
		p.contexts[c.Context.Name] = c.Context
	}
	if c.SetCurrent {
		r.Current = p.makeCurrent(c.Context.Name)
	}
	return r, nil
}

func (p *plan) makeCurrent(name string) Item {
	item := Item{Name: name}
	if p.current != name {
		item.Outcome = Updated
		if p.current == "" {
			item.Outcome = Added
		}
	}
	p.current = name
	return item
}

// warnOfServerName finds a name that a server's certificate must have and that was
// for another server.
func (p *plan) warnOfServerName(c Cluster) []string {
	old := p.clusters[c.Name]
	if old.TLSServerName == "" || c.TLSServerName != "" || c.Server == "" || old.Server == c.Server {
		return nil
	}
	return []string{fmt.Sprintf("cluster %s now leads to %s and keeps the tls-server-name %s; if that is wrong, give a --tls-server-name", c.Name, c.Server, old.TLSServerName)}
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
