// Package metrics counts what whyrestart does, for Prometheus. Label names are those
// of kube-state-metrics; no label holds a pod, a UID or a text that a pod chooses, and
// the number of series is bounded: what would exceed it is counted under "_overflow".
package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Overflow is the label value under which series beyond the bound are counted.
const Overflow = "_overflow"

// maxSeries bounds the series of each metric whose labels name what is in the cluster.
const maxSeries = 10_000

// Meter implements pipeline.Meter.
type Meter struct {
	stops    *prometheus.CounterVec
	missed   prometheus.Counter
	overflow prometheus.Counter
	stalls   *prometheus.CounterVec
	gaps     prometheus.Counter
	gapTime  prometheus.Counter
	pods     prometheus.Gauge
	pending  prometheus.Gauge
	stored   prometheus.Histogram
	failed   prometheus.Counter
	captured *prometheus.CounterVec
	up       *prometheus.GaugeVec
	read     *prometheus.CounterVec
	late     *prometheus.CounterVec
	stalling *prometheus.GaugeVec
	events   prometheus.Gauge
	dropped  prometheus.Gauge
	issues   *prometheus.GaugeVec
	ordinal  *prometheus.GaugeVec
	shards   prometheus.Gauge
	byServer *prometheus.GaugeVec
	gapMeter

	stopSeries  bound[[6]string]
	stallSeries bound[[2]string]
}

// bound admits the first maxSeries different keys.
type bound[K comparable] struct {
	mu   sync.Mutex
	seen map[K]struct{}
}

func (b *bound[K]) admits(k K) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.seen[k]; ok {
		return true
	}
	if len(b.seen) >= maxSeries {
		return false
	}
	if b.seen == nil {
		b.seen = make(map[K]struct{})
	}
	b.seen[k] = struct{}{}
	return true
}

// New registers the metrics; build names the version that runs.
func New(reg prometheus.Registerer, build string) *Meter {
	m := &Meter{
		stops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whyrestart_container_stops_total",
			Help: "Container instances that ended since this process started, without those that had ended before the watch began.",
		}, []string{"namespace", "workload", "workload_type", "container", "category", "cause"}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_container_stops_missed_total",
			Help: "Container instances that ended and of which only the restart count tells.",
		}),
		overflow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_series_overflow_total",
			Help: "Stops and stalls that were counted under the label value _overflow because there were too many series.",
		}),
		stalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whyrestart_stalls_total",
			Help: "Pods and containers that could not start.",
		}, []string{"namespace", "cause"}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_watch_gaps_total",
			Help: "Stretches of time in which the watch saw nothing.",
		}),
		gapTime: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_watch_gap_seconds_total",
			Help: "Time in which the watch saw nothing.",
		}),
		pods: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whyrestart_watched_pods",
			Help: "Pods that are watched.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whyrestart_store_pending_records",
			Help: "Records that wait to be stored.",
		}),
		stored: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "whyrestart_store_append_duration_seconds",
			Help:    "How long storing a batch took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_store_append_failures_total",
			Help: "Attempts to store that failed; what was to be stored is tried again.",
		}),
		captured: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whyrestart_log_captures_total",
			Help: "Log tails that were wanted, by what came of it.",
		}, []string{"outcome"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "whyrestart_watch_up",
			Help: "1 where the scope (a namespace, or empty for all) is being watched, 0 while it cannot be.",
		}, []string{"scope"}),
	}
	m.read = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "whyrestart_evidence_reads_total",
		Help: "Readings of evidence, by what was to be read and whether it was.",
	}, []string{"what", "outcome"})
	m.late = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "whyrestart_late_looks_total",
		Help: "Findings that were to be looked at again because evidence came late, by what came of it.",
	}, []string{"outcome"})
	m.stalling = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_stalls",
		Help: "Stalls that go on.",
	}, []string{"cause"})
	m.events = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "whyrestart_kept_events",
		Help: "Events of the cluster that are kept to explain what stops.",
	})
	m.dropped = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "whyrestart_dropped_event_objects",
		Help: "Objects whose events were dropped because there were too many; theirs are read one by one.",
	})
	m.issues = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_issues",
		Help: "Issues that were seen in the last two weeks or go on, by category and by state; as of the last minute.",
	}, []string{"category", "state"})
	m.ordinal = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_shard_ordinal",
		Help: "Which shard of the namespaces this process watches, counted from 0.",
	}, []string{"shard_ordinal"})
	m.shards = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "whyrestart_total_shards",
		Help: "Into how many shards the namespaces are divided; 1 where one process watches all.",
	})
	m.byServer = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_shard_server_side",
		Help: "Whether the API server sends this shard alone (1), or all of them, of which the others are dropped here (0); nothing where one process watches all.",
	}, nil)
	m.Shard(0, 1)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whyrestart_build_info",
		Help: "The version that runs.",
	}, []string{"version"})
	info.WithLabelValues(build).Set(1)
	reg.MustRegister(m.stops, m.missed, m.overflow, m.stalls, m.gaps, m.gapTime, m.pods, m.pending, m.stored, m.failed, m.captured, m.up,
		m.read, m.late, m.stalling, m.events, m.dropped, m.issues, m.ordinal, m.shards, m.byServer, info)
	m.register(reg)
	return m
}

