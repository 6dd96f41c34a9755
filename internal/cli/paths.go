package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// pathValue is a flag that names a file. A shell leaves ~ alone in --flag=~/x, so it
// is the home directory here.
type pathValue struct{ path *string }

// pathVar adds such a flag.
func pathVar(f *pflag.FlagSet, path *string, name, usage string) {
	f.Var(pathValue{path}, name, usage)
}

func (v pathValue) Set(s string) error {
	*v.path = expandHome(s)
	return nil
}

func (v pathValue) String() string {
	if v.path == nil {
		return ""
	}
	return *v.path
}

func (pathValue) Type() string { return "string" }

// pathsValue is a flag that may be given several times.
type pathsValue struct{ paths *[]string }

func (v pathsValue) Set(s string) error {
	*v.paths = append(*v.paths, expandHome(s))
	return nil
}

func (v pathsValue) String() string { return "" }
func (pathsValue) Type() string     { return "stringArray" }

// expandHome replaces a leading ~ with the home directory, if there is one. The home
// directories of other users are left to shells.
func expandHome(path string) string {
	path = strings.TrimSpace(path)
	if path != "~" && !strings.HasPrefix(path, "~/") && !strings.HasPrefix(path, "~"+string(filepath.Separator)) {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return home + path[1:]
}
