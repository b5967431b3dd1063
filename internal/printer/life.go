package printer

import (
	"fmt"
	"strings"
	"time"
)

// life draws the pod's life as a list: when, how long after the step before, what, and
// how long it took.
func (p *page) life() {
	steps := p.r.Life
	if len(steps) == 0 {
		return
	}
	times, deltas, names := make([]string, len(steps)), make([]string, len(steps)), make([]string, len(steps))
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
		times[i] = p.clock(s.Time, p.r.When())
		if !last.IsZero() {
			deltas[i] = "+" + Duration(s.Time.Sub(last))
		}
		last = s.Time
	}
	wt, wd, wn := widest(times), widest(deltas), min(widest(names), p.body()/2)
	var out []string
	for i, s := range steps {
		head := pad(times[i], wt) + "  " + strings.Repeat(" ", wd-Columns(deltas[i])) + deltas[i] + "  "
		text := pad(names[i], wn)
		var more []string
		if s.Seconds != nil {
			took := "took " + seconds(*s.Seconds)
			if s.UsualSeconds != nil {
				took += " (usually " + seconds(*s.UsualSeconds) + ")"
			}
			more = append(more, took)
		}
		if s.Text != "" {
			more = append(more, Escape(s.Text))
		}
		if len(more) > 0 {
			text += "  " + strings.Join(more, ", ")
		}
		out = append(out, columnsBeside(head, text, wn+2, p.body())...)
	}
	p.section("LIFE", out)
}

// columnsBeside puts a text beside a head, and wraps it so that its second column stays one.
func columnsBeside(head, text string, hangBy, width int) []string {
	w := Columns(head)
	room := width - w
	if Columns(text) <= room {
		return []string{head + text}
	}
	first, rest := cut(text, hangBy)
	lines := wrap(strings.TrimLeft(rest, " "), max(10, room-hangBy))
	out := []string{head + first + lines[0]}
	for _, l := range lines[1:] {
		out = append(out, strings.Repeat(" ", w+hangBy)+l)
	}
	return out
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
