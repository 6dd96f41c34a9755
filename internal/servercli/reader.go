package servercli

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/yamlnode"
	"github.com/ekskey/ekskey/token"
)

// configError is an error in a configuration file, and its position.
type configError struct {
	path string
	line int // 0 if unknown
	text string
}

func (e *configError) Error() string {
	if e.line == 0 {
		return e.path + ": " + e.text
	}
	return e.path + ":" + strconv.Itoa(e.line) + ": " + e.text
}

// configErrors are all that is wrong with a configuration.
type configErrors []*configError

func (e configErrors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "; ")
}

// maxErrors bounds how many errors are listed.
const maxErrors = 50

// reader reads YAML nodes into fields, and gathers what is wrong with them.
type reader struct {
	path   string
	errors configErrors
}

func (r *reader) fail(n *yaml.Node, text string) {
	if len(r.errors) == maxErrors {
		return
	}
	e := &configError{path: r.path, text: text}
	if n != nil {
		e.line = n.Line
	}
	r.errors = append(r.errors, e)
}

// err is what was wrong, or nil.
func (r *reader) err() error {
	switch len(r.errors) {
	case 0:
		return nil
	case 1:
		return r.errors[0]
	}
	return r.errors
}

// document parses the text and gives its one mapping, or nil and an error.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > maxConfig {
		r.fail(nil, fmt.Sprintf("is longer than %d bytes", maxConfig))
		return nil
	}
	root, err := yamlnode.Document(text)
	switch {
	case errors.Is(err, yamlnode.ErrMoreDocuments):
		r.fail(nil, err.Error())
	case err != nil:
		r.fail(nil, "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
	case root == nil:
		r.fail(nil, "is empty")
	case root.Kind != yaml.MappingNode:
		r.fail(root, "a mapping with clusterID and server was expected")
	default:
		return root
	}
	return nil
}

// object reads a mapping: each key, lower-cased, by its function. An unknown key, a key
// that stands twice and an alias are errors.
func (r *reader) object(n *yaml.Node, prefix string, fields map[string]func(*yaml.Node)) {
	if yamlnode.IsNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "a mapping was expected"+at(prefix))
		return
	}
	read, bad := yamlnode.Fields(n, true)
	for _, e := range bad {
		switch e.Kind {
		case yamlnode.Twice:
			r.fail(e.Node, fmt.Sprintf("duplicate key %s%s, first on line %d", prefix, e.Node.Value, e.First.Line))
		case yamlnode.Alias:
			r.fail(e.Node, "YAML aliases are not followed")
		default:
			r.fail(e.Node, "a key is not a string"+at(prefix))
		}
	}
	for _, f := range read {
		if read, known := fields[f.Name]; known {
			read(f.Value)
		} else {
			r.fail(f.Key, fmt.Sprintf("unknown key %s%s", prefix, f.Key.Value))
		}
	}
}

func at(prefix string) string {
	if prefix == "" {
		return ""
	}
	return " at " + strings.TrimSuffix(prefix, ".")
}

func (r *reader) scalar(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "a single value was expected")
		return "", false
	}
	if yamlnode.IsNull(n) {
		return "", false
	}
	return n.Value, true
}

func (r *reader) text(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			*to = s
		}
	}
}

func (r *reader) boolean(to *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			v, err := strconv.ParseBool(s)
			if err != nil {
				r.fail(n, fmt.Sprintf("%q is neither true nor false", s))
			}
			*to = v
		}
	}
}

func (r *reader) port(to *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			v, err := strconv.ParseUint(s, 10, 16)
			if err != nil {
				r.fail(n, fmt.Sprintf("%q is not a port", s))
			}
			*to = int(v)
		}
	}
}

// count reads a number that is not negative; zero means the default.
func (r *reader) count(to *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text, ok := r.scalar(n)
		if !ok {
			return
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 {
			r.fail(n, strconv.Quote(text)+" is not a number of at least 0")
			return
		}
		*to = v
	}
}

func (r *reader) hostPort(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			if _, _, err := net.SplitHostPort(s); err != nil {
				r.fail(n, fmt.Sprintf("%q does not have the form host:port", s))
			}
			*to = s
		}
	}
}

// loopback reads an address that other machines cannot reach. It must be an IP address,
// because a name may become another one.
func (r *reader) loopback(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			host, _, err := net.SplitHostPort(s)
			if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
				r.fail(n, fmt.Sprintf("%q is not a loopback address with a port, such as 127.0.0.1:6060", s))
			}
			*to = s
		}
	}
}

func (r *reader) duration(to *time.Duration, least, most time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			d, err := time.ParseDuration(s)
			switch {
			case err != nil:
				r.fail(n, fmt.Sprintf("%q is not a duration such as 20s or 5m", s))
			case d < least || d > most:
				r.fail(n, fmt.Sprintf("%s is not between %s and %s", s, least, most))
			}
			*to = d
		}
	}
}

func (r *reader) each(n *yaml.Node, item func(*yaml.Node)) {
	if yamlnode.IsNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "a list was expected")
		return
	}
	for _, i := range n.Content {
		item(i)
	}
}

func (r *reader) list(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.each(n, func(i *yaml.Node) {
			if s, ok := r.scalar(i); ok && s != "" {
				*to = append(*to, s)
			} else {
				r.fail(i, "an empty value in a list")
			}
		})
	}
}

