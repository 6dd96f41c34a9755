// Package credcache keeps the temporary credentials of roles on disk, for the many
// short processes that a session with kubectl is made of.
//
// It knows nothing of AWS configuration: by a [Key] the caller says what the
// credentials were made from, and by [Input]s which files must not have changed
// since. An entry is never served for another key, and never with less than two
// minutes left.
//
// Nothing here fails a caller. What cannot be read, written or trusted is a cache
// miss and a line at debug level with the file and the reason, and never a secret.
package credcache

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Storage is where secrets are kept. The zero value is [Disk].
type Storage string

const (
	// Disk keeps entries in files that only their owner may read.
	Disk Storage = "disk"
	// Keyring keeps them in the same files, sealed with a key that is in the
	// keyring of the operating system. Without a keyring it is [None].
	Keyring Storage = "keyring"
	// None keeps nothing and serves nothing.
	None Storage = "none"
)

// ParseStorage reads a storage's name. Empty is [Disk]; any other unknown name
// is an error.
func ParseStorage(s string) (Storage, error) {
	switch Storage(s) {
	case "":
		return Disk, nil
	case Disk, Keyring, None:
		return Storage(s), nil
	}
	return "", fmt.Errorf("cache storage %q is none of disk, keyring, none", s)
}

// DefaultDir is $EKSKEY_CACHE_DIR, else the directory ekskey in the user's cache
// directory: $XDG_CACHE_HOME or ~/.cache, ~/Library/Caches, %LocalAppData%. Paths
// that are not absolute are an error: what they mean changes from call to call.
func DefaultDir(getenv func(string) string) (string, error) {
	name, rest := "EKSKEY_CACHE_DIR", ""
	dir := getenv(name)
	if dir == "" {
		name, rest = userCacheDir(getenv)
		dir = getenv(name)
	}
	if dir == "" {
		return "", fmt.Errorf("finding the cache directory: %s is not set", name)
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("finding the cache directory: %s is not an absolute path", name)
	}
	return filepath.Join(dir, rest), nil
}

// userCacheDir names the variable that tells, and the path below its value.
func userCacheDir(getenv func(string) string) (name, rest string) {
	switch runtime.GOOS {
	case "windows":
		return "LocalAppData", "ekskey"
	case "darwin":
		return "HOME", filepath.Join("Library", "Caches", "ekskey")
	}
	if filepath.IsAbs(getenv("XDG_CACHE_HOME")) { // its specification: ignore others
		return "XDG_CACHE_HOME", "ekskey"
	}
	return "HOME", filepath.Join(".cache", "ekskey")
}

// Config configures a Store. Only Dir is required.
type Config struct {
	// Dir is the directory, see [DefaultDir]. It is created at the first write.
	// Empty works as [None].
	Dir string
	// Storage is how secrets are kept; the zero value is [Disk].
	Storage Storage
	// Vault holds the key for [Keyring]. Nil is the system's keyring.
	Vault Vault
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log gets a line at debug level for each thing ignored; nil logs nothing.
	Log *slog.Logger
	// Waiting is called when a process has waited for another for a second, to tell a
	// person. Nil tells nobody.
	Waiting func()
	// Refresh serves nothing that was created before the Store was. What another
	// process has fetched since is new enough.
	Refresh bool
}

// Store is a cache directory. It may be used by several goroutines at once, and any
// number of processes may have a Store on one directory.
type Store struct {
	dir     string
	storage Storage
	vault   Vault
	now     func() time.Time
	log     *slog.Logger
	waiting func()
	since   time.Time // entries that are not younger are not served

	keyMu sync.Mutex
	key   func() []byte // nil until the vault was asked
	noKey error         // why it had none
}

// New makes a Store. It touches no file and cannot fail.
func New(cfg Config) *Store {
	s := &Store{dir: cfg.Dir, storage: cfg.Storage, vault: cfg.Vault, now: cfg.Now, log: cfg.Log, waiting: cfg.Waiting}
	if s.storage == "" {
		s.storage = Disk
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.vault == nil {
		s.vault = systemVault{}
	}
	if cfg.Refresh {
		s.since = s.now()
	}
	return s
}

// Now is the Store's clock.
func (s *Store) Now() time.Time { return s.now() }

var (
	errNone   = errors.New("the cache is turned off")
	errNoDir  = errors.New("there is no cache directory")
	errAbsent = errors.New("does not exist")
)

// open checks that the directory can be trusted, and makes it where asked to. That
// is done each time: it costs a system call, and a Store may live for days.
func (s *Store) open(make bool) error {
	if err := s.openDir(make); err != nil {
		return err
	}
	if make && s.storage == Keyring {
		_, err := s.sealer(true) // without a key nothing is kept at all
		return err
	}
	return nil
}

// openDir is open without a look at the keyring.
func (s *Store) openDir(make bool) error {
	if s.storage == None {
		return errNone
	}
	if s.dir == "" {
		return errNoDir
	}
	return safefile.PrivateDir(s.dir, make, ours)
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// missed logs a cache miss.
func (s *Store) missed(path string, err error) {
	if errors.Is(err, os.ErrNotExist) {
		err = errAbsent
	}
	s.failed("no entry", path, err)
}

// failed logs anything else.
func (s *Store) failed(what, path string, err error) {
	if !errors.Is(err, errNone) {
		s.log.Debug("cache: "+what, "file", path, "reason", err.Error())
	}
}
