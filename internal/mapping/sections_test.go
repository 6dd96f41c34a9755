package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// goodSections has dev in mapRoles, alice and bob in mapUsers, and one account.
const goodSections = `apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth, namespace: kube-system}
data:
  mapRoles: |
    - rolearn: arn:aws:iam::111122223333:role/dev
      username: dev
      groups: [viewers]
  mapUsers: |
    - userarn: arn:aws:iam::111122223333:user/alice
      username: alice
    - userarn: arn:aws:iam::111122223333:user/bob
      username: bob
  mapAccounts: |
    - "444455556666"
`

// brokenRoles are ways to make mapRoles of goodSections unreadable, as people do.
var brokenRoles = []struct{ name, old, new string }{
	{"one wrong indent", "      username: dev", "     username: dev"},
	{"a field without indent", "      username: dev", "    username: dev"},
	{"a tab", "      username: dev", "    \tusername: dev"},
	{"misspelt in lower case", "mapRoles:", "maproles:"},
	{"misspelt with another letter", "mapRoles:", "mapRole:"},
	{"misspelt with a dash", "mapRoles:", "map-roles:"},
	{"of another shape, text", "mapRoles: |\n    - rolearn: arn:aws:iam::111122223333:role/dev\n      username: dev\n      groups: [viewers]", "mapRoles: nobody"},
	{"of another shape, a mapping", "    - rolearn: arn:aws:iam::111122223333:role/dev\n      username: dev", "    rolearn: arn:aws:iam::111122223333:role/dev\n    username: dev"},
	{"of two documents", "      groups: [viewers]", "      groups: [viewers]\n    ---\n    []"},
	{"an unclosed quote", "username: dev", "username: \"dev"},
	{"a field that became a key of data", "      groups: [viewers]\n", "  groups: [viewers]\n"},
}

func (w *watched) expectAll(when string, want map[string]string) {
	w.t.Helper()
	for who, want := range want {
		id := caller(w.t, "arn:aws:iam::111122223333:user/"+who)
		switch who {
		case "dev", "other":
			id = session(w.t, who, "s")
		case "account":
			id = caller(w.t, "arn:aws:iam::444455556666:user/x")
		}
		if got := outcome(w.file, id); got != want {
			w.t.Errorf("%s: %s got %q, want %q", when, who, got, want)
		}
	}
}

// newClocked is newWatched with a clock and a state file.
func newClocked(t *testing.T, text string, change ...func(*FileConfig)) (*watched, *time.Time) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, path: filepath.Join(dir, "aws-auth.yaml")}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.write(text)
	w.start(&now, change...)
	return w, &now
}

func (w *watched) stateFile() string {
	return filepath.Join(filepath.Dir(w.path), "state", "aws-auth.last-good.json")
}