// accounts reads the text of each number, so that 012345678901 keeps its first digit.
func (r *reader) accounts(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.each(n, func(i *yaml.Node) {
			s, _ := r.scalar(i)
			if !identity.IsAccountID(s) {
				r.fail(i, fmt.Sprintf("%q is not an AWS account of twelve digits", s))
			}
			*to = append(*to, s)
		})
	}
}

// someAccounts are accounts, at least one: an empty allow list would allow all.
func (r *reader) someAccounts(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if r.accounts(to)(n); len(*to) == 0 {
			r.fail(n, "the list is empty, which would allow every account; name one, or remove the key")
		}
	}
}

// accessKeys have the form that rule V13 requires, or they would never match.
func (r *reader) accessKeys(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.each(n, func(i *yaml.Node) {
			s, _ := r.scalar(i)
			if !token.ValidAccessKeyID(s) || s != strings.ToUpper(s) {
				// Not quoted: it may be a secret key, pasted by mistake.
				r.fail(i, "this is not an access key id: 16 to 128 capital letters and digits")
			}
			*to = append(*to, s)
		})
	}
}

func (r *reader) lists(to *map[string][]string, names ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		fields := map[string]func(*yaml.Node){}
		for _, name := range names {
			fields[name] = func(n *yaml.Node) {
				var list []string
				r.list(&list)(n)
				add(to, name, list)
			}
		}
		r.object(n, "server.reservedPrefixes.", fields)
	}
}

func add(to *map[string][]string, name string, list []string) {
	if *to == nil {
		*to = map[string][]string{}
	}
	(*to)[name] = append((*to)[name], list...)
}

// durations reads one duration for all names, or a mapping of them.
func (r *reader) durations(to *map[string]time.Duration, names ...string) func(*yaml.Node) {
	const least, most = 0, 24 * time.Hour
	return func(n *yaml.Node) {
		out := map[string]time.Duration{}
		*to = out
		if n.Kind != yaml.MappingNode {
			var all time.Duration
			r.duration(&all, least, most)(n)
			for _, name := range names {
				out[name] = all
			}
			return
		}
		fields := map[string]func(*yaml.Node){}
		for _, name := range names {
			fields[name] = func(n *yaml.Node) {
				var d time.Duration
				r.duration(&d, least, most)(n)
				out[name] = d
			}
		}
		r.object(n, "server.maxStale.", fields)
	}
}

func (r *reader) dialect(to *mapping.Dialect) func(*yaml.Node) {
	return func(n *yaml.Node) {
		switch s, _ := r.scalar(n); s {
		case "ekskey":
			*to = mapping.Ekskey
		case "eks":
			*to = mapping.EKS
		default:
			r.fail(n, fmt.Sprintf("server.dialect %q is neither ekskey nor eks", s))
		}
	}
}

// backends reads the order in which backends are asked.
func (r *reader) backends(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var names []string
		r.list(&names)(n)
		for _, name := range names {
			if !slices.Contains(backendNames, name) {
				r.fail(n, fmt.Sprintf("server.backends: %q is not a backend; there are %s", name, strings.Join(backendNames, ", ")))
			}
		}
		r.setBackends(n, to, names)
	}
}

func (r *reader) setBackends(n *yaml.Node, to *[]string, names []string) {
	switch {
	case *to != nil:
		r.fail(n, "server.backends and server.backendMode say the same; keep one")
	case len(names) == 0:
		r.fail(n, "the list of backends is empty")
	case len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names):
		r.fail(n, "a backend is listed twice")
	}
	*to = names
}

// backendMode reads the same in aws-iam-authenticator's words, as a list or separated
// by commas.
func (r *reader) backendMode(to *[]string, configMap *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var modes []string
		if n.Kind == yaml.ScalarNode {
			modes = strings.Split(n.Value, ",")
		} else {
			r.list(&modes)(n)
		}
		names, err := backendsOfModes(modes)
		if err != nil {
			r.fail(n, err.Error())
		}
		*configMap = *configMap || slices.Contains(names, backendAWSAuth)
		r.setBackends(n, to, names)
	}
}

// backendsOfModes turns aws-iam-authenticator's backend modes into ours.
func backendsOfModes(modes []string) (names []string, err error) {
	for _, m := range modes {
		switch m = strings.TrimSpace(m); m {
		case "MountedFile", "File":
			names = append(names, backendFile)
		case "EKSConfigMap", "ConfigMap":
			names = append(names, backendAWSAuth)
		case "DynamicFile":
			names = append(names, backendDynamicFile)
		default:
			return nil, fmt.Errorf("server.backendMode %s is not supported: MountedFile, EKSConfigMap and DynamicFile are", m)
		}
	}
	return names, nil
}

// reservedPrefixConfig reads reserved prefixes in aws-iam-authenticator's words.
func (r *reader) reservedPrefixConfig(to *map[string][]string) func(*yaml.Node) {
	names := map[string]string{"MountedFile": backendFile, "EKSConfigMap": backendAWSAuth, "DynamicFile": backendDynamicFile}
	return func(n *yaml.Node) {
		r.each(n, func(item *yaml.Node) {
			var mode string
			var list []string
			r.object(item, "server.reservedPrefixConfig.", map[string]func(*yaml.Node){
				"backendmode": r.text(&mode), "usernameprefixreservelist": r.list(&list),
			})
			if names[mode] == "" {
				r.fail(item, fmt.Sprintf("server.reservedPrefixConfig: backendMode %q is none of MountedFile, EKSConfigMap, DynamicFile", mode))
				return
			}
			add(to, names[mode], list)
		})
	}
}
