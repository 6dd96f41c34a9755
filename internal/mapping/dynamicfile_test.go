package mapping

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

const dynamicText = `{
  "LastUpdatedDateTime": "1760000000", "Version": "3",
  "mapRoles": [
    {"rolearn": "arn:aws:iam::111122223333:role/dev", "username": "dev:{{SessionName}}", "groups": ["g"], "userid": "AROAEXAMPLEEXAMPLE123"},
    {"sso": {"permissionSetName": "A", "accountID": "111122223333"}, "username": "set", "userid": "AROAEXAMPLEEXAMPLE123"}
  ],
  "mapUsers": [{"userarn": "arn:aws:iam::111122223333:user/alice", "username": "alice", "userid": "AROAEXAMPLEEXAMPLE999"}],
  "mapAccounts": ["444455556666"]
}`

func TestParseDynamicFile(t *testing.T) {
	for _, text := range []string{
		dynamicText,
		strings.NewReplacer("mapRoles", "MAPROLES", "rolearn", "roleARN", "mapUsers", "mapusers").Replace(dynamicText),
		"mapRoles:\n- {rolearn: '" + roleARN + "', username: 'dev:{{SessionName}}', groups: [g], userid: " + roleID + "}\n- sso: {permissionSetName: A, accountID: 111122223333}\n  username: set\nmapUsers:\n- {userarn: '" + userARN + "', userid: AIDAOTHER, username: alice}\nmapAccounts: [444455556666]\n",
	} {
		s, err := ParseDynamicFile([]byte(text), Options{Ties: TieIsError})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]string{
			"arn:aws:sts::111122223333:assumed-role/dev/s":             "dev:s [g]",
			"arn:aws:sts::111122223333:assumed-role/" + ssoRole + "/s": "set []",
			userARN:                            "pin error", // caller's unique id is another
			"arn:aws:iam::444455556666:user/x": "arn:aws:iam::444455556666:user/x []",
			"arn:aws:iam::111122223333:user/stranger": "not mapped",
		} {
			if got := outcome(s, caller(t, id)); got != want {
				t.Errorf("%s: got %q, want %q", id, got, want)
			}
		}
		for _, p := range s.Problems() {
			if p.Dropped || p.Code != UnknownKey {
				t.Errorf("%v", p)
			}
		}
	}
}

