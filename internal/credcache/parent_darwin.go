package credcache

import "golang.org/x/sys/unix"

// startTime is in microseconds since 1970.
func startTime(pid int) (uint64, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(info.Proc.P_pid) != pid {
		return 0, false
	}
	start := info.Proc.P_starttime
	return uint64(start.Sec)*1e6 + uint64(start.Usec), true // #nosec G115 -- no time before 1970
}
