package pipeline

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// minPatience and maxPatience bound how long a new image has to run without a stop: longer
	// than the kubelet's back-off can hide a crash (MaxContainerBackOff, 5 minutes), and no longer
	// than silence alone would take.
	minPatience = 10 * time.Minute
	maxPatience = 24 * time.Hour
)

// What observations of a workload say: fieldUID that it was there, fieldEnds that it has failed or is
// deleted when it has, fieldImage what all its pods run in a container, since when.
const (
	fieldUID  = "metadata.uid"
	fieldEnds = "ends"
)

func fieldImage(container string) string { return "rolledOut.containers[" + container + "].image" }

// objectOf names the workload of an issue, as observations do.
func objectOf(is *issue.Issue) string {
	return is.Workload.Kind + " " + is.Namespace + "/" + is.Workload.Name
}

// replaced tells whether an issue is over since all pods run an image: it was never seen with that, nor
// since then at all, and by now it would have been.
func replaced(is *issue.Issue, image string, since, now time.Time) bool {
	switch {
	case is.Kind != record.KindStop || is.Open > 0, len(is.Images.Values) == 0 || is.Images.More:
		return false
	case seenWith(is, image):
		return false
	case is.Seen.After(since):
		return false // of a container that runs the image, whatever the runtime calls that
	}
	return now.Sub(since) >= patience(is)
}

// patience is how long an image has to run without a stop: twice as long as the longest
// run that ended in one, and as the time between two.
func patience(is *issue.Issue) time.Duration {
	longest := time.Duration(min(is.Ran.Max, int64(maxPatience/time.Second))) * time.Second
	if n := is.Count + is.Missed; n > 1 {
		longest = max(longest, is.Last.Sub(is.First)/time.Duration(n-1))
	}
	return min(max(2*longest, minPatience), maxPatience)
}

// seenWith tells whether an issue was seen with an image, by its name or its digest.
func seenWith(is *issue.Issue, image string) bool {
	digest := digestOf(image)
	return slices.ContainsFunc(is.Images.Values, func(c issue.Count) bool {
		if strings.HasPrefix(c.Value, "sha256:") {
			return true // an image whose name the runtime did not know may be any
		}
		return digest != "" && digestOf(c.Value) == digest || fullName(c.Value) == fullName(image)
	}) || slices.ContainsFunc(is.ImageIDs.Values, func(c issue.Count) bool {
		return digest != "" && digestOf(c.Value) == digest
	})
}

func digestOf(image string) string {
	if i := strings.Index(image, "sha256:"); i >= 0 {
		return image[i:]
	}
	return ""
}

// fullName is the name of an image as runtimes report it: a spec may leave out the
// registry, the library and the tag (github.com/distribution/reference, ParseNormalizedNamed).
func fullName(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	first, rest, found := strings.Cut(name, "/")
	switch {
	case !found, !strings.ContainsAny(first, ".:") && first != "localhost":
		first, rest = "docker.io", name
	case first == "index.docker.io":
		first = "docker.io"
	}
	if first == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	name = first + "/" + rest
	slash, colon := strings.LastIndexByte(name, '/'), strings.LastIndexByte(name, ':')
	switch {
	case digest != "" && colon > slash:
		return name[:colon] + "@" + digest
	case digest != "":
		return name + "@" + digest
	case colon < slash:
		return name + ":latest"
	}
	return name
}

// imageOf returns the image that a workload gives a container, and whether all pods that it wants run
// that template. Its pods have to be watched. A workload that wants no pods tells nothing.
func imageOf(o metav1.Object, container string, watched func(map[string]string) bool) (image string, all bool) {
	switch o := o.(type) {
	case *corev1.Pod:
		return podImage(o, container), watched(o.Labels)
	case *appsv1.Deployment:
		// Pods that are going do not count in any of these (pkg/controller/deployment/util DeploymentComplete).
		s, want := &o.Status, replicas(o.Spec.Replicas)
		all = s.ObservedGeneration >= o.Generation && want > 0 && s.Replicas == want && s.UpdatedReplicas == want && s.AvailableReplicas == want
	case *appsv1.StatefulSet:
		s, want := &o.Status, replicas(o.Spec.Replicas)
		all = s.ObservedGeneration >= o.Generation && want > 0 && s.Replicas == want && s.UpdatedReplicas == want && s.AvailableReplicas == want
	case *appsv1.DaemonSet:
		s := &o.Status
		want := s.DesiredNumberScheduled
		all = s.ObservedGeneration >= o.Generation && want > 0 && s.UpdatedNumberScheduled == want && s.NumberAvailable == want
	case *batchv1.CronJob:
		all = true // as to the runs that begin now; see succeeded
	default:
		return "", false // a ReplicaSet's or Job's pods are not replaced
	}
	t := extract.Template(o)
	if !watched(t.Labels) {
		return "", false
	}
	for _, list := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == container {
				return list[i].Image, all
			}
		}
	}
	return "", false
}

// replicas is what is wanted; 1 is the default.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// podImage is the image that a container of a pod runs, empty where it does not run.
func podImage(p *corev1.Pod, container string) string {
	s := extract.StatusOf(p, container)
	if s == nil || s.State.Running == nil || !s.Ready || p.DeletionTimestamp != nil {
		return ""
	}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			// The spec may have another one already.
			if list[i].Name == container && fullName(list[i].Image) == fullName(s.Image) {
				return list[i].Image
			}
		}
	}
	return ""
}

// ends tells that a workload is one that failed for good, or that will be cleaned away when it does.
func ends(o metav1.Object) bool {
	switch o := o.(type) {
	case *corev1.Pod:
		return o.Status.Phase == corev1.PodFailed
	case *batchv1.Job:
		return o.Spec.TTLSecondsAfterFinished != nil || slices.ContainsFunc(o.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue
		})
	}
	return false
}

// succeeded tells, of what runs now and then, whether a run that began after a time has
// succeeded, and none goes on; of anything else it is true.
func succeeded(o metav1.Object, since time.Time) bool {
	job, ok := o.(*batchv1.CronJob)
	if !ok {
		return true
	}
	s := &job.Status
	return len(s.Active) == 0 && s.LastScheduleTime != nil && s.LastSuccessfulTime != nil &&
		s.LastScheduleTime.After(since) && !s.LastSuccessfulTime.Before(s.LastScheduleTime)
}
