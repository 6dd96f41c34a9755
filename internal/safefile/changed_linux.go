package safefile

import (
	"io/fs"
	"syscall"
	"time"
)

// changed is when anything about a file last changed, its name included. It is
// the zero time on systems that do not tell.
func changed(info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Ctim.Unix())
}
