package cli

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// ofIncident is how many stops of an incident are shown one by one.
	ofIncident = 3
	// foldEvery is how often the others are told.
	foldEvery = 5 * time.Second
	// forgetAfter is how long an incident is remembered after its last stop.
	forgetAfter = 2 * time.Hour
)

// folder shows the first stops of an incident, and counts the others.
type folder struct {
	rows *printer.Table
	// incident returns what is known of an incident.
	incident func(id string) (issue.Incident, bool)

	mu        sync.Mutex
	incidents map[string]*folded
}

// folded is an incident that is being folded: how many stops there were of it, how many of
// them were not told yet, and when the last one came.
type folded struct {
	stops, waiting int
	last           time.Time
}

// show shows a record, or counts it to its incident.
func (f *folder) show(r record.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fold(&r) {
		return nil
	}
	return f.rows.Row(&r)
}

// fold counts a record, and tells whether that is all to do with it.
func (f *folder) fold(r *record.Record) bool {
	if r.Issue == nil || r.Issue.Incident == "" {
		return false
	}
	if f.incidents == nil {
		f.incidents = make(map[string]*folded)
	}
	in := f.incidents[r.Issue.Incident]
	if in == nil {
		in = new(folded)
		f.incidents[r.Issue.Incident] = in
	}
	in.stops++
	in.last = r.ObservedAt
	if in.stops <= ofIncident {
		return false
	}
	in.waiting++
	return true
}

// flush tells how many were folded since the last time.
func (f *folder) flush(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(f.incidents)) {
		in := f.incidents[id]
		if in.waiting == 0 {
			if now.Sub(in.last) > forgetAfter {
				delete(f.incidents, id)
			}
			continue
		}
		text := fmt.Sprintf("%d more folded into %s", in.waiting, id)
		if known, ok := f.incident(id); ok && known.Summary != "" {
			text += ": " + known.Summary
		}
		in.waiting = 0
		if err := f.rows.Note(now, text); err != nil {
			return err
		}
	}
	return nil
}
