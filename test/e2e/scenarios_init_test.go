//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// initScenarios are about containers that are not regular ones.
func initScenarios() []scenario {
	return []scenario{
		{name: "init-fails-then-succeeds", truth: []claim{
			crashing("late/setup", "exits with 6 until its fourth run").only(exited(6)),
			completedWell("late/setup", "exits with 0 on its fourth run").only(exited(0)),
		}, run: func(s *space) {
			s.create(withInit(newPod("late", steady("main")), misbehave("setup", "sleep", "500ms", "exit-until-run", scratch+"/runs", "4", "6", "exit", "0")))
			s.untilRunning("late")
			list := s.untilStops("late", "setup", 4)
			s.check(list[:3], expect{exit: 6, reason: "Error", typ: record.Init, category: record.Failure, restarts: yes()})
			s.check(list[3:], expect{exit: 0, reason: "Completed", typ: record.Init, category: record.Lifecycle, restarts: no()})
		}},
		{name: "init-chain", truth: []claim{
			completedWell("chain/one", "exits with 0, as it should"),
			completedWell("chain/two", "exits with 0, as it should"),
			completedWell("chain/three", "exits with 0, as it should"),
		}, run: func(s *space) {
			s.create(withInit(newPod("chain", steady("main")), counted("one", "exit 0"), counted("two", "exit 0"), counted("three", "exit 0")))
			s.untilRunning("chain")
			for _, c := range []string{"one", "two", "three"} {
				s.check(s.untilStops("chain", c, 1), expect{exit: 0, reason: "Completed", typ: record.Init, category: record.Lifecycle, restarts: no(), line: attempt})
			}
		}},
		{name: "init-fails-for-ever", truth: []claim{crashing("stuck/setup", "exits with 4, again and again")}, run: func(s *space) {
			// The regular container never runs: no record may speak of it.
			s.create(withInit(newPod("stuck", steady("main")), counted("setup", "sleep 2; exit 4")))
			s.check(s.untilStops("stuck", "setup", crashes), expect{exit: 4, reason: "Error", typ: record.Init, category: record.Failure, restarts: yes(), line: attempt, hasLog: true})
			if list := s.stops("stuck", "main"); len(list) > 0 {
				s.t.Errorf("main never ran, and has %d records", len(list))
			}
		}},
		{name: "sidecar-crashes", truth: []claim{crashing("escorted/escort", "exits with 11, again and again")}, run: func(s *space) {
			s.create(withInit(newPod("escorted", steady("main")), sidecar(counted("escort", "sleep 2; exit 11"))))
			s.untilRunning("escorted")
			s.check(s.untilStops("escorted", "escort", crashes), expect{exit: 11, reason: "Error", typ: record.Sidecar, category: record.Failure, restarts: yes(), line: attempt, hasLog: true})
			if list := s.stops("escorted", "main"); len(list) > 0 {
				s.t.Errorf("main still runs, and has %d records", len(list))
			}
		}},
		{name: "sidecar-of-job", truth: []claim{
			completedWell("work/main", "exits with 0, as it should"),
			lifecycle("work/escort", "its pod was done", "sidecar_stopped", "", fair),
		}, run: func(s *space) {
			j := job(withInit(newPod("work", misbehave("main", "sleep", "1s", "exit", "0")), sidecar(misbehave("escort", "term-exit", "0", "forever"))), 0)
			s.createJob(j)
			s.untilJob(j.Name, complete)
			s.check(s.untilStops("work", "main", 1), expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no(), workload: "Job/work"})
			s.check(s.untilStops("work", "escort", 1), expect{exit: 0, typ: record.Sidecar, category: record.Lifecycle, restarts: no(), workload: "Job/work"})
		}},
		{name: "ephemeral", truth: []claim{crashing("debugged/debugger", "exits with 12")}, run: func(s *space) {
			s.create(newPod("debugged", steady("main")))
			s.untilRunning("debugged")
			p, err := s.kube.CoreV1().Pods(s.ns).Get(s.ctx, "debugged", metav1.GetOptions{})
			s.must(err, "get the pod")
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debugger", Image: misbehaveImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"sleep", "1s", "exit", "12"},
			}})
			_, err = s.kube.CoreV1().Pods(s.ns).UpdateEphemeralContainers(s.ctx, p.Name, p, metav1.UpdateOptions{})
			s.must(err, "add an ephemeral container")
			s.check(s.untilStops("debugged", "debugger", 1), expect{exit: 12, typ: record.Ephemeral, restarts: no()})
			if list := s.stops("debugged", "main"); len(list) > 0 {
				s.t.Errorf("main still runs, and has %d records", len(list))
			}
		}},
	}
}
