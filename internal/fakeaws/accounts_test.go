package fakeaws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestSeedingRefuses(t *testing.T) {
	key := fakeaws.Key{AccessKeyID: "AKIAEXAMPLEEXAMPLE00", SecretAccessKey: "secret"}
	s := fakeaws.New(fakeaws.Config{})
	if _, err := s.AddUser(fakeaws.User{Account: account, Name: "alice", Key: key}); err != nil {
		t.Fatal(err)
	}
	role, err := s.AddRole(fakeaws.Role{Account: account, Name: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	user := func(u fakeaws.User) error { _, err := s.AddUser(u); return err }
	addRole := func(r fakeaws.Role) error { _, err := s.AddRole(r); return err }
	addKey := func(arn string, k fakeaws.Key) error { _, err := s.AddAccessKey(arn, k); return err }
	session := func(in fakeaws.Session) error { _, err := s.AddSession(in); return err }
	const alice = "arn:aws:iam::" + account + ":user/alice"
	for name, err := range map[string]error{
		"account of letters":           s.AddAccount("abcdefghijkl", ""),
		"account of eleven digits":     s.AddAccount("11112222333", ""),
		"unknown partition":            s.AddAccount("222233334444", "aws-mars"),
		"another partition":            s.AddAccount(account, "aws-cn"),
		"user's account":               user(fakeaws.User{Account: "1", Name: "x"}),
		"user without a name":          user(fakeaws.User{Account: account}),
		"user with a slash":            user(fakeaws.User{Account: account, Name: "a/b"}),
		"user's path without an end":   user(fakeaws.User{Account: account, Name: "x", Path: "/ops"}),
		"user there already":           user(fakeaws.User{Account: account, Name: "ALICE", Path: "/x/"}),
		"role there already":           addRole(fakeaws.Role{Account: account, Name: "ops", Path: "/x/"}),
		"role's account":               addRole(fakeaws.Role{Account: "1", Name: "x"}),
		"role too short":               addRole(fakeaws.Role{Account: account, Name: "x", MaxSessionDuration: time.Minute}),
		"role too long":                addRole(fakeaws.Role{Account: account, Name: "x", MaxSessionDuration: 13 * time.Hour}),
		"key of nobody":                addKey(alice+"x", fakeaws.Key{}),
		"key of a role":                addKey(role, fakeaws.Key{}),
		"key there already":            addKey(alice, key),
		"key with a token":             addKey(alice, fakeaws.Key{AccessKeyID: "AKIAEXAMPLEEXAMPLE01", SecretAccessKey: "s", SessionToken: "t"}),
		"key without a secret":         addKey(alice, fakeaws.Key{AccessKeyID: "AKIAEXAMPLEEXAMPLE01"}),
		"key with a slash":             addKey(alice, fakeaws.Key{AccessKeyID: "AKIA/EXAMPLEEXAMPLE1", SecretAccessKey: "s"}),
		"session of a user":            session(fakeaws.Session{RoleARN: alice, Name: "s1"}),
		"session without a name":       session(fakeaws.Session{RoleARN: role}),
		"session without a token":      session(fakeaws.Session{RoleARN: role, Name: "s1", Key: key}),
		"removing the root":            s.RemovePrincipal("arn:aws:iam::" + account + ":root"),
		"removing nobody":              s.RemovePrincipal(alice + "x"),
		"removing no key":              s.RemoveKey("x"),
		"removing no cluster":          s.RemoveCluster(account, "eu-west-1", "x"),
		"cluster's account":            s.AddCluster(fakeaws.Cluster{Account: "1", Region: "eu-west-1", Name: "x"}),
		"cluster's region":             s.AddCluster(fakeaws.Cluster{Account: account, Region: "europe", Name: "x"}),
		"cluster of another partition": s.AddCluster(fakeaws.Cluster{Account: account, Region: "cn-north-1", Name: "x"}),
		"cluster's name":               s.AddCluster(fakeaws.Cluster{Account: account, Region: "eu-west-1", Name: "-x"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestKeysDoNotPrintSecrets(t *testing.T) {
	k := fakeaws.Key{AccessKeyID: "AKIAEXAMPLEEXAMPLE00", SecretAccessKey: "hush", SessionToken: "hush"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, what := range []any{k, &k, []fakeaws.Key{k}, fakeaws.User{Name: "x", Key: k}} {
			if got := fmt.Sprintf(verb, what); strings.Contains(got, "hush") {
				t.Errorf("%s of %T: %s", verb, what, got)
			}
		}
	}
}
