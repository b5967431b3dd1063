//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// killScenarios end what runs on the node from outside, and disturb nobody else.
func killScenarios() []scenario {
	return []scenario{
		{name: "kill-9", needsNode: true, truth: []claim{failure("victim/main", "SIGKILL from outside of Kubernetes", "sigkill_unattributed", "", untold)}, run: func(s *space) {
			s.create(newPod("victim", counted("main", "while :; do sleep 0.1; done"), steady("bystander")))
			for n := range 2 {
				s.untilPod("victim", fmt.Sprintf("runs instance %d", n), func(p *corev1.Pod) bool {
					return allRunning(p) && int(statusOf(p, "main").RestartCount) == n
				})
				s.harm("kill-container", s.ns, "victim", "main", "KILL")
				s.untilStops("victim", "main", n+1)
			}
			s.check(s.stops("victim", "main"), expect{exit: 137, reason: "Error", typ: record.App, category: record.Failure, restarts: yes(), line: attempt})
			if list := s.stops("victim", "bystander"); len(list) > 0 {
				s.t.Errorf("bystander still runs, and has %d records", len(list))
			}
		}},
		{name: "sandbox-killed", needsNode: true, truth: []claim{
			disruption("victim/main", "the process of the pod's sandbox was killed", "sandbox_changed", "", proven),
			disruption("victim/other", "the process of the pod's sandbox was killed", "sandbox_changed", "", proven),
			completedWell("victim/setup", "exits with 0, as it should"),
		}, run: func(s *space) {
			s.create(withInit(newPod("victim", steady("main"), steady("other")), counted("setup", "exit 0")))
			s.untilRunning("victim")
			s.harm("kill-sandbox", s.ns, "victim")
			s.untilRestarts("victim", 1, "main", "other", "setup")
			s.untilRunning("victim")
			s.check(s.untilStops("victim", "main", 1), expect{exit: -1, typ: record.App})
			s.check(s.untilStops("victim", "setup", 2), expect{exit: 0, typ: record.Init})
		}},
	}
}

// crowd is a number of pods that live through what happens to the node: some run, some
// crash again and again.
func (s *space) crowd() {
	s.t.Helper()
	s.create(
		newPod("steady-1", steady("main")),
		newPod("steady-2", steady("main"), steady("other")),
		withInit(newPod("escorted", steady("main")), misbehave("setup", "exit", "0"), sidecar(steady("escort"))),
		newPod("crash-1", counted("main", "exit 1")),
		newPod("crash-2", counted("main", "sleep 1; exit 2"), steady("good")),
		newPod("crash-3", counted("main", "sleep 2; exit 3")),
	)
	s.untilRunning("steady-1", "steady-2", "escorted")
	s.crowdCrashes(1)
}

// crowdTruths is what is true of the crowd whatever happens around it.
func crowdTruths() []claim {
	return []claim{
		completedWell("escorted/setup", "exits with 0, as it should"),
		crashing("crash-1/main", "exits with 1").only(exited(1)),
		crashing("crash-2/main", "exits with 2").only(exited(2)),
		crashing("crash-3/main", "exits with 3").only(exited(3)),
	}
}

// restartedTruths is what is true of the crowd when its node's runtime ends at once with
// all that runs.
func restartedTruths() []claim {
	const truth = "containerd and all containers were killed at once, as by a loss of power"
	var list []claim
	for _, of := range []string{"steady-1/main", "steady-2/main", "steady-2/other", "escorted/main", "escorted/escort", "crash-2/good"} {
		list = append(list, disruption(of, truth, "runtime_restarted", "", proven))
	}
	for _, of := range []string{"crash-1/main", "crash-2/main", "crash-3/main"} {
		list = append(list,
			disruption(of, truth, "runtime_restarted|sandbox_changed", "", proven).maybe(),
			failure(of, "ends in the seconds in which the runtime comes back", "unknown", "*", untold).maybe(),
		)
	}
	return list
}

// crowdCrashes waits until each of the crowd that crashes was restarted n times more.
func (s *space) crowdCrashes(n int) {
	s.t.Helper()
	base := map[string]int{}
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("crash-%d", i)
		if p := s.pod(name); p != nil {
			if st := statusOf(p, "main"); st != nil {
				base[name] = int(st.RestartCount)
			}
		}
	}
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("crash-%d", i)
		s.untilRestarts(name, base[name]+n, "main")
	}
}

// nodeScenarios harm the node or the API server, for all pods at once.
func nodeScenarios() []scenario {
	return []scenario{
		{name: "apiserver-restarted", needsNode: true, truth: crowdTruths(), run: func(s *space) {
			s.crowd()
			s.harm("restart-apiserver")
			s.crowdCrashes(3)
			s.noStops("steady-1", "main")
		}},
		{name: "containerd-restarted", needsNode: true, truth: append(crowdTruths(),
			disruption("crash-1/main", "it ended while no containerd ran", "runtime_restarted", "", proven).maybe(),
			disruption("crash-2/main", "it ended while no containerd ran", "runtime_restarted", "", proven).maybe(),
			disruption("crash-3/main", "it ended while no containerd ran", "runtime_restarted", "", proven).maybe(),
		), run: func(s *space) {
			s.crowd()
			s.harm("restart-containerd")
			s.crowdCrashes(2)
			s.noStops("steady-1", "main")
			s.noStops("steady-2", "main")
			s.noStops("escorted", "escort")
		}},
		{name: "kubelet-stopped", needsNode: true, truth: append(crowdTruths(),
			failure("steady-1/main", "SIGKILL from outside while no kubelet ran", "sigkill_unattributed", "", untold),
			failure("steady-2/other", "SIGTERM from outside while no kubelet ran; it exits with 0", "app_completed", "", fair),
			lifecycle("doomed/main", "deleted while no kubelet ran", "pod_deleted", "direct", fair),
		), run: func(s *space) {
			s.crowd()
			s.create(newPod("doomed", steady("main")))
			s.untilRunning("doomed")
			s.harm("stop-kubelet")
			started := false
			defer func() {
				if !started { // the others need it
					_ = s.node.do(s.ctx, "start-kubelet")
				}
			}()
			s.harm("kill-container", s.ns, "steady-1", "main", "KILL")
			s.harm("kill-container", s.ns, "steady-2", "other", "TERM")
			s.deletePod("doomed")
			s.until("the killed have ended", func() (bool, string) {
				ended := 0
				for k, list := range s.truth.instances(s.own) {
					if k.Pod == "steady-1" || k.Pod == "steady-2" && k.Container == "other" {
						for _, i := range list {
							if i.Ended {
								ended++
							}
						}
					}
				}
				return ended == 2, fmt.Sprintf("%d have", ended)
			})
			s.harm("start-kubelet")
			started = true
			s.untilRestarts("steady-1", 1, "main")
			s.untilRestarts("steady-2", 1, "other")
			s.untilGone("doomed")
			s.crowdCrashes(1)
			s.check(s.untilStops("steady-1", "main", 1), expect{exit: 137, typ: record.App, category: record.Failure})
			s.check(s.untilStops("doomed", "main", 1), expect{exit: -1, typ: record.App, not: record.Failure})
			s.noStops("steady-2", "main")
		}},
		{name: "runtime-restarted", needsNode: true, truth: append(crowdTruths(), restartedTruths()...), run: func(s *space) {
			s.crowd()
			s.harm("restart-runtime")
			s.untilRestarts("steady-1", 1, "main")
			s.untilRestarts("steady-2", 1, "main", "other")
			s.untilRestarts("escorted", 1, "main", "escort")
			s.untilRunning("steady-1", "steady-2", "escorted")
			s.crowdCrashes(2)
			s.check(s.untilStops("steady-1", "main", 1), expect{exit: 255, reason: "Unknown", typ: record.App})
			s.check(s.untilStops("steady-2", "other", 1), expect{exit: 255, reason: "Unknown", typ: record.App})
			s.untilIncident(issue.OnNode, s.anyNode(), "pod/steady-1", "pod/steady-2", "pod/escorted")
		}},
	}
}

