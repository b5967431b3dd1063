package printer

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/signature"
)

// ExplainOptions say how an explanation looks.
type ExplainOptions struct {
	// Width is that of the terminal in columns; 0 means DefaultWidth.
	Width int
	// Absolute shows times in full, in UTC.
	Absolute bool
	// Color marks the cause by its category, and the names of the sections.
	Color bool
	// ASCII draws trends for a terminal that shows nothing else.
	ASCII bool
	// Now is what ages count from.
	Now time.Time
}

// Explanation is one finding, and what is known around it.
type Explanation struct {
	Record  record.Record
	History *History
	// Like are the other findings that say the same of other pods, for the header only.
	Like []record.Record
}

// History sums up the earlier stops of a container.
type History struct {
	// Of is what they were stops of, as "this container" or a workload.
	Of string
	// Stops counts those that are known, this one too; Missed those that were only counted. More
	// tells that these are the newest of more.
	Stops, Missed int
	More          bool
	// Pods is how many pods they belong to.
	Pods        int
	First, Last time.Time
	// RanSeconds are the lifetimes that are known.
	RanSeconds []int64
	// Causes counts the causes, the most frequent first.
	Causes []CauseCount
}

// CauseCount is a cause and how often it was found.
type CauseCount struct {
	Cause string
	Stops int
}

const (
	// labelWidth is what the names of the sections take, with the blanks after them.
	labelWidth = 11
	// minWidth is the least that a text is wrapped to.
	minWidth = 40
	// logLines is how much of a log's tail is shown.
	logLines = 8
)

// Explain writes an explanation as text that fits the terminal. Only commands are longer
// than a line, because somebody may want to copy them.
func Explain(w io.Writer, x Explanation, o ExplainOptions) error {
	p := newPage(&x.Record, o)
	p.header(x.Like)
	p.cause()
	p.section("ISSUE", p.issueRef())
	p.section("EVIDENCE", p.evidence())
	p.log()
	p.section("CHANGE", p.changes(x.Record.Changes, x.Record.When()))
	d := &x.Record.Diagnosis
	p.section("RULED OUT", p.alternatives(d.RuledOut))
	p.section("COULD BE", p.alternatives(d.Alternatives))
	p.section("HISTORY", p.history(x.History))
	p.next()
	p.advice()
	p.missing()
	p.life()
	_, err := io.WriteString(w, p.b.String())
	return err
}

// Also names what else was found, a line for each.
func Also(w io.Writer, all []Explanation, o ExplainOptions) error {
	for i := range all {
		x := &all[i]
		p := newPage(&x.Record, o)
		text := Workload(&x.Record)
		if x.Record.Container != "" {
			text += ", container " + x.Record.Container
		}
		text = Escape(text) + ": " + Verdict(&x.Record) + ", " + count(1+len(x.Like), "pod")
		if t := x.Record.When(); !t.IsZero() {
			text += ", the newest " + Escape(x.Record.Pod) + " " + p.ago(t)
		}
		label := "ALSO"
		if i == 0 {
			p.b.WriteString("\n")
		} else {
			label = ""
		}
		p.section(label, hang(text, p.body(), p.body()))
		if _, err := io.WriteString(w, p.b.String()); err != nil {
			return err
		}
	}
	return nil
}

// page is an explanation that is being written.
type page struct {
	b strings.Builder
	o ExplainOptions
	r *record.Record
}

func newPage(r *record.Record, o ExplainOptions) *page {
	if o.Width <= 0 {
		o.Width = DefaultWidth
	}
	o.Width = max(o.Width, minWidth)
	return &page{o: o, r: r}
}

// section writes lines that are wrapped already, with the section's name before the first.
func (p *page) section(label string, lines []string) {
	for i, line := range lines {
		head := strings.Repeat(" ", labelWidth)
		if i == 0 && label != "" {
			head = p.label(label)
		}
		p.b.WriteString(strings.TrimRight(head+line, " ") + "\n")
	}
}

func (p *page) label(s string) string {
	pad := strings.Repeat(" ", max(1, labelWidth-len(s)))
	if p.o.Color {
		s = "\x1b[1m" + s + "\x1b[0m"
	}
	return s + pad
}

// body is the width of what stands beside the names of the sections.
func (p *page) body() int { return p.o.Width - labelWidth }

// paragraph escapes and wraps a text to the width of a section.
func (p *page) paragraph(s string) []string { return wrap(Escape(s), p.body()) }

// hanging is paragraph with the lines after the first indented.
func (p *page) hanging(s string) []string { return hang(Escape(s), p.body(), p.body()) }

// hang wraps the first line of a text to one width and the others, indented, to another.
func hang(s string, first, width int) []string {
	s = strings.Join(strings.Fields(s), " ")
	lines := wrap(s, first)
	if len(lines) > 1 {
		rest := strings.TrimPrefix(s, lines[0])
		lines = append(lines[:1], wrap("  "+strings.TrimLeft(rest, " "), width)...)
	}
	return lines
}

