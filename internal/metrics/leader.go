package metrics

import "github.com/prometheus/client_golang/prometheus"

// Leadership tells of this replica's part among several.
type Leadership struct {
	leader    *prometheus.GaugeVec
	name      string
	takeovers prometheus.Counter
	lost      prometheus.Counter
	kept      prometheus.Gauge
	bytes     prometheus.Gauge
}

// NewLeadership registers the metrics of a replica; name is that of the Lease. The first has the
// name that the components of Kubernetes give it.
func NewLeadership(reg prometheus.Registerer, name string) *Leadership {
	l := &Leadership{
		leader: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leader_election_master_status",
			Help: "Whether this replica leads: 1 if it does, 0 if it follows.",
		}, []string{"name"}),
		name: name,
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_takeovers_total",
			Help: "How often this replica began to lead.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whyrestart_leadership_lost_total",
			Help: "How often this replica ceased to lead although it was not told to stop.",
		}),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whyrestart_standby_changes",
			Help: "Changes of pods that are remembered for a takeover, beside the newest state of each pod.",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whyrestart_standby_bytes",
			Help: "Bytes of whole pods that are remembered for a takeover.",
		}),
	}
	reg.MustRegister(l.leader, l.takeovers, l.lost, l.kept, l.bytes)
	l.leader.WithLabelValues(name).Set(0)
	return l
}

// Leads tells that this replica begins or ceases to lead.
func (l *Leadership) Leads(yes bool) {
	g := l.leader.WithLabelValues(l.name)
	if !yes {
		g.Set(0)
		return
	}
	g.Set(1)
	l.takeovers.Inc()
}

// Lost tells that it was not told to stop.
func (l *Leadership) Lost() { l.lost.Inc() }

// Remembers tells how much is remembered for a takeover.
func (l *Leadership) Remembers(changes, bytes int) {
	l.kept.Set(float64(changes))
	l.bytes.Set(float64(bytes))
}
