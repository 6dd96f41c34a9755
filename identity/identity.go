package identity

import (
	"fmt"
	"strings"
)

// Identity is the principal that STS reports as the signer of a token. The zero value
// is not an identity. It contains no secret.
type Identity struct {
	// ARN is the ARN that STS returned, with the session of an assumed role.
	ARN string
	// CanonicalARN is the ARN without the session: the IAM role instead of the assumed
	// role, as in aws-auth and access entries.
	CanonicalARN string
	// Principal is the parsed ARN.
	Principal Principal
	// AccountID has twelve digits.
	AccountID string
	// PrincipalID is the unique ID of the user or role (AIDA…, AROA…), the account for
	// its root, account:name for a federated user. It is the part of STS's UserId
	// before the session name.
	PrincipalID string
	// SessionName is the session name of an assumed role, else empty.
	SessionName string
	// AccessKeyID is the key that signed, if known. It is not a secret.
	AccessKeyID string
}

// MismatchError reports an STS response whose fields contradict each other.
type MismatchError struct {
	// Field is the field that does not match the ARN: Account or UserId.
	Field string
	ARN   string
	Value string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s %q does not match arn %q", e.Field, clip(e.Value), clip(e.ARN))
}

// New returns the Identity of the three fields of a GetCallerIdentity response, and
// checks that they match: the account must be the ARN's, and the user ID must match the
// ARN's kind: AROA…:session with the same session for an assumed role, account:name for
// a federated user, the account for its root, an ID without a colon for a user. It
// fails with *ARNError or *MismatchError.
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

// isUniqueID accepts IAM's unique IDs: 16 to 128 capital letters and digits. Their
// prefix is not checked, because AWS adds prefixes.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
func isUniqueID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && onlyBytes(s, func(c byte) bool { return c >= 'A' && c <= 'Z' || isDigit(c) })
}
