//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// memoryScenarios are kills for memory other than those of a container's main program.
func memoryScenarios() []scenario {
	return provocations(
		provocation{
			name: "oom-of-init", truth: []claim{failure("app/setup", "an init container allocates more than its limit", "oom_killed", "container_limit", fair)},
			pods: []*corev1.Pod{withInit(newPod("app", steady("main")), limited(misbehave("setup", "oom"), "32Mi"))}, stops: 2,
		},
		provocation{
			name: "oom-of-sidecar", truth: []claim{failure("app/escort", "a sidecar allocates more than its limit", "oom_killed", "container_limit", fair)},
			pods: []*corev1.Pod{withInit(newPod("app", steady("main")), sidecar(limited(misbehave("escort", "sleep", "2s", "oom"), "32Mi")))}, stops: 2,
		},
		provocation{
			name: "oom-of-pod", truth: []claim{failure("app/hungry", "allocates more than the limit of the pod; it has none of its own", "oom_killed", "pod_limit", fair)},
			pods: []*corev1.Pod{changed(newPod("app", misbehave("hungry", "sleep", "2s", "oom"), steady("modest")), func(p *corev1.PodSpec) {
				p.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: quantity("48Mi")}}
			})}, stops: 2,
		},
		provocation{
			// Each is below its own limit: together they are above that of the pod.
			name: "oom-of-pod-and-limits", truth: []claim{failure("app/hungry", "the limit of the pod is reached before its own, since another container holds most of it", "oom_killed", "pod_limit|level_unknown", fair)},
			pods: []*corev1.Pod{changed(mounted(newPod("app", modest(limited(misbehave("beside", "write", "/held/file", "31457280", "forever"), "48Mi")), modest(limited(misbehave("hungry", "sleep", "3s", "oom"), "48Mi"))),
				corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}, corev1.VolumeMount{Name: "held", MountPath: "/held"}), func(p *corev1.PodSpec) {
				p.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: quantity("56Mi")}}
			})}, stops: 2,
		},
		provocation{
			name: "oom-of-probe", truth: []claim{failure("app/main", "the command of the liveness probe allocates more than the limit; main obeys SIGTERM", "liveness_probe", "exec", proven).quoting("OOMKilled")},
			pods: one("app", with(limited(misbehave("main", "term-exit", "143", "forever"), "32Mi"), func(c *corev1.Container) {
				c.LivenessProbe = execProbe("/misbehave", "oom")
				c.LivenessProbe.TimeoutSeconds = 10
			})), stops: 1,
		},
	)
}

