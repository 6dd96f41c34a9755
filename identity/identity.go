package identity

import (
	"fmt"
	"strings"
)

// Identity is who STS says signed a token. The zero value is nobody. It holds
// no secret.
type Identity struct {
	// ARN is as STS gave it, with the session of an assumed role.
	ARN string
	// CanonicalARN is the ARN without the session: the IAM role in place of the
	// assumed role, as aws-auth and access entries name it.
	CanonicalARN string
	// Principal is ARN taken apart.
	Principal Principal
	// AccountID is the twelve digits of the account.
	AccountID string
	// PrincipalID is the unique id of the user or role (AIDA…, AROA…), the
	// account for its root, account:name for a federated user. It is the part of
	// STS's UserId before the session name.
	PrincipalID string
	// SessionName is the session of an assumed role, else empty.
	SessionName string
	// AccessKeyID is the key that signed, if known. It is not a secret.
	AccessKeyID string
}

// MismatchError says that the parts of an STS answer contradict each other.
type MismatchError struct {
	// Field is the part of the answer that does not fit: Account or UserId.
	Field string
	ARN   string
	Value string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s %q does not fit arn %q", e.Field, clip(e.Value), clip(e.ARN))
}

// New makes an Identity of the three fields of a GetCallerIdentity answer, and
// holds them against each other: the account must be the ARN's, and the user id
// must fit the ARN's kind: AROA…:session with the same session for an assumed
// role, account:name for a federated user, the account for its root, an id
// without a colon for a user. It fails with *ARNError or *MismatchError.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func New(arn, account, userID string) (Identity, error) {
	p, err := ParsePrincipal(arn)
	if err != nil {
		return Identity{}, err
	}
	if p.Account != account {
		return Identity{}, &MismatchError{Field: "Account", ARN: arn, Value: account}
	}
	id := Identity{
		ARN: arn, CanonicalARN: p.Canonical().String(), Principal: p,
		AccountID: account, PrincipalID: userID, SessionName: p.SessionName,
	}
	mismatch := &MismatchError{Field: "UserId", ARN: arn, Value: userID}
	switch p.Kind {
	case KindRoot:
		if userID != account {
			return Identity{}, mismatch
		}
	case KindUser:
		if !isUniqueID(userID) {
			return Identity{}, mismatch
		}
	case KindAssumedRole:
		unique, session, ok := strings.Cut(userID, ":")
		if !ok || !isUniqueID(unique) || session != p.SessionName {
			return Identity{}, mismatch
		}
		id.PrincipalID = unique
	case KindFederatedUser:
		if userID != account+":"+p.Name {
			return Identity{}, mismatch
		}
	default:
		return Identity{}, &ARNError{Text: clip(arn), Reason: "is a role, and a role does not call STS, only its sessions do"}
	}
	return id, nil
}

// isUniqueID accepts IAM's unique ids: capital letters and digits, 16 to 128 of
// them. Their prefix is not checked, because AWS adds prefixes.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
func isUniqueID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && onlyBytes(s, func(c byte) bool { return c >= 'A' && c <= 'Z' || isDigit(c) })
}
