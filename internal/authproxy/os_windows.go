package authproxy

import (
	"errors"

	"golang.org/x/sys/windows"
)

const socketsHaveOwners = false

func isTaken(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}

func isRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
