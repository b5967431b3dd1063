package pipeline

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Object is a pod as a source saw it.
type Object struct {
	View detect.Pod
	// Full decodes the whole pod. It is called only when something stopped, and only
	// during the Sink call that the Object was handed to. Nil means that it was not kept,
	// which a source may do only where no container of the view has a terminated state
	// and the pod is not being deleted.
	Full func() (*corev1.Pod, error)
}

// Sink takes what a source of pods sees. A source calls it for one scope from one
// goroutine at a time, in the order of the scope's resource versions; different
// scopes may call at once.
type Sink interface {
	// Replace hands over everything that exists in the scope: after the first list, and
	// after each later one that became necessary because the watch could not be resumed.
	Replace(scope string, pods []Object, resourceVersion string)
	// Apply hands over an added or modified pod.
	Apply(scope string, pod Object)
	// Delete hands over the last state of a pod that is gone.
	Delete(scope string, pod Object)
	// Progress tells that the watch is up to date with resourceVersion, although no pod changed.
	Progress(scope string, resourceVersion string)
	// Trouble tells that the scope cannot be listed or watched at the moment, and why; it
	// is called for every failed attempt. A nil err tells that it works again.
	Trouble(scope string, err error)
}

// LogRequest names the stopped instance whose log is wanted.
type LogRequest struct {
	Namespace, Pod, PodUID string
	Container              string
	ContainerID            string
	StartedAt, FinishedAt  time.Time
	// Previous tells that the instance was already followed by another one when it was seen.
	Previous bool
}

// LogReader reads the tail of a stopped instance's log. It returns a Log in every
// case: with lines, or with Missing saying why there are none. Lines are raw; the
// caller redacts them.
type LogReader interface {
	Tail(ctx context.Context, r LogRequest) record.Log
}

// OwnerResolver finds the root owner of a pod. Where a read on the way was refused or
// the owner is gone, it returns the best that is known, and why it is not better.
type OwnerResolver interface {
	Workload(ctx context.Context, pod *corev1.Pod) (*record.Workload, error)
}

// EventReader reads the events about a pod, told by its UID. The pod itself may be gone.
type EventReader interface {
	Events(ctx context.Context, namespace, uid string) ([]*corev1.Event, error)
}
