package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// crash returns a stop that ended n seconds after the epoch and of which the cause is known.
func crash(n int, change func(r *record.Record)) record.Record {
	return with(stop(n), func(r *record.Record) {
		code := int32(1)
		r.ExitCode = &code
		r.Diagnosis.Detail, r.Diagnosis.Signature = "panic", "panic: x"
		if change != nil {
			change(r)
		}
	})
}

func of(workload string) func(r *record.Record) {
	return func(r *record.Record) { r.Workload = &record.Workload{Kind: "Deployment", Name: workload} }
}

func (f *fixture) issues(t tb, q store.IssueQuery) []issue.Issue {
	t.Helper()
	var out []issue.Issue
	for {
		page, next, err := f.Issues(t.Context(), q)
		if err != nil {
			t.Fatalf("Issues: %v", err)
		}
		out = append(out, page...)
		if next == "" {
			return out
		}
		if len(page) == 0 || next == q.Cursor {
			t.Fatalf("Issues: a page of %d issues has a next one", len(page))
		}
		q.Cursor = next
	}
}

func (f *fixture) issue(t tb, id string) issue.Issue {
	t.Helper()
	i, err := f.Issue(t.Context(), id)
	if err != nil {
		t.Fatalf("Issue(%q): %v", id, err)
	}
	return i
}

// issueOf returns the ID of the issue of a record.
func (f *fixture) issueOf(t tb, id string) string {
	t.Helper()
	r, err := f.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get(%q): %v", id, err)
	}
	if r.Issue == nil {
		t.Fatalf("record %s has no issue", id)
	}
	return r.Issue.ID
}

func (f *fixture) amend(t tb, id string, a issue.Action) issue.Issue {
	t.Helper()
	i, err := f.Amend(t.Context(), id, a)
	if err != nil {
		t.Fatalf("Amend(%q): %v", id, err)
	}
	return i
}

func workloads(issues []issue.Issue) []string {
	var out []string
	for _, i := range issues {
		out = append(out, i.Workload.Name)
	}
	return out
}

func issueOfRecords(t *testing.T, f *fixture) {
	if got := f.issues(t, store.IssueQuery{}); len(got) != 0 {
		t.Fatalf("an empty store has %d issues", len(got))
	}
	missing := crash(2, nil)
	missing.MissedBefore = 4
	f.records(t, crash(1, nil), missing, crash(3, of("cart")))
	// News that are none count nothing.
	f.records(t, missing)
	f.reopen(t)

	got := f.issues(t, store.IssueQuery{})
	equal(t, "the issues", []string{"cart", "checkout"}, workloads(got))
	i := got[1]
	if i.Count != 2 || i.Missed != 4 || !i.First.Equal(Epoch().Add(time.Second)) || !i.Last.Equal(Epoch().Add(2*time.Second)) || len(i.Pods.Values) != 2 {
		t.Errorf("the issue is %+v", i)
	}
	if i.Fingerprint != issue.KeyOf(&missing).Fingerprint() || !strings.HasPrefix(i.ID, "WR-") {
		t.Errorf("the issue is %s with the fingerprint %s", i.ID, i.Fingerprint)
	}
	equal(t, "how many there are", int64(2), f.stats(t).Issues)

	// Every way to read a record tells its issue, by the clock of the store.
	ref := &record.IssueRef{ID: i.ID, State: string(issue.New), Count: 2, Pods: 2}
	check := func(what string, r record.Record) {
		t.Helper()
		equal(t, "the issue of "+what, ref, r.Issue)
	}
	one, err := f.Get(t.Context(), missing.ID[:store.MinPrefix])
	if err != nil {
		t.Fatal(err)
	}
	check("a record", one)
	listed, _, err := f.List(t.Context(), store.Query{Workload: missing.Workload})
	if err != nil || len(listed) != 2 {
		t.Fatal(len(listed), err)
	}
	check("a listed record", listed[1])
	changed, err := f.Changes(t.Context(), outbox("log"), 2)
	if err != nil || len(changed) != 2 {
		t.Fatal(len(changed), err)
	}
	check("a changed record", changed[0].Record)
	f.at = Epoch().Add(30 * time.Hour)
	ref.State = string(issue.Resolved) // by silence
	one, err = f.Get(t.Context(), missing.ID)
	if err != nil {
		t.Fatal(err)
	}
	check("a record a day later", one)

	// What was read is not stored with it.
	f.records(t, one)
	equal(t, "the changes after a record came back as it was read", 3, len(f.changes(t, "log", 0)))

	for _, q := range []store.Query{{Issue: i.ID}, {Issue: strings.ToLower(i.ID)}, {Issue: i.ID[3:], Kind: record.KindStop}} {
		equal(t, "the records of the issue", []string{missing.ID, crash(1, nil).ID}, ids(f.all(t, q)))
		q.Limit = 1
		equal(t, "the records of the issue by one", []string{missing.ID, crash(1, nil).ID}, ids(f.all(t, q)))
	}
	equal(t, "the records of no issue", 0, len(f.all(t, store.Query{Issue: "WR-000000"})))
}

