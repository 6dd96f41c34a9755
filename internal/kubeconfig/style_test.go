package kubeconfig

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// quoted is a string that is the same to YAML and to JSON.
func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings always encode
	return strings.TrimSuffix(b.String(), "\n")
}

var bare = regexp.MustCompile(`^[A-Za-z/-]*[A-Za-z][A-Za-z0-9_./:@~+=-]*$`)

// isBare reports whether s is the same string to all without quotes.
func isBare(s string) bool {
	return bare.MatchString(s) && !strings.HasSuffix(s, ":") && len(s) > 3 && s != "true" && s != "false" && s != "null"
}

func pad(n int) string { return strings.Repeat(" ", max(n, 0)) }

// mapping is one with an order.
type mapping []mappingPair

type mappingPair struct {
	Key   string
	Value any
}

// author writes kubeconfigs in as many hands as YAML allows.
type author struct {
	*rand.Rand
	eol    string
	flow   float64 // how often in brackets
	noise  float64 // how often a comment or a blank line
	indent int     // of lists
}

func (a *author) chance(p float64) bool { return a.Float64() < p }

func (a *author) pick(s ...string) string { return s[a.IntN(len(s))] }

func (a *author) scalar(v string) string {
	switch a.IntN(4) {
	case 0:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case 1:
		return quoted(v)
	}
	if !isBare(v) {
		return quoted(v)
	}
	return v
}

func (a *author) key(k string) string { return a.pick(k, k, k, `"`+k+`"`, "'"+k+"'") }

func (a *author) shuffled(fs mapping) mapping {
	a.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
	return fs
}

func (a *author) inFlow(v any) string {
	sp := func() string { return a.pick("", " ", "  ") }
	switch v := v.(type) {
	case mapping:
		var parts []string
		for _, p := range a.shuffled(v) {
			parts = append(parts, sp()+a.key(p.Key)+": "+a.inFlow(p.Value)+sp())
		}
		return "{" + strings.Join(parts, ",") + sp() + "}"
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, sp()+a.inFlow(x))
		}
		end := a.pick("", " ", ",")
		if len(parts) == 0 {
			end = a.pick("", " ")
		}
		return "[" + strings.Join(parts, ",") + end + "]"
	case nil:
		return a.pick("null", "~", "Null")
	case bool:
		return fmt.Sprint(v)
	}
	return a.scalar(v.(string))
}

// noisy returns an optional comment or blank line of its own.
func (a *author) noisy(indent int) string {
	if !a.chance(a.noise) {
		return ""
	}
	return a.pick("", pad(indent)+"# user: x", "# - name: demo", pad(indent)) + a.eol
}

// value writes what follows a colon, with its line break.
func (a *author) value(v any, indent int) string {
	tail := a.pick("", "", "", " ", " # it's: \"", "\t#") + a.eol
	switch v := v.(type) {
	case mapping:
		if len(v) == 0 || a.chance(a.flow) {
			return " " + a.inFlow(v) + tail
		}
		return tail + a.block(v, indent+1+a.IntN(4))
	case []any:
		if len(v) == 0 || a.chance(a.flow) {
			return " " + a.inFlow(v) + tail
		}
		return tail + a.items(v, indent+a.indent)
	case nil:
		return a.pick("", " null", " ~") + tail
	case bool:
		return " " + fmt.Sprint(v) + tail
	}
	s := v.(string)
	if a.chance(0.1) && s != "" && isBare(s) {
		lead := pad(indent + 1 + a.IntN(3))
		return " " + a.pick(">-", "|-") + a.eol + lead + s + a.eol
	}
	return " " + a.scalar(s) + tail
}

func (a *author) block(fs mapping, indent int) string {
	var b strings.Builder
	for _, p := range a.shuffled(fs) {
		b.WriteString(a.noisy(indent) + pad(indent) + a.key(p.Key) + a.pick("", "", " ") + ":" + a.value(p.Value, indent))
	}
	return b.String()
}

func (a *author) items(items []any, indent int) string {
	var b strings.Builder
	for _, x := range items {
		b.WriteString(a.noisy(indent))
		fs, ok := x.(mapping)
		if !ok || a.chance(a.flow) {
			b.WriteString(pad(indent) + "- " + a.inFlow(x) + a.eol)
			continue
		}
		in := indent + 2 + a.IntN(3)
		text := a.block(fs, in)
		if a.chance(0.2) || !strings.HasPrefix(text, pad(in)) || strings.HasPrefix(text[in:], "#") || strings.HasPrefix(text[in:], a.eol) {
			b.WriteString(pad(indent) + "-" + a.eol + text)
		} else {
			b.WriteString(pad(indent) + "-" + pad(in-indent-1) + text[in:])
		}
	}
	return b.String()
}

