package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// ErrNoSubject tells that there is nothing of what was asked about.
var ErrNoSubject = errors.New("there is no such pod or workload")

// Seen is what was found of a subject.
type Seen struct {
	Findings []pipeline.Finding
	Coverage record.Coverage
	// Well are the pods of which there is nothing to find.
	Well []pipeline.Finding
	// Alike are findings of other pods of the same workloads, which tell what is usual for them.
	Alike []pipeline.Finding
	// History is what a store knows around a finding, by its ID.
	History map[string]*printer.History
}

// StoredQuery selects from a history what is known of a subject.
type StoredQuery struct {
	Subject    Subject
	Cluster    string
	Namespaces []string
	// Restart selects the stop that this restart followed; 0 means the newest of each container.
	Restart int
}

// StoredByID returns the record with an ID, or with the only one that begins so.
func StoredByID(ctx context.Context, r store.Reader, id string) (Seen, error) {
	rec, err := r.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Seen{}, fmt.Errorf("%s is the ID of no stop and no stall: %w", id, ErrNoSubject)
	case errors.Is(err, store.ErrAmbiguous):
		return Seen{}, fmt.Errorf("%s is the beginning of several IDs: %w", id, err)
	case err != nil:
		return Seen{}, err
	}
	return withContext(ctx, r, []pipeline.Finding{{Record: rec}})
}

// Stored returns what a history knows of a subject.
func Stored(ctx context.Context, r store.Reader, q StoredQuery) (Seen, error) {
	query := store.Query{Cluster: q.Cluster, Namespaces: q.Namespaces, Container: q.Subject.Container}
	if q.Subject.IsPod() {
		query.Pod = q.Subject.Name
	} else if kind := apiKind(q.Subject.Kind); kind != "" {
		query.Workload = &record.Workload{Kind: kind, Name: q.Subject.Name}
	}
	var found []pipeline.Finding
	for {
		page, next, err := r.List(ctx, query)
		if err != nil {
			return Seen{}, err
		}
		for i := range page {
			if f := (pipeline.Finding{Record: page[i]}); q.Subject.Has(&f) {
				found = append(found, f)
			}
		}
		if next == "" {
			break
		}
		query.Cursor = next
	}
	if len(found) == 0 {
		return Seen{}, fmt.Errorf("%s: nothing of it is in the history: %w", q.Subject, ErrNoSubject)
	}
	if q.Restart > 0 {
		f, err := Restart(found, q.Restart)
		if err != nil {
			return Seen{}, fmt.Errorf("%s: %w", q.Subject, err)
		}
		found = []pipeline.Finding{f}
	} else {
		found = Newest(found)
	}
	for i := range found { // a list has no logs
		full, err := r.Get(ctx, found[i].Record.ID)
		if err != nil {
			return Seen{}, err
		}
		found[i].Record = full
	}
	return withContext(ctx, r, found)
}

// apiKind is the kind as the API spells it, empty where only the API knows.
func apiKind(kind string) string {
	for _, k := range []string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"} {
		if strings.EqualFold(k, kind) {
			return k
		}
	}
	return ""
}

// withContext adds to stored records what they were diagnosed from, and the history of
// their containers.
func withContext(ctx context.Context, r store.Reader, found []pipeline.Finding) (Seen, error) {
	seen := Seen{Findings: found, History: make(map[string]*printer.History)}
	for i := range found {
		f := &found[i]
		e, err := r.Evidence(ctx, f.Record.ID)
		switch {
		case err == nil:
			f.Evidence = e
		case !errors.Is(err, store.ErrNotFound):
			return seen, err
		}
		if f.Record.Stop == nil {
			continue
		}
		h, err := storedHistory(ctx, r, &f.Record)
		if err != nil {
			return seen, err
		}
		seen.History[f.Record.ID] = h
	}
	if len(found) == 0 {
		return seen, nil
	}
	if err := SetStates(ctx, r, found, time.Now()); err != nil {
		return seen, err
	}
	var err error
	since := found[0].Record.When()
	for i := range found {
		if t, _ := lifeOf(&found[i].Record); t.Before(since) {
			since = t
		}
	}
	seen.Coverage, err = StoreCoverage(ctx, r, found[0].Record.Cluster, Records(found), since)
	seen.Coverage.Gaps = InLife(seen.Coverage.Gaps, found)
	return seen, err
}

// Remembered returns what a history knows of the containers of findings that were made
// elsewhere, by the findings' IDs.
// It also tells the findings their issues, and what was changed before them.
func Remembered(ctx context.Context, r store.Reader, found []pipeline.Finding) map[string]*printer.History {
	out := make(map[string]*printer.History)
	for i := range found {
		rec := &found[i].Record
		if kept, err := r.Get(ctx, rec.ID); err == nil {
			rec.Issue = kept.Issue
			if len(rec.Changes) == 0 {
				rec.Changes = kept.Changes
			}
		}
		if rec.Stop == nil {
			continue
		}
		// One that the history has not heard of yet is another cluster's, or has just ended.
		if h, err := storedHistory(ctx, r, rec); err == nil && h != nil && !h.Last.Before(rec.When()) {
			out[rec.ID] = h
		}
	}
	_ = SetStates(ctx, r, found, time.Now()) // a history that cannot be read tells nothing
	return out
}

// storedHistory sums up the newest stops of a container, over all pods of its workload.
func storedHistory(ctx context.Context, r store.Reader, rec *record.Record) (*printer.History, error) {
	q := store.Query{Cluster: rec.Cluster, Namespaces: []string{rec.Namespace}, Container: rec.Container, Kind: record.KindStop}
	of := "this container"
	if w := rec.Workload; w != nil && w.Kind != "Pod" {
		q.Workload, of = w, printer.Workload(rec)+":"+rec.Container
	} else {
		q.Pod = rec.Pod
	}
	stops, next, err := r.List(ctx, q)
	if err != nil {
		return nil, err
	}
	h := sumHistory(stops)
	if h != nil {
		h.Of, h.More = of, next != ""
	}
	return h, nil
}

func sumHistory(stops []record.Record) *printer.History {
	h := new(printer.History)
	pods := make(map[string]bool)
	var causes []string
	for i := range stops {
		r := &stops[i]
		if r.Stop == nil {
			continue
		}
		h.Stops++
		h.Missed += r.MissedBefore
		pods[r.PodUID] = true
		causes = append(causes, r.Diagnosis.Cause)
		if r.RanSeconds != nil {
			h.RanSeconds = append(h.RanSeconds, *r.RanSeconds)
		}
		if t := r.When(); !t.IsZero() {
			if h.First.IsZero() || t.Before(h.First) {
				h.First = t
			}
			if t.After(h.Last) {
				h.Last = t
			}
		}
	}
	if h.Stops+h.Missed < 2 {
		return nil
	}
	h.Pods, h.Causes = len(pods), countCauses(causes)
	return h
}
