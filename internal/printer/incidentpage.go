package printer

import (
	"fmt"
	"io"
	"slices"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// IncidentExplanation is an incident, and what is known around it.
type IncidentExplanation struct {
	Incident issue.Incident
	// Members are its issues with their states, as far as they are kept.
	Members []issue.Issue
	// Facts are quoted of the node, or of whatever the stops have in common; Changes are what was
	// changed of it around that time.
	Facts   []record.Evidence
	Changes []record.Change
}

// counted is how many values there are, with what they are.
func counted(t issue.Tally, what string) string {
	if len(t.Values) != 1 || t.More {
		what += "s"
	}
	return tallied(t) + " " + what
}

// members is how many issues of an incident are listed.
const members = 20

// ExplainIncident writes what is known of an incident.
func ExplainIncident(w io.Writer, x IncidentExplanation, o ExplainOptions) error {
	in := &x.Incident
	p := newPage(new(record.Record), o)
	p.headline(in.ID + ", " + in.Kind + " " + in.Subject)
	when := p.time(in.First) + " (" + p.ago(in.First) + ")"
	if in.Last.After(in.First) {
		when = fmt.Sprintf("from %s to %s (%s), %s", p.time(in.First), p.clock(in.Last, in.First), Duration(in.Last.Sub(in.First)), p.ago(in.Last))
	}
	if in.Cluster != "" {
		when += ", cluster " + in.Cluster
	}
	p.plain(when)
	if in.Summary != "" {
		p.section("SUMMARY", p.paragraph(Shorten(in.Summary, longest)))
	}
	noun := "STOPS"
	if in.Stalls > 0 {
		noun = "STALLS"
	}
	total := fmt.Sprint(in.Count + in.Missed)
	if in.Stalls > 0 && in.Stalls < in.Count {
		noun = "FINDINGS"
		total += " (" + count(int(in.Stalls), "stall") + ")"
	}
	if in.Missed > 0 {
		total += fmt.Sprintf(" (%d only counted)", in.Missed)
	}
	total += " in " + counted(in.Pods, "pod") + " of " + counted(in.Workloads, "workload")
	p.section(noun, p.hanging(total))
	p.section("CAUSES", p.tally(in.Causes))
	if in.Kind != issue.OnNode {
		p.section("NODES", p.tally(in.Nodes))
	}
	p.section("WORKLOADS", p.tally(in.Workloads))
	p.section("PODS", p.tally(in.Pods))
	var facts []string
	for n := range x.Facts {
		e := &x.Facts[n]
		stamp := ""
		if !e.Time.IsZero() {
			stamp = p.clock(e.Time, in.First)
		}
		facts = append(facts, p.stamped(p.quote(e), stamp)...)
	}
	p.section("EVIDENCE", facts)
	p.section("CHANGE", p.changes(x.Changes, in.First))
	p.section("ISSUES", p.members(x))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// members lists the issues of an incident, with how many of the stops of each belong to it.
func (p *page) members(x IncidentExplanation) []string {
	counts := make(map[string]int64)
	for _, v := range x.Incident.Issues.Values {
		counts[v.Value] = v.Count
	}
	shown := x.Members[:min(members, len(x.Members))]
	causes := len(x.Incident.Causes.Values) != 1 // else the section above says it
	g := grid{cols: []gridColumn{{}, {least: 20}, {least: 10}, {}, {}}}
	if !causes {
		g.cols = slices.Delete(g.cols, 2, 3)
	}
	for n := range shown {
		i := &shown[n]
		who := i.Namespace + " " + IssueWorkload(i)
		if i.Container != "" {
			who += ":" + i.Container
		}
		row := []string{i.ID, who, i.Cause, fmt.Sprintf("%d of %d", counts[i.ID], i.Count), string(i.State)}
		if !causes {
			row = slices.Delete(row, 2, 3)
		}
		g.rows = append(g.rows, row)
	}
	var out []string
	if len(shown) > 0 {
		out = g.lines(p.body())[1:]
	}
	if more := len(x.Members) - len(shown); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return out
}
