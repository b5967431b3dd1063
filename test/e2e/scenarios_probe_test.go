//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// probeScenarios are the kills by the kubelet for a probe or a hook that fails.
func probeScenarios() []scenario {
	killed := func(code int32) expect {
		return expect{exit: code, typ: record.App, category: record.Failure, restarts: yes()}
	}
	return []scenario{
		{name: "liveness-http", truth: []claim{failure("sick/main", "the liveness probe gets 500; it obeys SIGTERM", "liveness_probe", "http_500", proven)}, run: func(s *space) {
			c := misbehave("main", "term-exit", "143", "listen", ":8080", "fail-after", "2s", "forever")
			c.LivenessProbe = httpProbe(8080)
			s.create(newPod("sick", c))
			s.check(s.untilStops("sick", "main", 2), killed(143))
		}},
		{name: "liveness-exit-0", truth: []claim{failure("sick/main", "the liveness probe gets 500; it exits with 0 on SIGTERM", "liveness_probe", "http_500", proven)}, run: func(s *space) {
			// A program that ends well on SIGTERM does not look killed at all.
			c := misbehave("main", "term-exit", "0", "listen", ":8080", "fail-after", "2s", "forever")
			c.LivenessProbe = httpProbe(8080)
			s.create(newPod("sick", c))
			s.check(s.untilStops("sick", "main", 2), expect{exit: 0, reason: "Completed", typ: record.App, restarts: yes()})
		}},
		{name: "liveness-ignores-sigterm", truth: []claim{failure("sick/main", "the liveness probe gets 500; it ignores SIGTERM", "liveness_probe", "http_500", proven)}, run: func(s *space) {
			c := misbehave("main", "ignore-term", "listen", ":8080", "fail-after", "2s", "forever")
			c.LivenessProbe = httpProbe(8080)
			s.create(newPod("sick", c))
			s.check(s.untilStops("sick", "main", 2), killed(137))
		}},
		{name: "startup-probe", truth: []claim{failure("slow/main", "nobody listens where the startup probe asks", "startup_probe", "refused", proven)}, run: func(s *space) {
			c := misbehave("main", "term-exit", "143", "forever")
			c.StartupProbe = httpProbe(8080) // nobody listens
			s.create(newPod("slow", c))
			s.check(s.untilStops("slow", "main", 2), killed(143))
		}},
		{name: "post-start-hook", truth: []claim{failure("hooked/main", "the postStart hook runs a command that does not exist", "post_start_hook", "exec", proven)}, run: func(s *space) {
			c := misbehave("main", "term-exit", "143", "forever")
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/no/such/hook"}}}}
			s.create(newPod("hooked", c))
			s.check(s.untilStops("hooked", "main", 2), expect{exit: -1, typ: record.App, category: record.Failure})
		}},
		{name: "pre-stop-hook", truth: []claim{lifecycle("hooked/main", "deleted; its preStop hook takes a second", "pod_deleted", "direct", proven)}, run: func(s *space) {
			c := shell("main", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "1"}}}}
			s.create(graceful(newPod("hooked", c), 5))
			s.untilRunning("hooked")
			s.deletePod("hooked")
			s.untilGone("hooked")
			s.check(s.untilStops("hooked", "main", 1), expect{exit: 0, typ: record.App, not: record.Failure, restarts: no()})
		}},
	}
}
