package kubeconfig

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Env is what decides which files a command reads and writes.
type Env struct {
	Flag       string // of --kubeconfig, empty where not given
	Kubeconfig string // the variable KUBECONFIG, a list as PATH is one
	Home       string // the user's home folder
}

// Files returns the kubeconfig files in the order in which kubectl merges them:
// the first to say something wins. There is always at least one; none need exist.
func (e Env) Files() ([]string, error) {
	if e.Flag != "" {
		return []string{e.Flag}, nil
	}
	if e.Kubeconfig != "" {
		var files []string
		for _, f := range filepath.SplitList(e.Kubeconfig) {
			if f != "" && !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
		if len(files) == 0 {
			return nil, errors.New("KUBECONFIG is set and names no file")
		}
		return files, nil
	}
	if e.Home == "" {
		return nil, errors.New("there is no home folder to find .kube/config in")
	}
	return []string{filepath.Join(e.Home, ".kube", "config")}, nil
}

// Read reads and parses a file. A missing one is fs.ErrNotExist; for other
// errors see [Parse].
func Read(path string) (*File, error) {
	data, err := safefile.ReadSettled(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return Parse(path, data)
}