func (a *author) exec() mapping {
	e := mapping{{"apiVersion", "client.authentication.k8s.io/v1beta1"}, {"command", a.pick("aws", "/usr/local/bin/ekskey")},
		{"args", []any{"eks", "get-token", "--cluster-name", a.pick("demo", "x")}}}
	if a.chance(0.5) {
		e = append(e, mappingPair{"env", a.either(nil, []any{mapping{{"name", "AWS_PROFILE"}, {"value", "p"}}},
			[]any{mapping{{"name", "AWS_PROFILE"}, {"value", "p"}}, mapping{{"name", "X"}, {"value", "y: z"}}})})
	}
	return e
}

func (a *author) either(v ...any) any { return v[a.IntN(len(v))] }

func (a *author) kubeconfig() string {
	var clusters, contexts, users []any
	for _, name := range []string{"kind", demoARN, "größe # 1", "demo"} {
		if a.chance(0.6) {
			body := mapping{{"server", "https://" + a.pick("old", "two")}}
			if a.chance(0.5) {
				body = append(body, mappingPair{a.pick("tls-server-name", "x-unknown", "certificate-authority"), "v"})
			}
			if a.chance(0.3) {
				body = append(body, mappingPair{"insecure-skip-tls-verify", a.chance(0.7)})
			}
			if a.chance(0.3) {
				body = append(body, mappingPair{"extensions", []any{mapping{{"name", "e"}, {"extension", mapping{{"a", []any{"1", "2"}}}}}}})
			}
			clusters = append(clusters, mapping{{"name", name}, {"cluster", a.either(body, body, body, nil, mapping{})}})
		}
		if a.chance(0.6) {
			body := mapping{{"cluster", a.pick("kind", demoARN)}, {"user", a.pick("kind", demoARN)}}
			if a.chance(0.4) {
				body = append(body, mappingPair{"namespace", "team a"})
			}
			contexts = append(contexts, mapping{{"name", name}, {"context", a.either(body, body, body, nil, mapping{})}})
		}
		if a.chance(0.6) {
			user := a.either(mapping{{"exec", a.exec()}}, mapping{{"exec", a.exec()}, {"as", "viewer"}}, mapping{{"token", "t"}}, nil, mapping{})
			users = append(users, mapping{{"name", name}, {"user", user}})
		}
	}
	list := func(items []any) any {
		if len(items) == 0 {
			return a.either(nil, []any{})
		}
		return items
	}
	top := mapping{{"apiVersion", "v1"}, {"kind", "Config"}}
	for _, p := range []mappingPair{{clusterList, list(clusters)}, {contextList, list(contexts)}, {userList, list(users)},
		{"current-context", a.pick("", "kind", "demo")}, {"preferences", mapping{}}} {
		if a.chance(0.9) {
			top = append(top, p)
		}
	}
	var text string
	if a.chance(0.15) {
		text = a.inFlow(top) + a.eol
	} else {
		text = a.block(top, 0)
	}
	if a.chance(0.2) {
		text = strings.TrimSuffix(text, a.eol)
	}
	return a.pick("", "", "\uFEFF", "# top"+a.eol, "---"+a.eol) + text
}

// FuzzManyHands holds that an edit of any kubeconfig, however it is laid out,
// keeps what FuzzEdit promises, and is not refused.
func FuzzManyHands(f *testing.F) {
	for n := range uint64(400) {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint64) {
		a := &author{Rand: rand.New(rand.NewPCG(n, 7))} // #nosec G404 -- a test's dice
		a.eol = a.pick("\n", "\n", "\r\n")
		a.flow = []float64{0, 0.2, 0.7}[a.IntN(3)]
		a.noise = []float64{0, 0.2, 0.5}[a.IntN(3)]
		a.indent = a.IntN(4)
		text := a.kubeconfig()
		file, err := Parse("config", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if _, err := clientcmd.Load([]byte(text)); err != nil {
			t.Fatalf("client-go: %v\n%s", err, text)
		}
		if !checkEdit(t, file, "demo", a.pick("", "ns")) {
			_, err := file.Apply(mustChange(t, demo()))
			t.Errorf("refused: %v\n%s", err, text)
		}
	})
}