func (p *page) header(like []record.Record) {
	r := p.r
	first := []string{r.Pod}
	if r.Pod == "" { // the pod that could not be made
		first[0] = Workload(r)
	}
	if r.Container != "" {
		kind := "container "
		if r.ContainerType != record.App && r.ContainerType != "" {
			kind = string(r.ContainerType) + " container "
		}
		first = append(first, kind+r.Container)
	}
	first = append(first, p.when()...)
	if r.Node != "" {
		first = append(first, r.Node)
	}
	for _, l := range hang(Escape(strings.Join(first, ", ")), p.o.Width, p.o.Width) {
		p.b.WriteString(p.bold(l) + "\n")
	}
	second := []string{"namespace " + r.Namespace}
	if r.Workload != nil && r.Workload.Kind != "Pod" && r.Pod != "" {
		second = append(second, Workload(r))
	}
	second = append(second, p.end()...)
	for _, l := range hang(Escape(strings.Join(second, ", ")), p.o.Width, p.o.Width) {
		p.b.WriteString(l + "\n")
	}
	if len(like) > 0 {
		for _, l := range hang(Escape(p.like(like)), p.o.Width, p.o.Width) {
			p.b.WriteString(l + "\n")
		}
	}
}

func (p *page) bold(s string) string {
	if p.o.Color {
		return "\x1b[1m" + s + "\x1b[0m"
	}
	return s
}

// when tells which of the container's ends this is, and when it was.
func (p *page) when() []string {
	r := p.r
	switch {
	case r.Stop != nil:
		which := fmt.Sprintf("stop %d", r.Ordinal+1)
		if r.WillRestart != nil && *r.WillRestart || r.RestartCount > r.Ordinal {
			which = fmt.Sprintf("restart %d", r.Ordinal+1)
		}
		if t := r.When(); !t.IsZero() {
			return []string{which, p.time(t) + " (" + p.ago(t) + ")"}
		}
		return []string{which, "at an unknown time"}
	case r.Stall != nil && !r.End.IsZero():
		return []string{fmt.Sprintf("from %s to %s (%s), over", p.time(r.Begin), p.clock(r.End, r.Begin), Duration(r.End.Sub(r.Begin)))}
	case !r.When().IsZero():
		t := r.When()
		return []string{"since " + p.time(t) + " (" + strings.TrimSuffix(p.ago(t), " ago") + ")"}
	}
	return nil
}

// end is the second line of the header: the end as the API has it.
func (p *page) end() []string {
	r := p.r
	var parts []string
	if r.Stop == nil {
		return nil
	}
	if r.RanSeconds != nil {
		parts = append(parts, "ran "+Duration(time.Duration(*r.RanSeconds)*time.Second))
	}
	parts = append(parts, exit(r.Stop))
	switch {
	case r.WillRestart != nil && !*r.WillRestart:
		parts = append(parts, "not started again")
	case r.BackOffSeconds > 0:
		parts = append(parts, "back-off "+Duration(time.Duration(r.BackOffSeconds)*time.Second))
	}
	return parts
}

// like names the other pods of which the same is found.
func (p *page) like(others []record.Record) string {
	pods := make([]string, 0, len(others))
	for i := range others {
		if others[i].Pod != p.r.Pod && !slices.Contains(pods, others[i].Pod) {
			pods = append(pods, others[i].Pod)
		}
	}
	const named = 3
	var text string
	switch {
	case len(pods) == 0:
		return fmt.Sprintf("and %s like it", count(len(others), "finding"))
	case len(pods) <= named:
		text = strings.Join(pods, ", ")
	default:
		text = strings.Join(pods[:named], ", ") + fmt.Sprintf(" and %d more", len(pods)-named)
	}
	return fmt.Sprintf("the same in %s: %s", count(len(pods), "other pod"), text)
}

func (p *page) cause() {
	d := &p.r.Diagnosis
	lines := wrap(Verdict(p.r), p.body())
	if name := Escape(d.Cause); p.o.Color {
		lines[0] = strings.Replace(lines[0], name, paint(p.r.Category, name), 1)
	}
	if d.Summary != "" {
		lines = append(lines, p.paragraph(d.Summary)...)
	}
	p.section("CAUSE", lines)
}

