package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// BrokenEntryError says that the entry in force for a principal was dropped because
// something in it is wrong, though the principal it names could be read. It is final.
//
// Such an entry refuses its principal. If it were ignored, an earlier entry for the
// same principal, mapAccounts, or the creator would decide, and an entry that was
// written to restrict somebody would grant them more because of one typing error.
// aws-iam-authenticator ignores such entries; this is our reading of "deny by default".
type BrokenEntryError struct {
	// Source is the entry.
	Source string
	// ARN is the canonical ARN of the refused principal.
	ARN string
}

func (e *BrokenEntryError) Error() string {
	return fmt.Sprintf("%s: the entry for %s is invalid and was dropped; see the log for the problem", e.Source, e.ARN)
}

// breakNamed adds broken entries for every principal that a dropped entry names, under
// any key, because a rolearn in mapUsers is a mistake like any other. If an entry names
// several, all are broken. An invalid arn or sso names no principal.
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
