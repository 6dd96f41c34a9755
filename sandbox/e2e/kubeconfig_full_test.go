//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// smallDisk is a directory that can be filled up. Where a user may mount (Linux with
// user namespaces), it is a file system of its own, which is seen only by the
// programs started in it; elsewhere it is a limit to the size of files.
type smallDisk struct {
	dir    string // as programs in it see it
	seen   string // as this process does
	holder string // process id of who keeps it mounted, or empty

	full atomic.Bool
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	dir := t.TempDir()
	d := &smallDisk{dir: dir, seen: dir}
	const mount = `mount -t tmpfs -o size=1m,mode=700 tmpfs "$1" && echo mounted && exec cat`
	cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	line := ""
	if err = cmd.Start(); err == nil {
		line, _ = bufio.NewReader(out).ReadString('\n')
		t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	}
	if line != "mounted\n" {
		t.Logf("NOT TESTED on a disk that is full: no file system can be mounted here (%v %s); files are limited in size instead", err, tail(&stderr))
		return d
	}
	d.holder = strconv.Itoa(cmd.Process.Pid)
	d.seen = filepath.Join("/proc", d.holder, "root") + dir
	return d
}

// launch makes a command that sees the disk.
func (d *smallDisk) launch(program string, args ...string) *exec.Cmd {
	switch {
	case d.holder != "":
		return exec.Command("nsenter", append([]string{"-t", d.holder, "--user", "--mount", "--preserve-credentials", "--", program}, args...)...)
	case d.full.Load():
		return exec.Command("sh", append([]string{"-c", `ulimit -f 1; exec "$@"`, "sh", program}, args...)...)
	}
	return exec.Command(program, args...)
}

// fill leaves no room for another byte.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	d.full.Store(true)
	if d.holder == "" {
		return
	}
	f, err := os.Create(filepath.Join(d.seen, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	// Programs that end meanwhile free what they had.
	page := make([]byte, 4096)
	for until := time.Now().Add(100 * time.Millisecond); time.Now().Before(until); time.Sleep(time.Millisecond) {
		for err = nil; err == nil; {
			_, err = f.Write(page)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("filling the disk: %v", err)
	}
}

func (d *smallDisk) clear(t *testing.T) {
	t.Helper()
	d.full.Store(false)
	if d.holder != "" {
		if err := os.Remove(filepath.Join(d.seen, "filler")); err != nil {
			t.Error(err)
		}
	}
}

// The disk fills up while eight processes at once write, and is cleared again.
func TestKubeconfigSoakOnAFullDisk(t *testing.T) {
	onUnix(t)
	const processes = 8
	eks := newManyClusters(t, processes)
	d := newSmallDisk(t)
	w := newWatcher(t, filepath.Join(d.seen, "config"))
	file := filepath.Join(d.dir, "config")
	var mu sync.Mutex
	want := map[string][]entry{}
	var failures []string
	count := func() (done, failed int) {
		mu.Lock()
		defer mu.Unlock()
		return len(want), len(failures)
	}
	update := func(e entry) {
		cmd := d.launch(shared.Record().Ekskey, e.args(file)...)
		var out bytes.Buffer
		cmd.Env, cmd.Stdout, cmd.Stderr = eks.env, &out, &out
		err := cmd.Run()
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			want[e.alias] = []entry{e}
			return
		}
		failures = append(failures, err.Error()+": "+out.String())
	}
	stopWatching := w.run(t)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-ended:
					return
				default:
				}
				update(entry{alias: fmt.Sprintf("d-%d-%d", i, j), cluster: eks.names[(i+j)%processes], namespace: "ns"})
			}
		})
	}
	waitFor(t, "updates", func() bool { done, _ := count(); return done >= 20 })
	d.fill(t)
	_, before := count()
	waitFor(t, "updates that fail", func() bool { _, failed := count(); return failed >= before+16 })
	d.clear(t)
	done, _ := count()
	waitFor(t, "updates after that", func() bool { now, _ := count(); return now >= done+20 })
	close(ended)
	wg.Wait()
	stopWatching()
	update(entry{alias: "last", cluster: eks.names[0], namespace: "last"})
	w.final(t, want)
	if got := left(t, d.seen); !slices.Equal(got, []string{"config"}) {
		t.Errorf("in the directory are %v", got)
	}
	reason := "no space left on device"
	if d.holder == "" {
		reason = "file too large"
	}
	for _, f := range failures {
		if !strings.Contains(f, reason) {
			t.Errorf("an update failed with %s", f[:min(len(f), 500)])
		}
	}
	t.Logf("%d updates succeeded and are all there, %d failed for lack of room", len(want), len(failures))
}
