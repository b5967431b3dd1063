package metrics_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/record"
)

// TestGapMetrics holds the names that alerts rely on, and that kinds are there before the first gap.
func TestGapMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, "test")
	m.Gap(record.Gap{From: time.Unix(10, 0), To: time.Unix(12, 0)})
	m.Lapse(record.GapPermission)
	m.Denied("get", "pods/log", 3)
	m.Denied("get", "nodes", 1)
	m.Denied("get", "nodes", 0)
	m.Unavailable(true)
	m.Waiting("stdout", 2, 1500*time.Millisecond)
	m.Waiting("chat", 0, -time.Second)
	m.Lost("chat", 4)
	m.Seen("", time.Unix(1000, 500_000_000))
	m.Seen("shop", time.Time{})
	want := `
# HELP whyrestart_gaps_total Stretches of time of which something is not known, by what: watch, events, permission, store, evidence or notification.
# TYPE whyrestart_gaps_total counter
whyrestart_gaps_total{kind="events"} 0
whyrestart_gaps_total{kind="evidence"} 0
whyrestart_gaps_total{kind="notification"} 0
whyrestart_gaps_total{kind="permission"} 1
whyrestart_gaps_total{kind="store"} 0
whyrestart_gaps_total{kind="watch"} 1
# HELP whyrestart_last_seen_timestamp_seconds When the watch of a scope (a namespace, or empty for all) was last known to be up to date; a server says so about once a minute.
# TYPE whyrestart_last_seen_timestamp_seconds gauge
whyrestart_last_seen_timestamp_seconds{scope=""} 1000.5
whyrestart_last_seen_timestamp_seconds{scope="shop"} 0
# HELP whyrestart_notifications_dropped_total Changes that were stored and will not be told to a consumer.
# TYPE whyrestart_notifications_dropped_total counter
whyrestart_notifications_dropped_total{consumer="chat"} 4
whyrestart_notifications_dropped_total{consumer="stdout"} 0
# HELP whyrestart_outbox_oldest_seconds How long the oldest of the changes that a consumer was not told waits; 0 where none does.
# TYPE whyrestart_outbox_oldest_seconds gauge
whyrestart_outbox_oldest_seconds{consumer="chat"} 0
whyrestart_outbox_oldest_seconds{consumer="stdout"} 1.5
# HELP whyrestart_outbox_pending Changes that were stored and not told to a consumer yet, as of the last quarter of a minute.
# TYPE whyrestart_outbox_pending gauge
whyrestart_outbox_pending{consumer="chat"} 0
whyrestart_outbox_pending{consumer="stdout"} 2
# HELP whyrestart_permission_denied In how many namespaces (or 1 for all) the API server refuses a request at the moment, of those that were refused before.
# TYPE whyrestart_permission_denied gauge
whyrestart_permission_denied{resource="nodes",verb="get"} 0
whyrestart_permission_denied{resource="pods/log",verb="get"} 3
# HELP whyrestart_store_unavailable 1 while the store cannot be written; what is found waits.
# TYPE whyrestart_store_unavailable gauge
whyrestart_store_unavailable 1
# HELP whyrestart_watch_gap_seconds_total Time in which the watch saw nothing.
# TYPE whyrestart_watch_gap_seconds_total counter
whyrestart_watch_gap_seconds_total 2
`
	names := []string{
		"whyrestart_gaps_total", "whyrestart_last_seen_timestamp_seconds", "whyrestart_notifications_dropped_total",
		"whyrestart_outbox_oldest_seconds", "whyrestart_outbox_pending", "whyrestart_permission_denied",
		"whyrestart_store_unavailable", "whyrestart_watch_gap_seconds_total",
	}
	expect(t, reg, want, names...)
}
