package kubeconfig

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// FuzzRemove holds that a removal from any valid kubeconfig leaves a valid one, in
// which all else is as before, to the byte and as client-go loads it.
func FuzzRemove(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), uint8(0), uint8(1))
	}
	f.Add([]byte(several), uint8(0), uint8(2))
	f.Add([]byte("contexts:\n- name: a\n  x: |+\n    text\n\n- name: b\n  context:\n\n    # c\n- &a {name: c}\n"), uint8(1), uint8(1))
	f.Add([]byte("contexts: [ # 1\n  {name: a}, # 2\n  {name: b} # 3\n  , {name: c},\n]\n"), uint8(2), uint8(1))
	f.Add([]byte("contexts:\n- name: a\n  x: >-\n    text\n\n\t\n    more\n- name: b\n     \n    #x\n- name: c"), uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, first, count uint8) {
		file, err := Parse("config", data)
		if err != nil || file.Writable() != nil || len(data) > 1<<16 || len(file.contexts) == 0 {
			return
		}
		var names []string
		for i := range 1 + int(count)%3 {
			c := file.contexts[(int(first)+i)%len(file.contexts)]
			names = append(names, c.Name)
		}
		checkRemove(t, file, names)
	})
}

// FuzzRemoveManyHands does so with kubeconfigs as people write them, in which
// nothing has to be refused.
func FuzzRemoveManyHands(f *testing.F) {
	for n := range uint64(200) {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint64) {
		a := &author{Rand: rand.New(rand.NewPCG(n, 8))} // #nosec G404 -- a test's dice
		a.eol = a.pick("\n", "\n", "\r\n")
		a.flow = []float64{0, 0.2, 0.7}[a.IntN(3)]
		a.noise = []float64{0, 0.2, 0.5}[a.IntN(3)]
		a.indent = a.IntN(4)
		text := a.kubeconfig()
		file := mustParse(t, text)
		var names []string
		for _, c := range file.contexts {
			if a.chance(0.5) {
				names = append(names, c.Name)
			}
		}
		if err := checkRemove(t, file, names); err != nil {
			t.Errorf("refused: %v\n%s", err, text)
		}
	})
}

// checkRemove removes contexts, and returns why that is refused.
func checkRemove(t *testing.T, file *File, names []string) error {
	t.Helper()
	data := file.Bytes()
	before, loadErr := clientcmd.Load(slices.Clone(data))
	untouched, input := *file, *file
	set := fileSet{{path: "config", file: &input}}
	r, edits, err := set.apply(Batch{Remove: names})
	*file = *set[0].file
	var notEditable *NotEditableError
	if errors.As(err, &notEditable) {
		if string(file.Bytes()) != string(data) {
			t.Fatal("refused, and changed")
		}
		return err
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	for _, e := range edits {
		checkDiff(t, e)
	}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf(format+"\n--- before, less %q\n%s\n--- after\n%s", append(args, names, data, file.Bytes())...)
	}
	if err := remains(&untouched, file, r.Removed); err != nil {
		fail("%v", err)
	}
	gone := map[string]map[string]bool{"context": {}, "cluster": {}, "user": {}, "current-context": {}}
	for _, x := range r.Removed {
		gone[x.Kind][x.Name] = x.Kept == ""
	}
	for _, name := range names {
		if !gone["context"][name] {
			fail("%q is not reported", name)
		}
	}
	for list, kind := range bodyKey {
		for _, item := range untouched.doc.Items(list) {
			name := yamlsplice.NameOf(item)
			if there := file.doc.Find(list, name) != nil; there == gone[kind][name] {
				fail("%s %q is there: %v", kind, name, there)
			}
		}
	}
	if loadErr != nil {
		return nil
	}
	after, err := clientcmd.Load(file.Bytes())
	if err != nil {
		fail("client-go reads it no more: %v", err)
	}
	for kind, names := range gone {
		for name, is := range names {
			switch {
			case !is:
			case kind == "context":
				delete(before.Contexts, name)
			case kind == "cluster":
				delete(before.Clusters, name)
			case kind == "user":
				delete(before.AuthInfos, name)
			default:
				before.CurrentContext = ""
			}
		}
	}
	if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(api.ExecConfig{}), cmpopts.EquateEmpty()); diff != "" {
		fail("client-go sees other things: %s", diff)
	}
	return nil
}

// remains holds that after is what before was without the removed entries: all the
// rest but white space and what separates entries.
func remains(before, after *File, removed []Removed) error {
	cut := []span{}
	add := func(f *File, n *yaml.Node) error {
		start, end, err := f.doc.Extent(n)
		cut = append(cut, span{start, end})
		return err
	}
	bare := func(f *File) string {
		slices.SortFunc(cut, func(a, b span) int { return a.start - b.start })
		text, _ := textOf(f)
		var b strings.Builder
		at := 0
		for _, c := range cut {
			b.Write(text[at:c.start])
			at = c.end
		}
		b.Write(text[at:])
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n\u0085\u2028\u2029,-[]", r) {
				return -1
			}
			return r
		}, b.String())
	}
	current := false
	for _, r := range removed {
		list := r.Kind + "s"
		switch {
		case r.Kept != "":
		case r.Kind == "current-context":
			current = true
			_, v := yamlsplice.Child(before.doc.Root(), "current-context")
			if err := add(before, v); err != nil {
				return err
			}
		default:
			item := before.doc.Find(list, r.Name)
			if err := add(before, item); err != nil {
				return err
			}
			if _, seq := yamlsplice.Child(before.doc.Root(), list); seq.Style&yaml.FlowStyle == 0 {
				// With the dash and the comment on its lines.
				text, _ := textOf(before)
				last := &cut[len(cut)-1]
				for dash := false; !dash; {
					for last.start > 0 && lineEnd(text, last.start-1) != last.start-1 {
						last.start--
					}
					dash = strings.HasPrefix(strings.TrimLeft(string(text[last.start:]), " "), "-")
					last.start = max(last.start-1, 0)
				}
				last.end = lineEnd(text, last.end)
			}
		}
	}
	want := bare(before)
	cut = nil
	if current {
		_, v := yamlsplice.Child(after.doc.Root(), "current-context")
		if err := add(after, v); err != nil {
			return err
		}
	}
	if got := bare(after); got != want {
		return errors.New("other bytes have changed: " + cmp.Diff(want, got))
	}
	return nil
}
