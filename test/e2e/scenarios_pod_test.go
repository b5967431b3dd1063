//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// longScenarios take longest, and so begin first.
func longScenarios() []scenario {
	return []scenario{
		{name: "every-second", truth: []claim{
			crashing("storm/red", "exits with 1, as fast as it is started"),
			crashing("storm/blue", "exits with 2, as fast as it is started"),
		}, run: func(s *space) {
			// For about a minute, as fast as the kubelet starts them.
			const restarts = 20
			s.create(newPod("storm", counted("red", "exit 1"), counted("blue", "exit 2")))
			s.untilRestarts("storm", restarts, "red", "blue")
			s.check(s.untilStops("storm", "red", restarts), expect{exit: 1, typ: record.App, category: record.Failure, line: attempt})
			s.check(s.untilStops("storm", "blue", restarts), expect{exit: 2, typ: record.App, category: record.Failure, line: attempt})
		}},
		{name: "churn", truth: []claim{
			crashing("a/main", "exits with 1").only(exited(1)),
			besideDeletion("a/main"),
			lifecycle("a/main", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
			lifecycle("a/good", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair),
			crashing("b/main", "exits with 1").only(exited(1)),
			besideDeletion("b/main"),
			lifecycle("b/main", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
			lifecycle("b/good", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair),
			crashing("c/main", "exits with 1").only(exited(1)),
			besideDeletion("c/main"),
			lifecycle("c/main", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
			lifecycle("c/good", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair),
			crashing("d/main", "exits with 1").only(exited(1)),
			besideDeletion("d/main"),
			lifecycle("d/main", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair).maybe(),
			lifecycle("d/good", "deleted", "pod_deleted|grace_period_exceeded", "direct", fair),
		}, run: func(s *space) {
			// The same names, again and again, each time in the middle of something else.
			names := []string{"a", "b", "c", "d"}
			for round := range 3 {
				for _, name := range names {
					s.create(newPod(name, counted("main", "exit 1"), steady("good")))
				}
				for i, name := range names {
					s.untilRestarts(name, (i+round)%3, "main")
					s.deletePod(name)
				}
				s.untilGone(names...)
			}
		}},
		{name: "storage-eviction", truth: []claim{failure("hog/main", "8 MiB in an emptyDir of at most 1 MiB", "storage_limit_eviction", "empty_dir", proven)}, run: func(s *space) {
			limit := quantity("1Mi")
			p := newPod("hog", misbehave("main", "term-exit", "143", "write", "/full/file", "8388608", "forever"))
			p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "full", MountPath: "/full"})
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "full", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}})
			s.create(p)
			s.untilPod("hog", "is evicted", func(p *corev1.Pod) bool { return p.Status.Reason == "Evicted" })
			s.check(s.untilStops("hog", "main", 1), expect{exit: -1, typ: record.App, cause: "storage_limit_eviction", restarts: no()})
		}},
	}
}

