//go:build unix && !linux

package servercli_test

import (
	"errors"
	"testing"
)

func readOnly(*testing.T, string) error { return errors.ErrUnsupported }
