package state

import "io/fs"

// ownedByUs leaves it to the access list of the user's profile.
func ownedByUs(fs.FileInfo) bool { return true }