// podScenarios are about the containers of one pod side by side.
func podScenarios() []scenario {
	return []scenario{
		{name: "one-of-two-crashes", truth: []claim{crashing("pair/bad", "exits with 13")}, run: func(s *space) {
			s.create(newPod("pair", steady("good"), counted("bad", "sleep 2; exit 13")))
			s.check(s.untilStops("pair", "bad", crashes), expect{exit: 13, typ: record.App, category: record.Failure, restarts: yes(), line: attempt, hasLog: true})
			if list := s.stops("pair", "good"); len(list) > 0 {
				s.t.Errorf("good still runs, and has %d records", len(list))
			}
		}},
		{name: "never-restarted", truth: []claim{
			completedWell("once/well", "exits with 0"),
			crashing("once/badly", "exits with 1"),
			crashing("once/worse", "exits with 3"),
		}, run: func(s *space) {
			s.create(policy(newPod("once", counted("well", "exit 0"), counted("badly", "sleep 2; exit 1"), counted("worse", "exit 3")), corev1.RestartPolicyNever))
			s.untilPod("once", "has failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
			for name, code := range map[string]int32{"well": 0, "badly": 1, "worse": 3} {
				s.check(s.untilStops("once", name, 1), expect{exit: code, typ: record.App, restarts: no(), line: attempt, hasLog: code != 0})
			}
		}},
		{name: "restarted-on-failure", truth: []claim{
			crashing("retry/main", "exits with 14 until its third run").only(exited(14)),
			completedWell("retry/main", "exits with 0 on its third run").only(exited(0)),
		}, run: func(s *space) {
			s.create(policy(newPod("retry", misbehave("main", "exit-until-run", scratch+"/runs", "3", "14", "exit", "0")), corev1.RestartPolicyOnFailure))
			s.untilPod("retry", "has succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
			list := s.untilStops("retry", "main", 3)
			s.check(list[:len(list)-1], expect{exit: 14, typ: record.App, category: record.Failure, restarts: yes()})
			s.check(list[len(list)-1:], expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no()})
		}},
		{name: "image-changed", truth: []claim{lifecycle("changed/main", "kubectl set image on the pod", "definition_changed", "*", proven)}, run: func(s *space) {
			s.create(newPod("changed", steady("main")))
			s.untilRunning("changed")
			s.setImage("changed", "main", pauseImage)
			s.untilRestarts("changed", 1, "main")
			s.untilRunning("changed")
			s.check(s.untilStops("changed", "main", 1), expect{exit: 0, typ: record.App, restarts: yes()})
		}},
		{name: "image-missing", truth: []claim{
			lifecycle("bare/other", "deleted with kubectl delete", "pod_deleted", "direct", proven),
			stalled("bare/main", "an image of a host that does not exist", "image_registry_unreachable", "*", fair),
		}, run: func(s *space) {
			// Nothing ever runs, and so nothing ends.
			c := steady("main")
			c.Image = "whyrestart.test/no-such-image:1"
			s.create(newPod("bare", c, steady("other")))
			s.untilPod("bare", "waits for its image", func(p *corev1.Pod) bool {
				st := statusOf(p, "main")
				return st != nil && st.State.Waiting != nil && st.State.Waiting.Reason == "ImagePullBackOff"
			})
			s.untilStalls("bare", "main", 1)
			s.deletePod("bare")
			s.untilGone()
			s.untilStops("bare", "other", 1)
			s.noStops("bare", "main")
		}},
		{name: "config-missing", truth: []claim{stalled("bare/main", "envFrom a ConfigMap that does not exist", "missing_configmap", "env", proven).quoting("no-such-map")}, run: func(s *space) {
			c := steady("main")
			c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "no-such-map"}}}}
			s.create(newPod("bare", c))
			s.untilPod("bare", "waits for its configuration", func(p *corev1.Pod) bool {
				st := statusOf(p, "main")
				return st != nil && st.State.Waiting != nil && st.State.Waiting.Reason == "CreateContainerConfigError"
			})
			s.noStops("bare", "main")
		}},
		{name: "restart-all-containers", truth: []claim{
			crashing("all/trigger", "exits with 88, for which a rule restarts all containers").only(exited(88)).maybe(),
			lifecycle("all/trigger", "exits with 88, and the kubelet shows a stand-in for it", "restart_all_containers", "*", likely).only(notExited(88)).maybe(),
			lifecycle("all/other", "restarted by the rule of another container", "restart_all_containers", "*", proven),
			completedWell("all/setup", "exits with 0, as it should").only(exited(0)),
			lifecycle("all/setup", "restarted by the rule of another container", "restart_all_containers", "*", proven).maybe(),
		}, run: func(s *space) {
			// One container's exit code starts the whole pod again, in place.
			rule := corev1.ContainerRestartRule{
				Action:    corev1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{88}},
			}
			never := corev1.ContainerRestartPolicyNever
			trigger := misbehave("trigger", "sleep", "1s", "exit-until-run", scratch+"/runs", "3", "88", "term-exit", "0", "forever")
			trigger.RestartPolicy, trigger.RestartPolicyRules = &never, []corev1.ContainerRestartRule{rule}
			p := withInit(newPod("all", trigger, steady("other")), misbehave("setup", "exit", "0"))
			s.create(policy(p, corev1.RestartPolicyNever))
			s.untilRestarts("all", 2, "trigger", "other")
			s.untilRunning("all")
			s.untilStops("all", "trigger", 2)
			s.untilStops("all", "other", 2)
			s.untilStops("all", "setup", 3)
		}},
		{name: "resized", truth: []claim{lifecycle("grown/main", "resized, with a resize policy that restarts", "resize_restart", "*", proven)}, run: func(s *space) {
			c := limited(steady("main"), "64Mi")
			c.ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}}
			s.create(newPod("grown", c))
			s.untilRunning("grown")
			s.resize("grown", "main", "96Mi")
			s.untilRestarts("grown", 1, "main")
			s.check(s.untilStops("grown", "main", 1), expect{exit: 0, typ: record.App, restarts: yes()})
		}},
		{name: "preempted", truth: []claim{disruption("low/main", "the scheduler made room for a pod of higher priority", "preempted", "", proven)}, run: func(s *space) {
			// Two that each need most of the node; the second matters more.
			s.priority(s.ns+"-low", 1)
			s.priority(s.ns+"-high", 1000)
			low, high := newPod("low", steady("main")), newPod("high", steady("main"))
			for name, p := range map[string]*corev1.Pod{"low": low, "high": high} {
				p.Spec.PriorityClassName = s.ns + "-" + name
				p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: s.mostOfTheNode()}
			}
			s.create(low)
			s.untilRunning("low")
			s.create(high)
			s.untilRunning("high")
			s.check(s.untilStops("low", "main", 1), expect{exit: 0, typ: record.App, category: record.Disruption, restarts: no()})
		}},
		{name: "rejected", truth: []claim{stalled("greedy", "bound to a node by nodeName that lacks the CPU", "admission_rejected", "OutOfcpu", proven)}, run: func(s *space) {
			p := newPod("greedy", steady("main"))
			p.Spec.NodeName = s.anyNode()
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: quantity("1000")}
			s.create(p)
			s.untilPod("greedy", "is rejected", func(p *corev1.Pod) bool { return p.Status.Reason == "OutOfcpu" })
			s.untilStalls("greedy", "", 1)
		}},
	}
}