// probeKindScenarios are probes of each kind that fail, each in its way.
func probeKindScenarios() []scenario {
	obeys := func(verbs ...string) corev1.Container {
		return misbehave("main", append([]string{"term-exit", "143"}, append(verbs, "forever")...)...)
	}
	live := func(name, truth, detail string, c corev1.Container, p *corev1.Probe) provocation {
		p.InitialDelaySeconds = 2 // by then it listens, if it ever does
		c.LivenessProbe = p
		return provocation{name: name, truth: []claim{failure("sick/main", truth, "liveness_probe", detail, proven)}, pods: one("sick", c)}
	}
	starts := func(name, truth, detail string, c corev1.Container, p *corev1.Probe) provocation {
		p.InitialDelaySeconds = 2
		c.StartupProbe = p
		return provocation{name: name, truth: []claim{failure("slow/main", truth, "startup_probe", detail, proven)}, pods: one("slow", c)}
	}
	tcp := func(port int32) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}}, PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2}
	}
	return provocations(
		live("liveness-refused", "nobody listens where the probe connects", "refused", obeys(), tcp(8080)),
		live("liveness-http-refused", "nobody listens where the probe asks", "refused", obeys(), httpProbe(8080)),
		live("liveness-timeout", "the program accepts and does not answer", "timeout", obeys("listen", ":8080", "hang-after", "2s"), httpProbe(8080)),
		live("liveness-404", "the path of the probe does not exist", "http_404", obeys("listen", ":8080"), with(httpProbe(8080), func(p **corev1.Probe) { (*p).HTTPGet.Path = "/helthz" })),
		live("liveness-503", "the program answers 503 after two seconds", "http_503", obeys("listen", ":8080", "status-after", "2s", "503"), httpProbe(8080)),
		live("liveness-exec", "the command of the probe fails", "exec", obeys(), execProbe("/misbehave", "stderr", "the queue is stuck", "exit", "3")),
		live("liveness-exec-timeout", "the command of the probe takes longer than it may", "timeout", obeys(), execProbe("/misbehave", "sleep", "5s")),
		live("liveness-grpc", "the health service answers NOT_SERVING", "grpc", obeys("grpc-unhealthy", "0.0.0.0:9090"), &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090}}, PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2,
		}),
		starts("startup-503", "the program is not ready for longer than the startup probe allows", "http_503", obeys("listen", ":8080", "ready-after", "10m"), with(httpProbe(8080), func(p **corev1.Probe) { (*p).HTTPGet.Path = "/readyz" })),
		starts("startup-exec", "the command of the startup probe fails", "exec", obeys(), execProbe("/misbehave", "exit", "1")),
		provocation{
			name: "liveness-of-sidecar", truth: []claim{failure("sick/escort", "nobody listens where the probe of the sidecar asks", "liveness_probe", "refused", proven)},
			pods: []*corev1.Pod{withInit(newPod("sick", steady("main")), sidecar(with(misbehave("escort", "term-exit", "143", "forever"), func(c *corev1.Container) { c.LivenessProbe = httpProbe(8081) })))},
		},
		provocation{
			name: "liveness-beside-crash", truth: []claim{
				failure("sick/main", "nobody listens where the probe asks", "liveness_probe", "refused", proven),
				crashing("sick/bad", "exits with 9"),
			},
			pods: one("sick", with(obeys(), func(c *corev1.Container) { c.LivenessProbe = tcp(8080) }), counted("bad", "sleep 2; exit 9")),
		},
		provocation{
			name: "pre-stop-takes-the-grace", truth: []claim{failure("sick/main", "nobody listens where the probe asks; the preStop hook takes longer than the grace period, and SIGTERM is ignored", "liveness_probe", "refused", proven)},
			pods: []*corev1.Pod{graceful(newPod("sick", with(misbehave("main", "ignore-term", "forever"), func(c *corev1.Container) {
				c.LivenessProbe = tcp(8080)
				c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/misbehave", "sleep", "30s"}}}}
			})), 3)},
		},
		provocation{
			name: "post-start-fails", truth: []claim{failure("hooked/main", "the command of the postStart hook exits with 7", "post_start_hook", "exec", proven)},
			pods: one("hooked", with(obeys(), func(c *corev1.Container) {
				c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/misbehave", "stderr", "the cache is cold", "exit", "7"}}}}
			})), stops: 2,
		},
		provocation{
			name: "readiness-fails", truth: []claim{stalled("web/main", "the readiness probe gets 503 for ever", "readiness_probe", "http_503", fair)},
			pods: one("web", with(misbehave("main", "listen", ":8080", "ready-after", "10m", "forever"), func(c *corev1.Container) {
				c.ReadinessProbe = httpProbe(8080)
				c.ReadinessProbe.HTTPGet.Path = "/readyz"
			})),
		},
		provocation{
			name: "readiness-refused", truth: []claim{stalled("web/main", "nobody listens where the readiness probe connects", "readiness_probe", "refused", fair)},
			pods: one("web", with(steady("main"), func(c *corev1.Container) { c.ReadinessProbe = tcp(8080) })),
		},
		provocation{
			name: "readiness-gate", truth: []claim{stalled("web", "a readiness gate that nobody sets", "readiness_gate", "whyrestart.test/registered", proven).quoting("whyrestart.test/registered")},
			pods: []*corev1.Pod{changed(newPod("web", steady("main")), func(p *corev1.PodSpec) {
				p.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "whyrestart.test/registered"}}
			})},
		},
	)
}

// modest lets a container ask for less than its limit.
func modest(c corev1.Container) corev1.Container {
	c.Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: quantity("8Mi")}
	return c
}

// slowestScenarios are stalls that count as such only after minutes.
func slowestScenarios() []scenario {
	return provocations(
		provocation{
			name: "init-hangs", truth: []claim{stalled("stuck/slow", "an init container that runs and runs", "init_not_finished", "slow", fair)},
			pods: []*corev1.Pod{withInit(newPod("stuck", steady("main")), shell("slow", "trap 'exit 0' TERM; while :; do sleep 0.2; done"))},
		},
	)
}

// execProbe runs a command each second.
func execProbe(command ...string) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: command}}, PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2}
}