// With dynamicFileUserIDStrict only the unique id counts.
func TestDynamicFileByUniqueID(t *testing.T) {
	dev := session(t, "dev", "s") // its unique id is roleID
	for _, tt := range []struct{ name, entry, want string }{
		{"its id", `{"rolearn": "` + roleARN + `", "userid": "` + roleID + `", "username": "a:{{SessionName}}"}`, "a:s []"},
		{"its id and another arn", `{"rolearn": "` + roleARN + `2", "userid": "` + roleID + `", "username": "a"}`, "a []"},
		{"its id and no arn", `{"userid": "` + roleID + `", "username": "a"}`, "a []"},
		{"its arn and another id", `{"rolearn": "` + roleARN + `", "userid": "AROAOTHER", "username": "a"}`, "not mapped"},
		{"its arn and no id", `{"rolearn": "` + roleARN + `", "username": "a"}`, "*LoadError"},
		{"an empty id", `{"rolearn": "` + roleARN + `", "userid": "", "username": "a"}`, "*LoadError"},
		{"two entries", `{"userid": "` + roleID + `", "username": "a"}, {"userid": "` + roleID + `", "username": "b"}`, "*LoadError"},
	} {
		s, err := ParseDynamicFile([]byte(`{"mapRoles": [`+tt.entry+`]}`), Options{ByUniqueID: true, Ties: TieIsError})
		got := "*LoadError"
		if err == nil {
			got = outcome(s, dev)
		} else if !errors.As(err, new(*LoadError)) {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	s, err := ParseDynamicFile([]byte(`{"mapRoles": [{"userid": "a", "username": "1"}, {"userid": "a", "username": "2"}]}`), Options{ByUniqueID: true})
	if err != nil || s.Len() != 1 || len(s.Problems()) != 1 {
		t.Errorf("the last wins: %v, %v", err, s)
	}
}

func TestParseDynamicFileRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "a list": "[]", "text": "x", "not YAML": "{", "two documents": "{}\n---\n{}", "a misspelt section": `{"mapRole": []}`,
		"a section twice": `{"mapRoles": [], "maproles": []}`, "an alias": "x: &x []\nmapRoles: *x", "a section that is text": `{"mapRoles": "[]"}`,
		"a bad entry": `{"mapRoles": [{"rolearn": "x"}]}`, "groups as text": `{"mapRoles": [{"rolearn": "` + roleARN + `", "groups": "x"}]}`,
		"a tie": `{"mapRoles": [{"rolearn": "` + roleARN + `"}, {"rolearn": "` + roleARN + `"}]}`,
	} {
		s, err := ParseDynamicFile([]byte(text), Options{Ties: TieIsError})
		if s != nil || !errors.As(err, new(*LoadError)) && !errors.As(err, new(*TextError)) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if s, err := ParseDynamicFile([]byte(`{"mapRoles": [{"rolearn": "`+roleARN+`", "username": "a"}, {"rolearn": "`+roleARN+`", "username": "b"}]}`), Options{}); err != nil || outcome(s, session(t, "dev", "s")) != "b []" {
		t.Errorf("the last wins: %v", err)
	}
	if s, err := ParseDynamicFile([]byte("{}"), Options{}); err != nil || s.Len() != 0 {
		t.Errorf("nobody: %v", err)
	}
}

// A dynamic file that cannot be used keeps its last good text for a limited time; one
// that was never there is unavailable.
func TestDynamicFileFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dynamic.json")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var alarms []string
	f, err := NewDynamicFile(FileConfig{Path: path, MaxStale: time.Minute, Now: func() time.Time { return now }, Alarm: func(err error) { alarms = append(alarms, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	step := func(when, text, want string, stale bool) {
		t.Helper()
		if text == "" {
			_ = os.Remove(path)
		} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.Look()
		f.Look()
		if got := outcome(f, session(t, "dev", "s")); got != want || f.Stats().Stale != stale || (f.Ready() == nil) != (want != "unavailable") {
			t.Errorf("%s: got %q, stats %+v, ready %v; want %q", when, got, f.Stats(), f.Ready(), want)
		}
	}
	if err := f.Ready(); !errors.Is(err, fs.ErrNotExist) || !Temporary(err) {
		t.Errorf("not there: %v", err)
	}
	good := func(name string) string {
		return `{"mapRoles": [{"rolearn": "` + roleARN + `", "username": "` + name + `"}]}`
	}
	step("there", good("a"), "a []", false)
	step("another", good("b"), "b []", false)
	step("broken", good("c")[:30], "b []", true)
	now = now.Add(time.Minute)
	step("broken for a minute", "[", "b []", true)
	now = now.Add(time.Second)
	step("broken for longer", "[", "unavailable", true)
	step("mended", good("d"), "d []", false)
	step("gone", "", "d []", true)
	now = now.Add(2 * time.Minute)
	step("gone for longer", "", "unavailable", true)
	step("nobody", "{}", "not mapped", false)
	if len(alarms) < 3 {
		t.Errorf("alarms %q", alarms)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := NewDynamicFile(FileConfig{Path: path}); !errors.As(err, new(*safefile.WritableError)) {
			t.Errorf("that everybody can write: %v", err)
		}
	}
}

func FuzzParseDynamicFile(f *testing.F) {
	f.Add([]byte(dynamicText))
	f.Add([]byte(`{"mapRoles": [{"userid": "x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, o := range []Options{{}, {ByUniqueID: true}, {Dialect: EKS}, {Ties: TieIsError}} {
			s, err := ParseDynamicFile(text, o)
			if (s == nil) == (err == nil) {
				t.Fatalf("%v and %v", s, err)
			}
			if s == nil {
				continue
			}
			for _, p := range s.Problems() {
				if p.Dropped && o.Dialect == Ekskey {
					t.Errorf("in force, but %v", p)
				}
			}
		}
	})
}

// entriesText is n roles, as a dynamic file.
func entriesText(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"mapRoles": [`)
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"rolearn": "arn:aws:iam::111122223333:role/team-%d", "username": "team-%d:{{SessionName}}", "groups": ["team-%d", "all"]}`, i, i, i)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkMap(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		s, err := ParseDynamicFile(entriesText(n), Options{})
		if err != nil {
			b.Fatal(err)
		}
		id := session(b, fmt.Sprintf("team-%d", n/2), "s")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Map(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReload(b *testing.B) {
	text := entriesText(100_000)
	for _, d := range []Dialect{Ekskey, EKS} {
		b.Run(fmt.Sprintf("100000/dialect%d", d), func(b *testing.B) {
			for b.Loop() {
				if _, err := ParseDynamicFile(text, Options{Dialect: d}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	yaml := "mapRoles:\n"
	for i := range 5000 {
		yaml += fmt.Sprintf("- rolearn: arn:aws:iam::111122223333:role/team-%d\n  username: team-%d:{{SessionName}}\n  groups: [team, all]\n", i, i)
	}
	b.Run("aws-auth of 5000", func(b *testing.B) {
		for b.Loop() {
			if _, err := ParseAWSAuth([]byte(yaml), Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
