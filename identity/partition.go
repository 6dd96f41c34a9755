package identity

import (
	"fmt"
	"strings"
)

// Partition is an isolated part of AWS, such as "aws" or "aws-cn". The zero value is
// not a partition.
//
// Source: the partition metadata of the AWS SDKs (partitions.json), from which
// the table in zz_generated_sts.go is made.
type Partition struct {
	// ID is the second field of an ARN.
	ID string
	// DNSSuffix is the suffix of the partition's plain and FIPS host names.
	DNSSuffix string
	// DualStackDNSSuffix is the suffix of the host names that also support IPv6.
	DualStackDNSSuffix string
	// regionPrefixes are the prefixes of the partition's region names. A word, a hyphen
	// and digits must follow, as in the SDKs' patterns.
	regionPrefixes []string
}

// UnknownRegionError reports a region name that matches no partition, or not the
// required one.
type UnknownRegionError struct {
	Region string
	// Partition is the required partition, or empty if any was allowed.
	Partition string
}

func (e *UnknownRegionError) Error() string {
	if e.Partition != "" {
		return fmt.Sprintf("%q is not a region of partition %s", e.Region, e.Partition)
	}
	return fmt.Sprintf("%q is not an AWS region name", e.Region)
}

// UnknownPartitionError reports an unknown partition name.
type UnknownPartitionError struct{ ID string }

func (e *UnknownPartitionError) Error() string {
	return fmt.Sprintf("%q is not an AWS partition", e.ID)
}

// Partitions returns all known partitions, "aws" first. The caller owns the slice.
func Partitions() []Partition { return append([]Partition(nil), partitions[:]...) }

// LookupPartition finds a partition by its ID. It fails with *UnknownPartitionError.
func LookupPartition(id string) (Partition, error) {
	for i := range partitions {
		if partitions[i].ID == id {
			return partitions[i], nil
		}
	}
	return Partition{}, &UnknownPartitionError{ID: id}
}

// PartitionOfRegion returns the partition whose naming rule matches a region, even if
// the region is not in the table: AWS opens regions more often than programs are
// updated. It fails with *UnknownRegionError.
func PartitionOfRegion(region string) (Partition, error) {
	for i := range partitions {
		if partitions[i].HasRegion(region) {
			return partitions[i], nil
		}
	}
	return Partition{}, &UnknownRegionError{Region: region}
}

// HasRegion reports whether the name matches the partition's naming rule. Aliases such
// as "aws-global" do not match; nor do upper case and underscores, which the SDKs'
// patterns accept but no region has.
func (p Partition) HasRegion(region string) bool {
	for _, prefix := range p.regionPrefixes {
		if rest, ok := strings.CutPrefix(region, prefix); ok && isWordHyphenDigits(rest) {
			return true
		}
	}
	return false
}

// isWordHyphenDigits matches ^[a-z0-9]+-[0-9]+$ without the cost of compiling a pattern
// at start-up.
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
