package credcache

import "golang.org/x/sys/windows"

// startTime is in units of 100 ns since 1601. The number of a dead parent may
// be another process's by now: that one is younger than we are.
func startTime(pid int) (uint64, bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid)) // #nosec G115 -- a process id
	if err != nil {
		return 0, false
	}
	defer func() { _ = windows.CloseHandle(h) }()
	parent, ok := created(h)
	if !ok {
		return 0, false
	}
	own, ok := created(windows.CurrentProcess())
	return parent, ok && parent <= own
}

func created(h windows.Handle) (uint64, bool) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return 0, false
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime), true
}
