package dump

import (
	"context"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// notRecorded is the error for what a recording cannot tell.
func notRecorded(resource, namespace string) error {
	if namespace == "" {
		return fmt.Errorf("no %s were recorded", resource)
	}
	return fmt.Errorf("no %s of namespace %q were recorded", resource, namespace)
}

// lookup returns the object of this type and name. It is gone for certain only where others
// of its kind were recorded in its namespace.
func lookup[T Object](o *Objects, r schema.GroupResource, namespace, name string) (T, error) {
	if t, ok := ByName[T](o, namespace, name); ok {
		return t, nil
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	var none T
	if !o.recorded[nameKey{typ: reflect.TypeFor[T](), namespace: namespace}] {
		return none, notRecorded(r.Resource, namespace)
	}
	return none, apierrors.NewNotFound(r, name)
}

// Node returns the node of this name.
func (o *Objects) Node(_ context.Context, name string) (*corev1.Node, error) {
	return lookup[*corev1.Node](o, schema.GroupResource{Resource: "nodes"}, "", name)
}

// Nodes returns all nodes.
func (o *Objects) Nodes(context.Context) ([]*corev1.Node, error) {
	nodes := All[*corev1.Node](o)
	if len(nodes) == 0 {
		return nil, notRecorded("nodes", "")
	}
	return nodes, nil
}

// PodsOnNodes returns all pods that a node was chosen for and that have not finished. It
// is an error where the recording seems to be one of some namespaces alone: what the
// pods of the others ask for would be missing in every sum.
func (o *Objects) PodsOnNodes(context.Context) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	for _, p := range All[*corev1.Pod](o) {
		if p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods = append(pods, p)
		}
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	// Every cluster has pods there, and who records some namespaces does not record this one.
	if !o.recorded[nameKey{typ: reflect.TypeFor[*corev1.Pod](), namespace: metav1.NamespaceSystem}] {
		return nil, fmt.Errorf("only the pods of some namespaces were recorded, not those of %s", metav1.NamespaceSystem)
	}
	return pods, nil
}

// Claim returns a persistent volume claim.
func (o *Objects) Claim(_ context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return lookup[*corev1.PersistentVolumeClaim](o, schema.GroupResource{Resource: "persistentvolumeclaims"}, namespace, name)
}

// Namespace returns the namespace of this name.
func (o *Objects) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	return lookup[*corev1.Namespace](o, schema.GroupResource{Resource: "namespaces"}, "", name)
}

// Pod returns the newest pod of this name.
func (o *Objects) Pod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	return lookup[*corev1.Pod](o, schema.GroupResource{Resource: "pods"}, namespace, name)
}

// Controllers returns the controllers above an object, the nearest first, as far as their
// kinds are known. One that was deleted while it was recorded is there with its last
// state, without its template and with a deletion timestamp: a finding about its pods may
// come after its end.
func (o *Objects) Controllers(_ context.Context, of metav1.Object) ([]metav1.Object, error) {
	return pipeline.ControllersAbove(of, o.controller)
}

// controller returns one controller; nil where its kind is not known.
func (o *Objects) controller(namespace string, ref *metav1.OwnerReference) (metav1.Object, error) {
	switch parseKind(ref.APIVersion, ref.Kind) {
	case kindOf{kindReplicaSet, "apps"}:
		return owning[*appsv1.ReplicaSet](o, schema.GroupResource{Group: "apps", Resource: "replicasets"}, namespace, ref)
	case kindOf{"Deployment", "apps"}:
		return owning[*appsv1.Deployment](o, schema.GroupResource{Group: "apps", Resource: "deployments"}, namespace, ref)
	case kindOf{"StatefulSet", "apps"}:
		return owning[*appsv1.StatefulSet](o, schema.GroupResource{Group: "apps", Resource: "statefulsets"}, namespace, ref)
	case kindOf{"DaemonSet", "apps"}:
		return owning[*appsv1.DaemonSet](o, schema.GroupResource{Group: "apps", Resource: "daemonsets"}, namespace, ref)
	case kindOf{kindJob, "batch"}:
		return owning[*batchv1.Job](o, schema.GroupResource{Group: "batch", Resource: "jobs"}, namespace, ref)
	case kindOf{"CronJob", "batch"}:
		return owning[*batchv1.CronJob](o, schema.GroupResource{Group: "batch", Resource: "cronjobs"}, namespace, ref)
	}
	return nil, nil
}

// owning returns the object that ref means: that of its UID, if it is told.
func owning[T Object](o *Objects, r schema.GroupResource, namespace string, ref *metav1.OwnerReference) (metav1.Object, error) {
	if t, ok := ByUID[T](o, ref.UID); ok {
		return t, nil
	}
	o.mu.RLock()
	last, buried := o.gone.byUID[ref.UID]
	o.mu.RUnlock()
	if buried {
		return last, nil
	}
	t, err := lookup[T](o, r, namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	if ref.UID != "" && t.GetUID() != madeUID(ref.Kind, namespace, ref.Name) {
		return nil, pipeline.Replaced(r, ref.Name)
	}
	return t, nil
}

// madeUID is what stands for the UID of an object that was recorded without one.
func madeUID(kind, namespace, name string) types.UID {
	return types.UID(kind + "/" + namespace + "/" + name)
}
