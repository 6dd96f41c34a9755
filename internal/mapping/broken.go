package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// BrokenEntryError says that the last entry of an aws-auth for a principal was
// dropped because something in it is wrong, though the principal it names could
// be read. It is final.
//
// The entry still is the last word about its principal, and the word is no. If
// it were as good as absent, what stands behind it would decide: an earlier entry
// for the same principal, mapAccounts, or the creator. An entry written to give
// somebody less would then, by one typing error, give them more. Nobody
// prescribes this: aws-iam-authenticator passes over such entries. It is our own
// reading of "refuse by default".
type BrokenEntryError struct {
	// Source is the entry.
	Source string
	// ARN is the canonical ARN of the principal refused.
	ARN string
}

func (e *BrokenEntryError) Error() string {
	return fmt.Sprintf("%s: the entry for %s is broken and was dropped; see the problems of the text", e.Source, e.ARN)
}

// breakNamed puts broken entries in force for what a dropped entry names: under
// whichever key, for a rolearn in mapUsers is a slip like others; and all of it,
// for where an entry names several nobody can tell which was meant. An arn or an
// sso that is itself out of order names nobody.
func (b *builder) breakNamed(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := b.newEntry()
		e.broken = true
		b.muted = true // the problems of the entry are noted already
		var ok bool
		switch lowerASCII(n.Content[i].Value) {
		case "rolearn", "userarn":
			ok = b.principal(e, n.Content[i+1])
		case "sso":
			ok = b.permissionSet(e, n.Content[i+1])
		}
		b.muted = false
		if ok {
			b.add(e)
		}
	}
}
