package printer

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Life writes the life of a pod of which there is nothing else to say.
func Life(w io.Writer, r record.Record, o ExplainOptions) error {
	p := newPage(&r, o)
	p.header(nil)
	p.life()
	_, err := io.WriteString(w, p.b.String())
	return err
}

// life draws the pod's life as a list: when, how long after the step before, what, and
// how long it took.
func (p *page) life() {
	steps := p.r.Life
	if len(steps) == 0 {
		return
	}
	times, deltas, names := make([]string, len(steps)), make([]string, len(steps)), make([]string, len(steps))
	ref := p.r.When()
	if ref.IsZero() {
		ref = steps[len(steps)-1].Time
	}
	var last time.Time
	for i, s := range steps {
		names[i] = Escape(strings.ReplaceAll(s.Step, "_", " "))
		if s.Container != "" {
			names[i] += " (" + Escape(s.Container) + ")"
		}
		if s.Time.IsZero() {
			times[i] = "?"
			continue
		}
		times[i] = p.clock(s.Time, ref)
		if !last.IsZero() {
			deltas[i] = "+" + Duration(s.Time.Sub(last))
		}
		last = s.Time
	}
	wt, wd := widest(times), widest(deltas)
	wn := min(widest(names), p.body()/3)
	var out []string
	for i, s := range steps {
		head := pad(times[i], wt) + "  " + strings.Repeat(" ", wd-Columns(deltas[i])) + deltas[i] + "  "
		var more []string
		if s.Seconds != nil && *s.Seconds > 0 {
			took := "took " + seconds(*s.Seconds)
			if s.Step == "stopped" {
				took = "ran " + seconds(*s.Seconds)
			}
			if s.UsualSeconds != nil {
				took += " (usually " + seconds(*s.UsualSeconds) + ")"
			}
			more = append(more, took)
		}
		if s.Text != "" {
			more = append(more, Shorten(Escape(ofPod.ReplaceAllString(s.Text, "")), shortText))
		}
		out = append(out, beside(head, names[i], strings.Join(more, ", "), wn, p.body())...)
	}
	p.section("LIFE", out)
}

// shortText is how much of a step's text is shown.
const shortText = 160

// ofPod is how the kubelet's messages name the pod of the whole list.
var ofPod = regexp.MustCompile(` in pod \S+\([0-9a-f-]{36}\)`)

// leastBeside is the least that a text beside others is wrapped to; with less room it
// stands below them.
const leastBeside = 20

// beside puts a text beside a head and a name, and wraps it so that it stays a column.
func beside(head, name, text string, nameWidth, width int) []string {
	at := Columns(head) + nameWidth + 2
	switch {
	case text == "":
	case Columns(name) <= nameWidth && width-at >= leastBeside:
		lines := wrap(text, width-at)
		out := []string{head + pad(name, nameWidth) + "  " + lines[0]}
		for _, l := range lines[1:] {
			out = append(out, strings.Repeat(" ", at)+l)
		}
		return out
	default:
		name += "  " + text
	}
	if room := width - Columns(head); Columns(name) <= room {
		return []string{head + name}
	} else if room >= leastBeside {
		lines := hang(name, room, room)
		for i := range lines {
			lines[i] = pad("", Columns(head)) + lines[i]
		}
		lines[0] = head + strings.TrimLeft(lines[0], " ")
		return lines
	}
	return append([]string{strings.TrimRight(head, " ")}, wrap("  "+name, width)...)
}

func widest(all []string) int {
	n := 0
	for _, s := range all {
		n = max(n, Columns(s))
	}
	return n
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-Columns(s)))
}

// seconds shows short times with their fraction.
func seconds(s float64) string {
	if s < 10 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", s), ".0") + "s"
	}
	return Duration(time.Duration(s * float64(time.Second)))
}
