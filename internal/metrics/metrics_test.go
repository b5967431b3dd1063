package metrics_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

func stop(change ...func(*record.Record)) *record.Record {
	r := &record.Record{
		Namespace: "shop", Pod: "checkout-1", PodUID: "u1", Container: "api", Workload: &record.Workload{Kind: "Deployment", Name: "checkout"},
		Category: record.Failure, Diagnosis: record.Diagnosis{Cause: "oom_killed"}, Stop: &record.Stop{ExitObserved: true},
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// expect compares what a scrape would give of some metrics.
func expect(t *testing.T, reg *prometheus.Registry, want string, names ...string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if slices.Contains(names, f.GetName()) {
			if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(b.String())); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// series counts those of one metric.
func series(t *testing.T, reg *prometheus.Registry, name string) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}

func TestStops(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, "v1")
	m.Complete(stop())
	m.Complete(stop(func(r *record.Record) { r.Pod, r.PodUID = "checkout-2", "u2" }))
	m.Complete(stop(func(r *record.Record) { r.MissedBefore = 3 }))
	m.Complete(stop(func(r *record.Record) { r.Category, r.Diagnosis.Cause = record.Lifecycle, "pod_deleted" }))
	m.Complete(stop(func(r *record.Record) { r.Workload = nil }))
	m.Complete(stop(func(r *record.Record) { r.BeforeWatch, r.MissedBefore = true, 9 }))
	m.Complete(stop(func(r *record.Record) {
		r.Stop, r.Stall, r.Diagnosis.Cause = nil, &record.Stall{}, "image_not_found"
	}))
	m.Complete(&record.Record{})
	expect(t, reg, `
# HELP whyrestart_container_stops_missed_total Container instances that ended and of which only the restart count tells.
# TYPE whyrestart_container_stops_missed_total counter
whyrestart_container_stops_missed_total 3
# HELP whyrestart_container_stops_total Container instances that ended since this process started, without those that had ended before the watch began.
# TYPE whyrestart_container_stops_total counter
whyrestart_container_stops_total{category="failure",cause="oom_killed",container="api",namespace="shop",workload="",workload_type=""} 1
whyrestart_container_stops_total{category="failure",cause="oom_killed",container="api",namespace="shop",workload="checkout",workload_type="Deployment"} 3
whyrestart_container_stops_total{category="lifecycle",cause="pod_deleted",container="api",namespace="shop",workload="checkout",workload_type="Deployment"} 1
# HELP whyrestart_series_overflow_total Stops and stalls that were counted under the label value _overflow because there were too many series.
# TYPE whyrestart_series_overflow_total counter
whyrestart_series_overflow_total 0
# HELP whyrestart_stalls_total Pods and containers that could not start.
# TYPE whyrestart_stalls_total counter
whyrestart_stalls_total{cause="image_not_found",namespace="shop"} 1
`, "whyrestart_container_stops_total", "whyrestart_container_stops_missed_total", "whyrestart_stalls_total", "whyrestart_series_overflow_total")
}

// TestSeriesAreBounded holds that a cluster that invents names cannot grow the metrics
// without end, and that no stop goes uncounted for it.
func TestSeriesAreBounded(t *testing.T) {
	const bound, more = 10_000, 25
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, "v1")
	for i := range bound + more {
		m.Complete(stop(func(r *record.Record) { r.Namespace = fmt.Sprint("ns-", i) }))
	}
	m.Complete(stop(func(r *record.Record) { r.Namespace = "ns-0" })) // a series that exists goes on
	if n := series(t, reg, "whyrestart_container_stops_total"); n != bound+1 {
		t.Errorf("%d series, want the %d and the one of the overflow", n, bound)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var total, overflow, first, counted float64
	for _, f := range families {
		for _, s := range f.GetMetric() {
			v := s.GetCounter().GetValue()
			switch f.GetName() {
			case "whyrestart_series_overflow_total":
				counted = v
			case "whyrestart_container_stops_total":
				total += v
				for _, l := range s.GetLabel() {
					switch {
					case l.GetName() != "namespace":
					case l.GetValue() == metrics.Overflow:
						overflow += v
					case l.GetValue() == "ns-0":
						first += v
					}
				}
			}
		}
	}
	if total != bound+more+1 || overflow != more || counted != more || first != 2 {
		t.Errorf("%v stops, %v of them beyond the bound, said to be %v, and %v of the first series", total, overflow, counted, first)
	}
}

func TestStallSeriesAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, "v1")
	for i := range 10_100 {
		m.Complete(&record.Record{Namespace: fmt.Sprint("ns-", i), Stall: &record.Stall{}, Diagnosis: record.Diagnosis{Cause: "unschedulable"}})
	}
	if n := series(t, reg, "whyrestart_stalls_total"); n > 10_001 {
		t.Errorf("%d series", n)
	}
}

