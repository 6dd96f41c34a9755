package credcache

import (
	"os"
	"time"
)

// processStart is taken before main begins.
var processStart = time.Now()

// ProcessStart is when this process began, or a few milliseconds later. It is
// never before.
func ProcessStart() time.Time { return processStart }

// Parent is the process that started ours: the client that asks for tokens. The
// zero value is an unknown one.
type Parent struct {
	PID int
	// Start tells processes of the same number apart. Its unit is the system's.
	Start uint64
}

// ParentProcess finds out who started this process. It is false where that
// cannot be known: on a system not known here, or where the parent is outside
// of our container.
func ParentProcess() (Parent, bool) {
	pid := os.Getppid()
	if pid <= 0 {
		return Parent{}, false
	}
	start, ok := startTime(pid)
	if !ok || start == 0 {
		return Parent{}, false
	}
	return Parent{PID: pid, Start: start}, true
}
