package issue_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// ledger is a store as simple as it can be: everything is JSON, and every question is answered by
// looking at all of it.
type ledger struct {
	issues, incidents map[string]string // JSON by ID
	aliases           map[string]string
	records           map[string]entry
	posting           string
}

// tester is a testing.T or a rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

type entry struct {
	record record.Record
	place  issue.Place
	// pruned is a record that retention removed: the counts have it, Span does not.
	pruned bool
}

func newLedger() *ledger {
	return &ledger{issues: map[string]string{}, incidents: map[string]string{}, aliases: map[string]string{}, records: map[string]entry{}}
}

// post stores a record as a store does.
func (l *ledger) post(r record.Record) (issue.Place, error) {
	var old *record.Record
	e, known := l.records[r.ID]
	if known {
		if e.pruned {
			return issue.Place{}, fmt.Errorf("record %s is gone", r.ID)
		}
		o := e.record.Clone()
		old, r = &o, record.Refine(e.record, r)
	}
	l.records[r.ID] = entry{record: r, place: e.place} // before Post, as well a store may
	l.posting = r.ID
	place, err := issue.Post(l, old, e.place, &r)
	l.posting = ""
	l.records[r.ID] = entry{record: r, place: place}
	return place, err
}

func (l *ledger) prune(n int) {
	ids := slices.Collect(maps.Keys(l.records))
	slices.SortFunc(ids, func(a, b string) int {
		ra, rb := l.records[a].record, l.records[b].record
		if c := ra.When().Compare(rb.When()); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids {
		if e := l.records[id]; !e.pruned && n > 0 {
			e.pruned = true
			l.records[id] = e
			n--
		}
	}
}

func unpack[T any](doc string) *T {
	if doc == "" {
		return nil
	}
	v := new(T)
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		panic(err)
	}
	return v
}

func pack(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func (l *ledger) all() []*issue.Issue {
	var out []*issue.Issue
	for _, id := range slices.Sorted(maps.Keys(l.issues)) {
		out = append(out, unpack[issue.Issue](l.issues[id]))
	}
	return out
}

func (l *ledger) ByFingerprint(f string) (*issue.Issue, error) {
	for _, i := range l.all() {
		if i.Fingerprint == f {
			return i, nil
		}
	}
	return nil, nil //nolint:nilnil // The contract says so.
}

func (l *ledger) ByID(id string) (*issue.Issue, error) {
	if to, ok := l.aliases[id]; ok && l.issues[id] == "" {
		id = to
	}
	return unpack[issue.Issue](l.issues[id]), nil
}

func (l *ledger) ByKin(kin string) ([]*issue.Issue, error) {
	var out []*issue.Issue
	for _, i := range l.all() {
		if i.Kin() == kin {
			out = append(out, i)
		}
	}
	slices.Reverse(out) // in any order
	return out, nil
}

func (l *ledger) Put(i *issue.Issue) (err error) {
	l.issues[i.ID], err = pack(i)
	return err
}

func (l *ledger) Delete(id string) error {
	if _, ok := l.issues[id]; !ok {
		return fmt.Errorf("delete: no issue %s", id)
	}
	delete(l.issues, id)
	maps.DeleteFunc(l.aliases, func(_, to string) bool { return to == id })
	return nil
}

func (l *ledger) Absorb(from, into *issue.Issue) error {
	if l.issues[from.ID] == "" || l.issues[into.ID] == "" {
		return fmt.Errorf("absorb %s into %s: not stored", from.ID, into.ID)
	}
	for id, e := range l.records {
		if e.place.Issue == from.ID {
			e.place.Issue = into.ID
			l.records[id] = e
		}
	}
	for a, to := range l.aliases {
		if to == from.ID {
			l.aliases[a] = into.ID
		}
	}
	l.aliases[from.ID] = into.ID
	delete(l.issues, from.ID)
	return nil
}

func (l *ledger) span(in func(issue.Place) bool, without string) (first, last issue.Point) {
	if without != l.posting {
		panic("asked for the span without " + without)
	}
	for id, e := range l.records {
		if id == without || e.pruned || !in(e.place) {
			continue
		}
		p := issue.Point{ID: id, Time: e.record.When()}
		if c := p.Time.Compare(first.Time); first.ID == "" || c < 0 || c == 0 && p.ID < first.ID {
			first = p
		}
		if c := p.Time.Compare(last.Time); last.ID == "" || c > 0 || c == 0 && p.ID > last.ID {
			last = p
		}
	}
	return first, last
}

func (l *ledger) Span(id, without string) (issue.Point, issue.Point, error) {
	a, b := l.span(func(p issue.Place) bool { return p.Issue == id }, without)
	return a, b, nil
}

func (l *ledger) SpanOfIncident(id, without string) (issue.Point, issue.Point, error) {
	a, b := l.span(func(p issue.Place) bool { return p.Incident == id }, without)
	return a, b, nil
}

func (l *ledger) Incident(id string) (*issue.Incident, error) {
	return unpack[issue.Incident](l.incidents[id]), nil
}

func (l *ledger) Around(cluster, kind, subject string, since time.Time) (*issue.Incident, error) {
	var best *issue.Incident
	for _, id := range slices.Sorted(maps.Keys(l.incidents)) {
		i := unpack[issue.Incident](l.incidents[id])
		if i.Cluster == cluster && i.Kind == kind && i.Subject == subject && !i.Last.Before(since) && (best == nil || i.Last.After(best.Last)) {
			best = i
		}
	}
	return best, nil
}

func (l *ledger) PutIncident(i *issue.Incident) (err error) {
	l.incidents[i.ID], err = pack(i)
	return err
}

func (l *ledger) DeleteIncident(id string) error {
	delete(l.incidents, id)
	return nil
}

// dump is all that is stored.
func (l *ledger) dump() string {
	var b bytes.Buffer
	for _, m := range []map[string]string{l.issues, l.incidents, l.aliases} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%s %s\n", k, m[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(l.records)) {
		fmt.Fprintf(&b, "%s %v\n", k, l.records[k].place)
	}
	return b.String()
}

// check counts everything again, from the records.
func (l *ledger) check(t tester, pruned bool) {
	t.Helper()
	members := map[string][]record.Record{}
	for id, e := range l.records {
		if e.place.Issue == "" {
			t.Fatalf("record %s is in no issue", id)
		}
		members[e.place.Issue] = append(members[e.place.Issue], e.record)
		if e.place.Incident != "" {
			members[e.place.Incident] = append(members[e.place.Incident], e.record)
		}
	}
	for _, i := range l.all() {
		checkIssue(t, i, members[i.ID], l, pruned)
		delete(members, i.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(l.incidents)) {
		checkIncident(t, unpack[issue.Incident](l.incidents[id]), members[id], l)
		delete(members, id)
	}
	if len(members) > 0 {
		t.Fatalf("records are in what is not there: %v", slices.Collect(maps.Keys(members)))
	}
}

// known is the rule for what is not weak, in other words.
func known(r *record.Record) bool {
	if r.Stop == nil || r.Diagnosis.Cause == "status_unknown" {
		return true
	}
	if r.Diagnosis.Confidence != record.Confirmed && r.Diagnosis.Confidence != record.Likely || r.Diagnosis.Cause == "" {
		return false
	}
	read := r.Log != nil && len(r.Log.Lines) > 0 || r.Diagnosis.Signature != "" || r.Diagnosis.Detail != "" || r.Message != ""
	return r.Diagnosis.Cause != "app_exit" || read
}

func checkIssue(t tester, i *issue.Issue, in []record.Record, l *ledger, pruned bool) {
	t.Helper()
	if len(in) == 0 && i.Status == issue.Open && i.By == "" {
		t.Fatalf("issue %s has no records and is there: %+v", i.ID, i)
	}
	if f := i.Key.Fingerprint(); f != i.Fingerprint {
		t.Fatalf("issue %s: fingerprint %s, its key has %s", i.ID, i.Fingerprint, f)
	}
	var count, knownOnes, missed, open, ran int64
	var first, last time.Time
	tallies := map[string]map[string]int64{"pods": {}, "nodes": {}, "images": {}, "imageIDs": {}, "revisions": {}, "exitCodes": {}, "incidents": {}}
	for _, r := range in {
		// A record without any time is what Span calls the first: then the first is not known.
		pruned = pruned || r.When().IsZero()
		count++
		own := issue.KeyOf(&r).Fingerprint() == i.Fingerprint
		if known(&r) {
			knownOnes++
			if !own {
				t.Fatalf("issue %s has record %s of another fingerprint", i.ID, r.ID)
			}
		}
		if r.Stop != nil {
			missed += int64(r.MissedBefore)
			tallies["images"][r.Image]++
			tallies["imageIDs"][r.ImageID]++
			if r.ExitCode != nil {
				tallies["exitCodes"][fmt.Sprint(*r.ExitCode)]++
			}
			if r.RanSeconds != nil {
				ran += *r.RanSeconds
			}
		} else if r.End.IsZero() {
			open++
		}
		tallies["pods"][r.Pod]++
		tallies["nodes"][r.Node]++
		tallies["revisions"][r.Revision]++
		tallies["incidents"][l.records[r.ID].place.Incident]++
		if w := r.When(); !w.IsZero() && !l.records[r.ID].pruned {
			if first.IsZero() || w.Before(first) {
				first = w
			}
			if w.After(last) {
				last = w
			}
		}
	}
	if i.Count != count || i.Known != knownOnes || i.Missed != missed || i.Open != open || i.Ran.Sum != ran {
		t.Fatalf("issue %s: count %d, known %d, missed %d, open %d, ran %d; want %d, %d, %d, %d, %d", i.ID, i.Count, i.Known, i.Missed, i.Open, i.Ran.Sum, count, knownOnes, missed, open, ran)
	}
	for name, tally := range map[string]issue.Tally{"pods": i.Pods, "nodes": i.Nodes, "images": i.Images, "imageIDs": i.ImageIDs, "revisions": i.Revisions, "exitCodes": i.ExitCodes, "incidents": i.Incidents} {
		checkTally(t, i.ID+" "+name, tally, tallies[name])
	}
	if count > 0 && !pruned && (!i.First.Equal(first) || !i.Last.Equal(last)) {
		t.Fatalf("issue %s: from %v to %v, want %v to %v", i.ID, i.First, i.Last, first, last)
	}
	if !first.IsZero() && (i.First.After(first) || i.Last.Before(last)) {
		t.Fatalf("issue %s: from %v to %v, and has records from %v to %v", i.ID, i.First, i.Last, first, last)
	}
	var hours int64
	for n, h := range i.Hours {
		if hours += h.Count; h.Count <= 0 || n > 0 && i.Hours[n-1].Hour >= h.Hour {
			t.Fatalf("issue %s: hours %v", i.ID, i.Hours)
		}
	}
	if hours > count+missed {
		t.Fatalf("issue %s: %d in its hours, and %d + %d in all", i.ID, hours, count, missed)
	}
}

func checkTally(t tester, name string, got issue.Tally, want map[string]int64) {
	t.Helper()
	delete(want, "")
	have := map[string]int64{}
	for n, c := range got.Values {
		have[c.Value] = c.Count
		if n > 0 && got.Values[n-1].Last.Before(c.Last) {
			t.Fatalf("%s: the newest are not first: %v", name, got.Values)
		}
	}
	if !got.More && !maps.Equal(have, want) {
		t.Fatalf("%s: %v, want %v", name, have, want)
	}
	for v, n := range have {
		if n > want[v] {
			t.Fatalf("%s: %d of %q, there are %d", name, n, v, want[v])
		}
	}
}

func checkIncident(t tester, i *issue.Incident, in []record.Record, l *ledger) {
	t.Helper()
	var missed, stalls int64
	issues, pods := map[string]int64{}, map[string]int64{}
	for _, r := range in {
		if r.Stop != nil {
			missed += int64(r.MissedBefore)
		} else {
			stalls++
		}
		issues[l.records[r.ID].place.Issue]++
		pods[r.Namespace+"/"+r.Pod]++
		if w := r.When(); !l.records[r.ID].pruned && (w.Before(i.First) || w.After(i.Last)) {
			t.Fatalf("incident %s from %v to %v has a record at %v", i.ID, i.First, i.Last, w)
		}
	}
	if len(in) == 0 || i.Count != int64(len(in)) || i.Missed != missed || i.Stalls != stalls {
		t.Fatalf("incident %s: count %d, missed %d, stalls %d; want %d, %d, %d", i.ID, i.Count, i.Missed, i.Stalls, len(in), missed, stalls)
	}
	checkTally(t, i.ID+" issues", i.Issues, issues)
	checkTally(t, i.ID+" pods", i.Pods, pods)
	if i.Summary == "" || !strings.HasPrefix(i.Summary, i.Subject) {
		t.Fatalf("incident %s says %q", i.ID, i.Summary)
	}
}