func issueByID(t *testing.T, f *fixture) {
	f.records(t, crash(1, nil))
	id := f.issueOf(t, crash(1, nil).ID)
	for _, form := range []string{id, strings.ToLower(id), id[3:], strings.ToLower(id[3:])} {
		equal(t, "the issue "+form, id, f.issue(t, form).ID)
	}
	for _, none := range []string{"", "WR-", id[:8], id + "0", "WI-" + id[3:], "%", "WR-%"} {
		if got, err := f.Issue(t.Context(), none); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Issue(%q) = %s, %v", none, got.ID, err)
		}
		if got, err := f.Amend(t.Context(), none, issue.Action{Status: issue.StatusMuted, At: Epoch()}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Amend(%q) = %s, %v", none, got.ID, err)
		}
	}
}

// issueMoves: late evidence gives a stop another cause, and so another issue.
func issueMoves(t *testing.T, f *fixture) {
	a, b := crash(1, nil), crash(2, nil)
	f.records(t, a, b)
	was := f.issueOf(t, a.ID)
	killed := func(r *record.Record) { r.Diagnosis.Cause, r.Diagnosis.Signature = "oom_killed", "" }
	f.records(t, with(a, killed))
	is := f.issueOf(t, a.ID)
	if is == was {
		t.Fatalf("a record with another cause stays in issue %s", is)
	}
	old := f.issue(t, was)
	if old.Count != 1 || !old.First.Equal(b.When()) || old.Oldest != b.ID || len(old.Pods.Values) != 1 {
		t.Errorf("after a record left, the issue is %+v", old)
	}
	equal(t, "the records of the one", []string{b.ID}, ids(f.all(t, store.Query{Issue: was})))
	equal(t, "the records of the other", []string{a.ID}, ids(f.all(t, store.Query{Issue: is})))

	// The issue that has none left is gone, and at most its ID lives on.
	f.records(t, with(b, killed))
	if got, err := f.Issue(t.Context(), was); !errors.Is(err, store.ErrNotFound) && got.ID != is {
		t.Errorf("the issue without records: %+v, %v", got, err)
	}
	equal(t, "the issues", 1, len(f.issues(t, store.IssueQuery{Node: "node-1"})))
	if i := f.issue(t, is); i.Count != 2 || i.Cause != "oom_killed" {
		t.Errorf("the issue that is left: %+v", i)
	}
	for _, r := range []record.Record{a, b} {
		f.records(t, with(r, of("cart")))
	}
	for _, id := range []string{was, is} {
		if got, err := f.Issue(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the issue without records: %+v, %v", got, err)
		}
	}
	equal(t, "how many there are", int64(1), f.stats(t).Issues)
}

