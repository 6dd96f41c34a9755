// Package identity has AWS's own names: partitions, regions, the STS hosts of each
// region, ARNs, and the identity that STS reports for a caller.
//
// It uses only the standard library and does no I/O, so that every other package can
// import it.
package identity
