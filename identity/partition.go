package identity

import (
	"fmt"
	"strings"
)

// Partition is one of the isolated parts of AWS, such as "aws" or "aws-cn".
// The zero value is no partition.
//
// Source: the partition metadata of the AWS SDKs (partitions.json), from which
// the table in zz_generated_sts.go is made.
type Partition struct {
	// ID is the name that stands in the second field of an ARN.
	ID string
	// DNSSuffix ends the plain and the FIPS host names of the partition.
	DNSSuffix string
	// DualStackDNSSuffix ends the host names that also answer over IPv6.
	DualStackDNSSuffix string
	// regionPrefixes are the beginnings of the partition's region names. What
	// follows must be a word, a hyphen and digits, as in the SDKs' patterns.
	regionPrefixes []string
}

// UnknownRegionError says that a region name fits no partition, or not the one
// it was asked of.
type UnknownRegionError struct {
	Region string
	// Partition is the partition asked, or empty where any would have done.
	Partition string
}

func (e *UnknownRegionError) Error() string {
	if e.Partition != "" {
		return fmt.Sprintf("%q is not a region of partition %s", e.Region, e.Partition)
	}
	return fmt.Sprintf("%q is not an AWS region name", e.Region)
}

// UnknownPartitionError says that no partition has this name.
type UnknownPartitionError struct{ ID string }

func (e *UnknownPartitionError) Error() string {
	return fmt.Sprintf("%q is not an AWS partition", e.ID)
}

// Partitions returns all partitions known, "aws" first. The slice is the
// caller's own.
func Partitions() []Partition { return append([]Partition(nil), partitions[:]...) }

// LookupPartition finds a partition by its ID. It fails with
// *UnknownPartitionError.
func LookupPartition(id string) (Partition, error) {
	for i := range partitions {
		if partitions[i].ID == id {
			return partitions[i], nil
		}
	}
	return Partition{}, &UnknownPartitionError{ID: id}
}

// PartitionOfRegion finds the partition whose naming rule a region follows,
// whether or not the region is in the table: AWS opens regions more often than
// programs are updated. It fails with *UnknownRegionError.
func PartitionOfRegion(region string) (Partition, error) {
	for i := range partitions {
		if partitions[i].HasRegion(region) {
			return partitions[i], nil
		}
	}
	return Partition{}, &UnknownRegionError{Region: region}
}

// HasRegion reports whether the name fits the partition's naming rule. Names
// that are only aliases, such as "aws-global", do not; nor do upper case and
// underscores, which the SDKs' patterns would let through but no region has.
func (p Partition) HasRegion(region string) bool {
	for _, prefix := range p.regionPrefixes {
		if rest, ok := strings.CutPrefix(region, prefix); ok && isWordHyphenDigits(rest) {
			return true
		}
	}
	return false
}

// isWordHyphenDigits matches ^[a-z0-9]+-[0-9]+$ without the cost of
// compiling a pattern when the program starts.
func isWordHyphenDigits(s string) bool {
	word, digits, ok := strings.Cut(s, "-")
	if !ok || word == "" || digits == "" || len(s) > 32 {
		return false
	}
	return onlyBytes(word, isLowerAlnum) && onlyBytes(digits, isDigit)
}

func onlyBytes(s string, ok func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool      { return c >= '0' && c <= '9' }
func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || isDigit(c) }
