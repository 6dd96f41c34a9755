package kubeconfig

import (
	"fmt"
	"slices"
)

// apply makes a batch in memory. The edits come in the order in which they must be
// written, later files of the list first: so what is in an earlier file, which wins,
// never names an entry that does not exist yet, and what it hides is gone before it
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
	if err := s.plan(); err != nil {
		return Report{}, nil, err
	}
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
	if r.Removed, err = s.remove(meant, r.Results); err != nil {
		return Report{}, nil, err
	}
	r.Removed = append(r.Removed, kept...)
	edits, err := s.commit(commands)
	return r, edits, err
}

// commit makes what was planned of all files so, in memory.
func (s fileSet) commit(commands []string) (edits []Edit, err error) {
	for _, m := range slices.Backward(s) {
		before := m.file
		splices, err := m.commit()
		if err != nil {
			return nil, err
		}
		if len(splices) > 0 {
			edits = append(edits, Edit{Path: m.path, original: m.original, Created: m.missing, before: before, after: m.file, splices: splices, commands: commands})
		}
	}
	return edits, nil
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
	listed := map[string]bool{}
	isMeant := map[string]bool{}
	for _, name := range b.Remove {
		if listed[name] {
			continue
		}
		listed[name] = true
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
