package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// A memory is the store in its simplest form: what the one under test is compared to.
type memory struct {
	records []record.Record // in the order in which they were stored first
	outbox  []string        // IDs, in the order of their latest change
	acked   map[string]int  // consumer: how many changes there had been in all when it acknowledged
	changed map[string]int  // ID: the number of its latest change
	count   int             // changes there have been in all
	marks   map[record.ContainerKey]record.Mark
	missed  int64
	pruned  int64
}

func (m *memory) append(b store.Batch) {
	for _, next := range b.Records {
		i := slices.IndexFunc(m.records, func(r record.Record) bool { return r.ID == next.ID })
		if i < 0 {
			m.records = append(m.records, next.Clone())
			m.missed += missed(next)
			m.change(next.ID)
			continue
		}
		merged := record.Refine(m.records[i], next)
		if cmp.Equal(merged, m.records[i], cmpopts.EquateEmpty()) {
			continue
		}
		m.missed += missed(merged) - missed(m.records[i])
		m.records[i] = merged
		m.change(next.ID)
	}
	for _, mk := range b.Marks {
		m.marks[mk.ContainerKey] = mk
	}
	for key := range m.marks {
		if slices.Contains(b.Forget, key.PodUID) {
			delete(m.marks, key)
		}
	}
}

func missed(r record.Record) int64 {
	if r.Stop == nil {
		return 0
	}
	return int64(r.MissedBefore)
}

func (m *memory) change(id string) {
	m.outbox = slices.DeleteFunc(m.outbox, func(x string) bool { return x == id })
	m.outbox = append(m.outbox, id)
	m.count++
	m.changed[id] = m.count
}

func (m *memory) pending(consumer string) []string {
	return slices.DeleteFunc(slices.Clone(m.outbox), func(id string) bool { return m.changed[id] <= m.acked[consumer] })
}

func (m *memory) prune(before time.Time) int {
	n := len(m.records)
	m.records = slices.DeleteFunc(m.records, func(r record.Record) bool {
		old := r.When().Before(before)
		if old {
			m.outbox = slices.DeleteFunc(m.outbox, func(x string) bool { return x == r.ID })
		}
		return old
	})
	m.pruned += int64(n - len(m.records))
	return n - len(m.records)
}

func drawRecord(t *rapid.T) record.Record {
	n := rapid.IntRange(0, 9).Draw(t, "n")
	second := func(name string) time.Time {
		return Epoch().Add(time.Duration(rapid.IntRange(0, 5).Draw(t, name)) * time.Second)
	}
	var r record.Record
	if n < 7 {
		r = stop(n)
		r.FinishedAt = second("finished")
		r.MissedBefore = rapid.IntRange(0, 2).Draw(t, "missed")
		r.BeforeWatch = rapid.Bool().Draw(t, "beforeWatch")
	} else {
		r = stall(n)
		r.Begin = second("begin")
	}
	r.ObservedAt = second("observed")
	r.Namespace = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace")
	r.Diagnosis.Cause = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "cause")
	if lines := rapid.IntRange(-2, 2).Draw(t, "lines"); lines >= 0 {
		r.Log = &record.Log{}
		for i := range lines {
			r.Log.Lines = append(r.Log.Lines, fmt.Sprint(r.Diagnosis.Cause, i))
		}
	}
	return r
}

func drawBatch(t *rapid.T) store.Batch {
	b := store.Batch{Cluster: "prod", Records: rapid.SliceOfN(rapid.Custom(drawRecord), 0, 4).Draw(t, "records")}
	uid := rapid.SampledFrom([]string{"u", "v", "w"})
	b.Marks = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record.Mark {
		return mark(uid.Draw(t, "uid"), rapid.SampledFrom([]string{"api", "proxy"}).Draw(t, "name"), rapid.IntRange(0, 3).Draw(t, "accounted"))
	}), 0, 3).Draw(t, "marks")
	b.Forget = rapid.SliceOfN(uid, 0, 1).Draw(t, "forget")
	return b
}

// model: at the end of a random life, the store answers as the memory does. Lives have
// any length, so that what goes wrong in the middle of one is the end of another.
func model(t *testing.T, f *fixture) {
	rapid.Check(t, func(rt *rapid.T) {
		g := &fixture{Harness: f.Harness, location: f.NewLocation(t)}
		g.open(t)
		defer func() {
			if err := g.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		m := &memory{acked: make(map[string]int), changed: make(map[string]int), marks: make(map[record.ContainerKey]record.Mark)}
		consumer := rapid.SampledFrom([]string{"log", "chat"})
		actions := map[string]func(){
			"append": func() {
				b := drawBatch(rt)
				g.append(rt, b)
				m.append(b)
			},
			"acknowledge": func() {
				c := consumer.Draw(rt, "consumer")
				got := g.changes(rt, c, rapid.IntRange(1, 5).Draw(rt, "limit"))
				if len(got) == 0 {
					return
				}
				last := got[len(got)-1]
				g.acknowledge(rt, c, last.Seq)
				m.acked[c] = m.changed[last.Record.ID]
			},
			"prune": func() {
				before := Epoch().Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "before")) * time.Second)
				// A consumer that is not known may lose changes that the others have acknowledged.
				g.acknowledge(rt, "log", 0)
				g.acknowledge(rt, "chat", 0)
				equal(rt, "how many were pruned", m.prune(before), g.prune(rt, store.Retention{Before: before}))
			},
			"reopen": func() { g.reopen(rt) },
		}
		// Most of a life is appends. It is short, because what goes wrong does so between a
		// few calls, and each costs a commit.
		names := []string{"append", "append", "append", "acknowledge", "prune", "reopen"}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 8).Draw(rt, "actions") {
			actions[name]()
		}
		compare(rt, g, m)
	})
}

func compare(t *rapid.T, g *fixture, m *memory) {
	q := store.Query{Limit: rapid.IntRange(1, 4).Draw(t, "page")}
	if rapid.Bool().Draw(t, "filtered") {
		q.Namespaces = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "namespaces")
		q.Since = Epoch().Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "since")) * time.Second)
	}
	equal(t, "the list", ordered(m.records, q), g.all(t, q))
	for _, c := range []string{"log", "chat"} {
		got := g.changes(t, c, 0)
		equal(t, "the changes for "+c, m.pending(c), changeIDs(got))
		for _, change := range got {
			i := slices.IndexFunc(m.records, func(r record.Record) bool { return r.ID == change.Record.ID })
			equal(t, "a changed record", m.records[i], change.Record)
		}
	}
	equal(t, "the marks", m.marks, g.marks(t, "prod"))
	got := g.stats(t)
	want := store.Stats{Missed: m.missed, Pruned: m.pruned, Marks: int64(len(m.marks)), Location: got.Location, Bytes: got.Bytes}
	for _, r := range m.records {
		if r.Kind == record.KindStall {
			want.Stalls++
		} else {
			want.Stops++
		}
		at := r.When()
		if want.Oldest.IsZero() || at.Before(want.Oldest) {
			want.Oldest = at
		}
		if at.After(want.Newest) {
			want.Newest = at
		}
	}
	equal(t, "the totals", want, got)
}
