package accessmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accesspolicy"
)

// MaxFile is the maximum size of a file of access entries, in bytes.
const MaxFile = 16 << 20

// FileError says what is wrong with a file of access entries. Nothing of it is used.
type FileError struct {
	// Document counts the JSON documents from 1; 0 means the whole file.
	Document int
	Reason   string
}

func (e *FileError) Error() string {
	if e.Document > 0 {
		return fmt.Sprintf("access entries, document %d: %s", e.Document, e.Reason)
	}
	return "access entries: " + e.Reason
}

// ParseFile reads JSON documents, one behind the other or in a list, as
// `aws eks describe-access-entry` and `aws eks list-associated-access-policies` print
// them. A document of the former may have principalId, which is required here: it is the
// unique id that EKS pins the entry to, and that its API does not tell.
//
// Source: https://docs.aws.amazon.com/cli/latest/reference/eks/describe-access-entry.html
func ParseFile(text []byte, mode Mode) (*Snapshot, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	var documents []json.RawMessage
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, &FileError{Document: len(documents) + 1, Reason: "is not JSON: " + err.Error()}
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil {
			documents = append(documents, list...)
			continue
		}
		documents = append(documents, raw)
	}
	out := &Snapshot{Mode: mode}
	policies := map[string][]accesspolicy.Association{}
	for i, raw := range documents {
		fail := func(reason string) error { return &FileError{Document: i + 1, Reason: reason} }
		var d struct {
			AccessEntry *fileEntry   `json:"accessEntry"`
			Policies    []filePolicy `json:"associatedAccessPolicies"`
			Principal   string       `json:"principalArn"`
			Cluster     string       `json:"clusterName"`
			Next        *string      `json:"nextToken"`
		}
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&d); err != nil {
			return nil, fail(err.Error())
		}
		switch {
		case d.AccessEntry != nil:
			e, err := d.AccessEntry.entry()
			if err != nil {
				return nil, fail(err.Error())
			}
			if slices.ContainsFunc(out.Entries, func(o Entry) bool { return o.PrincipalARN == e.PrincipalARN }) {
				return nil, fail("is a second entry of " + e.PrincipalARN)
			}
			out.Entries = append(out.Entries, e)
		case d.Principal != "" && d.Next == nil:
			policies[d.Principal] = append(policies[d.Principal], associations(d.Policies)...)
		case d.Next != nil:
			return nil, fail("is one page of several: print it with --no-paginate left out")
		default:
			return nil, fail("has neither accessEntry nor principalArn")
		}
	}
	for i := range out.Entries {
		e := &out.Entries[i]
		e.Policies = append(e.Policies, policies[e.PrincipalARN]...)
		delete(policies, e.PrincipalARN)
	}
	for arn := range policies {
		return nil, &FileError{Reason: "policies of " + arn + " have no access entry"}
	}
	return out, nil
}

// fileEntry is what describe-access-entry prints under accessEntry.
type fileEntry struct {
	ClusterName      string            `json:"clusterName"`
	PrincipalARN     string            `json:"principalArn"`
	PrincipalID      string            `json:"principalId"`
	KubernetesGroups []string          `json:"kubernetesGroups"`
	ARN              string            `json:"accessEntryArn"`
	CreatedAt        any               `json:"createdAt"`
	ModifiedAt       any               `json:"modifiedAt"`
	Tags             map[string]string `json:"tags"`
	Username         string            `json:"username"`
	Type             string            `json:"type"`
	Policies         []filePolicy      `json:"associatedAccessPolicies"`
}

// filePolicy is an associated policy with the times that the AWS CLI prints.
type filePolicy struct {
	accesspolicy.Association
	AssociatedAt any `json:"associatedAt"`
	ModifiedAt   any `json:"modifiedAt"`
}

func associations(list []filePolicy) []accesspolicy.Association {
	var out []accesspolicy.Association
	for _, p := range list {
		out = append(out, p.Association)
	}
	return out
}

func (f *fileEntry) entry() (Entry, error) {
	switch {
	case f.PrincipalARN == "":
		return Entry{}, errors.New("principalArn is missing")
	case f.PrincipalID == "":
		return Entry{}, errors.New("principalId is missing: it is the RoleId or UserId that aws iam get-role or get-user prints for " + f.PrincipalARN)
	}
	e := Entry{PrincipalID: f.PrincipalID, Entry: accessentry.Entry{
		PrincipalARN: f.PrincipalARN, ARN: f.ARN, Type: f.Type, Username: f.Username, Groups: f.KubernetesGroups, Tags: f.Tags, Policies: associations(f.Policies),
	}}
	if e.Type == "" {
		e.Type = accessentry.Standard
	}
	var err error
	if e.CreatedAt, err = timeOf(f.CreatedAt); err != nil {
		return e, fmt.Errorf("createdAt: %w", err)
	}
	if e.ModifiedAt, err = timeOf(f.ModifiedAt); err != nil {
		return e, fmt.Errorf("modifiedAt: %w", err)
	}
	return e, nil
}

// timeOf reads a time as version 2 of the AWS CLI prints it, or in seconds as version 1 does.
func timeOf(v any) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, nil
	case string:
		return time.Parse(time.RFC3339Nano, v)
	case float64:
		return time.UnixMilli(int64(v * 1000)).UTC(), nil
	}
	return time.Time{}, errors.New("is not a time")
}