func (w *watched) start(now *time.Time, change ...func(*FileConfig)) {
	w.t.Helper()
	cfg := FileConfig{
		Path: w.path, StateFile: w.stateFile(),
		Now: func() time.Time { return *now },
		Alarm: func(err error) {
			w.alarms, w.errs = append(w.alarms, err.Error()), append(w.errs, err)
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if w.file, err = NewAWSAuthFile(cfg); err != nil {
		w.t.Fatal(err)
	}
}

// A revocation beside a typing error takes force at once; the section with the error
// answers as before for an hour, and then nobody can tell.
func TestRevocationBesideTypingError(t *testing.T) {
	for _, tt := range brokenRoles {
		t.Run(tt.name, func(t *testing.T) {
			w, now := newClocked(t, goodSections)
			broken := strings.Replace(goodSections, tt.old, tt.new, 1)
			if broken == goodSections {
				t.Fatal("the row changes nothing")
			}
			broken = strings.Replace(broken, "    - userarn: arn:aws:iam::111122223333:user/bob\n      username: bob\n", "", 1)
			w.write(broken)
			w.look(2)
			want := map[string]string{
				"alice": "alice []", "bob": "not mapped", "dev": "dev [viewers]", "stranger": "not mapped",
				"account": "arn:aws:iam::444455556666:user/x []",
			}
			w.expectAll("broken", want)
			if s := w.file.Stats(); !s.Stale || w.file.Ready() != nil || len(w.alarms) == 0 {
				t.Errorf("stats %+v, ready %v, alarms %q", s, w.file.Ready(), w.alarms)
			}
			*now = now.Add(time.Hour)
			w.look(1)
			w.expectAll("after an hour", want)

			*now = now.Add(time.Second)
			w.look(1)
			gone := map[string]string{"alice": "alice []", "bob": "unavailable", "dev": "unavailable", "stranger": "unavailable", "account": "unavailable"}
			w.expectAll("after more than an hour", gone)
			if w.file.Ready() == nil || !strings.Contains(w.alarms[len(w.alarms)-1], "older than 1h") {
				t.Errorf("ready %v, alarms %q", w.file.Ready(), w.alarms)
			}

			w.write(goodSections)
			w.look(2)
			w.expectAll("mended", map[string]string{"alice": "alice []", "bob": "bob []", "dev": "dev [viewers]", "stranger": "not mapped"})
			if w.file.Stats().Stale || w.file.Ready() != nil {
				t.Errorf("mended, but %+v, %v", w.file.Stats(), w.file.Ready())
			}
		})
	}
}

// Without a last good text nobody can tell what the section says, and the creator is
// nobody's business either: mapped to viewers, it would become an administrator.
func TestUnreadableAtStart(t *testing.T) {
	creator, err := NewCreator(roleARN)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range brokenRoles {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := newClocked(t, strings.Replace(goodSections, tt.old, tt.new, 1))
			w.expectAll("at start", map[string]string{"alice": "alice []", "bob": "bob []", "dev": "unavailable", "stranger": "unavailable", "account": "unavailable"})
			for always, want := range map[bool]string{false: "unavailable", true: "kubernetes-admin [system:masters]"} {
				chain := NewChain(Link{Name: "aws-auth", Mapper: w.file}, Link{Name: "creator", Mapper: creator, Always: always})
				if got := outcome(chain, session(t, "dev", "s")); got != want {
					t.Errorf("creator, always %v: got %q, want %q", always, got, want)
				}
				if got := outcome(chain, session(t, "other", "s")); got != "unavailable" {
					t.Errorf("other, always %v: got %q", always, got)
				}
			}
			if w.file.Ready() == nil {
				t.Error("ready")
			}
		})
	}
}

// What makes the whole text unusable keeps all of the last good one.
func TestWholeTextUnusable(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"no data", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth}\n"},
		{"data of nothing", "kind: ConfigMap\ndata:\n"},
		{"sections beside data", "kind: ConfigMap\ndata:\nmapRoles: |\n  []\nmapUsers: |\n  []\nmapAccounts: |\n  []\n"},
		{"sections in binaryData", "kind: ConfigMap\nbinaryData: {mapRoles: W10=, mapUsers: W10=, mapAccounts: W10=}\n"},
		{"empty", ""},
		{"half of it", goodSections[:len(goodSections)/2+3]},
		{"garbage", "\x00\x01\x02"},
		{"another ConfigMap", "kind: ConfigMap\nmetadata: {name: kube-root-ca.crt}\ndata: {}\n"},
		{"gone", "gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, now := newClocked(t, goodSections)
			if w.write(tt.text); tt.text == "gone" {
				_ = os.Remove(w.path)
			}
			w.look(2)
			want := map[string]string{"alice": "alice []", "bob": "bob []", "dev": "dev [viewers]", "stranger": "not mapped", "account": "arn:aws:iam::444455556666:user/x []"}
			if tt.name == "half of it" {
				want = map[string]string{"dev": "dev [viewers]"}
			}
			w.expectAll("unusable", want)
			if tt.name == "half of it" {
				return
			}
			if !w.file.Stats().Stale {
				t.Error("not stale")
			}
			*now = now.Add(time.Hour + time.Second)
			w.expectAll("after an hour", map[string]string{"alice": "unavailable", "dev": "unavailable", "stranger": "unavailable"})
		})
	}
}

