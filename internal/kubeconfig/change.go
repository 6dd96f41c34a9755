package kubeconfig

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ekskey/ekskey/internal/execplugin"
	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// Change is what is to be in a kubeconfig. Each part with an empty name is left
// out. What a part does not name survives: other keys, a context's namespace, a
// cluster's tls-server-name, proxy-url and extensions. An update never leaves a
// cluster both with our certificate authority and with certificate-authority or
// insecure-skip-tls-verify, which kubectl would refuse or which would undo it.
type Change struct {
	Cluster Cluster
	User    User // with Exec; Other is ignored
	Context Context
	// SetCurrent makes the context the current one.
	SetCurrent bool
	// UserChosen and ClusterChosen say that a person chose the entry's name, so
	// that a conflict is an error. Otherwise another name is found for the user,
	// and the cluster's name says itself which cluster it is.
	UserChosen    bool
	ClusterChosen bool
	// KeepPrincipal refuses the change with a *PrincipalError if the context is there
	// and would authenticate as another principal.
	KeepPrincipal bool
	// Warnings are what the maker of the change found odd, for a person to read.
	Warnings []string
}

// Outcome is what a change did to an entry.
type Outcome = yamlsplice.Outcome

// The outcomes. The zero value is Unchanged.
const (
	Unchanged = yamlsplice.Unchanged
	Added     = yamlsplice.Added
	Updated   = yamlsplice.Updated
)

// Item is one entry that a change named. Where it named none, it is zero.
type Item struct {
	Name    string
	File    string // that it is in
	Outcome Outcome
}

// Result says what a change did.
type Result struct {
	File string // that the context is in

	Cluster Item
	User    Item // its name may differ from the change's, see [File.Apply]
	Context Item
	Current Item // current-context

	// Warnings are what may not be meant, for a person to read.
	Warnings []string
}

// Changed reports whether any byte of the file differs.
func (r Result) Changed() bool {
	return r.Cluster.Outcome != Unchanged || r.User.Outcome != Unchanged ||
		r.Context.Outcome != Unchanged || r.Current.Outcome != Unchanged
}

// namedValue is a value by the option that it is of.
type namedValue struct{ name, value string }

// check refuses values that no reader of a kubeconfig should meet: those that
// are not text, and control characters, which would reach a terminal.
func (c Change) check() error {
	values := []namedValue{
		{"user name", c.User.Name},
		{"cluster name", c.Cluster.Name}, {"server", c.Cluster.Server}, {"certificate authority", c.Cluster.CAData},
		{"tls-server-name", c.Cluster.TLSServerName}, {"proxy-url", c.Cluster.ProxyURL},
		{"context name", c.Context.Name}, {"context's cluster", c.Context.Cluster},
		{"context's user", c.Context.User}, {"namespace", c.Context.Namespace},
		{"mark of the context", c.Context.MadeFor},
	}
	if e := c.User.Exec; e != nil {
		values = append(values, namedValue{"command", e.Command}, namedValue{"install hint", e.InstallHint},
			namedValue{"apiVersion", e.APIVersion}, namedValue{"interactiveMode", e.InteractiveMode})
		for _, a := range e.Args {
			values = append(values, namedValue{"argument", a})
		}
		for _, v := range e.Env {
			values = append(values, namedValue{"variable", v.Name}, namedValue{"variable " + v.Name, v.Value})
		}
	} else if c.User.Name != "" {
		return &OptionError{Option: "user", Reason: "has no plugin to run"}
	}
	for _, v := range values {
		if err := checkText(v.name, v.value); err != nil {
			return err
		}
	}
	if c.SetCurrent && c.Context.Name == "" {
		return &OptionError{Option: "current context", Reason: "has no name"}
	}
	return nil
}

