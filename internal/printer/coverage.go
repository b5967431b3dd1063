package printer

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// sightLabel is what the names of the sections of a sight take.
	sightLabel = 15
	// sightRows is how many rows of a kind are shown where not all are asked for.
	sightRows = 8
)

// SightOptions says how coverage is shown.
type SightOptions struct {
	ExplainOptions
	// All shows every row, and sections that have nothing to tell.
	All bool
}

// Sight writes what was seen, and what was not: a sentence, and a section for each kind of gap
// that there is.
func Sight(w io.Writer, s record.Sight, o SightOptions) error {
	p := &sightPage{page: newPage(&record.Record{}, o.ExplainOptions), all: o.All, s: &s}
	p.several = slices.ContainsFunc(s.Scopes, func(x record.WatchedScope) bool { return x.Cluster != "" })
	for _, l := range hang(Escape(s.Summary), p.o.Width, p.o.Width) {
		p.b.WriteString(p.bold(l) + "\n")
	}
	p.part("WATCH", append(p.scopes(), p.gaps("watched", record.GapWatch, "")...))
	p.part("MISSED", p.missed())
	p.part("DENIED", p.denied())
	p.part("EVENTS", p.gaps("watched", record.GapEvents))
	p.part("EVIDENCE", p.gaps("", record.GapEvidence))
	p.part("STORE", p.gaps("", record.GapStore))
	p.part("NOTIFICATIONS", p.consumers())
	var missing []string
	for _, m := range s.Missing {
		missing = append(missing, p.line(m.What+": "+m.Why)...)
	}
	p.part("MISSING", missing)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// When says when a gap was, in a few words; they are to be escaped.
func When(g record.Gap) string {
	when := "since " + g.From.Local().Format(time.DateTime)
	switch {
	case g.From.IsZero() && !g.To.IsZero():
		when = "before " + g.To.Local().Format(time.DateTime)
	case !g.To.IsZero():
		to := g.To.Local().Format(time.TimeOnly)
		if f, t := g.From.Local(), g.To.Local(); f.YearDay() != t.YearDay() || f.Year() != t.Year() {
			to = t.Format(time.DateTime)
		}
		when = fmt.Sprintf("from %s to %s (%s)", g.From.Local().Format(time.DateTime), to, Duration(g.To.Sub(g.From)))
	case g.From.IsZero():
		when = "at all"
	}
	switch {
	case strings.Contains(g.Scope, " "):
		when += " in " + g.Scope
	case g.Scope != "":
		when += " in namespace " + g.Scope
	}
	return when
}

type sightPage struct {
	*page
	s *record.Sight
	// all is that of the options; several tells that there are several clusters.
	all, several bool
}

// part writes a section.
func (p *sightPage) part(label string, lines []string) {
	if len(lines) == 0 {
		if !p.all {
			return
		}
		lines = []string{"fine"}
	}
	for i, l := range lines {
		head := strings.Repeat(" ", sightLabel)
		if i == 0 {
			head = p.bold(label) + strings.Repeat(" ", sightLabel-len(label))
		}
		p.b.WriteString(strings.TrimRight(head+l, " ") + "\n")
	}
}

// line escapes and wraps a text.
func (p *sightPage) line(s string) []string {
	width := p.o.Width - sightLabel
	return hang(Escape(s), width, width)
}

// few is how many of n rows are shown, and how many are left out.
func (p *sightPage) few(n int) (shown, more int) {
	if p.all || n <= sightRows {
		return n, 0
	}
	return sightRows, n - sightRows
}

func (p *sightPage) in(cluster, scope string) string {
	text := "all namespaces"
	switch {
	case strings.Contains(scope, " "):
		text = scope
	case scope != "":
		text = "namespace " + scope
	}
	if p.several {
		text += " of cluster " + orEmpty(cluster)
	}
	return text
}

// orEmpty shows that a name is empty.
func orEmpty(name string) string {
	if name == "" {
		return `""`
	}
	return name
}

func (p *sightPage) scopes() []string {
	var out []string
	for i := range p.s.Scopes {
		w := &p.s.Scopes[i]
		text := p.in(w.Cluster, w.Scope)
		if w.Selector != "" {
			text += ", pods " + w.Selector
		}
		if !w.Since.IsZero() {
			text += ", since " + p.time(w.Since) + " (" + p.ago(w.Since) + ")"
		}
		if !w.Seen.IsZero() {
			text += ", up to date at " + p.time(w.Seen) + " (" + p.agoOf(w.Seen) + ")"
		}
		out = append(out, p.line(text)...)
	}
	return out
}

func (p *sightPage) agoOf(t time.Time) string {
	if d := p.o.Now.Sub(t); d < time.Second {
		return "now"
	}
	return p.ago(t)
}

// gaps are a line for each gap of the kinds, the newest first.
func (p *sightPage) gaps(verb string, kinds ...record.GapKind) []string {
	var of []*record.Gap
	for i := range p.s.Gaps {
		if g := &p.s.Gaps[i]; slices.Contains(kinds, g.Kind) {
			of = append(of, g)
		}
	}
	slices.Reverse(of)
	var out []string
	shown, more := p.few(len(of))
	for _, g := range of[:shown] {
		text := p.stretch(g.From, g.To)
		if verb != "" {
			text = "not " + verb + " " + text + ", " + p.in(g.Cluster, g.Scope)
		} else if p.several {
			text += ", cluster " + orEmpty(g.Cluster)
		}
		switch g.Kind {
		case record.GapStore:
			text += fmt.Sprintf(", could not be written, %s waited", count(int(g.Count), "record"))
		case record.GapEvidence:
			text += fmt.Sprintf(", the logs and events of %s were not read", count(int(g.Count), "stop"))
		case record.GapEvents:
			text += "; they were read one by one for what stopped"
		case record.GapWatch, record.GapPermission, record.GapNotification:
		}
		out = append(out, p.line(text+": "+Shorten(g.Why, longest))...)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %s before (-o wide)", count(more, "time")))
	}
	return out
}

// stretch says from when to when, and for how long.
func (p *sightPage) stretch(from, to time.Time) string {
	switch {
	case from.IsZero() && to.IsZero():
		return "at all"
	case from.IsZero():
		return "before " + p.time(to) + " (" + p.ago(to) + ")"
	case to.IsZero():
		return "since " + p.time(from) + " (" + Duration(p.o.Now.Sub(from)) + "), and it lasts"
	}
	return "from " + p.time(from) + " to " + p.clock(to, from) + " (" + Duration(to.Sub(from)) + ")"
}

func (p *sightPage) missed() []string {
	var out []string
	shown, more := p.few(len(p.s.MissedStops))
	for i := range p.s.MissedStops[:shown] {
		m := &p.s.MissedStops[i]
		who := m.Namespace + ", "
		switch {
		case m.Workload != nil && m.Workload.Kind != "Pod":
			who += m.Workload.Short()
		case m.Pod != "":
			who += "pod/" + m.Pod
		default:
			who += "pod/*"
		}
		if p.several {
			who = "cluster " + orEmpty(m.Cluster) + ", " + who
		}
		text := count(m.Count, "stop") + ": " + who + ", container " + m.Container
		if m.Pods > 1 {
			text += ", " + count(m.Pods, "pod")
		}
		switch {
		case !m.After.IsZero() && !m.Until.IsZero():
			text += ", between " + p.time(m.After) + " and " + p.clock(m.Until, m.After)
		case !m.Until.IsZero():
			text += ", before " + p.time(m.Until)
		}
		out = append(out, p.line(text+": "+m.Why)...)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and of %s (-o wide)", count(more, "container")+" more"))
	}
	if n := p.s.MoreMissed; n > 0 {
		out = append(out, fmt.Sprintf("and %s more of other containers", count(n, "stop")))
	}
	return out
}

func (p *sightPage) denied() []string {
	var out []string
	shown, more := p.few(len(p.s.Denied))
	for i := range shown {
		d := &p.s.Denied[len(p.s.Denied)-1-i] // the newest first
		text := d.Verb + " " + d.Resource
		if d.Namespace != "" {
			text += " in namespace " + d.Namespace
			if strings.Contains(d.Namespace, " ") {
				text = d.Verb + " " + d.Resource + " in " + d.Namespace
			}
		}
		if p.several {
			text += " of cluster " + orEmpty(d.Cluster)
		}
		text += ", " + p.stretch(d.Since, d.Until)
		switch {
		case d.Refused == 1:
			text += ", refused once"
		case d.Refused > 1:
			text += fmt.Sprintf(", refused %d times", d.Refused)
		}
		out = append(out, p.line(text)...)
		width := p.o.Width - sightLabel
		out = append(out, wrap("  "+Escape(d.Means), width)...)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %s more (-o wide)", count(more, "permission")))
	}
	return out
}

func (p *sightPage) consumers() []string {
	var out []string
	for i := range p.s.Consumers {
		c := &p.s.Consumers[i]
		if c.Waiting == 0 && c.Dropped == 0 && !p.all {
			continue
		}
		text := c.Name
		if p.several {
			text += ", cluster " + orEmpty(c.Cluster)
		}
		waiting := "was told everything"
		switch {
		case c.Waiting > 0 && c.Oldest.IsZero():
			waiting = count(int(c.Waiting), "change") + " not told yet"
		case c.Waiting > 0:
			waiting = count(int(c.Waiting), "change") + " not told yet, the oldest for " + Duration(p.o.Now.Sub(c.Oldest))
		case c.Dropped > 0:
			waiting = "no change waits"
		}
		if text += ": " + waiting; c.Dropped > 0 {
			text += fmt.Sprintf(", %s dropped", count(int(c.Dropped), "change"))
		}
		out = append(out, p.line(text)...)
	}
	return append(out, p.gaps("", record.GapNotification)...)
}
