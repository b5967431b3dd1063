package pipeline

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations by which the Deployment controller numbers its ReplicaSets
// (pkg/controller/deployment/util/deployment_util.go).
const (
	annotationRevision        = "deployment.kubernetes.io/revision"
	annotationRevisionHistory = "deployment.kubernetes.io/revision-history"
)

// ReplicaSetRevisions returns the revisions that the ReplicaSets of a Deployment are, the newest first.
func ReplicaSetRevisions(of metav1.Object, sets []*appsv1.ReplicaSet) []Revision {
	var out []Revision
	for _, rs := range sets {
		number, err := strconv.ParseInt(rs.Annotations[annotationRevision], 10, 64)
		if err != nil || !metav1.IsControlledBy(rs, of) {
			continue
		}
		r := Revision{
			Number: number, Name: cmp.Or(rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey], rs.Name),
			CreatedAt: rs.CreationTimestamp.UTC(), Template: &rs.Spec.Template,
		}
		for _, s := range strings.Split(rs.Annotations[annotationRevisionHistory], ",") {
			if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
				r.Before = append(r.Before, n)
			}
		}
		out = append(out, r)
	}
	return newestFirst(out)
}

// ControllerRevisions returns the revisions of a StatefulSet or DaemonSet, the newest first. Their
// templates are in the form of a patch (pkg/controller/statefulset/stateful_set_utils.go getPatch,
// pkg/controller/daemon/update.go getPatch).
func ControllerRevisions(of metav1.Object, list []*appsv1.ControllerRevision) []Revision {
	var out []Revision
	for _, cr := range list {
		if !metav1.IsControlledBy(cr, of) {
			continue
		}
		var patch struct {
			Spec struct {
				Template *corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if json.Unmarshal(cr.Data.Raw, &patch) != nil || patch.Spec.Template == nil {
			continue
		}
		r := Revision{Number: cr.Revision, Name: cr.Name, CreatedAt: cr.CreationTimestamp.UTC(), Template: patch.Spec.Template}
		if _, ok := of.(*appsv1.DaemonSet); ok {
			// Whose pods are labelled with the hash alone.
			r.Name = cmp.Or(cr.Labels[appsv1.DefaultDaemonSetUniqueLabelKey], strings.TrimPrefix(cr.Name, of.GetName()+"-"))
		}
		out = append(out, r)
	}
	return newestFirst(out)
}

func newestFirst(list []Revision) []Revision {
	slices.SortFunc(list, func(a, b Revision) int { return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(a.Name, b.Name)) })
	return list
}

// revisionOf finds a revision by its name; nil where there is none.
func revisionOf(list []Revision, name string) *Revision {
	for i := range list {
		if name != "" && list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// revisionBefore returns the revision that was the newest before another, and the number that it
// had; nil where it is not kept. One that a rollback made the newest again left its earlier place.
func revisionBefore(list []Revision, r *Revision) (*Revision, int64) {
	var found *Revision
	var number int64
	for i := range list {
		for _, n := range append([]int64{list[i].Number}, list[i].Before...) {
			if list[i].Name != r.Name && n < r.Number && n > number {
				found, number = &list[i], n
			}
		}
	}
	return found, number
}

// reused tells that a revision was there before, and was rolled out again: that it was made
// says nothing of when that was.
func reused(list []Revision, r *Revision) bool {
	if len(r.Before) > 0 {
		return true
	}
	for i := range list {
		if list[i].Number < r.Number && list[i].CreatedAt.After(r.CreatedAt) {
			return true
		}
	}
	return false
}
