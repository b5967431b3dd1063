//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// exitOf is the exit code of the instance with an ordinal of the container "told".
func exitOf(ordinal int) int32 { return int32(ordinal%120 + 1) }

// makeLoop creates what restarts throughout, and begins to delete some of it.
func (k *chaos) makeLoop() {
	k.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: chaosSpace, Labels: map[string]string{"whyrestart.test/suite": "e2e"}}}
	_, err := k.kube.CoreV1().Namespaces().Create(k.ctx, ns, metav1.CreateOptions{})
	k.must(err, "create the namespace")
	loop := func(name string, code string) corev1.Container {
		return misbehave(name, "sleep", "700ms", "exit", code)
	}
	for _, p := range []*corev1.Pod{
		newPod("plain", loop("main", "1")),
		// Which instance it was is in its exit code, by a count that its own pod keeps.
		newPod("counting", counted("told", "sleep 0.7; exit $((n%120+1))")),
		withInit(newPod("beside", loop("main", "0"), steady("steady")), sidecar(loop("escort", "3"))),
		withInit(newPod("after", loop("main", "2"), loop("second", "7")), misbehave("setup", "exit", "0")),
		newPod("fast", misbehave("main", "exit", "4")),
	} {
		_, err := k.kube.CoreV1().Pods(chaosSpace).Create(k.ctx, p, metav1.CreateOptions{})
		k.must(err, "create a pod")
	}
	_, err = k.kube.AppsV1().Deployments(chaosSpace).Create(k.ctx, deployment(newPod("replaced", loop("main", "5")), 2), metav1.CreateOptions{})
	k.must(err, "create the deployment")
	_, err = k.kube.AppsV1().StatefulSets(chaosSpace).Create(k.ctx, statefulSet(newPod("named", loop("main", "6")), 1), metav1.CreateOptions{})
	k.must(err, "create the stateful set")

	err = wait.PollUntilContextTimeout(k.ctx, 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		running := 0
		for _, p := range k.recorder.in(chaosSpace) {
			if p.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == 8, nil
	})
	k.must(err, "wait until the pods run")

	ctx, cancel := context.WithCancel(context.WithoutCancel(k.ctx))
	done := make(chan struct{})
	// Its own source of chance: it goes on beside the faults.
	random := rand.New(rand.NewPCG(k.random.Uint64(), 1))
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(3*time.Second + time.Duration(random.Int64N(int64(4*time.Second)))):
			}
			var can []*corev1.Pod
			for _, p := range k.recorder.in(chaosSpace) {
				if len(p.OwnerReferences) > 0 && p.DeletionTimestamp == nil {
					can = append(can, p)
				}
			}
			if len(can) > 0 {
				// Where the API server is away, nothing is deleted.
				_ = k.kube.CoreV1().Pods(chaosSpace).Delete(ctx, can[random.IntN(len(can))].Name, metav1.DeleteOptions{})
			}
		}
	}()
	k.stopDeleting = once(func() { cancel(); <-done })
}

// removeLoop deletes it all, and waits until nothing of it is left.
func (k *chaos) removeLoop() error {
	if err := k.kube.CoreV1().Namespaces().Delete(k.ctx, chaosSpace, metav1.DeleteOptions{}); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(k.ctx, 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return len(k.recorder.in(chaosSpace)) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the pods are gone: %w", err)
	}
	return nil
}