// issueAbsorbs: once the cause is known, the issue of stops without one is a part of the
// issue of that cause, under its own ID as well.
func issueAbsorbs(t *testing.T, f *fixture) {
	unknown := func(r *record.Record) {
		r.Diagnosis.Cause, r.Diagnosis.Confidence, r.Diagnosis.Signature, r.Diagnosis.Detail = "unknown", record.Unknown, "", ""
	}
	weak, weaker, known := crash(1, unknown), crash(2, unknown), crash(3, nil)
	f.records(t, weak, weaker)
	was := f.issueOf(t, weak.ID)
	f.records(t, known)
	is := f.issueOf(t, known.ID)
	if was == is {
		t.Fatalf("a cause that is not known and one that is have one fingerprint")
	}
	f.reopen(t)
	equal(t, "how many there are", int64(1), f.stats(t).Issues)
	i := f.issue(t, was)
	if i.ID != is || i.Count != 3 || !i.First.Equal(weak.When()) {
		t.Errorf("what %s belongs to is %+v", was, i)
	}
	for _, id := range []string{was, is, strings.ToLower(was[3:])} {
		equal(t, "the records of "+id, []string{known.ID, weaker.ID, weak.ID}, ids(f.all(t, store.Query{Issue: id})))
	}
	equal(t, "the issue of the first record", is, f.issueOf(t, weak.ID))
	equal(t, "the outcome of an action", is, f.amend(t, was, issue.Action{Status: issue.StatusMuted, At: f.now()}).ID)

	// With the last record that is not known, only what is known is left.
	f.records(t, with(weak, func(r *record.Record) {
		*r = with(known, func(k *record.Record) { k.ID, k.FinishedAt = weak.ID, weak.FinishedAt })
	}))
	equal(t, "how many there are", int64(3), f.issue(t, is).Count)
}

// selectsIssue tells whether q selects i: the meaning of IssueQuery, in the plainest words.
func selectsIssue(q store.IssueQuery, i *issue.Issue) bool {
	among := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	is := func(want, s string) bool { return want == "" || want == s }
	onNode := func(c issue.Count) bool { return c.Value == q.Node }
	return is(q.Cluster, i.Cluster) && among(q.Namespaces, i.Namespace) && is(q.Container, i.Container) &&
		(q.Workload == nil || *q.Workload == i.Workload) && is(string(q.Kind), string(i.Kind)) && among(q.Causes, i.Cause) &&
		(len(q.Categories) == 0 || slices.Contains(q.Categories, i.Category)) &&
		(len(q.Statuses) == 0 || slices.Contains(q.Statuses, i.Status)) &&
		(q.Node == "" || slices.ContainsFunc(i.Nodes.Values, onNode)) &&
		(q.Since.IsZero() || !i.Last.Before(q.Since) || i.Open > 0)
}

func issueQueries() []store.IssueQuery {
	at := func(s int) time.Time { return Epoch().Add(time.Duration(s) * time.Second) }
	return []store.IssueQuery{
		{},
		{Cluster: "dev"},
		{Cluster: "nowhere"},
		{Namespaces: []string{"ns-1"}},
		{Namespaces: []string{"ns-1"}, Since: at(20)},
		{Namespaces: []string{"ns-4", "ns-1", "ns-4", "none"}},
		{Namespaces: []string{"ns-4", "ns-1"}, Since: at(20), Categories: []record.Category{record.Disruption}},
		{Container: "proxy"},
		{Workload: &record.Workload{Kind: "Deployment", Name: "w-2"}},
		{Workload: &record.Workload{Kind: "Deployment", Name: "w-2"}, Namespaces: []string{"ns-2"}, Since: at(5)},
		{Workload: &record.Workload{Kind: "Job", Name: "w-2"}},
		{Node: "node-2"},
		{Node: "node-2", Kind: record.KindStall},
		{Node: "node-1", Namespaces: []string{"ns-1"}, Since: at(30)},
		{Node: "nowhere"},
		{Kind: record.KindStop},
		{Kind: record.KindStall},
		{Categories: []record.Category{record.Failure, record.Disruption}},
		{Causes: []string{"oom_killed", "unknown"}},
		{Statuses: []issue.Status{issue.Open}},
		{Statuses: []issue.Status{issue.StatusMuted, issue.StatusResolved}},
		{Statuses: []issue.Status{issue.StatusMuted}, Since: at(20)},
		{Since: at(30)},
		{Since: at(59).Add(1)},
		{Since: at(1000)},
		{Since: at(-1000)},
	}
}