func TestSectionsThatAreEmpty(t *testing.T) {
	const user = "mapUsers: |\n    - userarn: arn:aws:iam::111122223333:user/alice\n      username: alice\n"
	for _, data := range []string{"{}", "\n  " + user, "\n  " + user + "  other: x\n", "\n  " + user + "  mapRoles: ''\n", "\n  " + user + "  mapRoles: |\n    # nobody\n", "\n  " + user + "  mapRoles: ''\n  maproles: '['\n"} {
		w, _ := newClocked(t, goodSections)
		w.write("kind: ConfigMap\ndata: " + data)
		w.look(2)
		w.expectAll(data, map[string]string{"dev": "not mapped", "bob": "not mapped", "account": "not mapped"})
		if w.file.Stats().Stale {
			t.Errorf("%q is stale: %q", data, w.alarms)
		}
	}
	f := NewAWSAuth(FileConfig{Path: "configmap"})
	if got := outcome(f, session(t, "dev", "s")); got != "unavailable" {
		t.Errorf("not synced: %s", got)
	}
	if err := f.Use(map[string]string{mapRoles: "- {rolearn: '" + roleARN + "', username: d}"}); err != nil {
		t.Fatal(err)
	}
	if got := outcome(f, session(t, "dev", "s")); got != "d []" {
		t.Error(got)
	}
	if err := f.Use(nil); err == nil {
		t.Error("a ConfigMap without data is no error")
	}
	if got := outcome(f, session(t, "dev", "s")); got != "d []" {
		t.Errorf("without data: %s", got)
	}
	if err := f.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := outcome(f, session(t, "dev", "s")); got != "not mapped" || f.Ready() != nil {
		t.Errorf("deleted: %s", got)
	}
}

func TestLastGoodSurvivesRestart(t *testing.T) {
	w, now := newClocked(t, goodSections)
	w.write("kind: ConfigMap\n")
	*now = now.Add(time.Minute)
	w.start(now)
	all := map[string]string{"alice": "alice []", "dev": "dev [viewers]", "stranger": "not mapped", "account": "arn:aws:iam::444455556666:user/x []"}
	w.expectAll("after a restart", all)
	if !w.file.Stats().Stale {
		t.Error("not stale")
	}
	*now = now.Add(58 * time.Minute)
	w.start(now)
	w.expectAll("after another restart", all)
	*now = now.Add(2 * time.Minute) // more than an hour after the text was seen
	gone := map[string]string{"alice": "unavailable", "dev": "unavailable", "stranger": "unavailable"}
	w.expectAll("too old", gone)
	w.start(now)
	w.expectAll("too old at a restart", gone)

	// While the text is good, the time in the file follows.
	w.write(goodSections)
	w.look(2)
	*now = now.Add(3 * time.Hour)
	w.look(1)
	*now = now.Add(50 * time.Minute)
	w.write("")
	w.start(now)
	w.expectAll("after a restart late", all)
}

