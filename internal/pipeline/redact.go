package pipeline

import (
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

// hide replaces secrets in everything of the evidence that programs and people wrote:
// messages, log lines, commands. It is the one place for that, and comes before any rule
// looks. What was hidden before is not written to: findings share it.
func (e *Engine) hide(ev *evidence.Evidence) {
	if e.redactor == nil {
		return
	}
	text := func(s *string) {
		if *s == "" {
			return
		}
		if hidden := e.redact(*s); hidden != *s {
			*s = hidden
		}
	}
	hideConditions := func(c []evidence.Condition) {
		for i := range c {
			text(&c[i].Message)
		}
	}
	hideEvents := func(events []evidence.Event) {
		for i := range events {
			text(&events[i].Message)
		}
	}
	text(&ev.Pod.Message)
	hideConditions(ev.Pod.Conditions)
	if ev.Pod.Disruption != nil {
		text(&ev.Pod.Disruption.Message)
	}
	e.hideContainer(&ev.Container, text)
	for i := range ev.Others {
		e.hideContainer(&ev.Others[i], text)
	}
	if ev.Stop != nil {
		text(&ev.Stop.Message)
	}
	hideEvents(ev.Events)
	if ev.Log != nil {
		if lines, _ := e.redactor.Lines(ev.Log.Lines); !slices.Equal(lines, ev.Log.Lines) {
			ev.Log.Lines = lines
		}
	}
	if ev.Node != nil {
		hideConditions(ev.Node.Conditions)
		hideEvents(ev.Node.Events)
	}
	if ev.Owner != nil {
		for i := range ev.Owner.Chain {
			hideConditions(ev.Owner.Chain[i].Conditions)
		}
		hideEvents(ev.Owner.Events)
	}
	for i := range ev.Claims {
		hideEvents(ev.Claims[i].Events)
	}
}

func (e *Engine) hideContainer(c *evidence.Container, text func(*string)) {
	for _, args := range []*[]string{&c.Command, &c.Args} {
		if hidden := e.hideArguments(*args); !slices.Equal(hidden, *args) {
			*args = hidden
		}
	}
	for _, h := range []*evidence.Hook{c.PostStart, c.PreStop} {
		if h != nil {
			text(&h.Target)
		}
	}
	for _, p := range []*evidence.Probe{c.Liveness, c.Readiness, c.Startup} {
		if p != nil {
			text(&p.Target)
		}
	}
	text(&c.WaitingMessage)
	for _, t := range []*evidence.Ended{c.Ended, c.LastEnded} {
		if t != nil {
			text(&t.Message)
		}
	}
}

// hideArguments hides secrets in arguments, also in one that follows the flag that it is the value of.
func (e *Engine) hideArguments(args []string) []string {
	if len(args) == 0 {
		return args
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = e.redact(a)
		if i == 0 || strings.HasPrefix(a, "-") {
			continue
		}
		flag := args[i-1]
		if !strings.HasPrefix(flag, "-") || strings.ContainsAny(flag, "= \n") {
			continue
		}
		if value, ok := strings.CutPrefix(e.redact(flag+"="+a), flag+"="); ok && value != a {
			out[i] = value
		}
	}
	return out
}
