//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// deletionScenarios are the ways in which a pod is taken away.
func deletionScenarios() []scenario {
	deleted := expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no()}
	return []scenario{
		{name: "delete", truth: []claim{
			lifecycle("gone/one", "deleted with kubectl delete", "pod_deleted", "direct", proven),
			lifecycle("gone/two", "deleted with kubectl delete", "pod_deleted", "direct", proven),
		}, run: func(s *space) {
			s.create(newPod("gone", steady("one"), steady("two")))
			s.untilRunning("gone")
			s.deletePod("gone")
			s.untilGone("gone")
			s.check(s.untilStops("gone", "one", 1), deleted)
			s.check(s.untilStops("gone", "two", 1), deleted)
		}},
		{name: "delete-force", truth: []claim{
			lifecycle("gone/one", "deleted with --force: the API forgets it at once", "pod_deleted", "direct", fair),
			lifecycle("gone/two", "deleted with --force: the API forgets it at once", "pod_deleted", "direct", fair),
		}, run: func(s *space) {
			// The API forgets the pod at once, long before its containers end.
			s.hidden = s.beyondLastStatus
			s.create(newPod("gone", steady("one"), steady("two")))
			s.untilRunning("gone")
			s.deletePod("gone", 0)
			s.untilGone("gone")
			want := expect{exit: -1, typ: record.App, not: record.Failure, restarts: no()}
			s.check(s.untilStops("gone", "one", 1), want)
			s.check(s.untilStops("gone", "two", 1), want)
		}},
		{name: "delete-ignores-sigterm", truth: []claim{lifecycle("gone/main", "deleted; it ignores SIGTERM until the grace period is over", "grace_period_exceeded", "direct", proven)}, run: func(s *space) {
			s.create(graceful(newPod("gone", misbehave("main", "ignore-term", "forever")), 3))
			s.untilRunning("gone")
			s.deletePod("gone")
			s.untilGone("gone")
			s.check(s.untilStops("gone", "main", 1), expect{exit: 137, typ: record.App, category: record.Lifecycle, restarts: no()})
		}},
		{name: "delete-crashing", truth: []claim{
			crashing("gone/main", "exits with 1"),
			besideDeletion("gone/main"),
			lifecycle("gone/main", "deleted while it ran", "pod_deleted", "direct", fair).maybe(),
		}, run: func(s *space) {
			s.create(newPod("gone", counted("main", "exit 1")))
			s.untilRestarts("gone", 2, "main")
			s.deletePod("gone")
			s.untilGone("gone")
		}},
		{name: "delete-force-crashing", truth: []claim{
			crashing("gone/main", "exits with 1").only(exited(1)),
			crashing("gone/other", "exits with 2").only(exited(2)),
			lifecycle("gone/main", "deleted with --force while it ran", "pod_deleted", "direct", fair),
			lifecycle("gone/other", "deleted with --force while it ran", "pod_deleted", "direct", fair).maybe(),
		}, run: func(s *space) {
			s.hidden = s.beyondLastStatus
			s.create(newPod("gone", counted("main", "sleep 1; exit 1"), counted("other", "exit 2")))
			s.untilRestarts("gone", 2, "main", "other")
			s.untilPod("gone", "runs main", func(p *corev1.Pod) bool { return statusOf(p, "main").State.Running != nil })
			s.deletePod("gone", 0)
			s.untilGone("gone")
		}},
		{name: "delete-before-start", truth: []claim{
			lifecycle("early/main", "deleted while it started", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
			lifecycle("earlier/main", "deleted while it started", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
		}, run: func(s *space) {
			// The deletion races with the start; whichever wins, the numbers must add up.
			s.create(newPod("early", steady("main")), newPod("earlier", steady("main")))
			s.untilPod("early", "is scheduled", func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
			s.deletePod("early")
			s.deletePod("earlier")
			s.untilGone()
		}},
		{name: "delete-namespace", truth: []claim{
			lifecycle("alone/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
			lifecycle("shop/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
		}, run: func(s *space) {
			s.createDeployment(deployment(newPod("shop", steady("main")), 2))
			s.create(newPod("alone", steady("main")))
			s.untilReady("shop", 2, "")
			s.untilRunning("alone")
			s.must(s.kube.CoreV1().Namespaces().Delete(s.ctx, s.ns, metav1.DeleteOptions{}), "delete the namespace")
			s.untilGone()
			want := expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no()}
			s.check(s.untilStops("alone", "main", 1), want)
			s.check(s.untilStops("shop", "main", 2), want)
		}},
		{name: "eviction-api", truth: []claim{disruption("drained/main", "evicted over the eviction API, as by a drain", "eviction_api", "", proven)}, run: func(s *space) {
			s.create(newPod("drained", steady("main")))
			s.untilRunning("drained")
			e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "drained", Namespace: s.ns}}
			s.must(s.kube.PolicyV1().Evictions(s.ns).Evict(s.ctx, e), "evict the pod")
			s.untilGone("drained")
			s.check(s.untilStops("drained", "main", 1), expect{exit: 0, typ: record.App, category: record.Disruption, restarts: no()})
		}},
	}
}
