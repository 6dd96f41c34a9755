package mapping

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ekskey/ekskey/internal/yamlnode"
)

// MaxDynamicFile is the size in bytes up to which a dynamic file is read: some
// 100,000 entries.
const MaxDynamicFile = 64 << 20

// ParseDynamicFile makes a Set of the text of aws-iam-authenticator's dynamic file:
// a mapping with the lists mapRoles, mapUsers and mapAccounts, in JSON or YAML, whose
// entries may have a userid. Keys are compared without case.
//
// It is strict, as aws-iam-authenticator is: anything that would drop an entry fails it
// with *LoadError, or with *TextError where the text cannot be read at all. Keys that
// it does not know are passed over with a remark, for what writes such files writes more.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/mapper/dynamicfile
func ParseDynamicFile(text []byte, o Options) (*Set, error) {
	o.Strict = true
	if len(text) > MaxDynamicFile {
		return nil, &TextError{What: "dynamic file", Reason: fmt.Sprintf("is larger than %d bytes", MaxDynamicFile)}
	}
	b := newBuilder(o.withDefaults("dynamic-file"), false)
	b.lineOf, b.form = lineOf, dynamicForm
	if o.Dialect == EKS {
		return parseEKSDynamicFile(b, text)
	}
	root, err := yamlnode.Document(text)
	if err != nil {
		return nil, &TextError{What: "dynamic file", Reason: "is neither JSON nor YAML", Err: err}
	}
	if root == nil {
		return nil, &TextError{What: "dynamic file", Reason: "is empty; to map nobody, write {}"}
	}
	for _, key := range b.readSections(root) {
		b.at("", -1, key.Line)
		if section := misspelt(key.Value); section != "" {
			b.note(key.Line, Misspelt, true, "key %s is not a section; is %s meant?", quote(key.Value), section)
		} else {
			b.note(key.Line, UnknownKey, false, "key %s is ignored; known are %s", quote(key.Value), strings.Join(SectionNames(), ", "))
		}
	}
	return b.result()
}

// eksDynamicFile is how aws-iam-authenticator reads the file.
type eksDynamicFile struct {
	Roles    []eksRole `json:"mapRoles"`
	Users    []eksUser `json:"mapUsers"`
	Accounts []string  `json:"mapAccounts"`
}

func parseEKSDynamicFile(b *builder, text []byte) (*Set, error) {
	var file eksDynamicFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, &TextError{What: "dynamic file", Reason: "is not JSON as aws-iam-authenticator reads it", Err: err}
	}
	// The users first, and each section apart: roles count before users.
	for i, u := range file.Users {
		b.at(mapUsers, i, 0)
		b.putEKS(Entry{Section: mapUsers, Index: i, ARN: u.ARN, Username: u.Username, Groups: u.Groups, UserID: u.UserID})
	}
	for i, r := range file.Roles {
		b.at(mapRoles, i, 0)
		b.putEKS(Entry{Section: mapRoles, Index: i, ARN: r.ARN, Username: r.Username, Groups: r.Groups, UserID: r.UserID})
	}
	for i, a := range file.Accounts {
		b.at(mapAccounts, i, 0)
		b.putEKS(Entry{Section: mapAccounts, Index: i, Account: a})
	}
	return b.result()
}
