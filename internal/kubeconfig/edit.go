package kubeconfig

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// edit plans the settings of one entry.
func (p *plan) edit(list, name string, settings []setting) (Item, error) {
	p.ops = append(p.ops, op{list, name, settings})
	item := Item{Name: name}
	if e := p.freshAt[named{list, name}]; e != nil {
		if !e.value.holdsAll(settings) {
			e.value = e.value.with(settings)
			item.Outcome = Updated
		}
		return item, nil
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
		e := &freshEntry{name, value}
		p.fresh[list] = append(p.fresh[list], e)
		p.freshAt[named{list, name}] = e
		item.Outcome = Added
		return item, nil
	}
	before := e.frag.text
	if before == e.before && holdsAll(p.file.lists[list][e.index].item, settings) {
		return item, nil
	}
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

// with makes the settings in fs, which is used up.
func (fs fields) with(settings []setting) fields {
	for _, s := range settings {
		fs = fs.withOne(s.path, s.value)
	}
	return fs
}

func (fs fields) withOne(path []string, value any) fields {
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
		switch sub := fs[i].value.(type) {
		case fields:
			value = sub.withOne(path[1:], value)
		case []any:
			value = withItem(sub, path, value)
		default:
			value = wrap(path, value)
		}
	}
	fs[i].value = value
	return fs
}

// withItem makes a setting in the item of a list that path's second step names.
// The list may be shared and is copied.
func withItem(list []any, path []string, value any) []any {
	list = slices.Clone(list)
	for i, item := range list {
		if in, ok := item.(fields); ok && stepInto(in, "name") == path[1] {
			list[i] = in.clone().withOne(path[2:], value)
			return list
		}
	}
	return append(list, wrap(path, value).([]any)...)
}

// holdsAll reports whether the settings would change nothing.
func (fs fields) holdsAll(settings []setting) bool {
	return !slices.ContainsFunc(settings, func(s setting) bool {
		var have any = fs
		for _, key := range s.path {
			have = stepInto(have, key)
		}
		return !reflect.DeepEqual(have, s.value)
	})
}

// holdsAll reports whether an entry surely is as the settings want it.
func holdsAll(n *yaml.Node, settings []setting) bool {
	return !slices.ContainsFunc(settings, func(s setting) bool {
		in := n
		for i, key := range s.path {
			if in.Kind != yaml.MappingNode && in.Kind != yaml.SequenceNode {
				return true
			}
			v := step(in, key)
			if v == nil {
				return s.value != nil
			}
			if i == len(s.path)-1 {
				return s.value == nil || !holds(v, s.value)
			}
			in = v
		}
		return false
	})
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
