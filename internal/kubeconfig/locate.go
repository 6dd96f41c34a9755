package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

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

// Names are the entries that a change is about. Empty ones are left out.
type Names struct {
	Cluster string
	User    string
	Context string
}

// NamesOf returns the entries that a change names.
func NamesOf(c Change) Names {
	return Names{Cluster: c.Cluster.Name, User: c.User.Name, Context: c.Context.Name}
}

// Location is where a change goes.
type Location struct {
	// Path is the file for the entries.
	Path string
	// CurrentPath is the file for current-context. It is another one only where
	// an earlier file of the list has a current-context, which would win.
	CurrentPath string
	// LockWait is passed to [safefile.LockConfig].
	LockWait time.Duration

	list others
}

// Locate chooses the file to change: --kubeconfig; else of the KUBECONFIG list
// the first that holds one of the entries, else the first that exists, else the
// last; else ~/.kube/config. It reads all of them, and one that cannot be read
// is an error that names it and is never skipped.
//
// All three entries go into one file. It is the first that holds any of them,
// since an entry in a later file would be hidden by one in an earlier.
func Locate(env Env, names Names) (Location, error) {
	paths, err := env.Files()
	if err != nil {
		return Location{}, err
	}
	if len(paths) == 1 {
		return Location{Path: paths[0], CurrentPath: paths[0]}, nil
	}
	files := make([]*File, len(paths)) // nil where there is none
	for i, path := range paths {
		f, err := Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Location{}, err
		}
		files[i] = f
	}
	chosen := slices.IndexFunc(files, func(f *File) bool { return f != nil && f.has(names) })
	if chosen < 0 {
		chosen = slices.IndexFunc(files, func(f *File) bool { return f != nil })
	}
	if chosen < 0 {
		chosen = len(paths) - 1
	}
	loc := Location{Path: paths[chosen], CurrentPath: paths[chosen]}
	for i, f := range files {
		if f == nil || i == chosen {
			continue
		}
		loc.list.files = append(loc.list.files, f)
		if i < chosen {
			loc.list.earlier++
		}
		if i < chosen && f.current != "" && loc.CurrentPath == loc.Path {
			loc.CurrentPath = paths[i]
		}
	}
	return loc, nil
}

func (f *File) has(n Names) bool {
	return n.Cluster != "" && slices.ContainsFunc(f.clusters, func(c Cluster) bool { return c.Name == n.Cluster }) ||
		n.User != "" && slices.ContainsFunc(f.users, func(u User) bool { return u.Name == n.User }) ||
		n.Context != "" && slices.ContainsFunc(f.contexts, func(c Context) bool { return c.Name == n.Context })
}

// Read reads and parses a file. A missing one is fs.ErrNotExist; for other
// errors see [Parse].
func Read(path string) (*File, error) {
	data, err := safefile.Read(path, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return Parse(path, data)
}
