//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hunt is many processes of ekskey, of which some are killed.
type hunt struct {
	env  []string
	file string
	// launch makes the command of a program; nil runs it as it is.
	launch func(program string, args ...string) *exec.Cmd

	mu   sync.Mutex
	prey map[int]*exec.Cmd // by process id: to be killed when they hold the lock
	done int               // how many succeeded
	// want is what may be in the file in the end, by context: the last update that
	// succeeded, and those after it that were killed, perhaps too late.
	want   map[string][]entry
	killed int
	locked int // of those, with the lock in their hands
}

func newHunt(env []string, file string) *hunt {
	return &hunt{env: env, file: file, prey: map[int]*exec.Cmd{}, want: map[string][]entry{}}
}

// The ways in which a process may end.
const (
	toTheEnd = iota
	killedSometime
	killedWithTheLock
)

// update runs one update, and reports whether it succeeded. It may fail only by
// being killed.
func (h *hunt) update(t *testing.T, e entry, end int) bool {
	args := e.args(h.file)
	cmd := exec.CommandContext(t.Context(), shared.Record().Ekskey, args...)
	if h.launch != nil {
		cmd = h.launch(shared.Record().Ekskey, args...)
	}
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = h.env, &out, &out
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return false
	}
	switch end {
	case killedSometime:
		// Half of them while they start or ask EKS, the others while they wait or
		// write.
		timer := time.AfterFunc(rand.N(time.Second), func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	case killedWithTheLock:
		h.mu.Lock()
		h.prey[cmd.Process.Pid] = cmd
		h.mu.Unlock()
	}
	err := cmd.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.prey, cmd.Process.Pid)
	var exit *exec.ExitError
	switch {
	case err == nil:
		h.done++
		h.want[e.alias] = []entry{e}
		return true
	case end != toTheEnd && errors.As(err, &exit) && exit.ExitCode() < 0:
		h.killed++
		if h.want[e.alias] != nil {
			h.want[e.alias] = append(h.want[e.alias], e)
		}
	default:
		t.Errorf("%s: %v\n%s", e.alias, err, tail(&out))
	}
	return false
}

// lurk kills those who are prey as soon as the lock file says that they hold it.
func (h *hunt) lurk() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			var pid int
			text, err := os.ReadFile(h.file + ".lock")
			if err != nil {
				continue
			}
			if _, err := fmt.Sscanf(string(text), "ekskey-lock pid=%d", &pid); err != nil {
				continue
			}
			h.mu.Lock()
			if cmd := h.prey[pid]; cmd != nil {
				delete(h.prey, pid)
				if cmd.Process.Kill() == nil {
					h.locked++
				}
			}
			h.mu.Unlock()
		}
	}()
	return func() { close(done); <-ended }
}

