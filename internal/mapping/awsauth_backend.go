package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/safefile"
)

// AWSAuth is the backend of an aws-auth. It has the contract of [ParseAWSAuth] for
// sections that cannot be read, and keeps the last good text of each: that text answers
// for principals that no readable section names, for at most MaxStale, over a restart
// too. Then, or without one, such principals get *UnavailableError. It is safe for
// concurrent use.
//
// It takes its text from a file or a directory (NewAWSAuthFile), or from whoever calls
// Use, Delete and Fail (NewAWSAuth), such as an informer of the ConfigMap.
type AWSAuth struct {
	cfg    FileConfig
	poller *Poller
	news   news // of the source
	writes news // of the StateFile
	state  atomic.Pointer[awsAuthState]

	mu     sync.Mutex // held while the state changes
	last   *Set       // of the last text that was an aws-auth
	kept   map[string]lastGood
	stored time.Time // when kept was written
}

// lastGood is the last text of a section that could be read, and when it was last known
// to be what the source says.
type lastGood struct {
	Text   string    `json:"text"`
	SeenAt time.Time `json:"seen"`
}

// awsAuthState is what answers. It never changes.
type awsAuthState struct {
	set   *Set // the readable sections, or nil if there are none
	old   *Set // the last good texts of unreadable sections, or nil
	until time.Time
	// unreadable sections, and those of them without a last good text.
	unreadable, lost map[string]bool
	err              error // why sections are unreadable
	updated          time.Time
}

// NewAWSAuth makes an AWSAuth whose text comes from its caller. Until then it answers
// from the StateFile. cfg.Path names the source.
func NewAWSAuth(cfg FileConfig) *AWSAuth {
	f := &AWSAuth{cfg: cfg.withDefaults(), kept: map[string]lastGood{}}
	f.cfg.Options = f.cfg.Options.withDefaults("aws-auth")
	f.news.alarm, f.writes.alarm = f.cfg.Alarm, f.cfg.Alarm
	f.restore()
	f.rebuild(&UnavailableError{Backend: f.cfg.Options.Backend, Reason: "has not been read yet"})
	return f
}

// NewAWSAuthFile reads the file, or the directory with a file for each key, which is how
// Kubernetes mounts a ConfigMap. What another user owns or can write is an error;
// anything else wrong with it leaves what cannot be read unavailable until it is mended.
// Call Run to follow it.
func NewAWSAuthFile(cfg FileConfig) (*AWSAuth, error) {
	f := NewAWSAuth(cfg)
	directory := false
	f.poller = &Poller{
		Name: "the aws-auth file " + cfg.Path, Ticks: cfg.Ticks,
		Read: func() (text []byte, err error) {
			text, directory, err = readAWSAuthFile(cfg.Path)
			return text, err
		},
		Use: func(text []byte) error {
			if !directory {
				return f.useText(text)
			}
			var data map[string]string
			if err := json.Unmarshal(text, &data); err != nil {
				return err
			}
			return f.Use(data)
		},
		Looked: f.looked,
	}
	if err := f.poller.Start(); isUntrusted(err) {
		return nil, err
	}
	return f, nil
}

// isUntrusted reports whether a file was refused for who may write it.
func isUntrusted(err error) bool {
	return errors.As(err, new(*safefile.WritableError)) || errors.As(err, new(*safefile.NotPrivateError))
}

// maxKeys bounds the files of a directory that are read.
const maxKeys = 64

// readAWSAuthFile returns the text of a file, or a JSON object of the files of a
// directory. The files of a mounted ConfigMap are links through ..data, which is replaced
// as a whole: all are read behind the same ..data.
func readAWSAuthFile(path string) (text []byte, directory bool, err error) {
	wrap := func(err error) error { return fmt.Errorf("reading aws-auth file: %w", err) }
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, wrap(err)
	}
	if !info.IsDir() {
		if text, err = safefile.ReadTrusted(path, MaxAWSAuth); err != nil {
			return nil, false, wrap(err)
		}
		return text, false, nil
	}
	if err := safefile.CheckTrustedDir(path); err != nil {
		return nil, true, wrap(err)
	}
	dir := path
	version, err := os.Readlink(filepath.Join(path, "..data"))
	if err == nil {
		if dir = version; !filepath.IsAbs(version) {
			dir = filepath.Join(path, version)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, true, wrap(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, true, wrap(err)
	}
	data := map[string]string{}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") || file.IsDir() {
			continue
		}
		if len(data) == maxKeys {
			return nil, true, wrap(fmt.Errorf("%s has more than %d files", path, maxKeys))
		}
		value, err := safefile.ReadTrusted(filepath.Join(dir, file.Name()), MaxAWSAuth)
		if err != nil {
			return nil, true, wrap(err)
		}
		data[file.Name()] = string(value)
	}
	text, err = json.Marshal(data)
	return text, true, err
}

