package mapping

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/identity"
)

const (
	account  = "111122223333"
	roleARN  = "arn:aws:iam::111122223333:role/dev"
	userARN  = "arn:aws:iam::111122223333:user/alice"
	roleID   = "AROAEXAMPLEEXAMPLE123"
	instance = "i-0123456789abcdef0"
)

// caller makes the identity that STS would report, from an ARN that it could
// report. Unlike identity.New it lets a session name be anything, for attacks.
func caller(t testing.TB, arn string) identity.Identity {
	t.Helper()
	p, err := identity.ParsePrincipal(arn)
	if err != nil {
		t.Fatalf("bad test arn: %v", err)
	}
	return identity.Identity{
		ARN: arn, CanonicalARN: p.Canonical().String(), Principal: p, AccountID: p.Account,
		PrincipalID: roleID, SessionName: p.SessionName, AccessKeyID: "ASIAEXAMPLEEXAMPLE12",
	}
}

func session(t testing.TB, role, name string) identity.Identity {
	t.Helper()
	id := caller(t, "arn:aws:sts::"+account+":assumed-role/"+role+"/s")
	id.Principal.SessionName, id.SessionName = name, name
	return id
}

// serverNode parses the text under "server:".
func serverNode(t testing.TB, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatalf("bad test yaml: %v", err)
	}
	return &n
}

func mustServer(t testing.TB, text string, o Options) *Set {
	t.Helper()
	o.Ties = TieIsError
	s, err := ParseServer(serverNode(t, text), o)
	if err != nil {
		t.Fatalf("ParseServer: %v", err)
	}
	return s
}

func mustAWSAuth(t testing.TB, text string) *Set {
	t.Helper()
	s, err := ParseAWSAuth([]byte(text), Options{})
	if err != nil {
		t.Fatalf("ParseAWSAuth: %v", err)
	}
	return s
}

// outcome renders what a mapper says in one line, so that a table can hold it.
func outcome(m Mapper, id identity.Identity) string {
	got, err := m.Map(context.Background(), id)
	var (
		render   *RenderError
		lookup   *LookupError
		pin      *PinError
		reserved *ReservedError
		broken   *BrokenEntryError
	)
	switch {
	case err == nil:
		return got.Username + " [" + strings.Join(got.Groups, " ") + "]"
	case errors.Is(err, ErrNotMapped):
		return "not mapped"
	case errors.As(err, new(*UnavailableError)):
		return "unavailable"
	case errors.As(err, &render):
		return "render error"
	case errors.As(err, &lookup):
		return "lookup error"
	case errors.As(err, &pin):
		return "pin error"
	case errors.As(err, &reserved):
		return "reserved"
	case errors.As(err, &broken):
		return "broken"
	}
	return "unexpected: " + err.Error()
}

// codes lists problems as "section[index]:line code", with ! where dropped.
func codes(problems []Problem) string {
	var out []string
	for _, p := range problems {
		s := strings.TrimPrefix(sourceText("", p.Section, p.Index, p.Line), " ") + " " + string(p.Code)
		if p.Dropped {
			s += "!"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
