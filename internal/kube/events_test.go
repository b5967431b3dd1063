package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestEventsAboutOneObject(t *testing.T) {
	other := testEvent("shop", "b", "v1", "Pod", 1)
	other.InvolvedObject.UID = "uid-y"
	byName := testEvent("default", "n1", "v1", "Node", 1)
	byName.InvolvedObject.UID = "x" // as the kubelet writes it
	elsewhere := testEvent("default", "n3", "v1", "Node", 1)
	elsewhere.InvolvedObject.Name = "y"
	server := newObjectServer(t, testEvent("shop", "a", "v1", "Pod", 1), other, byName, testEvent("default", "n2", "v1", "Node", 1),
		elsewhere, testEvent("default", "p", "v1", "Pod", 1))
	events, err := NewEvents(EventsOptions{Config: server.config()})
	if err != nil {
		t.Fatal(err)
	}
	names := func(list []*corev1.Event, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, ev := range list {
			out = append(out, ev.Name)
		}
		return out
	}
	if d := cmp.Diff([]string{"a"}, names(events.Events(t.Context(), "shop", "uid-x"))); d != "" {
		t.Errorf("about a pod (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"n1", "n2"}, names(events.NodeEvents(t.Context(), "x"))); d != "" {
		t.Errorf("about a node (-want +got):\n%s", d)
	}
	server.refuse("/api/v1/namespaces/shop/events")
	before := len(server.asked())
	for _, uid := range []string{"uid-x", "uid-y"} {
		if _, err := events.Events(t.Context(), "shop", uid); problemOf(err) != Forbidden {
			t.Errorf("refused: %v", err)
		}
	}
	if n := len(server.asked()) - before; n != 1 {
		t.Errorf("%d requests after a refusal", n)
	}
	if d := cmp.Diff([]string{"n1", "n2"}, names(events.NodeEvents(t.Context(), "x"))); d != "" {
		t.Errorf("in another namespace (-want +got):\n%s", d)
	}
}