// Use puts the data of a ConfigMap in force.
func (f *AWSAuth) Use(data map[string]string) error {
	set, err := ParseAWSAuthData(data, f.cfg.Options)
	return f.take(set, err)
}

func (f *AWSAuth) useText(text []byte) error {
	set, err := ParseAWSAuth(text, f.cfg.Options)
	return f.take(set, err)
}

// Delete says that there is no aws-auth any more: it maps nobody, at once.
func (f *AWSAuth) Delete() error {
	return f.Use(map[string]string{mapRoles: "", mapUsers: "", mapAccounts: ""})
}

// Fail says why the source cannot be read now, or nil when it can again and says what
// it said before.
func (f *AWSAuth) Fail(err error) { f.looked(err) }

// unreadableError says which sections of a text are unreadable.
type unreadableError struct{ sections string }

func (e *unreadableError) Error() string {
	return e.sections + " cannot be read; see the problems of the text"
}

// take puts a parsed text in force. Its error is why it is not, or not whole.
func (f *AWSAuth) take(set *Set, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = set
	if err != nil {
		err = fmt.Errorf("%s: %w", f.cfg.Path, err)
		f.rebuild(err)
		return err
	}
	if set.Unreadable() != "" {
		err = fmt.Errorf("%s: %w", f.cfg.Path, &unreadableError{set.Unreadable()})
	}
	f.keep(true)
	f.rebuild(err)
	for _, p := range set.problems {
		f.cfg.Alarm(p)
	}
	return err
}

// looked takes the outcome of a look at the source: whether the text in force is what
// is there.
func (f *AWSAuth) looked(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || errors.As(err, new(*unreadableError)) {
		f.keep(false)
	}
	before := f.state.Load()
	if before.err == nil || err == nil || before.err.Error() != err.Error() {
		f.rebuild(err)
	}
	if s := f.state.Load(); err != nil && s.old != nil && f.cfg.Now().After(s.until) {
		err = fmt.Errorf("%w; the last good text is older than %s: who is in no readable section is not let in", err, f.cfg.MaxStale)
	}
	f.news.report(err)
}

// keep keeps the texts of the sections that can be read, and writes them if they are
// others than before, or if the time in the file has grown old.
func (f *AWSAuth) keep(write bool) {
	if f.last == nil {
		return
	}
	changed := false
	for section, text := range f.last.texts {
		changed = changed || f.kept[section].Text != text || f.kept[section].SeenAt.IsZero()
		f.kept[section] = lastGood{Text: text, SeenAt: f.cfg.Now()}
	}
	if changed && write || f.cfg.Now().Sub(f.stored) > max(f.cfg.MaxStale/12, PollInterval) {
		f.store()
	}
}

// rebuild makes the state of the last text and what is kept. With an error, the last
// text counts only if the error is about sections of it.
func (f *AWSAuth) rebuild(err error) {
	s := &awsAuthState{err: err, unreadable: map[string]bool{}, lost: map[string]bool{}, updated: f.cfg.Now()}
	if err == nil || errors.As(err, new(*unreadableError)) {
		s.set = f.last
	}
	data := map[string]string{}
	for _, section := range SectionNames() {
		if s.set != nil && !s.set.unreadable[section] {
			continue
		}
		s.unreadable[section] = true
		good, ok := f.kept[section]
		if !ok {
			s.lost[section] = true
			continue
		}
		data[section] = good.Text
		if until := good.SeenAt.Add(f.cfg.MaxStale); s.until.IsZero() || until.Before(s.until) {
			s.until = until
		}
	}
	if len(data) > 0 {
		o := f.cfg.Options
		o.Backend += " (last good)"
		s.old, _ = ParseAWSAuthData(data, o) // it was parsed before
	}
	f.state.Store(s)
}

