//go:build e2e

package e2e

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// disruptionScenarios are what the cluster does to pods that are well.
func disruptionScenarios() []scenario {
	return []scenario{
		{name: "storage-limit-of-container", needsNode: true, truth: []claim{failure("hog/main", "writes 8 MiB, and its limit of ephemeral storage is 1 MiB", "storage_limit_eviction", "*", proven),
			failure("hog/beside", "the other container of its pod exceeded its limit of ephemeral storage", "storage_limit_eviction", "*", proven),
		}, run: func(s *space) {
			c := misbehave("main", "term-exit", "143", "write", "/tmp/file", "8388608", "forever")
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: quantity("1Mi")}
			s.create(newPod("hog", c, steady("beside")), newPod("beside", steady("main")))
			s.untilPod("hog", "is evicted", func(p *corev1.Pod) bool { return p.Status.Reason == "Evicted" })
			s.untilStops("hog", "main", 1)
			s.noStops("beside", "main")
		}},
		{name: "taint-eviction", needsNode: true, truth: []claim{
			disruption("moved/main", "a taint of its node that it does not tolerate", "taint_eviction", "*", proven),
			disruption("kept/main", "a taint of its node that it does not tolerate", "taint_eviction", "*", proven),
			stalled("kept", "a finalizer keeps it", "terminating_stuck", "*", fair).maybe(),
		}, run: func(s *space) {
			kept := intolerant(newPod("kept", steady("main")))
			kept.Finalizers = []string{"whyrestart.test/kept"}
			s.t.Cleanup(func() { s.release("kept") })
			tolerant := func(p *corev1.Pod) *corev1.Pod {
				p.Spec.Tolerations = []corev1.Toleration{{Key: closingTaint, Operator: corev1.TolerationOpExists}, {Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists}}
				return p
			}
			s.create(tolerant(newPod("moved", steady("main"))), tolerant(kept))
			s.untilRunning("moved", "kept")
			s.taint(corev1.Taint{Key: clearingTaint, Value: "repair", Effect: corev1.TaintEffectNoExecute})
			s.untilGone("moved")
			s.untilStops("moved", "main", 1)
			s.untilStops("kept", "main", 1)
			s.ending = func() { s.release("kept") }
		}},
		{name: "drained-with-finalizer", truth: []claim{
			disruption("kept/main", "evicted over the eviction API; a finalizer keeps it", "eviction_api", "", proven),
			stalled("kept", "a finalizer keeps it", "terminating_stuck", "*", fair).maybe(),
		}, run: func(s *space) {
			p := newPod("kept", steady("main"))
			p.Finalizers = []string{"whyrestart.test/kept"}
			s.create(p)
			s.t.Cleanup(func() { s.release("kept") })
			s.untilRunning("kept")
			s.evict("kept")
			s.untilStops("kept", "main", 1)
			s.ending = func() { s.release("kept") }
		}},
		{name: "drained-ignores-sigterm", truth: []claim{disruption("drained/main", "evicted over the eviction API; it ignores SIGTERM", "eviction_api", "", proven)}, run: func(s *space) {
			s.create(graceful(newPod("drained", misbehave("main", "ignore-term", "forever")), 3))
			s.untilRunning("drained")
			s.evict("drained")
			s.untilGone("drained")
			s.check(s.untilStops("drained", "main", 1), expect{exit: 137, category: record.Disruption})
		}},
		{name: "kubelet-preempted", needsNode: true, truth: []claim{disruption("low/main", "the kubelet made room for a critical pod", "kubelet_preempted", "*", proven)}, run: func(s *space) {
			// By memory, which nobody else asks for in such amounts; "preempted" does by CPU.
			n, err := s.kube.CoreV1().Nodes().Get(s.ctx, s.anyNode(), metav1.GetOptions{})
			s.must(err, "get the node")
			most := resource.NewQuantity(n.Status.Allocatable.Memory().Value()*6/10, resource.BinarySI).String()
			s.create(newPod("low", requesting(steady("main"), corev1.ResourceMemory, most)))
			s.untilRunning("low")
			s.create(changed(newPod("critical", requesting(steady("main"), corev1.ResourceMemory, most)), func(p *corev1.PodSpec) {
				p.PriorityClassName, p.NodeName = "system-node-critical", n.Name
			}))
			s.untilStops("low", "main", 1)
		}},
	}
}

// evict does what a drain does to a pod.
func (s *space) evict(pod string) {
	s.t.Helper()
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: s.ns}}
	s.must(s.kube.PolicyV1().Evictions(s.ns).Evict(s.ctx, e), "evict the pod")
}

