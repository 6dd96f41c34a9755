package kubeconfig

import (
	"fmt"
	"slices"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// fileSet is the files of a list in kubectl's order, each once. kubectl takes each
// entry whole from the first file that has one of its name, and so does all here.
type fileSet []*member

type member struct {
	path     string
	missing  bool               // there is no such file yet
	original *safefile.Original // nil for a file in memory
	file     *File              // empty if missing

	// What there will be, before a byte is touched.
	exists   bool
	clusters map[string]Cluster
	contexts map[string]Context
	users    map[string]User
	current  string
	edit     *yamlsplice.Edit
}

// plan begins a plan of each file.
func (s fileSet) plan() error {
	for _, m := range s {
		if err := m.file.Writable(); err != nil {
			return err
		}
		f := m.file
		m.exists, m.current = !m.missing, f.current
		m.clusters = make(map[string]Cluster, len(f.clusters))
		m.contexts = make(map[string]Context, len(f.contexts))
		m.users = make(map[string]User, len(f.users))
		for _, c := range f.clusters {
			m.clusters[c.Name] = c
		}
		for _, c := range f.contexts {
			m.contexts[c.Name] = c
		}
		for _, u := range f.users {
			m.users[u.Name] = u
		}
		var err error
		if m.edit, err = yamlsplice.NewEdit(f.doc); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether the file has an entry, or will have.
func (m *member) has(list, name string) (ok bool) {
	switch list {
	case clusterList:
		_, ok = m.clusters[name]
	case contextList:
		_, ok = m.contexts[name]
	case userList:
		_, ok = m.users[name]
	}
	return ok
}

// drop plans that an entry goes.
func (m *member) drop(list, name string) error {
	if err := m.edit.Remove(list, name); err != nil {
		return err
	}
	switch list {
	case clusterList:
		delete(m.clusters, name)
	case contextList:
		delete(m.contexts, name)
	case userList:
		delete(m.users, name)
	}
	return nil
}

// holder returns the file that kubectl takes an entry from, nil where none has it.
func (s fileSet) holder(list, name string) *member {
	if i := slices.IndexFunc(s, func(m *member) bool { return name != "" && m.has(list, name) }); i >= 0 {
		return s[i]
	}
	return nil
}

// cluster, context and user return an entry as kubectl sees it, zero where there is
// none.
func (s fileSet) cluster(name string) (c Cluster) {
	if m := s.holder(clusterList, name); m != nil {
		c = m.clusters[name]
	}
	return c
}

func (s fileSet) context(name string) (c Context) {
	if m := s.holder(contextList, name); m != nil {
		c = m.contexts[name]
	}
	return c
}

func (s fileSet) user(name string) (u User) {
	if m := s.holder(userList, name); m != nil {
		u = m.users[name]
	}
	return u
}

// home returns the file for entries of a change that no file has: the first that has
// another entry of it, else the first that exists, else the last.
func (s fileSet) home(c Change) *member {
	holds := func(m *member) bool {
		return m.has(contextList, c.Context.Name) && c.Context.Name != "" || m.has(clusterList, c.Cluster.Name) && c.Cluster.Name != "" ||
			m.has(userList, c.User.Name) && c.User.Name != ""
	}
	for _, fits := range []func(*member) bool{holds, func(m *member) bool { return m.exists }} {
		if i := slices.IndexFunc(s, fits); i >= 0 {
			return s[i]
		}
	}
	return s[len(s)-1]
}

// set makes settings in an entry where it stands, or in a new one at home.
func (s fileSet) set(home *member, list, name string, settings []setting) (Item, *member, error) {
	m := s.holder(list, name)
	if m == nil {
		m = home
	}
	outcome, err := m.edit.Set(list, name, settings)
	if err == nil {
		m.exists = true
	}
	return Item{Name: name, File: m.path, Outcome: outcome}, m, err
}

// add plans one change.
func (s fileSet) add(c Change) (r Result, err error) {
	if err := c.check(); err != nil {
		return r, err
	}
	if reason := s.principalChange(c); reason != "" {
		if c.KeepPrincipal {
			return r, &PrincipalError{File: s.holder(contextList, c.Context.Name).path, Context: c.Context.Name, Reason: reason}
		}
		r.Warnings = append(r.Warnings, fmt.Sprintf("context %s authenticates as another principal from now on; until now, %s", c.Context.Name, reason))
	}
	home := s.home(c)
	var m *member
	if c.User.Name != "" {
		name, err := s.pickUser(c)
		if err != nil {
			return r, err
		}
		if c.Context.User == c.User.Name {
			c.Context.User = name
		}
		u := s.user(name)
		c.User.Exec = carryOver(u.Exec, carryOver(s.user(s.context(c.Context.Name).User).Exec, c.User.Exec))
		if r.User, m, err = s.set(home, userList, name, c.User.settings(u.Exec)); err != nil {
			return r, err
		}
		u.Name, u.Exec = name, c.User.Exec
		m.users[name] = u
	}
	if c.Cluster.Name != "" {
		if err := s.checkCluster(c); err != nil {
			return r, err
		}
		r.Warnings = append(r.Warnings, s.warnOfServerName(c.Cluster)...)
		if r.Cluster, m, err = s.set(home, clusterList, c.Cluster.Name, c.Cluster.settings(s.clusterFlags(c.Cluster.Name))); err != nil {
			return r, err
		}
		m.clusters[c.Cluster.Name] = c.Cluster
	}
	if c.Context.Name != "" {
		exists := s.holder(contextList, c.Context.Name) != nil
		old := s.context(c.Context.Name)
		led := firstOf(c.Context.Cluster, old.Cluster)
		c.Context.mark = mark{}
		if c.Context.MadeFor != "" && (old.mark.there || !exists) {
			c.Context.mark = markFor(c.Context.MadeFor, led)
		}
		if r.Context, m, err = s.set(home, contextList, c.Context.Name, c.Context.settings()); err != nil {
			return r, err
		}
		if !c.Context.mark.there {
			c.Context.mark = old.mark
		}
		c.Context.User = firstOf(c.Context.User, old.User)
		c.Context.Cluster = led
		c.Context.MadeFor = c.Context.mark.madeFor(led)
		m.contexts[c.Context.Name] = c.Context
	}
	r.File = firstOf(r.Context.File, r.User.File, r.Cluster.File)
	if c.SetCurrent {
		r.Current = s.makeCurrent(m, c.Context.Name)
	}
	return r, nil
}

// makeCurrent sets current-context where kubectl takes it from, or in the file of the
// context.
func (s fileSet) makeCurrent(m *member, name string) Item {
	if i := slices.IndexFunc(s, func(m *member) bool { return m.current != "" }); i >= 0 {
		m = s[i]
	}
	item := Item{Name: name, File: m.path}
	if m.current != name {
		item.Outcome = Updated
		if m.current == "" {
			item.Outcome = Added
		}
	}
	m.current = name
	return item
}

// warnOfServerName finds a name that a server's certificate must have and that was
// for another server.
func (s fileSet) warnOfServerName(c Cluster) []string {
	old := s.cluster(c.Name)
	if old.TLSServerName == "" || c.TLSServerName != "" || c.Server == "" || old.Server == c.Server {
		return nil
	}
	return []string{fmt.Sprintf("cluster %s now leads to %s and keeps the tls-server-name %s; if that is wrong, give a --tls-server-name", c.Name, c.Server, old.TLSServerName)}
}

// clusterFlags are what may stand in the way of a certificate authority.
type clusterFlags struct {
	caFile   bool
	insecure bool
}

// clusterFlags returns nil for a cluster that no file has.
func (s fileSet) clusterFlags(name string) *clusterFlags {
	m := s.holder(clusterList, name)
	if m == nil {
		return nil
	}
	item := m.file.doc.Find(clusterList, name)
	if item == nil {
		return nil // it is planned
	}
	body := field(yamlsplice.Deref(item), "cluster")
	r := &reader{file: m.file}
	return &clusterFlags{
		caFile:   body != nil && yamlsplice.Lookup(body, "certificate-authority") != nil,
		insecure: r.boolean(body, "", "insecure-skip-tls-verify"),
	}
}

// commit makes what was planned of the file so, and gives the splices; none where
// it is so already. On an error the file is as before.
func (m *member) commit() ([]yamlsplice.Splice, error) {
	if m.current != m.file.current {
		m.edit.SetTop("current-context", m.current)
	}
	doc, splices, err := m.edit.Apply()
	if err != nil || len(splices) == 0 {
		return nil, err
	}
	after, err := newFile(doc)
	if err != nil {
		return nil, err
	}
	m.file = after
	return splices, nil
}
