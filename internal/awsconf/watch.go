package awsconf

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ekskey/ekskey/internal/credcache"
	"github.com/ekskey/ekskey/internal/safefile"
)

// seen is a file as it was before the SDK read it: its digest, and what tells
// whether the path led elsewhere for a moment since.
type seen struct {
	credcache.Input
	marks []mark
}

// mark is a link on the way, or the file at its end.
type mark struct {
	path string
	info fs.FileInfo // nil if there was none
}

// see looks at a file.
func see(path string) (seen, error) {
	s := seen{marks: trail(path)}
	var err error
	s.Input, err = digest(path)
	return s, err
}

// maxLinks is how many links are followed, as Linux does (path_resolution(7)).
const maxLinks = 40

// trail follows a path to its end.
func trail(path string) []mark {
	var marks []mark
	for range maxLinks {
		path = filepath.Clean(path)
		link, info := firstLink(path)
		if link == "" {
			return append(marks, mark{path, info})
		}
		marks = append(marks, mark{link, info})
		target, err := os.Readlink(link)
		if err != nil {
			return marks
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		path = filepath.Join(target, path[len(link):])
	}
	return marks
}

// firstLink is the first part of a path that is a symbolic link, or none and what
// is at the path.
func firstLink(path string) (string, fs.FileInfo) {
	above := filepath.Dir(path)
	if above != path {
		if link, info := firstLink(above); link != "" {
			return link, info
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", nil
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return path, info
	}
	return "", info
}

// same reports whether nothing happened at the mark. What was moved away and put
// back has another time of change.
func (m mark) same(o mark) bool {
	if m.path != o.path || (m.info == nil) != (o.info == nil) {
		return false
	}
	return m.info == nil || os.SameFile(m.info, o.info) && m.info.ModTime().Equal(o.info.ModTime()) &&
		safefile.Changed(m.info).Equal(safefile.Changed(o.info))
}

// unchanged reports whether all files are still what they were.
func unchanged(files []seen) bool {
	return !slices.ContainsFunc(files, func(was seen) bool {
		now, err := see(was.Path)
		return err != nil || now.Digest != was.Digest || !slices.EqualFunc(now.marks, was.marks, mark.same)
	})
}

// watch looks at the Fingerprint's files once more, before the SDK reads them.
func (f *Fingerprint) watch() ([]seen, error) {
	var all []seen
	for _, in := range f.files {
		s, err := see(in.Path)
		if err != nil {
			return nil, err
		}
		if s.Input != in {
			return nil, fmt.Errorf("%s has just changed", in.Path)
		}
		all = append(all, s)
	}
	return all, nil
}
