package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// BrokenEntryError says that the entry in force for a principal was dropped because
// something in it is wrong, though the principal it names could be read. It is final.
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
	if n.Kind != yaml.MappingNode || b.set.opts.Dialect == EKS {
		return
	}
	b.muted = true // the problems of the entry are noted already
	var named []Entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		var in Entry
		ok := false
		switch yamlnode.FoldASCII(n.Content[i].Value) {
		case "rolearn", "userarn":
			in.ARN, ok = b.text(n.Content[i+1], "an arn")
		case "sso":
			in.SSO, ok = b.readSSO(n.Content[i+1])
		case "userid":
			in.UserID, ok = b.text(n.Content[i+1], "userid")
			ok = ok && b.set.opts.ByUniqueID && in.UserID != ""
		}
		if ok {
			named = append(named, in)
		}
	}
	b.muted = false
	for _, in := range named {
		e := &entry{section: b.section, index: b.index, line: b.line, broken: true, uniqueID: in.UserID}
		b.muted = true
		ok := in.UserID != "" || !b.set.opts.ByUniqueID && (in.SSO != nil && b.permissionSet(e, in) || in.SSO == nil && b.principal(e, in))
		b.muted = false
		if ok {
			b.add(e)
		}
	}
}
