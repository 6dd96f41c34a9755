package cli

import (
	"errors"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/internal/awsconf"
)

// roleField is what a flag says about a role.
type roleField int

const (
	roleARN roleField = iota
	roleExternalID
	roleSessionName
	roleMFASerial
	roleDuration
)

// How long an assumed role's credentials may live. What a role itself allows may
// be less, and a role assumed by another role's session has an hour at most: STS
// says so then.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	minRoleDuration = 15 * time.Minute
	maxRoleDuration = 12 * time.Hour
)

func (f roleField) String() string {
	return [...]string{"--role-arn", "--external-id", "--session-name", "--mfa-serial", "--duration"}[f]
}

// roleFlags records the flags about roles in the order they were typed, because
// with several roles the order says which belongs to which.
type roleFlags struct {
	typed []typedRoleFlag
	// sessionName is the name of sessions that no flag names. Empty leaves that to
	// others.
	sessionName string
}

type typedRoleFlag struct {
	field roleField
	value string
}

func (r *roleFlags) value(field roleField) pflag.Value { return &roleValue{flags: r, field: field} }

// maybe is value for a flag of aws-iam-authenticator, to which an empty one says
// nothing: people have kubeconfigs made from templates.
func (r *roleFlags) maybe(field roleField) pflag.Value {
	return &roleValue{flags: r, field: field, maybe: true}
}

// roleValue is the pflag.Value of one of the flags.
type roleValue struct {
	flags *roleFlags
	field roleField
	maybe bool
}

func (v *roleValue) Set(s string) error {
	if s == "" && v.maybe {
		return nil
	}
	if s == "" {
		return errors.New("it is empty")
	}
	if v.field == roleDuration {
		if _, err := parseRoleDuration(s); err != nil {
			return err
		}
	}
	v.flags.typed = append(v.flags.typed, typedRoleFlag{v.field, s})
	return nil
}

func (v *roleValue) String() string { return "" }
func (v *roleValue) Type() string   { return "string" }

// parseRoleDuration reads a duration as Go writes it, or in seconds as AWS does.
func parseRoleDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, notSeconds := strconv.ParseUint(s, 10, 31); notSeconds == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil {
		return 0, errors.New("it is neither a duration like 1h30m nor a number of seconds")
	}
	if d < minRoleDuration || d > maxRoleDuration {
		return 0, errors.New("it is not between 15 minutes and 12 hours")
	}
	return d.Truncate(time.Second), nil // STS counts in seconds
}

// chain is the chain of roles: with one role its flags come in any order, with
// several each belongs to the role before it, without a role they say nothing.
func (r *roleFlags) chain() ([]awsconf.Role, error) {
	var roles []awsconf.Role
	for _, f := range r.typed {
		if f.field == roleARN {
			roles = append(roles, awsconf.Role{ARN: f.value, SessionName: r.sessionName})
		}
	}
	if len(roles) == 0 {
		return nil, nil
	}
	at := -1
	for _, f := range r.typed {
		if f.field == roleARN {
			at++
			continue
		}
		hop := at
		if len(roles) == 1 {
			hop = 0
		}
		if hop < 0 {
			return nil, &usageError{
				reason: f.field.String() + " stands before the first of several --role-arn",
				hint:   "with several roles, write each role's flags behind it",
			}
		}
		switch f.field {
		case roleExternalID:
			roles[hop].ExternalID = f.value
		case roleSessionName:
			roles[hop].SessionName = f.value
		case roleMFASerial:
			roles[hop].MFASerial = f.value
		case roleDuration:
			// Set has read it once without an error.
			roles[hop].Duration, _ = parseRoleDuration(f.value)
		}
	}
	return roles, nil
}
