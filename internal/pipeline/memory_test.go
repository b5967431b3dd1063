package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func exited(n int, pod string) record.Record {
	at := time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC)
	return record.Record{
		Kind: record.KindStop, ID: fmt.Sprintf("stop-%d", n), Namespace: "shop", Pod: pod, PodUID: pod, Container: "api", Node: "node-1",
		Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}, Stop: &record.Stop{FinishedAt: at}, ObservedAt: at,
		Category: record.Failure, Diagnosis: record.Diagnosis{Cause: "app_exit", Confidence: record.Likely, Signature: "panic: x"},
	}
}

// Every way to read a record from a Memory tells its issue, as it is when it is read.
func TestMemoryIssues(t *testing.T) {
	now := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	m := &Memory{Now: func() time.Time { return now }}
	put := func(records ...record.Record) {
		t.Helper()
		if err := m.Append(t.Context(), store.Batch{Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want record.IssueRef, got *record.IssueRef) {
		t.Helper()
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	put(exited(1, "a"), exited(2, "b"))
	changes, err := m.Changes(t.Context(), store.Outbox{}, 10)
	if err != nil || len(changes) != 2 {
		t.Fatal(changes, err)
	}
	want := record.IssueRef{ID: changes[0].Record.Issue.ID, State: string(issue.New), Count: 2, Pods: 2}
	check("a change", want, changes[0].Record.Issue)

	// The same record again, as it was read, is no change and counts nothing; refined it is counted once.
	if err := m.Acknowledge(t.Context(), store.Outbox{}, changes[1].Seq); err != nil {
		t.Fatal(err)
	}
	put(changes[0].Record)
	if changes, err = m.Changes(t.Context(), store.Outbox{}, 10); err != nil || len(changes) != 0 {
		t.Fatal(changes, err)
	}
	refined := exited(2, "b")
	refined.Reason = "Error"
	put(refined, exited(3, "a"))
	want.Count = 3
	one, err := m.Get(t.Context(), "stop-2")
	if err != nil {
		t.Fatal(err)
	}
	check("a record", want, one.Issue)
	now = now.Add(72 * time.Hour)
	want.State = string(issue.Resolved)
	listed, _, err := m.List(t.Context(), store.Query{Limit: 1})
	if err != nil || len(listed) != 1 {
		t.Fatal(listed, err)
	}
	check("a listed record", want, listed[0].Issue)
}

// What a Memory forgets of a record, its issue goes on counting.
func TestMemoryForgets(t *testing.T) {
	m := new(Memory)
	n := counted + 100
	for i := range n {
		if err := m.Append(t.Context(), store.Batch{Records: []record.Record{exited(i, "a")}}); err != nil {
			t.Fatal(err)
		}
		if err := m.Acknowledge(t.Context(), store.Outbox{}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	last, err := m.Get(t.Context(), fmt.Sprintf("stop-%d", n-1))
	if err != nil {
		t.Fatal(err)
	}
	if last.Issue == nil || last.Issue.Count != int64(n) {
		t.Errorf("the issue is %+v, want %d records", last.Issue, n)
	}
	if len(m.known) != remembered {
		t.Errorf("%d records are known, want %d", len(m.known), remembered)
	}
}

func TestMemoryIncident(t *testing.T) {
	m := new(Memory)
	var batch store.Batch
	for i := range 2 {
		r := exited(i, fmt.Sprintf("pod-%d", i))
		r.Diagnosis = record.Diagnosis{Cause: "node_lost", Confidence: record.Confirmed}
		r.Category = record.Disruption
		batch.Records = append(batch.Records, r)
	}
	if _, ok := m.Incident("WI-000000"); ok {
		t.Error("a Memory without records has an incident")
	}
	if err := m.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	r, err := m.Get(t.Context(), "stop-1")
	if err != nil || r.Issue == nil || r.Issue.Incident == "" {
		t.Fatalf("the record says %+v, error %v", r.Issue, err)
	}
	i, ok := m.Incident(r.Issue.Incident)
	if !ok || i.Count != 2 || i.Subject != "node-1" {
		t.Errorf("the incident is %+v, %v", i, ok)
	}
}
