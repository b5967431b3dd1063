// Package storetest is the conformance suite of store.Store: whatever passes it keeps
// the promises that the pipeline, the commands and the API build on.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{NewLocation: ..., Open: ...})
//	}
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Harness tells the suite how to get at the store under test.
type Harness struct {
	// NewLocation returns where a new, empty store can be opened: a file, a connection
	// string. What it makes it removes by t.Cleanup.
	NewLocation func(t *testing.T) string
	// Open opens the store at a location, also one that was open before and is closed. The
	// suite closes it. now is the clock by which the issues of records have a state.
	Open func(ctx context.Context, location string, now func() time.Time) (store.Store, error)
}

// Run runs the suite, each part against a store of its own.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, part := range []struct {
		name string
		test func(t *testing.T, f *fixture)
	}{
		{"AppendTwiceIsOnce", appendTwiceIsOnce},
		{"RefinementReplaces", refinementReplaces},
		{"LogIsKept", logIsKept},
		{"SameIDTwiceInABatch", sameIDTwiceInABatch},
		{"BatchIsAtomic", batchIsAtomic},
		{"RecordRoundTrip", recordRoundTrip},
		{"LogRoundTrip", logRoundTrip},
		{"Evidence", evidenceIsKept},
		{"Open", openUntilTheEnd},
		{"Marks", marks},
		{"MarksMayCallTheStore", marksMayCallTheStore},
		{"MarksOfMany", marksOfMany},
		{"Scopes", scopes},
		{"Gaps", gaps},
		{"AllScopes", allScopes},
		{"Clusters", clusters},
		{"Backlogs", backlogs},
		{"MissedChanges", missedChanges},
		{"ListFilters", listFilters},
		{"ListOrder", listOrder},
		{"ListPages", listPages},
		{"ListPagesDuringAppends", listPagesDuringAppends},
		{"ListCursor", listCursor},
		{"GetByPrefix", getByPrefix},
		{"Changes", changes},
		{"ChangesPerConsumer", changesPerConsumer},
		{"ChangesSurviveReopening", changesSurviveReopening},
		{"ChangesAcknowledged", changesAcknowledged},
		{"ChangesOfACluster", changesOfACluster},
		{"ChangesOfAShard", changesOfAShard},
		{"ChangesOfOtherShards", changesOfOtherShards},
		{"Claim", claim},
		{"WritersOfClusters", writersOfClusters},
		{"PruneByAge", pruneByAge},
		{"PruneWithSlack", pruneWithSlack},
		{"PruneBySize", pruneBySize},
		{"PruneChanges", pruneChanges},
		{"Totals", totals},
		{"IssueOfRecords", issueOfRecords},
		{"IssueByID", issueByID},
		{"IssueMoves", issueMoves},
		{"IssueAbsorbs", issueAbsorbs},
		{"IssueFilters", issueFilters},
		{"IssuePages", issuePages},
		{"IssueBatches", issueBatches},
		{"IssueAmend", issueAmend},
		{"IssueRetention", issueRetention},
		{"IssuePerIssue", issuePerIssue},
		{"IssueRoundTrip", issueRoundTrip},
		{"Incidents", incidents},
		{"Observations", observations},
		{"ReadersDuringWrites", readersDuringWrites},
		{"Cancel", cancel},
		{"Model", model},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			f := &fixture{Harness: h, location: h.NewLocation(t)}
			f.open(t)
			part.test(t, f)
			f.close(t)
		})
	}
}

// tb is what a fixture needs of a test, so that it also serves a property check.
type tb interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A fixture is an open store and shorthands that end the test on an error.
type fixture struct {
	Harness
	location string
	// at is what the store's clock shows, a while after the first records if it is zero.
	at time.Time
	store.Store
}

func (f *fixture) now() time.Time {
	if f.at.IsZero() {
		return Epoch().Add(time.Hour)
	}
	return f.at
}

