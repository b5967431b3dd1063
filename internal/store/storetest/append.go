package storetest

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func appendTwiceIsOnce(t *testing.T, f *fixture) {
	one := with(stop(1), func(r *record.Record) { r.Log = &record.Log{Lines: []string{"bye"}} })
	batch := store.Batch{
		Records: []record.Record{one, stall(2)},
		Cluster: "prod",
		Marks:   []record.Mark{{ContainerKey: record.ContainerKey{PodUID: "uid-1", Type: record.App, Name: "api"}, Accounted: 1}},
		Gaps:    []record.Gap{{From: Epoch(), To: Epoch().Add(time.Minute), Why: "not running"}},
		Scopes:  map[string]store.Scope{"shop": {Since: Epoch(), ResourceVersion: "7"}},
	}
	f.append(t, batch)
	stats := f.stats(t)
	changes := f.changes(t, "log", 0)
	f.append(t, batch)
	f.reopen(t)
	f.append(t, batch)

	equal(t, "the list", []string{stall(2).ID, one.ID}, ids(f.list(t, store.Query{})))
	equal(t, "the record", one, f.get(t, one.ID))
	equal(t, "the outbox", changes, f.changes(t, "log", 0))
	again := f.stats(t)
	again.Bytes = stats.Bytes // may differ by what opening writes
	equal(t, "the totals", stats, again)
	gaps, err := f.Gaps(t.Context(), "prod", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the gaps", batch.Gaps, gaps)
}

func refinementReplaces(t *testing.T, f *fixture) {
	first := with(stop(1), func(r *record.Record) { r.BeforeWatch = true })
	f.records(t, first, stop(2))
	next := with(first, func(r *record.Record) {
		r.Reason = "OOMKilled"
		r.Diagnosis.Cause = "oom_killed"
		r.Category = record.Disruption
		r.FinishedAt = Epoch().Add(time.Hour)
		r.Node = "node-2"
		r.Workload = &record.Workload{Kind: "Job", Name: "import"}
		r.ObservedAt = Epoch().Add(2 * time.Hour)
		r.BeforeWatch = false
	})
	f.records(t, next)
	want := with(next, func(r *record.Record) {
		r.ObservedAt, r.BeforeWatch = first.ObservedAt, true
	})
	equal(t, "the record", want, f.get(t, first.ID))
	equal(t, "the order", []string{first.ID, stop(2).ID}, ids(f.list(t, store.Query{})))
	// What is searched for is the new text, and no longer the old one.
	for _, q := range []store.Query{
		{Causes: []string{"oom_killed"}},
		{Categories: []record.Category{record.Disruption}},
		{Node: "node-2"},
		{Workload: &record.Workload{Kind: "Job", Name: "import"}},
	} {
		equal(t, "what a query finds", []string{first.ID}, ids(f.list(t, q)))
	}
	equal(t, "what the old cause finds", []string{stop(2).ID}, ids(f.list(t, store.Query{Causes: []string{"app_exit"}})))

	// The later sighting of a stall does not move when it was first seen either.
	f.records(t, stall(3))
	ended := with(stall(3), func(r *record.Record) {
		r.End = Epoch().Add(time.Hour)
		r.ObservedAt = Epoch().Add(time.Hour)
	})
	f.records(t, ended)
	equal(t, "the stall", with(ended, func(r *record.Record) { r.ObservedAt = stall(3).ObservedAt }), f.get(t, ended.ID))
}

func logIsKept(t *testing.T, f *fixture) {
	text := &record.Log{Lines: []string{"panic: x"}, Instance: record.LogProven}
	missing := &record.Log{Missing: "unable to retrieve container logs"}
	for _, c := range []struct {
		name          string
		was, is, want *record.Log
	}{
		{"none and none", nil, nil, nil},
		{"late log", nil, text, text},
		{"lines are not lost", text, nil, text},
		{"lines are not lost to an excuse", text, missing, text},
		{"an excuse is not lost", missing, nil, missing},
		{"lines replace an excuse", missing, text, text},
		{"lines replace lines", text, &record.Log{Lines: []string{"a", "b"}}, &record.Log{Lines: []string{"a", "b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := with(stop(1), func(r *record.Record) { r.ID += "-" + c.name })
			f.records(t, with(r, func(r *record.Record) { r.Log = c.was }))
			before := f.changes(t, "log", 0)
			// The rest of the record is refined too, and refined in any case.
			f.records(t, with(r, func(r *record.Record) { r.Log, r.Reason = c.is, "Error" }))
			got := f.get(t, r.ID)
			equal(t, "the log", c.want, got.Log)
			if got.Reason != "Error" {
				t.Errorf("the record was not refined")
			}
			after := f.changes(t, "log", 0)
			if len(after) != len(before) || after[len(after)-1].Seq <= before[len(before)-1].Seq {
				t.Errorf("the refinement is no change")
			}
			equal(t, "the log of the change", c.want, after[len(after)-1].Record.Log)
		})
	}
}

func sameIDTwiceInABatch(t *testing.T, f *fixture) {
	refined := with(stop(1), func(r *record.Record) { r.Reason, r.ObservedAt = "Error", Epoch().Add(time.Hour) })
	f.records(t, stop(1), stop(2), refined)
	want := with(refined, func(r *record.Record) { r.ObservedAt = stop(1).ObservedAt })
	equal(t, "the record", want, f.get(t, refined.ID))
	equal(t, "the list", []string{stop(2).ID, stop(1).ID}, ids(f.list(t, store.Query{})))
	if n := len(f.changes(t, "log", 0)); n != 2 {
		t.Errorf("there are %d changes, want 2", n)
	}
}

func batchIsAtomic(t *testing.T, f *fixture) {
	mark := record.Mark{ContainerKey: record.ContainerKey{PodUID: "uid-1", Type: record.App, Name: "api"}, Accounted: 1}
	f.append(t, store.Batch{Records: []record.Record{stop(1)}, Cluster: "prod", Marks: []record.Mark{mark}})
	before := f.stats(t)
	changes := f.changes(t, "log", 0)
	moved := mark
	moved.Accounted = 9
	err := f.Append(t.Context(), store.Batch{
		Records:  []record.Record{stop(2), with(stop(1), func(r *record.Record) { r.Reason = "Error" }), {Kind: record.KindStop}},
		Cluster:  "prod",
		Observed: []record.Observation{{Object: "Node node-1", Field: "x", Value: "y", Time: Epoch()}},
		Marks:    []record.Mark{moved},
		Gaps:     []record.Gap{{From: Epoch(), Why: "x"}},
		Scopes:   map[string]store.Scope{"shop": {Since: Epoch()}},
	})
	if err == nil {
		t.Fatal("a record without an ID was taken")
	}
	if errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v: trying again would not help", err)
	}
	equal(t, "the totals", before, f.stats(t))
	equal(t, "the list", []record.Record{stop(1)}, f.list(t, store.Query{}))
	equal(t, "the marks", map[record.ContainerKey]record.Mark{mark.ContainerKey: mark}, f.marks(t, "prod"))
	equal(t, "the outbox", changes, f.changes(t, "log", 0))
	gaps, err := f.Gaps(t.Context(), "prod", time.Time{}, time.Time{})
	if err != nil || len(gaps) != 0 {
		t.Errorf("gaps %v, error %v", gaps, err)
	}
	scope, err := f.Scope(t.Context(), "prod", "shop")
	if err != nil || scope != (store.Scope{}) {
		t.Errorf("scope %v, error %v", scope, err)
	}
	seen, err := f.Observations(t.Context(), "prod", "Node node-1", time.Time{})
	if err != nil || len(seen) != 0 {
		t.Errorf("observations %v, error %v", seen, err)
	}
	equal(t, "how much the issue has", int64(1), f.issue(t, f.issueOf(t, stop(1).ID)).Count)
	// And nothing is left in the way of the next one.
	f.records(t, stop(2))
}

func recordRoundTrip(t *testing.T, f *fixture) {
	f.append(t, store.Batch{}) // storing nothing is fine
	code, yes := int32(-1), true
	for name, r := range map[string]record.Record{
		"real":       Sample(3),
		"stall":      stall(1),
		"bare stop":  {Kind: record.KindStop, ID: "bare-stop", Stop: &record.Stop{}},
		"bare stall": {Kind: record.KindStall, ID: "bare-stall", Stall: &record.Stall{}},
		"hostile": with(stop(5), func(r *record.Record) {
			r.ID = `%_';--"` + "\x00\u202e"
			r.Message = "\x1b[31m\x00\x07\r\n</script>&\u2028" + strings.Repeat("x", 1<<16)
			r.Namespace, r.Pod = `'; DROP TABLE records; --`, "\x00"
			r.ExitCode, r.WillRestart = &code, &yes
			r.Ordinal, r.MissedBefore = math.MaxInt32, math.MaxInt32
			r.FinishedAt = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
		}),
		"far past": with(stop(6), func(r *record.Record) { r.FinishedAt = time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"other time zone": with(stop(7), func(r *record.Record) {
			r.FinishedAt = r.FinishedAt.In(time.FixedZone("", 5*3600+1800))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			f.records(t, r)
			equal(t, "the record", r, f.get(t, r.ID))
			found := 0
			for _, have := range f.all(t, store.Query{Limit: 2}) {
				if have.ID == r.ID {
					found++
					equal(t, "the listed record", withoutLog(r), have)
				}
			}
			if found != 1 {
				t.Errorf("it is listed %d times", found)
			}
		})
	}
}

func logRoundTrip(t *testing.T, f *fixture) {
	for name, l := range map[string]*record.Log{
		"real":            SampleLog(1),
		"empty":           {},
		"an empty line":   {Lines: []string{""}, Instance: record.LogProbable},
		"missing":         {Missing: "pods \"a\" is forbidden"},
		"control":         {Lines: []string{"\x00\x01\x1b]8;;http://x\x07\x7f\u0085\u202e", "a\nb\r\n", "<&>\u2028"}},
		"one large line":  {Lines: []string{strings.Repeat("0123456789abcdef", 1<<16)}, Truncated: true},
		"many lines":      {Lines: strings.Split(strings.Repeat("same again\n", 10000), "\n"), Redactions: 4},
		"not JSON at all": {Lines: []string{`"}]}`, `\u0000\`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(stop(1), func(r *record.Record) { r.ID, r.Log = "log-"+name, l })
			f.records(t, r)
			equal(t, "the record", r, f.get(t, r.ID))
			seq := f.changes(t, "log", 0)
			f.records(t, r)
			equal(t, "the outbox", len(seq), len(f.changes(t, "log", 0)))
		})
	}
	for _, r := range f.list(t, store.Query{}) {
		if r.Log != nil {
			t.Errorf("List returned the log of %s", r.ID)
		}
	}
}
