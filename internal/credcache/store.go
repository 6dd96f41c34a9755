// Package credcache keeps role credentials and finished tokens on disk, for the
// many short processes that a session with kubectl is made of.
//
// It knows nothing of AWS configuration: the caller says by a [Key] what a thing
// was made from, and by [Input]s which files must not have changed since. What
// is served is never another key's, never late, and never a token that the same
// client process has been given before, for it asks again only when the token
// was refused.
//
// Nothing here fails a caller. What cannot be read, written or trusted is a
// miss and a line at debug level, which names the file and the reason and never
// a secret.
package credcache

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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

// DefaultDir is $EKSKEY_CACHE_DIR, else the folder ekskey in the user's cache
// folder: $XDG_CACHE_HOME or ~/.cache, ~/Library/Caches, %LocalAppData%. Paths
// that are not absolute are an error: what they mean changes from call to call.
func DefaultDir(getenv func(string) string) (string, error) {
	name, rest := "EKSKEY_CACHE_DIR", ""
	dir := getenv(name)
	if dir == "" {
		name, rest = userCacheDir(getenv)
		dir = getenv(name)
	}
	if dir == "" {
		return "", fmt.Errorf("finding the cache folder: %s is not set", name)
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("finding the cache folder: %s is not an absolute path", name)
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

// Config says where and how a Store keeps things. Only Dir must be set.
type Config struct {
	// Dir is the folder, see [DefaultDir]. It is made when first written to.
	// Empty works as [None].
	Dir string
	// Storage is how secrets are kept; the zero value is [Disk].
	Storage Storage
	// Vault holds the key for [Keyring]. Nil is the system's keyring.
	Vault Vault
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Began is when this process did, see [ProcessStart]. The zero value is the time
	// at which the Store is made.
	Began time.Time
	// Log gets a line at debug level for each thing ignored; nil logs nothing.
	Log *slog.Logger
	// Waiting is called when a process has waited for another for a second, to tell a
	// person. Nil tells nobody.
	Waiting func()
	// Refresh serves nothing that was made before the Store was. What another
	// process made since is new enough.
	Refresh bool
}

// Store is a cache folder, made for one asking of a client: a process that
// answers many makes one for each. It may be used by several goroutines at
// once, and any number of processes may have a Store on one folder.
type Store struct {
	dir     string
	storage Storage
	vault   Vault
	now     func() time.Time
	log     *slog.Logger
	waiting func()
	began   time.Time
	// asked is when this Store was made, or last gave a token: what is younger
	// cannot be what a client complains about.
	asked atomic.Pointer[time.Time]
	// fresh is set once the Store serves nothing older than that.
	fresh atomic.Bool

	askMu sync.Mutex
	asks  map[string]*asking // by the path of the marker

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
	s.fresh.Store(cfg.Refresh)
	s.answered()
	if s.began = cfg.Began; s.began.IsZero() {
		s.began = *s.asked.Load()
	}
	return s
}

// answered says that what there is by now may have been given to a client.
func (s *Store) answered() {
	now := s.now()
	s.asked.Store(&now)
}

// isNew reports whether an entry was made since this Store was.
func (s *Store) isNew(e entry) bool { return e.Created.After(*s.asked.Load()) }

var (
	errNone   = errors.New("the cache is turned off")
	errNoDir  = errors.New("there is no cache folder")
	errAbsent = errors.New("there is none")
)

// open checks that the folder can be trusted, and makes it where asked to. That
// is done each time: it costs a system call, and a Store may live for days.
func (s *Store) open(make bool) error {
	if err := s.folder(make); err != nil {
		return err
	}
	if make && s.storage == Keyring {
		_, err := s.sealer(true) // without a key nothing is kept at all
		return err
	}
	return nil
}

// folder is open without a look at the keyring.
func (s *Store) folder(make bool) error {
	if s.storage == None {
		return errNone
	}
	if s.dir == "" {
		return errNoDir
	}
	return safefile.PrivateDir(s.dir, make, ours)
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// missed writes the one line that a miss costs.
func (s *Store) missed(what, path string, err error) {
	if errors.Is(err, os.ErrNotExist) && !errors.Is(err, errAskedAgain) {
		err = errAbsent
	}
	s.failed("no "+what, path, err)
}

// failed writes the one line that anything else costs.
func (s *Store) failed(what, path string, err error) {
	if !errors.Is(err, errNone) {
		s.log.Debug("cache: "+what, "file", path, "reason", err.Error())
	}
}