// Fifty processes at once, a thousand updates, some killed: what succeeded is in
// the file, each moment's file is whole, and nothing else stays.
func TestKubeconfigSoak(t *testing.T) {
	onUnix(t)
	// Each process has a context of its own and gives it another namespace each
	// time. More contexts would only take more time: the file is read as a whole.
	const processes, updates = 50, 20
	eks := newManyClusters(t, processes/2)
	dir := t.TempDir()
	h := newHunt(eks.env, filepath.Join(dir, "config"))
	w := newWatcher(t, h.file)
	stopWatching, stopLurking := w.run(t), h.lurk()
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			for j := range updates {
				e := entry{alias: fmt.Sprintf("c-%02d", i), cluster: eks.names[i/2], namespace: fmt.Sprintf("n-%02d-%02dx", i, j)}
				if i%2 == 0 {
					e.role = fmt.Sprintf("arn:aws:iam::111122223333:role/soak-%02d", i)
				}
				end := toTheEnd
				switch n := i*updates + j; {
				case n%23 == 5:
					end = killedSometime
				case n%23 == 11:
					end = killedWithTheLock
				}
				if !h.update(t, e, end) {
					continue
				}
				// Nobody else changes this context.
				if text, err := os.ReadFile(h.file); err != nil || !bytes.Contains(text, []byte("namespace: "+e.namespace+"\n")) {
					t.Errorf("the update of %s succeeded, and its namespace is not in the file: %v", e.alias, err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	stopLurking()
	stopWatching()
	behind := left(t, dir)
	// Whoever was killed last has left something; the next update takes it away.
	h.update(t, entry{alias: "last", cluster: eks.names[0], namespace: "last"}, toTheEnd)
	w.final(t, h.want)
	if got := left(t, dir); !slices.Equal(got, []string{"config"}) {
		t.Errorf("in the directory are %v", got)
	}
	t.Logf("%d updates of %d contexts succeeded and are all there, %d processes were killed, %d of them with the lock; %d looks at the file saw %d states of it; %s; in the directory before the last update: %v",
		h.done, len(w.config.Contexts), h.killed, h.locked, w.looks, w.seen, took.Round(time.Millisecond), behind)
	if h.done < processes*updates*4/5 || h.killed == 0 || h.locked == 0 {
		t.Error("the test has not done what it is there for")
	}
	has(t, mustRun(t, eks.env, kubectl, "--kubeconfig", h.file, "config", "get-contexts", "-o", "name"), "last")
}

// The same with kubectl, which fails where it finds the lock taken, reads before
// it takes it, and writes in place. EKSKEY_SOAK=1 makes it a thousand updates.
func TestKubeconfigSoakWithKubectl(t *testing.T) {
	onUnix(t)
	processes, updates := 5, 16
	if os.Getenv("EKSKEY_SOAK") != "" {
		processes, updates = 50, 20 // takes minutes
	}
	eks := newManyClusters(t, updates)
	dir := t.TempDir()
	h := newHunt(eks.env, filepath.Join(dir, "config"))
	w := newWatcher(t, h.file)
	w.kubectl = true
	first := entry{alias: "first", cluster: eks.names[0], namespace: "first"}
	h.update(t, first, toTheEnd)
	stopWatching, stopLurking := w.run(t), h.lurk()
	var writers, wg sync.WaitGroup
	for i := range processes {
		writers.Go(func() {
			for j := range updates {
				e := entry{alias: fmt.Sprintf("k-%02d-%02d", i, j), cluster: eks.names[(i+j)%updates], namespace: "ns"}
				end := toTheEnd
				if (i*updates+j)%17 == 7 {
					end = killedWithTheLock
				}
				marks := w.before(t)
				if h.update(t, e, end) {
					w.written(t, e, marks)
				}
			}
		})
	}
	ended := make(chan struct{})
	var wrote, refused int
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				if wrote > 0 || n > 1000 {
					return
				}
			default:
			}
			o := command(t, eks.env, kubectl, "--kubeconfig", h.file, "config", "set-context", fmt.Sprintf("%s%d", kubectlMark, n), "--namespace", "other")
			switch {
			case o.code == 0:
				wrote++
			case strings.Contains(o.stderr, ".lock: file exists"):
				refused++
			default:
				t.Errorf("kubectl: %+v", o)
			}
		}
	})
	writers.Wait()
	close(ended)
	wg.Wait()
	stopLurking()
	stopWatching()
	h.update(t, entry{alias: "last", cluster: eks.names[0], namespace: "last"}, toTheEnd)
	undone := w.final(t, h.want)
	if got := left(t, dir); !slices.Equal(got, []string{"config"}) {
		t.Errorf("in the directory are %v", got)
	}
	t.Logf("%d updates succeeded, %d of them undone by kubectl; %d processes were killed; kubectl wrote %d times and found the lock taken %d times; %d looks at the file saw %d states of it, %d of them half-written by kubectl",
		h.done, undone, h.killed, wrote, refused, w.looks, w.seen, w.torn)
	if wrote == 0 || w.marks == 0 || h.killed == 0 {
		t.Error("the test has not done what it is there for")
	}
}
