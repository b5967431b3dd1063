package pipeline

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Object is a pod as a source saw it.
type Object struct {
	View detect.Pod
	// Full decodes the whole pod. It is called only when something stopped or stalls: then
	// also after the Sink call that the Object was handed to, and from any goroutine. Nil means
	// that it was not kept, which a source may do only where no container of the view has a
	// terminated state, the pod is not being deleted, and it has no symptom of a stall.
	Full func() (*corev1.Pod, error)
	// Size is how many bytes of memory Full holds, 0 where it holds none of its own.
	Size int
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

// NodeEventReader reads the events about a node, told by its name, whatever UID their
// writers give it. An EventReader may implement it too.
type NodeEventReader interface {
	NodeEvents(ctx context.Context, name string) ([]*corev1.Event, error)
}

// HistoryReader reads what was recorded before. Every store.Store is one.
type HistoryReader interface {
	List(ctx context.Context, q store.Query) (records []record.Record, next string, err error)
}

// Archive reads records as a whole, with what they were diagnosed from. Every store.Store
// is one.
type Archive interface {
	HistoryReader
	Get(ctx context.Context, id string) (record.Record, error)
	Evidence(ctx context.Context, id string) (evidence.Evidence, error)
}

// ClusterReader reads the objects beside a pod that evidence is taken from: from a live
// API server, or from what was recorded. Absence is an error for which
// apierrors.IsNotFound holds, and is returned only where it is certain; any other error
// says why the reading was not to be had, in words fit for record.Missing. Objects that
// are returned are shared and must not be written to.
//
// A live implementation bounds its calls (a rate, a deadline each, caches): callers ask
// once for every finding.
type ClusterReader interface {
	Node(ctx context.Context, name string) (*corev1.Node, error)
	// Nodes returns all nodes.
	Nodes(ctx context.Context) ([]*corev1.Node, error)
	// PodsOnNodes returns all pods that a node was chosen for and that have not finished,
	// of all namespaces; of each at least spec.nodeName and what it requests.
	PodsOnNodes(ctx context.Context) ([]*corev1.Pod, error)
	Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
	// Controllers returns the controllers above an object, the nearest first: as far as their
	// kinds are known (ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, CronJob of k8s.io/api, by
	// pointer). With an error it returns those below the one that could not be read.
	Controllers(ctx context.Context, of metav1.Object) ([]metav1.Object, error)
	// Pod returns the pod of this name as it is now.
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	// Revisions returns the pod templates that a Deployment, StatefulSet or DaemonSet has had,
	// the newest first, as far as its ReplicaSets or ControllerRevisions keep them; none for another kind.
	Revisions(ctx context.Context, of metav1.Object) ([]Revision, error)
	// ConfigMap returns the metadata of a ConfigMap with its managed fields. Its data is not read.
	ConfigMap(ctx context.Context, namespace, name string) (*metav1.PartialObjectMetadata, error)
}

// notBefore is the key of a context that NotBefore returns.
type notBefore struct{}

// NotBefore asks a ClusterReader that remembers answers for none that is older than a time: what
// a controller was before it deleted a pod says nothing of why it did.
func NotBefore(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, notBefore{}, t)
}

// Oldest is the time that NotBefore was given, zero where any answer will do.
func Oldest(ctx context.Context) time.Time {
	t, _ := ctx.Value(notBefore{}).(time.Time)
	return t
}

// Revision is a pod template that a workload had.
type Revision struct {
	// Number is the workload's revision, Name what its pods have as pod-template-hash or
	// controller-revision-hash.
	Number int64
	Name   string
	// Before are the numbers that it had before a rollback to it gave it this one.
	Before []int64
	// CreatedAt is when it was made for the first time.
	CreatedAt time.Time
	Template  *corev1.PodTemplateSpec
}

// EventSink takes events as a source sees them: about pods, nodes, claims and
// controllers. It is called from one goroutine at a time.
type EventSink interface {
	// Event hands over an event that was added or that repeated.
	Event(ev *corev1.Event)
	// EventTrouble tells that events cannot be watched at the moment, or, with a nil error, that
	// they are watched (again) and complete as far as the API still has them.
	EventTrouble(scope string, err error)
}