func TestTheRest(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, "v1.2.3")
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m.Gap(record.Gap{From: from, To: from.Add(90 * time.Second)})
	m.Gap(record.Gap{To: from})                               // nobody knows since when
	m.Gap(record.Gap{From: from, To: from.Add(-time.Second)}) // a clock that was set back
	m.Pods(3)
	m.Pods(2)
	m.Pending(7)
	m.Stored(4, 30*time.Millisecond, nil)
	m.Stored(4, time.Second, errors.New("disk full"))
	m.Captured("proven")
	m.Captured("proven")
	m.Captured("gone")
	m.Trouble("", nil)
	m.Trouble("shop", errors.New("forbidden"))
	m.Read("node", nil)
	m.Read("node", errors.New("forbidden"))
	m.Late("changed")
	m.Stalling("unschedulable", 1)
	m.Stalling("unschedulable", 1)
	m.Stalling("unschedulable", -1)
	m.Events(12, 2)
	expect(t, reg, `
# HELP whyrestart_build_info The version that runs.
# TYPE whyrestart_build_info gauge
whyrestart_build_info{version="v1.2.3"} 1
# HELP whyrestart_dropped_event_objects Objects whose events were dropped because there were too many; theirs are read one by one.
# TYPE whyrestart_dropped_event_objects gauge
whyrestart_dropped_event_objects 2
# HELP whyrestart_evidence_reads_total Readings of evidence, by what was to be read and whether it was.
# TYPE whyrestart_evidence_reads_total counter
whyrestart_evidence_reads_total{outcome="failed",what="node"} 1
whyrestart_evidence_reads_total{outcome="ok",what="node"} 1
# HELP whyrestart_kept_events Events of the cluster that are kept to explain what stops.
# TYPE whyrestart_kept_events gauge
whyrestart_kept_events 12
# HELP whyrestart_late_looks_total Findings that were to be looked at again because evidence came late, by what came of it.
# TYPE whyrestart_late_looks_total counter
whyrestart_late_looks_total{outcome="changed"} 1
# HELP whyrestart_log_captures_total Log tails that were wanted, by what came of it.
# TYPE whyrestart_log_captures_total counter
whyrestart_log_captures_total{outcome="gone"} 1
whyrestart_log_captures_total{outcome="proven"} 2
# HELP whyrestart_stalls Stalls that go on.
# TYPE whyrestart_stalls gauge
whyrestart_stalls{cause="unschedulable"} 1
# HELP whyrestart_store_append_failures_total Attempts to store that failed; what was to be stored is tried again.
# TYPE whyrestart_store_append_failures_total counter
whyrestart_store_append_failures_total 1
# HELP whyrestart_store_pending_records Records that wait to be stored.
# TYPE whyrestart_store_pending_records gauge
whyrestart_store_pending_records 7
# HELP whyrestart_watch_gap_seconds_total Time in which the watch saw nothing.
# TYPE whyrestart_watch_gap_seconds_total counter
whyrestart_watch_gap_seconds_total 90
# HELP whyrestart_watch_gaps_total Stretches of time in which the watch saw nothing.
# TYPE whyrestart_watch_gaps_total counter
whyrestart_watch_gaps_total 3
# HELP whyrestart_watch_up 1 where the scope (a namespace, or empty for all) is being watched, 0 while it cannot be.
# TYPE whyrestart_watch_up gauge
whyrestart_watch_up{scope=""} 1
whyrestart_watch_up{scope="shop"} 0
# HELP whyrestart_watched_pods Pods that are watched.
# TYPE whyrestart_watched_pods gauge
whyrestart_watched_pods 2
`, "whyrestart_build_info", "whyrestart_log_captures_total", "whyrestart_store_append_failures_total", "whyrestart_store_pending_records",
		"whyrestart_watch_gap_seconds_total", "whyrestart_watch_gaps_total", "whyrestart_watch_up", "whyrestart_watched_pods",
		"whyrestart_evidence_reads_total", "whyrestart_late_looks_total", "whyrestart_stalls", "whyrestart_kept_events", "whyrestart_dropped_event_objects")
	if n := series(t, reg, "whyrestart_store_append_duration_seconds"); n != 1 {
		t.Errorf("%d histograms of what was stored", n)
	}
}

// TestNames holds every metric, with a sample of each, to Prometheus's conventions.
func TestNames(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, "v1")
	m.Complete(stop())
	m.Complete(&record.Record{Stall: &record.Stall{}})
	m.Captured("proven")
	m.Trouble("", nil)
	m.Read("node", nil)
	m.Late("same")
	m.Stalling("unschedulable", 1)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "whyrestart_") {
			t.Errorf("%s has another prefix", f.GetName())
		}
		for _, l := range f.GetMetric()[0].GetLabel() {
			switch l.GetName() {
			case "pod", "uid", "id", "issue", "message", "reason":
				t.Errorf("%s has the label %s, which knows no bound", f.GetName(), l.GetName())
			}
		}
	}
}

func TestIssues(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, "v1")
	if n := series(t, reg, "whyrestart_issues"); n != 0 {
		t.Errorf("%d series before anything was counted", n)
	}
	m.Issues(map[pipeline.IssueClass]int{{Category: record.Failure, State: issue.New}: 5, {Category: record.Disruption, State: issue.Resolved}: 2})
	m.Issues(map[pipeline.IssueClass]int{{Category: record.Failure, State: issue.New}: 3})
	if n := series(t, reg, "whyrestart_issues"); n != 21 {
		t.Errorf("%d series", n)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "whyrestart_issues" {
			continue
		}
		for _, s := range f.GetMetric() {
			want := 0.0
			if l := s.GetLabel(); l[0].GetValue() == "failure" && l[1].GetValue() == "new" {
				want = 3
			}
			if got := s.GetGauge().GetValue(); got != want {
				t.Errorf("%v: got %v", s.GetLabel(), got)
			}
		}
	}
}
