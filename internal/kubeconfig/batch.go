package kubeconfig

import (
	"bytes"
	"fmt"
	"slices"
)

// apply makes a batch in memory. The edits come in the order in which they must be
// written, later files of the list first: so what is in an earlier file, which wins,
// never names something that is not there yet, and what it hides is gone before it
// comes to light.
func (s fileSet) apply(b Batch) (Report, []Edit, error) {
	var meant []string
	var kept []Removed
	if len(b.Remove) > 0 {
		var err error
		if meant, kept, err = s.meant(b); err != nil {
			return Report{}, nil, err
		}
	}
	s.plan()
	var r Report
	var commands []string
	for i, c := range b.Changes {
		result, err := s.add(c)
		if err != nil {
			return Report{}, nil, &ChangeError{Index: i, Err: err}
		}
		r.Results = append(r.Results, result)
		if command := commandOf(c.User.Exec); command != "" && !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	var err error
	if r.Removed, err = s.remove(meant); err != nil {
		return Report{}, nil, err
	}
	r.Removed = append(r.Removed, kept...)
	var edits []Edit
	for _, m := range slices.Backward(s) {
		before := *m.file
		splices, err := m.file.commit(m.plan)
		if err != nil {
			return Report{}, nil, err
		}
		if !bytes.Equal(before.data, m.file.data) {
			edits = append(edits, Edit{Path: m.path, Created: m.missing, before: &before, after: m.file, splices: splices, commands: commands})
		}
	}
	return r, edits, nil
}

// plan begins a plan of each file.
func (s fileSet) plan() {
	var all []*plan
	for _, m := range s {
		m.plan = newPlan(m.file)
		m.plan.exists = !m.missing
		all = append(all, m.plan)
	}
	for i, p := range all {
		p.all, p.place = all, i
	}
}

// add plans one change.
func (s fileSet) add(c Change) (Result, error) {
	chosen := s.choose(c)
	m := s[chosen]
	current := m
	for _, earlier := range s[:chosen] {
		if earlier.plan.current != "" {
			current = earlier
			break
		}
	}
	entries := c
	entries.SetCurrent = c.SetCurrent && current == m
	r, err := m.plan.add(entries)
	if err != nil {
		return r, err
	}
	r.File = m.path
	m.plan.exists = true
	if c.SetCurrent && current != m {
		r.Current = current.plan.makeCurrent(c.Context.Name)
		r.CurrentFile = current.path
	}
	return r, nil
}

// choose returns the place of the file for a change.
func (s fileSet) choose(c Change) int {
	holds := func(p *plan) bool {
		return c.Cluster.Name != "" && p.has(clusterList, c.Cluster.Name) || c.User.Name != "" && p.has(userList, c.User.Name) ||
			c.Context.Name != "" && p.has(contextList, c.Context.Name)
	}
	if i := slices.IndexFunc(s, func(m *member) bool { return holds(m.plan) }); i >= 0 {
		return i
	}
	if i := slices.IndexFunc(s, func(m *member) bool { return m.plan.exists }); i >= 0 {
		return i
	}
	return len(s) - 1
}

// meant returns the contexts that are to go, each once, and those that would but
// for one that they hide.
func (s fileSet) meant(b Batch) (names []string, kept []Removed, err error) {
	merged := s.merged()
	byName := map[string]MergedContext{}
	for _, c := range merged.contexts {
		byName[c.Name] = c
	}
	hidden := map[string][]MergedContext{}
	for _, c := range merged.hidden {
		hidden[c.Name] = append(hidden[c.Name], c)
	}
	seen := map[string]bool{}
	isMeant := map[string]bool{}
	for _, name := range b.Remove {
		if seen[name] {
			continue
		}
		seen[name] = true
		c, ok := byName[name]
		switch {
		case !ok && b.Only == nil:
			return nil, nil, &MissingError{Kind: "context", Name: name}
		case !ok || b.Only != nil && !b.Only(c):
			continue
		}
		isOther := func(h MergedContext) bool { return b.Only != nil && !b.Only(h) }
		if i := slices.IndexFunc(hidden[name], isOther); i >= 0 {
			kept = append(kept, Removed{File: c.File, Kind: "context", Name: name,
				Kept: hidden[name][i].File + " has a context of this name that is to stay"})
			continue
		}
		names = append(names, name)
		isMeant[name] = true
	}
	for _, c := range b.Changes {
		if isMeant[c.Context.Name] {
			return nil, nil, &OptionError{Option: "context", Reason: fmt.Sprintf("%q is to be written and to be removed", c.Context.Name)}
		}
	}
	return names, kept, nil
}
