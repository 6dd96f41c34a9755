package identity

import (
	"fmt"
	"strings"
)

// ARN is a parsed Amazon Resource Name. The zero value is not an ARN.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ARNError reports a text that is not an ARN, or not the ARN of a principal.
type ARNError struct {
	Text   string
	Reason string
}

func (e *ARNError) Error() string { return fmt.Sprintf("arn %q: %s", e.Text, e.Reason) }

// maxARN is longer than any ARN of IAM or STS: 512 characters of path, 64 of role name,
// 64 of session name, and the rest.
const maxARN = 2048

// ParseARN parses an ARN. It accepts only printable ASCII, the eight known partitions,
// and an account of twelve digits or none. It fails with *ARNError.
func ParseARN(s string) (ARN, error) {
	fail := func(reason string) (ARN, error) { return ARN{}, &ARNError{Text: clip(s), Reason: reason} }
	if len(s) > maxARN {
		return fail("is too long")
	}
	if !onlyBytes(s, func(c byte) bool { return c > ' ' && c < 0x7f }) {
		return fail("has a character that is not printable ASCII")
	}
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" {
		return fail("is not of the form arn:partition:service:region:account:resource")
	}
	a := ARN{Partition: f[1], Service: f[2], Region: f[3], Account: f[4], Resource: f[5]}
	if _, err := LookupPartition(a.Partition); err != nil {
		return fail(err.Error())
	}
	if a.Account != "" && !IsAccountID(a.Account) {
		return fail("has an account that is not twelve digits")
	}
	if a.Service == "" || a.Resource == "" {
		return fail("names no service or no resource")
	}
	return a, nil
}

// String formats the ARN. ParseARN(a.String()) returns a.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// IsAccountID reports whether s has the shape of an AWS account: twelve digits.
func IsAccountID(s string) bool { return len(s) == 12 && onlyBytes(s, isDigit) }

// clip keeps an error message short, whatever the input.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
