package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
// Errors are those of [Update]. What cannot be converted without a doubt is no error,
// and is left alone.
func Convert(ctx context.Context, env Env, c Conversion) ([]ConvertedUser, error) {
	return rewrite(ctx, env, c.apply)
}

// PlanConversion says what [Convert] would do now. It takes no lock and writes
// nothing.
func PlanConversion(ctx context.Context, env Env, c Conversion) ([]ConvertedUser, error) {
	users, _, err := preview(ctx, env, c.apply)
	return users, err
}

// apply converts in memory.
func (c Conversion) apply(s fileSet) (all []ConvertedUser, edits []Edit, err error) {
	if !filepath.IsAbs(c.Command) {
		return nil, nil, &OptionError{Option: "command", Reason: fmt.Sprintf("%q is not an absolute path", c.Command)}
	}
	if err := checkText("command", c.Command); err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(s, func(m *member) bool { return !m.missing }) {
		return nil, nil, &MissingError{Kind: "kubeconfig", Name: s[0].path}
	}
	if err := s.plan(); err != nil {
		return nil, nil, err
	}
	meant, err := c.meant(s)
	if err != nil {
		return nil, nil, err
	}
	uses := map[string][]string{} // by user, of the contexts that kubectl sees
	for _, m := range s {
		for _, x := range m.file.contexts {
			if s.holder(contextList, x.Name) == m {
				uses[x.User] = append(uses[x.User], x.Name)
			}
		}
	}
	for _, m := range s {
		for _, u := range m.file.users {
			used := s.holder(userList, u.Name) == m
			if meant != nil && !(used && meant[u.Name]) {
				continue
			}
			r := ConvertedUser{File: m.path, Line: u.Line, Name: u.Name}
			if used {
				r.Contexts = slices.Sorted(slices.Values(uses[u.Name]))
			}
			if settings := c.translate(u, &r); r.State == Converted {
				_, err := m.edit.Set(userList, u.Name, settings)
				var no *NotEditableError
				if errors.As(err, &no) {
					r.State, r.To, r.Reason = LeftAlone, "", fmt.Sprintf("line %d: %s", no.Line, no.Reason)
				} else if err != nil {
					return nil, nil, err
				}
			}
			all = append(all, r)
		}
	}
	edits, err = s.commit(nil)
	return all, edits, err
}

// meant returns the users of the contexts named, nil where none is named.
func (c Conversion) meant(s fileSet) (map[string]bool, error) {
	if len(c.Contexts) == 0 {
		return nil, nil
	}
	users := map[string]bool{}
	for _, name := range c.Contexts {
		if s.holder(contextList, name) == nil {
			return nil, &MissingError{Kind: "context", Name: name}
		}
		user := s.context(name).User
		if s.holder(userList, user) == nil {
			return nil, &MissingError{Kind: "user of context", Name: name}
		}
		users[user] = true
	}
	return users, nil
}
