package kubeconfig

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A diff ends in terminals, build logs and chats, and the lines around a change
// are other people's. So it shows only what is known to be no secret: a key or
// a value that the schema below has, at its place in the tree and in the words
// of the file. A token, a password, a variable of a plugin, the arguments of a
// plugin that is not known, an extension, a comment (of which many a one is an
// old user entry) have no place there, nor has what stands behind an anchor.

// redacted stands for what is not shown.
const redacted = "REDACTED"

// span is a range of offsets in the source's data.
type span struct{ start, end int }

// redactor renders lines of a source, of which only the spans are shown.
type redactor struct {
	src   *source
	shown []span // in order
}

// lines writes lines, each behind a mark.
func (r redactor) lines(b *strings.Builder, mark byte, start, end int) {
	for i := start; i < end; i++ {
		b.WriteByte(mark)
		b.WriteString(r.line(i))
		b.WriteByte('\n')
		if i+1 == r.src.count() && r.src.count() == len(r.src.lines) {
			b.WriteString("\\ No newline at end of file\n")
		}
	}
}

// line returns a line without its break.
func (r redactor) line(i int) string {
	start := r.src.offset(i)
	end := max(start, min(r.src.lineEnd(start), r.src.offset(i+1)))
	var b strings.Builder
	n, _ := slices.BinarySearchFunc(r.shown, start, func(s span, at int) int { return s.end - at })
	for at := start; at < end; {
		for n < len(r.shown) && r.shown[n].end <= at {
			n++
		}
		gap := end
		if n < len(r.shown) {
			gap = min(max(r.shown[n].start, at), end)
		}
		b.WriteString(hide(string(r.src.data[at:gap])))
		if at = gap; at < end {
			at = min(r.shown[n].end, end)
			b.Write(r.src.data[gap:at])
		}
	}
	return printable(b.String())
}

// marks are what YAML is built of. A word of them is shown, if it is short, and
// all behind the first word of another kind is not.
const marks = "-:,[]{}"

func hide(gap string) string {
	at := 0
	for at < len(gap) {
		rest := gap[at:]
		word := strings.TrimLeft(rest, " \t")
		if word == "" {
			break
		}
		lead := len(rest) - len(word)
		if end := strings.IndexAny(word, " \t"); end >= 0 {
			word = word[:end]
		}
		if len(word) > 4 || strings.Trim(word, marks) != "" {
			shown := gap[:at+lead]
			if word[0] == '#' {
				shown += "# "
			}
			shown += redacted
			if strings.HasSuffix(gap, " ") {
				shown += " "
			}
			return shown
		}
		at += lead + len(word)
	}
	return gap
}

// shownKeys are the scalars of each place in a kubeconfig that are no secret.
// Keys whose values are one are shown themselves.
var (
	topKeys     = []string{"apiVersion", "current-context", "kind"}
	clusterKeys = []string{"certificate-authority", "certificate-authority-data", "disable-compression",
		"insecure-skip-tls-verify", "server", "tls-server-name", "proxy-url"}
	contextKeys = []string{"cluster", "namespace", "user"}
	execKeys    = []string{"apiVersion", "command", "installHint", "interactiveMode", "provideClusterInfo"}
)

// visible returns what of a file may be shown. The commands are plugins that are
// ours under another name.
func (f *File) visible(commands []string) []span {
	if f.root == nil {
		return nil
	}
	v := &viewer{src: f.src}
	lists := v.mapping(f.root, topKeys)
	for list, key := range bodyKey {
		for i, item := range v.items(lists[list]) {
			body := v.mapping(item, []string{"name"})[key]
			switch list {
			case clusterList:
				v.mapping(body, clusterKeys)
			case contextList:
				v.mark(v.mapping(body, contextKeys)["extensions"])
			case userList:
				exec := v.mapping(v.mapping(body, nil)["exec"], execKeys)
				for _, variable := range v.items(exec["env"]) {
					v.mapping(variable, []string{"name"})
				}
				if mintsTokens(f.users[i].Exec, commands) {
					v.args(exec["args"])
				}
			}
		}
	}
	slices.SortFunc(v.shown, func(a, b span) int { return a.start - b.start })
	return v.shown
}

// mintsTokens reports whether the meaning of each argument is known.
func mintsTokens(e *Exec, commands []string) bool {
	_, known := identityOf(e, "")
	return known || slices.ContainsFunc(commands, func(command string) bool {
		_, known := identityOf(e, command)
		return known
	})
}

type viewer struct {
	src   *source
	shown []span
}

// show makes a scalar visible, if it is plainly written in one place.
func (v *viewer) show(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return
	}
	start := v.src.content(n)
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		// Its first line may have a comment.
		v.shown = append(v.shown, span{start, start + len(bytes.TrimRight(v.src.blockHeader(start), " \t"))})
		start = v.src.lineEnd(start)
	}
	if end, err := v.src.end(n); err == nil && start < end {
		v.shown = append(v.shown, span{start, end})
	}
}

// mapping shows a mapping's known keys and those values that are no secret. It
// returns the values by key, none where n is no mapping of its own.
func (v *viewer) mapping(n *yaml.Node, open []string) map[string]*yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode || n.Anchor != "" {
		return nil
	}
	byKey := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		isOpen := slices.Contains(open, key.Value)
		if key.Kind != yaml.ScalarNode || !isOpen && !slices.Contains(knownKeys, key.Value) {
			continue
		}
		v.show(key)
		byKey[key.Value] = value
		// A URL may have a password in it, and a link may be one.
		isURL := key.Value == "server" || key.Value == "proxy-url"
		if isOpen && !(isURL && strings.ContainsAny(value.Value, "@?#")) {
			v.show(value)
		}
	}
	return byKey
}

// mark shows our extension of a context, and of those of others nothing. It is shown
// alike whether it is valid or not, since a line that stays is shown once.
func (v *viewer) mark(list *yaml.Node) {
	for _, item := range v.items(list) {
		if name := step(item, "name"); item.Kind != yaml.MappingNode || name == nil || name.Value != markName {
			continue
		}
		said := v.mapping(v.mapping(item, []string{"name"})["extension"], []string{"entry"})
		if cluster := said["cluster"]; cluster != nil {
			if _, _, isARN := clusterARN(cluster.Value); isARN {
				v.show(cluster)
			}
		}
	}
}

// items returns the items of a list, none where n is no list of its own.
func (v *viewer) items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode || n.Anchor != "" {
		return nil
	}
	return n.Content
}

// args shows the arguments of a plugin that mints tokens, but not a command that
// prints codes of a second factor, which may hold what they are made of.
func (v *viewer) args(n *yaml.Node) {
	const secret = "mfa-command"
	previous := ""
	for _, arg := range v.items(n) {
		word := strings.TrimLeft(deref(arg).Value, "-")
		if previous != secret && !strings.HasPrefix(word, secret+"=") {
			v.show(arg)
		}
		previous = word
	}
}