func issueFilters(t *testing.T, f *fixture) {
	records := varied(180)
	for i := range records {
		records[i].Diagnosis.Confidence = record.Confirmed
	}
	f.records(t, records...)
	all := f.issues(t, store.IssueQuery{})
	for i := range all {
		switch i % 5 {
		case 1:
			f.amend(t, all[i].ID, issue.Action{Status: issue.StatusMuted, At: f.now()})
		case 2:
			f.amend(t, all[i].ID, issue.Action{Status: issue.StatusResolved, At: f.now()})
		}
	}
	all = f.issues(t, store.IssueQuery{})
	if len(all) < 50 {
		t.Fatalf("there are %d issues", len(all))
	}
	found := 0
	for n, q := range issueQueries() {
		var want []string
		for _, i := range all {
			if selectsIssue(q, &i) {
				want = append(want, i.ID)
			}
		}
		found += len(want)
		for _, limit := range []int{0, 1 + len(want)/3} {
			q.Limit = limit
			var got []string
			issues := f.issues(t, q)
			for _, i := range issues {
				got = append(got, i.ID)
			}
			if !slices.IsSortedFunc(issues, func(a, b issue.Issue) int { return b.Last.Compare(a.Last) }) {
				t.Errorf("query %d %+v: the issues are not in order", n, q)
			}
			// Among those of one time the order is open.
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("query %d %+v (-want +got):\n%s", n, q, diff)
			}
		}
	}
	if found < 200 {
		t.Errorf("the queries find %d issues in all", found)
	}
}

func issuePages(t *testing.T, f *fixture) {
	const n = 30
	var records []record.Record
	for i := range n {
		records = append(records, crash(i/3, of(fmt.Sprintf("w-%02d", i))))
		records[i].ID = fmt.Sprintf("record-%02d", i)
	}
	f.records(t, records...)
	want := workloads(f.issues(t, store.IssueQuery{}))
	if len(want) != n {
		t.Fatalf("there are %d issues, want %d", len(want), n)
	}
	for _, limit := range []int{1, 7, n, n + 1} {
		equal(t, fmt.Sprintf("pages of %d", limit), want, workloads(f.issues(t, store.IssueQuery{Limit: limit})))
	}
	// One that is seen again between two pages does not move the others.
	page, next, err := f.Issues(t.Context(), store.IssueQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	f.records(t, crash(1000, of(want[12])), crash(1001, of(want[3])), crash(1002, of("new")))
	rest := f.issues(t, store.IssueQuery{Limit: 10, Cursor: next})
	equal(t, "the pages", slices.Delete(slices.Clone(want), 12, 13), append(workloads(page), workloads(rest)...))

	for _, bad := range []string{"x", "%", next + "A", next[1:], strings.Repeat("A", 1000)} {
		if _, _, err := f.Issues(t.Context(), store.IssueQuery{Cursor: bad}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: error %v", bad, err)
		}
	}
}

// issueBatches: how appends are cut into batches changes nothing.
func issueBatches(t *testing.T, f *fixture) {
	var records []record.Record
	for i := range 120 {
		records = append(records, crash(i*40, func(r *record.Record) {
			r.Pod = fmt.Sprintf("pod-%d", i%7)
			r.Node = fmt.Sprintf("node-%d", i%3)
			of(fmt.Sprintf("w-%d", i%4))(r)
			switch i % 9 {
			case 2:
				r.Diagnosis.Confidence = record.Unknown
				r.Diagnosis.Cause = "unknown"
			case 5:
				r.Diagnosis.Cause, r.Diagnosis.Confidence = "node_lost", record.Confirmed
				r.Category = record.Disruption
			}
		}))
		if i%10 == 9 {
			records = append(records, with(records[len(records)-4], func(r *record.Record) { r.Diagnosis.Signature = "panic: y" }))
		}
	}
	f.records(t, records...)
	one := &fixture{Harness: f.Harness, location: f.NewLocation(t)}
	one.open(t)
	defer one.close(t)
	for _, r := range records {
		one.records(t, r)
	}
	byID := func(issues []issue.Issue) map[string]issue.Issue {
		out := make(map[string]issue.Issue)
		for _, i := range issues {
			out[i.ID] = i
		}
		return out
	}
	equal(t, "the issues", byID(f.issues(t, store.IssueQuery{})), byID(one.issues(t, store.IssueQuery{})))
	equal(t, "the records", f.placed(t, store.Query{}), one.placed(t, store.Query{}))
	equal(t, "the incidents", f.incidents(t, store.IncidentQuery{}), one.incidents(t, store.IncidentQuery{}))
}

func issueAmend(t *testing.T, f *fixture) {
	f.records(t, crash(1, nil), crash(2, of("cart")))
	id := f.issueOf(t, crash(1, nil).ID)
	before := f.changes(t, "log", 0)
	at := Epoch().Add(time.Minute)
	got := f.amend(t, id, issue.Action{Status: issue.StatusMuted, At: at, Until: at.Add(time.Hour), By: "kim", Note: "known\n\x00"})
	want := f.issue(t, id)
	want.State = got.State // is that of a moment
	equal(t, "what Amend returns", want, got)
	if want.Status != issue.StatusMuted || want.By != "kim" || want.Note != "known\n\x00" || !want.Since.Equal(at) || !want.Until.Equal(at.Add(time.Hour)) {
		t.Errorf("the issue is %+v", want)
	}
	f.reopen(t)
	equal(t, "the muted issues", []string{"checkout"}, workloads(f.issues(t, store.IssueQuery{Statuses: []issue.Status{issue.StatusMuted}})))
	equal(t, "the others", []string{"cart"}, workloads(f.issues(t, store.IssueQuery{Statuses: []issue.Status{issue.Open}})))
	equal(t, "the changes", before, f.changes(t, "log", 0))

	// What makes no sense changes nothing.
	if _, err := f.Amend(t.Context(), id, issue.Action{Status: "gone", At: at}); err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown status: %v", err)
	}
	equal(t, "the issue", issue.StatusMuted, f.issue(t, id).Status)

	// Further stops are counted, and leave the decision.
	f.records(t, crash(3, nil))
	if i := f.issue(t, id); i.Count != 2 || i.Status != issue.StatusMuted {
		t.Errorf("after a stop, the muted issue is %+v", i)
	}
	f.amend(t, id, issue.Action{Status: issue.StatusResolved, At: at.Add(2 * time.Minute)})
	f.records(t, crash(600, nil))
	if i := f.issue(t, id); i.Count != 3 || i.Status != issue.Open || i.RegressedAt.IsZero() {
		t.Errorf("a stop after the resolve leaves %+v", i)
	}
}

