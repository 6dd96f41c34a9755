package kubeconfig

import (
	"fmt"
	"slices"
	"sync"
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

// pickUser returns the name of the user entry for a change: the one it asks
// for, unless that is taken by something that may not be altered. An entry in
// another file of the list is as good as altered when one of its name is put
// before it, and so it must be for the same principal.
func (p *plan) pickUser(c Change) (string, error) {
	want, known := identityOf(c.User.Exec, c.User.Exec.Command)
	uses := sync.OnceValue(func() map[string][]string { return p.uses(c.Context.Name) })
	for n := 1; ; n++ {
		name := c.User.Name
		if n > 1 {
			name = fmt.Sprintf("%s~%d", c.User.Name, n)
		}
		fits := func(u User, here bool) bool {
			have, ok := identityOf(u.Exec, c.User.Exec.Command)
			same := ok && known && have.same(want) || sameExec(u.Exec, c.User.Exec)
			replaceable := here && (ok || u.Exec == nil)
			if u.hasAny(impersonationKeys) && p.context(c.Context.Name).User != name {
				return false
			}
			return !u.hasAny(credentialKeys) && (same || replaceable && len(uses()[name]) == 0)
		}
		own, exists := p.users[name]
		file := p.file
		if !exists || fits(own, true) {
			var i int
			if file, i = p.elsewhere(userList, name); file == nil || fits(file.users[i], false) {
				return name, nil
			}
		}
		if c.UserChosen {
			return "", &ConflictError{File: file.name, Kind: "user", Name: name, Contexts: uses()[name]}
		}
	}
}

func sameExec(a, b *Exec) bool {
	return a != nil && b != nil && a.Command == b.Command && slices.Equal(a.Args, b.Args) && slices.Equal(a.Env, b.Env)
}

// uses returns by user the contexts, but for one, that act as it.
func (p *plan) uses(except string) map[string][]string {
	byUser := map[string][]string{}
	add := func(context, user string) {
		if context != except {
			byUser[user] = append(byUser[user], context)
		}
	}
	for name, c := range p.contexts {
		add(name, c.User)
	}
	for _, f := range p.others.files {
		for _, c := range f.contexts {
			add(c.Name, c.User)
		}
	}
	for user, names := range byUser {
		slices.Sort(names)
		byUser[user] = slices.Compact(names)
	}
	return byUser
}

// checkCluster refuses to lead other contexts to another cluster, be their
// entry in this file or in another of the list, where ours would hide it. A
// name that a person chose may be that of an entry for something else, unless
// the users of the contexts that use it are for this very cluster.
func (p *plan) checkCluster(c Change) error {
	if !c.ClusterChosen {
		return nil
	}
	old, exists := p.clusters[c.Cluster.Name]
	file := p.file
	if !exists || old.Server == c.Cluster.Server {
		var i int
		if file, i = p.elsewhere(clusterList, c.Cluster.Name); file == nil || file.clusters[i].Server == c.Cluster.Server {
			return nil
		}
	}
	want, _ := identityOf(c.User.Exec, commandOf(c.User.Exec))
	var names []string
	check := func(ctx Context) {
		if ctx.Cluster != c.Cluster.Name || ctx.Name == c.Context.Name {
			return
		}
		have, ok := identityOf(p.user(ctx.User).Exec, commandOf(c.User.Exec))
		if !ok || have.cluster != want.cluster || have.region != want.region {
			names = append(names, ctx.Name)
		}
	}
	for name, ctx := range p.contexts {
		ctx.Name = name
		check(ctx)
	}
	for _, f := range p.others.files {
		for _, ctx := range f.contexts {
			check(ctx)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &ConflictError{File: file.name, Kind: "cluster", Name: c.Cluster.Name, Contexts: slices.Compact(names)}
}

func commandOf(e *Exec) string {
	if e == nil {
		return ""
	}
	return e.Command
}
