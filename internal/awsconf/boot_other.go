//go:build !linux && !darwin && !windows

package awsconf

import "errors"

func bootID() (string, error) { return "", errors.ErrUnsupported }
