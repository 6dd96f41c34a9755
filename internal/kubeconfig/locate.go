package kubeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Env is what decides which files a command reads and writes.
type Env struct {
	Flag       string // of --kubeconfig, empty where not given
	Kubeconfig string // the variable KUBECONFIG, a list as PATH is one
	Home       string // the user's home directory

	// InPlace has files overwritten, not replaced.
	InPlace bool
	// LockWait is passed to [safefile.LockConfig].
	LockWait time.Duration
	// Warn is told what may not be meant, for a person to read. Nil is nobody.
	Warn func(string)
}

func (e Env) warn(format string, args ...any) {
	if e.Warn != nil {
		e.Warn(fmt.Sprintf(format, args...))
	}
}

// Files returns the kubeconfig files, as absolute paths, in the order in which kubectl
// merges them: the first to say something wins. There is always at least one; none
// need exist.
func (e Env) Files() ([]string, error) {
	if e.Flag != "" {
		path, err := absolute(e.Flag)
		return []string{path}, err
	}
	if e.Kubeconfig != "" {
		var files []string
		for _, element := range filepath.SplitList(e.Kubeconfig) {
			trimmed := strings.TrimSpace(element)
			if trimmed == "" {
				continue
			}
			path, err := absolute(trimmed)
			if err != nil {
				return nil, err
			}
			if trimmed != element {
				e.warn("KUBECONFIG has blanks around %s, which kubectl takes for a part of the name", trimmed)
			}
			if trimmed == "~" || strings.HasPrefix(trimmed, "~/") {
				e.warn("KUBECONFIG names %s, in which ~ is not your home directory to kubectl: it reads %s", trimmed, path)
			}
			if !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
		if len(files) == 0 {
			return nil, errors.New("KUBECONFIG is set and names no file")
		}
		return files, nil
	}
	if e.Home == "" {
		return nil, errors.New("there is no home directory to find .kube/config in")
	}
	return []string{filepath.Join(e.Home, ".kube", "config")}, nil
}

// absolute does not clean the path as [filepath.Abs] does: x/../y is not y if x is a
// link.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) || path == "" || os.IsPathSeparator(path[0]) || filepath.VolumeName(path) != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the current directory: %w", err)
	}
	separator := string(filepath.Separator)
	return strings.TrimSuffix(dir, separator) + separator + strings.TrimPrefix(path, "."+separator), nil
}
