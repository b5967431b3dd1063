package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

var midnight = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// pastStops is a history in memory that counts what it is asked.
type pastStops struct {
	mu       sync.Mutex
	records  []record.Record
	evidence map[string]evidence.Evidence
	asked    map[string]int
	err      error
}

func (h *pastStops) List(_ context.Context, q store.Query) ([]record.Record, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked == nil {
		h.asked = map[string]int{}
	}
	what := "pod"
	if q.Workload != nil {
		what = "workload"
	}
	h.asked[what]++
	if h.err != nil {
		return nil, "", h.err
	}
	var out []record.Record
	for _, r := range h.records {
		if q.Workload != nil && (r.Workload == nil || *r.Workload != *q.Workload || !slices.Contains(q.Namespaces, r.Namespace)) ||
			q.PodUID != "" && r.PodUID != q.PodUID || r.Container != q.Container || r.Kind != q.Kind {
			continue
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b record.Record) int { return b.When().Compare(a.When()) })
	return out[:min(len(out), q.Limit)], "", nil
}

func (h *pastStops) Evidence(_ context.Context, id string) (evidence.Evidence, error) {
	if e, ok := h.evidence[id]; ok {
		return e, nil
	}
	return evidence.Evidence{}, store.ErrNotFound
}

// ended is a stop of container api of Deployment shop/api: instance n of a pod, that ended
// so many minutes after midnight and ran for so many seconds.
func ended(pod string, n int, minute float64, ran int64, image, cause string) record.Record {
	at := midnight.Add(time.Duration(minute * float64(time.Minute)))
	category := record.Failure
	if cause == "pod_deleted" {
		category = record.Lifecycle
	}
	return record.Record{
		Kind: record.KindStop, ID: fmt.Sprintf("%s-%d", pod, n), Namespace: "shop", Pod: pod, PodUID: pod, Container: "api", ContainerType: record.App,
		Workload: &record.Workload{Kind: "Deployment", Name: "api"}, Category: category, Diagnosis: record.Diagnosis{Cause: cause},
		Stop: &record.Stop{Ordinal: n, Image: image, StartedAt: at.Add(-time.Duration(ran) * time.Second), FinishedAt: at, RanSeconds: &ran},
	}
}

func historyFor(t *testing.T, c *collector, r record.Record) *evidence.History {
	t.Helper()
	f := Finding{Record: r}
	c.history(t.Context(), &f)
	if len(f.Evidence.Missing) > 0 {
		t.Fatalf("missing %+v", f.Evidence.Missing)
	}
	return f.Evidence.History
}

func atMidnight() time.Time { return midnight }