// What others could have put into the state file counts for nothing.
func TestStateFileIsChecked(t *testing.T) {
	evil := func(path string) []byte {
		text, err := json.Marshal(map[string]any{"version": 1, "source": path, "sections": map[string]any{
			"mapRoles":    map[string]any{"text": "- {rolearn: '" + roleARN + "', username: evil}", "seen": "2026-01-02T03:04:05Z"},
			"mapUsers":    map[string]any{"text": "", "seen": "2026-01-02T03:04:05Z"},
			"mapAccounts": map[string]any{"text": "", "seen": "2026-01-02T03:04:05Z"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, tt := range []struct {
		name, want string
		write      func(w *watched, state string) error
	}{
		{"as it should be", "evil []", func(w *watched, state string) error { return os.WriteFile(state, evil(w.path), 0o600) }},
		{"that others can read", "unavailable", func(w *watched, state string) error {
			return errors.Join(os.WriteFile(state, evil(w.path), 0o600), os.Chmod(state, 0o644))
		}},
		{"in a directory that others can write", "unavailable", func(w *watched, state string) error {
			return errors.Join(os.WriteFile(state, evil(w.path), 0o600), os.Chmod(filepath.Dir(state), 0o777))
		}},
		{"a link", "unavailable", func(w *watched, state string) error {
			return errors.Join(os.WriteFile(state+"2", evil(w.path), 0o600), os.Symlink(state+"2", state))
		}},
		{"of another source", "unavailable", func(w *watched, state string) error { return os.WriteFile(state, evil("/other"), 0o600) }},
		{"of another version", "unavailable", func(w *watched, state string) error {
			return os.WriteFile(state, []byte(strings.Replace(string(evil(w.path)), `"version":1`, `"version":2`, 1)), 0o600)
		}},
		{"garbage", "unavailable", func(w *watched, state string) error { return os.WriteFile(state, []byte("{"), 0o600) }},
		{"too large", "unavailable", func(w *watched, state string) error {
			return os.WriteFile(state, append(evil(w.path), make([]byte, maxState)...), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.name != "as it should be" {
				return // which has no modes, and links are a privilege there
			}
			w, now := newClocked(t, "")
			state := w.stateFile()
			if err := tt.write(w, state); err != nil {
				t.Fatal(err)
			}
			w.start(now)
			if got := outcome(w.file, session(t, "dev", "s")); got != tt.want {
				t.Errorf("got %q, want %q; %q", got, tt.want, w.alarms)
			}
		})
	}
}

// A state directory that cannot be written costs an alarm, and no answer.
func TestStateCannotBeWritten(t *testing.T) {
	w, _ := newClocked(t, goodSections, func(c *FileConfig) { c.StateFile = filepath.Join(filepath.Dir(c.Path), "no", "such") })
	w.expectAll("at start", map[string]string{"dev": "dev [viewers]"})
	if len(w.alarms) != 1 || !strings.Contains(w.alarms[0], "keeping the last good aws-auth") {
		t.Errorf("alarms %q", w.alarms)
	}
}

// The directory form is how Kubernetes mounts a ConfigMap: a file for each key, links
// through ..data, which is replaced as a whole.
func TestAWSAuthDirectory(t *testing.T) {
	dir := t.TempDir()
	version := func(name string, files map[string]string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for key, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name, key), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_ = os.Symlink(filepath.Join("..data", key), filepath.Join(dir, key))
		}
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			if runtime.GOOS == "windows" {
				t.Skip("links are a privilege here")
			}
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", map[string]string{
		"mapRoles": "# nodes\n- rolearn: " + roleARN + "\n  username: a\n",
		"mapUsers": "- userarn: " + userARN + "\n  username: alice\n",
	})
	f, err := NewAWSAuthFile(FileConfig{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	dev, alice := session(t, "dev", "s"), caller(t, userARN)
	if got := outcome(f, dev) + ", " + outcome(f, alice); got != "a [], alice []" || f.Ready() != nil {
		t.Errorf("at start: %s; %v", got, f.Ready())
	}
	if m, _ := f.Map(context.Background(), dev); m.Source != "aws-auth mapRoles[0] line 2" {
		t.Errorf("source %q", m.Source)
	}
	// A key taken away leaves a link that leads nowhere, until kubelet removes it.
	version("..v2", map[string]string{"mapRoles": "- {rolearn: '" + roleARN + "', username: b}"})
	f.Look()
	f.Look()
	if got := outcome(f, dev) + ", " + outcome(f, alice); got != "b [], not mapped" {
		t.Errorf("replaced: %s", got)
	}
	version("..v3", map[string]string{"maproles": "- {rolearn: '" + roleARN + "', username: c}"})
	f.Look()
	f.Look()
	if got := outcome(f, dev); got != "b []" || !f.Stats().Stale {
		t.Errorf("misspelt: %s", got)
	}
	version("..v4", nil)
	f.Look()
	f.Look()
	if got := outcome(f, dev); got != "b []" || !f.Stats().Stale {
		t.Errorf("emptied: %s", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	version("..v5", map[string]string{"mapRoles": "- {rolearn: '" + roleARN + "', username: evil}"})
	if err := os.Chmod(filepath.Join(dir, "..v5", "mapRoles"), 0o666); err != nil {
		t.Fatal(err)
	}
	f.Look()
	f.Look()
	if got := outcome(f, dev); got != "b []" {
		t.Errorf("a file that everybody can write: %s", got)
	}
	if _, err := NewAWSAuthFile(FileConfig{Path: dir}); !errors.As(err, new(*safefile.WritableError)) {
		t.Errorf("a file that everybody can write, at start: %v", err)
	}
}

func TestMisspelt(t *testing.T) {
	for name, want := range map[string]string{
		"mapRoles": mapRoles, "maproles": mapRoles, "MAPROLES": mapRoles, "map_roles": mapRoles, "mapRole": mapRoles, "mapRols": mapRoles, "mpaRoles": mapRoles,
		"mapUser": mapUsers, "map-users": mapUsers, "mapAccount": mapAccounts, "mapaccounts ": mapAccounts,
		"mapping": "", "roles": "", "users": "", "data": "", "kind": "", "metadata": "", "apiVersion": "", "": "", "mapRolesOfTheOtherCluster": "",
	} {
		if got := misspelt(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// NewSet says what becomes of two entries for one principal.
func TestTies(t *testing.T) {
	entries := func(second Entry) []Entry {
		second.Index = 1
		return []Entry{{ARN: roleARN, Username: "older"}, second}
	}
	for _, tt := range []struct {
		name   string
		ties   Ties
		second Entry
		want   string
	}{
		{"last wins", LastWins, Entry{ARN: "arn:aws:iam::111122223333:role/p/DEV", Username: "newer"}, "newer []"},
		{"last wins, broken", LastWins, Entry{ARN: roleARN, Username: "{{x}}"}, "broken"},
		{"first wins", FirstWins, Entry{ARN: roleARN, Username: "newer"}, "older []"},
		{"first wins, broken", FirstWins, Entry{ARN: roleARN, Username: "{{x}}"}, "older []"},
		{"error", TieIsError, Entry{ARN: roleARN, Username: "newer"}, "broken"},
		{"another principal", TieIsError, Entry{ARN: roleARN + "2", Username: "newer"}, "older []"},
	} {
		s, err := NewSet(entries(tt.second), Options{Ties: tt.ties})
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(s, session(t, "dev", "s")); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		_, err = NewSet(entries(tt.second), Options{Ties: tt.ties, Strict: true})
		dropped := false
		for _, p := range s.Problems() {
			dropped = dropped || p.Dropped
		}
		if errors.As(err, new(*LoadError)) != dropped {
			t.Errorf("%s: strict: %v, problems %v", tt.name, err, s.Problems())
		}
	}
	s, err := NewSet([]Entry{{SSO: &PermissionSet{Name: "A", Account: account}, Username: "set"}, {Index: 1, Account: "444455556666"}}, Options{})
	if err != nil || outcome(s, session(t, ssoRole, "s")) != "set []" || outcome(s, caller(t, "arn:aws:iam::444455556666:user/x")) == "not mapped" || s.Len() != 2 {
		t.Errorf("typed permission set and account: %v, %v", s, err)
	}
	if s, err = NewSet(nil, Options{Strict: true}); err != nil || s.Len() != 0 {
		t.Errorf("none: %v", err)
	}
}

func TestSessionBehindSystem(t *testing.T) {
	for group, want := range map[string]string{
		"system:{{SessionName}}": "session-prefix", "system:{{SessionNameRaw}}x": "session-prefix",
		"system:node:{{SessionName}}": "", "team:{{SessionName}}": "", "system:masters": "",
	} {
		s, err := NewSet([]Entry{{ARN: roleARN, Username: "u", Groups: []string{group}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range s.Problems() {
			got += string(p.Code)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", group, got, want)
		}
	}
}

func TestInvisibleCharacters(t *testing.T) {
	for _, c := range []rune{'\u3164', '\u034f', '\u2800', '\u115f', '\u1160', '\uffa0', '\u17b4', '\ufe0f', '\u180b', '\u200b', '\u00ad', '\u2060'} {
		if checkName("a"+string(c)+"b") == "" {
			t.Errorf("%U passes", c)
		}
	}
	for _, name := range []string{"ålice", "日本", "한글", "a b", "a-b"} {
		if reason := checkName(name); reason != "" {
			t.Errorf("%s %s", name, reason)
		}
	}
}
