package cli

import (
	"errors"

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
)

var roleFlagNames = [...]string{"--role-arn", "--external-id", "--session-name", "--mfa-serial"}

// roleFlags records the flags about roles in the order they were typed, because
// with several roles the order says which belongs to which.
type roleFlags struct {
	typed []typedRoleFlag
}

type typedRoleFlag struct {
	field roleField
	value string
}

func (r *roleFlags) value(field roleField) pflag.Value { return &roleValue{flags: r, field: field} }

// roleValue is the pflag.Value of one of the flags.
type roleValue struct {
	flags *roleFlags
	field roleField
}

func (v *roleValue) Set(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	v.flags.typed = append(v.flags.typed, typedRoleFlag{v.field, s})
	return nil
}

func (v *roleValue) String() string { return "" }
func (v *roleValue) Type() string   { return "string" }

// chain is the chain of roles: with one role its flags come in any order, with
// several each belongs to the role before it, without a role they say nothing.
func (r *roleFlags) chain() ([]awsconf.Role, error) {
	var roles []awsconf.Role
	for _, f := range r.typed {
		if f.field == roleARN {
			roles = append(roles, awsconf.Role{ARN: f.value})
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
				reason: roleFlagNames[f.field] + " stands before the first of several --role-arn",
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
		}
	}
	return roles, nil
}
