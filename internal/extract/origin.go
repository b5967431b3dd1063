package extract

import (
	"cmp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// maxGroup bounds the name of a group, as the API server does that of an object. An
// annotation may be a thousand times as long.
const maxGroup = 253

// origin says in a record where its pod comes from: on which node it is, since when it
// exists, what its name is made from, which revision of its workload made it, and of which group it says that it is.
func origin(r *record.Record, pod *corev1.Pod) {
	r.Node = pod.Spec.NodeName
	r.PodCreatedAt = detect.KnownTime(pod.CreationTimestamp.Time)
	r.Revision = Revision(pod)
	r.GenerateName = clipTo(pod.GenerateName, maxGroup)
	r.Group = Group(pod.Annotations)
}

// Group is the group that the annotations of a pod or of a pod template name.
func Group(annotations map[string]string) string {
	return clipTo(strings.TrimSpace(annotations[issue.GroupAnnotation]), maxGroup)
}

// Revision names the revision of the workload that made a pod: by the label that a Deployment gives
// its ReplicaSets and their pods, or that StatefulSets and DaemonSets give theirs.
func Revision(pod *corev1.Pod) string {
	return clipTo(cmp.Or(pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey], pod.Labels[appsv1.ControllerRevisionHashLabelKey]), maxGroup)
}

// Template returns the pod template of a controller, nil for an object that has none.
func Template(o metav1.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.ReplicaSet:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}
