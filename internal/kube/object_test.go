package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestWhatIsKeptWhole holds that the bytes of a pod are kept where there may be something
// to find, and of no other: nearly all events are about pods in which nothing happens.
func TestWhatIsKeptWhole(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*corev1.Pod)
		want   bool
	}{
		{"runs and is ready", func(*corev1.Pod) {}, false},
		{"a container stopped", func(p *corev1.Pod) { *p = *restarted(p) }, true},
		{"not ready", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Ready, p.Status.Conditions = false, nil }, true},
		{"no node", func(p *corev1.Pod) { p.Spec.NodeName, p.Status = "", corev1.PodStatus{} }, true},
		{"image", func(p *corev1.Pod) {
			p.Status.Conditions = nil
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}
		}, true},
		{"finished", func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodSucceeded} }, false},
	} {
		p := testPod("a")
		tc.change(p)
		data, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var got pod
		if err := got.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		if kept := got.object().Full != nil; kept != tc.want {
			t.Errorf("%s: kept whole %v, want %v", tc.name, kept, tc.want)
		}
	}
}
