package safefile

import (
	"testing"
	"time"
)

func TestNextDelay(t *testing.T) {
	for _, c := range []struct {
		name   string
		delay  time.Duration
		passed bool
		want   time.Duration
	}{
		{"the first", pollMin, true, pollMin * 3 / 2},
		{"the same holder", 8 * time.Millisecond, false, 12 * time.Millisecond},
		{"the same holder for long", pollMax, false, pollMax},
		{"another after long", pollMax, true, pollMax * 3 / 4},
		{"another after little", 8 * time.Millisecond, true, 6 * time.Millisecond},
	} {
		if got := nextDelay(c.delay, c.passed); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
