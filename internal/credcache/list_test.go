package credcache

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/safefile"
)

func TestList(t *testing.T) {
	w := newWorld(t)
	if list, err := w.store().List(); err != nil || len(list) != 0 {
		t.Errorf("no folder: %v, %v", list, err)
	}
	w.fill(key("a"))
	w.fill(key("b"))
	w.rewrite(kindToken, key("b"), func([]byte) []byte { return []byte("{}") })
	w.edit(kindCredentials, key("b"), func(h map[string]any) { h["expires"] = w.clock().Add(-time.Hour) })
	must(t, os.WriteFile(w.path("notes.txt"), []byte(secretKey), 0o600))
	list, err := w.store().List()
	must(t, err)
	var got []string
	for _, i := range list {
		if i.File != w.path(i.Kind+"-"+i.Key+".json") {
			t.Errorf("file %s", i.File)
		}
		got = append(got, fmt.Sprint(i.Kind, " ", map[string]string{key("a").String(): "a", key("b").String(): "b"}[i.Key], " ",
			i.State, " ", i.AccessKeyID, " ", i.About.Cluster, " ", i.Expires.Sub(w.clock()).Round(time.Minute)))
		if text := fmt.Sprintf("%+v", i); strings.Contains(text, "CANARY") {
			t.Errorf("a secret: %s", text)
		}
	}
	want := []string{
		"credentials b expired ASIAEXAMPLE prod -1h0m0s",
		"credentials a valid ASIAEXAMPLE prod 1h0m0s",
		"token b ignored: not an entry of this version: corrupt, cut off or foreign   -2562047h47m16.854775807s",
		"token a valid AKIDEXAMPLE prod 14m0s",
	}
	want[2] = strings.Replace(want[2], "-2562047h47m16.854775807s", fmt.Sprint(time.Time{}.Sub(w.clock()).Round(time.Minute)), 1)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(about, list[1].About); d != "" {
		t.Error(d)
	}
	if list, err := w.store(func(c *Config) { c.Storage = None }).List(); err != nil || list != nil {
		t.Errorf("turned off: %v, %v", list, err)
	}
	if _, err := New(Config{Dir: w.path("notes.txt")}).List(); err == nil {
		t.Error("a file is no folder, and that is no error")
	}
}

// Clear takes what is ours by name, and nothing through a link or in a folder.
func TestClear(t *testing.T) {
	w := newWorld(t)
	w.fill(key("a"))
	w.served(key("a"), self)
	w.store().Lock(t.Context(), key("a"))()
	outside := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(outside, []byte("x"), 0o600))
	entry := kindToken.file(key("link"))
	must(t, os.Symlink(outside, w.path(entry)))
	must(t, os.WriteFile(w.path("."+entry+".ekskey-0123456789abcdef.tmp"), nil, 0o600))
	theirs := []string{
		".notes.txt.ekskey-0123456789abcdef.tmp", "asked-", "asked-0123456789ABCDEF0123456789ABCDEF", "kubectl.lock", "notes.txt",
		strings.ToUpper(key("b").String()) + ".lock", "token-.json", kindToken.file(key("b")) + ".bak", strings.ToUpper(kindToken.file(key("b"))),
	}
	for _, name := range theirs {
		must(t, os.WriteFile(w.path(name), nil, 0o600))
	}
	deep := w.path(kindCredentials.file(key("deep")))
	must(t, os.MkdirAll(filepath.Join(deep, kindToken.file(key("deep"))), 0o700))
	n, err := w.store().Clear()
	if n != 3 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	want := append(slices.Clone(theirs), filepath.Base(deep))
	slices.Sort(want)
	if d := cmp.Diff(want, w.files()); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(deep); len(entries) != 1 {
		t.Error("a folder was entered")
	}
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	w.fill(key("a"))
	w.fill(key("live"))
	w.served(key("a"), self)
	aged := func(name string, age time.Duration) {
		must(t, os.WriteFile(w.path(name), nil, 0o600))
		must(t, os.Chtimes(w.path(name), time.Now().Add(-age), time.Now().Add(-age)))
	}
	lock, temp := func(s string) string { return key(s).String() + lockSuffix }, func(s string) string { return "." + kindToken.file(key(s)) + ".ekskey-0123456789abcdef.tmp" }
	aged(lock("old"), 25*time.Hour)
	aged(lock("young"), 30*time.Minute)
	aged(temp("old"), time.Hour)
	aged(temp("young"), time.Second)
	aged("notes.txt", 1000*time.Hour)
	aged(kindToken.file(key("undated")), 0) // renamed a moment ago, by a process that has yet to date it
	w.pass(2*tokenLife + 2*time.Minute)
	w.store().PutToken(key("new"), other, w.token(), nil, about)
	want := []string{
		lock("young"), temp("young"), "notes.txt", kindToken.file(key("undated")), markerName(key("new"), other), kindToken.file(key("new")),
		kindCredentials.file(key("a")), kindCredentials.file(key("live")),
	}
	slices.Sort(want)
	if d := cmp.Diff(want, w.files()); d != "" {
		t.Error(d)
	}
	w.pass(2 * time.Hour)
	w.store().PutCredentials(key("new"), w.credentials(), nil, about)
	want = []string{lock("young"), temp("young"), "notes.txt", kindToken.file(key("undated")), kindCredentials.file(key("new"))}
	slices.Sort(want)
	if d := cmp.Diff(want, w.files()); d != "" {
		t.Error(d)
	}
}

func TestBounded(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	for i := range maxEntries + 10 {
		c := w.credentials()
		c.Expires = c.Expires.Add(time.Duration(i) * time.Minute / 60)
		s.PutCredentials(key(fmt.Sprint(i)), c, nil, about)
	}
	if n := len(w.files()); n != maxEntries {
		t.Errorf("%d files", n)
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, maxEntries + 9: true} {
		if _, ok := s.Credentials(key(fmt.Sprint(i))); ok != want {
			t.Errorf("entry %d is kept: %v", i, ok)
		}
	}
}

func TestLocksAreBounded(t *testing.T) {
	w := newWorld(t)
	w.fill(key("a"))
	for i := range 2*maxEntries + 10 {
		must(t, os.WriteFile(w.path(key(strconv.Itoa(i)).String()+lockSuffix), nil, 0o600))
	}
	held, err := safefile.TryOS(w.path(key("0").String()+lockSuffix), false)
	must(t, err)
	defer func() { must(t, held.Release()) }()
	w.fill(key("a"))
	n := 0
	for _, name := range w.files() {
		if isLock(name) {
			n++
		}
	}
	if n > 2*maxEntries+1 {
		t.Errorf("%d locks", n)
	}
	if _, err := os.Stat(w.path(key("0").String() + lockSuffix)); err != nil {
		t.Errorf("a lock that is held was removed: %v", err)
	}
}
