package authorizer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is what came of a SubjectAccessReview, as metrics name it.
type outcome string

const (
	outcomeAllowed     outcome = "allowed"
	outcomeNoOpinion   outcome = "no-opinion"
	outcomeUnavailable outcome = "unavailable" // the access entries are not available
	outcomeMalformed   outcome = "malformed"   // not a SubjectAccessReview
)

// Metrics are the authorizer's counters. Nil counts nothing.
type Metrics struct {
	reviews  *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics makes the counters and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_subject_access_reviews_total", Help: "SubjectAccessReviews answered, by outcome.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ekskey_subject_access_review_duration_seconds", Help: "Time to answer a SubjectAccessReview, by outcome.",
			Buckets: prometheus.ExponentialBuckets(0.00001, 4, 10),
		}, []string{"outcome"}),
	}
	r.MustRegister(m.reviews, m.duration)
	return m
}

func (m *Metrics) count(o outcome, d time.Duration) {
	if m != nil {
		m.reviews.WithLabelValues(string(o)).Inc()
		m.duration.WithLabelValues(string(o)).Observe(d.Seconds())
	}
}
