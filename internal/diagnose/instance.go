package diagnose

import (
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file finds the events that belong to one instance of a container. The API keeps
// of an event that repeats its first and its last time and a count, drops events of a
// busy pod (client-go tools/record: bursts of 25 for an object and type, then one in
// five minutes), merges those that are alike, and forgets all after an hour.

// skew is what two clocks of a cluster may differ by before their order says nothing.
const skew = 2 * time.Second

// occurrence is an event at one time at which it happened.
type occurrence struct {
	event *evidence.Event
	at    time.Time
}

// within tells that a time lies in the instance's life.
func within(e *evidence.Evidence, t time.Time) bool {
	s := e.Stop
	return !t.IsZero() && (s.StartedAt.IsZero() || !t.Before(s.StartedAt)) && (s.FinishedAt.IsZero() || !t.After(s.FinishedAt.Add(skew)))
}

// lastEvent returns the newest matching event within the instance's lifetime; nil where
// there is none. An event that repeats happened for certain at its first and at its last
// time; one that was merged from several had its message at the last time alone.
func lastEvent(e *evidence.Evidence, match func(*evidence.Event) bool) *occurrence {
	return lastEventBy(e, time.Time{}, match)
}

// lastEventBy is lastEvent for what happened not later than a time; zero for no such bound.
func lastEventBy(e *evidence.Evidence, by time.Time, match func(*evidence.Event) bool) *occurrence {
	return lastEventIn(e, func(t time.Time) bool { return within(e, t) && (by.IsZero() || !t.After(by)) }, match)
}

// lastEventIn is lastEvent for the times that fit.
func lastEventIn(e *evidence.Evidence, fits func(time.Time) bool, match func(*evidence.Event) bool) *occurrence {
	var found *occurrence
	for i := range e.Events {
		ev := &e.Events[i]
		if !match(ev) {
			continue
		}
		at := ev.Last
		if !fits(at) {
			if at = ev.First; ev.Combined || !fits(at) {
				continue
			}
		}
		if found == nil || !at.Before(found.at) {
			found = &occurrence{ev, at}
		}
	}
	return found
}

// between tells that a matching event may have happened in the instance's life at a time
// that the API no longer gives: it was repeated before and after.
func between(e *evidence.Evidence, match func(*evidence.Event) bool) *evidence.Event {
	s := e.Stop
	if s.FinishedAt.IsZero() {
		return nil
	}
	for i := range e.Events {
		ev := &e.Events[i]
		if ev.Count > 2 && match(ev) && ev.First.Before(s.FinishedAt) && ev.Last.After(s.FinishedAt.Add(skew)) {
			return ev
		}
	}
	return nil
}

// isKilling tells a Killing event about this container.
func isKilling(e *evidence.Evidence, ev *evidence.Event) bool {
	return ev.Reason == "Killing" && ev.Container && !(ev.Combined && len(e.Others) > 0 && !namesThis(e, ev.Message))
}

// namesThis tells that a message names the container: where events of several containers
// were merged, only the message says whose it is, and some name none ("killing").
func namesThis(e *evidence.Evidence, message string) bool {
	_, after, ok := strings.Cut(message, "ontainer "+e.Container.Name)
	return ok && (after == "" || after[0] == ' ')
}

// ordered tells that a kill at t can be what ended the instance. The kubelet says that it
// kills before it does, and by the same clock as the runtime says when the container ended:
// what it says later is of a container that had ended by itself. What it says in the second
// of a start is of the instance before, which it often replaces within that second.
func ordered(e *evidence.Evidence, t time.Time) bool {
	s := e.Stop
	second := t.Truncate(time.Second)
	return within(e, t) && (s.FinishedAt.IsZero() || !second.After(s.FinishedAt)) &&
		(s.Ordinal == 0 || s.StartedAt.IsZero() || s.FinishedAt.Equal(s.StartedAt) || second.After(s.StartedAt))
}

// killing returns the Killing event of this instance: about this container, and within
// its lifetime. An event that says more than "Stopping container" goes first.
func killing(e *evidence.Evidence) *occurrence {
	var plain *occurrence
	for _, p := range []bool{false, true} {
		k := lastEventIn(e, func(t time.Time) bool { return ordered(e, t) }, func(ev *evidence.Event) bool { return isKilling(e, ev) && plainStop(ev) == p })
		if k != nil && !p {
			return k
		}
		plain = k
	}
	return plain
}

// plainStop tells a Killing event that gives no reason: the kubelet stops all of the pod.
func plainStop(ev *evidence.Event) bool { return strings.HasPrefix(ev.Message, "Stopping container ") }

// eventSlack is how long before the end of an instance its Killing event may lie, as
// far as the usual grace periods go.
const eventSlack = 2 * time.Minute

// covered tells that the events of the instance's end were read, and not too late: the
// API forgets them, and what it has forgotten rules nothing out.
func covered(e *evidence.Evidence) bool {
	return e.EventsRead && (e.EventsSince.IsZero() || !e.Stop.FinishedAt.IsZero() && e.Stop.FinishedAt.After(e.EventsSince.Add(eventSlack)))
}

// lossy tells that events of this instance were demonstrably dropped: the kubelet says
// "Started" of every instance that it starts, and there are such events of other
// instances and none of this one.
func lossy(e *evidence.Evidence) bool {
	started := e.Stop.StartedAt
	if started.IsZero() {
		return false
	}
	const near = 5 * time.Second
	dropped := false
	for i := range e.Events {
		ev := &e.Events[i]
		if ev.Reason != "Started" || !ev.Container || ev.Last.IsZero() {
			continue
		}
		switch before, after := ev.Last.Before(started.Add(-near)), ev.First.After(started.Add(near)); {
		case before:
			dropped = true
		case after:
			// It would be no wonder if the API had forgotten the one of this instance.
			dropped = dropped || !e.EventsSince.IsZero() && started.After(e.EventsSince)
		case ev.Count > 2, !ev.First.Before(started.Add(-near)), !ev.Last.After(started.Add(near)):
			return false // it is, or may be, among those that this event counts
		default:
			dropped = true
		}
	}
	return dropped
}

// eventsMissing is what is missing where the events do not cover the end.
func eventsMissing(e *evidence.Evidence) record.Missing {
	m := record.Missing{What: "events of the pod", Why: "a Killing or SandboxChanged event would tell; events were not read"}
	switch {
	case e.EventsRead && lossy(e):
		m.Why = "a Killing event would tell; the API server was not sent all events of this pod, as it had too many"
	case e.EventsRead:
		m.Why = "a Killing or SandboxChanged event would tell; the stop is older than the API keeps events"
	}
	return m
}

// endedBefore tells that the instance ended for certain before t, so that what happened at t is not why.
func endedBefore(e *evidence.Evidence, t time.Time) bool {
	f := e.Stop.FinishedAt
	return !f.IsZero() && !t.IsZero() && f.Before(t.Add(-skew))
}

// nodeEvent returns the newest event about the node that matches and happened between
// the two times; nil where there is none.
func nodeEvent(e *evidence.Evidence, from, to time.Time, match func(*evidence.Event) bool) *evidence.Event {
	if e.Node == nil {
		return nil
	}
	var found *evidence.Event
	for i := range e.Node.Events {
		ev := &e.Node.Events[i]
		if !match(ev) || ev.Last.IsZero() || ev.Last.Before(from) || ev.Last.After(to) {
			continue
		}
		found = ev
	}
	return found
}

// condition returns a condition by its type; nil where there is none.
func condition(list []evidence.Condition, kind string) *evidence.Condition {
	for i := range list {
		if list[i].Type == kind {
			return &list[i]
		}
	}
	return nil
}

// podKnown tells that the pod itself was read, and not only remembered by name.
func podKnown(e *evidence.Evidence) bool { return e.Pod.Phase != "" }
