//go:build e2e

package e2e

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// pendingScenarios are pods that no node takes.
func pendingScenarios() []scenario {
	unplaced := func(name, truth, detail string, change func(*corev1.PodSpec)) provocation {
		return provocation{name: "pending-" + name, truth: []claim{stalled("app", truth, "unschedulable", detail, proven)}, pods: []*corev1.Pod{changed(newPod("app", steady("main")), change)}}
	}
	claimed := func(name, truth, detail string, class *string) provocation {
		p := unplaced(name, truth, detail, func(*corev1.PodSpec) {})
		p.pods[0] = mounted(p.pods[0], corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}, corev1.VolumeMount{Name: "data", MountPath: "/data"})
		if class != nil {
			p.before = func(s *space) { s.claim("data", *class) }
		}
		return p
	}
	none, waiting := "", "whyrestart-e2e-waits"
	labels := func(value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"whyrestart.test/kind": value}}
	}
	affinity := func(selector *metav1.LabelSelector) []corev1.PodAffinityTerm {
		return []corev1.PodAffinityTerm{{LabelSelector: selector, TopologyKey: corev1.LabelHostname}}
	}
	list := []provocation{
		unplaced("cpu", "asks for 1000 CPUs", "insufficient_cpu", func(p *corev1.PodSpec) {
			p.Containers[0] = requesting(p.Containers[0], corev1.ResourceCPU, "1000")
		}),
		unplaced("memory", "asks for 100 TiB of memory", "insufficient_memory", func(p *corev1.PodSpec) {
			p.Containers[0] = requesting(p.Containers[0], corev1.ResourceMemory, "100Ti")
		}),
		unplaced("device", "asks for a device that no node has", "insufficient_whyrestart.test/device|insufficient_device", func(p *corev1.PodSpec) {
			p.Containers[0] = requesting(p.Containers[0], "whyrestart.test/device", "1")
		}),
		unplaced("node-selector", "a node selector that no node has", "node_selector", func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"disk": "fast"} }),
		unplaced("node-affinity", "a node affinity that no node fulfils", "node_selector|node_affinity", func(p *corev1.PodSpec) {
			p.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"moon"}}}}},
			}}}
		}),
		unplaced("pod-affinity", "wants to be beside a pod that does not exist", "pod_affinity", func(p *corev1.PodSpec) {
			p.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: affinity(labels("absent"))}}
		}),
		unplaced("topology-spread", "is to be spread over a label that no node has", "topology_spread", func(p *corev1.PodSpec) {
			p.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "whyrestart.test/rack", WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: labels("spread")}}
		}),
		{
			name: "pending-pod-anti-affinity", truth: []claim{stalled("second", "will not share the node with the first", "unschedulable", "pod_anti_affinity|pod_affinity", proven)},
			pods: func() []*corev1.Pod {
				apart := func(p *corev1.PodSpec) {
					p.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: affinity(labels("apart"))}}
				}
				first, second := changed(newPod("first", steady("main")), func(*corev1.PodSpec) {}), changed(newPod("second", steady("main")), apart)
				first.Labels["whyrestart.test/kind"] = "apart"
				return []*corev1.Pod{first, second}
			}(),
		},
		{
			name: "pending-host-port", truth: []claim{stalled("second", "wants a port of the node that the first has", "unschedulable", "host_port", proven)},
			pods: func() []*corev1.Pod {
				port := func(p *corev1.PodSpec) {
					p.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080, HostPort: 28080}}
				}
				return []*corev1.Pod{changed(newPod("first", steady("main")), port), changed(newPod("second", steady("main")), port)}
			}(),
		},
		{
			name: "pending-gate", truth: []claim{stalled("app", "a scheduling gate that nobody removes", "scheduling_gated", "whyrestart.test/budget", proven).quoting("whyrestart.test/budget")},
			pods: []*corev1.Pod{changed(newPod("app", steady("main")), func(p *corev1.PodSpec) {
				p.SchedulingGates = []corev1.PodSchedulingGate{{Name: "whyrestart.test/budget"}}
			})},
		},
		{
			name: "pending-unknown-scheduler", truth: []claim{stalled("app", "a scheduler that does not run", "not_scheduled", "*", fair)},
			pods: []*corev1.Pod{changed(newPod("app", steady("main")), func(p *corev1.PodSpec) { p.SchedulerName = "no-such-scheduler" })},
		},
		claimed("claim-missing", "a volume claim that does not exist", "pvc_not_found", nil),
		claimed("claim-unbound", "a volume claim that nothing can be bound to", "pvc_unbound", &none),
		claimed("claim-without-volume", "a volume claim that waits for its first consumer, and there is no volume", "pvc_unbound|no_volume|volume_binding|pv_not_found|volume_not_found", &waiting),
	}
	list[len(list)-1].before = func(s *space) {
		s.storageClass(waiting)
		s.claim("data", waiting)
	}
	return append(provocations(list...),
		scenario{
			name: "pending-taint", needsNode: true, truth: []claim{stalled("app", "the only node has a taint that the pod does not tolerate", "unschedulable", "taint", proven).quoting(closingTaint)},
			run: func(s *space) {
				s.cordonAlone()
				s.taint(corev1.Taint{Key: closingTaint, Value: "maintenance", Effect: corev1.TaintEffectNoSchedule})
				s.create(intolerant(newPod("app", steady("main"))))
				s.untilStalls("app", "", 1)
			},
		},
		scenario{
			name: "pending-cordon", needsNode: true, truth: []claim{stalled("app", "the only node is cordoned", "unschedulable", "cordoned", proven)},
			run: func(s *space) {
				s.cordonAlone()
				s.cordon(true)
				s.t.Cleanup(func() { s.cordon(false) })
				p := newPod("app", steady("main"))
				p.Spec.Tolerations = []corev1.Toleration{{Key: closingTaint, Operator: corev1.TolerationOpExists}, {Key: clearingTaint, Operator: corev1.TolerationOpExists}}
				s.create(p)
				s.untilStalls("app", "", 1)
				s.cordon(false)
			},
		},
	)
}

