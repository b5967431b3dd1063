package dump

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxGone bounds how many deleted controllers are remembered: a recording may hold
// thousands of Jobs that come and go.
const maxGone = 10_000

// graveyard holds the last states of controllers that were deleted, without their
// templates, the newest maxGone of them.
type graveyard struct {
	byUID map[types.UID]Object
	order []types.UID // the oldest first
}

// bury keeps the last state of a controller. Its deletion timestamp is the one that it
// has, or at where it was deleted at once: by then it is gone.
func (g *graveyard) bury(obj Object, at time.Time) {
	var last Object
	switch obj := obj.(type) {
	case *appsv1.ReplicaSet:
		c := *obj
		c.Spec.Template = corev1.PodTemplateSpec{}
		last = &c
	case *appsv1.Deployment:
		c := *obj
		c.Spec.Template = corev1.PodTemplateSpec{}
		last = &c
	case *appsv1.StatefulSet:
		c := *obj
		c.Spec.Template = corev1.PodTemplateSpec{}
		last = &c
	case *appsv1.DaemonSet:
		c := *obj
		c.Spec.Template = corev1.PodTemplateSpec{}
		last = &c
	case *batchv1.Job:
		c := *obj
		c.Spec.Template = corev1.PodTemplateSpec{}
		last = &c
	case *batchv1.CronJob:
		c := *obj
		c.Spec.JobTemplate = batchv1.JobTemplateSpec{}
		last = &c
	default:
		return
	}
	if last.GetDeletionTimestamp() == nil {
		if at.IsZero() {
			at = last.GetCreationTimestamp().Time
		}
		last.SetDeletionTimestamp(&metav1.Time{Time: at})
	}
	if g.byUID == nil {
		g.byUID = make(map[types.UID]Object)
	}
	if _, known := g.byUID[last.GetUID()]; !known {
		g.order = append(g.order, last.GetUID())
	}
	g.byUID[last.GetUID()] = last
	for len(g.byUID) > maxGone {
		delete(g.byUID, g.order[0])
		g.order = g.order[1:]
	}
}

// rise forgets an object that is there after all: a stream may begin again.
func (g *graveyard) rise(uid types.UID) {
	if _, ok := g.byUID[uid]; !ok {
		return
	}
	delete(g.byUID, uid)
	for i, u := range g.order {
		if u == uid {
			g.order = append(g.order[:i:i], g.order[i+1:]...)
			return
		}
	}
}
