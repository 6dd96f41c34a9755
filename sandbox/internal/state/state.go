// Package state is the state directory of a sandbox: its lock, its layout, and the
// record of a running sandbox.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// EnvDir is the environment variable with the directory's path.
const EnvDir = "EKSKEY_SANDBOX_STATE"

const (
	// lockName marks a directory as a sandbox's, so that no other is ever emptied, and
	// has an OS lock while the sandbox runs.
	lockName   = "ekskey-sandbox.lock"
	recordName = "sandbox.json"
	stopName   = "stop"
)

// Default is the default directory: the environment's, else one in the user's cache
// directory.
func Default() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a directory for the sandbox's state: %w", err)
	}
	return filepath.Join(cache, "ekskey-sandbox", "state"), nil
}

// Identity is one of the sandbox's IAM identities, as a profile of the AWS
// configuration that the sandbox writes. The keys are throw-away, but secret.
type Identity struct {
	Name            string `json:"name"`
	ARN             string `json:"arn"`
	About           string `json:"about"`
	AccessKeyID     string `json:"accessKeyId,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	// RoleARN is set for a role: it has no keys and is assumed with SourceProfile.
	RoleARN       string `json:"roleArn,omitempty"`
	SourceProfile string `json:"sourceProfile,omitempty"`
}

// Record describes a running sandbox.
type Record struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Strict  bool      `json:"strict"`

	Account    string     `json:"account"`
	Region     string     `json:"region"`
	Cluster    string     `json:"cluster"`
	AWS        string     `json:"aws"`
	APIServer  string     `json:"apiServer"`
	Server     string     `json:"server"`
	Ekskey     string     `json:"ekskey"`
	Identities []Identity `json:"identities"`
}

// Dir is a directory locked by this process. Create one with [Acquire].
type Dir struct {
	Layout
	lock *flock.Flock
}

// Acquire locks the directory for this process, creates it if needed, and removes what
// an earlier sandbox left; found describes that. It fails with *HeldError if another
// process has the lock, and with *ForeignError if the directory belongs to another user
// or is not a sandbox's.
func Acquire(root string) (dir *Dir, found string, err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, "", fmt.Errorf("finding the state directory: %w", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, "", fmt.Errorf("making the state directory: %w", err)
	}
	l := Layout{Root: root}
	if err := l.check(); err != nil {
		return nil, "", err
	}
	if err := os.Chmod(root, 0o700); err != nil { // #nosec G302 -- a directory needs its x
		return nil, "", fmt.Errorf("making the state directory private: %w", err)
	}
	lock, err := l.take()
	if err != nil {
		return nil, "", err
	}
	d := &Dir{Layout: l, lock: lock}
	found = l.leftovers()
	if err := d.clear(); err != nil {
		return nil, "", errors.Join(err, lock.Unlock())
	}
	return d, found, nil
}

// Release unlocks the directory and leaves its content.
func (d *Dir) Release() error { return d.lock.Unlock() }

// Remove unlocks the directory and removes it.
func (d *Dir) Remove() error {
	if err := d.clear(); err != nil {
		return errors.Join(err, d.lock.Unlock())
	}
	return removeLocked(d.Root, d.lock)
}

// Write writes the record atomically.
func (d *Dir) Write(r Record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the sandbox's record: %w", err)
	}
	return WriteFile(d.Path(recordName), append(b, '\n'))
}

// StopAsked reports whether another process requested this sandbox to stop.
func (d *Dir) StopAsked() bool {
	_, err := os.Lstat(d.Path(stopName))
	return err == nil
}

// clear removes everything but the lock.
func (d *Dir) clear() error {
	entries, err := os.ReadDir(d.Root)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(d.Path(e.Name())); err != nil {
			return fmt.Errorf("clearing the state directory: %w", err)
		}
	}
	return nil
}

func removeLocked(root string, lock *flock.Flock) error {
	// Unlinked while held: who opens the name next gets a file of their own,
	// and take sees to it that nobody goes on with this one.
	rmErr := os.Remove(filepath.Join(root, lockName))
	if err := lock.Unlock(); err != nil {
		return fmt.Errorf("giving up the state directory: %w", err)
	}
	if rmErr != nil { // Windows removes no open file
		rmErr = os.Remove(filepath.Join(root, lockName))
	}
	if rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		return fmt.Errorf("removing the state directory: %w", rmErr)
	}
	// A new sandbox may already be starting there: then it is not empty.
	_ = os.Remove(root)
	return nil
}

// WriteFile writes a file that only this user may read, atomically.
func WriteFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), os.Remove(f.Name()))
	}
	return nil
}
