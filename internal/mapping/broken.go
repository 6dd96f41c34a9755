package mapping

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// BrokenEntryError reports a principal whose last entry in an aws-auth was dropped
// because it is invalid, although its ARN could be parsed. It is final.
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
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := b.newEntry()
		e.broken = true
		b.muted = true // the problems of the entry are already recorded
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
