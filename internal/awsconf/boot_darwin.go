package awsconf

import "golang.org/x/sys/unix"

// bootID changes with each start of the computer.
func bootID() (string, error) { return unix.Sysctl("kern.bootsessionuuid") }
