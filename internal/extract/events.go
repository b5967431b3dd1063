package extract

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// maxEvents bounds the events of one pod that are kept as evidence, the newest ones.
const maxEvents = 64

// combined stands before the newest message where a client merged several events (client-go tools/record).
const combined = "(combined from similar events): "

// eventTTL is how long the API server keeps events, unless it is told otherwise
// (kube-apiserver --event-ttl).
const eventTTL = time.Hour

// maxOtherEvents bounds those among them that are about the pod's other containers.
const maxOtherEvents = 16

// AddEvents adds the events about the evidence's pod, told by its UID (a StatefulSet's
// pods reuse their names): those about the pod as a whole and about the container, and
// a few about the other containers. They were read at asOf; zero where that is not known.
func AddEvents(e *evidence.Evidence, events []*corev1.Event, asOf time.Time) {
	e.EventsRead = true
	if !asOf.IsZero() {
		e.EventsSince = asOf.Add(-eventTTL).UTC()
	}
	var own, other []evidence.Event
	for _, ev := range events {
		o := &ev.InvolvedObject
		if uid := string(o.UID); o.Kind != "Pod" || uid != e.Pod.UID && (e.Pod.EventUID == "" || uid != e.Pod.EventUID) {
			continue
		}
		out := event(ev)
		name, named := containerName(o.FieldPath)
		switch {
		case named && name == e.Container.Name:
			out.Container = true
		case named:
			out.Other = clipTo(name, maxCommand)
			other = append(other, out)
			continue
		case o.FieldPath != "":
			continue
		}
		own = append(own, out)
	}
	own, cut := newest(own, maxEvents)
	other, _ = newest(other, maxOtherEvents)
	e.Events = append(own, other...)
	byTime(e.Events)
	if cut {
		if first := own[0].Last; first.After(e.EventsSince) {
			e.EventsSince = first // what is older is not known
		}
		e.Missing = append(e.Missing, record.Missing{What: "older events of the pod", Why: "there are too many"})
	}
}

// Events returns events about something else than a pod, such as its node, oldest first.
func Events(events []*corev1.Event) []evidence.Event {
	var out []evidence.Event
	for _, ev := range events {
		e := event(ev)
		e.Object = clipTo(ev.InvolvedObject.Kind+" "+ev.InvolvedObject.Name, maxCommand)
		out = append(out, e)
	}
	out, _ = newest(out, maxEvents)
	return out
}

func event(ev *corev1.Event) evidence.Event {
	first, last := eventTimes(ev)
	count := int(ev.Count)
	if ev.Series != nil {
		count = int(ev.Series.Count)
	}
	message, combined := strings.CutPrefix(ev.Message, combined)
	return evidence.Event{
		Type:     ev.Type,
		Reason:   ev.Reason,
		Message:  clip(message),
		Source:   cmp.Or(ev.Source.Component, ev.ReportingController),
		First:    first,
		Last:     last,
		Count:    count,
		Combined: combined,
	}
}

// newest sorts events by their times and keeps the last n.
func newest(events []evidence.Event, n int) (kept []evidence.Event, cut bool) {
	byTime(events)
	if len(events) <= n {
		return events, false
	}
	return slices.Clone(events[len(events)-n:]), true
}

func byTime(events []evidence.Event) {
	slices.SortStableFunc(events, func(a, b evidence.Event) int { return a.Last.Compare(b.Last) })
}

// containerName is the name in a fieldPath such as spec.containers{app}.
func containerName(fieldPath string) (name string, ok bool) {
	_, name, ok = strings.Cut(fieldPath, "{")
	return strings.TrimSuffix(name, "}"), ok
}

// EventTime returns when an event happened for the last time, zero where it does not say.
func EventTime(ev *corev1.Event) time.Time {
	_, last := eventTimes(ev)
	return last
}

// eventTimes returns when an event happened for the first and the last time. Writers of
// events.k8s.io leave the older fields null.
func eventTimes(ev *corev1.Event) (first, last time.Time) {
	known := func(times ...time.Time) time.Time {
		for _, t := range times {
			if t = detect.KnownTime(t); !t.IsZero() {
				return t
			}
		}
		return time.Time{}
	}
	var series time.Time
	if ev.Series != nil {
		series = ev.Series.LastObservedTime.Time
	}
	first = known(ev.FirstTimestamp.Time, ev.EventTime.Time, ev.LastTimestamp.Time)
	last = known(series, ev.LastTimestamp.Time, ev.EventTime.Time, ev.FirstTimestamp.Time)
	return first, last
}
