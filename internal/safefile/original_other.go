//go:build !unix

package safefile

import "io/fs"

const nonblock = 0

func linkCount(fs.FileInfo) int { return 0 }

func isMountPoint(error) bool { return false }

func isPinned(error) bool { return false }