func (f *fixture) open(t tb) {
	t.Helper()
	s, err := f.Open(t.Context(), f.location, f.now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	f.Store = s
}

func (f *fixture) close(t tb) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func (f *fixture) reopen(t tb) {
	t.Helper()
	f.close(t)
	f.open(t)
}

func (f *fixture) append(t tb, b store.Batch) {
	t.Helper()
	if err := f.Append(t.Context(), b); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func (f *fixture) records(t tb, records ...record.Record) {
	t.Helper()
	f.append(t, store.Batch{Records: records})
}

// list lists without the issues.
func (f *fixture) list(t tb, q store.Query) []record.Record {
	t.Helper()
	records, _, err := f.List(t.Context(), q)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return withoutIssues(records)
}

// all lists page by page, without the issues; placed with them.
func (f *fixture) all(t tb, q store.Query) []record.Record {
	t.Helper()
	return withoutIssues(f.placed(t, q))
}

func (f *fixture) placed(t tb, q store.Query) []record.Record {
	t.Helper()
	var records []record.Record
	for {
		page, next, err := f.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		records = append(records, page...)
		if next == "" {
			return records
		}
		if len(page) == 0 || next == q.Cursor {
			t.Fatalf("List: a page of %d records has a next one", len(page))
		}
		q.Cursor = next
	}
}

func (f *fixture) get(t tb, id string) record.Record {
	t.Helper()
	r, err := f.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get(%q): %v", id, err)
	}
	r.Issue = nil
	return r
}

// outbox is that of the samples' cluster.
func outbox(consumer string) store.Outbox {
	return store.Outbox{Cluster: "prod", Consumer: consumer}
}

func (f *fixture) changes(t tb, consumer string, limit int) []store.Change {
	t.Helper()
	out, err := f.Changes(t.Context(), outbox(consumer), limit)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	for i := 1; i < len(out); i++ {
		if out[i].Seq <= out[i-1].Seq {
			t.Fatalf("Changes: %d comes after %d", out[i].Seq, out[i-1].Seq)
		}
	}
	for i := range out {
		out[i].Record.Issue = nil
	}
	return out
}

func (f *fixture) acknowledge(t tb, consumer string, seq int64) {
	t.Helper()
	if err := f.Acknowledge(t.Context(), outbox(consumer), seq); err != nil {
		t.Fatalf("Acknowledge: %v", err)
	}
}

func (f *fixture) prune(t tb, r store.Retention) int {
	t.Helper()
	n, err := f.Prune(t.Context(), r)
	if err != nil {
		t.Fatalf("Prune: %v", err)
	}
	return n
}

func (f *fixture) stats(t tb) store.Stats {
	t.Helper()
	s, err := f.Stats(t.Context())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	return s
}

func (f *fixture) marks(t tb, cluster string) map[record.ContainerKey]record.Mark {
	t.Helper()
	out := make(map[record.ContainerKey]record.Mark)
	err := f.Marks(t.Context(), cluster, func(m record.Mark) bool {
		if _, twice := out[m.ContainerKey]; twice {
			t.Errorf("Marks: %v comes twice", m.ContainerKey)
		}
		out[m.ContainerKey] = m
		return true
	})
	if err != nil {
		t.Fatalf("Marks: %v", err)
	}
	return out
}

// equal compares up to the difference of a nil and an empty list, which the JSON of a
// record does not have.
func equal(t tb, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

func ids(records []record.Record) []string {
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, r.ID)
	}
	return out
}

func changeIDs(changes []store.Change) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, c.Record.ID)
	}
	return out
}

// stop returns a small stop that ended n seconds after the epoch.
func stop(n int) record.Record {
	at := Epoch().Add(time.Duration(n) * time.Second)
	key := record.StopKey{
		Cluster:      "prod",
		ContainerKey: record.ContainerKey{PodUID: fmt.Sprintf("uid-%d", n), Type: record.App, Name: "api"},
	}
	return record.Record{
		Kind: record.KindStop, ID: key.ID(), Cluster: key.Cluster, Namespace: "shop", Pod: fmt.Sprintf("checkout-%d", n),
		PodUID: key.PodUID, Node: "node-1", Container: key.Name, ContainerType: key.Type,
		Workload:   &record.Workload{Kind: "Deployment", Name: "checkout"},
		Stop:       &record.Stop{RestartCount: 1, ExitObserved: true, FinishedAt: at},
		ObservedAt: at.Add(time.Second), Category: record.Failure,
		Diagnosis: record.Diagnosis{Cause: "app_exit", Confidence: record.Likely, Summary: "The program ended itself."},
	}
}

// stall returns a small stall that began n seconds after the epoch.
func stall(n int) record.Record {
	at := Epoch().Add(time.Duration(n) * time.Second)
	key := record.StallKey{Cluster: "prod", ContainerKey: record.ContainerKey{PodUID: fmt.Sprintf("uid-%d", n)}, Cause: "unschedulable"}
	return record.Record{
		Kind: record.KindStall, ID: key.ID(), Cluster: key.Cluster, Namespace: "shop", Pod: fmt.Sprintf("checkout-%d", n),
		PodUID: key.PodUID, Stall: &record.Stall{Begin: at}, ObservedAt: at.Add(time.Second), Category: record.Failure,
		Diagnosis: record.Diagnosis{Cause: key.Cause, Confidence: record.Confirmed, Summary: "No node has room."},
	}
}

// with returns a copy of r that f has changed.
func with(r record.Record, f func(r *record.Record)) record.Record {
	r = r.Clone()
	f(&r)
	return r
}

func withoutIssues(records []record.Record) []record.Record {
	for i := range records {
		records[i].Issue = nil
	}
	return records
}

func withoutLog(r record.Record) record.Record {
	r.Log = nil
	return r
}
