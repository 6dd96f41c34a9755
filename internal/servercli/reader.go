package servercli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// configError is what is wrong with a configuration file, and where.
type configError struct {
	path string
	line int // 0 where no line is known
	text string
}

func (e *configError) Error() string {
	if e.line == 0 {
		return e.path + ": " + e.text
	}
	return e.path + ":" + strconv.Itoa(e.line) + ": " + e.text
}

// reader reads YAML nodes into fields. The first error stays; what comes after it
// is ignored.
type reader struct {
	path string
	err  error
}

func (r *reader) fail(n *yaml.Node, text string) {
	if r.err == nil {
		e := &configError{path: r.path, text: text}
		if n != nil {
			e.line = n.Line
		}
		r.err = e
	}
}

// document parses the text and gives its one mapping, or nil and r.err.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > maxConfig {
		r.fail(nil, fmt.Sprintf("is longer than %d bytes", maxConfig))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		r.fail(nil, "is empty")
		return nil
	} else if err != nil {
		r.fail(nil, "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		r.fail(nil, "holds more than one YAML document")
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.fail(root, "a mapping with clusterID and server was expected")
		return nil
	}
	return root
}

// fold makes the keys of a configuration equal whatever their case: ASCII only.
func fold(key string) string {
	b := []byte(key)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// object reads a mapping: each key, folded, by its function. An unknown key and
// a key given twice are errors.
func (r *reader) object(n *yaml.Node, prefix string, fields map[string]func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "a mapping was expected"+at(prefix))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		k := fold(key.Value)
		read, known := fields[k]
		switch {
		case !known:
			r.fail(key, fmt.Sprintf("unknown key %s%s", prefix, key.Value))
		case lines[k] != 0:
			r.fail(key, fmt.Sprintf("%s%s stands twice, here and on line %d", prefix, key.Value, lines[k]))
		case value.Kind == yaml.AliasNode:
			r.fail(value, "YAML aliases are not followed")
		default:
			lines[k] = key.Line
			read(value)
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
	if n.Tag == "!!null" {
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

func (r *reader) hostPort(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.scalar(n); ok {
			if _, _, err := net.SplitHostPort(s); err != nil {
				r.fail(n, fmt.Sprintf("%q is not of the form host:port", s))
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
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
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

// accounts reads the text of each number, so that 012345678901 stays itself.
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

// someAccounts are accounts, and at least one: an empty list of those allowed
// would allow all.
func (r *reader) someAccounts(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if r.accounts(to)(n); len(*to) == 0 {
			r.fail(n, "the list is empty, which would allow every account; name one, or remove the key")
		}
	}
}

// accessKeys have the shape that rule V13 wants, or they would match nothing.
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
		out := map[string][]string{}
		fields := map[string]func(*yaml.Node){}
		for _, name := range names {
			fields[name] = func(n *yaml.Node) {
				var list []string
				r.list(&list)(n)
				out[name] = list
			}
		}
		r.object(n, "server.reservedPrefixes.", fields)
		*to = out
	}
}

// backendMode accepts the one mode that this server has, under the name that
// aws-iam-authenticator gives it, as a list or separated by commas.
func (r *reader) backendMode(n *yaml.Node) {
	var modes []string
	if n.Kind == yaml.ScalarNode {
		modes = strings.Split(n.Value, ",")
	} else {
		r.list(&modes)(n)
	}
	for _, m := range modes {
		if m = strings.TrimSpace(m); m != "MountedFile" && m != "File" {
			r.fail(n, fmt.Sprintf("server.backendMode %s is not supported: only MountedFile is; for the text of an aws-auth ConfigMap use server.awsAuthFile", m))
		}
	}
}
