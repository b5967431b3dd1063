// Package demo carries the recording of a real cluster: Kubernetes 1.37 with
// containerd, in which ten workloads misbehave in different ways.
package demo

import (
	_ "embed"
	"time"

	corev1 "k8s.io/api/core/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:embed recording.jsonl.gz
var recording string

// About says what is to be seen.
const About = "A recording of a real cluster (Kubernetes 1.37, containerd 2.4): ten workloads that misbehave, and a rollout that does not."

// Recording returns the recorded watch events, compressed by gzip.
func Recording() []byte { return []byte(recording) }

// When returns when an object came to be as it was recorded, zero where that is not known.
func When(obj metav1.Object) time.Time {
	if e, ok := obj.(*corev1.Event); ok {
		return latest(e.LastTimestamp.Time, e.EventTime.Time)
	}
	if obj == nil {
		return time.Time{}
	}
	at := obj.GetCreationTimestamp().Time
	for _, f := range obj.GetManagedFields() {
		if f.Time != nil {
			at = latest(at, f.Time.Time)
		}
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
