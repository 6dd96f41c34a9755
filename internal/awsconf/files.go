package awsconf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ekskey/ekskey/internal/safefile"
)

// maxFile is how large a file may be that is read here and not by the SDK, in bytes.
const maxFile = 1 << 20

// files are AWS's two configuration files, looked at only for hints and for
// completion. The SDK reads them by itself.
type files struct {
	getenv func(string) string
	paths  []string
}

func newFiles(getenv func(string) string) files {
	dir := ""
	if home, err := os.UserHomeDir(); err == nil {
		dir = filepath.Join(home, ".aws")
	}
	f := files{getenv: getenv}
	for _, p := range [][2]string{{"AWS_CONFIG_FILE", "config"}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials"}} {
		if path := getenv(p[0]); path != "" {
			f.paths = append(f.paths, path)
		} else if dir != "" {
			f.paths = append(f.paths, filepath.Join(dir, p[1]))
		}
	}
	return f
}

// Profiles lists the profiles in AWS's two files, sorted. A file that cannot be
// read has none.
func Profiles(getenv func(string) string) []string {
	var names []string
	for _, path := range newFiles(getenv).paths {
		data, err := safefile.Read(path, maxFile)
		if err != nil {
			continue
		}
		for _, line := range lines(data) {
			if name, ok := profileOf(line); ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// known is a hint that lists the profiles there are.
func (f files) known() string {
	names := Profiles(f.getenv)
	if len(names) == 0 {
		return "there are no profiles in " + strings.Join(f.paths, " and ")
	}
	const most = 20
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return "profiles there are: " + strings.Join(names, ", ")
}

// suspect is a hint that points at what the SDK passes over without a word: a
// file that cannot be read, and the first line that is none of AWS's file
// format. It never quotes a line, which may be a secret.
func (f files) suspect() string {
	for _, path := range f.paths {
		data, err := safefile.Read(path, maxFile)
		if errors.Is(err, fs.ErrNotExist) || path == os.DevNull {
			continue
		} else if err != nil {
			return path + " cannot be read: " + reasonOf(err)
		}
		inside := false
		for i, line := range lines(data) {
			if !wellFormed(line) {
				return fmt.Sprintf("line %d of %s is neither a [section] nor a setting", i+1, path)
			}
			inside = inside || strings.HasPrefix(strings.TrimSpace(line), "[")
			if !inside && strings.Contains(line, "=") && !strings.ContainsAny(line[:1], "#;") {
				return fmt.Sprintf("line %d of %s is a setting outside of a [section]", i+1, path)
			}
		}
	}
	return ""
}

// sourceLoop follows source_profile from a profile on, and gives the profiles on
// the way if it comes back to one of them; else nil.
func (f files) sourceLoop(profile string) []string {
	sources := f.sourceProfiles()
	way := []string{profile}
	for {
		next, ok := sources[way[len(way)-1]]
		if !ok {
			return nil
		}
		back := slices.Contains(way, next)
		way = append(way, next)
		if back {
			return way
		}
	}
}

// sourceProfiles are the values of source_profile, by profile. As with the SDK,
// the credentials file goes before the config file, and later lines before
// earlier ones.
func (f files) sourceProfiles() map[string]string {
	sources := map[string]string{}
	for _, path := range f.paths {
		data, err := safefile.Read(path, maxFile)
		if err != nil {
			continue
		}
		profile := ""
		for _, line := range lines(data) {
			if strings.HasPrefix(strings.TrimSpace(line), "[") {
				profile, _ = profileOf(line)
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if ok && profile != "" && strings.EqualFold(strings.TrimSpace(key), "source_profile") {
				value, _, _ = strings.Cut(value, " #")
				sources[profile] = strings.TrimSpace(value)
			}
		}
	}
	return sources
}

func lines(data []byte) []string {
	var out []string
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxFile)
	for scanner.Scan() {
		out = append(out, scanner.Text())
	}
	return out
}

// wellFormed knows the lines of AWS's file format: blank, comment, [section],
// key = value, and indented ones, which belong to the line before.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
func wellFormed(line string) bool {
	trimmed := strings.TrimSpace(line)
	switch {
	case trimmed == "", trimmed[0] == '#', trimmed[0] == ';', line[0] == ' ', line[0] == '\t':
		return true
	case trimmed[0] == '[':
		return strings.Contains(trimmed, "]")
	}
	key, _, ok := strings.Cut(trimmed, "=")
	return ok && strings.TrimSpace(key) != ""
}

// profileOf reads [default], [profile name] and, as the credentials file has
// it, [name].
func profileOf(line string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "[")
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, "]")
	if !ok {
		return "", false
	}
	kind, arg, two := strings.Cut(strings.TrimSpace(name), " ")
	switch {
	case !two:
		return kind, kind != ""
	case kind == "profile":
		return strings.Trim(strings.TrimSpace(arg), `"'`), true
	}
	return "", false // sso-session, services
}
