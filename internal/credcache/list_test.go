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
	w.fill(key("c"))
	w.rewrite(key("c"), func([]byte) []byte { return []byte("{}") })
	w.edit(key("b"), func(h map[string]any) { h["expires"] = w.clock().Add(-time.Hour) })
	must(t, os.WriteFile(w.path("notes.txt"), []byte(secretKey), 0o600))
	list, err := w.store().List()
	must(t, err)
	var got []string
	for _, i := range list {
		if i.File != w.path(i.Kind+"-"+i.Key+".json") {
			t.Errorf("file %s", i.File)
		}
		got = append(got, fmt.Sprint(i.Kind, " ", map[string]string{key("a").String(): "a", key("b").String(): "b", key("c").String(): "c"}[i.Key], " ",
			i.State, " ", i.AccessKeyID, " ", i.Region, " ", i.Expires.Sub(w.clock()).Round(time.Minute)))
		if text := fmt.Sprintf("%+v", i); strings.Contains(text, "CANARY") {
			t.Errorf("a secret: %s", text)
		}
	}
	want := []string{
		"credentials c ignored: not a cache entry of this version, or corrupt   " + fmt.Sprint(time.Time{}.Sub(w.clock()).Round(time.Minute)),
		"credentials b expired ASIAEXAMPLE eu-west-1 -1h0m0s",
		"credentials a valid ASIAEXAMPLE eu-west-1 1h0m0s",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(about, list[2].About); d != "" {
		t.Error(d)
	}
	if list, err := w.store(func(c *Config) { c.Storage = None }).List(); err != nil || list != nil {
		t.Errorf("turned off: %v, %v", list, err)
	}
	if _, err := New(Config{Dir: w.path("notes.txt")}).List(); err == nil {
		t.Error("a file for the directory is no error")
	}
}

// Clear takes what is ours by name, and nothing through a link or in a directory.
func TestClear(t *testing.T) {
	w := newWorld(t)
	w.fill(key("a"))
	lease, _ := w.store().Lock(t.Context(), key("a"), "")
	lease.Fail(Failure{Kind: "x"})
	lease.Release()
	for _, name := range obsolete {
		must(t, os.WriteFile(w.path(name), nil, 0o600))
	}
	outside := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(outside, []byte("x"), 0o600))
	entry := entryName(key("link"))
	must(t, os.Symlink(outside, w.path(entry)))
	must(t, os.WriteFile(w.path("."+entry+".ekskey-0123456789abcdef.tmp"), nil, 0o600))
	theirs := []string{
		".notes.txt.ekskey-0123456789abcdef.tmp", "asked-", "asked-0123456789ABCDEF0123456789ABCDEF", "kubectl.lock", "notes.txt",
		strings.ToUpper(key("b").String()) + ".lock", "token-.json", entryName(key("b")) + ".bak", strings.ToUpper(entryName(key("b"))),
	}
	for _, name := range theirs {
		must(t, os.WriteFile(w.path(name), nil, 0o600))
	}
	deep := w.path(entryName(key("deep")))
	must(t, os.MkdirAll(filepath.Join(deep, entryName(key("deep"))), 0o700))
	n, err := w.store().Clear()
	if n != 2 || err != nil {
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
		t.Error("a directory was entered")
	}
}

// obsolete are names that earlier versions gave to files, here and beside.
var obsolete = []string{
	"token-" + key("a").String() + ".json", "asked-0123456789abcdef0123456789abcdef",
	".token-" + key("a").String() + ".json.ekskey-0123456789abcdef.tmp",
}

// C14: each kind of file goes when it is of no use any more.
func TestC14Sweep(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	w.fill(key("a"))
	aged := func(name string, age time.Duration) {
		must(t, os.WriteFile(w.path(name), nil, 0o600))
		must(t, os.Chtimes(w.path(name), time.Now().Add(-age), time.Now().Add(-age)))
	}
	lock, temp := func(s string) string { return key(s).String() + lockSuffix }, func(s string) string { return "." + entryName(key(s)) + ".ekskey-0123456789abcdef.tmp" }
	aged(lock("old"), 25*time.Hour)
	aged(lock("young"), 30*time.Minute)
	aged(temp("old"), time.Hour)
	aged(temp("young"), time.Second)
	aged(failureName(key("old")), time.Hour)
	aged(failureName(key("young")), time.Minute)
	aged("notes.txt", 1000*time.Hour)
	aged(entryName(key("undated")), 0) // renamed a moment ago, by a process that has yet to date it
	for _, name := range obsolete[:2] {
		aged(name, 0)
	}
	aged(obsolete[2], time.Hour)
	w.fill(key("new"))
	want := []string{
		lock("young"), temp("young"), failureName(key("young")), "notes.txt", entryName(key("undated")), entryName(key("new")), entryName(key("a")),
	}
	slices.Sort(want)
	if d := cmp.Diff(want, w.files()); d != "" {
		t.Error(d)
	}
	w.pass(2 * time.Hour)
	lease, _ := w.store().Lock(t.Context(), key("new"), "")
	lease.Done()
	want = []string{lock("young"), lock("new"), temp("young"), failureName(key("young")), "notes.txt", entryName(key("undated"))}
	slices.Sort(want)
	if d := cmp.Diff(want, w.files()); d != "" {
		t.Error(d)
	}
}

// C14: a thousand entries do not stay.
func TestC14EntriesAreBounded(t *testing.T) {
	w := newWorld(t)
	s := w.store()
	for i := range maxEntries + 10 {
		c := w.credentials()
		c.Expires = c.Expires.Add(time.Duration(i) * time.Minute / 60)
		s.Put(key(fmt.Sprint(i)), entryOf(c))
	}
	if n := len(w.files()); n != maxEntries {
		t.Errorf("%d files", n)
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, maxEntries + 9: true} {
		if _, ok := s.Get(key(fmt.Sprint(i)), time.Time{}); ok != want {
			t.Errorf("entry %d is kept: %v", i, ok)
		}
	}
}

// C14: nor do locks, failures and temporary files, though none of them is old; a
// lock that is held does.
func TestC14OthersAreBounded(t *testing.T) {
	w := newWorld(t)
	w.fill(key("a"))
	kinds := map[string]func(Key) string{
		"locks":    func(k Key) string { return k.String() + lockSuffix },
		"failures": failureName,
		"temps":    func(k Key) string { return "." + failureName(k) + ".ekskey-0123456789abcdef.tmp" },
	}
	for _, name := range kinds {
		for i := range maxOthers + 10 {
			must(t, os.WriteFile(w.path(name(key(strconv.Itoa(i)))), nil, 0o600))
		}
	}
	held, err := safefile.TryOS(w.path(key("0").String()+lockSuffix), false)
	must(t, err)
	defer func() { must(t, held.Release()) }()
	w.fill(key("a"))
	if n := len(w.files()); n > 1+3*maxOthers+1 {
		t.Errorf("%d files", n)
	}
	if _, err := os.Stat(w.path(key("0").String() + lockSuffix)); err != nil {
		t.Errorf("a lock that is held was removed: %v", err)
	}
}