// issueRetention: records go, counts stay; and an issue goes when all of it is older, unless
// a person spoke of it.
func issueRetention(t *testing.T, f *fixture) {
	f.records(t, crash(1, nil), crash(2, nil), crash(100, nil), crash(3, of("old")), crash(4, of("muted")), crash(5, of("archived")), crash(6, of("resolved")), stall(7))
	for _, status := range []issue.Status{issue.StatusMuted, issue.StatusArchived, issue.StatusResolved} {
		found := f.issues(t, store.IssueQuery{Workload: &record.Workload{Kind: "Deployment", Name: string(status)}})
		if len(found) != 1 {
			t.Fatalf("there are %d issues of %s", len(found), status)
		}
		f.amend(t, found[0].ID, issue.Action{Status: status, At: Epoch().Add(10 * time.Second)})
	}
	before := Epoch().Add(50 * time.Second)
	equal(t, "how many went", 6, f.prune(t, store.Retention{Before: before}))
	f.reopen(t)
	got := f.issues(t, store.IssueQuery{Kind: record.KindStop})
	equal(t, "the issues", []string{"checkout", "archived", "muted"}, workloads(got))
	if i := got[0]; i.Count != 3 || !i.First.Equal(Epoch().Add(time.Second)) {
		t.Errorf("the issue is %+v", i)
	}
	equal(t, "its records", []string{crash(100, nil).ID}, ids(f.all(t, store.Query{Issue: got[0].ID})))

	// A stall that lasts is no history, whatever its age, until it ends.
	lasting := func() []string { return ids(f.all(t, store.Query{Open: true})) }
	equal(t, "the stalls that last", []string{stall(7).ID}, lasting())
	equal(t, "their issues", 1, len(f.issues(t, store.IssueQuery{Kind: record.KindStall, Since: before})))
	f.records(t, with(stall(7), func(r *record.Record) { r.End = Epoch().Add(20 * time.Second) }))
	equal(t, "how many went", 1, f.prune(t, store.Retention{Before: before}))
	equal(t, "the issues of stalls", 0, len(f.issues(t, store.IssueQuery{Kind: record.KindStall})))

	// For room, everything goes.
	f.records(t, stall(200))
	f.prune(t, store.Retention{MaxBytes: 1})
	equal(t, "the records", 0, len(f.all(t, store.Query{})))
	equal(t, "the issues", []string{"archived", "muted"}, workloads(f.issues(t, store.IssueQuery{})))
}

