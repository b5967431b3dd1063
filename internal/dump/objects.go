package dump

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Objects holds the newest state of the objects that were read, and the tails of
// their logs. It stands for the cluster: it resolves owners (pipeline.OwnerResolver),
// reads logs (pipeline.LogReader) and objects (pipeline.ClusterReader). It may be used
// from several goroutines.
type Objects struct {
	mu     sync.RWMutex
	byUID  map[types.UID]Object
	owners map[ownerKey]record.Workload
	logs   map[logKey]record.Log
	// about holds the events by the object that they are about, and by their own UID.
	about map[types.UID]map[types.UID]*corev1.Event
	// named holds the newest object of each name.
	named map[nameKey]Object
	// recorded holds the types, by namespace, of which there ever was an object.
	recorded map[nameKey]bool
	// revisions holds the ReplicaSets and ControllerRevisions by the UIDs of what controls them
	// and of their own.
	revisions map[types.UID]map[types.UID]Object
	// gone holds the last state of controllers that were deleted.
	gone graveyard
	// latest is the newest time that was seen.
	latest time.Time
}

// nameKey names an object of a type; without a name, all of them in the namespace.
type nameKey struct {
	typ             reflect.Type
	namespace, name string
}

func keyOf(obj Object) nameKey {
	return nameKey{reflect.TypeOf(obj), obj.GetNamespace(), obj.GetName()}
}

var (
	_ pipeline.OwnerResolver = (*Objects)(nil)
	_ pipeline.LogReader     = (*Objects)(nil)
	_ pipeline.ClusterReader = (*Objects)(nil)
)

// NewObjects returns an empty set.
func NewObjects() *Objects {
	return &Objects{
		byUID:    make(map[types.UID]Object),
		owners:   make(map[ownerKey]record.Workload),
		logs:     make(map[logKey]record.Log),
		about:    make(map[types.UID]map[types.UID]*corev1.Event),
		named:    make(map[nameKey]Object),
		recorded: make(map[nameKey]bool),

		revisions: make(map[types.UID]map[types.UID]Object),
	}
}

// Put adds an object, or replaces an older state of it; a state that is older than the
// one that is held is ignored. The object must not be written to afterwards.
func (o *Objects) Put(obj Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.byUID[obj.GetUID()]; ok && newer(have, obj) {
		return
	}
	o.byUID[obj.GetUID()] = obj
	key := keyOf(obj)
	o.recorded[nameKey{typ: key.typ, namespace: key.namespace}] = true
	if have, ok := o.named[key]; !ok || !newer(have, obj) {
		o.named[key] = obj
	}
	o.gone.rise(obj.GetUID())
	o.saw(obj)
	switch obj := obj.(type) {
	case *corev1.Event:
		about := o.about[obj.InvolvedObject.UID]
		if about == nil {
			about = make(map[types.UID]*corev1.Event)
			o.about[obj.InvolvedObject.UID] = about
		}
		about[obj.UID] = obj
	case *appsv1.ReplicaSet:
		o.putOwner(kindReplicaSet, obj)
		o.putRevision(obj)
	case *appsv1.ControllerRevision:
		o.putRevision(obj)
	case *batchv1.Job:
		o.putOwner(kindJob, obj)
	}
}

// newer tells whether a is a newer state than b. Without comparable versions the one
// that came later is.
func newer(a, b Object) bool {
	va, vb := detect.ParseResourceVersion(a.GetResourceVersion()), detect.ParseResourceVersion(b.GetResourceVersion())
	return va != 0 && vb != 0 && va > vb
}

// saw keeps the newest of an object's times.
func (o *Objects) saw(obj Object) {
	at := obj.GetCreationTimestamp().Time
	if e, ok := obj.(*corev1.Event); ok {
		at = extract.EventTime(e)
	}
	for _, f := range obj.GetManagedFields() {
		if f.Time != nil && f.Time.After(at) {
			at = f.Time.Time
		}
	}
	if at.After(o.latest) {
		o.latest = at
	}
}

// Remove takes an object out that was deleted. What it says about owners is kept, and
// the last state of a controller: pods outlive the ReplicaSet that made them.
func (o *Objects) Remove(obj Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byUID, obj.GetUID())
	key := keyOf(obj)
	o.recorded[nameKey{typ: key.typ, namespace: key.namespace}] = true
	if have, ok := o.named[key]; ok && have.GetUID() == obj.GetUID() {
		delete(o.named, key)
	}
	o.gone.bury(obj, o.latest)
	o.removeRevision(obj)
	if e, ok := obj.(*corev1.Event); ok {
		about := o.about[e.InvolvedObject.UID]
		delete(about, e.UID)
		if len(about) == 0 {
			delete(o.about, e.InvolvedObject.UID)
		}
	}
}

// Apply takes an event of a replay in.
func (o *Objects) Apply(e Event) {
	switch {
	case e.Object == nil:
	case e.Type == Deleted:
		o.Remove(e.Object)
	default:
		o.Put(e.Object)
	}
}

// Len returns the number of objects.
func (o *Objects) Len() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.byUID)
}

// EventsAbout returns the events whose object has this UID, in the order of their
// resource versions and names.
func (o *Objects) EventsAbout(uid types.UID) []*corev1.Event {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.SortedFunc(maps.Values(o.about[uid]), compareVersions[*corev1.Event])
}

func compareVersions[T Object](a, b T) int {
	return cmp.Or(
		cmp.Compare(detect.ParseResourceVersion(a.GetResourceVersion()), detect.ParseResourceVersion(b.GetResourceVersion())),
		compareNames(a, b),
	)
}

func compareNames[T Object](a, b T) int {
	return cmp.Or(
		cmp.Compare(a.GetNamespace(), b.GetNamespace()),
		cmp.Compare(a.GetName(), b.GetName()),
		cmp.Compare(a.GetUID(), b.GetUID()),
	)
}

// All returns the objects of one type, such as *corev1.Pod, by namespace and name.
func All[T Object](o *Objects) []T {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var all []T
	for _, obj := range o.byUID {
		if t, ok := obj.(T); ok {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, compareNames[T])
	return all
}

// ByUID returns the object of this type and UID.
func ByUID[T Object](o *Objects, uid types.UID) (T, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	t, ok := o.byUID[uid].(T)
	return t, ok
}

// ByName returns the object of this type and name, the newest where there are several;
// the namespace of a Node is empty.
func ByName[T Object](o *Objects, namespace, name string) (T, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	t, ok := o.named[nameKey{reflect.TypeFor[T](), namespace, name}].(T)
	return t, ok
}

// Replace hands all pods to the sink, as the list of a live source would.
func (o *Objects) Replace(sink pipeline.Sink, scope string) {
	pods := All[*corev1.Pod](o)
	shown := make([]pipeline.Object, len(pods))
	var newest string
	var highest uint64
	for i, pod := range pods {
		shown[i] = podObject(pod)
		if v := shown[i].View.ResourceVersion; v > highest {
			highest, newest = v, pod.ResourceVersion
		}
	}
	sink.Replace(scope, shown, newest)
}
