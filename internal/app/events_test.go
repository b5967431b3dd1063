package app

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/dump"
)

// Of a dump with the events of one namespace nothing is taken for the silence of another.
func TestEventsOfOtherNamespaces(t *testing.T) {
	d := &dumpEvents{objects: dump.NewObjects()}
	put := func(o dump.Object) { d.objects.Put(o); d.saw(o) }
	for _, ns := range []string{"shop", "bank"} {
		put(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "api-1", UID: types.UID(ns)}})
	}
	put(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e1", UID: "e1"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", UID: "shop"}})
	put(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e2", UID: "e2"}, InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Namespace: "shop", UID: "rs"}})
	if events, err := d.Events(t.Context(), "shop", "shop"); err != nil || len(events) != 1 {
		t.Errorf("shop: %d events, %v", len(events), err)
	}
	if _, err := d.Events(t.Context(), "bank", "bank"); err == nil {
		t.Error("bank: no error, although its events were not recorded")
	}
}
