package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatToken = "token"
)

// format is the output format asked for, the first of the allowed ones if none
// is.
func (a *app) format(allowed ...string) (string, error) {
	if a.global.output == "" {
		return allowed[0], nil
	}
	if !slices.Contains(allowed, a.global.output) {
		return "", &usageError{reason: fmt.Sprintf("--output %q is not one of %s", a.global.output, strings.Join(allowed, ", "))}
	}
	return a.global.output, nil
}

// write renders a value as JSON or YAML, or else by calling table.
func (a *app) write(w io.Writer, format string, v any, table func(io.Writer)) error {
	if format == formatTable {
		table(w)
		return nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("rendering the output: %w", err)
	}
	out := escape(buf.Bytes(), format == formatYAML)
	if format == formatYAML {
		var err error
		if out, err = toYAML(out); err != nil {
			return fmt.Errorf("rendering the output: %w", err)
		}
	}
	_, err := w.Write(out)
	return err
}

// escape writes what does not print, or steers a terminal, as escapes. Outside
// of quotes the document must have no such thing. YAML has no surrogates, but
// longer escapes.
func escape(doc []byte, forYAML bool) []byte {
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case forYAML:
			out = fmt.Appendf(out, `\U%08X`, r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
	}
	return out
}

// toYAML turns JSON into YAML in block style, keys in the same order. JSON is
// YAML already; only its style changes.
func toYAML(doc []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(doc, &node); err != nil {
		return nil, err
	}
	var plain func(*yaml.Node)
	plain = func(n *yaml.Node) {
		if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
			n.Style = 0
		}
		if n.Kind == yaml.ScalarNode && strings.ContainsFunc(n.Value, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			n.Style = yaml.DoubleQuotedStyle // in which escape may do its work
		}
		for _, c := range n.Content {
			plain(c)
		}
	}
	plain(&node)
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return escape(buf.Bytes(), true), nil
}

// table writes rows in columns under a header.
func (a *app) table(w io.Writer, header []string, rows [][]string) {
	var buf bytes.Buffer
	t := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		_, _ = fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	_ = t.Flush()
	head, rest, _ := strings.Cut(buf.String(), "\n")
	if a.colour() {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	_, _ = io.WriteString(w, head+"\n"+rest)
}

// fields writes one name and value a line, leaving out empty values.
func (a *app) fields(w io.Writer, pairs ...[2]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] != "" {
			_, _ = fmt.Fprintln(t, p[0]+":\t"+printable(p[1]))
		}
	}
	_ = t.Flush()
}

// colour reports whether headers may be bold.
//
// Source: https://no-color.org
func (a *app) colour() bool {
	return isTerminal(a.env.Stdout) && a.env.Getenv("NO_COLOR") == "" && a.env.Getenv("TERM") != "dumb"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
