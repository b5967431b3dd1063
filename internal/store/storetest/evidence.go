package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// evidenceOf returns evidence of some size that names what it is of.
func evidenceOf(name string) evidence.Evidence {
	user := int64(0)
	return evidence.Evidence{
		Version: evidence.Version,
		AsOf:    Epoch().Add(time.Second),
		Pod:     evidence.Pod{Namespace: "shop", Name: name, UID: "uid-" + name, CreatedAt: Epoch(), Requests: evidence.Resources{"cpu": 250}},
		Container: evidence.Container{
			Name: "api", Type: record.App, Command: []string{"/bin/api", "<&>\x00\u2028"}, RunAsUser: &user,
			Liveness: &evidence.Probe{Kind: "httpGet", Target: "GET :8080/healthz", PeriodSeconds: 10},
		},
		Stop:       &evidence.Stop{ExitObserved: true, HasExitCode: true, ExitCode: 1, Reason: "Error", FinishedAt: Epoch()},
		EventsRead: true,
		Events:     []evidence.Event{{Type: "Normal", Reason: "Killing", Message: "Stopping container api", Last: Epoch(), Count: 2}},
		Log:        &evidence.Log{Lines: strings.Split(strings.Repeat("a line\n", 40), "\n"), Proven: true},
		Node:       &evidence.Node{Name: "node-1", Conditions: []evidence.Condition{{Type: "Ready", Status: "True"}}},
		Missing:    []record.Missing{{What: "node events", Why: "forbidden"}},
	}
}

func (f *fixture) noEvidence(t *testing.T, id string) {
	t.Helper()
	if e, err := f.Evidence(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Evidence(%q) = %+v, %v", id, e, err)
	}
}

func (f *fixture) evidence(t *testing.T, id string) evidence.Evidence {
	t.Helper()
	e, err := f.Evidence(t.Context(), id)
	if err != nil {
		t.Fatalf("Evidence(%q): %v", id, err)
	}
	return e
}

func evidenceIsKept(t *testing.T, f *fixture) {
	one, two := stop(1), stop(2)
	put := func(ev map[string]evidence.Evidence, records ...record.Record) {
		t.Helper()
		f.append(t, store.Batch{Records: records, Evidence: ev})
	}
	put(nil, one)
	f.noEvidence(t, one.ID)
	f.noEvidence(t, "nothing of this name")
	put(map[string]evidence.Evidence{one.ID: evidenceOf("one"), "of no record": evidenceOf("x")}, one, two)
	f.noEvidence(t, two.ID)
	f.noEvidence(t, "of no record")
	f.noEvidence(t, one.ID[:store.MinPrefix])
	equal(t, "the evidence", evidenceOf("one"), f.evidence(t, one.ID))
	// It is nothing that a consumer is told, so that it comes without a change.
	before := f.changes(t, "log", 0)
	put(map[string]evidence.Evidence{one.ID: evidenceOf("one again")}, one)
	equal(t, "the evidence after it was replaced", evidenceOf("one again"), f.evidence(t, one.ID))
	equal(t, "the outbox", before, f.changes(t, "log", 0))
	// A record that is refined without evidence keeps what it has.
	put(nil, with(one, func(r *record.Record) { r.Reason = "OOMKilled" }))
	f.reopen(t)
	equal(t, "the evidence after the record was refined", evidenceOf("one again"), f.evidence(t, one.ID))

	// It goes with its record, and counts for the size of the store until then.
	size := f.stats(t).Bytes
	many := make(map[string]evidence.Evidence)
	var records []record.Record
	for i := range 200 {
		r := stop(1000 + i)
		e := evidenceOf(r.Pod)
		e.Log.Lines = SampleLog(i).Lines
		many[r.ID], records = e, append(records, r)
	}
	put(many, records...)
	if grown := f.stats(t).Bytes - size; grown < 200*500 {
		t.Errorf("the evidence of 200 records counts for %d bytes", grown)
	}
	f.prune(t, store.Retention{Before: Epoch().Add(1100 * time.Second)})
	f.noEvidence(t, one.ID)
	f.noEvidence(t, records[0].ID)
	equal(t, "the evidence of one that is left", many[records[150].ID], f.evidence(t, records[150].ID))
}

func openUntilTheEnd(t *testing.T, f *fixture) {
	f.records(t, stop(1), stall(2), stall(3))
	equal(t, "what is open", []string{stall(3).ID, stall(2).ID}, ids(f.list(t, store.Query{Open: true})))
	f.records(t, with(stall(3), func(r *record.Record) { r.End = Epoch().Add(time.Hour) }))
	f.reopen(t)
	equal(t, "what is open", []string{stall(2).ID}, ids(f.list(t, store.Query{Open: true})))
}
