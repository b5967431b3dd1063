package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func refined(n int, reason string) record.Record {
	return with(stop(n), func(r *record.Record) { r.Reason = reason })
}

func changes(t *testing.T, f *fixture) {
	if got := f.changes(t, "log", 10); len(got) != 0 {
		t.Fatalf("an empty store has %d changes", len(got))
	}
	f.records(t, stop(1), stop(2))
	f.records(t, stop(3), with(stall(4), func(r *record.Record) { r.Log = SampleLog(1) }))
	got := f.changes(t, "log", 0)
	equal(t, "the changes", ids([]record.Record{stop(1), stop(2), stop(3), stall(4)}), changeIDs(got))
	equal(t, "the log of a change", SampleLog(1), got[3].Record.Log)
	equal(t, "a page of changes", got[:2], f.changes(t, "log", 2))

	// Only the latest of a record, where its first change was not taken yet.
	f.records(t, refined(1, "a"))
	f.records(t, refined(1, "b"))
	got = f.changes(t, "log", 0)
	equal(t, "the changes", ids([]record.Record{stop(2), stop(3), stall(4), stop(1)}), changeIDs(got))
	equal(t, "the latest", refined(1, "b"), got[3].Record)

	f.acknowledge(t, "log", got[1].Seq)
	equal(t, "the rest", got[2:], f.changes(t, "log", 0))

	// What was acknowledged and changes afterwards comes again.
	f.records(t, refined(2, "late evidence"))
	got = f.changes(t, "log", 0)
	equal(t, "the changes", ids([]record.Record{stall(4), stop(1), stop(2)}), changeIDs(got))
	f.acknowledge(t, "log", got[2].Seq)
	if got := f.changes(t, "log", 0); len(got) != 0 {
		t.Errorf("%d changes are left", len(got))
	}
}

func changesPerConsumer(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2), stop(3))
	first := f.changes(t, "a", 0)
	f.acknowledge(t, "a", first[1].Seq)
	equal(t, "for a", first[2:], f.changes(t, "a", 0))
	equal(t, "for b, that never acknowledged", first, f.changes(t, "b", 0))
	f.acknowledge(t, "b", 0)
	equal(t, "for b, that is known now", first, f.changes(t, "b", 0))
	f.acknowledge(t, "b", first[2].Seq)
	equal(t, "for a, still", first[2:], f.changes(t, "a", 0))
}

func changesSurviveReopening(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2))
	first := f.changes(t, "log", 0)
	f.acknowledge(t, "log", first[0].Seq)
	f.reopen(t)
	equal(t, "the changes", first[1:], f.changes(t, "log", 0))
	f.acknowledge(t, "log", first[1].Seq)
	f.prune(t, store.Retention{Before: Epoch().Add(time.Hour)})
	f.reopen(t)
	// Numbers do not begin again, although every change is gone.
	f.records(t, stop(3))
	equal(t, "the changes", []string{stop(3).ID}, changeIDs(f.changes(t, "log", 0)))
}

func changesAcknowledged(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2), stop(3))
	all := f.changes(t, "log", 0)
	f.acknowledge(t, "log", all[1].Seq)
	// Neither back nor below nothing.
	f.acknowledge(t, "log", all[0].Seq)
	f.acknowledge(t, "log", -5)
	equal(t, "the changes", all[2:], f.changes(t, "log", 0))
	f.acknowledge(t, "new", -5)
	equal(t, "the changes of a new one", all, f.changes(t, "new", 0))
	// Nor into the future, where it would swallow what nobody has seen.
	f.acknowledge(t, "log", all[2].Seq+1000)
	f.records(t, stop(4))
	equal(t, "the changes", []string{stop(4).ID}, changeIDs(f.changes(t, "log", 0)))
}

func pruneChanges(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2), stop(3))
	all := f.changes(t, "new", 0)
	f.prune(t, store.Retention{})
	equal(t, "the changes while no consumer is known", all, f.changes(t, "new", 0))
	f.acknowledge(t, "a", all[2].Seq)
	f.acknowledge(t, "b", all[0].Seq)
	f.prune(t, store.Retention{})
	// b still needs the second and the third.
	equal(t, "the changes for b", all[1:], f.changes(t, "b", 0))
	// A new consumer gets what is kept, and may or may not get the first.
	if n := len(f.changes(t, "new", 0)); n < 2 {
		t.Errorf("a new consumer gets %d changes, want at least 2", n)
	}
	f.acknowledge(t, "b", all[2].Seq)
	f.prune(t, store.Retention{})
	// A record whose change is forgotten still has its next change.
	f.records(t, refined(1, "late evidence"), stop(1))
	equal(t, "the changes", []string{stop(1).ID}, changeIDs(f.changes(t, "a", 0)))
}

