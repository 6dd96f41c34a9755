package kubeconfig

import (
	"fmt"
	"slices"

	"github.com/ekskey/ekskey/internal/execplugin"
)

// named is an entry by its list and name.
type named struct{ list, name string }

// namedBy returns the entries that a context names.
func namedBy(c Context) []named { return []named{{clusterList, c.Cluster}, {userList, c.User}} }

// remove plans what is to go: the contexts meant, and what nothing names any more.
func (s fileSet) remove(meant []string, changed []Result) ([]Removed, error) {
	if len(meant) == 0 {
		return nil, nil
	}
	groups := make(map[string][]Removed, len(meant)) // by context
	left := make(map[string][]named, len(meant))     // by context, what it named
	ours := map[string]bool{}                        // users of contexts made here
	for _, name := range meant {
		for _, m := range s {
			c, ok := m.contexts[name]
			if !ok {
				continue
			}
			if err := m.drop(contextList, name); err != nil {
				return nil, err
			}
			groups[name] = append(groups[name], Removed{File: m.path, Kind: "context", Name: name})
			left[name] = append(left[name], namedBy(c)...)
			if c.MadeFor != "" {
				ours[c.User] = true
			}
		}
	}
	keep := s.inUse(changed) // and, from here on, what was looked at
	for _, name := range meant {
		for _, e := range left[name] {
			if keep[e] || e.name == "" {
				continue
			}
			keep[e] = true
			for _, m := range s {
				if !m.has(e.list, e.name) {
					continue
				}
				r := Removed{File: m.path, Kind: bodyKey[e.list], Name: e.name}
				if e.list == userList {
					r.Kept = m.users[e.name].irreplaceable(ours[e.name])
				}
				if r.Kept == "" {
					if err := m.drop(e.list, e.name); err != nil {
						return nil, err
					}
				}
				groups[name] = append(groups[name], r)
			}
		}
	}
	s.clearCurrent(groups)
	var all []Removed
	for _, name := range meant {
		all = append(all, groups[name]...)
	}
	return all, nil
}

// irreplaceable says why nothing could write a user again, or nothing. The words of
// an unknown plugin, and its variables, may be secrets themselves. Where the user is
// ours, so are its plugin's words, whatever the file is called.
func (u User) irreplaceable(ours bool) string {
	if u.hasAny(credentialKeys) {
		return "it holds credentials of its own"
	}
	if u.Exec == nil {
		return ""
	}
	command := ""
	if ours {
		command = u.Exec.Command
	}
	if _, known := meaningOf(u.Exec, command); !known {
		return fmt.Sprintf("it runs %q, which nothing here could write again", execplugin.ProgramName(u.Exec.Command))
	}
	return ""
}

// inUse returns what contexts name, and what the changes named.
func (s fileSet) inUse(changed []Result) map[named]bool {
	used := map[named]bool{}
	for _, m := range s {
		for _, c := range m.contexts {
			for _, e := range namedBy(c) {
				used[e] = true
			}
		}
	}
	for _, c := range changed {
		used[named{clusterList, c.Cluster.Name}] = true
		used[named{userList, c.User.Name}] = true
	}
	return used
}

// clearCurrent empties each current-context that names a removed context, one of
// groups, but not the one that counts where another would count after it.
func (s fileSet) clearCurrent(groups map[string][]Removed) {
	isRemoved := func(name string) bool { return len(groups[name]) > 0 }
	counts := true
	for i, m := range s {
		name := m.current
		if name == "" {
			continue
		}
		if isRemoved(name) {
			r := Removed{File: m.path, Kind: "current-context", Name: name}
			rest := s[i+1:]
			next := slices.IndexFunc(rest, func(o *member) bool { return o.current != "" && !isRemoved(o.current) })
			if counts && next >= 0 {
				r.Kept = fmt.Sprintf("%q of %s would become the current context", rest[next].current, rest[next].path)
			} else {
				m.current = ""
			}
			groups[name] = append(groups[name], r)
		}
		counts = false
	}
}
