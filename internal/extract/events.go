package extract

import (
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

// AddEvents adds the events about the evidence's pod, told by its UID (a StatefulSet's
// pods reuse their names), that are about the pod as a whole or about the container.
// They were read at asOf; zero where that is not known.
func AddEvents(e *evidence.Evidence, events []*corev1.Event, asOf time.Time) {
	e.EventsRead = true
	if !asOf.IsZero() {
		e.EventsSince = asOf.Add(-eventTTL).UTC()
	}
	e.Events = nil
	for _, ev := range events {
		o := &ev.InvolvedObject
		if string(o.UID) != e.Pod.UID || o.Kind != "Pod" {
			continue
		}
		about := aboutContainer(o.FieldPath, e.Container.Name)
		if o.FieldPath != "" && !about {
			continue
		}
		first, last := eventTimes(ev)
		count := int(ev.Count)
		if ev.Series != nil {
			count = int(ev.Series.Count)
		}
		e.Events = append(e.Events, evidence.Event{
			Type:      ev.Type,
			Reason:    ev.Reason,
			Message:   clip(strings.TrimPrefix(ev.Message, combined)),
			Container: about,
			First:     first,
			Last:      last,
			Count:     count,
		})
	}
	slices.SortStableFunc(e.Events, func(a, b evidence.Event) int { return a.Last.Compare(b.Last) })
	if n := len(e.Events) - maxEvents; n > 0 {
		e.Events = e.Events[n:]
		e.Missing = append(e.Missing, record.Missing{What: "older events of the pod", Why: "there are too many"})
	}
}

// aboutContainer tells whether a fieldPath, such as spec.containers{app}, names the container.
func aboutContainer(fieldPath, container string) bool {
	_, name, ok := strings.Cut(fieldPath, "{")
	return ok && strings.TrimSuffix(name, "}") == container
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
