package printer

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Group is what several pods of one workload have in common: the findings of one issue.
type Group struct {
	// Newest is the newest finding of the group whose cause is known, Findings are all of them,
	// newest first.
	Newest   *record.Record
	Findings []*record.Record
	// Pods is how many pods they belong to.
	Pods int
}

// GroupBy puts findings together that are of one issue: failures first, then disruptions, and
// the newest first among them.
func GroupBy(records []record.Record) []Group {
	places := slices.Clone(records) // the records themselves are told nothing
	for i := range places {
		places[i].ID = "" // each is one of its own
	}
	issue.Group(places, time.Time{})
	groups := make(map[string]*Group)
	var keys []string
	for i := range records {
		key := fmt.Sprintf("record %d", i)
		if ref := places[i].Issue; ref != nil {
			key = ref.ID
		}
		if groups[key] == nil {
			groups[key] = new(Group)
			keys = append(keys, key)
		}
		groups[key].Findings = append(groups[key].Findings, &records[i])
	}
	out := make([]Group, 0, len(keys))
	for _, key := range keys {
		g := groups[key]
		slices.SortStableFunc(g.Findings, func(a, b *record.Record) int { return b.When().Compare(a.When()) })
		g.Newest = g.Findings[0]
		if known := slices.IndexFunc(g.Findings, func(r *record.Record) bool { return r.Diagnosis.Confidence != record.Unknown }); known > 0 {
			g.Newest = g.Findings[known]
		}
		pods := make(map[string]bool)
		for _, r := range g.Findings {
			if r.Pod != "" {
				pods[r.PodUID+"/"+r.Pod] = true
			}
		}
		g.Pods = len(pods)
		out = append(out, *g)
	}
	slices.SortStableFunc(out, func(a, b Group) int {
		return cmp.Or(ByWeight(a.Newest, b.Newest), cmp.Compare(a.Newest.Namespace, b.Newest.Namespace), cmp.Compare(Workload(a.Newest), Workload(b.Newest)))
	})
	return out
}

// ByWeight orders findings as a person wants them: failures, disruptions, lifecycle, and
// the newest first.
func ByWeight(a, b *record.Record) int {
	return cmp.Or(cmp.Compare(a.Category.Rank(), b.Category.Rank()), b.When().Compare(a.When()))
}

// GroupTable writes groups as a table. Its last column is one sentence, cut to the width
// of the terminal where that is known.
type GroupTable struct {
	TableOptions
	// Width is that of the terminal in columns; 0 means that nothing is cut.
	Width int
}

// Write writes the table.
func (t GroupTable) Write(w io.Writer, groups []Group) error {
	heads := []string{"WORKLOAD:CONTAINER", "PODS", headCause, "CONF", "CATEGORY", "NEWEST"}
	if t.Namespace {
		heads = slices.Insert(heads, 0, "NAMESPACE")
	}
	if t.Wide {
		heads = append(heads, "POD", "NODE", "ID")
	}
	heads = append(heads, "SUMMARY")
	rows := [][]string{heads}
	for i := range groups {
		rows = append(rows, t.row(&groups[i]))
	}
	last := len(heads) - 1
	widths := make([]int, last)
	for _, row := range rows {
		for i := range widths {
			row[i] = Escape(row[i])
			widths[i] = max(widths[i], Columns(row[i]))
		}
	}
	cause := slices.Index(heads, headCause)
	var b strings.Builder
	for n, row := range rows {
		var line strings.Builder
		used := 0
		for i, width := range widths {
			cell := row[i]
			if n > 0 && i == cause && t.Color {
				cell = paint(groups[n-1].Newest.Category, cell)
			}
			line.WriteString(cell + strings.Repeat(" ", width-Columns(row[i])+2))
			used += width + 2
		}
		summary := Escape(row[last])
		if room := t.Width - used; t.Width > 0 && n > 0 {
			summary = Shorten(summary, max(room, minSummary))
		}
		b.WriteString(strings.TrimRight(line.String()+summary, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// minSummary is what a summary has left at least, also beside long names.
const minSummary = 24

func (t GroupTable) row(g *Group) []string {
	r := g.Newest
	who := Workload(r)
	if r.Container != "" {
		who += ":" + r.Container
	}
	cause := r.Diagnosis.Cause
	if r.Diagnosis.Detail != "" {
		cause += ", " + r.Diagnosis.Detail
	}
	when := "<unknown>"
	switch newest := r.When(); {
	case newest.IsZero():
	case t.Absolute:
		when = newest.UTC().Format(time.RFC3339)
	default:
		when = Duration(t.Now.Sub(newest))
	}
	row := []string{who, fmt.Sprint(g.Pods), cause, string(r.Diagnosis.Confidence), string(r.Category), when}
	if t.Namespace {
		row = slices.Insert(row, 0, r.Namespace)
	}
	if t.Wide {
		row = append(row, r.Pod, r.Node, r.ID)
	}
	return append(row, r.Diagnosis.Summary)
}
