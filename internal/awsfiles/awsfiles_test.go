package awsfiles_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/awsfiles"
)

// config is what one config file says.
func config(t testing.TB, text string) (*awsfiles.Config, error) {
	t.Helper()
	return both(t, text, "")
}

func both(t testing.TB, config, credentials string) (*awsfiles.Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"config": config, "credentials": credentials} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return awsfiles.Read(env(map[string]string{
		awsfiles.ConfigVar: filepath.Join(dir, "config"), awsfiles.CredentialsVar: filepath.Join(dir, "credentials"),
	}))
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// botocores is what botocore.configloader.load_config gives.
type botocores struct {
	Profiles map[string]map[string]any `json:"profiles"`
	SSO      map[string]map[string]any `json:"sso_sessions"`
	Services map[string]map[string]any `json:"services"`
}

func reference(t *testing.T, data []byte) map[string]*botocores {
	t.Helper()
	var want map[string]*botocores
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// TestA01AsBotocore: what is accepted is read as botocore reads it. Files whose
// names begin with bad_ botocore refuses; those with strict_ only we do.
func TestA01AsBotocore(t *testing.T) {
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	want := reference(t, data)
	paths, err := filepath.Glob("testdata/corpus/*.ini")
	if err != nil || len(paths) != len(want) || len(paths) < 40 {
		t.Fatalf("%d files, %d references, %v: run reference.py", len(paths), len(want), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".ini")
		t.Run(name, func(t *testing.T) {
			got, err := awsfiles.Read(env(map[string]string{awsfiles.ConfigVar: path, awsfiles.CredentialsVar: os.DevNull}))
			refused := strings.HasPrefix(name, "bad_") || strings.HasPrefix(name, "strict_")
			if (want[name] == nil) != strings.HasPrefix(name, "bad_") || (err != nil) != refused {
				t.Fatalf("refused: %v; by botocore: %t", err, want[name] == nil)
			}
			if err != nil {
				var syntax *awsfiles.SyntaxError
				if !errors.As(err, &syntax) || !strings.Contains(err.Error(), path) {
					t.Errorf("%T %v", err, err)
				}
				return
			}
			loose := map[string]bool{"a": true, "dev admin": true, "b c": true, "toplevel": true, "plugins": true}
			for _, p := range got.Profiles() {
				if want[name].Profiles[p] == nil && !loose[p] {
					t.Errorf("profile %q is none of botocore's", p)
				}
			}
			for p, settings := range want[name].Profiles {
				section, ok := got.Profile(p)
				if !ok {
					t.Fatalf("profile %q is missing", p)
				}
				compare(t, section.Config, settings)
			}
			for s, settings := range want[name].SSO {
				section, _ := got.SSOSession(s)
				compare(t, section, settings)
			}
			for s, settings := range want[name].Services {
				section, _ := got.Services(s)
				compare(t, section, settings)
			}
		})
	}
}

func compare(t *testing.T, got *awsfiles.Section, want map[string]any) {
	t.Helper()
	have := map[string]any{}
	for _, s := range got.Settings() {
		have[s.Key] = s.Value
		if s.Nested != nil {
			nested := map[string]any{}
			for k, v := range s.Nested {
				nested[k] = v
			}
			have[s.Key] = nested
		}
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("[%s]: %v, want %v", got.Header, have, want)
	}
}

// The reference is what botocore says today, where there is a botocore.
func TestReferenceIsBotocores(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import botocore").Run()
	}
	if err != nil {
		t.Skip("there is no python3 with botocore here: ", err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(python, "testdata/reference.py")
	cmd.Stderr = &stderr
	fresh, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	checkedIn, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(reference(t, fresh), reference(t, checkedIn)) {
		t.Errorf("botocore says otherwise now:\n%s", fresh)
	}
}

// TestA01Lines: errors name the line, or both, and quote nothing.
func TestA01Lines(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no setting", "[default]\n\nsecret\n", "line 3 of FILE is neither"},
		{"key twice", "[a]\nsecret = 1\n\nSECRET: 2\n", "line 4 of FILE sets a key again that line 2 sets"},
		{"section twice", "[secret]\nx = 1\n[b]\n[secret]\n", "line 4 of FILE begins a section again that line 1 begins"},
		{"profile twice", "[profile secret]\n[profile 'secret']\n", "line 2 of FILE begins a section again that line 1 begins"},
		{"default twice", "[profile default]\n[default]\n", "line 2 of FILE begins a section again that line 1 begins"},
		{"sso-session twice", "[sso-session s]\n[sso-session \"s\"]\n", "line 2 of FILE begins a section again that line 1 begins"},
		{"no bracket", "[default]\n[secret\nk = v\n", "line 2 of FILE is a section header without its closing bracket"},
		{"setting behind", "[default] secret = x\n", "line 1 of FILE is a section header with a setting behind it"},
		{"DEFAULT", "[DEFAULT]\n", "line 1 of FILE is the section DEFAULT"},
		{"outside", "# c\nsecret = x\n[default]\n", "line 2 of FILE is a setting above the first [section]"},
		{"pasted JSON", "[default]\n{\n", "line 2 of FILE is neither"},
		{"a shell's export", "[default]\nexport AWS_ACCESS_KEY_ID\n", "line 2 of FILE is neither"},
		{"a merge's marks", "[default]\n<<<<<<< HEAD\n", "line 2 of FILE is neither"},
		{"an indented header", "[default]\nk = v\n  [secret]\n", "line 3 of FILE is an indented section header below the setting of line 2"},
		{"a carriage return", "[default]\nk = v\rsecret = w\n", "line 2 of FILE has a carriage return"},
		{"a no-break space", "[default]\n\u00a0k = secret\n", "line 2 of FILE has an invisible character"},
		{"a zero-width space in a header", "[profile secret\u200b]\n", "line 1 of FILE has an invisible character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, file := range []string{"config", "credentials"} {
				text := [2]string{tt.text, ""}
				if file == "credentials" {
					if strings.Contains(tt.text, "'secret'") || strings.Contains(tt.text, "sso-session") || strings.Contains(tt.text, "profile default") {
						continue // two names, in that file
					}
					text = [2]string{"", tt.text}
				}
				_, err := both(t, text[0], text[1])
				var syntax *awsfiles.SyntaxError
				if !errors.As(err, &syntax) || filepath.Base(syntax.Path) != file {
					t.Fatalf("%T %v", err, err)
				}
				if got := strings.ReplaceAll(err.Error(), syntax.Path, "FILE"); !strings.HasPrefix(got, tt.want) || strings.Contains(strings.ToLower(got), "secret") {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
		})
	}
}

// TestA04Names: the names that people write, and that the AWS CLI writes.
func TestA04Names(t *testing.T) {
	c, err := both(t, "[default]\nk=default\n[profile 'dev admin']\nk = 1\n[a]\nk = 2\n[profile two words]\nk = 3\n[b]\nk = loose\n[profile b]\nk = 4\n[c]\nk = loose\n",
		"[c]\nj = 5\n[dev admin]\nj = 6\n[profile d]\nj = 7\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Profiles(), "|"); got != "a|b|c|default|dev admin|profile d|two words" {
		t.Error(got)
	}
	for name, want := range map[string]string{"default": "default ", "dev admin": "1 6", "a": "2 ", "two words": "3 ", "b": "4 ", "c": " 5"} {
		p, ok := c.Profile(name)
		if !ok {
			t.Fatalf("no profile %q", name)
		}
		if got := p.Value("k") + " " + p.Value("j"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s := c.Misnamed("d"); s == nil || s.Line != 5 {
		t.Errorf("misnamed: %+v", s)
	}
	if s := c.Misnamed("c"); s != nil {
		t.Errorf("misnamed: %+v", s)
	}
}

// The credentials file goes before the config file.
func TestMerge(t *testing.T) {
	c, err := both(t, "[profile a]\nregion = 1\noutput = 2\n", "[a]\nregion = 3\n")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.Profile("a")
	s, _ := p.Get("region")
	if p.Value("region") != "3" || p.Value("output") != "2" || p.Value("none") != "" || s.File != c.Files().Credentials || s.Line != 2 {
		t.Errorf("%+v", s)
	}
}

// TestA08Paths: the variables are read as the AWS CLI reads them, and a file that is
// not there is legal.
func TestA08Paths(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("[profile here]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		value, path string
		found       bool
	}{
		{"~/x", filepath.Join(dir, "x"), true},
		{"$DIR/x", filepath.Join(dir, "x"), true},
		{"${DIR}/x", filepath.Join(dir, "x"), true},
		{"$HERE/x", filepath.Join(dir, "x"), true},
		{filepath.Join(dir, "x"), filepath.Join(dir, "x"), true},
		{"~/missing", filepath.Join(dir, "missing"), false},
		{"~/x/below-a-file", filepath.Join(dir, "x", "below-a-file"), false},
		{"", filepath.Join(dir, ".aws", "config"), false},
		{"/nowhere/$NOBODY", "/nowhere/$NOBODY", false},
	} {
		t.Run(tt.value, func(t *testing.T) {
			c, err := awsfiles.Read(env(map[string]string{awsfiles.ConfigVar: tt.value, "DIR": dir, "HERE": "~"}))
			if err != nil {
				t.Fatal(err)
			}
			file := c.Files().Config
			if _, ok := c.Profile("here"); ok != tt.found || file.Exists != tt.found || file.Path != tt.path || (file.Digest == awsfiles.NoFile) == tt.found {
				t.Errorf("%+v, found %t", file, ok)
			}
			if !tt.found && !strings.Contains(c.Files().Names(), "does not exist") {
				t.Error(c.Files().Names())
			}
		})
	}
	if got := awsfiles.Path("~/ca.pem"); got != filepath.Join(dir, "ca.pem") {
		t.Error(got)
	}
	for _, same := range []string{"~nobody-of-that-name/x", "a~/x", "/~"} {
		if got := awsfiles.Path(same); got != same {
			t.Errorf("%s: %s", same, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#"), awsfiles.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "is a directory", big: "is larger than"} {
		_, err := awsfiles.Open(env(map[string]string{awsfiles.ConfigVar: path}))
		var unreadable *awsfiles.ReadError
		if !errors.As(err, &unreadable) || !strings.Contains(err.Error(), path+" cannot be read: "+want) {
			t.Errorf("%v", err)
		}
	}
}

// TestA09Encodings are named; a byte order mark of UTF-8 is read.
func TestA09Encodings(t *testing.T) {
	utf16 := func(mark string, text string) string {
		var b strings.Builder
		b.WriteString(mark)
		for _, r := range text {
			b.WriteString(string(r) + "\x00")
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"little": utf16("\xff\xfe", "[default]\n"), "big": "\xfe\xff\x00[", "no mark": utf16("", "[default]\n"), "no mark, big": "\x00[\x00d",
	} {
		if _, err := config(t, text); err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config(t, "[default]\nk = \xe9\n"); err == nil || !strings.Contains(err.Error(), "is not in UTF-8") {
		t.Error(err)
	}
	c, err := both(t, "\ufeff[profile a]\nk = v\n", "\ufeff[a]\r\nj = w\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := c.Profile("a"); !ok || p.Value("k") != "v" || p.Value("j") != "w" {
		t.Errorf("%+v", p)
	}
}

// Whatever a file holds, reading ends with settings or an error, which names a line
// and quotes nothing of it.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/corpus/*.ini")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	path := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, variable := range []string{awsfiles.ConfigVar, awsfiles.CredentialsVar} {
			other := awsfiles.ConfigVar
			if variable == other {
				other = awsfiles.CredentialsVar
			}
			c, err := awsfiles.Read(env(map[string]string{variable: path, other: os.DevNull}))
			if err != nil {
				var syntax *awsfiles.SyntaxError
				if !errors.As(err, &syntax) || syntax.Line > 1+strings.Count(text, "\n") {
					t.Errorf("%T %v", err, err)
				}
				continue
			}
			// Every line that says something is in a section's settings or its header.
			lines, settings := 0, 0
			for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
				line = strings.Trim(strings.TrimSuffix(line, "\r"), " \t")
				if line != "" && line[0] != '#' && line[0] != ';' {
					lines++
				}
			}
			for _, s := range c.Sections() {
				settings++
				for _, one := range s.Settings() {
					settings += 1 + len(one.Nested)
					for part := range strings.SplitSeq(one.Value, "\n") {
						if part != "" {
							settings++
						}
					}
					if one.Value != "" {
						settings--
					}
					if !strings.Contains(text, one.Value) && !strings.Contains(one.Value, "\n") {
						t.Errorf("value %q", one.Value)
					}
				}
			}
			if lines != settings {
				t.Errorf("%d lines say something, %d are known: %s", lines, settings, fmt.Sprintf("%q", text))
			}
		}
	})
}
