package printer

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// IssueExplanation is an issue, and what is known around it.
type IssueExplanation struct {
	// Issue has its state filled in.
	Issue issue.Issue
	// Incidents are those that it is a part of.
	Incidents []issue.Incident
	// AsOf is when the issue was as it is: now, or when a recorded state was made.
	AsOf time.Time
	// Explained tells that the newest record follows, which says why.
	Explained bool
}

// The windows of an issue's trend, and how many characters each has.
const (
	dayParts, weeksParts = 24, 28
	weeks                = 14 * 24 * time.Hour
)

// ExplainIssue writes what is known of an issue as a whole: since when, how often, where,
// and what was changed before.
func ExplainIssue(w io.Writer, x IssueExplanation, o ExplainOptions) error {
	i := &x.Issue
	p := newPage(&record.Record{Namespace: i.Namespace, Category: i.Category, Container: i.Container}, o)
	head := []string{i.ID, IssueWorkload(i)}
	if i.Container != "" {
		head = append(head, "container "+i.Container)
	}
	head = append(head, string(i.State))
	p.headline(strings.Join(head, ", "))
	second := []string{"namespace " + i.Namespace}
	if i.Cluster != "" {
		second = append(second, "cluster "+i.Cluster)
	}
	p.plain(strings.Join(second, ", "))

	cause := record.Record{Category: i.Category, Diagnosis: record.Diagnosis{Cause: i.Cause, Detail: i.Detail, Confidence: i.Confidence}}
	if i.Signature != "" && i.Detail == "" {
		cause.Diagnosis.Detail = i.Signature
	}
	lines := wrap(Verdict(&cause), p.body())
	if name := Escape(i.Cause); p.o.Color {
		lines[0] = strings.Replace(lines[0], name, paint(i.Category, name), 1)
	}
	if !x.Explained && i.Summary != "" {
		lines = append(lines, p.paragraph(Shorten(i.Summary, longest))...)
	}
	p.section("CAUSE", lines)
	p.section("STATE", p.hanging(p.state(i)))
	p.section(nounOf(i), p.hanging(p.counts(i)))
	if len(i.ExitCodes.Values) > 1 {
		p.section("EXIT CODES", p.tally(i.ExitCodes))
	}
	p.section("TREND", p.trends(i, x.AsOf))
	p.section("PODS", p.tally(i.Pods))
	p.section("NODES", p.tally(i.Nodes))
	p.section("IMAGES", p.seen(i.Images, i.First))
	p.section("REVISIONS", p.seen(i.Revisions, i.First))
	p.section("CHANGE", p.changes(i.Changes, p.o.Now))
	p.section("HISTORY", p.past(i))
	var parts []string
	for n := range x.Incidents {
		in := &x.Incidents[n]
		parts = append(parts, p.hanging(in.ID+", "+in.Kind+" "+in.Subject+": "+Shorten(in.Summary, longest))...)
	}
	p.section("INCIDENTS", parts)
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) headline(s string) {
	for _, l := range hang(Escape(s), p.o.Width, p.o.Width) {
		p.b.WriteString(p.bold(l) + "\n")
	}
}

func (p *page) plain(s string) {
	for _, l := range hang(Escape(s), p.o.Width, p.o.Width) {
		p.b.WriteString(l + "\n")
	}
}

func nounOf(i *issue.Issue) string {
	if i.Kind == record.KindStall {
		return "STALLS"
	}
	return "STOPS"
}

// state says where an issue stands, and why.
func (p *page) state(i *issue.Issue) string {
	text := string(i.State)
	by := func(verb string) string {
		s := verb
		if i.By != "" {
			s += " by " + i.By
		}
		if !i.Since.IsZero() {
			s += " at " + p.time(i.Since) + " (" + p.ago(i.Since) + ")"
		}
		return s
	}
	switch i.State {
	case issue.New:
		text = "new: seen for the first time " + p.ago(i.First)
	case issue.Ongoing:
		text = "ongoing: " + Duration(p.o.Now.Sub(i.First)) + " old"
	case issue.Escalating:
		text = p.escalating(i)
	case issue.Regressed:
		text = "regressed: it came back"
		if !i.RegressedAt.IsZero() {
			text += " at " + p.time(i.RegressedAt) + " (" + p.ago(i.RegressedAt) + ")"
		}
		text += " after it was resolved"
	case issue.Resolved:
		text = p.resolved(i, by)
	case issue.Muted:
		text = by("muted")
		if !i.Until.IsZero() {
			text += ", until " + p.time(i.Until)
		}
	case issue.Archived:
		text = by("archived") + ", until it escalates"
	}
	if i.Note != "" {
		text += "; note: " + quoted(i.Note)
	}
	return text
}

// escalating says how often it was before, and how often it came then: by the hours that are
// counted.
func (p *page) escalating(i *issue.Issue) string {
	at := i.EscalatedAt
	if at.IsZero() {
		return "escalating"
	}
	hour := at.Unix() / 3600
	var most, before int64
	for _, h := range i.Hours {
		switch {
		case h.Hour >= hour-1:
			most = max(most, h.Count)
		case h.Hour >= hour-25:
			before += h.Count
		}
	}
	return fmt.Sprintf("escalating: %d in an hour, and %d in the 24h before; noticed at %s (%s)", most, before, p.time(at), p.ago(at))
}

