package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func (f *fixture) incidents(t tb, q store.IncidentQuery) []issue.Incident {
	t.Helper()
	out, err := f.Incidents(t.Context(), q)
	if err != nil {
		t.Fatalf("Incidents: %v", err)
	}
	return out
}

// lost returns a stop of a node that was lost, n seconds after the epoch.
func lost(n int, node string) record.Record {
	return with(stop(n), func(r *record.Record) {
		r.Node = node
		of(fmt.Sprintf("w-%d", n))(r)
		r.Category = record.Disruption
		r.Diagnosis = record.Diagnosis{Cause: "node_lost", Confidence: record.Confirmed, Summary: "The node is gone."}
	})
}

func incidents(t *testing.T, f *fixture) {
	// A node alone with one pod is no incident to tell of.
	f.records(t, lost(1, "node-1"))
	equal(t, "the incidents of one stop", 0, len(f.incidents(t, store.IncidentQuery{})))
	one, err := f.Get(t.Context(), lost(1, "").ID)
	if err != nil || one.Issue == nil || one.Issue.Incident != "" {
		t.Fatalf("the record says %+v, error %v", one.Issue, err)
	}

	f.records(t, lost(2, "node-1"), lost(3, "node-2"), lost(5, "node-2"), lost(4, "node-1"), lost(7200, "node-1"), lost(7201, "node-1"))
	f.reopen(t)
	subjects := func(q store.IncidentQuery) (out []string) {
		for _, i := range f.incidents(t, q) {
			out = append(out, fmt.Sprintf("%s %d", i.Subject, i.Count))
		}
		return out
	}
	late := Epoch().Add(time.Hour)
	for _, c := range []struct {
		q    store.IncidentQuery
		want []string
	}{
		{store.IncidentQuery{}, []string{"node-1 2", "node-2 2", "node-1 3"}},
		{store.IncidentQuery{Limit: 2}, []string{"node-1 2", "node-2 2"}},
		{store.IncidentQuery{Node: "node-1"}, []string{"node-1 2", "node-1 3"}},
		{store.IncidentQuery{Node: "node-1", Since: late}, []string{"node-1 2"}},
		{store.IncidentQuery{Node: "node-9"}, nil},
		{store.IncidentQuery{Kind: issue.OnNode, Subject: "node-2"}, []string{"node-2 2"}},
		{store.IncidentQuery{Subject: "node-2"}, []string{"node-2 2"}},
		{store.IncidentQuery{Kind: issue.OfImage}, nil},
		{store.IncidentQuery{Cluster: "prod", Since: late}, []string{"node-1 2"}},
		{store.IncidentQuery{Cluster: "dev"}, nil},
	} {
		equal(t, fmt.Sprintf("the incidents of %+v", c.q), c.want, subjects(c.q))
	}

	all := f.incidents(t, store.IncidentQuery{Kind: issue.OnNode, Subject: "node-1"})
	id := all[1].ID
	for _, form := range []string{id, strings.ToLower(id), id[3:]} {
		i, err := f.Incident(t.Context(), form)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the incident", all[1], i)
		equal(t, "its records", []string{lost(4, "").ID, lost(2, "").ID, lost(1, "").ID}, ids(f.all(t, store.Query{Incident: form})))
		equal(t, "its records by one", 3, len(f.all(t, store.Query{Incident: form, Limit: 1})))
	}
	one, err = f.Get(t.Context(), lost(1, "").ID)
	if err != nil || one.Issue == nil || one.Issue.Incident != id {
		t.Errorf("the record says %+v, want the incident %s; error %v", one.Issue, id, err)
	}
	for _, none := range []string{"", "WI-", "WR-" + id[3:], id + "0"} {
		if _, err := f.Incident(t.Context(), none); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Incident(%q): %v", none, err)
		}
	}

	// A record that turns out to be something else leaves it.
	f.records(t, with(lost(4, "node-1"), func(r *record.Record) { r.Diagnosis.Cause = "oom_killed" }))
	i, err := f.Incident(t.Context(), id)
	if err != nil || i.Count != 2 || !i.Last.Equal(Epoch().Add(2*time.Second)) {
		t.Errorf("the incident that a record left is %+v, error %v", i, err)
	}
	f.prune(t, store.Retention{Before: late})
	equal(t, "what retention leaves", []string{"node-1 2"}, subjects(store.IncidentQuery{}))
}

func observations(t *testing.T, f *fixture) {
	at := func(hour int) time.Time { return Epoch().Add(time.Duration(hour) * time.Hour) }
	see := func(object, field, value string, hour int) record.Observation {
		return record.Observation{Object: object, Field: field, Value: value, Time: at(hour)}
	}
	put := func(cluster string, o ...record.Observation) {
		t.Helper()
		f.append(t, store.Batch{Cluster: cluster, Observed: o})
	}
	read := func(cluster, object string, since time.Time) []record.Observation {
		t.Helper()
		out, err := f.Observations(t.Context(), cluster, object, since)
		if err != nil {
			t.Fatalf("Observations: %v", err)
		}
		return out
	}
	const node, kubelet, kernel = "Node node-1", "status.nodeInfo.kubeletVersion", "status.nodeInfo.kernelVersion"
	put("prod", see(node, kubelet, "1.30", 0), see(node, kernel, "6.1", 0), see("Node node-2", kubelet, "1.29", 0))
	put("dev", see(node, kubelet, "1.28", 0))
	// What is as it was is not added, and what is older than something known neither.
	put("prod", see(node, kubelet, "1.30", 1), see(node, kubelet, "1.31", 10), see(node, kubelet, "1.31", 11), see(node, kubelet, "1.30", 2))
	put("prod", see(node, kubelet, "1.30", 20))
	f.reopen(t)
	was := []record.Observation{see(node, kernel, "6.1", 0), see(node, kubelet, "1.30", 0), see(node, kubelet, "1.31", 10), see(node, kubelet, "1.30", 20)}
	for _, c := range []struct {
		since time.Time
		want  []record.Observation
	}{
		{time.Time{}, was},
		{at(-1), was},
		{at(0), was},
		{at(9), was},
		{at(10), []record.Observation{was[0], was[2], was[3]}},
		{at(15), []record.Observation{was[0], was[2], was[3]}},
		{at(30), []record.Observation{was[0], was[3]}},
	} {
		equal(t, "what was seen since "+c.since.Format(time.DateTime), c.want, read("prod", node, c.since))
	}
	equal(t, "another cluster", []record.Observation{see(node, kubelet, "1.28", 0)}, read("dev", node, time.Time{}))
	equal(t, "another object", 0, len(read("prod", "Node node-3", time.Time{})))

	// What was so at the bound is kept.
	f.prune(t, store.Retention{Before: at(15)})
	equal(t, "what is left", []record.Observation{was[0], was[2], was[3]}, read("prod", node, time.Time{}))
	equal(t, "what is left of another", 1, len(read("prod", "Node node-2", time.Time{})))
}