func checkText(option, value string) error {
	if !utf8.ValidString(value) {
		return &OptionError{Option: option, Reason: "is not UTF-8"}
	}
	for _, r := range value {
		if r >= ' ' && r < 0x7F {
			continue // long ones, as of certificates, have nothing else
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 || r == 0xFEFF {
			return &OptionError{Option: option, Reason: fmt.Sprintf("has a control character (%U)", r)}
		}
	}
	return nil
}

type (
	setting = yamlsplice.Setting
	fields  = yamlsplice.Fields
)

func set(value any, path ...string) setting { return setting{Path: path, Value: value} }

func (c Cluster) settings(old *clusterFlags) []setting {
	s := []setting{set(optional(c.CAData), "cluster", "certificate-authority-data"),
		set(optional(c.ProxyURL), "cluster", "proxy-url"),
		set(optional(c.Server), "cluster", "server"),
		set(optional(c.TLSServerName), "cluster", "tls-server-name")}
	s = withValue(s)
	if c.CAData != "" && old != nil {
		if old.caFile {
			s = append(s, set(nil, "cluster", "certificate-authority"))
		}
		if old.insecure {
			s = append(s, set(nil, "cluster", "insecure-skip-tls-verify"))
		}
	}
	return s
}

// settings are the context's wishes, with its mark, if it has one.
func (c Context) settings() []setting {
	s := []setting{set(optional(c.Cluster), "context", "cluster")}
	if c.mark.there {
		s = append(s, c.mark.setting())
	}
	return withValue(append(s, set(optional(c.Namespace), "context", "namespace"),
		set(optional(c.User), "context", "user")))
}

func (u User) settings(old *Exec) []setting {
	e := u.Exec
	at := func(key string, value any) setting { return set(value, "user", "exec", key) }
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		args[i] = a
	}
	s := []setting{at("apiVersion", optional(e.APIVersion)), at("args", args), at("command", optional(e.Command))}
	if env, changed := mergeEnv(old, e.Env); changed {
		s = append(s, at("env", env))
	}
	return withValue(append(s, at("installHint", optional(e.InstallHint)),
		at("interactiveMode", optional(e.InteractiveMode)),
		at("provideClusterInfo", e.ProvideClusterInfo)))
}

// carryOver returns a plugin with what an old one of the same principal has beside: its CA
// bundle, its command for MFA codes, the cache of sources with a state, its variables.
func carryOver(old, want *Exec) *Exec {
	have, ok := meaningOf(old, want.Command)
	m, known := meaningOf(want, want.Command)
	if !ok || !known || !have.SamePrincipal(m) {
		return want
	}
	m.CABundle, m.MFACommand = firstOf(m.CABundle, have.CABundle), firstOf(m.MFACommand, have.MFACommand)
	m.CacheAll = m.CacheAll || have.CacheAll
	e := *want
	e.Args = m.Words(strings.TrimPrefix(want.APIVersion, execGroup))
	e.Env = slices.Clone(want.Env)
	for _, v := range execplugin.Unwrapped(old.invocation()).Env {
		if !execplugin.IsProfileVar(v.Name) && !slices.ContainsFunc(e.Env, func(w EnvVar) bool { return w.Name == v.Name }) {
			e.Env = append(e.Env, v)
		}
	}
	return &e
}

// unset marks an empty wish, which leaves what there is.
type unset struct{}

func optional(s string) any {
	if s == "" {
		return unset{}
	}
	return s
}

func withValue(all []setting) []setting {
	var s []setting
	for _, x := range all {
		if _, no := x.Value.(unset); !no {
			s = append(s, x)
		}
	}
	return s
}

// mergeEnv keeps the variables a person has added, but for a profile, which is
// a flag in what we write and would otherwise be said twice.
func mergeEnv(old *Exec, want []EnvVar) (list any, changed bool) {
	var merged []any
	wanted := map[string]string{}
	for _, v := range want {
		wanted[v.Name] = v.Value
	}
	if old != nil {
		for _, v := range old.Env {
			value, again := wanted[v.Name]
			delete(wanted, v.Name)
			switch {
			case again:
				changed = changed || value != v.Value
				merged = append(merged, variable(v.Name, value))
			case execplugin.IsProfileVar(v.Name):
				changed = true
			default:
				merged = append(merged, variable(v.Name, v.Value))
			}
		}
	}
	for _, v := range want {
		if value, left := wanted[v.Name]; left {
			delete(wanted, v.Name)
			merged = append(merged, variable(v.Name, value))
			changed = true
		}
	}
	if len(merged) == 0 {
		return nil, changed
	}
	return merged, changed
}

func variable(name, value string) fields {
	return fields{{Key: "name", Value: name}, {Key: "value", Value: value}}
}
