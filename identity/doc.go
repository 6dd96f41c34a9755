// Package identity holds what AWS itself says about who and where: partitions,
// regions, the STS hosts of each, ARNs, and the identity that STS reports for
// a caller.
//
// It uses the standard library only and does no I/O, so that every other
// package may stand on it.
package identity
