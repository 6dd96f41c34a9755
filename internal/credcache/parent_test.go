package credcache

import (
	"os"
	"runtime"
	"testing"
)

func TestParentProcess(t *testing.T) {
	p, ok := ParentProcess()
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
	default:
		if ok {
			t.Error("known, on a system where it cannot be")
		}
		return
	}
	again, _ := ParentProcess()
	if !ok || p.PID != os.Getppid() || p.Start == 0 || p != again {
		t.Errorf("%+v, then %+v, %v", p, again, ok)
	}
	if start, ok := startTime(os.Getpid()); !ok || start < p.Start {
		t.Errorf("we began at %d, the parent at %d", start, p.Start)
	}
	if _, ok := startTime(1 << 30); ok {
		t.Error("a process that cannot be has begun")
	}
}
