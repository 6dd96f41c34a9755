//go:build unix

package servercli

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// sharedByRoot reports whether root owns a file and gave it to a group of this process.
// PostgreSQL and others take a key that such a group can read, and kubelet mounts a Secret
// like this for a pod with an fsGroup.
func sharedByRoot(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 0 {
		return false
	}
	groups, err := os.Getgroups()
	return int(stat.Gid) == os.Getegid() || err == nil && slices.Contains(groups, int(stat.Gid))
}
