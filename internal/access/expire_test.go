package access

import (
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/accessentry"
)

func TestExpire(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	entry := func(name, tag string) accessentry.Entry {
		e := accessentry.Entry{PrincipalARN: "arn:aws:iam::111122223333:role/" + name, Type: accessentry.Standard}
		if tag != "" {
			e.Tags = map[string]string{ExpiresTag: tag}
		}
		return e
	}
	c := &Cluster{Mode: ModeAPI, Entries: []accessentry.Entry{
		entry("over", "2026-01-02T03:04:04Z"), entry("now", "2026-01-02T04:04:05+01:00"), entry("later", "2026-01-02T03:04:06Z"),
		entry("never", ""), entry("nonsense", "tomorrow"),
	}}
	var names []string
	for _, s := range c.Expire(now).Steps {
		names = append(names, s.Text)
	}
	if got := strings.Join(names, "\n"); got != "delete the access entry of arn:aws:iam::111122223333:role/over, which ended at 2026-01-02T03:04:04Z\ndelete the access entry of arn:aws:iam::111122223333:role/now, which ended at 2026-01-02T03:04:05Z" {
		t.Error(got)
	}
	if after := c.After(c.Expire(now)); len(after.Entries) != 3 || len(c.Entries) != 5 {
		t.Errorf("%d entries are left of %d", len(after.Entries), len(c.Entries))
	}
}
