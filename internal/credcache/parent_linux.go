package credcache

import (
	"bytes"
	"os"
	"strconv"
)

// startTime is in clock ticks since the system's start.
func startTime(pid int) (uint64, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	return parseStat(data)
}

// parseStat takes field 22 of /proc/<pid>/stat (proc_pid_stat(5)). Field 2 is
// the command in parentheses, in which the process may have put anything, also
// blanks and parentheses; so the fields are counted from the last one.
func parseStat(data []byte) (uint64, bool) {
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(data[i+1:])
	if len(fields) < 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return n, err == nil
}
