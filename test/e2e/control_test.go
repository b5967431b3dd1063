//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// createDeployment creates a deployment.
func (s *space) createDeployment(d *appsv1.Deployment) {
	s.t.Helper()
	_, err := s.kube.AppsV1().Deployments(s.ns).Create(s.ctx, d, metav1.CreateOptions{})
	s.must(err, "create the deployment")
}

// changeDeployment rolls out a change of the deployment's first container.
func (s *space) changeDeployment(name string, change func(*corev1.Container)) {
	s.t.Helper()
	s.updateDeployment(name, func(d *appsv1.Deployment) { change(&d.Spec.Template.Spec.Containers[0]) })
}

// scale sets the number of replicas.
func (s *space) scale(name string, replicas int32) {
	s.t.Helper()
	s.updateDeployment(name, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

// updateDeployment tries again where the controller wrote in between.
func (s *space) updateDeployment(name string, change func(*appsv1.Deployment)) {
	s.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d, err := s.kube.AppsV1().Deployments(s.ns).Get(s.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(d)
		_, err = s.kube.AppsV1().Deployments(s.ns).Update(s.ctx, d, metav1.UpdateOptions{})
		return err
	})
	s.must(err, "change the deployment")
}

// untilReady waits until exactly n pods with a name that begins so exist, all run, and
// have an environment variable, where one is named.
func (s *space) untilReady(name string, n int, variable string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d pods of %s run", n, name), func() (bool, string) {
		var own []*corev1.Pod
		ready := 0
		for _, p := range s.pods() {
			if p.Labels["app"] != name {
				continue
			}
			own = append(own, p)
			env := p.Spec.Containers[0].Env
			if allRunning(p) && p.DeletionTimestamp == nil && (variable == "" || len(env) == 1 && env[0].Name == variable) {
				ready++
			}
		}
		return ready == n && len(own) == n, describe(own...)
	})
}

// createJob creates a job.
func (s *space) createJob(j *batchv1.Job) {
	s.t.Helper()
	_, err := s.kube.BatchV1().Jobs(s.ns).Create(s.ctx, j, metav1.CreateOptions{})
	s.must(err, "create the job")
}

const (
	complete = batchv1.JobComplete
	failed   = batchv1.JobFailed
)

// untilJob waits until a job has ended in one way or the other.
func (s *space) untilJob(name string, how batchv1.JobConditionType) {
	s.t.Helper()
	s.until(fmt.Sprintf("job %s is %s", name, how), func() (bool, string) {
		j, err := s.kube.BatchV1().Jobs(s.ns).Get(s.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, c := range j.Status.Conditions {
			if c.Type == how && c.Status == corev1.ConditionTrue {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d active, %d succeeded, %d failed", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
	})
}

// setImage changes the image of a container in place, as "kubectl set image pod" does.
func (s *space) setImage(pod, container, image string) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []map[string]string{{"name": container, "image": image}}}})
	s.must(err, "write the patch")
	_, err = s.kube.CoreV1().Pods(s.ns).Patch(s.ctx, pod, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	s.must(err, "change the image")
}

// resize changes the memory limit of a container in place.
func (s *space) resize(pod, container, memory string) {
	s.t.Helper()
	memories := map[string]string{"memory": memory}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []map[string]any{
		{"name": container, "resources": map[string]any{"limits": memories, "requests": memories}},
	}}})
	s.must(err, "write the patch")
	_, err = s.kube.CoreV1().Pods(s.ns).Patch(s.ctx, pod, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "resize")
	s.must(err, "resize the pod")
}

// priority creates a priority class, which belongs to no namespace, for as long as the
// scenario lasts.
func (s *space) priority(name string, value int32) {
	s.t.Helper()
	classes := s.kube.SchedulingV1().PriorityClasses()
	_, err := classes.Create(s.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		s.must(err, "create a priority class")
	}
	s.t.Cleanup(func() {
		if err := classes.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			s.t.Errorf("delete the priority class: %v", err)
		}
	})
}

// mostOfTheNode returns more CPU than half a node has.
func (s *space) mostOfTheNode() resource.Quantity {
	s.t.Helper()
	n, err := s.kube.CoreV1().Nodes().Get(s.ctx, s.anyNode(), metav1.GetOptions{})
	s.must(err, "get the node")
	return *resource.NewMilliQuantity(n.Status.Allocatable.Cpu().MilliValue()*6/10, resource.DecimalSI)
}

// anyNode returns the name of a node.
func (s *space) anyNode() string {
	s.t.Helper()
	list, err := s.kube.CoreV1().Nodes().List(s.ctx, metav1.ListOptions{Limit: 1})
	s.must(err, "list nodes")
	if len(list.Items) == 0 {
		s.t.Fatal("there is no node")
	}
	return list.Items[0].Name
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }
