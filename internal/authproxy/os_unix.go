//go:build unix

package authproxy

import (
	"errors"

	"golang.org/x/sys/unix"
)

const socketsHaveOwners = true

func isTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