// lostScenarios take the node away for longer than its grace period.
func lostScenarios() []scenario {
	const lost = "no kubelet ran for longer than the grace period of the node"
	return []scenario{
		{name: "node-pressure", needsNode: true, truth: []claim{
			disruption("hog/main", "it filled the disk of the node", "node_pressure_eviction", "ephemeral-storage|disk|nodefs", proven),
			disruption("beside/main", "evicted as well, before what the first one wrote was deleted", "node_pressure_eviction", "ephemeral-storage|disk|nodefs", proven).maybe(),
			stalled("late", "bound to a node by nodeName that has disk pressure", "admission_rejected", "*", proven).maybe(),
		}, run: func(s *space) {
			s.create(newPod("beside", steady("main")))
			s.untilRunning("beside")
			p := newPod("hog", misbehave("main", "term-exit", "143", "write", "/full/file", "225443840", "forever"))
			s.create(mounted(p, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, corev1.VolumeMount{Name: "full", MountPath: "/full"}))
			s.untilPod("hog", "is evicted", func(p *corev1.Pod) bool { return p.Status.Reason == "Evicted" })
			s.create(changed(newPod("late", steady("main")), func(p *corev1.PodSpec) { p.NodeName = s.anyNode() }))
			s.untilStops("hog", "main", 1)
			s.untilPod("late", "is refused, or runs", func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodPending })
			s.until("the node has no disk pressure", func() (bool, string) {
				n, err := s.kube.CoreV1().Nodes().Get(s.ctx, s.anyNode(), metav1.GetOptions{})
				if err != nil {
					return false, err.Error()
				}
				return !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
					return c.Type == corev1.NodeDiskPressure && c.Status == corev1.ConditionTrue
				}), "it has"
			})
		}},
		{name: "node-lost", needsNode: true, truth: append(crowdTruths(),
			stalled("steady-1", lost, "node_lost", "*", proven).in(record.Disruption),
			stalled("steady-2", lost, "node_lost", "*", proven).in(record.Disruption),
			stalled("escorted", lost, "node_lost", "*", proven).in(record.Disruption),
			stalled("crash", lost, "node_lost", "*", proven).in(record.Disruption).maybe(),
		), run: func(s *space) {
			s.crowd()
			s.harm("stop-kubelet")
			started := false
			start := func() {
				if !started { // the others need it
					started = true
					s.must(s.node.do(context.Background(), "start-kubelet"), "start the kubelet")
				}
			}
			defer start()
			s.until("the node is lost", func() (bool, string) {
				n, err := s.kube.CoreV1().Nodes().Get(s.ctx, s.anyNode(), metav1.GetOptions{})
				if err != nil {
					return false, err.Error()
				}
				for _, c := range n.Status.Conditions {
					if c.Type == corev1.NodeReady {
						return c.Status == corev1.ConditionUnknown, string(c.Status)
					}
				}
				return false, "the node has no condition"
			})
			s.untilStalls("steady-1", "", 1)
			start()
			s.crowdCrashes(1)
			s.noStops("steady-1", "main")
			s.until("the stall of steady-1 is over", func() (bool, string) {
				list := s.stalls("steady-1", "")
				return len(list) == 0 || !list[0].End.IsZero(), "it lasts"
			})
		}},
		{name: "node-deleted", needsNode: true, truth: []claim{
			disruption("orphan/main", "its Node was deleted", "pod_gc", "*", fair),
			stalled("orphan", "its Node was deleted", "node_lost", "*", fair).in(record.Disruption).maybe(),
		}, run: func(s *space) {
			// The API forgets the pods while they still run; the kubelet ends them when it is back.
			s.hidden = s.beyondLastStatus
			s.create(newPod("orphan", steady("main")))
			s.untilRunning("orphan")
			name := s.anyNode()
			s.harm("stop-kubelet")
			defer func() { s.must(s.node.do(context.Background(), "start-kubelet"), "start the kubelet") }()
			s.must(s.kube.CoreV1().Nodes().Delete(s.ctx, name, metav1.DeleteOptions{}), "delete the node")
			s.untilGone("orphan")
			s.untilStops("orphan", "main", 1)
		}},
	}
}

// clear removes from the nodes what an earlier run left on them.
func clearNodes(ctx context.Context, s *suite) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return changeNodes(ctx, s, func(n *corev1.Node) {
		removeTaint(n, closingTaint)
		removeTaint(n, clearingTaint)
	})
}
