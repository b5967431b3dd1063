package kube

import (
	"fmt"
	"net/http"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/whyrestart/whyrestart/internal/record"
)

func TestClusterWorkload(t *testing.T) {
	server := newObjectServer(t,
		&appsv1.Deployment{ObjectMeta: named("shop", "web")},
		&appsv1.ReplicaSet{ObjectMeta: named("shop", "web")},
		&appsv1.StatefulSet{ObjectMeta: named("shop", "web")},
		&appsv1.DaemonSet{ObjectMeta: named("shop", "web")},
		&batchv1.Job{ObjectMeta: named("shop", "web")},
		&batchv1.CronJob{ObjectMeta: named("shop", "web")},
	)
	pod := testPod("web")
	pod.Namespace = "shop"
	server.set(pod)
	c := newCluster(t, server.config())
	for kind, want := range map[string]string{
		"Deployment": "*v1.Deployment", "ReplicaSet": "*v1.ReplicaSet", "StatefulSet": "*v1.StatefulSet", "DaemonSet": "*v1.DaemonSet",
		"Job": "*v1.Job", "CronJob": "*v1.CronJob", "Pod": "*v1.Pod", "Rollout": "<nil>", "": "<nil>",
	} {
		o, err := c.Workload(t.Context(), "shop", record.Workload{Kind: kind, Name: "web"})
		if got := fmt.Sprintf("%T", o); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", kind, got, err, want)
		}
		if want == "<nil>" {
			continue
		}
		o, err = c.Workload(t.Context(), "shop", record.Workload{Kind: kind, Name: "gone"})
		if o != nil || !apierrors.IsNotFound(err) {
			t.Errorf("%s that is gone: got %v, %v", kind, o, err)
		}
	}
}

// Who asks tells a refusal from an absence, and so does not take the one for the other.
func TestClusterWorkloadForbidden(t *testing.T) {
	server := newObjectServer(t)
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		server.status(w, r, forbidden("get"))
		return true
	}
	c := newCluster(t, server.config())
	for range 2 { // the second one is answered from the cache
		_, err := c.Workload(t.Context(), "shop", record.Workload{Kind: "Deployment", Name: "web"})
		if !apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
	}
}
