package safefile

import "golang.org/x/sys/unix"

// readOnlyMount reports whether a path is on a file system that this process sees
// mounted read-only. What another process sees may be writable: in a pod that is kubelet.
func readOnlyMount(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}
