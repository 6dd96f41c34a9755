//go:build !linux

package safefile

// readOnlyMount is never true where no ConfigMap is mounted.
func readOnlyMount(string) bool { return false }
