package kubeconfig

import (
	"errors"
	"path/filepath"
	"slices"
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
