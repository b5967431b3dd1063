package dump

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// ownerKey names an object that may own pods and be owned itself.
type ownerKey struct {
	kind, namespace, name string
}

// owner is who controls an object; the zero owner where nobody does.
type owner struct {
	kind, name string
}

// putOwner remembers who controls obj, if it is of a kind that stands between a pod
// and its root owner. Only the name is kept, because a recording may hold
// thousands of Jobs that come and go.
func (o *Objects) putOwner(obj Object) {
	var kind string
	switch obj.(type) {
	case *appsv1.ReplicaSet:
		kind = kindReplicaSet
	case *batchv1.Job:
		kind = kindJob
	default:
		return
	}
	var by owner
	if c := metav1.GetControllerOf(obj); c != nil {
		by = owner{c.Kind, c.Name}
	}
	o.owners[ownerKey{kind, obj.GetNamespace(), obj.GetName()}] = by
}

const (
	kindReplicaSet = "ReplicaSet"
	kindJob        = "Job"
	kindDeployment = "Deployment"
	kindPod        = "Pod"
	kindNode       = "Node"
)

// Workload returns the root owner of a pod: the controller of the ReplicaSet or Job
// that made it, else what made it, else the pod itself. Where the ReplicaSet was not
// read, the Deployment's name is worked out from it and the error says so.
func (o *Objects) Workload(_ context.Context, pod *corev1.Pod) (*record.Workload, error) {
	c := metav1.GetControllerOf(pod)
	if c == nil || c.Kind == kindNode {
		// The owner of a static pod is the node that it runs on, which is no workload.
		return &record.Workload{Kind: kindPod, Name: pod.Name}, nil
	}
	made := &record.Workload{Kind: c.Kind, Name: c.Name}
	if c.Kind != kindReplicaSet && c.Kind != kindJob {
		return made, nil
	}
	o.mu.RLock()
	by, known := o.owners[ownerKey{c.Kind, pod.Namespace, c.Name}]
	o.mu.RUnlock()
	switch {
	case known && by != owner{}:
		return &record.Workload{Kind: by.kind, Name: by.name}, nil
	case known:
		return made, nil
	}
	if c.Kind == kindReplicaSet {
		hash := pod.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(c.Name, "-"+hash); ok && hash != "" && name != "" {
			return &record.Workload{Kind: kindDeployment, Name: name},
				fmt.Errorf("ReplicaSet %s/%s was not recorded: its Deployment is inferred from the label pod-template-hash", pod.Namespace, c.Name)
		}
	}
	return made, fmt.Errorf("%s %s/%s was not recorded: whether something owns it is not known", c.Kind, pod.Namespace, c.Name)
}