// watcherScenarios take whyrestart itself away.
func watcherScenarios() []scenario {
	return []scenario{
		{name: "whyrestart-stopped", truth: append(crowdTruths(),
			failure("leaves-crashing/main", "exits with 4", "app_exit", "", fair).only(exited(4)),
			lifecycle("leaves-crashing/main", "deleted while nobody watched", "pod_deleted", "*", fair).only(notExited(4)).maybe(),
			lifecycle("leaves/main", "deleted while nobody watched", "pod_deleted", "*", fair).maybe(),
			failure("leaves/main", "deleted while nobody watched", "unknown", "*", untold).maybe(),
			failure("leaves-crashing/main", "deleted while nobody watched", "unknown", "*", untold).only(notExited(4)).maybe(),
		), run: func(s *space) {
			s.downtime = true
			s.crowd()
			s.create(newPod("leaves", steady("main")), newPod("leaves-crashing", counted("main", "exit 4")))
			s.untilRunning("leaves")
			s.untilStops("leaves-crashing", "main", 1)
			s.untilStops("crash-1", "main", 1)
			s.must(s.program.terminate(s.ctx), "stop whyrestart")
			// Nobody can know how often a pod crashed that went while nobody watched.
			s.hidden = s.after(s.records.of(record.KindStop, s.own), "leaves", "leaves-crashing")
			s.deletePod("leaves")
			s.deletePod("leaves-crashing")
			s.untilGone("leaves", "leaves-crashing")
			s.crowdCrashes(2)
			s.must(s.program.start(s.ctx), "start whyrestart again")
			s.crowdCrashes(2)
			s.noStops("steady-1", "main")
		}},
		{name: "crashed-before-deletion", needsNode: true, truth: []claim{
			failure("kept/main", "SIGTERM from outside, on which it exits with 5", "app_exit", "", fair),
			lifecycle("kept/other", "deleted with kubectl delete", "pod_deleted", "direct", proven),
		}, run: func(s *space) {
			// Whyrestart sees the end and the deletion at once; the end came first.
			s.downtime = true
			p := graceful(newPod("kept", shell("main", "trap 'exit 5' TERM; while :; do sleep 0.1; done"), steady("other")), 5)
			p.Finalizers = []string{"whyrestart.test/kept"}
			s.create(policy(p, corev1.RestartPolicyNever))
			s.t.Cleanup(func() { s.release("kept") })
			s.untilRunning("kept")
			s.must(s.program.terminate(s.ctx), "stop whyrestart")
			s.harm("kill-container", s.ns, "kept", "main", "TERM")
			var ended time.Time
			s.untilPod("kept", "has lost main", func(p *corev1.Pod) bool {
				t := statusOf(p, "main").State.Terminated
				if t != nil {
					ended = t.FinishedAt.Time
				}
				return t != nil
			})
			s.until("no clock can take the one for the other", func() (bool, string) { return time.Since(ended) > clockSkew+2*time.Second, "" })
			s.deletePod("kept")
			s.untilPod("kept", "is being deleted and has ended", func(p *corev1.Pod) bool {
				return p.DeletionTimestamp != nil && statusOf(p, "other").State.Terminated != nil
			})
			s.must(s.program.start(s.ctx), "start whyrestart again")
			s.check(s.untilStops("kept", "main", 1), expect{exit: 5, typ: record.App, category: record.Failure, restarts: no()})
			s.check(s.untilStops("kept", "other", 1), expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no()})
			s.release("kept")
		}},
		{name: "whyrestart-killed", truth: crowdTruths(), run: func(s *space) {
			s.downtime = true
			s.crowd()
			for range 3 {
				before := len(s.stops("crash-1", "main"))
				s.untilStops("crash-1", "main", before+1)
				s.must(s.program.kill(s.ctx), "kill whyrestart")
				s.must(s.program.start(s.ctx), "start whyrestart again")
			}
			s.crowdCrashes(2)
			s.must(s.program.kill(s.ctx), "kill whyrestart")
			s.crowdCrashes(2)
			s.must(s.program.start(s.ctx), "start whyrestart again")
			s.crowdCrashes(1)
			s.noStops("steady-1", "main")
		}},
	}
}

// release removes the finalizer that keeps a pod in the API.
func (s *space) release(pod string) {
	s.t.Helper()
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	_, err := s.kube.CoreV1().Pods(s.ns).Patch(context.Background(), pod, types.MergePatchType, patch, metav1.PatchOptions{})
	if !apierrors.IsNotFound(err) {
		s.must(err, "remove the finalizer")
	}
}

// after tells the instances of some pods that follow the ones that are recorded.
func (s *space) after(recorded []record.Record, pods ...string) func(containerKey, instance) bool {
	next := map[containerKey]int{}
	for _, r := range recorded {
		k := containerKey{r.Namespace, r.PodUID, r.Pod, r.Container}
		next[k] = max(next[k], r.Ordinal+1)
	}
	return func(k containerKey, i instance) bool {
		return slices.Contains(pods, k.Pod) && (i.Attempt < 0 || i.Attempt >= next[k])
	}
}

// harm does something to the node.
func (s *space) harm(args ...string) {
	s.t.Helper()
	err := s.node.do(s.ctx, args...)
	// A busy containerd may leave a call without an answer; nothing has happened then.
	for tries := 0; err != nil && strings.Contains(err.Error(), "Unavailable") && tries < 5; tries++ {
		s.wait(time.Second)
		err = s.node.do(s.ctx, args...)
	}
	s.must(err, "harm the node")
}

// noStops complains about any record of a container that never ended.
func (s *space) noStops(pod, container string) {
	s.t.Helper()
	for _, r := range s.stops(pod, container) {
		s.t.Errorf("%s of %s runs since it was started, and has the record %s (%s, ordinal %d)", container, pod, r.ID, r.Diagnosis.Cause, r.Ordinal)
	}
}
