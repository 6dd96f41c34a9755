package accessmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
)

// maxPins bounds the file, in bytes: some ten thousand entries.
const maxPins = 4 << 20

// Pins remembers the unique ids of principals by access entry. It is safe for concurrent
// use. The zero value remembers them in memory.
type Pins struct {
	path string

	mu  sync.Mutex
	ids map[string]string
}

// OpenPins reads a file of pins, or begins one. A file that is not understood is an error:
// to begin again would pin every entry to whoever comes next.
func OpenPins(path string) (*Pins, error) {
	p := &Pins{path: path, ids: map[string]string{}}
	text, err := safefile.ReadTrusted(path, maxPins)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p.ids)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pinned principals in %s: %w", path, err)
	}
	if p.ids == nil {
		p.ids = map[string]string{}
	}
	return p, nil
}

// ReadPins is OpenPins for who writes nothing: new pins are in memory alone.
func ReadPins(path string) (*Pins, error) {
	p, err := OpenPins(path)
	if err == nil {
		p.path = ""
	}
	return p, err
}

// pinKey names one access entry: one that is deleted and made again is another.
func pinKey(arn string, created time.Time) string {
	return arn + " " + created.UTC().Format(time.RFC3339Nano)
}

// Get returns the unique id that an entry is pinned to.
func (p *Pins) Get(arn string, created time.Time) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.ids[pinKey(arn, created)]
	return id, ok
}

// Put pins an entry, unless it is pinned, and returns what it is pinned to. If that cannot be
// written, the entry is not pinned.
func (p *Pins) Put(arn string, created time.Time, id string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := pinKey(arn, created)
	if have, ok := p.ids[key]; ok {
		return have, nil
	}
	if p.ids == nil {
		p.ids = map[string]string{}
	}
	p.ids[key] = id
	if p.path == "" {
		return id, nil
	}
	text, err := json.MarshalIndent(p.ids, "", "  ")
	if err == nil && len(text) > maxPins {
		err = errors.New("there are too many")
	}
	if err == nil {
		err = safefile.WritePrivate(p.path, append(text, '\n'))
	}
	if err != nil {
		delete(p.ids, key)
		return "", err
	}
	return id, nil
}
