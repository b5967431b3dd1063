package extract

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
)

// Node collects the facts of a pod's node. Events are those about it, in any order: nil
// where they were not read, empty where there are none.
func Node(n *corev1.Node, events []*corev1.Event) *evidence.Node {
	info := &n.Status.NodeInfo
	e := &evidence.Node{
		Name:           n.Name,
		CreatedAt:      detect.KnownTime(n.CreationTimestamp.Time),
		Unschedulable:  n.Spec.Unschedulable,
		BootID:         info.BootID,
		KubeletVersion: info.KubeletVersion,
		Runtime:        info.ContainerRuntimeVersion,
		Allocatable:    resources(n.Status.Allocatable),
		EventsRead:     events != nil,
		Events:         Events(events),
	}
	if info.OperatingSystem != "" {
		e.Platform = info.OperatingSystem + "/" + info.Architecture
	}
	for _, c := range bounded(n.Status.Conditions) {
		e.Conditions = append(e.Conditions, condition(string(c.Type), string(c.Status), c.Reason, c.Message, c.LastTransitionTime))
	}
	for i := range bounded(n.Spec.Taints) {
		e.Taints = append(e.Taints, taint(&n.Spec.Taints[i]))
	}
	return e
}

func taint(t *corev1.Taint) evidence.Taint {
	out := evidence.Taint{Key: clipTo(t.Key, maxCommand), Value: clipTo(t.Value, maxCommand), Effect: string(t.Effect)}
	if t.TimeAdded != nil {
		out.Time = detect.KnownTime(t.TimeAdded.Time)
	}
	return out
}

// Claim collects the facts of a persistent volume claim, with the events about it.
func Claim(c *corev1.PersistentVolumeClaim, events []*corev1.Event) evidence.Claim {
	e := evidence.Claim{
		Name:      c.Name,
		Phase:     string(c.Status.Phase),
		Volume:    c.Spec.VolumeName,
		Requested: amount(c.Spec.Resources.Requests[corev1.ResourceStorage]),
		Events:    Events(events),
	}
	if s := c.Spec.StorageClassName; s != nil {
		e.StorageClass = *s
	}
	if c.DeletionTimestamp != nil {
		e.DeletedAt = detect.KnownTime(c.DeletionTimestamp.Time)
	}
	return e
}
