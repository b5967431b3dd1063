//go:build e2e

package e2e

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// calmScenarios are what looks like trouble for a moment, and is none: nothing may be
// claimed, unless it is what somebody wanted.
func calmScenarios() []scenario {
	// long is how long nothing may be said for: longer than a rule takes to make up its mind.
	const long = 25 * time.Second
	ready := func(c corev1.Container, port int32) corev1.Container {
		c.ReadinessProbe = httpProbe(port)
		c.ReadinessProbe.HTTPGet.Path = "/readyz"
		return c
	}
	calm := func(name string, pods ...*corev1.Pod) scenario {
		return scenario{name: "calm-" + name, run: func(s *space) {
			s.create(pods...)
			s.wait(long)
			for _, p := range pods {
				s.untilRunning(p.Name)
			}
		}}
	}
	return []scenario{
		calm("healthy", newPod("web", ready(misbehave("main", "listen", ":8080", "forever"), 8080), steady("beside"))),
		calm("slow-to-be-ready", newPod("web", ready(misbehave("main", "listen", ":8080", "ready-after", "8s", "forever"), 8080))),
		calm("slow-to-start", newPod("web", with(misbehave("main", "sleep", "8s", "listen", ":8080", "forever"), func(c *corev1.Container) {
			c.StartupProbe, c.LivenessProbe = httpProbe(8080), httpProbe(8080)
			c.StartupProbe.FailureThreshold = 60
		}))),
		calm("one-failed-probe", newPod("web", with(misbehave("main", "listen", ":8080", "forever"), func(c *corev1.Container) {
			// The readiness probe begins before anybody listens; the liveness probe waits.
			c.ReadinessProbe, c.LivenessProbe = httpProbe(8080), httpProbe(8080)
			c.ReadinessProbe.FailureThreshold, c.LivenessProbe.InitialDelaySeconds = 1, 3
		}))),
		calm("optional-configmap", newPod("web", with(steady("main"), func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}, Optional: yes()}}}
		}))),
		calm("sidecar", withInit(newPod("web", steady("main")), sidecar(with(misbehave("escort", "listen", ":8081", "forever"), func(c *corev1.Container) {
			c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8081)}}, PeriodSeconds: 1, FailureThreshold: 30}
		})))),
		{name: "calm-long-init", truth: []claim{completedWell("web/setup", "takes eight seconds, and exits with 0")}, run: func(s *space) {
			s.create(withInit(newPod("web", steady("main")), misbehave("setup", "sleep", "8s", "exit", "0")))
			s.untilRunning("web")
			s.untilStops("web", "setup", 1)
			s.wait(long / 2)
		}},
		{name: "calm-gate-removed", run: func(s *space) {
			s.create(changed(newPod("web", steady("main")), func(p *corev1.PodSpec) {
				p.SchedulingGates = []corev1.PodSchedulingGate{{Name: "whyrestart.test/soon"}}
			}))
			s.wait(2 * time.Second)
			_, err := s.kube.CoreV1().Pods(s.ns).Patch(s.ctx, "web", types.MergePatchType, []byte(`{"spec":{"schedulingGates":[]}}`), metav1.PatchOptions{})
			s.must(err, "remove the gate")
			s.untilRunning("web")
			s.wait(long / 2)
		}},
		{name: "calm-configmap-late", run: func(s *space) {
			s.create(mounted(newPod("web", steady("main")), corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}}, corev1.VolumeMount{Name: "late", MountPath: "/late"}))
			s.untilPod("web", "is scheduled", func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
			s.configMap("late", map[string]string{"k": "v"})
			s.untilRunning("web")
			s.wait(long / 2)
		}},
		{name: "calm-rollout", truth: []claim{lifecycle("shop/main", "replaced by a rollout", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			// One at a time, each only when the one before is ready.
			d := deployment(newPod("shop", ready(misbehave("main", "term-exit", "143", "listen", ":8080", "ready-after", "2s", "forever"), 8080)), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: "2"}} })
			s.untilReady(d.Name, 2, "VERSION")
			s.untilStops("shop", "main", 2)
			s.wait(long / 2)
		}},
		{name: "calm-scale-up", run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 1)
			s.createDeployment(d)
			s.untilReady(d.Name, 1, "")
			s.scale(d.Name, 4)
			s.untilReady(d.Name, 4, "")
			s.wait(long / 2)
		}},
		{name: "calm-resize", run: func(s *space) {
			s.create(newPod("grown", limited(steady("main"), "64Mi")))
			s.untilRunning("grown")
			s.resize("grown", "main", "96Mi")
			s.wait(long / 2)
			s.untilRestarts("grown", 0, "main")
		}},
		{name: "calm-slow-end", truth: []claim{lifecycle("web/main", "deleted; it takes three of its ten seconds to end", "pod_deleted", "direct", proven)}, run: func(s *space) {
			s.create(graceful(newPod("web", misbehave("main", "term-after", "3s", "forever")), 10))
			s.untilRunning("web")
			s.deletePod("web")
			s.untilGone("web")
			s.untilStops("web", "main", 1)
		}},
	}
}

// wait lets time pass, in which nothing may happen.
func (s *space) wait(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
		s.t.Fatal(s.ctx.Err())
	}
}