func pruneByAge(t *testing.T, f *fixture) {
	var records []record.Record
	for i := range 1200 {
		r := stop(i)
		if i%3 == 0 {
			r.Log = &record.Log{Lines: []string{"bye"}}
		}
		records = append(records, r)
	}
	survivor := mark("uid-0", "api", 5)
	f.append(t, store.Batch{Records: records, Cluster: "prod", Marks: []record.Mark{survivor}})
	if n := f.prune(t, store.Retention{Before: Epoch()}); n != 0 {
		t.Errorf("%d records were removed, and none is that old", n)
	}
	if n := f.prune(t, store.Retention{Before: Epoch().Add(900 * time.Second)}); n != 900 {
		t.Errorf("%d records were removed, want 900", n)
	}
	equal(t, "the rest", ids(ordered(records[900:], store.Query{})), ids(f.all(t, store.Query{})))
	equal(t, "the changes of the rest", ids(records[900:]), changeIDs(f.changes(t, "log", 1000)))
	equal(t, "the marks", byKey(survivor), f.marks(t, "prod"))
	equal(t, "a log of the rest", records[900], f.get(t, records[900].ID))

	// The mark is why this does not happen; but where it does, it is a new record.
	f.records(t, withoutLog(records[0]))
	equal(t, "a record that comes again", withoutLog(records[0]), f.get(t, records[0].ID))
	if n := f.prune(t, store.Retention{}); n != 0 {
		t.Errorf("no retention removed %d records", n)
	}
}

// What is older than the bound and the slack goes; what is younger than the bound stays.
func pruneWithSlack(t *testing.T, f *fixture) {
	const day = 24 * time.Hour
	daysAgo := func(n int) record.Record {
		return with(stop(n), func(r *record.Record) { r.FinishedAt = Epoch().Add(-time.Duration(n) * day) })
	}
	var records []record.Record
	for n := range 60 {
		records = append(records, daysAgo(n))
	}
	f.records(t, records...)
	f.prune(t, store.Retention{Before: Epoch().Add(-28 * day), Slack: 7 * day})
	left := ids(f.all(t, store.Query{}))
	for n := range 60 {
		there := slices.Contains(left, daysAgo(n).ID)
		if n <= 28 && !there || n > 35 && there {
			t.Errorf("a record of %d days ago is there: %t", n, there)
		}
	}
}

func pruneBySize(t *testing.T, f *fixture) {
	const n, step = 1200, 400
	for from := 0; from < n; from += step {
		var batch []record.Record
		for i := from; i < from+step; i++ {
			batch = append(batch, with(Sample(i), func(r *record.Record) {
				if i%4 == 0 {
					r.Log = SampleLog(i)
				}
			}))
		}
		f.records(t, batch...)
	}
	survivor := mark("uid-0", "api", 5)
	f.append(t, store.Batch{Cluster: "prod", Marks: []record.Mark{survivor}})
	full := f.stats(t)
	if removed := f.prune(t, store.Retention{MaxBytes: full.Bytes}); removed != 0 {
		t.Errorf("%d records were removed from a store that is small enough", removed)
	}

	half := full.Bytes / 2
	removed := f.prune(t, store.Retention{MaxBytes: half})
	after := f.stats(t)
	t.Logf("%d records have %d bytes; at most %d bytes left %d records and %d bytes", n, full.Bytes, half, after.Stops, after.Bytes)
	if after.Bytes > half {
		t.Errorf("%d bytes are left, want at most %d", after.Bytes, half)
	}
	if after.Stops != int64(n-removed) || after.Pruned != int64(removed) {
		t.Errorf("%d records were removed, and the totals are %+v", removed, after)
	}
	if removed < n/4 || removed > 3*n/4 {
		t.Errorf("%d of %d records were removed for half of the bytes", removed, n)
	}
	var want []string
	for i := n - 1; i >= removed; i-- {
		want = append(want, Sample(i).ID)
	}
	equal(t, "the rest", want, ids(f.all(t, store.Query{})))
	equal(t, "the marks", byKey(survivor), f.marks(t, "prod"))

	if removed := f.prune(t, store.Retention{MaxBytes: 1}); removed != int(after.Stops) {
		t.Errorf("%d records were removed of %d, although no size is small enough", removed, after.Stops)
	}
	f.reopen(t)
	equal(t, "the marks", byKey(survivor), f.marks(t, "prod"))
}
