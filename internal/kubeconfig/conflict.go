package kubeconfig

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ekskey/ekskey/internal/execplugin"
)

// credentialKeys are a user's ways to authenticate without a plugin
// (k8s.io/client-go/tools/clientcmd/api/v1, AuthInfo).
var credentialKeys = []string{"auth-provider", "client-certificate", "client-certificate-data", "client-key",
	"client-key-data", "password", "token", "tokenFile", "username"}

// impersonationKeys make a user act as another (AuthInfo, as above).
var impersonationKeys = []string{"as", "as-groups", "as-uid", "as-user-extra"}

func (u User) hasAny(keys []string) bool {
	return slices.ContainsFunc(u.Other, func(k string) bool { return slices.Contains(keys, k) })
}

// Kinds returns the keys of the user's own credentials, which go before its plugin's,
// and whether it acts as somebody else with them (as, as-groups and their like).
func (u User) Kinds() (own []string, impersonates bool) {
	for _, k := range u.Other {
		if slices.Contains(credentialKeys, k) {
			own = append(own, k)
		}
	}
	return own, u.hasAny(impersonationKeys)
}

// pickUser returns the name of the user entry for a change: the one it asks
// for, unless that is taken by something that may not be altered.
func (s fileSet) pickUser(c Change) (string, error) {
	want, known := meaningOf(c.User.Exec, c.User.Exec.Command)
	uses := sync.OnceValue(func() map[string][]string { return s.uses(c.Context.Name) })
	for n := 1; ; n++ {
		name := c.User.Name
		if n > 1 {
			name = fmt.Sprintf("%s~%d", c.User.Name, n)
		}
		in := s.holder(userList, name)
		if in == nil {
			return name, s.keepsImpersonation(c, name)
		}
		u := in.users[name]
		have, ok := meaningOf(u.Exec, c.User.Exec.Command)
		same := ok && known && have.Same(want) || sameExec(u.Exec, c.User.Exec)
		replaceable := ok || u.Exec == nil
		impersonates := u.hasAny(impersonationKeys) && s.context(c.Context.Name).User != name
		if !impersonates && !u.hasAny(credentialKeys) && (same || replaceable && len(uses()[name]) == 0) {
			return name, s.keepsImpersonation(c, name)
		}
		if c.UserChosen {
			return "", &ConflictError{File: in.path, Kind: "user", Name: name, Contexts: uses()[name]}
		}
	}
}

// keepsImpersonation refuses to give a context of the cluster, whose present user
// impersonates and cannot be altered, a new one that does not: it may do more.
func (s fileSet) keepsImpersonation(c Change, name string) error {
	present := s.context(c.Context.Name).User
	user := s.user(present)
	if c.UserChosen || present == name || !user.hasAny(impersonationKeys) {
		return nil
	}
	if _, known := meaningOf(user.Exec, commandOf(c.User.Exec)); !known {
		return nil
	}
	return &ConflictError{File: s.holder(userList, present).path, Kind: "user", Name: present, Contexts: s.uses(c.Context.Name)[present]}
}

// principalChange says how the context of a change authenticates now, if the change
// gives it a user that authenticates as somebody else.
func (s fileSet) principalChange(c Change) string {
	old := s.context(c.Context.Name)
	user := s.user(old.User)
	if c.User.Name == "" || user.Name == "" {
		return ""
	}
	if own, _ := user.Kinds(); len(own) > 0 {
		return "it has credentials of its own: " + strings.Join(own, ", ")
	}
	if user.Exec == nil || sameExec(user.Exec, c.User.Exec) {
		return ""
	}
	want, err := execplugin.Read(c.User.Exec.invocation(), c.User.Exec.Command)
	if err != nil {
		return ""
	}
	have, err := execplugin.Read(user.Exec.invocation(), c.User.Exec.Command)
	if err != nil && old.MadeFor != "" {
		have, err = execplugin.Read(user.Exec.invocation(), user.Exec.Command)
	}
	if err != nil {
		return "it runs " + execplugin.ProgramName(user.Exec.Command) + ", and as whom that authenticates is not known"
	}
	return have.Differs(want)
}

func sameExec(a, b *Exec) bool {
	return a != nil && b != nil && a.Command == b.Command && slices.Equal(a.Args, b.Args) && slices.Equal(a.Env, b.Env)
}

// uses returns by user the contexts, but for one, that act as it.
func (s fileSet) uses(except string) map[string][]string {
	byUser := map[string][]string{}
	add := func(context, user string) {
		if context != except {
			byUser[user] = append(byUser[user], context)
		}
	}
	for _, m := range s {
		for name, c := range m.contexts {
			add(name, c.User)
		}
	}
	for user, names := range byUser {
		slices.Sort(names)
		byUser[user] = slices.Compact(names)
	}
	return byUser
}

// checkCluster refuses to lead other contexts to another cluster. A name that a
// person chose may be that of an entry for something else, unless the users of the
// contexts that use it are for this very cluster.
func (s fileSet) checkCluster(c Change) error {
	in := s.holder(clusterList, c.Cluster.Name)
	if !c.ClusterChosen || in == nil || in.clusters[c.Cluster.Name].Server == c.Cluster.Server {
		return nil
	}
	want, _ := meaningOf(c.User.Exec, commandOf(c.User.Exec))
	var names []string
	for _, m := range s {
		for _, ctx := range m.contexts {
			if ctx.Cluster != c.Cluster.Name || ctx.Name == c.Context.Name {
				continue
			}
			exec := s.user(ctx.User).Exec
			have, ok := meaningOf(exec, commandOf(c.User.Exec))
			// The words have no account: one cluster of the name may be in each.
			t, _ := targetOf(ctx, exec)
			otherAccount := t.ARN != "" && c.Context.MadeFor != "" && t.ARN != c.Context.MadeFor
			if !ok || have.Cluster != want.Cluster || have.Region != want.Region || otherAccount {
				names = append(names, ctx.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &ConflictError{File: in.path, Kind: "cluster", Name: c.Cluster.Name, Contexts: slices.Compact(names)}
}

func commandOf(e *Exec) string {
	if e == nil {
		return ""
	}
	return e.Command
}
