package kubeconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Conversion says which users are to run which program. Whom a user acts as
// never changes by it, nor does any byte outside the users converted.
type Conversion struct {
	// ToAWS gives users that run ekskey back to the program whose words they
	// have. Otherwise users of the AWS CLI and of aws-iam-authenticator become
	// ekskey's.
	ToAWS bool
	// Command is the absolute path of ekskey.
	Command string
	// Contexts names the contexts whose users are meant, as kubectl sees them in
	// all files together. Empty means all users of all files.
	Contexts []string
	// LockWait is passed to [safefile.LockConfig].
	LockWait time.Duration
}

// ConvertState is what became of a user.
type ConvertState string

// The states.
const (
	Converted    ConvertState = "converted"
	NotConverted ConvertState = "unchanged" // it is as wanted
	LeftAlone    ConvertState = "left alone"
)

// ConvertedUser says what became of a user entry.
type ConvertedUser struct {
	File     string
	Line     int // of the entry, 1-based
	Name     string
	Contexts []string // that act as it, sorted
	// From and To name the programs: aws, aws-iam-authenticator,
	// heptio-authenticator-aws, ekskey. From is empty for any other, To where
	// nothing was converted.
	From, To string
	State    ConvertState
	Reason   string // why it was not converted
}

// Convert converts users in all files of env. A file in which nothing is to be
// converted is neither locked nor written.
//
// All others are locked in one order, and then all are read and all edits made in
// memory once more before the first is written. Errors are those of [Parse],
// *MissingError, *OptionError, *safefile.LockedError, and what the file system says;
// all files are then as they were, but for *PartialError. What cannot be converted
// without a doubt is no error, and is left alone.
func Convert(ctx context.Context, env Env, c Conversion) (users []ConvertedUser, err error) {
	var held locks
	defer func() {
		if rerr := held.release(); rerr != nil && err == nil {
			err = fmt.Errorf("unlocking kubeconfig: %w", rerr)
		}
	}()
	for {
		users, edits, err := c.plan(env)
		if err != nil {
			return nil, err
		}
		need := pathsOf(edits)
		if held.has(need) {
			if err := writeAll(edits); err != nil {
				return nil, err
			}
			return users, nil
		}
		if err := held.add(ctx, need, c.LockWait); err != nil {
			return nil, err
		}
	}
}

// PlanConversion says what [Convert] would do now. It takes no lock and writes
// nothing.
func PlanConversion(env Env, c Conversion) ([]ConvertedUser, error) {
	users, _, err := c.plan(env)
	return users, err
}

// plan converts in memory.
func (c Conversion) plan(env Env) (all []ConvertedUser, edits []Edit, err error) {
	targets, err := c.targets(env)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range targets {
		before := *t.file
		users, err := c.convertFile(t.file, t)
		if err != nil {
			return nil, nil, err
		}
		if !bytes.Equal(before.data, t.file.data) {
			edits = append(edits, Edit{Path: t.path, before: &before, after: t.file})
		}
		all = append(all, users...)
	}
	return all, edits, nil
}

// convertTarget is a file and the users in it that are meant.
type convertTarget struct {
	path     string
	file     *File
	contexts map[string][]string // by user, of those that kubectl takes from this file
	meant    map[string]bool     // nil means all
}

// targets reads the files and finds the users that are meant.
func (c Conversion) targets(env Env) ([]*convertTarget, error) {
	if !filepath.IsAbs(c.Command) {
		return nil, &OptionError{Option: "command", Reason: fmt.Sprintf("%q is not an absolute path", c.Command)}
	}
	if err := checkText("command", c.Command); err != nil {
		return nil, err
	}
	paths, err := env.Files()
	if err != nil {
		return nil, err
	}
	set, err := readSet(paths)
	if err != nil {
		return nil, err
	}
	var targets []*convertTarget
	for _, m := range set {
		if !m.missing {
			targets = append(targets, &convertTarget{path: m.path, file: m.file, contexts: map[string][]string{}})
		}
	}
	if len(targets) == 0 {
		return nil, &MissingError{Kind: "kubeconfig", Name: paths[0]}
	}
	return targets, c.choose(targets)
}

// choose notes who uses which user, and with c.Contexts which users are meant.
// kubectl takes each entry whole from the first file that has one of its name.
func (c Conversion) choose(targets []*convertTarget) error {
	holder := map[string]*convertTarget{} // of users
	for _, t := range targets {
		for _, u := range t.file.users {
			if holder[u.Name] == nil {
				holder[u.Name] = t
			}
		}
		if len(c.Contexts) > 0 {
			t.meant = map[string]bool{}
		}
	}
	userOf := map[string]string{} // by context
	for _, t := range targets {
		for _, x := range t.file.contexts {
			if _, hidden := userOf[x.Name]; hidden {
				continue
			}
			userOf[x.Name] = x.User
			if h := holder[x.User]; h != nil {
				h.contexts[x.User] = append(h.contexts[x.User], x.Name)
			}
		}
	}
	for _, t := range targets {
		for _, names := range t.contexts {
			slices.Sort(names)
		}
	}
	for _, name := range c.Contexts {
		user, ok := userOf[name]
		if !ok {
			return &MissingError{Kind: "context", Name: name}
		}
		h := holder[user]
		if h == nil {
			return &MissingError{Kind: "user of context", Name: name}
		}
		h.meant[user] = true
	}
	return nil
}

// convertFile converts the users of a file in memory. On an error the file is
// as it was.
func (c Conversion) convertFile(f *File, t *convertTarget) ([]ConvertedUser, error) {
	p := newPlan(f)
	var users []ConvertedUser
	for _, u := range f.users {
		if t.meant != nil && !t.meant[u.Name] {
			continue
		}
		r := ConvertedUser{File: f.name, Line: u.Line, Name: u.Name, Contexts: t.contexts[u.Name]}
		settings := c.translate(u, &r)
		if r.State == Converted {
			if err := p.convertUser(u.Name, settings); err != nil {
				var no *NotEditableError
				if !errors.As(err, &no) {
					return nil, err
				}
				r.State, r.To, r.Reason = LeftAlone, "", fmt.Sprintf("line %d: %s", no.Line, no.Reason)
			}
		}
		users = append(users, r)
	}
	if _, err := f.commit(p); err != nil {
		return nil, err
	}
	return users, nil
}

// convertUser plans one user's settings. On an error nothing of it is planned.
func (p *plan) convertUser(name string, settings []setting) (err error) {
	planned := len(p.ops)
	e, err := p.oldEntry(userList, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.ops = p.ops[:planned]
			e.frag.text, e.frag.parsed = e.before, nil
		}
	}()
	comments, err := e.frag.argsComments()
	if err == nil {
		if _, err = p.edit(userList, name, settings); err != nil {
			return err
		}
		err = e.frag.putArgsComments(comments)
	}
	if err != nil {
		return p.notEditable(p.file.lists[userList][e.index].item, "the entry "+err.Error())
	}
	return nil
}
