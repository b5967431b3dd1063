//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// trapScenarios are stops that look like another kind than they are.
func trapScenarios() []scenario {
	return []scenario{
		{name: "trap-crash-beside-failing-probe", truth: []claim{failure("app/main", "exits with 1, while its liveness probe fails, which is patient", "app_exit", "", fair)}, run: func(s *space) {
			c := counted("main", "sleep 4; exit 1")
			c.LivenessProbe = httpProbe(8080)
			c.LivenessProbe.FailureThreshold = 60
			s.create(newPod("app", c))
			s.untilStops("app", "main", 2)
		}},
		{name: "trap-child-oom-then-deleted", truth: []claim{lifecycle("app/main", "a child was killed for memory long before; then the pod was deleted", "pod_deleted", "direct", fair)}, run: func(s *space) {
			s.create(newPod("app", limited(misbehave("main", "term-exit", "0", "child-oom", "print", "the child is gone", "forever"), "32Mi")))
			s.untilRunning("app")
			s.wait(crashWait)
			s.deletePod("app")
			s.untilGone("app")
			s.untilStops("app", "main", 1)
		}},
		{name: "trap-child-oom-then-drained", truth: []claim{disruption("app/main", "a child was killed for memory long before; then the pod was evicted", "eviction_api", "", fair)}, run: func(s *space) {
			s.create(newPod("app", limited(misbehave("main", "term-exit", "143", "child-oom", "print", "the child is gone", "forever"), "32Mi")))
			s.untilRunning("app")
			s.wait(crashWait)
			s.evict("app")
			s.untilGone("app")
			s.untilStops("app", "main", 1)
		}},
		{name: "trap-sidecar-killed-at-the-end", truth: []claim{
			completedWell("work/main", "exits with 0, as it should"),
			lifecycle("work/escort", "its pod was done; it ignores SIGTERM", "sidecar_stopped", "*", fair),
		}, run: func(s *space) {
			j := job(withInit(graceful(newPod("work", misbehave("main", "sleep", "2s", "exit", "0")), 3), sidecar(misbehave("escort", "ignore-term", "forever"))), 0)
			s.createJob(j)
			s.untilJob(j.Name, complete)
			s.check(s.untilStops("work", "escort", 1), expect{exit: 137, restarts: no()})
		}},
		{name: "trap-liveness-never-restarted", truth: []claim{failure("app/main", "nobody listens where the liveness probe asks; it is not to be restarted", "liveness_probe", "refused", fair)}, run: func(s *space) {
			c := misbehave("main", "term-exit", "143", "forever")
			c.LivenessProbe = httpProbe(8080)
			s.create(policy(newPod("app", c), corev1.RestartPolicyNever))
			s.check(s.untilStops("app", "main", 1), expect{exit: 143, restarts: no()})
		}},
		{name: "trap-deleted-while-initialising", truth: []claim{lifecycle("app/setup", "the pod was deleted while its init container ran", "pod_deleted", "direct", fair)}, run: func(s *space) {
			s.create(withInit(newPod("app", steady("main")), steady("setup")))
			s.untilPod("app", "runs its init container", func(p *corev1.Pod) bool { st := statusOf(p, "setup"); return st != nil && st.State.Running != nil })
			s.deletePod("app")
			s.untilGone("app")
			s.untilStops("app", "setup", 1)
		}},
		{name: "trap-term-from-outside", needsNode: true, truth: []claim{failure("app/main", "SIGTERM from outside of Kubernetes, on which it exits with 143", "sigterm_unattributed", "", untold)}, run: func(s *space) {
			s.create(newPod("app", misbehave("main", "term-exit", "143", "forever")))
			s.untilRunning("app")
			s.harm("kill-container", s.ns, "app", "main", "TERM")
			s.untilStops("app", "main", 1)
		}},
		{name: "trap-crash-of-job-init", truth: []claim{crashing("batch/setup", "the init container of a Job exits with 5")}, run: func(s *space) {
			j := job(withInit(newPod("batch", steady("main")), counted("setup", "sleep 2; exit 5")), 0)
			s.createJob(j)
			s.untilJob(j.Name, failed)
			s.check(s.untilStops("batch", "setup", 1), expect{exit: 5, restarts: no()})
		}},
		{name: "trap-job-suspended", truth: []claim{lifecycle("batch/main", "its Job was suspended", "pod_deleted", "job", fair)}, run: func(s *space) {
			j := job(newPod("batch", steady("main")), 0)
			s.createJob(j)
			s.untilReadyLike("batch", 1)
			_, err := s.kube.BatchV1().Jobs(s.ns).Patch(s.ctx, j.Name, types.MergePatchType, []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{})
			s.must(err, "suspend the job")
			s.untilGone()
			s.untilStops("batch", "main", 1)
		}},
		{name: "trap-statefulset-rollout", truth: []claim{lifecycle("db-0/main", "replaced by a rollout", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			sets := s.kube.AppsV1().StatefulSets(s.ns)
			_, err := sets.Create(s.ctx, statefulSet(newPod("db", steady("main")), 1), metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			first := s.untilPod("db-0", "runs", allRunning)
			_, err = sets.Patch(s.ctx, "db", types.StrategicMergePatchType, newVersion("main"), metav1.PatchOptions{})
			s.must(err, "change the stateful set")
			s.untilPod("db-0", "runs anew", func(p *corev1.Pod) bool { return p.UID != first.UID && allRunning(p) })
			s.untilStops("db-0", "main", 1)
		}},
		{name: "trap-daemonset-rollout", truth: []claim{lifecycle("agent/main", "replaced by a rollout", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			p := newPod("agent", steady("main"))
			sets := s.kube.AppsV1().DaemonSets(s.ns)
			_, err := sets.Create(s.ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{Selector: selector(p), Template: template(p)}}, metav1.CreateOptions{})
			s.must(err, "create the daemon set")
			s.untilReadyLike("agent", 1)
			_, err = sets.Patch(s.ctx, "agent", types.StrategicMergePatchType, newVersion("main"), metav1.PatchOptions{})
			s.must(err, "change the daemon set")
			s.untilStops("agent", "main", 1)
			s.untilReadyLike("agent", 1)
		}},
		{name: "trap-image-mended", truth: []claim{stalled("app/main", "the image is not there; then another one is named", "image_never_pull", "*", proven)}, run: func(s *space) {
			s.create(newPod("app", with(steady("main"), func(c *corev1.Container) {
				c.Image, c.ImagePullPolicy = "whyrestart.test/elsewhere:1", corev1.PullNever
			})))
			s.untilStalls("app", "main", 1)
			s.setImage("app", "main", misbehaveImage)
			s.untilRunning("app")
			s.until("the stall is over", func() (bool, string) {
				list := s.stalls("app", "main")
				return len(list) == 0 || !list[0].End.IsZero(), "it lasts"
			})
		}},
		{name: "trap-readiness-mended", truth: []claim{stalled("app/main", "it is not ready for fifty seconds", "readiness_probe", "http_503", fair)}, run: func(s *space) {
			c := misbehave("main", "listen", ":8080", "ready-after", "50s", "forever")
			c.ReadinessProbe = httpProbe(8080)
			c.ReadinessProbe.HTTPGet.Path = "/readyz"
			s.create(newPod("app", c))
			s.untilStalls("app", "main", 1)
			s.until("the stall is over", func() (bool, string) {
				list := s.stalls("app", "main")
				return len(list) == 0 || !list[0].End.IsZero(), "it lasts"
			})
		}},
	}
}

// crashWait is long enough for a child to be killed for memory.
const crashWait = 5 * time.Second

// newVersion is the patch by which a controller's container gets another environment.
func newVersion(container string) []byte {
	return fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":%q,"env":[{"name":"VERSION","value":"2"}]}]}}}}`, container)
}

// untilReadyLike waits until n pods whose names begin so run, and none of them is being deleted.
func (s *space) untilReadyLike(name string, n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d pods of %s run", n, name), func() (bool, string) {
		running := 0
		for _, p := range s.pods() {
			if strings.HasPrefix(p.Name, name+"-") && allRunning(p) && p.DeletionTimestamp == nil {
				running++
			}
		}
		return running == n, describe(s.pods()...)
	})
}
