package kubeconfig

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// A diff ends in terminals, build logs and chats, and the lines around a change
// are other people's. So it shows only what is known to be no secret: a key or
// a value that the schema below has, at its place in the tree and in the words
// of the file. A token, a password, a variable of a plugin, the arguments of a
// plugin that is not known, an extension, a comment (of which many a one is an
// old user entry) have no place there, nor has what stands behind an anchor.

// Edit is what a change would do to one file, see [Plan].
type Edit struct {
	Path string
	// Created says that there is no such file yet.
	Created bool

	original      *safefile.Original
	before, after *File
	splices       []yamlsplice.Splice
	commands      []string // plugins that the changes name
}

// Diff returns the edit as a unified diff, for a person to read and not for
// patch: what may be a secret, and each comment, is shown as REDACTED, and what
// does not print as a question mark. Its first two lines name the file.
func (e Edit) Diff() string {
	return yamlsplice.Diff(e.Path, e.Created, e.before.doc, e.after.doc, e.splices, e.before.visible(e.commands), e.after.visible(e.commands))
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
func (f *File) visible(commands []string) []yamlsplice.Span {
	v := &viewer{doc: f.doc}
	lists := v.mapping(f.doc.Root(), topKeys)
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
	return v.shown
}

// mintsTokens reports whether the meaning of each argument is known.
func mintsTokens(e *Exec, commands []string) bool {
	_, known := meaningOf(e, "")
	return known || slices.ContainsFunc(commands, func(command string) bool {
		_, known := meaningOf(e, command)
		return known
	})
}

type viewer struct {
	doc   *yamlsplice.Document
	shown []yamlsplice.Span
}

func (v *viewer) show(n *yaml.Node) { v.shown = append(v.shown, v.doc.Spans(n)...) }

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
		if key.Kind != yaml.ScalarNode || !isOpen && !slices.Contains(schema.Keys, key.Value) {
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
		if name := yamlsplice.Step(item, "name"); item.Kind != yaml.MappingNode || name == nil || name.Value != markName {
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
// prints MFA codes, which may hold what they are made of.
func (v *viewer) args(n *yaml.Node) {
	const secret = "mfa-command"
	previous := ""
	for _, arg := range v.items(n) {
		word := strings.TrimLeft(yamlsplice.Deref(arg).Value, "-")
		if previous != secret && !strings.HasPrefix(word, secret+"=") {
			v.show(arg)
		}
		previous = word
	}
}