// Map asks the readable sections, then the last good texts of the others. An account
// names nobody: as long as it is not known what all entries say, nobody is mapped by
// their account alone.
func (f *AWSAuth) Map(ctx context.Context, id identity.Identity) (Mapping, error) {
	s := f.state.Load()
	good, lost := []*Set{s.set}, s.lost
	if s.old != nil {
		if f.cfg.Now().After(s.until) {
			lost = s.unreadable
		} else {
			good = append(good, s.old)
		}
	}
	for _, set := range good {
		if set == nil {
			continue
		}
		if m, err := set.mapEntry(ctx, id); !errors.Is(err, ErrNotMapped) {
			return m, err
		}
	}
	if lost[mapRoles] || lost[mapUsers] {
		return Mapping{}, f.unavailable(s)
	}
	for _, set := range good {
		if set == nil {
			continue
		}
		if m, err := set.mapAccount(id); !errors.Is(err, ErrNotMapped) {
			return m, err
		}
	}
	if lost[mapAccounts] {
		return Mapping{}, f.unavailable(s)
	}
	return Mapping{}, notMapped(id)
}

func (f *AWSAuth) unavailable(s *awsAuthState) error {
	reason := "no readable section names the principal, and there is no last good text"
	if len(s.lost) == 0 {
		reason = fmt.Sprintf("no readable section names the principal, and the last good text is older than %s", f.cfg.MaxStale)
	}
	return &UnavailableError{Backend: f.cfg.Options.Backend, Reason: reason, Err: s.err}
}

// Run follows the file until the context ends.
func (f *AWSAuth) Run(ctx context.Context) {
	if f.poller == nil {
		<-ctx.Done()
		return
	}
	f.poller.Run(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.store() // with the time of the last look
}

// Look looks at the file once.
func (f *AWSAuth) Look() { f.poller.Look() }

// Reread reads the source at rest now, if it is a file. The alarm tells of a failure.
func (f *AWSAuth) Reread() {
	if f.poller != nil {
		_ = f.poller.Start()
	}
}

// Ready fails with *UnavailableError while there are principals that it cannot answer for.
func (f *AWSAuth) Ready() error {
	s := f.state.Load()
	if len(s.lost) > 0 || s.old != nil && f.cfg.Now().After(s.until) {
		return f.unavailable(s)
	}
	return nil
}

// Stats says how it fares now.
func (f *AWSAuth) Stats() Stats {
	s := f.state.Load()
	out := Stats{Stale: s.err != nil, Updated: s.updated}
	for _, set := range []*Set{s.set, s.old} {
		if set != nil {
			out.Entries += set.Len()
		}
	}
	if s.set != nil {
		out.Problems = len(s.set.problems)
	}
	return out
}

// The file that keeps the last good texts over a restart.
const (
	stateVersion = 1
	// maxState is six times MaxAWSAuth, for JSON's escapes, and the rest.
	maxState = 7 << 20
)

type awsAuthStateFile struct {
	Version  int                 `json:"version"`
	Source   string              `json:"source"`
	Sections map[string]lastGood `json:"sections"`
}

// store writes the last good texts. Failing to is told, and costs no answer.
func (f *AWSAuth) store() {
	if f.cfg.StateFile == "" {
		return
	}
	f.stored = f.cfg.Now()
	text, err := json.Marshal(awsAuthStateFile{Version: stateVersion, Source: f.cfg.Path, Sections: f.kept})
	if err == nil {
		err = safefile.WritePrivate(f.cfg.StateFile, text)
	}
	if err != nil {
		err = fmt.Errorf("keeping the last good aws-auth: %w", err)
	}
	f.writes.report(err)
}

// restore reads the last good texts of an earlier run. A file that others could have
// written, of another source or of another version is ignored.
func (f *AWSAuth) restore() {
	if f.cfg.StateFile == "" {
		return
	}
	err := safefile.CheckDir(filepath.Dir(f.cfg.StateFile))
	var text []byte
	if err == nil {
		text, err = safefile.ReadPrivate(f.cfg.StateFile, maxState)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var file awsAuthStateFile
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		f.cfg.Alarm(fmt.Errorf("reading the last good aws-auth: %w", err))
		return
	}
	if file.Version != stateVersion || file.Source != f.cfg.Path {
		return
	}
	now := f.cfg.Now()
	for _, section := range SectionNames() {
		good, ok := file.Sections[section]
		if !ok || len(good.Text) > MaxAWSAuth {
			continue
		}
		if good.SeenAt.After(now) { // the clock went back
			good.SeenAt = now
		}
		if set, err := ParseAWSAuthData(map[string]string{section: good.Text}, f.cfg.Options); err == nil && set.Unreadable() == "" {
			f.kept[section] = good
		}
	}
}
