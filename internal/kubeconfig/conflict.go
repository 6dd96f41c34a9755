package kubeconfig

import (
	"fmt"
	"slices"
)

// credentialKeys are a user's ways to authenticate without a plugin
// (k8s.io/client-go/tools/clientcmd/api/v1, AuthInfo).
var credentialKeys = []string{"auth-provider", "client-certificate", "client-certificate-data", "client-key",
	"client-key-data", "password", "token", "tokenFile", "username"}

// pickUser returns the name of the user entry for a change: the one it asks
// for, unless that is taken by something that may not be altered.
func (p *plan) pickUser(c Change) (string, error) {
	want, known := identityOf(c.User.Exec, c.User.Exec.Command)
	for n := 1; ; n++ {
		name := c.User.Name
		if n > 1 {
			name = fmt.Sprintf("%s~%d", c.User.Name, n)
			if p.takenElsewhere(name) {
				continue
			}
		}
		u, exists := p.users[name]
		if !exists {
			return name, nil
		}
		have, ok := identityOf(u.Exec, c.User.Exec.Command)
		same := ok && known && have.same(want) || sameExec(u.Exec, c.User.Exec)
		users := p.usedBy(name, c.Context.Name)
		secret := slices.ContainsFunc(u.Other, func(k string) bool { return slices.Contains(credentialKeys, k) })
		replaceable := ok || u.Exec == nil
		if !secret && (same || replaceable && len(users) == 0) {
			return name, nil
		}
		if c.UserChosen {
			return "", &ConflictError{File: p.file.name, Kind: "user", Name: name, Contexts: users}
		}
	}
}

func sameExec(a, b *Exec) bool {
	return a != nil && b != nil && a.Command == b.Command && slices.Equal(a.Args, b.Args) && slices.Equal(a.Env, b.Env)
}

// takenElsewhere reports whether another file of the list has such a user, which
// might be the one that counts when kubectl merges them.
func (p *plan) takenElsewhere(user string) bool {
	for _, f := range p.others {
		for _, u := range f.users {
			if u.Name == user {
				return true
			}
		}
	}
	return false
}

// usedBy returns the contexts, but for one, that act as a user.
func (p *plan) usedBy(user, except string) []string {
	var names []string
	for name, c := range p.contexts {
		if c.User == user && name != except {
			names = append(names, name)
		}
	}
	for _, f := range p.others {
		for _, c := range f.contexts {
			if c.User == user && c.Name != except && !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// checkCluster refuses to lead other contexts to another cluster. A name that a
// person chose may be that of an entry for something else, unless the users of
// the contexts that use it are for this very cluster.
func (p *plan) checkCluster(c Change) error {
	old, exists := p.clusters[c.Cluster.Name]
	if !exists || !c.ClusterChosen || old.Server == c.Cluster.Server {
		return nil
	}
	want, _ := identityOf(c.User.Exec, commandOf(c.User.Exec))
	var names []string
	for name, ctx := range p.contexts {
		if ctx.Cluster != c.Cluster.Name || name == c.Context.Name {
			continue
		}
		have, ok := identityOf(p.users[ctx.User].Exec, commandOf(c.User.Exec))
		if !ok || have.cluster != want.cluster || have.region != want.region {
			names = append(names, name)
		}
	}
	for _, f := range p.others {
		for _, ctx := range f.contexts {
			if ctx.Cluster == c.Cluster.Name && ctx.Name != c.Context.Name {
				names = append(names, ctx.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &ConflictError{File: p.file.name, Kind: "cluster", Name: c.Cluster.Name, Contexts: names}
}

func commandOf(e *Exec) string {
	if e == nil {
		return ""
	}
	return e.Command
}
