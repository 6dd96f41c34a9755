package accessmap_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/accessentry"
	"github.com/ekskey/ekskey/internal/accessmap"
	"github.com/ekskey/ekskey/internal/accesspolicy"
	"github.com/ekskey/ekskey/internal/mapping"
)

const (
	account = "111122223333"
	roleID  = "AROAEXAMPLEEXAMPLE1AB"
	userID  = "AIDAEXAMPLEEXAMPLE1AB"
)

var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func session(t *testing.T, role, id, name string) identity.Identity {
	t.Helper()
	out, err := identity.New("arn:aws:sts::"+account+":assumed-role/"+role+"/"+name, account, id+":"+name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func user(t *testing.T, path, id string) identity.Identity {
	t.Helper()
	out, err := identity.New("arn:aws:iam::"+account+":user/"+path, account, id)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func role(name string, change func(*accessmap.Entry)) accessmap.Entry {
	e := accessmap.Entry{Entry: accessentry.Entry{
		PrincipalARN: "arn:aws:iam::" + account + ":role/" + name, Type: "STANDARD", CreatedAt: made,
		Username: "arn:aws:sts::" + account + ":assumed-role/" + name[strings.LastIndex(name, "/")+1:] + "/{{SessionName}}",
	}}
	if change != nil {
		change(&e)
	}
	return e
}

type source struct {
	snapshot accessmap.Snapshot
	err      error
}

func (s *source) read(context.Context) (*accessmap.Snapshot, error) {
	out := s.snapshot
	return &out, s.err
}

func backend(t *testing.T, s *source, change func(*accessmap.Config)) (*accessmap.Backend, *[]string) {
	t.Helper()
	var alarms []string
	c := accessmap.Config{Source: s.read, Alarm: func(err error) { alarms = append(alarms, err.Error()) }}
	if change != nil {
		change(&c)
	}
	b := accessmap.New(c)
	if s.err == nil {
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return b, &alarms
}

func TestMap(t *testing.T) {
	s := &source{snapshot: accessmap.Snapshot{Mode: accessmap.ModeBoth, Entries: []accessmap.Entry{
		role("team/dev", func(e *accessmap.Entry) { e.Groups = []string{"developers"}; e.PrincipalID = roleID }),
		role("node", func(e *accessmap.Entry) {
			e.Type, e.Username, e.PrincipalID = "FARGATE_LINUX", "system:node:{{SessionName}}", roleID
		}),
		{Entry: accessentry.Entry{PrincipalARN: "arn:aws:iam::" + account + ":user/ops/ann", Type: "STANDARD", Username: "ann"}, PrincipalID: userID},
	}}}
	b, alarms := backend(t, s, nil)
	for _, c := range []struct {
		id   identity.Identity
		want string
	}{
		{session(t, "dev", roleID, "me"), "arn:aws:sts::111122223333:assumed-role/dev/me [developers ekskey:access-entry] access-entries arn:aws:iam::111122223333:role/team/dev"},
		{session(t, "DEV", roleID, "me"), "arn:aws:sts::111122223333:assumed-role/dev/me [developers ekskey:access-entry] access-entries arn:aws:iam::111122223333:role/team/dev"},
		{session(t, "node", roleID, "fargate-ip"), "system:node:fargate-ip [system:nodes ekskey:access-entry] access-entries arn:aws:iam::111122223333:role/node"},
		{user(t, "ops/ann", userID), "ann [ekskey:access-entry] access-entries arn:aws:iam::111122223333:user/ops/ann"},
		// A user's path counts, and a role that was made again is another one.
		{user(t, "ann", userID), "not mapped"},
		{user(t, "dev", userID), "not mapped"},
		{session(t, "dev", "AROAEXAMPLEEXAMPLE2CD", "me"), "pinned"},
		{user(t, "ops/ann", "AIDAEXAMPLEEXAMPLE2CD"), "pinned"},
		{session(t, "ops", roleID, "me"), "not mapped"},
		{identity.Identity{}, "not mapped"},
	} {
		if got := who(t, b, c.id); got != c.want {
			t.Errorf("%s: %s, want %s", c.id.ARN, got, c.want)
		}
	}
	if len(*alarms) > 0 {
		t.Error(*alarms)
	}
	s.snapshot.Mode = accessmap.ModeConfigMap
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := who(t, b, session(t, "dev", roleID, "me")); got != "not mapped" {
		t.Errorf("in the mode CONFIG_MAP: %s", got)
	}
}

func who(t *testing.T, b *accessmap.Backend, id identity.Identity) string {
	t.Helper()
	m, err := b.Map(t.Context(), id)
	var pin *mapping.PinError
	switch {
	case errors.Is(err, mapping.ErrNotMapped):
		return "not mapped"
	case errors.As(err, &pin):
		return "pinned"
	case mapping.Temporary(err):
		return "unavailable"
	case err != nil:
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%s %v %s", m.Username, m.Groups, m.Source)
}

func TestEntriesThatAreNotUsed(t *testing.T) {
	s := &source{snapshot: accessmap.Snapshot{Mode: accessmap.ModeAPI, Entries: []accessmap.Entry{
		role("ok", func(e *accessmap.Entry) { e.PrincipalID = roleID }),
		role("other/ok", func(e *accessmap.Entry) { e.PrincipalID = roleID }),
		role("broken", func(e *accessmap.Entry) { e.Username, e.PrincipalID = "{{Nope}}", roleID }),
		role("theirs", func(e *accessmap.Entry) { e.Groups, e.PrincipalID = []string{"ekskey:access-entry"}, roleID }),
		{Entry: accessentry.Entry{PrincipalARN: "arn:aws:iam::" + account + ":root", Type: "STANDARD"}},
		{Entry: accessentry.Entry{PrincipalARN: "nonsense", Type: "STANDARD"}},
	}}}
	b, alarms := backend(t, s, nil)
	if len(*alarms) != 4 || b.Stats().Entries != 2 || b.Stats().Problems != 4 {
		t.Errorf("%+v %q", b.Stats(), *alarms)
	}
	// A group of ours is nobody's to give, and the entry refuses rather than drops it.
	if got := who(t, b, session(t, "theirs", roleID, "me")); !strings.HasPrefix(got, "error: ") {
		t.Error(got)
	}
	if got := who(t, b, session(t, "broken", roleID, "me")); got != "not mapped" {
		t.Error(got)
	}
}

func TestUnavailable(t *testing.T) {
	now := made
	s := &source{err: errors.New("EKS is away")}
	b, _ := backend(t, s, func(c *accessmap.Config) { c.Now = func() time.Time { return now } })
	id := session(t, "dev", roleID, "me")
	if got := who(t, b, id); got != "unavailable" || b.Ready() == nil {
		t.Errorf("before the first read: %s", got)
	}
	if err := b.Refresh(t.Context()); err == nil || who(t, b, id) != "unavailable" {
		t.Error(err)
	}
	s.err = nil
	s.snapshot = accessmap.Snapshot{Mode: accessmap.ModeAPI, Entries: []accessmap.Entry{role("dev", nil)}}
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	mapped := who(t, b, id)
	if !strings.HasPrefix(mapped, "arn:") {
		t.Fatal(mapped)
	}
	// The last entries count for an hour, and the mode with them.
	s.err = errors.New("EKS is away again")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{59 * time.Minute, mapped}, {2 * time.Minute, "unavailable"}} {
		now = now.Add(step.after)
		if err := b.Refresh(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if got := who(t, b, id); got != step.want {
			t.Errorf("%s, want %s", got, step.want)
		}
	}
	if _, err := b.Mode(); err == nil {
		t.Error("the mode is known")
	}
	s.err, s.snapshot.Mode = nil, "NEW_MODE"
	if err := b.Refresh(t.Context()); err == nil || who(t, b, id) != "unavailable" {
		t.Errorf("a mode that is not known: %v", err)
	}
}

func TestPins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins.json")
	open := func() *accessmap.Pins {
		p, err := accessmap.OpenPins(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	created := made.Add(-time.Hour)
	var iamErr error
	entry := role("dev", nil)
	s := &source{snapshot: accessmap.Snapshot{Mode: accessmap.ModeAPI, Entries: []accessmap.Entry{entry}}}
	start := func() *accessmap.Backend {
		b, _ := backend(t, s, func(c *accessmap.Config) {
			c.Pins = open()
			c.Created = func(context.Context, string) (time.Time, error) { return created, iamErr }
		})
		return b
	}
	first, second := session(t, "dev", roleID, "me"), session(t, "dev", "AROAEXAMPLEEXAMPLE2CD", "me")
	b := start()
	iamErr = errors.New("IAM is away")
	if got := who(t, b, first); got != "unavailable" {
		t.Errorf("while IAM does not answer: %s", got)
	}
	iamErr, created = nil, made.Add(time.Second)
	if got := who(t, b, first); got != "pinned" {
		t.Errorf("made after its entry: %s", got)
	}
	created = made
	for range 2 {
		if got := who(t, b, first); !strings.HasPrefix(got, "arn:") {
			t.Error(got)
		}
		if got := who(t, b, second); got != "pinned" {
			t.Error(got)
		}
		b = start() // the pin survives
	}
	// An entry that is made again is another.
	s.snapshot.Entries[0].CreatedAt = made.Add(time.Hour)
	b = start()
	if got := who(t, b, second); !strings.HasPrefix(got, "arn:") {
		t.Error(got)
	}
	// A file that is not understood is not begun again.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := accessmap.OpenPins(path); err == nil {
		t.Error("a broken file is taken")
	}
	// What cannot be remembered is not pinned.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p := open()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put("a", made, roleID); err == nil {
		t.Error("a pin that cannot be written is taken")
	}
	if _, ok := p.Get("a", made); ok {
		t.Error("it is pinned all the same")
	}
}

func TestParseFile(t *testing.T) {
	const described = `{"accessEntry": {"clusterName": "prod", "principalArn": "arn:aws:iam::111122223333:role/dev", "principalId": "AROAEXAMPLEEXAMPLE1AB",
		"kubernetesGroups": ["a"], "accessEntryArn": "arn:aws:eks:eu-central-1:111122223333:access-entry/prod/role/111122223333/dev/x",
		"createdAt": "2026-01-02T03:04:05.678000+00:00", "modifiedAt": 1767323045.678, "tags": {"x": "y"}, "username": "dev:{{SessionName}}", "type": "STANDARD"}}`
	const listed = `{"associatedAccessPolicies": [{"policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		"accessScope": {"type": "namespace", "namespaces": ["dev-*"]}, "associatedAt": "2026-01-02T03:04:05Z", "modifiedAt": 1767323045.678}],
		"clusterName": "prod", "principalArn": "arn:aws:iam::111122223333:role/dev"}`
	for name, text := range map[string]string{"one behind the other": described + "\n" + listed, "a list": "[" + listed + "," + described + "]"} {
		got, err := accessmap.ParseFile([]byte(text), accessmap.ModeAPI)
		if err != nil || len(got.Entries) != 1 || got.Mode != accessmap.ModeAPI {
			t.Fatalf("%s: %+v %v", name, got, err)
		}
		e := got.Entries[0]
		want := accesspolicy.Association{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", Scope: accesspolicy.Scope{Type: accesspolicy.ScopeNamespace, Namespaces: []string{"dev-*"}}}
		if e.PrincipalID != roleID || e.Username != "dev:{{SessionName}}" || e.CreatedAt.Unix() != 1767323045 || !e.CreatedAt.Equal(e.ModifiedAt) || fmt.Sprint(e.Policies) != fmt.Sprint([]accesspolicy.Association{want}) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", ""},
		"no JSON":            {"accessEntry: {}", "document 1: is not JSON"},
		"something else":     {`{"cluster": {}}`, "document 1: json: unknown field"},
		"no principal":       {`{"accessEntry": {"type": "STANDARD"}}`, "document 1: principalArn is missing"},
		"no id":              {`{"accessEntry": {"principalArn": "arn:aws:iam::111122223333:role/dev"}}`, "document 1: principalId is missing"},
		"a key that is none": {`{"accessEntry": {"principalArn": "arn:aws:iam::111122223333:role/dev", "principalId": "x", "group": "a"}}`, "document 1: json: unknown field"},
		"twice":              {described + described, "document 2: is a second entry of arn:aws:iam::111122223333:role/dev"},
		"nobody's policies":  {listed, "access entries: policies of arn:aws:iam::111122223333:role/dev have no access entry"},
		"a page":             {strings.Replace(listed, `"clusterName"`, `"nextToken": "x", "clusterName"`, 1) + described, "document 1: is one page of several"},
		"no time":            {strings.Replace(described, `1767323045.678`, `"soon"`, 1), "document 1: modifiedAt: "},
	} {
		_, err := accessmap.ParseFile([]byte(c.text), accessmap.ModeAPI)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
