package mapping

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/identity"
)

// PollInterval is how often an AWSAuthFile looks at its file by default.
const PollInterval = 5 * time.Second

// AWSAuthFileConfig says which file an AWSAuthFile reads. Only Path is needed.
type AWSAuthFileConfig struct {
	Path    string
	Options Options
	// Ticks says when to look; a nil channel means every PollInterval.
	Ticks <-chan time.Time
	// Alarm is told, from within NewAWSAuthFile and Look, each Problem of a text
	// that came into force, and once each reason why the file could not be used.
	// Nil means nobody is told.
	Alarm func(error)
}

// AWSAuthFile is the backend of an aws-auth text in a file. It follows the file:
// what can be used comes into force at once for all, what cannot leaves the last
// good text in force. It is safe for concurrent use.
type AWSAuthFile struct {
	cfg  AWSAuthFileConfig
	live Live

	mu         sync.Mutex // held while looking
	decided    [sha256.Size]byte
	decidedErr error
	pending    [sha256.Size]byte
	lastErr    string

	loads, failures atomic.Uint64
	stale           atomic.Bool
}

// FileStats counts what happened to an AWSAuthFile, for metrics.
type FileStats struct {
	// Loads counts the texts that came into force, the first included.
	Loads uint64
	// Failures counts the reasons told to Alarm why the file could not be used.
	Failures uint64
	// Stale says that the file cannot be used now, and an older text is in force.
	Stale bool
	// Entries and Problems are those of the text in force.
	Entries, Problems int
}

// NewAWSAuthFile reads the file. A file that is missing, or that ParseAWSAuth
// refuses, is an error here. Call Run to follow it.
func NewAWSAuthFile(cfg AWSAuthFileConfig) (*AWSAuthFile, error) {
	f := &AWSAuthFile{cfg: cfg}
	text, err := readFile(cfg.Path)
	if err != nil {
		return nil, err
	}
	f.decided = sha256.Sum256(text)
	if err := f.use(text); err != nil {
		return nil, err
	}
	return f, nil
}

// Run looks at the file at each tick until the context ends or Ticks is closed.
func (f *AWSAuthFile) Run(ctx context.Context) {
	ticks := f.cfg.Ticks
	if ticks == nil {
		t := time.NewTicker(PollInterval)
		defer t.Stop()
		ticks = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-ticks:
			if !ok {
				return
			}
			f.Look()
		}
	}
}

// Look reads the file once. A new text comes into force when two looks in a row
// have seen the same: one caught half written could be valid YAML that ends within
// a name, and give role/dev what was meant for role/developers.
func (f *AWSAuthFile) Look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := readFile(f.cfg.Path)
	if err != nil {
		f.pending = [sha256.Size]byte{}
		f.report(err)
		return
	}
	sum := sha256.Sum256(text)
	switch sum {
	case f.decided:
		f.pending = [sha256.Size]byte{}
	case f.pending:
		f.decided, f.decidedErr = sum, f.use(text)
	default:
		f.pending = sum
		return
	}
	f.report(f.decidedErr)
}

func (f *AWSAuthFile) use(text []byte) error {
	set, err := ParseAWSAuth(text, f.cfg.Options)
	if err != nil {
		return fmt.Errorf("%s: %w", f.cfg.Path, err)
	}
	f.live.Store(set)
	f.loads.Add(1)
	for _, p := range set.problems {
		f.alarm(p)
	}
	return nil
}

// report takes the outcome of a look. The same failure again is not news.
func (f *AWSAuthFile) report(err error) {
	f.stale.Store(err != nil)
	if err == nil {
		f.lastErr = ""
		return
	}
	if err.Error() != f.lastErr {
		f.lastErr = err.Error()
		f.failures.Add(1)
		f.alarm(err)
	}
}

func (f *AWSAuthFile) alarm(err error) {
	if f.cfg.Alarm != nil {
		f.cfg.Alarm(err)
	}
}

// Stats returns the counts so far.
func (f *AWSAuthFile) Stats() FileStats {
	set := f.live.Load()
	return FileStats{
		Loads: f.loads.Load(), Failures: f.failures.Load(), Stale: f.stale.Load(),
		Entries: set.Len(), Problems: len(set.problems),
	}
}

// Problems returns those of the text in force.
func (f *AWSAuthFile) Problems() []Problem { return f.live.Load().Problems() }

// Map asks the text in force.
func (f *AWSAuthFile) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	return f.live.Map(ctx, id)
}

// Why asks the text in force.
func (f *AWSAuthFile) Why(id identity.Identity) string { return f.live.Why(id) }

var (
	errNotRegular = errors.New("is not a regular file")
	errWritable   = errors.New("can be written by every user of this machine, who could so become anybody in the cluster; run chmod o-w")
	errTooLarge   = fmt.Errorf("is larger than %d bytes", MaxAWSAuth)
)

// readFile reads a regular file of bounded size that not everybody can write.
// It follows symbolic links, which is how Kubernetes mounts a ConfigMap.
func readFile(path string) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("reading aws-auth file %s: %w", path, err) }
	info, err := os.Stat(path)
	if err != nil {
		return fail(err)
	}
	// A named pipe would block, so ask before opening.
	if !info.Mode().IsRegular() {
		return fail(errNotRegular)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
		return fail(errWritable)
	}
	file, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxAWSAuth+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > MaxAWSAuth {
		return fail(errTooLarge)
	}
	return text, nil
}
