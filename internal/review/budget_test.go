package review_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/review"
)

// A connection whose bodies fill the budget gets no more; one that sends a small body
// does, and everything is given back.
func TestBudgetLeavesAShare(t *testing.T) {
	b := review.NewBudget(64 << 10)
	greedy, honest := b.Conn(context.Background()), b.Conn(context.Background())
	post := func(ctx context.Context, size int) (func(), int) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		r.Header.Set("Content-Type", "application/json")
		_, release, status, _ := review.Body(r, 128<<10)
		return release, status
	}
	var releases []func()
	status := 0
	for range 100 {
		var release func()
		if release, status = post(greedy, 8<<10); status != 0 {
			break
		}
		releases = append(releases, release)
	}
	if status != http.StatusTooManyRequests || len(releases) == 0 || len(releases) > 8 {
		t.Fatalf("%d bodies, then status %d", len(releases), status)
	}
	release, status := post(honest, 8<<10)
	if status != 0 {
		t.Fatalf("the other connection: status %d", status)
	}
	release()
	for _, release := range releases {
		release()
		release()
	}
	if release, status := post(greedy, 32<<10); status != 0 {
		t.Errorf("after all were released: status %d", status)
	} else {
		release()
	}
}

// What was announced and does not arrive takes no memory.
func TestBodyOfUnknownLength(t *testing.T) {
	for _, size := range []int{0, 1, 8 << 10, 8<<10 + 1, 100 << 10, 128 << 10} {
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = -1
		body, release, status, _ := review.Body(r, 128<<10)
		if status != 0 || len(body) != size {
			t.Errorf("%d bytes: got %d, status %d", size, len(body), status)
		}
		release()
	}
}
