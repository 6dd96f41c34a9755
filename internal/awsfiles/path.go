package awsfiles

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Path is a path that a setting names, with ~ at its beginning read as the home
// directory.
func Path(path string) string { return expandUser(path) }

// homeDir is empty where the system knows none.
func homeDir() string {
	if home, err := os.UserHomeDir(); err == nil {
		return home
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// expandUser is Python's os.path.expanduser: what it cannot expand it leaves.
func expandUser(path string) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	end := strings.IndexFunc(path, func(r rune) bool { return r == '/' || os.PathSeparator == '\\' && r == '\\' })
	if end < 0 {
		end = len(path)
	}
	home := ""
	if name := path[1:end]; name == "" {
		home = homeDir()
	} else if u, err := user.Lookup(name); err == nil {
		home = u.HomeDir
	}
	if home == "" {
		return path
	}
	return filepath.Join(home, path[end:])
}

// expandVars is Python's os.path.expandvars: what it cannot expand it leaves.
func expandVars(path string, getenv func(string) string) string {
	if !strings.ContainsAny(path, "$%") {
		return path
	}
	return variable().ReplaceAllStringFunc(path, func(ref string) string {
		if value := getenv(strings.Trim(ref, "${}%")); value != "" {
			return value
		}
		return ref
	})
}

func variable() *regexp.Regexp {
	const dollar = `\$(?:[A-Za-z0-9_]+|\{[^}]*\})`
	if runtime.GOOS == "windows" {
		return regexp.MustCompile(dollar + `|%[^%]+%`)
	}
	return regexp.MustCompile(dollar)
}
