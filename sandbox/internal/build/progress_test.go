package build

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		takes    time.Duration
		err      error
		want     []string
		wantNot  string
	}{
		{"too short to tell of", false, time.Second, nil, nil, "compiling"},
		{"plain", false, 25 * time.Second, nil, []string{"compiling x, 2s: now y\n", "compiling x, 12s: now y\n", "done: compiling x (25s)\n"}, "\x1b"},
		{"a terminal", true, 3 * time.Second, nil, []string{eraseLine + "compiling x, 2s: now y", "done: compiling x (3s)\n"}, "y\n"},
		{"failed", false, 3 * time.Second, errors.New("no"), []string{"failed: compiling x (3s)\n"}, "done"},
		{"stopped", false, 3 * time.Second, context.Canceled, []string{"stopped: compiling x (3s)\n"}, "done"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out lockedBuffer
				p := &Progress{Out: &out, Terminal: tc.terminal}
				task := p.Begin("compiling x")
				task.Say("now y")
				time.Sleep(tc.takes)
				task.End(tc.err)
				for _, want := range tc.want {
					if !strings.Contains(out.String(), want) {
						t.Errorf("no %q in %q", want, out.String())
					}
				}
				if strings.Contains(out.String(), tc.wantNot) {
					t.Errorf("%q in %q", tc.wantNot, out.String())
				}
			})
		})
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
