package credcache

import "testing"

// A command may be named so that it looks like more fields.
func TestParseStat(t *testing.T) {
	const rest = " S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200 18446744073709551615\n"
	for _, c := range []struct {
		line string
		want uint64
	}{
		{"10 (kubectl)" + rest, 98765},
		{"10 (a b)" + rest, 98765},
		{"10 (a) S 1 1 1 (b)" + rest, 98765},
		{"10 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22)" + rest, 98765},
		{"10 (\n)" + rest, 98765},
		{"", 0},
		{"10 kubectl S 1", 0},
		{"10 (kubectl) S 1 2 3", 0},
		{"10 (kubectl) S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 -5 1000", 0},
	} {
		if got, ok := parseStat([]byte(c.line)); got != c.want || ok != (c.want != 0) {
			t.Errorf("%q: %d, %v", c.line, got, ok)
		}
	}
}
