package mapping

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// PollInterval is how often a Poller looks at its file by default.
const PollInterval = 5 * time.Second

const (
	// maxRestless is how many looks in a row may each see another text before
	// somebody is told. Two happen when a writer is met twice.
	maxRestless = 3
	// startInterval is how long after a read Start reads again, and startTries how
	// often at most. It cannot wait for PollInterval: nobody is let in yet.
	startInterval = 20 * time.Millisecond
	startTries    = 5
)

// Poller follows the text of a file, or of whatever Read reads. A new text is used when
// two looks in a row have seen the same: one caught half written could be valid YAML
// that ends within a name, and give role/dev what was meant for role/developers.
// The zero value is not ready: Read and Use are needed.
type Poller struct {
	// Name is for errors.
	Name string
	Read func() ([]byte, error)
	// Use puts a text in force.
	Use func(text []byte) error
	// Looked is told after each look why the text that is there is not in force, or nil.
	Looked func(error)
	// Ticks says when to look; a nil channel means every PollInterval.
	Ticks <-chan time.Time

	mu         sync.Mutex // held while looking
	used       bool       // decided says something
	decided    [sha256.Size]byte
	decidedErr error
	previous   [sha256.Size]byte // by the last look
	restless   int               // looks in a row that saw another text than the one before
}

// RestlessError says that no two looks in a row at a file saw the same text.
type RestlessError struct{ Name string }

func (e *RestlessError) Error() string { return e.Name + " changes at every look" }

// Start reads until two reads, a moment apart, give the same text, and uses it. It
// returns why there is no text in force, and tells Looked the same.
func (p *Poller) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := p.readAtRest()
	if err == nil {
		p.previous = sha256.Sum256(text)
		p.decided, p.used = p.previous, true
		p.decidedErr = p.Use(text)
		err = p.decidedErr
	}
	p.looked(err)
	return err
}

func (p *Poller) readAtRest() ([]byte, error) {
	before, err := p.Read()
	if err != nil {
		return nil, err
	}
	for range startTries {
		time.Sleep(startInterval)
		text, err := p.Read()
		if err != nil {
			return nil, err
		}
		if bytes.Equal(text, before) {
			return text, nil
		}
		before = text
	}
	return nil, &RestlessError{Name: p.Name}
}

// Run looks at each tick until the context ends or Ticks is closed.
func (p *Poller) Run(ctx context.Context) {
	ticks := p.Ticks
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
			p.Look()
		}
	}
}

// Look reads once. Where three looks in a row have each seen another text, Looked is
// told a *RestlessError: who can keep the file from coming to rest could keep an entry
// that was taken out in force.
func (p *Poller) Look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := p.Read()
	if err != nil {
		p.previous, p.restless = [sha256.Size]byte{}, 0
		p.looked(err)
		return
	}
	sum := sha256.Sum256(text)
	if p.restless++; sum == p.previous {
		p.restless = 0
	}
	p.previous = sum
	switch {
	case p.restless >= maxRestless:
		p.looked(fmt.Errorf("%w; the older text stays in force", &RestlessError{Name: p.Name}))
		return
	case p.used && sum == p.decided:
	case p.restless == 0:
		p.decided, p.used = sum, true
		p.decidedErr = p.Use(text)
	default:
		return
	}
	p.looked(p.decidedErr)
}

func (p *Poller) looked(err error) {
	if p.Looked != nil {
		p.Looked(err)
	}
}
