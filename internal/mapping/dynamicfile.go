package mapping

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// FileConfig says which file a backend follows. Only Path is needed.
type FileConfig struct {
	Path    string
	Options Options
	// MaxStale is how long the last good entries stay in force while the file cannot
	// be read. Zero means DefaultMaxStale, a negative duration no time at all.
	MaxStale time.Duration
	// StateFile keeps the last good aws-auth over a restart. Empty keeps none. Its
	// directory must be private to this user. A DynamicFile keeps none.
	StateFile string
	// Ticks says when to look; a nil channel means every PollInterval.
	Ticks <-chan time.Time
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Alarm is told each Problem of a text that came into force, and once each reason
	// why the file could not be used. Nil means nobody is told.
	Alarm func(error)
}

func (c FileConfig) withDefaults() FileConfig {
	if c.MaxStale == 0 {
		c.MaxStale = DefaultMaxStale
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Alarm == nil {
		c.Alarm = func(error) {}
	}
	return c
}

// DynamicFile is the backend of aws-iam-authenticator's dynamic file. It follows the
// file. A text that cannot be used leaves the last good one in force for MaxStale; then,
// and before there is one, the backend is unavailable. It is safe for concurrent use.
type DynamicFile struct {
	Live

	cfg    FileConfig
	poller Poller
	news   news
}

// NewDynamicFile reads the file. One that another user owns or can write is an error;
// anything else wrong with it leaves the backend unavailable until it is mended.
func NewDynamicFile(cfg FileConfig) (*DynamicFile, error) {
	f := &DynamicFile{cfg: cfg.withDefaults()}
	f.cfg.Options = f.cfg.Options.withDefaults("dynamic-file")
	f.Name, f.MaxStale, f.Now = f.cfg.Options.Backend, f.cfg.MaxStale, f.cfg.Now
	f.news.alarm = f.cfg.Alarm
	f.poller = Poller{
		Name: "the dynamic file " + f.cfg.Path, Ticks: cfg.Ticks, Use: f.use,
		Read: func() ([]byte, error) {
			text, err := safefile.ReadTrusted(f.cfg.Path, MaxDynamicFile)
			if err != nil {
				return nil, fmt.Errorf("reading dynamic file: %w", err)
			}
			return text, nil
		},
		Looked: func(err error) {
			f.Looked(err)
			f.news.report(err)
		},
	}
	if err := f.poller.Start(); isUntrusted(err) {
		return nil, err
	}
	return f, nil
}

func (f *DynamicFile) use(text []byte) error {
	set, err := ParseDynamicFile(text, f.cfg.Options)
	if err != nil {
		return fmt.Errorf("%s: %w", f.cfg.Path, err)
	}
	f.Store(set)
	for _, p := range set.problems {
		f.cfg.Alarm(p)
	}
	return nil
}

// Run follows the file until the context ends.
func (f *DynamicFile) Run(ctx context.Context) { f.poller.Run(ctx) }

// Look looks at the file once.
func (f *DynamicFile) Look() { f.poller.Look() }

// Reread reads the file at rest now; Looked and the alarm tell of a failure.
func (f *DynamicFile) Reread() { _ = f.poller.Start() }

// news tells a failure once.
type news struct {
	alarm func(error)
	mu    sync.Mutex
	last  string
}

// report takes the outcome of a look. The same failure again is not news.
func (n *news) report(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.last = ""
		return
	}
	if err.Error() != n.last {
		n.last = err.Error()
		n.alarm(err)
	}
}
