package awsconf

import (
	"os"
	"strings"
)

// bootID changes with each start of the computer. Containers on one computer have
// it in common, and networks, and so metadata endpoints, of their own: the network
// namespace belongs to it.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(id)) + " " + network, nil
}
