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

// PollInterval is how often an AWSAuthFile looks at its file by default.
const PollInterval = 5 * time.Second

const (
	// maxRestless is how many looks in a row may each see another text before
	// somebody is told. Two happen when a writer is met twice.
	maxRestless = 3
	// startInterval is how long after a read NewAWSAuthFile reads again, and
	// startTries how often at most. It cannot wait for PollInterval: nobody is
	// let in yet.
	startInterval = 20 * time.Millisecond
	startTries    = 5
)

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
	previous   [sha256.Size]byte // by the last look
	restless   int               // looks in a row that saw another text than the one before
	lastErr    string

	stale atomic.Bool
}

// FileStats is how an AWSAuthFile fares, for metrics.
type FileStats struct {
	// Stale says that the file cannot be used now, and an older text is in force.
	Stale bool
	// Entries and Problems are those of the text in force.
	Entries, Problems int
}

// RestlessError says that no two looks in a row at an aws-auth file saw the same
// text.
type RestlessError struct{ Path string }

func (e *RestlessError) Error() string {
	return "the aws-auth file " + e.Path + " changes at every look"
}

// NewAWSAuthFile reads the file until two reads, a moment apart, give the same
// text, for the reason that Look has. A file that is missing, that can be written
// by everybody (*safefile.WritableError) or is no bounded regular file, that
// ParseAWSAuth refuses, or that does not come to rest (*RestlessError), is an
// error here. Call Run to follow it.
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
// a name, and give role/dev what was meant for role/developers. Where three looks
// in a row have each seen another text, Alarm is told a *RestlessError: who can
// keep the file from coming to rest keeps an entry that was taken out in force.
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
		f.report(fmt.Errorf("%w; the older text stays in force", &RestlessError{Path: f.cfg.Path}))
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

// report takes the outcome of a look. The same failure again is not news.
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

// Stats says how it fares now.
func (f *AWSAuthFile) Stats() FileStats {
	set := f.live.Load()
	return FileStats{Stale: f.stale.Load(), Entries: set.Len(), Problems: len(set.problems)}
}

// Map asks the text in force.
func (f *AWSAuthFile) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	return f.live.Map(ctx, id)
}
