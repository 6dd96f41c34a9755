package safefile

import (
	"io/fs"
	"syscall"
	"time"
)

// Changed is when anything about a file last changed, its name included. It is
// the zero time on systems that do not tell.
func Changed(info fs.FileInfo) time.Time {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Ctim.Unix())
}
