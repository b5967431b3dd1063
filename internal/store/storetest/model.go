package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/issue"
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
	// lost is what retention removed of each issue that is left, which goes on counting it.
	lost map[string]counts
	// groups keeps the issues until the first retention, of which it knows nothing.
	groups *issue.Memory
}

// counts are those of an issue.
type counts struct{ count, missed, open int64 }

func (c counts) and(r *record.Record) counts {
	c.count++
	c.missed += missed(*r)
	if r.Stall != nil && r.End.IsZero() {
		c.open++
	}
	return c
}

func (m *memory) append(b store.Batch) error {
	for _, next := range b.Records {
		if m.groups != nil {
			if _, err := m.groups.Post(next); err != nil {
				return err
			}
		}
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
	return nil
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
		old := r.When().Before(before) && (r.Stall == nil || !r.End.IsZero())
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
		if rapid.Bool().Draw(t, "ended") {
			r.End = r.Begin.Add(time.Second)
		}
	}
	r.ObservedAt = second("observed")
	r.Namespace = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace")
	r.Diagnosis.Cause = rapid.SampledFrom([]string{"x", "y", "node_lost"}).Draw(t, "cause")
	r.Diagnosis.Confidence = rapid.SampledFrom([]record.Confidence{record.Unknown, record.Likely}).Draw(t, "confidence")
	r.Node = rapid.SampledFrom([]string{"node-1", "node-2"}).Draw(t, "node")
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
		m := &memory{acked: make(map[string]int), changed: make(map[string]int), marks: make(map[record.ContainerKey]record.Mark), lost: make(map[string]counts), groups: issue.NewMemory(0)}
		consumer := rapid.SampledFrom([]string{"log", "chat"})
		actions := map[string]func(){
			"append": func() {
				b := drawBatch(rt)
				g.append(rt, b)
				if err := m.append(b); err != nil {
					rt.Fatalf("count in memory: %v", err)
				}
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
				m.groups = nil
				m.lose(g.placed(rt, store.Query{}), g.issues(rt, store.IssueQuery{}), before)
				equal(rt, "how many were pruned", m.prune(before), g.prune(rt, store.Retention{Before: before}))
			},
			"amend": func() {
				all := g.issues(rt, store.IssueQuery{})
				if len(all) == 0 {
					return
				}
				status := rapid.SampledFrom([]issue.Status{issue.Open, issue.StatusMuted, issue.StatusArchived, issue.StatusResolved})
				id, action := rapid.SampledFrom(all).Draw(rt, "issue").ID, issue.Action{Status: status.Draw(rt, "status"), At: Epoch().Add(2 * time.Second), By: "kim"}
				g.amend(rt, id, action)
				if m.groups != nil {
					if _, err := m.groups.Amend(id, action); err != nil {
						rt.Fatalf("amend in memory: %v", err)
					}
				}
			},
			"reopen": func() { g.reopen(rt) },
		}
		// Most of a life is appends. It is short, because what goes wrong does so between a
		// few calls, and each costs a commit.
		names := []string{"append", "append", "append", "acknowledge", "prune", "amend", "reopen"}
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
	issues := compareIssues(t, g, m)
	got := g.stats(t)
	want := store.Stats{Issues: int64(issues), Missed: m.missed, Pruned: m.pruned, Marks: int64(len(m.marks)), Location: got.Location, Bytes: got.Bytes}
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

// lose notes, of what retention is about to remove, what its issues go on counting: unless
// they go with it.
func (m *memory) lose(placed []record.Record, issues []issue.Issue, before time.Time) {
	stays := make(map[string]bool)
	for _, r := range placed {
		if r.When().Before(before) && (r.Stall == nil || !r.End.IsZero()) {
			m.lost[r.Issue.ID] = m.lost[r.Issue.ID].and(&r)
		} else {
			stays[r.Issue.ID] = true
		}
	}
	for _, i := range issues {
		said := i.Status == issue.StatusMuted || i.Status == issue.StatusArchived
		if !stays[i.ID] && i.Last.Before(before) && !said {
			delete(m.lost, i.ID)
		}
	}
}

// compareIssues counts anew what the issues count, and returns how many there are.
func compareIssues(t *rapid.T, g *fixture, m *memory) int {
	issues := g.issues(t, store.IssueQuery{Limit: rapid.IntRange(1, 4).Draw(t, "page of issues")})
	byID := make(map[string]*issue.Issue)
	for n := range issues {
		byID[issues[n].ID] = &issues[n]
	}
	want := make(map[string]counts)
	for id, c := range m.lost {
		// An issue can have been absorbed since.
		if i, err := g.Issue(t.Context(), id); err == nil {
			id = i.ID
		}
		want[id] = counts{want[id].count + c.count, want[id].missed + c.missed, want[id].open}
	}
	var members, incident []string
	records := g.placed(t, store.Query{})
	for n := range records {
		r := &records[n]
		if r.Issue == nil || byID[r.Issue.ID] == nil {
			t.Fatalf("record %s has the issue %+v, which is not there", r.ID, r.Issue)
		}
		i := byID[r.Issue.ID]
		members, incident = append(members, r.Issue.ID), append(incident, r.Issue.Incident)
		want[i.ID] = want[i.ID].and(r)
		equal(t, "what a record says of its issue", record.IssueRef{
			ID: i.ID, State: string(new(i.Clone()).At(g.now())), Count: i.Count, Pods: len(i.Pods.Values), MorePods: i.Pods.More, Incident: r.Issue.Incident,
		}, *r.Issue)
		// A record whose cause is known is where its fingerprint says; one where it is not can have joined another.
		own := issue.KeyOf(r)
		if r.Diagnosis.Confidence != record.Unknown && own.Fingerprint() != i.Fingerprint {
			t.Fatalf("record %s with the key %+v is in the issue with %+v", r.ID, own, i.Key)
		}
		if i.Namespace != r.Namespace || i.Container != r.Container || i.Kind != r.Kind {
			t.Fatalf("record %s is in the issue with %+v", r.ID, i.Key)
		}
		if i.First.After(r.When()) || i.Last.Before(r.When()) && !r.When().After(r.ObservedAt) {
			t.Fatalf("record %s of %s is in an issue seen from %s to %s", r.ID, r.When(), i.First, i.Last)
		}
	}
	for _, i := range issues {
		have := counts{i.Count, i.Missed, i.Open}
		if have != want[i.ID] {
			t.Fatalf("issue %s counts %+v, want %+v", i.ID, have, want[i.ID])
		}
		equal(t, "the records of an issue", countOf(members, i.ID), len(g.all(t, store.Query{Issue: i.ID, Limit: 2})))
		if i.Count == 0 && (i.Status == issue.Open || i.Status == "") && i.By == "" {
			t.Fatalf("issue %s has no records", i.ID)
		}
	}
	compareMemory(t, g, m, issues, incident)
	return len(issues)
}

// compareMemory holds that the store's issues and incidents are those that issue.Memory makes of
// the same records.
func compareMemory(t *rapid.T, g *fixture, m *memory, issues []issue.Issue, incident []string) {
	if m.groups == nil {
		return
	}
	byID := func(issues []issue.Issue) map[string]issue.Issue {
		out := make(map[string]issue.Issue)
		for _, i := range issues {
			out[i.ID] = i
		}
		return out
	}
	for n := range issues {
		issues[n].At(g.now())
	}
	equal(t, "the issues", byID(m.groups.Issues(g.now())), byID(issues))
	incidents := g.incidents(t, store.IncidentQuery{})
	incidentsByID := func(incidents []issue.Incident) map[string]issue.Incident {
		out := make(map[string]issue.Incident)
		for _, i := range incidents {
			out[i.ID] = i
		}
		return out
	}
	equal(t, "the incidents", incidentsByID(m.groups.Incidents()), incidentsByID(incidents))
	for _, i := range incidents {
		if n := countOf(incident, i.ID); int64(n) != i.Count || n != len(g.all(t, store.Query{Incident: i.ID, Limit: 2})) {
			t.Fatalf("incident %+v has %d records", i, n)
		}
	}
}

func countOf(list []string, s string) int {
	n := 0
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}
