package safefile

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// inPlaceWait bounds how long [ReadSettled] waits for another program, which writes
// a kubeconfig in milliseconds. One that was killed leaves its lock for good.
const inPlaceWait = time.Second

// ReadSettled is [Read] for a file that a program built on client-go may be
// writing: that one writes in place, so that for a moment there is half a file. As
// long as such a program holds the file's lock, or the file changes while it is
// read, it is read again, for a second at most. Our own writes are never seen half.
//
// Source: k8s.io/client-go/tools/clientcmd, WriteToFile and lockFile.
func ReadSettled(path string, limit int64) ([]byte, error) {
	for deadline := time.Now().Add(inPlaceWait); ; time.Sleep(pollMin) {
		before, _ := os.Stat(path)
		data, err := Read(path, limit)
		if settled(path, before) || !time.Now().Before(deadline) {
			return data, err
		}
	}
}

// settled reports whether nobody was writing the file in place since it was seen.
// The lock is looked at first: who gives it up after that has written by then.
func settled(path string, before fs.FileInfo) bool {
	if target, err := Resolve(path); err == nil && foreignLock(target+lockSuffix) {
		return false
	}
	after, err := os.Stat(path)
	if before == nil || err != nil {
		return before == nil && err != nil
	}
	return !os.SameFile(before, after) || before.Size() == after.Size() && before.ModTime().Equal(after.ModTime())
}

// foreignLock reports whether there is a lock that is not one of ours.
func foreignLock(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	data, err := Read(path, markerSize)
	var large *TooLargeError
	return errors.As(err, &large) || err == nil && !strings.HasPrefix(string(data), markerMagic)
}
