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
	outcomeCanceled      outcome = "canceled"    // the client left before the answer
)

var outcomes = []outcome{
	outcomeAuthenticated, outcomeRejected, outcomeDenied, outcomeThrottled,
	outcomeUnavailable, outcomeOverload, outcomeMalformed, outcomeCanceled,
}

// Metrics are the webhook's counters. Nil counts nothing.
type Metrics struct {
	reviews    map[outcome]series
	sts        *prometheus.CounterVec
	stsSeconds prometheus.Histogram
	fromMemory prometheus.Counter
	opens      *prometheus.CounterVec
	open       *prometheus.GaugeVec
	panics     prometheus.Counter
	inFlight   prometheus.Gauge
}

// series are what is counted of one outcome.
type series struct {
	number   prometheus.Counter
	duration prometheus.Observer
}

// NewMetrics creates and registers the counters.
func NewMetrics(r prometheus.Registerer) *Metrics {
	reviews := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ekskey_token_reviews_total", Help: "TokenReviews answered, by outcome.",
	}, []string{"outcome"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ekskey_token_review_duration_seconds", Help: "Time to answer a TokenReview, by outcome.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
	}, []string{"outcome"})
	m := &Metrics{
		reviews: map[outcome]series{},
		sts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_sts_requests_total", Help: "STS calls, by result.",
		}, []string{"result"}),
		stsSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ekskey_sts_request_duration_seconds", Help: "Duration of an STS call.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11),
		}),
		fromMemory: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ekskey_verified_cache_hits_total", Help: "Tokens whose answer of STS was cached.",
		}),
		opens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ekskey_sts_circuit_opened_total", Help: "How often an STS host was no longer called for some seconds, because it did not answer.",
		}, []string{"host"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ekskey_sts_circuit_open", Help: "1 while an STS host did not answer the last eight calls or more. Hosts that always answered have no series.",
		}, []string{"host"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ekskey_panics_total", Help: "Reviews that panicked: a bug, answered with 503.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ekskey_token_reviews_in_flight", Help: "TokenReviews that are being answered; at most 512.",
		}),
	}
	r.MustRegister(reviews, duration, m.sts, m.stsSeconds, m.fromMemory, m.opens, m.open, m.panics, m.inFlight)
	for _, result := range []string{"ok", "denied", "throttled", "unavailable", "refused"} {
		m.sts.WithLabelValues(result) // so that it is 0 before the first, which a rate needs
	}
	for _, o := range outcomes {
		m.reviews[o] = series{reviews.WithLabelValues(string(o)), duration.WithLabelValues(string(o))}
	}
	return m
}

func (m *Metrics) count(o outcome, d time.Duration) {
	if m != nil {
		m.reviews[o].number.Inc()
		m.reviews[o].duration.Observe(d.Seconds())
	}
}

func (m *Metrics) opened(host string) {
	if m != nil {
		m.opens.WithLabelValues(host).Inc()
		m.open.WithLabelValues(host).Set(1)
	}
}

func (m *Metrics) closed(host string) {
	if m != nil {
		m.open.WithLabelValues(host).Set(0)
	}
}

func (m *Metrics) enter() {
	if m != nil {
		m.inFlight.Inc()
	}
}

func (m *Metrics) leave() {
	if m != nil {
		m.inFlight.Dec()
	}
}

func (m *Metrics) panicked() {
	if m != nil {
		m.panics.Inc()
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
	if m == nil || unsent || errors.Is(err, errOverload) || errors.Is(err, errOpen) {
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
