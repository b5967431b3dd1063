package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// selects tells whether q selects r: the meaning of Query, in the plainest words.
func selects(q store.Query, r record.Record) bool {
	among := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	is := func(want, s string) bool { return want == "" || want == s }
	at := r.When()
	return is(q.Cluster, r.Cluster) && among(q.Namespaces, r.Namespace) && is(q.Pod, r.Pod) && is(q.PodUID, r.PodUID) &&
		is(q.Container, r.Container) && is(q.Node, r.Node) && is(string(q.Kind), string(r.Kind)) &&
		(q.Workload == nil || r.Workload != nil && *r.Workload == *q.Workload) &&
		(len(q.Categories) == 0 || slices.Contains(q.Categories, r.Category)) && among(q.Causes, r.Diagnosis.Cause) &&
		(!q.Open || r.Stall != nil && r.End.IsZero()) && (!q.Missed || missed(r) > 0) &&
		(q.Since.IsZero() || !at.Before(q.Since)) && (q.Until.IsZero() || at.Before(q.Until))
}

// varied returns records that differ in everything that a query can ask for.
func varied(n int) []record.Record {
	records := make([]record.Record, 0, n)
	for i := range n {
		r := stop(i)
		if i%7 == 3 {
			r = stall(i)
		}
		// Three of a time, and times that do not follow the order of appending.
		at := Epoch().Add(time.Duration(i*37%n/3) * time.Second)
		if r.Stop != nil {
			r.FinishedAt = at
			r.MissedBefore = max(0, i%11-8)
			r.Container = []string{"api", "proxy"}[i%2]
			r.Workload = &record.Workload{Kind: []string{"Deployment", "Job"}[i%2], Name: fmt.Sprintf("w-%d", i%4)}
		} else {
			r.Begin = at
			if i%2 == 0 {
				r.End = at.Add(time.Hour)
			}
		}
		r.Cluster = []string{"prod", "dev"}[i%5/4]
		r.Namespace = fmt.Sprintf("ns-%d", i%6)
		r.Pod = fmt.Sprintf("pod-%d", i%20)
		r.PodUID = fmt.Sprintf("uid-%d", i%30)
		r.Node = fmt.Sprintf("node-%d", i%3)
		r.Category = []record.Category{record.Failure, record.Disruption, record.Lifecycle}[i%3]
		r.Diagnosis.Cause = []string{"app_exit", "oom_killed", "completed", "unknown"}[i%4]
		records = append(records, r)
	}
	return records
}

// ordered returns the records that q selects in the order of List; records are in the
// order in which they were stored.
func ordered(records []record.Record, q store.Query) []record.Record {
	var out []record.Record
	for _, r := range slices.Backward(records) {
		if selects(q, r) {
			out = append(out, withoutLog(r))
		}
	}
	slices.SortStableFunc(out, func(a, b record.Record) int { return b.When().Compare(a.When()) })
	return out
}

