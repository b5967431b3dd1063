package dump

import (
	"context"
	"maps"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// putRevision remembers a ReplicaSet or ControllerRevision by what controls it. The caller holds mu.
func (o *Objects) putRevision(obj Object) {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil {
		return
	}
	of := o.revisions[ref.UID]
	if of == nil {
		of = make(map[types.UID]Object)
		o.revisions[ref.UID] = of
	}
	of[obj.GetUID()] = obj
}

// removeRevision forgets one that was deleted. The caller holds mu.
func (o *Objects) removeRevision(obj Object) {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil {
		return
	}
	of := o.revisions[ref.UID]
	delete(of, obj.GetUID())
	if len(of) == 0 {
		delete(o.revisions, ref.UID)
	}
}

// Revisions returns the pod templates that a Deployment, StatefulSet or DaemonSet has had, as far as
// their ReplicaSets or ControllerRevisions were recorded; none for another kind. It is an error where none were
// recorded in its namespace.
func (o *Objects) Revisions(_ context.Context, of metav1.Object) ([]pipeline.Revision, error) {
	switch of.(type) {
	case *appsv1.Deployment:
		list, err := revisionsOf[*appsv1.ReplicaSet](o, of, "replicasets")
		return pipeline.ReplicaSetRevisions(of, list), err
	case *appsv1.StatefulSet, *appsv1.DaemonSet:
		list, err := revisionsOf[*appsv1.ControllerRevision](o, of, "controllerrevisions")
		return pipeline.ControllerRevisions(of, list), err
	}
	return nil, nil
}

func revisionsOf[T Object](o *Objects, of metav1.Object, resource string) ([]T, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var out []T
	for _, obj := range slices.SortedFunc(maps.Values(o.revisions[of.GetUID()]), compareNames) {
		if t, ok := obj.(T); ok {
			out = append(out, t)
		}
	}
	if len(out) == 0 && !o.recorded[nameKey{typ: reflect.TypeFor[T](), namespace: of.GetNamespace()}] {
		return nil, notRecorded(resource, of.GetNamespace())
	}
	return out, nil
}

// ConfigMap returns the metadata of a ConfigMap, with who wrote its data and when.
func (o *Objects) ConfigMap(_ context.Context, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	return lookup[*metav1.PartialObjectMetadata](o, schema.GroupResource{Resource: "configmaps"}, namespace, name)
}