// Shard sets which of how many shards is watched.
func (m *Meter) Shard(index, of int) {
	m.ordinal.Reset()
	m.ordinal.WithLabelValues(strconv.Itoa(index)).Set(float64(index))
	m.shards.Set(float64(of))
}

// Sharded sets whether the API server divides.
func (m *Meter) Sharded(byServer bool) {
	v := 0.0
	if byServer {
		v = 1
	}
	m.byServer.WithLabelValues().Set(v)
}

// Complete counts a record.
func (m *Meter) Complete(r *record.Record) {
	switch {
	case r.Stall != nil:
		l := [2]string{r.Namespace, r.Diagnosis.Cause}
		if !m.stallSeries.admits(l) {
			m.overflow.Inc()
			l[0] = Overflow
		}
		m.stalls.WithLabelValues(l[:]...).Inc()
	case r.Stop != nil && !r.BeforeWatch:
		m.stops.WithLabelValues(m.labels(r)...).Inc()
		m.missed.Add(float64(r.MissedBefore))
	}
}

// labels returns the label values of a stop, within the bound on series.
func (m *Meter) labels(r *record.Record) []string {
	l := [6]string{r.Namespace, "", "", r.Container, string(r.Category), r.Diagnosis.Cause}
	if r.Workload != nil {
		l[1], l[2] = r.Workload.Name, r.Workload.Kind
	}
	if !m.stopSeries.admits(l) {
		m.overflow.Inc()
		l = [6]string{Overflow, Overflow, Overflow, Overflow, string(r.Category), r.Diagnosis.Cause}
	}
	return l[:]
}

// Gap counts a stretch that was not seen.
func (m *Meter) Gap(g record.Gap) {
	m.gaps.Inc()
	m.Lapse(record.GapWatch)
	if d := g.To.Sub(g.From); d > 0 && !g.From.IsZero() {
		m.gapTime.Add(d.Seconds())
	}
}

// Pods sets the number of watched pods.
func (m *Meter) Pods(n int) { m.pods.Set(float64(n)) }

// Pending sets the number of records that wait to be stored.
func (m *Meter) Pending(n int) { m.pending.Set(float64(n)) }

// Stored observes an attempt to store.
func (m *Meter) Stored(_ int, took time.Duration, err error) {
	if err != nil {
		m.failed.Inc()
		return
	}
	m.stored.Observe(took.Seconds())
}

// Captured counts a log tail that was wanted.
func (m *Meter) Captured(outcome string) { m.captured.WithLabelValues(outcome).Inc() }

// Trouble sets whether a scope is being watched.
func (m *Meter) Trouble(scope string, err error) {
	v := 1.0
	if err != nil {
		v = 0
	}
	m.up.WithLabelValues(scope).Set(v)
}

// Read counts a reading of evidence.
func (m *Meter) Read(what string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.read.WithLabelValues(what, outcome).Inc()
}

// Late counts a finding that was to be looked at again.
func (m *Meter) Late(outcome string) { m.late.WithLabelValues(outcome).Inc() }

// Stalling counts the stalls of a cause that go on.
func (m *Meter) Stalling(cause string, by int) { m.stalling.WithLabelValues(cause).Add(float64(by)) }

// Events sets how many events are kept, and of how many objects they were dropped.
func (m *Meter) Events(kept, dropped int) {
	m.events.Set(float64(kept))
	m.dropped.Set(float64(dropped))
}

// Issues sets how many issues there are of each category and state; of what is not in
// counts there are none.
func (m *Meter) Issues(counts map[pipeline.IssueClass]int) {
	for _, category := range []record.Category{record.Failure, record.Disruption, record.Lifecycle} {
		for _, state := range issue.States() {
			n := counts[pipeline.IssueClass{Category: category, State: state}]
			m.issues.WithLabelValues(string(category), string(state)).Set(float64(n))
		}
	}
}
