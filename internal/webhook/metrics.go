package webhook

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// outcome is the result of a TokenReview, in metrics and logs.
type outcome string

const (
	outcomeAuthenticated outcome = "authenticated"
	outcomeRejected      outcome = "rejected"    // the token can never become valid
	outcomeDenied        outcome = "denied"      // it may become valid
	outcomeThrottled     outcome = "throttled"   // STS throttles
	outcomeUnavailable   outcome = "unavailable" // STS does not answer, or its response is invalid
	outcomeOverload      outcome = "overload"    // too many requests in this server
	outcomeMalformed     outcome = "malformed"   // not a TokenReview
)

// Metrics are the webhook's counters. Nil counts nothing.
type Metrics struct {
	reviews    *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	sts        *prometheus.CounterVec
	stsSeconds prometheus.Histogram
	fromMemory prometheus.Counter
}

// NewMetrics creates and registers the counters.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_token_reviews_total", Help: "TokenReviews answered, by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ekskey_token_review_duration_seconds", Help: "Time to answer a TokenReview, by outcome.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
		}, []string{"outcome"}),
		sts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_sts_requests_total", Help: "Tokens that STS was asked about, by result.",
		}, []string{"result"}),
		stsSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ekskey_sts_request_duration_seconds", Help: "Time until STS answered.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11),
		}),
		fromMemory: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ekskey_verified_cache_hits_total", Help: "Tokens whose identity was remembered.",
		}),
	}
	r.MustRegister(m.reviews, m.duration, m.sts, m.stsSeconds, m.fromMemory)
	return m
}

func (m *Metrics) count(o outcome, d time.Duration) {
	if m != nil {
		m.reviews.WithLabelValues(string(o)).Inc()
		m.duration.WithLabelValues(string(o)).Observe(d.Seconds())
	}
}

func (m *Metrics) remembered() {
	if m != nil {
		m.fromMemory.Inc()
	}
}

func (m *Metrics) asked(err error, d time.Duration) {
	// A token that was never sent, because of overload or because it expired while it
	// waited, is not an STS call.
	var broken *token.RuleError
	unsent := errors.As(err, &broken) && broken.Code < "V30"
	if m == nil || unsent || errors.Is(err, errOverload) {
		return
	}
	result := "ok"
	var denied *verify.DeniedError
	var unavailable *verify.UnavailableError
	switch {
	case errors.As(err, &denied):
		result = "denied"
	case errors.As(err, &unavailable) && unavailable.Throttled:
		result = "throttled"
	case errors.As(err, &unavailable):
		result = "unavailable"
	case err != nil:
		result = "refused"
	}
	m.sts.WithLabelValues(result).Inc()
	m.stsSeconds.Observe(d.Seconds())
}
