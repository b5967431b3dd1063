package dump

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Kinds that are treated in a way of their own. ReplicaSets and Jobs stand between a pod and its workload.
const (
	kindReplicaSet = "ReplicaSet"
	kindJob        = "Job"
	kindPod        = "Pod"
	kindNode       = "Node"
	kindConfigMap  = "ConfigMap"

	kindControllerRevision = "ControllerRevision"
)

// ownerKey names an object that owns pods and may be owned itself.
type ownerKey struct {
	kind, namespace, name string
}

// putOwner remembers who controls a ReplicaSet or Job, nobody being the zero
// Workload. Only the name is kept, because a recording may hold thousands of Jobs that
// come and go.
func (o *Objects) putOwner(kind string, obj Object) {
	var by record.Workload
	if c := metav1.GetControllerOf(obj); c != nil {
		by = record.Workload{Kind: c.Kind, Name: c.Name}
	}
	o.owners[ownerKey{kind, obj.GetNamespace(), obj.GetName()}] = by
}

// Workload returns the root owner of a pod as a live cluster would: the controller of
// the ReplicaSet or Job that made it, else what made it, else the pod itself. Where
// the ReplicaSet or Job was not recorded, it goes by its name, and the error says so.
func (o *Objects) Workload(_ context.Context, pod *corev1.Pod) (*record.Workload, error) {
	c := metav1.GetControllerOf(pod)
	if c == nil || c.Kind == kindNode {
		// The controller of a pod that a kubelet runs from a file is the node, which is no workload.
		return &record.Workload{Kind: kindPod, Name: pod.Name}, nil
	}
	made := &record.Workload{Kind: c.Kind, Name: c.Name}
	switch parseKind(c.APIVersion, c.Kind) {
	case kindOf{kindReplicaSet, "apps"}, kindOf{kindJob, "batch"}:
	default:
		return made, nil
	}
	o.mu.RLock()
	by, known := o.owners[ownerKey{c.Kind, pod.Namespace, c.Name}]
	o.mu.RUnlock()
	switch {
	case known && by != record.Workload{}:
		return &by, nil
	case known:
		return made, nil
	}
	if w := extract.InferOwner(pod, c); w != nil {
		return w, fmt.Errorf("%s %s/%s was not recorded: its %s is inferred from its name", c.Kind, pod.Namespace, c.Name, w.Kind)
	}
	return made, fmt.Errorf("%s %s/%s was not recorded: whether something owns it is not known", c.Kind, pod.Namespace, c.Name)
}
