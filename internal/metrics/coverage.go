package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// gapMeter implements pipeline.GapMeter, and counts what waits for whom.
type gapMeter struct {
	lapses      *prometheus.CounterVec
	denied      *prometheus.GaugeVec
	unavailable prometheus.Gauge
	waiting     *prometheus.GaugeVec
	oldest      *prometheus.GaugeVec
	lost        *prometheus.CounterVec
	seen        *prometheus.GaugeVec
}

var _ pipeline.GapMeter = (*Meter)(nil)

func (m *gapMeter) register(reg prometheus.Registerer) {
	m.lapses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "whyrestart_gaps_total",
		Help: "Stretches of time of which something is not known, by what: watch, events, permission, store, evidence or notification.",
	}, []string{"kind"})
	m.denied = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_permission_denied",
		Help: "In how many namespaces (or 1 for all) the API server refuses a request at the moment, of those that were refused before.",
	}, []string{"verb", "resource"})
	m.unavailable = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "whyrestart_store_unavailable",
		Help: "1 while the store cannot be written; what is found waits.",
	})
	m.waiting = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_outbox_pending",
		Help: "Changes that were stored and not told to a consumer yet, as of the last quarter of a minute.",
	}, []string{"consumer"})
	m.oldest = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_outbox_oldest_seconds",
		Help: "How long the oldest of the changes that a consumer was not told waits; 0 where none does.",
	}, []string{"consumer"})
	m.lost = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "whyrestart_notifications_dropped_total",
		Help: "Changes that were stored and will not be told to a consumer.",
	}, []string{"consumer"})
	m.seen = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_last_seen_timestamp_seconds",
		Help: "When the watch of a scope (a namespace, or empty for all) was last known to be up to date; a server says so about once a minute.",
	}, []string{"scope"})
	for _, k := range []record.GapKind{record.GapWatch, record.GapEvents, record.GapPermission, record.GapStore, record.GapEvidence, record.GapNotification} {
		m.lapses.WithLabelValues(string(k)) // from 0 on, so that the first one is an increase
	}
	reg.MustRegister(m.lapses, m.denied, m.unavailable, m.waiting, m.oldest, m.lost, m.seen)
}

// Lapse implements pipeline.GapMeter.
func (m *gapMeter) Lapse(kind record.GapKind) { m.lapses.WithLabelValues(string(kind)).Inc() }

// Denied implements pipeline.GapMeter. What can be asked for is what the program asks for.
func (m *gapMeter) Denied(verb, resource string, namespaces int) {
	m.denied.WithLabelValues(verb, resource).Set(float64(namespaces))
}

// Unavailable implements pipeline.GapMeter.
func (m *gapMeter) Unavailable(is bool) {
	m.unavailable.Set(0)
	if is {
		m.unavailable.Set(1)
	}
}

// Waiting sets what waits for a consumer, and since when; zero for nothing.
func (m *gapMeter) Waiting(consumer string, changes int64, wait time.Duration) {
	m.waiting.WithLabelValues(consumer).Set(float64(changes))
	m.oldest.WithLabelValues(consumer).Set(max(0, wait.Seconds()))
	m.lost.WithLabelValues(consumer)
}

// Lost counts what will not be told to a consumer.
func (m *gapMeter) Lost(consumer string, n int) { m.lost.WithLabelValues(consumer).Add(float64(n)) }

// Seen sets when a scope was last known to be up to date; zero for never.
func (m *gapMeter) Seen(scope string, at time.Time) {
	v := 0.0
	if !at.IsZero() {
		v = float64(at.UnixMilli()) / 1000
	}
	m.seen.WithLabelValues(scope).Set(v)
}