func issuePerIssue(t *testing.T, f *fixture) {
	var records []record.Record
	for i := range 600 {
		name := "many"
		if i%100 == 0 {
			name = "few"
		}
		records = append(records, crash(i, of(name)))
	}
	f.records(t, records...)
	for i := range 12 {
		f.records(t, with(stall(1000+i), func(r *record.Record) { r.Workload = &record.Workload{Kind: "Deployment", Name: "stuck"} }))
	}
	if n := f.prune(t, store.Retention{PerIssue: 600}); n != 0 {
		t.Errorf("%d records were removed, and no issue has too many", n)
	}
	equal(t, "how many went", 594-10, f.prune(t, store.Retention{PerIssue: 10}))
	equal(t, "how many went then", 0, f.prune(t, store.Retention{PerIssue: 10}))
	f.reopen(t)
	for name, want := range map[string][2]int{"many": {594, 10}, "few": {6, 6}, "stuck": {12, 12}} {
		found := f.issues(t, store.IssueQuery{Workload: &record.Workload{Kind: "Deployment", Name: name}})
		if len(found) != 1 {
			t.Fatalf("there are %d issues of %s", len(found), name)
		}
		have := f.all(t, store.Query{Issue: found[0].ID})
		if found[0].Count != int64(want[0]) || len(have) != want[1] {
			t.Errorf("%s: %d were counted and %d are kept, want %v", name, found[0].Count, len(have), want)
		}
		if name == "many" {
			equal(t, "the newest", ids(ordered(records[590:], store.Query{})), ids(have))
		}
	}
	s := f.stats(t)
	if s.Stops != 16 || s.Pruned != 584 {
		t.Errorf("the totals are %+v", s)
	}
}

// issueRoundTrip: whatever names the cluster has.
func issueRoundTrip(t *testing.T, f *fixture) {
	hostile := "%_';--\"\x00\u202e" + strings.Repeat("x", 1000)
	r := crash(1, func(r *record.Record) {
		r.Namespace, r.Pod, r.Node, r.Container, r.Cluster = hostile, hostile, hostile, hostile, hostile
		r.Image, r.Message, r.Diagnosis.Summary, r.Diagnosis.Signature = hostile, hostile, hostile, hostile
		of(hostile)(r)
	})
	far := crash(2, func(r *record.Record) {
		of("far")(r)
		r.FinishedAt, r.ObservedAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	timeless := crash(3, func(r *record.Record) {
		of("timeless")(r)
		r.FinishedAt, r.ObservedAt = time.Time{}, time.Time{}
	})
	f.records(t, r, far, timeless, record.Record{Kind: record.KindStop, ID: "bare-stop", Stop: &record.Stop{}})
	// Taken out again and put elsewhere, and so with all that needs their place in time.
	for _, r := range []record.Record{r, far, timeless} {
		f.records(t, with(r, func(r *record.Record) { r.Diagnosis.Cause = hostile }))
	}
	f.reopen(t)
	for _, i := range f.issues(t, store.IssueQuery{}) {
		if i.Count != 1 {
			t.Errorf("the issue %+v has %d records", i.Key, i.Count)
		}
		equal(t, "its records", 1, len(f.all(t, store.Query{Issue: i.ID})))
	}
	equal(t, "how many there are", 4, len(f.issues(t, store.IssueQuery{})))
}