// log shows the end of the log, and the line that matters wherever it stands.
func (p *page) log() {
	l := p.r.Log
	if l == nil || len(l.Lines) == 0 {
		return
	}
	lines := slices.Clone(l.Lines)
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	from := max(0, len(lines)-logLines)
	var out []string
	show := func(i int) {
		text := Escape(strings.ReplaceAll(strings.TrimRight(lines[i], " \t\r\n"), "\t", "    "))
		out = append(out, wrap(Shorten(text, longest), p.body())...)
	}
	left := from
	if s := signature.Find(l.Lines); s != nil && s.Index < from {
		show(s.Index)
		left--
		if s.Index+1 < from {
			out = append(out, "...")
		}
	}
	for i := from; i < len(lines); i++ {
		show(i)
	}
	var notes []string
	if left > 0 || l.Truncated {
		notes = append(notes, "earlier lines left out")
	}
	if l.Redactions > 0 {
		notes = append(notes, count(l.Redactions, "value")+" redacted")
	}
	if l.Instance != record.LogProven {
		notes = append(notes, "probably of this run, which is not proven")
	}
	if len(notes) > 0 {
		out = append(out, wrap("["+strings.Join(notes, "; ")+"]", p.body())...)
	}
	p.section("LOG", out)
}

// alternatives joins causes for which the same is said.
func (p *page) alternatives(all []record.Alternative) []string {
	var whys []string
	causes := make(map[string][]string)
	for _, a := range all {
		if causes[a.Why] == nil {
			whys = append(whys, a.Why)
		}
		name := a.Cause
		if name == "unknown" {
			name = "something else"
		}
		causes[a.Why] = append(causes[a.Why], name)
	}
	var out []string
	for _, why := range whys {
		out = append(out, p.hanging(strings.Join(causes[why], ", ")+": "+why)...)
	}
	return out
}

func (p *page) history(h *History) []string {
	if h == nil {
		return nil
	}
	var parts []string
	total, first := count(h.Stops+h.Missed, "stop"), "the first known "
	if h.More {
		total, first = "the newest "+total, "the first of these "
	}
	if h.Pods > 1 {
		total += fmt.Sprintf(" in %d pods", h.Pods)
	}
	if h.Of != "" {
		total += " of " + h.Of
	}
	if h.Missed > 0 {
		total += fmt.Sprintf(" (%d only counted)", h.Missed)
	}
	parts = append(parts, total)
	if !h.First.IsZero() && h.Stops > 1 {
		parts = append(parts, first+p.ago(h.First))
	}
	if len(h.RanSeconds) > 1 {
		low, high := slices.Min(h.RanSeconds), slices.Max(h.RanSeconds)
		ran := "ran " + Duration(time.Duration(low)*time.Second)
		if low != high {
			ran += " to " + Duration(time.Duration(high)*time.Second)
		}
		parts = append(parts, ran)
	}
	if len(h.Causes) > 1 || len(h.Causes) == 1 && h.Causes[0].Cause != p.r.Diagnosis.Cause {
		var causes []string
		for _, c := range h.Causes {
			causes = append(causes, fmt.Sprintf("%s %dx", c.Cause, c.Stops))
		}
		parts = append(parts, strings.Join(causes, ", "))
	}
	return p.hanging(strings.Join(parts, "; "))
}

func (p *page) next() {
	var out []string
	commands := false
	for _, n := range p.r.Diagnosis.Next {
		out = append(out, p.hanging(n.Text)...)
		if n.Command != "" {
			commands = true
			out = append(out, "  "+Escape(n.Command))
		}
	}
	if commands {
		out = append(out, "(not executed)")
	}
	p.section("NEXT", out)
}

func (p *page) advice() {
	var out []string
	for _, a := range p.r.Diagnosis.Advice {
		text := a.Code + ": " + a.Text
		var quotes []string
		for _, e := range a.Evidence {
			quotes = append(quotes, p.quote(&e))
		}
		if len(quotes) > 0 {
			text += " (" + strings.Join(quotes, ", ") + ")"
		}
		out = append(out, p.hanging(text)...)
	}
	p.section("ADVICE", out)
}

func (p *page) missing() {
	all := slices.Clone(p.r.Diagnosis.Missing)
	if l := p.r.Log; l != nil && len(l.Lines) == 0 && l.Missing != "" {
		all = append(all, record.Missing{What: "log", Why: l.Missing})
	}
	var out []string
	for i, m := range all {
		if !slices.Contains(all[:i], m) {
			out = append(out, p.hanging(m.What+": "+Shorten(m.Why, longest))...)
		}
	}
	p.section("MISSING", out)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// time shows a time of day, with the date where it is not today.
func (p *page) time(t time.Time) string { return p.clock(t, p.o.Now) }

// clock shows a time of day, with the date where it is not the one of ref.
func (p *page) clock(t, ref time.Time) string {
	if p.o.Absolute {
		return t.UTC().Format(time.RFC3339)
	}
	t, ref = t.Local(), ref.Local()
	if t.YearDay() == ref.YearDay() && t.Year() == ref.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

func (p *page) ago(t time.Time) string { return Duration(p.o.Now.Sub(t)) + " ago" }
