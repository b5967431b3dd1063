package extract

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// annotationRevision is the revision of a Deployment, and of its ReplicaSets; see
// k8s.io/kubernetes pkg/controller/deployment/util.
const annotationRevision = "deployment.kubernetes.io/revision"

// annotationRevisionHistory lists the revisions that a ReplicaSet was before.
const annotationRevisionHistory = "deployment.kubernetes.io/revision-history"

// labelTemplateGeneration is that of a DaemonSet's pods (k8s.io/api/extensions/v1beta1 DaemonSetTemplateGenerationKey).
const labelTemplateGeneration = "pod-template-generation"

// maxChain bounds the controllers above a pod.
const maxChain = 8

// Owner collects the facts of the controllers above a pod, the nearest first, as far as
// they were read; the one above the last of them is named, and not Known. Where a read
// found that this one does not exist, the caller sets its Gone. Ns is the pod's
// namespace, nil where it was not read. Events are those about the controllers: nil where
// they were not read, empty where there are none.
func Owner(controllers []metav1.Object, ns *corev1.Namespace, events []*corev1.Event, pod *corev1.Pod) *evidence.Owner {
	e := &evidence.Owner{EventsRead: events != nil, Events: Events(events)}
	if ns != nil && ns.DeletionTimestamp != nil {
		e.NamespaceDeleting = detect.KnownTime(ns.DeletionTimestamp.Time)
	}
	revision := "" // of the pod's template
	ref := metav1.GetControllerOf(pod)
	for ref != nil && len(e.Chain) < maxChain {
		c := evidence.Controller{Kind: ref.Kind, Name: ref.Name, UID: string(ref.UID)}
		var next *metav1.OwnerReference
		if i := len(e.Chain); i < len(controllers) && controllers[i].GetUID() == ref.UID {
			o := controllers[i]
			c.Known = true
			if t := o.GetDeletionTimestamp(); t != nil {
				c.DeletedAt = detect.KnownTime(t.Time)
			}
			controller(&c, o, pod, revision)
			revision = c.Revision
			next = metav1.GetControllerOfNoCopy(o)
		}
		e.Chain = append(e.Chain, c)
		ref = next
	}
	return e
}

// controller adds what a kind of controller tells. Revision is that of the pod's template
// below it.
func controller(c *evidence.Controller, o metav1.Object, pod *corev1.Pod, revision string) {
	hash := pod.Labels[appsv1.ControllerRevisionHashLabelKey]
	switch o := o.(type) {
	case *appsv1.ReplicaSet:
		c.Replicas, c.Revision = o.Spec.Replicas, o.Annotations[annotationRevision]
		c.Revived = o.Annotations[annotationRevisionHistory] != ""
		for _, s := range bounded(o.Status.Conditions) {
			c.Conditions = append(c.Conditions, condition(string(s.Type), string(s.Status), s.Reason, s.Message, s.LastTransitionTime))
		}
	case *appsv1.Deployment:
		c.Replicas, c.Revision, c.NewestRevision = o.Spec.Replicas, revision, o.Annotations[annotationRevision]
		for _, s := range bounded(o.Status.Conditions) {
			c.Conditions = append(c.Conditions, condition(string(s.Type), string(s.Status), s.Reason, s.Message, s.LastTransitionTime))
		}
	case *appsv1.StatefulSet:
		c.Replicas, c.Revision, c.NewestRevision = o.Spec.Replicas, hash, o.Status.UpdateRevision
		if n := o.Spec.Ordinals; n != nil {
			c.FirstOrdinal = n.Start
		}
		for _, s := range bounded(o.Status.Conditions) {
			c.Conditions = append(c.Conditions, condition(string(s.Type), string(s.Status), s.Reason, s.Message, s.LastTransitionTime))
		}
	case *appsv1.DaemonSet:
		// A DaemonSet does not tell the hash of its newest revision, but the generation of
		// its template, which its pods are labelled with as well.
		newest := o.Annotations[appsv1.DeprecatedTemplateGeneration]
		if generation := pod.Labels[labelTemplateGeneration]; newest != "" && generation != "" {
			c.Revision, c.NewestRevision = generation, newest
		} else {
			c.Revision = hash
		}
		for _, s := range bounded(o.Status.Conditions) {
			c.Conditions = append(c.Conditions, condition(string(s.Type), string(s.Status), s.Reason, s.Message, s.LastTransitionTime))
		}
	case *batchv1.Job:
		c.BackoffLimit, c.DeadlineSeconds = o.Spec.BackoffLimit, o.Spec.ActiveDeadlineSeconds
		for _, s := range bounded(o.Status.Conditions) {
			c.Conditions = append(c.Conditions, condition(string(s.Type), string(s.Status), s.Reason, s.Message, s.LastTransitionTime))
		}
	default:
		c.Revision = cmp.Or(hash, revision)
	}
}

// InferOwner returns the workload that a pod's ReplicaSet or Job, the controller in ref,
// belongs to by its name and the pod's labels, nil where they tell nothing. It serves
// where the ReplicaSet or Job itself cannot be read.
//
// A Deployment calls its ReplicaSets NAME-HASH and labels their pods with the hash
// (pkg/controller/deployment/sync.go, getNewReplicaSet), and so does an Argo Rollout,
// with a label of its own. A CronJob calls its Jobs NAME-MINUTES, for the time they
// were scheduled at (pkg/controller/cronjob/utils.go, getJobName); that is taken for one
// only where the pod is not older than those minutes say, nor much younger.
func InferOwner(p *corev1.Pod, ref *metav1.OwnerReference) *record.Workload {
	switch ref.Kind {
	case "ReplicaSet":
		for _, by := range []struct{ label, kind string }{
			{"rollouts-pod-template-hash", "Rollout"},
			{"pod-template-hash", "Deployment"},
		} {
			hash := p.Labels[by.label]
			if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" && name != "" {
				return &record.Workload{Kind: by.kind, Name: name}
			}
		}
	case "Job":
		i := strings.LastIndexByte(ref.Name, '-')
		if i <= 0 {
			return nil
		}
		minutes, err := strconv.ParseInt(ref.Name[i+1:], 10, 32)
		if err != nil {
			return nil
		}
		late := p.CreationTimestamp.Sub(time.Unix(minutes*60, 0))
		if late >= -time.Minute && late < 24*time.Hour {
			return &record.Workload{Kind: "CronJob", Name: ref.Name[:i]}
		}
	}
	return nil
}

// LikelyOwner returns the workload that a pod belongs to as far as the pod itself tells: its controller,
// or what that belongs to by its name. It serves until, or where, more cannot be read.
func LikelyOwner(p *corev1.Pod) *record.Workload {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind == "Node" {
		return &record.Workload{Kind: "Pod", Name: p.Name}
	}
	if w := InferOwner(p, ref); w != nil {
		return w
	}
	return &record.Workload{Kind: ref.Kind, Name: ref.Name}
}