func (p *page) resolved(i *issue.Issue, by func(string) string) string {
	switch i.Resolution {
	case issue.BySilence:
		if i.Kind == record.KindStall && i.Ended.After(i.Last) {
			return "resolved by silence: the last was over at " + p.time(i.Ended) + " (" + p.ago(i.Ended) + ")"
		}
		return "resolved by silence: not seen since " + p.time(i.Last) + " (" + p.ago(i.Last) + ")"
	case issue.ByImage:
		text := "resolved: its pods run another image"
		if i.Image != "" {
			text += ", " + i.Image
		}
		return text
	case issue.ByDeletion:
		return "resolved: its workload is gone"
	case issue.ByPerson:
		text := by("resolved")
		if i.Image != "" {
			text += "; a stop on " + i.Image + " or a newer image is a regression"
		}
		return text
	}
	return by("resolved")
}

// counts says how often, and since when.
func (p *page) counts(i *issue.Issue) string {
	total := fmt.Sprint(i.Count + i.Missed)
	if i.Missed > 0 {
		total += fmt.Sprintf(" (%d only counted)", i.Missed)
	}
	if i.Open > 0 {
		total += fmt.Sprintf(", %d of them now", i.Open)
	}
	if joined := i.Count - i.Known; joined > 0 && i.Known > 0 {
		total += fmt.Sprintf(", %d of them like these but of no known cause", joined)
	}
	if !i.First.IsZero() {
		total += "; the first at " + p.time(i.First) + " (" + p.ago(i.First) + ")"
	}
	if !i.Last.IsZero() && i.Last.After(i.First) {
		total += ", the last at " + p.clock(i.Last, p.o.Now) + " (" + p.ago(i.Last) + ")"
	}
	return total
}

// trends draws the last day by the hour, and two weeks by half days where the issue is older.
func (p *page) trends(i *issue.Issue, now time.Time) []string {
	if now.IsZero() {
		now = p.o.Now
	}
	day := i.Trend(now, DefaultWindow, dayParts)
	var out []string
	draw := func(counts []int64, of, each string) {
		if most := slices.Max(counts); most > 0 {
			out = append(out, fmt.Sprintf("%s  %s, at most %d in %s", pad(Spark(counts, p.o.ASCII), weeksParts), of, most, each))
		}
	}
	draw(day, "the last 24h", "an hour")
	if now.Sub(i.First) > DefaultWindow {
		draw(i.Trend(now, weeks, weeksParts), "the last 14d", "12h")
	}
	return out
}

// named is how many values of a tally are named.
const named = 4

// byCount returns the values of a tally, the most frequent first.
func byCount(t issue.Tally) []issue.Count {
	all := slices.Clone(t.Values)
	slices.SortStableFunc(all, func(a, b issue.Count) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		if n := b.Last.Compare(a.Last); n != 0 {
			return n
		}
		return strings.Compare(a.Value, b.Value)
	})
	return all
}

// tally names the most frequent values.
func (p *page) tally(t issue.Tally) []string {
	if len(t.Values) == 0 {
		return nil
	}
	all := byCount(t)
	var parts []string
	for n, v := range all {
		if n == named {
			more := fmt.Sprint(len(all) - n)
			if t.More {
				more += "+"
			}
			parts = append(parts, "and "+more+" more")
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", v.Value, v.Count))
	}
	text := strings.Join(parts, ", ")
	if len(all) > 1 || t.More {
		text = tallied(t) + ": " + text
	}
	return p.hanging(text)
}

// seen names values with the time from which on they were seen, the newest first, a line each.
func (p *page) seen(t issue.Tally, first time.Time) []string {
	all := slices.Clone(t.Values)
	slices.SortStableFunc(all, func(a, b issue.Count) int { return b.First.Compare(a.First) })
	var out []string
	for n, v := range all {
		if n == named {
			out = append(out, fmt.Sprintf("and %d older", len(all)-n))
			break
		}
		text := fmt.Sprintf("%s (%d)", v.Value, v.Count)
		switch {
		case v.First.IsZero():
		case !v.First.After(first):
			text += ", from the first on"
		default:
			text += ", from " + p.time(v.First) + " on"
		}
		if n > 0 && !v.Last.IsZero() {
			text += ", last " + p.ago(v.Last)
		}
		out = append(out, p.hanging(text)...)
	}
	return out
}

// past is how long the instances ran.
func (p *page) past(i *issue.Issue) []string {
	r := i.Ran
	if r.Count == 0 {
		return nil
	}
	second := func(n int64) string { return Duration(time.Duration(n) * time.Second) }
	text := "ran " + second(r.Min)
	if r.Max > r.Min {
		text += " to " + second(r.Max) + ", " + second(r.Sum/r.Count) + " on average"
	} else if r.Count > 1 {
		text += " each time"
	}
	return p.hanging(text)
}