func queries() []store.Query {
	at := func(s int) time.Time { return Epoch().Add(time.Duration(s) * time.Second) }
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("ns-%d", 3+i))
	}
	return []store.Query{
		{},
		{Cluster: "dev"},
		{Cluster: "nowhere"},
		{Namespaces: []string{"ns-1"}},
		{Namespaces: []string{"ns-1"}, Since: at(10), Until: at(30)},
		{Namespaces: []string{"ns-4", "ns-1", "ns-4", "none"}},
		{Namespaces: []string{"ns-4", "ns-1"}, Since: at(20), Categories: []record.Category{record.Disruption}},
		{Namespaces: many},
		{Pod: "pod-3"},
		{Pod: "pod-3", Namespaces: []string{"ns-1", "ns-5"}},
		{PodUID: "uid-7"},
		{PodUID: "uid-7", Pod: "pod-3"},
		{Container: "proxy"},
		{Workload: &record.Workload{Kind: "Deployment", Name: "w-2"}},
		{Workload: &record.Workload{Kind: "Deployment", Name: "w-2"}, Namespaces: []string{"ns-2"}, Since: at(5)},
		{Workload: &record.Workload{Kind: "Deployment", Name: "w-1"}},
		{Node: "node-2"},
		{Node: "node-2", Kind: record.KindStall},
		{Kind: record.KindStop},
		{Categories: []record.Category{record.Failure, record.Disruption}},
		{Causes: []string{"oom_killed", "unknown"}},
		{Open: true},
		{Open: true, Kind: record.KindStall, Cluster: "prod"},
		{Open: true, Namespaces: []string{"ns-1", "ns-5"}, Since: at(10)},
		{Open: true, Kind: record.KindStop},
		{Missed: true},
		{Missed: true, Cluster: "prod", Since: at(10), Until: at(40)},
		{Missed: true, Namespaces: []string{"ns-1", "ns-5"}},
		{Missed: true, Workload: &record.Workload{Kind: "Deployment", Name: "w-2"}},
		{Missed: true, Kind: record.KindStall},
		{Since: at(10)},
		{Until: at(10)},
		{Since: at(10), Until: at(10)},
		{Since: at(10), Until: at(11)},
		{Since: at(10).Add(1), Until: at(12)},
		{Since: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

func listFilters(t *testing.T, f *fixture) {
	records := varied(180)
	f.records(t, records...)
	for i, q := range queries() {
		want := ids(ordered(records, q))
		for _, limit := range []int{0, 1 + len(want)/3} {
			q.Limit = limit
			if diff := cmp.Diff(want, ids(f.all(t, q))); diff != "" {
				t.Errorf("query %d %+v (-want +got):\n%s", i, q, diff)
			}
		}
	}
}

func listOrder(t *testing.T, f *fixture) {
	unknown := with(stop(1), func(r *record.Record) {
		r.FinishedAt = time.Time{}
		r.ObservedAt = Epoch().Add(time.Hour)
	})
	nano := with(stop(2), func(r *record.Record) { r.FinishedAt = Epoch().Add(time.Hour + 1) })
	same := with(stop(3), func(r *record.Record) { r.FinishedAt = Epoch().Add(time.Hour) })
	timeless := with(stop(4), func(r *record.Record) { r.FinishedAt, r.ObservedAt = time.Time{}, time.Time{} })
	f.records(t, timeless, nano, unknown, same)
	equal(t, "the list", ids([]record.Record{nano, same, unknown, timeless}), ids(f.list(t, store.Query{})))
	// A refinement that does not move the time does not move the record.
	f.records(t, with(unknown, func(r *record.Record) { r.Reason = "Error" }))
	equal(t, "the list", ids([]record.Record{nano, same, unknown, timeless}), ids(f.list(t, store.Query{})))
}

func listPages(t *testing.T, f *fixture) {
	var records []record.Record
	for i := range store.DefaultLimit + 1 {
		records = append(records, with(stop(i), func(r *record.Record) { r.FinishedAt = Epoch() }))
	}
	f.records(t, records...)
	want := ids(ordered(records, store.Query{}))

	page, next, err := f.List(t.Context(), store.Query{})
	if err != nil || len(page) != store.DefaultLimit || next == "" {
		t.Fatalf("without a limit: %d records, next %q, error %v", len(page), next, err)
	}
	page, next, err = f.List(t.Context(), store.Query{Limit: len(records)})
	if err != nil || len(page) != len(records) || next != "" {
		t.Errorf("a page that fits exactly: %d records, next %q, error %v", len(page), next, err)
	}
	for _, limit := range []int{7, 100, 500} {
		equal(t, fmt.Sprintf("pages of %d", limit), want, ids(f.all(t, store.Query{Limit: limit})))
	}
}

func listPagesDuringAppends(t *testing.T, f *fixture) {
	records := varied(90)
	f.records(t, records...)
	for _, q := range []store.Query{{}, {Namespaces: []string{"ns-1", "ns-2"}}, {Node: "node-1"}} {
		q.Limit = 5
		want := ids(ordered(records, q))
		var got []string
		for i := 0; ; i++ {
			page, next, err := f.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				if !strings.HasPrefix(r.ID, "late") {
					got = append(got, r.ID)
				}
			}
			if next == "" {
				break
			}
			q.Cursor = next
			// Some at the very top, some at the times of others.
			f.records(t,
				with(records[i], func(r *record.Record) { r.ID = fmt.Sprintf("late-%d-%s", i, next) }),
				with(page[len(page)-1], func(r *record.Record) { r.ID = fmt.Sprintf("late-too-%d-%s", i, next) }),
				with(stop(100000+i), func(r *record.Record) { r.ID = fmt.Sprintf("late-top-%d-%s", i, next) }))
		}
		equal(t, "the pages", want, got)
	}
}

func listCursor(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2))
	_, next, err := f.List(t.Context(), store.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", "%", next + "A", next[1:], strings.Repeat("A", 1000)} {
		if _, _, err := f.List(t.Context(), store.Query{Cursor: bad}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: error %v", bad, err)
		}
	}
	f.reopen(t)
	equal(t, "the page after reopening", []string{stop(1).ID}, ids(f.list(t, store.Query{Cursor: next})))
}

func getByPrefix(t *testing.T, f *fixture) {
	for _, id := range []string{"aaaaaa11", "aaaaaa12", "aaaaaa1", "bbbbbbbb", "bbbb", "c%cccccc", "\U0010ffff\U0010ffff"} {
		f.records(t, with(stop(1), func(r *record.Record) { r.ID = id }))
	}
	for _, c := range []struct {
		id, want string
		err      error
	}{
		{id: "aaaaaa11", want: "aaaaaa11"},
		{id: "aaaaaa1", want: "aaaaaa1"}, // exact, although it begins others
		{id: "aaaaaa", err: store.ErrAmbiguous},
		{id: "bbbbbb", want: "bbbbbbbb"},
		{id: "bbbb", want: "bbbb"},
		{id: "bbbbb", err: store.ErrNotFound}, // too short
		{id: "bbbbbbbbb", err: store.ErrNotFound},
		{id: "c_cccc", err: store.ErrNotFound},
		{id: "c%cccc", want: "c%cccccc"},
		{id: "%%%%%%", err: store.ErrNotFound},
		{id: "BBBBBB", err: store.ErrNotFound},
		{id: "\U0010ffff\U0010ffff"[:6], want: ""},
		{id: "", err: store.ErrNotFound},
	} {
		got, err := f.Get(t.Context(), c.id)
		if c.want == "" && c.err == nil {
			continue // half a character: only that it does not break
		}
		if !errors.Is(err, c.err) || got.ID != c.want {
			t.Errorf("Get(%q) = %q, %v; want %q, %v", c.id, got.ID, err, c.want, c.err)
		}
	}
	_, err := f.Get(t.Context(), "aaaaaa")
	if err == nil || !strings.Contains(err.Error(), "aaaaaa11") {
		t.Errorf("%v: it does not name what the prefix fits", err)
	}
}
