package printer

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// IssueTable writes issues as a table, and incidents as others above and below it.
type IssueTable struct {
	TableOptions
	// Width is that of the terminal in columns; 0 means that nothing is cut.
	Width int
	// ASCII draws the trend for a terminal that shows nothing else.
	ASCII bool
	// Window is the time that the trend is over; 0 means DefaultWindow.
	Window time.Duration
	// Cluster adds the cluster, for tables over several.
	Cluster bool
}

// DefaultWindow is the time that a trend is over where nobody says.
const DefaultWindow = 24 * time.Hour

// trendParts is how many characters a trend has in a table.
const trendParts = 8

// issueColumn is a column of the table of issues.
type issueColumn struct {
	gridColumn
	cell func(*issue.Issue) string
}

func (t IssueTable) columns() []issueColumn {
	cols := []issueColumn{{gridColumn{head: "ISSUE"}, func(i *issue.Issue) string { return i.ID }}}
	if t.Cluster {
		cols = append(cols, issueColumn{gridColumn{head: "CLUSTER", least: 6}, func(i *issue.Issue) string { return i.Cluster }})
	}
	if t.Namespace {
		cols = append(cols, issueColumn{gridColumn{head: "NS", least: 6}, func(i *issue.Issue) string { return i.Namespace }})
	}
	cols = append(cols,
		issueColumn{gridColumn{head: "WORKLOAD", least: 14}, IssueWorkload},
		issueColumn{gridColumn{head: "CONTAINER", least: 6, drop: 2}, func(i *issue.Issue) string { return i.Container }},
		issueColumn{gridColumn{head: headCause, least: 14}, issueCause},
		issueColumn{gridColumn{head: "STOPS", right: true}, func(i *issue.Issue) string { return fmt.Sprint(i.Count + i.Missed) }},
		issueColumn{gridColumn{head: "PODS", right: true}, func(i *issue.Issue) string { return tallied(i.Pods) }},
		issueColumn{gridColumn{head: "FIRST", drop: 1}, func(i *issue.Issue) string { return t.ago(i.First) }},
		issueColumn{gridColumn{head: "LAST"}, t.last},
		issueColumn{gridColumn{head: "TREND", drop: 3}, t.trend},
		issueColumn{gridColumn{head: "STATE"}, func(i *issue.Issue) string { return string(i.State) }},
	)
	if t.Wide {
		cols = append(cols,
			issueColumn{gridColumn{head: "CATEGORY"}, func(i *issue.Issue) string { return string(i.Category) }},
			issueColumn{gridColumn{head: "CONF"}, func(i *issue.Issue) string { return string(i.Confidence) }},
			issueColumn{gridColumn{head: "NODES"}, func(i *issue.Issue) string { return newestOf(i.Nodes) }},
			issueColumn{gridColumn{head: "IMAGES"}, func(i *issue.Issue) string { return newestOf(i.Images) }},
			issueColumn{gridColumn{head: "CHANGE"}, func(i *issue.Issue) string {
				if len(i.Changes) == 0 {
					return ""
				}
				return oneLine(i.Changes[0].Text)
			}},
			issueColumn{gridColumn{head: "SUMMARY"}, func(i *issue.Issue) string { return i.Summary }},
		)
	}
	return cols
}

