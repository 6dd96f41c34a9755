package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ekskey/ekskey/internal/audit"
)

// file is a file in memory, which may be stuck or full.
type file struct {
	mu     sync.Mutex
	text   bytes.Buffer
	stuck  chan struct{} // writes wait for it, if it is not nil
	room   int           // bytes until the disk is full; negative means no limit
	closed bool
}

func (f *file) Write(p []byte) (int, error) {
	if f.stuck != nil {
		<-f.stuck
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room >= 0 && len(p) > f.room {
		n, _ := f.text.Write(p[:f.room])
		f.room = 0
		return n, errors.New("no space left on device")
	}
	if f.room >= 0 {
		f.room -= len(p)
	}
	return f.text.Write(p)
}

func (f *file) Close() error { f.closed = true; return nil }

func (f *file) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

func open(files ...*file) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) {
		if len(files) == 0 {
			return nil, errors.New("is a directory")
		}
		next := files[0]
		files = files[1:]
		return next, nil
	}
}

func TestLines(t *testing.T) {
	f := &file{room: -1}
	l, err := audit.New(audit.Config{Open: open(f)})
	if err != nil {
		t.Fatal(err)
	}
	full := audit.Record{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Kind: "TokenReview", RequestID: "a-1", Outcome: "authenticated", Username: "line\nbreak",
		UID: "aws-iam-authenticator:1:A", Groups: []string{"g"}, CanonicalARN: "arn:x", AccessKeyID: "AKIA", STSHost: "sts", Backend: "file", Entry: "file mapRoles[0] line 3", Duration: 0.25,
	}
	l.Write(full)
	l.Write(audit.Record{Kind: "TokenReview", RequestID: "a-2", Outcome: "rejected", Reason: "V03"})
	if err := l.Close(time.Minute); err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-01-02T03:04:05Z","kind":"TokenReview","requestID":"a-1","outcome":"authenticated","username":"line\nbreak","uid":"aws-iam-authenticator:1:A","groups":["g"],"canonicalARN":"arn:x","accessKeyID":"AKIA","stsHost":"sts","backend":"file","entry":"file mapRoles[0] line 3","durationSeconds":0.25}
{"time":"0001-01-01T00:00:00Z","kind":"TokenReview","requestID":"a-2","outcome":"rejected","reason":"V03","durationSeconds":0}
`
	if f.String() != want || l.Written() != 2 || l.Dropped() != 0 || !f.closed {
		t.Errorf("%d written, %d dropped, closed %t\n%s", l.Written(), l.Dropped(), f.closed, f)
	}
	l.Write(full)
	if l.Dropped() != 1 {
		t.Error("a record after Close is not counted")
	}
}

// A file that takes nothing delays nobody; what does not fit is counted.
func TestNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{room: -1, stuck: make(chan struct{})}
		l, err := audit.New(audit.Config{Open: open(f), Buffer: 10})
		if err != nil {
			t.Fatal(err)
		}
		l.Write(audit.Record{Outcome: "first"})
		synctest.Wait() // the goroutine is stuck with it
		for range 25 {
			l.Write(audit.Record{Outcome: "more"})
		}
		if l.Dropped() != 15 || l.Written() != 0 {
			t.Errorf("%d dropped, %d written", l.Dropped(), l.Written())
		}
		if err := l.Close(time.Second); err == nil || !strings.Contains(err.Error(), "10 records wait after 1s") {
			t.Errorf("Close: %v", err)
		}
		close(f.stuck)
		synctest.Wait()
		if l.Dropped() != 15 || l.Written() != 11 || strings.Count(f.String(), "\n") != 11 {
			t.Errorf("%d dropped, %d written", l.Dropped(), l.Written())
		}
	})
}

// A full disk costs lines, which are counted and told once; the file stays one of whole
// lines, but for the one at which the disk was full.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{room: 150}
		var alarms []string
		l, err := audit.New(audit.Config{Open: open(f), Alarm: func(err error) { alarms = append(alarms, err.Error()) }})
		if err != nil {
			t.Fatal(err)
		}
		one := func() {
			l.Write(audit.Record{Outcome: "x"})
			synctest.Wait()
		}
		for range 5 {
			one()
		}
		f.mu.Lock()
		f.room = -1
		f.mu.Unlock()
		one()
		if err := l.Close(time.Second); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for line := range strings.Lines(f.String()) {
			if json.Valid([]byte(line)) {
				whole++
			}
		}
		if uint64(whole) != l.Written() || l.Written()+l.Dropped() != 6 || l.Dropped() == 0 || len(alarms) != 1 || !strings.Contains(alarms[0], "no space left") {
			t.Errorf("%d whole lines, %d written, %d dropped, alarms %q\n%s", whole, l.Written(), l.Dropped(), alarms, f)
		}
	})
}

func TestReopen(t *testing.T) {
	first, second := &file{room: -1}, &file{room: -1}
	alarms := 0
	l, err := audit.New(audit.Config{Open: open(first, second), Alarm: func(error) { alarms++ }})
	if err != nil {
		t.Fatal(err)
	}
	l.Write(audit.Record{Outcome: "before"})
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Write(audit.Record{Outcome: "after"})
	if err := l.Reopen(); err == nil || alarms != 1 {
		t.Errorf("a file that cannot be opened: %v, %d alarms", err, alarms)
	}
	l.Write(audit.Record{Outcome: "still"})
	if err := l.Close(time.Minute); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(first.String(), "before") || strings.Contains(first.String(), "after") || !first.closed ||
		!strings.Contains(second.String(), "after") || !strings.Contains(second.String(), "still") {
		t.Errorf("%s\n%s", first, second)
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestNoLog(t *testing.T) {
	var l *audit.Log
	l.Write(audit.Record{})
	if err := errors.Join(l.Reopen(), l.Close(time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := audit.New(audit.Config{Open: open()}); err == nil {
		t.Error("a file that cannot be opened at the start")
	}
}
