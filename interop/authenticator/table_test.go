package authenticator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"sigs.k8s.io/aws-iam-authenticator/pkg/config"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
)

var (
	update = flag.Bool("update", false, "write the golden answers anew")
	rounds = flag.Int("rounds", 3000, "how many changed texts are compared")
)

const (
	table     = "../../internal/mapping/testdata/eks"
	accessKey = "ASIAEXAMPLEEXAMPLE12"
)

// principal is what STS says of somebody.
type principal struct {
	ARN     string `json:"arn"`
	Account string `json:"account"`
	UserID  string `json:"userID"`
}

// row is a case of the table: a ConfigMap's data, a dynamic file, or entries of the
// server's configuration.
type row struct {
	Name        string            `json:"name"`
	ConfigMap   map[string]string `json:"configMap"`
	DynamicFile *string           `json:"dynamicFile"`
	Strict      bool              `json:"strict"`
	Reserved    []string          `json:"reserved"`
	File        *struct {
		Roles, Users []struct {
			ARN, Username string
			Groups        []string
		}
		Accounts []string
	} `json:"file"`
}

// golden is what aws-iam-authenticator makes of a row: who is somebody, and whether it
// refuses the whole.
type golden struct {
	Name    string            `json:"name"`
	Refused bool              `json:"refused,omitempty"`
	Answers map[string]answer `json:"answers,omitempty"`
}

func load(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(table, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

func principals(t *testing.T) (out []principal) {
	load(t, "principals.json", &out)
	return out
}

func (r row) real() (real, error) {
	switch {
	case r.DynamicFile != nil:
		return realDynamicFile(*r.DynamicFile, r.Strict, r.Reserved)
	case r.File != nil:
		var roles []config.RoleMapping
		var users []config.UserMapping
		for _, e := range r.File.Roles {
			roles = append(roles, config.RoleMapping{RoleARN: e.ARN, Username: e.Username, Groups: e.Groups})
		}
		for _, e := range r.File.Users {
			users = append(users, config.UserMapping{UserARN: e.ARN, Username: e.Username, Groups: e.Groups})
		}
		return realFile(roles, users, r.File.Accounts, r.Reserved)
	}
	return realConfigMap(r.ConfigMap), nil
}

// ours is the dialect EKS.
func (r row) ours() (*mapping.Set, error) {
	o := mapping.Options{
		Dialect: mapping.EKS, ByUniqueID: r.Strict, ReservedPrefixes: r.Reserved,
		EC2PrivateDNSName: func(_ context.Context, id string, _ identity.Identity) (string, error) {
			return ec2{}.GetPrivateDNSName(id)
		},
	}
	switch {
	case r.DynamicFile != nil:
		return mapping.ParseDynamicFile([]byte(*r.DynamicFile), o)
	case r.File != nil:
		var entries []mapping.Entry
		for i, e := range r.File.Users {
			entries = append(entries, mapping.Entry{Section: "mapUsers", Index: i, ARN: e.ARN, Username: e.Username, Groups: e.Groups})
		}
		for i, e := range r.File.Roles {
			entries = append(entries, mapping.Entry{Section: "mapRoles", Index: i, ARN: e.ARN, Username: e.Username, Groups: e.Groups})
		}
		for i, a := range r.File.Accounts {
			entries = append(entries, mapping.Entry{Section: "mapAccounts", Index: i, Account: a})
		}
		o.Strict = true
		return mapping.NewSet(entries, o)
	}
	return mapping.ParseAWSAuthData(r.ConfigMap, o)
}

func askOurs(t *testing.T, s *mapping.Set, p principal) answer {
	t.Helper()
	id, err := identity.New(p.ARN, p.Account, p.UserID)
	if err != nil {
		t.Fatal(err)
	}
	id.AccessKeyID = accessKey
	m, err := s.Map(t.Context(), id)
	switch {
	case errors.Is(err, mapping.ErrNotMapped):
		return answer{Error: "not mapped"}
	case err != nil:
		return answer{Error: "refused"}
	}
	if m.Groups == nil {
		m.Groups = []string{}
	}
	return answer{Username: m.Username, Groups: m.Groups}
}

// compare reports where the two differ, and what aws-iam-authenticator says.
func compare(t *testing.T, r row, people []principal) golden {
	t.Helper()
	out := golden{Name: r.Name, Answers: map[string]answer{}}
	theirs, err := r.real()
	ours, ourErr := r.ours()
	if out.Refused = err != nil; out.Refused != (ourErr != nil) {
		t.Errorf("%s: they: %v; we: %v", r.Name, err, ourErr)
	}
	if err != nil || ourErr != nil {
		return out
	}
	for _, p := range people {
		want, got := theirs.ask(t, p), askOurs(t, ours, p)
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %s\n  they: %+v\n  we:   %+v\n  data: %q", r.Name, p.ARN, want, got, r.ConfigMap)
		}
		if want.Error != "not mapped" {
			out.Answers[p.ARN] = want
		}
	}
	return out
}

// TestTable holds the dialect EKS and the golden answers against aws-iam-authenticator.
func TestTable(t *testing.T) {
	var rows []row
	load(t, "cases.json", &rows)
	people := principals(t)
	var all []golden
	for _, r := range rows {
		all = append(all, compare(t, r, people))
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	file := filepath.Join(table, "golden.json")
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(file); err != nil || !bytes.Equal(old, text) {
		t.Errorf("golden.json is not what aws-iam-authenticator says; run go test -update: %v", err)
	}
}

// TestChangedTexts compares what a slip of the finger makes of the table's sections.
func TestChangedTexts(t *testing.T) {
	var rows []row
	load(t, "cases.json", &rows)
	people := principals(t)
	var texts []string
	for _, r := range rows {
		for _, text := range r.ConfigMap {
			texts = append(texts, text)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	const bits = " \n-:[]{},\"'#&*!|>%@`?~a0\t"
	for range *rounds {
		text := []byte(texts[random.IntN(len(texts))])
		for range 1 + random.IntN(3) {
			at := random.IntN(len(text) + 1)
			switch c := bits[random.IntN(len(bits))]; random.IntN(3) {
			case 0:
				text = append(text[:at:at], append([]byte{c}, text[at:]...)...)
			case 1:
				if at < len(text) {
					text = append(text[:at:at], text[at+1:]...)
				}
			default:
				if at < len(text) {
					text[at] = c
				}
			}
		}
		section := []string{"mapRoles", "mapUsers", "mapAccounts"}[random.IntN(3)]
		compare(t, row{Name: "changed", ConfigMap: map[string]string{section: string(text)}}, people)
		if t.Failed() {
			return
		}
	}
}
