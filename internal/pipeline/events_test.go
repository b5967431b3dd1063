package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// event is an event about an object of a kind, named and with the UID of its name, that
// happened some seconds after noon.
func event(kind, name, reason, message string, second int) *corev1.Event {
	at := metav1.NewTime(noon.Add(time.Duration(second) * time.Second))
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint(name, ".", reason, second), UID: types.UID(fmt.Sprint(name, reason, second))},
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: "ns", Name: name, UID: types.UID(name)},
		Reason:         reason, Message: message, Type: corev1.EventTypeNormal, FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
}

// noon is when the clock of a synctest bubble starts, in the day of which tests are.
var noon = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// listed answers with one event, and counts how often it was asked.
type listed struct{ asked int }

func (l *listed) Events(context.Context, string, string) ([]*corev1.Event, error) {
	l.asked++
	return []*corev1.Event{event("Pod", "u", "Listed", "", 0)}, nil
}

func reasons(t *testing.T, events []*corev1.Event, err error) (out []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		out = append(out, ev.Reason)
	}
	return out
}

func index(fallback EventReader, now *time.Time) *EventIndex {
	x := NewEventIndex(fallback, func() time.Time { return *now })
	x.EventTrouble("", nil)
	return x
}

func TestEventsAreKeptByTheirObject(t *testing.T) {
	now := noon.Add(time.Minute)
	list := new(listed)
	x := index(list, &now)
	x.Event(event("Pod", "u", "Killing", "", 2))
	x.Event(event("Pod", "u", "Unhealthy", "", 1))
	x.Event(event("Pod", "v", "Killing", "", 1))
	x.Event(event("Node", "n1", "Rebooted", "", 3))
	other := event("Node", "n1", "NodeNotReady", "", 4)
	other.InvolvedObject.UID = "a real UID"
	x.Event(other)
	x.Event(&corev1.Event{Reason: "AboutNothing"})
	again := event("Pod", "u", "Unhealthy", "", 1)
	again.LastTimestamp, again.Count = metav1.NewTime(noon.Add(9*time.Second)), 2
	x.Event(again)
	x.Event(event("Pod", "u", "Unhealthy", "", 1)) // an older form of it, as a list may show again

	events, err := x.Events(t.Context(), "ns", "u")
	if diff := cmp.Diff([]string{"Killing", "Unhealthy"}, reasons(t, events, err)); diff != "" {
		t.Errorf("events of a pod, by their time (-want +got):\n%s", diff)
	}
	if events[1].Count != 2 {
		t.Errorf("an older form replaced the newer: %+v", events[1])
	}
	events, err = x.NodeEvents(t.Context(), "n1")
	if diff := cmp.Diff([]string{"Rebooted", "NodeNotReady"}, reasons(t, events, err)); diff != "" {
		t.Errorf("events of a node, whatever UID they name (-want +got):\n%s", diff)
	}
	events, err = x.Events(t.Context(), "ns", "nobody")
	if err != nil || len(events) != 0 || list.asked != 0 {
		t.Errorf("events of nobody: %v, %v, and the API was asked %d times", events, err, list.asked)
	}

	// What the API has forgotten is no evidence any more.
	now = noon.Add(eventTTL + 5*time.Second)
	events, err = x.Events(t.Context(), "ns", "u")
	if diff := cmp.Diff([]string{"Unhealthy"}, reasons(t, events, err)); diff != "" {
		t.Errorf("after an hour (-want +got):\n%s", diff)
	}
	now = noon.Add(3 * eventTTL)
	x.Event(event("Pod", "w", "Killing", "", 10800))
	if kept, _ := x.Kept(); kept != 1 {
		t.Errorf("%d events are kept after three hours, want the newest alone", kept)
	}
}

func TestEventsThatMatterStay(t *testing.T) {
	now := noon
	list := new(listed)
	x := index(list, &now)
	x.Event(event("Pod", "u", "Killing", "", 0))
	for i := range 10 * eventsPerObject {
		x.Event(event("Pod", "u", "Created", "", i+1))
	}
	events, err := x.Events(t.Context(), "ns", "u")
	if got := reasons(t, events, err); len(got) != eventsPerObject || got[0] != "Killing" || list.asked != 0 {
		t.Errorf("%d events, first %s, and the API was asked %d times", len(got), got[0], list.asked)
	}
	// Where one that matters had to go, the API tells more.
	for i := range 2 * eventsPerObject {
		x.Event(event("Pod", "u", "Unhealthy", "", 1000+i))
	}
	events, err = x.Events(t.Context(), "ns", "u")
	if diff := cmp.Diff([]string{"Listed"}, reasons(t, events, err)); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfAllAreBounded(t *testing.T) {
	now := noon
	list := new(listed)
	x := index(list, &now)
	const more = 100
	for i := range eventsKept + more {
		x.Event(event("Pod", fmt.Sprint("u", i), "Killing", "", 0))
	}
	if kept, dropped := x.Kept(); kept != eventsKept || dropped != more {
		t.Errorf("%d kept, %d dropped", kept, dropped)
	}
	for _, tc := range []struct{ uid, want string }{{"u0", "Listed"}, {fmt.Sprint("u", eventsKept), "Killing"}} {
		events, err := x.Events(t.Context(), "ns", tc.uid)
		if diff := cmp.Diff([]string{tc.want}, reasons(t, events, err)); diff != "" {
			t.Errorf("events of %s: %s", tc.uid, diff)
		}
	}
	if len(x.objects) != x.order.Len() {
		t.Errorf("%d objects, %d in their order", len(x.objects), x.order.Len())
	}
}

func TestEventsThatAreNotWatched(t *testing.T) {
	now := noon
	refused := errors.New("events is forbidden")
	x := NewEventIndex(nil, func() time.Time { return now })
	x.EventTrouble("ns", refused)
	if _, err := x.Events(t.Context(), "ns", "u"); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if _, err := x.Events(t.Context(), "other", "u"); err == nil {
		t.Error("the events of a namespace that is not watched are said to be none")
	}
	x.EventTrouble("ns", nil)
	if events, err := x.Events(t.Context(), "ns", "u"); err != nil || len(events) != 0 {
		t.Errorf("once they are watched: %v, %v", events, err)
	}
	if _, err := x.NodeEvents(t.Context(), "n1"); err == nil {
		t.Error("the events of nodes are said to be none, although only a namespace is watched")
	}
	x.EventTrouble(NodeEventScope, nil)
	if events, err := x.NodeEvents(t.Context(), "n1"); err != nil || len(events) != 0 {
		t.Errorf("once those of nodes are watched: %v, %v", events, err)
	}
}

func TestTheFirstListIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := new(listed)
		x := NewEventIndex(list, time.Now)
		go func() {
			time.Sleep(firstList / 2)
			x.Event(event("Pod", "u", "Killing", "", 0))
			x.EventTrouble("", nil)
		}()
		events, err := x.Events(t.Context(), "ns", "u")
		if diff := cmp.Diff([]string{"Killing"}, reasons(t, events, err)); diff != "" {
			t.Error(diff)
		}

		x = NewEventIndex(list, time.Now)
		began := time.Now()
		for range 2 {
			events, err = x.Events(t.Context(), "ns", "u")
			if diff := cmp.Diff([]string{"Listed"}, reasons(t, events, err)); diff != "" {
				t.Error(diff)
			}
		}
		if took := time.Since(began); took != firstList {
			t.Errorf("waited %v for a list that does not come, want %v once", took, firstList)
		}
	})
}