func TestHistoryOfWorkload(t *testing.T) {
	h := &pastStops{records: []record.Record{
		ended("old-1", 0, -600, 80000, "api:1", "pod_deleted"),
		ended("old-2", 0, -590, 90000, "api:1", "app_exit"),
		ended("old-2", 1, -500, 5000, "api:1", "pod_deleted"),
		ended("a", 0, 1, 30, "api:2", "app_exit"),
		ended("b", 0, 2, 31, "api:2", "app_exit"),
		ended("a", 1, 3, 32, "api:2", "app_exit"),
		ended("a", 3, 20, 34, "api:2", "app_exit"), // later than what is asked for
	}}
	other := ended("x", 0, 2, 9, "api:9", "app_exit")
	other.Namespace = "else"
	beside := ended("a", 0, 2, 9, "mesh:1", "app_exit")
	beside.Container = "mesh"
	h.records = append(h.records, other, beside)

	c := newCollector(nil, Readers{History: h}, atMidnight)
	got := historyFor(t, c, ended("a", 2, 15, 700, "api:2", "app_exit"))
	at := func(minute float64, seconds int) time.Time {
		return midnight.Add(time.Duration(minute*60+float64(seconds)) * time.Second)
	}
	want := &evidence.History{
		Stops: 2, First: at(1, 0), Last: at(3, 0), RanSeconds: []int64{30, 32}, Causes: []string{"app_exit", "app_exit"}, Image: "api:2",
		Images: []evidence.ImageHistory{
			{Image: "api:1", Stops: 3, Failures: 1, First: at(-600, 0), Last: at(-500, 0), Began: at(-590, -90000), LongestSeconds: 90000},
			{Image: "api:2", Stops: 3, Failures: 3, First: at(1, 0), Last: at(3, 0), Began: at(1, -30), LongestSeconds: 32},
		},
		// After old-2 fell it ran for 5000 s, and after a-1 until now.
		Survived: 2, SurvivedCause: "app_exit", SurvivedOf: 4,
		OthersRanSeconds: []int64{90000, 31},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// The first one of all has no history, and what was wanted has that of its pod alone.
	if got := historyFor(t, c, ended("old-0", 0, -2000, 5, "api:1", "app_exit")); got != nil {
		t.Errorf("before everything: %+v", got)
	}
	clear(h.asked)
	if got := historyFor(t, c, ended("a", 2, 15, 700, "api:2", "pod_deleted")); got == nil || got.Stops != 2 || got.Images != nil || h.asked["workload"] != 0 {
		t.Errorf("a deletion: %+v after %v", got, h.asked)
	}
	if got := historyFor(t, c, ended("new", 0, 15, 700, "api:2", "pod_deleted")); got != nil || h.asked["pod"] != 1 {
		t.Errorf("a deletion of a new pod: %+v after %v", got, h.asked)
	}
	rebooted := ended("new", 0, 15, 700, "api:2", "runtime_restarted")
	rebooted.Category, rebooted.Diagnosis.Confidence = record.Disruption, record.Confirmed
	if got := historyFor(t, c, rebooted); got != nil || h.asked["workload"] != 0 {
		t.Errorf("a reboot: %+v after %v", got, h.asked)
	}
	bare := ended("a", 2, 15, 700, "api:2", "app_exit")
	bare.Workload = nil
	if got := historyFor(t, c, bare); got == nil || len(got.Images) != 1 || got.OthersRanSeconds != nil {
		t.Errorf("a pod whose owner is not known: %+v", got)
	}
}

// TestHistoryIsBounded holds that many stops cost one page, and that what an image did
// before them is not forgotten.
func TestHistoryIsBounded(t *testing.T) {
	h := &pastStops{evidence: map[string]evidence.Evidence{}}
	for n := range 500 {
		h.records = append(h.records, ended(fmt.Sprintf("p%d", n%20), n/20, float64(n), 30, "api:2", "app_exit"))
	}
	c := newCollector(nil, Readers{History: h}, atMidnight)
	this := ended("p0", 25, 501, 30, "api:2", "app_exit")
	got := historyFor(t, c, this)
	if len(got.Images) != 1 || got.Images[0].Stops != workloadKept || !got.ImagesCut || len(got.OthersRanSeconds) != othersKept || got.Stops != historyKept+1 {
		t.Errorf("%+v", got)
	}
	oldest := h.records[len(h.records)-workloadKept+1]
	h.evidence[oldest.ID] = evidence.Evidence{History: &evidence.History{Images: []evidence.ImageHistory{{Image: "api:1", Stops: 4, First: midnight.Add(-time.Hour), LongestSeconds: 9000}}}}
	got = historyFor(t, c, this)
	if len(got.Images) != 2 || got.Images[0].Image != "api:1" || got.Images[0].LongestSeconds != 9000 || !got.ImagesCut {
		t.Errorf("%+v", got.Images)
	}
	for n := range 40 {
		h.records = append(h.records, ended("q", n, 600+float64(n), 30, fmt.Sprintf("api:%d", n), "app_exit"))
	}
	if got := historyFor(t, c, ended("q", 40, 700, 30, "api:40", "app_exit")); len(got.Images) != imagesKept || got.Images[imagesKept-1].Image != "api:39" || !got.ImagesCut {
		t.Errorf("%+v", got.Images)
	}
}

// TestHistoryOfAStorm holds that thousands of pods of a workload that stop at once ask once.
func TestHistoryOfAStorm(t *testing.T) {
	h := &pastStops{records: []record.Record{ended("old", 0, -10, 30, "api:1", "app_exit")}}
	now := midnight
	c := newCollector(nil, Readers{History: h}, func() time.Time { return now })
	c.live = true
	var wg sync.WaitGroup
	for n := range 2000 {
		wg.Go(func() {
			f := Finding{Record: ended(fmt.Sprintf("p%d", n), 0, 1, 30, "api:2", "app_exit")}
			c.history(t.Context(), &f)
			if h := f.Evidence.History; h == nil || len(h.Images) != 1 || h.Images[0].Stops != 1 {
				t.Errorf("%+v", h)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"workload": 1}, h.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	now = now.Add(pastHolds)
	historyFor(t, c, ended("q", 0, 1, 30, "api:2", "app_exit"))
	if h.asked["workload"] != 2 {
		t.Errorf("asked %v after the reading was too old", h.asked)
	}
	for n := range 3 * pastsKept {
		r := ended("r", 0, 1, 30, "api:2", "app_exit")
		r.Workload = &record.Workload{Kind: "Deployment", Name: fmt.Sprintf("w%d", n)}
		historyFor(t, c, r)
	}
	if n := len(c.past.byKey); n > pastsKept {
		t.Errorf("%d readings are held", n)
	}
}

func TestHistoryUnread(t *testing.T) {
	h := &pastStops{err: errors.New("disk on fire")}
	c := newCollector(nil, Readers{History: h}, atMidnight)
	f := Finding{Record: ended("a", 0, 1, 30, "api:1", "app_exit")}
	c.history(t.Context(), &f)
	want := []record.Missing{{What: whatHistory, Why: "disk on fire"}}
	if diff := cmp.Diff(want, f.Evidence.Missing); diff != "" || f.Evidence.History != nil {
		t.Errorf("%+v, missing (-want +got):\n%s", f.Evidence.History, diff)
	}
}

// TestHistoryOfAReplay holds that what a recorded watch showed is history to what it shows
// later, and that a dump, which shows last states, has none of a workload.
func TestHistoryOfAReplay(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    *Offline
		want bool
	}{
		{"a replay", &Offline{}, true},
		{"a dump", &Offline{Snapshot: true}, false},
		{"a cluster", &Offline{Workers: 4}, false},
	} {
		o := tc.o
		o.Context, o.AsOf = t.Context(), atMidnight
		o.start()
		for n := range 2 * workloadKept {
			r := ended(fmt.Sprintf("old-%d", n), 0, float64(n-1000), 30, "api:1", "app_exit")
			o.emitted.add(r)
			o.emitted.add(r) // it comes again
		}
		h := historyFor(t, o.collector, ended("new", 0, 0, 30, "api:2", "app_exit"))
		if got := h != nil && len(h.Images) == 1 && h.Images[0].Stops == workloadKept && h.ImagesCut; got != tc.want {
			t.Errorf("%s: %+v", tc.name, h)
		}
	}
}