// Write writes the issues, each in the order in which they come, above them the incidents that
// have failures, and below the others: a drain is no more pressing than what fails. States
// are filled in already.
func (t IssueTable) Write(w io.Writer, issues []issue.Issue, incidents []issue.Incident) error {
	var failures, others []issue.Incident
	for _, in := range incidents {
		if len(issues) == 0 || IncidentCategory(&in) == record.Failure {
			failures = append(failures, in)
		} else {
			others = append(others, in)
		}
	}
	separate := false
	for _, part := range []struct {
		rows  int
		write func() error
	}{
		{len(failures), func() error { return t.incidents(w, failures) }},
		{len(issues), func() error { return t.issues(w, issues) }},
		{len(others), func() error { return t.incidents(w, others) }},
	} {
		if part.rows == 0 {
			continue
		}
		if separate {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		separate = true
		if err := part.write(); err != nil {
			return err
		}
	}
	return nil
}

func (t IssueTable) issues(w io.Writer, issues []issue.Issue) error {
	cols := t.columns()
	g := grid{paint: func(row, col int, cell string) string {
		if !t.Color {
			return cell
		}
		switch cols[col].head {
		case headCause:
			return paint(issues[row].Category, cell)
		case "STATE":
			return emphasize(issues[row].State, cell)
		}
		return cell
	}}
	for _, c := range cols {
		g.cols = append(g.cols, c.gridColumn)
	}
	for i := range issues {
		row := make([]string, len(cols))
		for j, c := range cols {
			row[j] = c.cell(&issues[i])
		}
		g.rows = append(g.rows, row)
	}
	width := t.Width
	if t.Wide {
		width = 0
	}
	return g.write(w, width)
}

// incidents writes the table of incidents. What it does not know better is one sentence.
func (t IssueTable) incidents(w io.Writer, incidents []issue.Incident) error {
	g := grid{cols: []gridColumn{
		{head: "INCIDENT"}, {head: "WHAT", least: 16}, {head: "STOPS", right: true}, {head: "PODS", right: true},
		{head: "WORKLOADS", right: true, drop: 2}, {head: "FIRST", drop: 1}, {head: "LAST"}, {head: "SUMMARY", least: minSummary},
	}}
	for i := range incidents {
		in := &incidents[i]
		g.rows = append(g.rows, []string{
			in.ID, in.Kind + " " + in.Subject, fmt.Sprint(in.Count + in.Missed), tallied(in.Pods), tallied(in.Workloads),
			t.ago(in.First), t.ago(in.Last), in.Summary,
		})
	}
	g.paint = func(row, col int, cell string) string {
		if t.Color && g.cols[col].head == "WHAT" {
			return paint(IncidentCategory(&incidents[row]), cell)
		}
		return cell
	}
	width := t.Width
	if t.Wide {
		width = 0
	}
	return g.write(w, width)
}

// CompareIncidents orders incidents as a person on call wants them: failures first, and then
// the newest.
func CompareIncidents(a, b issue.Incident) int {
	return cmp.Or(cmp.Compare(IncidentCategory(&a).Rank(), IncidentCategory(&b).Rank()), b.Last.Compare(a.Last), strings.Compare(a.ID, b.ID))
}

// IncidentCategory is the worst category of an incident's stops.
func IncidentCategory(in *issue.Incident) record.Category {
	worst := record.Lifecycle
	for _, v := range in.Categories.Values {
		if c := record.Category(v.Value); c.Rank() < worst.Rank() {
			worst = c
		}
	}
	return worst
}

// emphasize marks the states that somebody has to look at first.
func emphasize(s issue.State, text string) string {
	switch s {
	case issue.Escalating, issue.Regressed, issue.New:
		return "\x1b[1m" + text + "\x1b[0m"
	case issue.Resolved, issue.Muted, issue.Archived:
		return "\x1b[2m" + text + "\x1b[0m"
	case issue.Ongoing:
	}
	return text
}

// IssueWorkload is the short form of an issue's workload, or of its group.
func IssueWorkload(i *issue.Issue) string {
	if i.Group != "" {
		return "group/" + i.Group
	}
	return i.Workload.Short()
}

// issueCause is the cause with its detail.
func issueCause(i *issue.Issue) string {
	if i.Detail == "" {
		return i.Cause
	}
	return i.Cause + ", " + i.Detail
}

// last is when an issue was last seen: now, where a stall lasts.
func (t IssueTable) last(i *issue.Issue) string {
	if i.Open > 0 && !t.Absolute {
		return "now"
	}
	return t.ago(i.Last)
}

func (t IssueTable) ago(at time.Time) string {
	switch {
	case at.IsZero():
		return "?"
	case t.Absolute:
		return at.UTC().Format(time.RFC3339)
	}
	return Duration(t.Now.Sub(at))
}

func (t IssueTable) trend(i *issue.Issue) string {
	window, until := t.Window, t.AsOf
	if window <= 0 {
		window = DefaultWindow
	}
	if until.IsZero() {
		until = t.Now
	}
	return Spark(i.Trend(until, window, trendParts), t.ASCII)
}

// tallied is how many values there are, with a plus where not all are kept.
func tallied(t issue.Tally) string {
	n := fmt.Sprint(len(t.Values))
	if t.More {
		n += "+"
	}
	return n
}

// newestOf is the value that was seen last, and how many others there are.
func newestOf(t issue.Tally) string {
	if len(t.Values) == 0 {
		return ""
	}
	newest := t.Values[0]
	for _, v := range t.Values[1:] {
		if v.Last.After(newest.Last) {
			newest = v
		}
	}
	others := fmt.Sprint(len(t.Values) - 1)
	if t.More {
		others += "+"
	}
	if others == "0" {
		return newest.Value
	}
	return newest.Value + " +" + others
}

// IssueName writes what "kubectl get -o name" would: a line that a command can take.
func IssueName(w io.Writer, i issue.Issue) error {
	_, err := fmt.Fprintf(w, "issue/%s\n", Escape(i.ID))
	return err
}

// Hidden is what a list leaves out.
type Hidden struct {
	// States and Categories count issues by what they were left out for.
	States     map[issue.State]int
	Categories map[record.Category]int
	// Folded are issues that are a part of an incident, Beyond those that a limit cut.
	Folded, Beyond int
	// Incidents are incidents, not issues.
	Incidents int
}

// String says in one line what is left out, and which flags show it; empty where nothing is.
func (h Hidden) String() string {
	var parts []string
	group := func(flag string, what ...string) {
		if len(what) > 0 {
			parts = append(parts, strings.Join(what, ", ")+" ("+flag+")")
		}
	}
	var states, categories []string
	for _, s := range issue.States() {
		if n := h.States[s]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, s))
		}
	}
	for _, c := range []record.Category{record.Failure, record.Disruption, record.Lifecycle} {
		if n := h.Categories[c]; n > 0 {
			categories = append(categories, fmt.Sprintf("%d %s", n, c))
		}
	}
	group("--state all", states...)
	group("--category all", categories...)
	if h.Folded > 0 {
		group("--unfold", fmt.Sprintf("%d folded into the incidents", h.Folded))
	}
	if h.Beyond > 0 {
		group("--limit 0", fmt.Sprintf("%d beyond the limit", h.Beyond))
	}
	var out []string
	if len(parts) > 0 {
		out = append(out, "Issues not shown: "+strings.Join(parts, ", "))
	}
	if h.Incidents > 0 {
		out = append(out, fmt.Sprintf("Incidents not shown: %d of disruptions (--unfold)", h.Incidents))
	}
	return strings.Join(out, "; ")
}
