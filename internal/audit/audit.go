// Package audit writes one line of JSON for each decision of a webhook, without ever
// delaying a decision: lines wait in a bounded buffer, and are counted where they do not
// fit. A line never contains a token nor a signature, because a [Record] has no place for
// one.
package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBuffer is how many records may wait to be written. At 5,000 decisions a second
// a disk may pause for more than a second.
const DefaultBuffer = 8192

// Record is one decision. Empty fields are left out of the line. The caller leaves out
// what must not be known about the account: its ARN, key id, UID and entry.
type Record struct {
	// Time is when the request began.
	Time time.Time `json:"time"`
	// Kind is the kind of the review: TokenReview.
	Kind string `json:"kind"`
	// RequestID is the id of the request in this server's log too. Nobody else knows it:
	// kube-apiserver sends none.
	RequestID string `json:"requestID"`
	Outcome   string `json:"outcome"`
	// Reason is why access was not granted: the code of a rule (V01 to V34) or one of the
	// codes in docs/server.md.
	Reason       string   `json:"reason,omitempty"`
	Username     string   `json:"username,omitempty"`
	UID          string   `json:"uid,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	CanonicalARN string   `json:"canonicalARN,omitempty"`
	AccessKeyID  string   `json:"accessKeyID,omitempty"`
	STSHost      string   `json:"stsHost,omitempty"`
	// Backend and Entry are what granted access.
	Backend string `json:"backend,omitempty"`
	Entry   string `json:"entry,omitempty"`
	// Duration is in seconds.
	Duration float64 `json:"durationSeconds"`
}

// Config configures a Log. Open is required.
type Config struct {
	// Open opens the file to which lines are appended, again for each Reopen.
	Open func() (io.WriteCloser, error)
	// Buffer is how many records may wait. Zero means DefaultBuffer.
	Buffer int
	// Alarm is called with each failure to write or to reopen, but not again for the same
	// one in a row. Nil means nobody is told.
	Alarm func(error)
}

// Log writes records in the order of Write. It is safe for concurrent use; a nil Log
// discards them.
type Log struct {
	config  Config
	written atomic.Uint64
	dropped atomic.Uint64
	records chan Record
	reopen  chan chan error
	closing chan struct{}
	once    sync.Once
	done    chan struct{}
}

// New opens the file and returns a Log. Close it.
func New(c Config) (*Log, error) {
	if c.Buffer <= 0 {
		c.Buffer = DefaultBuffer
	}
	if c.Alarm == nil {
		c.Alarm = func(error) {}
	}
	file, err := c.Open()
	if err != nil {
		return nil, err
	}
	l := &Log{
		config: c, records: make(chan Record, c.Buffer), reopen: make(chan chan error),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	go l.run(file)
	return l, nil
}

// Write takes a record, or counts it as dropped if too many wait. It never blocks.
func (l *Log) Write(r Record) {
	if l == nil {
		return
	}
	select {
	case <-l.closing:
		l.dropped.Add(1)
		return
	default:
	}
	select {
	case l.records <- r:
	default:
		l.dropped.Add(1)
	}
}

// Written returns how many lines were written.
func (l *Log) Written() uint64 {
	if l == nil {
		return 0
	}
	return l.written.Load()
}

// Dropped returns how many records were lost: those that did not fit in the buffer, and
// those that could not be written.
func (l *Log) Dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// Reopen opens the file again, after what was taken before it was written to the old
// one. If that fails, the old one stays in use. It returns once the file is exchanged, or
// the Log is closed.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	answer := make(chan error, 1)
	select {
	case l.reopen <- answer:
		return <-answer
	case <-l.done:
		return nil
	}
}

// Close writes what waits, for at most the timeout, and closes the file. Records that
// come later are dropped.
func (l *Log) Close(timeout time.Duration) error {
	if l == nil {
		return nil
	}
	l.once.Do(func() { close(l.closing) })
	select {
	case <-l.done:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("writing the audit log: %d records wait after %s", len(l.records), timeout)
	}
}

// run writes until the Log is closed.
func (l *Log) run(file io.WriteCloser) {
	defer close(l.done)
	w := &lines{log: l, file: file, buffer: bufio.NewWriterSize(file, 64<<10)}
	for {
		select {
		case r := <-l.records:
			w.write(r)
			w.drain()
		case answer := <-l.reopen:
			w.drain()
			answer <- w.exchange()
		case <-l.closing:
			w.drain()
			_ = w.file.Close()
			return
		}
	}
}

// lines is the file in use, for the goroutine that writes.
type lines struct {
	log    *Log
	file   io.WriteCloser
	buffer *bufio.Writer
	held   uint64 // lines in the buffer
	torn   bool   // the file may end within a line
	last   string // the failure that was told last
}

// drain writes what waits now.
func (w *lines) drain() {
	for n := len(w.log.records); n > 0; n-- {
		w.write(<-w.log.records)
	}
	w.flush()
}

func (w *lines) write(r Record) {
	text, err := json.Marshal(r)
	if err != nil {
		w.log.dropped.Add(1)
		w.tell(fmt.Errorf("encoding an audit record: %w", err))
		return
	}
	if len(text)+2 > w.buffer.Available() {
		w.flush() // whole lines only, so that what fails can be counted
	}
	if w.torn {
		w.torn = false
		text = append([]byte{'\n'}, text...)
	}
	_, _ = w.buffer.Write(append(text, '\n')) // Flush returns its error
	w.held++
}

func (w *lines) flush() {
	if w.held == 0 {
		return
	}
	err := w.buffer.Flush()
	if err != nil {
		w.log.dropped.Add(w.held)
		w.buffer.Reset(w.file) // it would repeat the error for ever, and the disk may get space
		w.torn = true
		w.tell(fmt.Errorf("writing the audit log: %w", err))
	} else {
		w.log.written.Add(w.held)
		w.last = ""
	}
	w.held = 0
}

func (w *lines) exchange() error {
	next, err := w.log.config.Open()
	if err != nil {
		err = fmt.Errorf("opening the audit log again: %w", err)
		w.tell(err)
		return err
	}
	err = w.file.Close()
	w.file, w.torn = next, false
	w.buffer.Reset(next)
	return err
}

func (w *lines) tell(err error) {
	if err.Error() != w.last {
		w.last = err.Error()
		w.log.config.Alarm(err)
	}
}
