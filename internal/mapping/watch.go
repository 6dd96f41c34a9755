package mapping

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/safefile"
)

// PollInterval is the default interval at which an AWSAuthFile reads its file.
const PollInterval = 5 * time.Second

const (
	// maxRestless is how many consecutive reads may return different content before an
	// alarm. A writer that is met twice causes two.
	maxRestless = 3
	// startInterval is the interval of reads in NewAWSAuthFile, and startTries the
	// maximum number. It cannot wait for PollInterval: until then nobody is mapped.
	startInterval = 20 * time.Millisecond
	startTries    = 5
)

// AWSAuthFileConfig configures an AWSAuthFile. Only Path is required.
type AWSAuthFileConfig struct {
	Path    string
	Options Options
	// Ticks says when to read; a nil channel means every PollInterval.
	Ticks <-chan time.Time
	// Alarm is called, within NewAWSAuthFile and Look, for each Problem of new content,
	// and once for each reason why the file cannot be used. Nil means no alarm.
	Alarm func(error)
}

// AWSAuthFile is the backend of an aws-auth text in a file. It follows the file: valid
// content takes effect at once and as a whole; with invalid content the last good one
// stays in effect. It is safe for concurrent use.
type AWSAuthFile struct {
	cfg  AWSAuthFileConfig
	live Live

	mu         sync.Mutex // held while looking
	decided    [sha256.Size]byte
	decidedErr error
	previous   [sha256.Size]byte // digest at the previous read
	restless   int               // consecutive reads with new content
	lastErr    string

	stale atomic.Bool
}

// FileStats are metrics of an AWSAuthFile.
type FileStats struct {
	// Stale is true if the file cannot be used, and an older version is in effect.
	Stale bool
	// Entries and Problems are those of the version in effect.
	Entries, Problems int
}

// RestlessError reports an aws-auth file whose content differs at every read.
type RestlessError struct{ Path string }

func (e *RestlessError) Error() string {
	return "the aws-auth file " + e.Path + " changes at every read"
}

// NewAWSAuthFile reads the file until two consecutive reads return the same content;
// see Look. It fails for a file that does not exist, that every user can write
// (*safefile.WritableError), that is not a regular file of limited size, that
// ParseAWSAuth refuses, or that does not settle (*RestlessError). Call Run to follow
// the file.
func NewAWSAuthFile(cfg AWSAuthFileConfig) (*AWSAuthFile, error) {
	f := &AWSAuthFile{cfg: cfg}
	text, err := f.readAtRest()
	if err != nil {
		return nil, err
	}
	f.decided = sha256.Sum256(text)
	f.previous = f.decided
	if err := f.use(text); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *AWSAuthFile) readAtRest() ([]byte, error) {
	before, err := f.read()
	if err != nil {
		return nil, err
	}
	for range startTries {
		time.Sleep(startInterval)
		text, err := f.read()
		if err != nil {
			return nil, err
		}
		if bytes.Equal(text, before) {
			return text, nil
		}
		before = text
	}
	return nil, &RestlessError{Path: f.cfg.Path}
}

// Run reads the file at each tick until the context ends or Ticks is closed.
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

// Look reads the file once. New content takes effect when two consecutive reads return
// the same: a half-written file could be valid YAML that ends within a name, and map
// role/dev instead of role/developers. After three consecutive reads with different
// content, Alarm gets a *RestlessError: whoever can keep the file from settling keeps a
// removed entry in effect.
func (f *AWSAuthFile) Look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := f.read()
	if err != nil {
		f.previous, f.restless = [sha256.Size]byte{}, 0
		f.report(err)
		return
	}
	sum := sha256.Sum256(text)
	if f.restless++; sum == f.previous {
		f.restless = 0
	}
	f.previous = sum
	switch {
	case f.restless >= maxRestless:
		f.report(fmt.Errorf("%w; the older version stays in effect", &RestlessError{Path: f.cfg.Path}))
		return
	case sum == f.decided:
	case f.restless == 0:
		f.decided, f.decidedErr = sum, f.use(text)
	default:
		return
	}
	f.report(f.decidedErr)
}

// read follows symbolic links, which is how Kubernetes mounts a ConfigMap.
func (f *AWSAuthFile) read() ([]byte, error) {
	text, err := safefile.ReadTrusted(f.cfg.Path, MaxAWSAuth)
	if err != nil {
		return nil, fmt.Errorf("reading aws-auth file: %w", err)
	}
	return text, nil
}

func (f *AWSAuthFile) use(text []byte) error {
	set, err := ParseAWSAuth(text, f.cfg.Options)
	if err != nil {
		return fmt.Errorf("%s: %w", f.cfg.Path, err)
	}
	f.live.Store(set)
	for _, p := range set.problems {
		f.alarm(p)
	}
	return nil
}

// report handles the outcome of a read. A repeated failure is not reported again.
func (f *AWSAuthFile) report(err error) {
	f.stale.Store(err != nil)
	if err == nil {
		f.lastErr = ""
		return
	}
	if err.Error() != f.lastErr {
		f.lastErr = err.Error()
		f.alarm(err)
	}
}

func (f *AWSAuthFile) alarm(err error) {
	if f.cfg.Alarm != nil {
		f.cfg.Alarm(err)
	}
}

// Stats returns the current metrics.
func (f *AWSAuthFile) Stats() FileStats {
	set := f.live.Load()
	return FileStats{Stale: f.stale.Load(), Entries: set.Len(), Problems: len(set.problems)}
}

// Map uses the version in effect.
func (f *AWSAuthFile) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	return f.live.Map(ctx, id)
}