// refusedScenarios are pods that a node refuses, or cannot prepare.
func refusedScenarios() []scenario {
	bound := func(name, truth, detail string, change func(*corev1.PodSpec)) scenario {
		return scenario{name: name, truth: []claim{stalled("app", truth, "admission_rejected", detail, proven)}, run: func(s *space) {
			s.create(changed(newPod("app", steady("main")), func(p *corev1.PodSpec) {
				p.NodeName = s.anyNode()
				change(p)
			}))
		}}
	}
	return []scenario{
		bound("rejected-memory", "bound to a node by nodeName that lacks the memory", "OutOfmemory", func(p *corev1.PodSpec) {
			p.Containers[0] = requesting(p.Containers[0], corev1.ResourceMemory, "100Ti")
		}),
		bound("rejected-node-affinity", "bound by nodeName to a node that its selector excludes", "NodeAffinity", func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"disk": "fast"} }),
		bound("rejected-sysctl", "a sysctl that the node does not allow", "SysctlForbidden", func(p *corev1.PodSpec) {
			p.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "kernel.msgmax", Value: "65536"}}}
		}),
		{
			name: "sandbox-fails", truth: []claim{stalled("app", "a runtime class whose handler the node does not have", "sandbox_failed", "runtime_class", fair).quoting("no-such-handler")},
			run: func(s *space) {
				name := s.ns
				classes := s.kube.NodeV1().RuntimeClasses()
				_, err := classes.Create(s.ctx, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: "no-such-handler"}, metav1.CreateOptions{})
				if !apierrors.IsAlreadyExists(err) {
					s.must(err, "create a runtime class")
				}
				s.t.Cleanup(func() { _ = classes.Delete(context.Background(), name, metav1.DeleteOptions{}) })
				s.create(changed(newPod("app", steady("main")), func(p *corev1.PodSpec) { p.RuntimeClassName = &name }))
				s.untilStalls("app", "", 1)
			},
		},
		{
			name: "terminating-stuck", truth: []claim{
				lifecycle("held/main", "deleted with kubectl delete", "pod_deleted", "direct", proven),
				stalled("held", "deleted, and a finalizer that nobody removes", "terminating_stuck", "finalizer|whyrestart.test/held", proven).quoting("whyrestart.test/held"),
			},
			run: func(s *space) {
				p := newPod("held", steady("main"))
				p.Finalizers = []string{"whyrestart.test/held"}
				s.create(p)
				s.t.Cleanup(func() { s.release("held") })
				s.untilRunning("held")
				s.deletePod("held")
				s.untilStalls("held", "", 1)
				s.ending = func() { s.release("held") }
			},
		},
	}
}

// claim creates a claim of a storage class for a volume.
func (s *space) claim(name, class string) {
	s.t.Helper()
	_, err := s.kube.CoreV1().PersistentVolumeClaims(s.ns).Create(s.ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: quantity("1Gi")}},
		},
	}, metav1.CreateOptions{})
	s.must(err, "create a claim")
}

// storageClass creates a class without a provisioner, whose volumes are chosen when a pod
// wants them.
func (s *space) storageClass(name string) {
	s.t.Helper()
	mode := storagev1.VolumeBindingWaitForFirstConsumer
	classes := s.kube.StorageV1().StorageClasses()
	_, err := classes.Create(s.ctx, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &mode}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		s.must(err, "create a storage class")
	}
	s.t.Cleanup(func() { _ = classes.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// changeNode changes the node.
func (s *space) changeNode(change func(*corev1.Node)) {
	s.t.Helper()
	err := changeNodes(context.Background(), s.suite, change)
	if err != nil {
		s.t.Errorf("change the node: %v", err)
	}
}

func changeNodes(ctx context.Context, s *suite, change func(*corev1.Node)) error {
	nodes := s.kube.CoreV1().Nodes()
	list, err := nodes.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range list.Items {
		err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			n, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			change(n)
			_, err = nodes.Update(ctx, n, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("change node %s: %w", n.Name, err)
		}
	}
	return nil
}

// taint puts a taint on the node for as long as the scenario lasts.
func (s *space) taint(t corev1.Taint) {
	s.t.Helper()
	s.t.Cleanup(func() { s.changeNode(func(n *corev1.Node) { removeTaint(n, t.Key) }) })
	s.changeNode(func(n *corev1.Node) {
		removeTaint(n, t.Key)
		n.Spec.Taints = append(n.Spec.Taints, t)
	})
}

func removeTaint(n *corev1.Node, key string) {
	var left []corev1.Taint
	for _, t := range n.Spec.Taints {
		if t.Key != key {
			left = append(left, t)
		}
	}
	n.Spec.Taints = left
}

// cordon closes the node to new pods, or opens it.
func (s *space) cordon(closed bool) {
	s.t.Helper()
	s.changeNode(func(n *corev1.Node) { n.Spec.Unschedulable = closed })
}
