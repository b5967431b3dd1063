package storetest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func mark(uid, name string, accounted int) record.Mark {
	return record.Mark{
		ContainerKey: record.ContainerKey{PodUID: uid, Type: record.App, Name: name},
		Namespace:    "shop", Pod: "pod-" + uid, Accounted: accounted,
	}
}

// fullMark has every field set, to its largest where that matters. The test fails when
// a field is added to record.Mark and not here.
func fullMark(t *testing.T) record.Mark {
	t.Helper()
	m := record.Mark{
		ContainerKey: record.ContainerKey{PodUID: "full", Type: record.Sidecar, Name: "proxy"},
		Namespace:    "shop", Pod: "pod-full",
		Epoch: 2, Accounted: 7, RestartCount: 6, LastEpoch: 1, LastOrdinal: 5,
		CurrentID: math.MaxUint64, LastID: math.MaxUint64 - 1, PrevID: 1 << 63, RealID: 1<<63 - 1,
		LastSum: math.MaxUint64 - 2, LastSynthetic: true, LastFinished: Epoch(), LastMissed: 3, LastBeforeWatch: true,
		ResourceVersion: math.MaxUint64 - 3,
	}
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("fullMark does not set %s", v.Type().Field(i).Name)
		}
	}
	return m
}

func byKey(marks ...record.Mark) map[record.ContainerKey]record.Mark {
	out := make(map[record.ContainerKey]record.Mark)
	for _, m := range marks {
		out[m.ContainerKey] = m
	}
	return out
}

func marks(t *testing.T, f *fixture) {
	put := func(cluster string, forget []string, marks ...record.Mark) {
		t.Helper()
		f.append(t, store.Batch{Cluster: cluster, Marks: marks, Forget: forget})
	}
	full := fullMark(t)
	sidecar := mark("a", "api", 1)
	sidecar.Type = record.Sidecar

	put("prod", nil, mark("a", "api", 1), mark("a", "proxy", 1), sidecar, full)
	put("dev", nil, mark("a", "api", 7))
	equal(t, "the marks", byKey(mark("a", "api", 1), mark("a", "proxy", 1), sidecar, full), f.marks(t, "prod"))
	put("prod", nil, mark("a", "api", 2), mark("a", "api", 3))
	equal(t, "the marks after one moved", byKey(mark("a", "api", 3), mark("a", "proxy", 1), sidecar, full), f.marks(t, "prod"))
	equal(t, "how many there are", int64(5), f.stats(t).Marks)

	// A pod that stops and goes in one batch leaves nothing behind.
	put("prod", []string{"a", "c", "never seen"}, mark("a", "api", 4), mark("c", "api", 1))
	f.reopen(t)
	equal(t, "the marks after two pods went", byKey(full), f.marks(t, "prod"))
	equal(t, "those of the other cluster", byKey(mark("a", "api", 7)), f.marks(t, "dev"))
	equal(t, "those of an unknown cluster", byKey(), f.marks(t, ""))
	equal(t, "how many there are", int64(2), f.stats(t).Marks)
}

func marksMayCallTheStore(t *testing.T, f *fixture) {
	f.append(t, store.Batch{Cluster: "prod", Marks: []record.Mark{mark("a", "api", 1), mark("b", "api", 1), mark("c", "api", 1)}})
	calls := 0
	err := f.Marks(t.Context(), "prod", func(m record.Mark) bool {
		calls++
		f.stats(t)
		f.append(t, store.Batch{Cluster: "prod", Marks: []record.Mark{mark(m.PodUID+"-new", "api", 1)}, Forget: []string{m.PodUID}})
		return calls < 2
	})
	if err != nil || calls != 2 {
		t.Errorf("yield was called %d times, error %v", calls, err)
	}
	if n := len(f.marks(t, "prod")); n != 3 {
		t.Errorf("there are %d marks, want 3", n)
	}
}

