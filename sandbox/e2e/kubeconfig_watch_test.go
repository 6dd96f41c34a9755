//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubectlMark begins the names of the contexts that kubectl makes. Each is made
// once, so that each write of kubectl's shows as a new one.
const kubectlMark = "kubectl-"

// watcher looks at a kubeconfig that others write. What it has seen is never to
// go again, with one exception: kubectl reads before it locks, and then takes
// away what came in between. It writes into the file that is there, where ekskey
// puts a new one in its place. So what goes while the file stays the same one has
// been undone by kubectl, and so has what goes between two files if a context
// that kubectl has made comes meanwhile; all else has been lost by ekskey.
type watcher struct {
	path string
	// open reads the file, at path unless a test has another way to it.
	open func() (*os.File, error)
	// kubectl says that kubectl writes too.
	kubectl bool

	mu     sync.Mutex
	file   *os.File // kept open, so that no other can be taken for it
	text   []byte
	config *clientcmdapi.Config
	marks  int // contexts of kubectl's ever seen
	undone map[string]bool
	looks  int
	seen   int // different states of the file
	torn   int // looks at a file that kubectl was writing
}

func newWatcher(t *testing.T, path string) *watcher {
	w := &watcher{
		path: path, open: func() (*os.File, error) { return os.Open(path) },
		config: clientcmdapi.NewConfig(), undone: map[string]bool{},
	}
	t.Cleanup(func() { _ = w.file.Close() })
	return w
}

// look reads the file, and says what is wrong with it. Before the first write
// there may be none.
func (w *watcher) look() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := w.open()
	if errors.Is(err, fs.ErrNotExist) && w.file == nil {
		return nil
	}
	if err != nil {
		return err
	}
	w.looks++
	same, err := sameFile(w.file, f)
	if err != nil || same {
		return errors.Join(err, f.Close(), w.again())
	}
	if w.file != nil { // what came of it, before it was replaced
		err = errors.Join(w.again(), w.file.Close())
	}
	w.file = f
	if err != nil {
		return err
	}
	text, err := whole(f)
	if err != nil {
		return err
	}
	next, err := w.parse(f, text)
	if err != nil {
		return err
	}
	if !w.take(next) {
		err = errors.Join(lost("context", w.config.Contexts, next.Contexts), lost("cluster", w.config.Clusters, next.Clusters),
			lost("user", w.config.AuthInfos, next.AuthInfos))
	}
	w.config = next
	return err
}

// again looks at the file of the last look.
func (w *watcher) again() error {
	text, err := whole(w.file)
	if err != nil || bytes.Equal(text, w.text) {
		return err
	}
	if !w.kubectl {
		return errors.New("the file was written in place")
	}
	next, err := w.parse(w.file, text)
	if err == nil {
		w.take(next)
		w.config = next
	}
	return err
}

// take notes what has gone, and reports whether kubectl has written.
func (w *watcher) take(next *clientcmdapi.Config) bool {
	marks := w.marks
	for name := range next.Contexts {
		if w.config.Contexts[name] == nil && strings.HasPrefix(name, kubectlMark) {
			w.marks++
		}
	}
	for name := range w.config.Contexts {
		if next.Contexts[name] == nil {
			w.undone[name] = true
		}
	}
	return w.marks > marks
}

// parse reads a state of the file as client-go's LoadFromFile does. Half a file
// is waited for where kubectl may be at it: ekskey's would stay so, as the file
// is open.
func (w *watcher) parse(f *os.File, text []byte) (*clientcmdapi.Config, error) {
	w.seen++
	for n := 0; ; n++ {
		w.text = text
		next, err := clientcmd.Load(text)
		switch {
		case len(text) == 0:
			err = errors.New("the file is empty")
		case err != nil:
			err = fmt.Errorf("the file does not parse: %w", err)
		case !w.kubectl:
			err = dangling(next)
		}
		if err == nil || !w.kubectl || n == 100 {
			return next, err
		}
		w.torn++
		time.Sleep(10 * time.Millisecond)
		if text, err = whole(f); err != nil {
			return nil, err
		}
	}
}

func whole(f *os.File) ([]byte, error) { return io.ReadAll(io.NewSectionReader(f, 0, 1<<30)) }

func sameFile(a, b *os.File) (bool, error) {
	if a == nil {
		return false, nil
	}
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y), err
}

// dangling finds a context whose cluster or user does not exist.
func dangling(c *clientcmdapi.Config) error {
	for name, context := range c.Contexts {
		if c.Clusters[context.Cluster] == nil || c.AuthInfos[context.AuthInfo] == nil {
			return fmt.Errorf("context %s names cluster %q and user %q, which are not both there", name, context.Cluster, context.AuthInfo)
		}
	}
	return nil
}

// lost finds an entry that has gone or is another one. A context's namespace may
// change.
func lost[T any](kind string, before, after map[string]*T) error {
	for name, old := range before {
		now := after[name]
		if now == nil {
			return fmt.Errorf("%s %s was in the file and is gone", kind, name)
		}
		a, b := any(*old), any(*now)
		if x, ok := a.(clientcmdapi.Context); ok {
			y := b.(clientcmdapi.Context)
			x.Namespace, y.Namespace = "", ""
			a, b = x, y
		}
		if !reflect.DeepEqual(a, b) {
			return fmt.Errorf("%s %s was %+v and is %+v", kind, name, a, b)
		}
	}
	return nil
}

// run looks again and again, half of the time at most. The function that it
// returns ends that.
func (w *watcher) run(t *testing.T) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			begin := time.Now()
			if err := w.look(); err != nil {
				t.Errorf("looking at the file: %v", err)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond + time.Since(begin)):
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}

// before looks, for written to tell later what has come meanwhile.
func (w *watcher) before(t *testing.T) (marks int) {
	t.Helper()
	if err := w.look(); err != nil {
		t.Errorf("looking at the file: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.marks
}

// written holds an update that has just succeeded against the file. It may be
// missing only if kubectl has written since the update began.
func (w *watcher) written(t *testing.T, e entry, marks int) {
	t.Helper()
	if err := w.look(); err != nil {
		t.Errorf("looking at the file: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong := e.wrong(w.config)
	switch {
	case wrong == "" || w.undone[e.alias]:
	case w.marks > marks && w.config.Contexts[e.alias] == nil:
		w.undone[e.alias] = true
	default:
		t.Errorf("the update of %s succeeded, and kubectl has written nothing: %s", e.alias, wrong)
	}
}

// final holds the file against what is wanted of each context, one of a list, and
// counts what kubectl undid.
func (w *watcher) final(t *testing.T, want map[string][]entry) (undone int) {
	t.Helper()
	if err := w.look(); err != nil {
		t.Fatalf("looking at the file: %v", err)
	}
	for alias, list := range want {
		wrong := list[0].wrong(w.config)
		switch {
		case slices.ContainsFunc(list, func(e entry) bool { return e.wrong(w.config) == "" }):
		case w.undone[alias] && w.config.Contexts[alias] == nil:
			undone++
		default:
			t.Errorf("the update of %s succeeded: %s", alias, wrong)
		}
	}
	return undone
}
