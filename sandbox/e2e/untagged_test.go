//go:build !e2e

package e2e

import "testing"

// TestNothingWithoutTheTag says how the tests of this directory are run.
func TestNothingWithoutTheTag(t *testing.T) {
	t.Skip("the end-to-end tests run with `make e2e`, or go test -tags e2e ./e2e")
}