// marksOfMany: more of them than fit into one page of whatever reads them, while others
// are written.
func marksOfMany(t *testing.T, f *fixture) {
	const n = 2500
	b := store.Batch{Cluster: "prod"}
	for i := range n {
		b.Marks = append(b.Marks, mark(fmt.Sprintf("uid-%d", i), "api", i))
	}
	f.append(t, b)
	equal(t, "the marks", byKey(b.Marks...), f.marks(t, "prod"))

	seen := make(map[string]bool)
	err := f.Marks(t.Context(), "prod", func(m record.Mark) bool {
		if seen[m.PodUID] {
			t.Errorf("the mark of %s comes twice", m.PodUID)
		}
		seen[m.PodUID] = true
		if len(seen)%500 == 0 {
			f.append(t, store.Batch{Cluster: "prod", Marks: []record.Mark{mark(m.PodUID, "api", -1), mark("new-"+m.PodUID, "api", 1)}})
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range b.Marks {
		if !seen[m.PodUID] {
			t.Errorf("the mark of %s does not come", m.PodUID)
		}
	}
}

func scopes(t *testing.T, f *fixture) {
	want := store.Scope{Since: Epoch(), Seen: Epoch().Add(time.Nanosecond), ResourceVersion: "0812"}
	f.append(t, store.Batch{Cluster: "prod", Scopes: map[string]store.Scope{"shop": {Since: Epoch()}, "": want}})
	f.append(t, store.Batch{Cluster: "prod", Scopes: map[string]store.Scope{"shop": want}})
	f.reopen(t)
	for _, c := range []struct {
		cluster, scope string
		want           store.Scope
	}{
		{"prod", "shop", want},
		{"prod", "", want},
		{"prod", "other", store.Scope{}},
		{"dev", "shop", store.Scope{}},
	} {
		got, err := f.Scope(t.Context(), c.cluster, c.scope)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "scope "+c.cluster+"/"+c.scope, c.want, got)
	}
}

func gaps(t *testing.T, f *fixture) {
	at := func(minute int) time.Time { return Epoch().Add(time.Duration(minute) * time.Minute) }
	early := record.Gap{To: at(0), Why: "before the first watch"}
	short := record.Gap{From: at(10), To: at(20), Scope: "shop", Why: "410 Gone"}
	point := record.Gap{From: at(30), To: at(30), Why: "resync"}
	open := record.Gap{From: at(40), Why: "forbidden"}
	f.append(t, store.Batch{Cluster: "prod", Gaps: []record.Gap{open, short, point, early}})
	f.append(t, store.Batch{Cluster: "dev", Gaps: []record.Gap{{From: at(1), To: at(2), Why: "x"}}})

	for _, c := range []struct {
		from, to time.Time
		want     []record.Gap
	}{
		{time.Time{}, time.Time{}, []record.Gap{early, short, point, open}},
		{at(0), at(10), nil},
		{at(-1), at(1), []record.Gap{early}},
		{at(19), at(30), []record.Gap{short}},
		{at(20), at(31), []record.Gap{point}},
		{at(30), at(31), []record.Gap{point}},
		{at(12), at(13), []record.Gap{short}},
		{at(31), time.Time{}, []record.Gap{open}},
		{at(1000), at(1001), []record.Gap{open}},
		{time.Time{}, at(10), []record.Gap{early}},
	} {
		got, err := f.Gaps(t.Context(), "prod", c.from, c.to)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the gaps in ["+c.from.Format(time.TimeOnly)+", "+c.to.Format(time.TimeOnly)+")", c.want, got)
	}

	// The end becomes known, and a repetition of the old news does not take it back.
	closed := open
	closed.To = at(50)
	f.append(t, store.Batch{Cluster: "prod", Gaps: []record.Gap{closed}})
	f.append(t, store.Batch{Cluster: "prod", Gaps: []record.Gap{open}})
	f.reopen(t)
	got, err := f.Gaps(t.Context(), "prod", at(35), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the closed gap", []record.Gap{closed}, got)

	f.prune(t, store.Retention{Before: at(25)})
	got, err = f.Gaps(t.Context(), "prod", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the gaps after pruning", []record.Gap{point, closed}, got)
}

func totals(t *testing.T, f *fixture) {
	empty := f.stats(t)
	if empty.Location == "" || empty.Bytes < 0 {
		t.Errorf("an empty store is at %q and has %d bytes", empty.Location, empty.Bytes)
	}
	empty.Location, empty.Bytes = "", 0
	equal(t, "the totals of an empty store", store.Stats{}, empty)

	f.records(t,
		with(stop(1), func(r *record.Record) { r.MissedBefore = 3 }),
		with(stop(2), func(r *record.Record) { r.MissedBefore = 4 }),
		stop(3), stall(4))
	// Late evidence can show how many were missed, and the same news twice changes nothing.
	for range 2 {
		f.records(t, with(stop(2), func(r *record.Record) { r.MissedBefore = 10 }))
	}
	f.reopen(t)
	got := f.stats(t)
	got.Location, got.Bytes = "", 0
	equal(t, "the totals", store.Stats{
		Stops: 3, Stalls: 1, Issues: 2, Missed: 13,
		Oldest: Epoch().Add(1 * time.Second), Newest: Epoch().Add(4 * time.Second),
	}, got)

	// What was missed stays missed, although the record that said so is gone.
	f.prune(t, store.Retention{Before: Epoch().Add(3 * time.Second)})
	f.reopen(t)
	got = f.stats(t)
	got.Location, got.Bytes = "", 0
	equal(t, "the totals after pruning", store.Stats{
		Stops: 1, Stalls: 1, Issues: 2, Missed: 13, Pruned: 2,
		Oldest: Epoch().Add(3 * time.Second), Newest: Epoch().Add(4 * time.Second),
	}, got)
	if _, err := f.Get(t.Context(), stop(1).ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of a pruned record: %v", err)
	}
}
