package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// SeenIncident is what was found of an incident.
type SeenIncident struct {
	Incident issue.Incident
	Members  []issue.Issue
	// Records are some of its stops, the newest first.
	Records []record.Record
	// Facts are what is known of the nodes that the stops were on.
	Facts []record.Evidence
	// Changes are what was seen to change of the incident's node around it, the newest first.
	Changes  []record.Change
	Coverage record.Coverage
}

// evidenceOf is of how many of an incident's records the evidence is looked at.
const evidenceOf = 50

// StoredIncident returns what a history knows of an incident.
func StoredIncident(ctx context.Context, r store.Reader, id string, now time.Time) (SeenIncident, error) {
	var out SeenIncident
	in, err := r.Incident(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		all, aerr := r.Incidents(ctx, store.IncidentQuery{})
		if aerr != nil {
			return out, aerr
		}
		var one *issue.Incident
		if one, err = withPrefix(id, all, func(i *issue.Incident) string { return i.ID }); err == nil {
			in = *one
		}
	}
	if err != nil {
		return out, noIncident(id, err)
	}
	out.Incident = in
	for _, v := range in.Issues.Values {
		i, err := r.Issue(ctx, v.Value)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return out, err
		}
		i.State = i.At(now)
		out.Members = append(out.Members, i)
	}
	slices.SortStableFunc(out.Members, comparing(now))
	if out.Records, _, err = r.List(ctx, store.Query{Incident: in.ID, Limit: evidenceOf}); err != nil {
		return out, err
	}
	out.Facts = nodeFacts(out.Records)
	if in.Kind == issue.OnNode {
		object := "Node " + in.Subject
		seen, err := r.Observations(ctx, in.Cluster, object, in.First.Add(-beforeIncident))
		if err != nil {
			return out, err
		}
		out.Changes = changed(object, seen, in.Last.Add(afterIncident))
	}
	out.Coverage, err = StoreCoverage(ctx, r, in.Cluster, out.Records, in.First)
	return out, err
}

// GroupedIncident returns what findings that nobody keeps tell of an incident.
func GroupedIncident(found []pipeline.Finding, coverage record.Coverage, id string, now time.Time) (SeenIncident, error) {
	records := Records(latest(found))
	issues, incidents := issue.Group(records, now)
	out := SeenIncident{Coverage: coverage}
	one, err := withPrefix(id, incidents, func(i *issue.Incident) string { return i.ID })
	if err != nil {
		return out, noIncident(id, err)
	}
	out.Incident = *one
	for i := range issues {
		if has(one.Issues, issues[i].ID) {
			issues[i].State = issues[i].At(now)
			out.Members = append(out.Members, issues[i])
		}
	}
	slices.SortStableFunc(out.Members, comparing(now))
	for i := range records {
		if ref := records[i].Issue; ref != nil && ref.Incident == one.ID {
			out.Records = append(out.Records, records[i])
		}
	}
	slices.SortStableFunc(out.Records, func(a, b record.Record) int { return b.When().Compare(a.When()) })
	out.Facts = nodeFacts(out.Records)
	return out, nil
}

func noIncident(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s: there is no such incident", id)
	}
	return noIssue(id, err)
}

// What changed of a node is of interest from beforeIncident on, and for as long after as it
// may take until it is seen.
const (
	beforeIncident = time.Hour
	afterIncident  = 10 * time.Minute
)

// changed returns what was seen to change of an object until a time.
func changed(object string, seen []record.Observation, until time.Time) []record.Change {
	was := make(map[string]string)
	var out []record.Change
	for _, o := range seen {
		old, known := was[o.Field]
		was[o.Field] = o.Value
		if known && old != o.Value && !o.Time.After(until) {
			out = append(out, record.Change{
				Kind: record.ChangeNode, Object: object, Time: o.Time, Text: object + " changed",
				Fields: []record.FieldChange{{Field: o.Field, Old: old, New: o.Value}},
			})
		}
	}
	slices.Reverse(out) // the newest first
	return out
}

// nodeFacts are what the evidence of an incident's stops says of nodes, each fact once.
func nodeFacts(records []record.Record) []record.Evidence {
	type fact struct{ object, field, value string }
	seen := make(map[fact]bool)
	var out []record.Evidence
	for i := range records {
		for _, e := range records[i].Diagnosis.Evidence {
			if e.Source != "node" && !strings.HasPrefix(e.Object, "Node ") {
				continue
			}
			if f := (fact{e.Object, e.Field, e.Value}); !seen[f] {
				seen[f] = true
				out = append(out, e)
			}
		}
	}
	return out
}
