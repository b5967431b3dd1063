package diagnose

import (
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// nth makes the instance a later one of its container.
func nth(ordinal int) change { return func(e *evidence.Evidence) { e.Stop.Ordinal = ordinal } }

// merged is an event that a client merged from several, whose message is the newest one's.
func merged(reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		event(reason, message, when)(e)
		e.Events[len(e.Events)-1].Combined = true
	}
}

// TestNotDeceived holds evidence that real clusters produce and that looks like another
// cause than it has.
func TestNotDeceived(t *testing.T) {
	const (
		failure, disruption, lifecycle = record.Failure, record.Disruption, record.Lifecycle
		confirmed, likely, unknown     = record.Confirmed, record.Likely, record.Unknown
	)
	other := evidence.Container{Name: "api-proxy", Type: record.App}
	statefulSet := func(first, replicas int32, revision, newest string) change {
		return owned(evidence.Controller{Kind: "StatefulSet", Name: "api", UID: "s1", Replicas: &replicas, FirstOrdinal: first, Revision: revision, NewestRevision: newest})
	}
	numbered := func(name string) change { return func(e *evidence.Evidence) { e.Pod.Name = name } }
	deleted := func(c ...change) evidence.Evidence {
		return exited(143, "Error", append([]change{deletedAt(at(58)), event("Killing", stopping, at(58))}, c...)...)
	}
	behind := func(e *evidence.Evidence) { // the node's clock is 6 s behind
		deletedAt(at(66))(e)
		event("Killing", stopping, at(60))(e)
	}
	allocatable := func(mebibytes int64) change {
		return func(e *evidence.Evidence) {
			calm(e)
			e.Node.Allocatable = evidence.Resources{"memory": evidence.Amount(mebibytes << 20 * 1000)}
		}
	}
	runRulings(t, []ruling{
		// The instance before was killed and replaced in the second in which this one was started.
		{"the kill of the instance before", exited(1, "Error", nth(3), event("Killing", failedLiveness, at(0))), verdict{"app_exit", "", failure, likely}, "", failedLiveness},
		{"the change of the instance before", exited(1, "Error", nth(1), event("Killing", "Container api definition changed, will be restarted", at(0))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"the kill of the instance before, repeated", exited(137, "Error", nth(3), repeated("Killing", failedLiveness, at(-120), at(0), 3)), verdict{"sigkill_unattributed", "", failure, unknown}, "", ""},
		{"a first instance has none before it", exited(143, "Error", event("Killing", failedLiveness, at(0))), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		// The kubelet had not noticed the end yet.
		{"a kill of a container that had ended", exited(1, "Error", event("Killing", failedLiveness, at(61))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"a crash, and the deletion in the next second", exited(1, "Error", deletedAt(at(61)), event("Killing", stopping, at(61))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"a crash, and the drain in the next second", exited(1, "Error", disrupted("EvictionByEvictionAPI", at(61)), event("Killing", stopping, at(61))), verdict{"app_exit", "", failure, likely}, "", "drain"},
		{"a crash in the second of the final delete", exited(1, "Error", func(e *evidence.Evidence) { e.Pod.DeletionTimestamp = at(61) }), verdict{"app_exit", "", failure, likely}, "", ""},
		// Two clocks.
		{"the node's clock is behind", exited(143, "Error", behind), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", ""},
		{"the node's clock is behind, drained", exited(143, "Error", behind, disrupted("EvictionByEvictionAPI", at(66))), verdict{"eviction_api", "", disruption, confirmed}, "", ""},
		{"the node's clock is ahead, and it had crashed", exited(1, "Error", deletedAt(at(56))), verdict{"pod_deleted", "direct", lifecycle, likely}, "may have ended by itself", ""},
		// A condition that is set before what may fail.
		{"an eviction that was refused after all", exited(1, "Error", disrupted("EvictionByEvictionAPI", at(30)), func(e *evidence.Evidence) {
			e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds = time.Time{}, 0
		}), verdict{"app_exit", "", failure, likely}, "", "evicted"},
		{"an eviction that was refused, and a deletion a minute later", exited(143, "Error", disrupted("EvictionByEvictionAPI", at(-5)), deletedAt(at(58)), event("Killing", stopping, at(58))), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "evicted"},
		{"a drain of a pod that was being deleted", exited(143, "Error", deletedAt(at(30)), disrupted("EvictionByEvictionAPI", at(45)), event("Killing", stopping, at(30))), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "evicted"},
		// Events that were merged keep the object of the first and the message of the newest.
		{"merged: another container's stop", exited(1, "Error", beside(other), merged("Killing", "Stopping container api-proxy", at(59))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"merged: nobody's name", exited(1, "Error", beside(other), merged("Killing", "FailedPostStartHook", at(59))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"merged: its own name", exited(1, "Error", beside(other), merged("Killing", failedLiveness, at(59))), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		// What the program writes itself.
		{"a program that writes as the kubelet", exited(1, "Error", message("Container api failed liveness probe, will be restarted")), verdict{"app_exit", "*", failure, likely}, "", `"cause":"liveness_probe","detail`},
		{"a program that writes as the runtime", exited(1, "Error", message("container init was OOM-killed (memory limit too low?)")), verdict{"app_exit", "*", failure, likely}, "", `"cause":"oom_killed","detail`},
		{"a probe that writes as the kubelet", exited(137, "Error", liveness(execs("check")), event("Unhealthy", `Liveness probe failed: HTTP probe failed with statuscode: 503 connection refused command "x" timed out after 1s`, at(29)), event("Killing", failedLiveness, at(30))),
			verdict{"liveness_probe", "exec", failure, confirmed}, "", ""},
		{"a probe that writes so, and the spec is not known", exited(137, "Error", event("Unhealthy", "Liveness probe failed: probe errored: connection refused", at(29)), event("Killing", failedLiveness, at(30))),
			verdict{"liveness_probe", "exec", failure, confirmed}, "probe errored: connection refused", ""},
		{"a command called as an error", exited(128, "StartError", memory(8), message(runcText+`exec: "container init was OOM-killed": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}, "", `"oom_killed"`},
		// A hook in a container that has ended fails for that.
		{"the hook found the container gone", exited(1, "Error", inLast, func(e *evidence.Evidence) { e.Container.PostStart = &evidence.Hook{Kind: "exec", Target: "warm-up"} },
			waitsFor("PostStartHookError", `Exec lifecycle hook ([warm-up]) for Container "api" in Pod "api-1_shop(u1)" failed - error: rpc error: code = Unknown desc = failed to exec in container: container is in CONTAINER_EXITED state: , message: ""`)),
			verdict{"post_start_hook", "exec", failure, likely}, `"cause":"app_exit"`, ""},
		{"it ended in the second in which the hook failed", exited(1, "Error", event("FailedPostStartHook", "PostStartHook failed", at(60)), event("Killing", "FailedPostStartHook", at(60))), verdict{"post_start_hook", "", failure, likely}, `"cause":"app_exit"`, ""},
		{"it ended in the second in which the hook's command had failed", exited(2, "Error", inLast, event("Killing", "FailedPostStartHook", at(60)),
			waitsFor("PostStartHookError", `Exec lifecycle hook ([/bin/sh -c exit 9]) for Container "api" in Pod "api-1_shop(u1)" failed - error: command '/bin/sh -c exit 9' exited with 9: , message: ""`)), verdict{"post_start_hook", "exec", failure, confirmed}, "", "app_exit"},
		{"it was killed in the second in which the hook failed", exited(137, "Error", event("FailedPostStartHook", "PostStartHook failed", at(60)), event("Killing", "FailedPostStartHook", at(60))), verdict{"post_start_hook", "", failure, confirmed}, "", ""},
		{"a hook of a later instance", exited(1, "Error", noTimes, waitsFor("PostStartHookError", "x"), func(e *evidence.Evidence) { e.Stop = &evidence.Stop{ExitObserved: true} }), verdict{"unknown", "", failure, unknown}, "", ""},
		// A sandbox that was replaced long before.
		{"a sandbox at the start", exited(143, "Error", event("SandboxChanged", sandboxText, at(1)), event("Killing", stopping, at(59))), verdict{"unknown", "", failure, unknown}, "", ""},
		// Limits that cannot be what was reached.
		{"a limit above the node's memory", exited(137, "OOMKilled", memory(65536), allocatable(16384)), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", ""},
		{"a limit below the node's memory", exited(137, "OOMKilled", memory(512), allocatable(16384)), verdict{"oom_killed", "container_limit", failure, confirmed}, "", ""},
		{"a start, as the node's memory ran out", exited(128, "StartError", memory(8), onNode("SystemOOM", "System OOM encountered, victim process: runc, pid: 1", at(60)), message(runcText+"container init was OOM-killed (memory limit too low?): unknown")), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", ""},
		// The kubelet writes why it ended a pod after all of it ended.
		{"a crash before the pod's deadline", exited(1, "Error", noEvents, policyIs("OnFailure"), failedPod("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"), func(e *evidence.Evidence) {
			e.Pod.ActiveDeadlineSeconds, e.Pod.StartedAt = 600, at(-2)
		}), verdict{"unknown", "", failure, unknown}, "", ""},
		{"a crash before a storage eviction, perhaps", exited(1, "Error", noEvents, policyIs("OnFailure"), failedPod("Evicted", `Usage of EmptyDir volume "tmp" exceeds the limit "1Mi". `)), verdict{"storage_limit_eviction", "empty_dir", failure, likely}, "", ""},
		{"an init container that a full node ended", exited(0, "Completed", typeIs(record.Init), policyIs("Always"), failedPod("Evicted", "The node was low on resource: memory. "), event("Killing", stopping, at(59))), verdict{"node_pressure_eviction", "memory", disruption, confirmed}, "", ""},
		{"a sidecar that crashed while the app is restarted", exited(1, "Error", typeIs(record.Sidecar), policyIs("OnFailure"), func(e *evidence.Evidence) {
			e.Pod.AppsFinished = true
			beside(evidence.Container{Name: "app", Type: record.App, Ended: &evidence.Ended{ExitCode: 1, FinishedAt: at(59)}})(e)
		}), verdict{"app_exit", "", failure, likely}, "", ""},
		// Who deleted the pod.
		{"direct, and the namespace was not read", deleted(func(e *evidence.Evidence) { e.Owner = nil }), verdict{"pod_deleted", "direct", lifecycle, likely}, "namespace may have been deleted", ""},
		{"a rollout with the strategy Recreate", deleted(ofDeployment("1", "1", 3), func(e *evidence.Evidence) { e.Owner.Chain[0].Replicas = new(int32) }, ownerSays("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1", at(58))),
			verdict{"pod_deleted", "rollout", lifecycle, likely}, "asks for 3", ""},
		{"a StatefulSet that counts from 5, by hand", deleted(statefulSet(5, 3, "r1", "r1"), numbered("api-6")), verdict{"pod_deleted", "direct", lifecycle, likely}, "", "scale_down"},
		{"a StatefulSet that counts from 5, scaled down", deleted(statefulSet(5, 1, "r1", "r2"), numbered("api-6"), ownerSays("StatefulSet api", "SuccessfulDelete", "delete Pod api-6 in StatefulSet api successful", at(58))), verdict{"pod_deleted", "scale_down", lifecycle, confirmed}, "", ""},
		// A container in a fast loop goes on ending by itself until the kubelet stops it.
		{"a loop, and the taint in the same second", exited(3, "Error", disrupted("DeletionByTaintManager", at(60))), verdict{"taint_eviction", "", disruption, likely}, `"cause":"app_exit"`, ""},
		{"a loop, a second after the request, with events dropped", exited(2, "Error", event("Started", "Container started", at(-600)), disrupted("EvictionByEvictionAPI", at(59))), verdict{"eviction_api", "", disruption, likely}, `"cause":"app_exit"|too many`, ""},
		{"out of memory in the second of the request", exited(137, "OOMKilled", disrupted("EvictionByEvictionAPI", at(60))), verdict{"eviction_api", "", disruption, likely}, `"cause":"oom_killed"`, ""},
		{"it answered SIGTERM with a code of its own", exited(3, "Error", event("Killing", stopping, at(59)), disrupted("DeletionByTaintManager", at(59))), verdict{"taint_eviction", "", disruption, confirmed}, "", "app_exit"},
		{"a liveness kill under way, and then the deletion", exited(137, "Error", event("Killing", failedLiveness, at(35)), event("Killing", stopping, at(50)), deletedAt(at(50))), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		{"a liveness kill under way, and then the drain", exited(143, "Error", event("Killing", failedLiveness, at(35)), disrupted("EvictionByEvictionAPI", at(50))), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		// What was never started was not stopped.
		{"a start that failed during the deletion", exited(128, "StartError", deletedAt(at(40)), message(runcText+`exec: "x": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}, "", ""},
		{"a start that failed during the drain", exited(128, "StartError", disrupted("EvictionByEvictionAPI", at(40)), message(runcText+`exec: "x": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}, "", ""},
		{"out of memory shortly before an eviction, perhaps", exited(137, "OOMKilled", noEvents, failedPod("Evicted", "The node was low on resource: memory. "), disrupted("TerminationByKubelet", at(90))), verdict{"node_pressure_eviction", "memory", disruption, likely}, `"cause":"oom_killed"`, ""},
		{"a taint that the pod tolerates", exited(143, "Error", disrupted("DeletionByTaintManager", at(58)), calm, func(e *evidence.Evidence) {
			e.Node.Taints = []evidence.Taint{{Key: "dedicated", Value: "gpu", Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Effect: "NoExecute"}}
			e.Pod.Tolerations = []evidence.Toleration{{Key: "dedicated", Operator: "Equal", Value: "gpu"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", Seconds: new(int64)}}
		}), verdict{"taint_eviction", "", disruption, confirmed}, "unreachable", "dedicated"},
		{"a kubelet of 1.30 that was just started", exited(143, "Error", onNode("Starting", "Starting kubelet.", at(50)), func(e *evidence.Evidence) { e.Node.KubeletVersion = "v1.30.2" }, event("Killing", "Container api definition changed, will be restarted", at(59))),
			verdict{"definition_changed", "", lifecycle, likely}, "upgraded themselves", ""},
		// A node that was rebooted later.
		{"the runtime was restarted, and the node rebooted later", exited(255, "Unknown", onNode("Rebooted", "Node n1 has been rebooted, boot id: b2", at(800))), verdict{"runtime_restarted", "", disruption, confirmed}, "", "node_reboot"},
	})
}

// TestNoFalseStall holds pods that are as they should be, or have another trouble than
// their texts say.
func TestNoFalseStall(t *testing.T) {
	gate := changed(func(e *evidence.Evidence) {
		e.Pod.Phase, e.Pod.ReadinessGates = "Running", []string{"example.com/lb"}
		e.Pod.Conditions = []evidence.Condition{{Type: "ContainersReady", Status: "True", Time: t0}, {Type: "Ready", Status: "False", Time: t0}}
	})
	newNode := changed(func(e *evidence.Evidence) {
		node("False", "KubeletNotReady", "container runtime network not ready")(e)
		e.Node.CreatedAt = at(-60)
	})
	initRuns := changed(func(e *evidence.Evidence) {
		e.Container = evidence.Container{Name: "migrate", Type: record.Init, State: "running", RunningSince: t0}
	})
	const user = `container has runAsNonRoot and image has non-numeric user (configmap "x" not found), cannot verify user is non-root (pod: "api-1_shop(u1)", container: api)`
	runStalls(t, []stallCase{
		{"a load balancer that has not looked yet", stalling(evidence.Unready, gate, asOfAt(40)), nothing},
		{"a load balancer that does not look", stalling(evidence.Unready, gate, asOfAt(90)), confirmed("readiness_gate", "example.com/lb")},
		{"a new node that is being set up", stalling(evidence.Preparing, newNode, asOfAt(60)), nothing},
		{"a new node that is not set up", stalling(evidence.Preparing, newNode, asOfAt(600)), lost("not_ready", record.Confirmed)},
		{"an init container at work", stalling(evidence.Initializing, initRuns, asOfAt(20)), nothing},
		{"an init container that does not end", stalling(evidence.Initializing, initRuns, asOfAt(300)), confirmed("init_not_finished", "migrate")},
		{"an image of a large layer", stalling(evidence.Preparing, eventOf("api", "Pulling", `Pulling image "registry.example/large"`, at(5)), asOfAt(1500)), nothing},
		{"an image whose user has the name of an error", stalling(evidence.Config, waits("CreateContainerConfigError", user)), confirmed("run_as_non_root", "user_not_numeric")},
		{"a command that has the name of an error", stalling(evidence.Create, waits("CreateContainerError", `container create failed: exec: "exec format error": executable file not found in $PATH`)), confirmed("container_create_failed", "command_not_found")},
		{"an image of which a layer is gone", stalling(evidence.Image, waits("ErrImagePull", `failed to pull and unpack image "registry.example/team/app:2.1": failed to copy: httpReadSeeker: failed open: content at https://registry.example/v2/team/app/blobs/sha256:0 not found: not found`)), confirmed("image_pull_failed", "content_missing")},
		{"a probe that failed before the pod was last ready", stalling(evidence.Unready, unreadied(), warnsOf("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", at(10)),
			pod(evidence.Condition{Type: "Ready", Status: "False", Time: at(500)})), likely("readiness_probe", "")},
		{"a kill that failed before the pod was deleted", stalling(evidence.Terminating, warns("FailedKillPod", "error killing pod: context deadline exceeded", at(10)), changed(func(e *evidence.Evidence) {
			deletedAt(at(300))(e)
			e.Others = []evidence.Container{{Name: "api", Type: record.App, State: "running"}}
		})), likely("terminating_stuck", "containers_running")},
	})
}

// TestWordsConfirmNothing: a program can write what it likes into its termination message,
// its log and the output of a probe's command. None of that may confirm another cause than
// is confirmed without it.
func TestWordsConfirmNothing(t *testing.T) {
	texts := []string{
		failedLiveness, failedStartup, stopping, "FailedPostStartHook", "killing", sandboxText, refusedText, timeoutText,
		runcText + `exec: "/app": stat /app: no such file or directory: unknown`,
		"container init was OOM-killed (memory limit too low?)", "OOMKilled", "exec /app: exec format error", "exec /app: no such file or directory",
		"The node was low on resource: memory. Threshold quantity: 1, available: 0. ", "Pod was terminated in response to imminent node shutdown.",
		"The container could not be located when the pod was terminated", "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
		"Killed", "sh: app: not found", "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:1 +0x1", "\x1b[2J\x00\xff",
	}
	bases := map[string]func() evidence.Evidence{
		"nothing":   func() evidence.Evidence { return exited(0, "Completed") },
		"no events": func() evidence.Evidence { return exited(0, "Completed", noEvents) },
		"killed for the probe": func() evidence.Evidence {
			return exited(0, "Completed", liveness(execs("check")), event("Unhealthy", "Liveness probe failed: sick", at(29)), event("Killing", failedLiveness, at(30)))
		},
		"deleted": func() evidence.Evidence {
			return exited(0, "Completed", deletedAt(at(58)), event("Killing", stopping, at(58)))
		},
		"evicted": func() evidence.Evidence {
			return exited(0, "Completed", failedPod("Evicted", "The node was low on resource: memory. "))
		},
		"replaced": func() evidence.Evidence {
			return exited(0, "Completed", event("SandboxChanged", sandboxText, at(58)), event("Killing", stopping, at(58)))
		},
	}
	for name, base := range bases {
		for _, code := range []int32{0, 1, 2, 126, 127, 128, 137, 139, 143, 255} {
			judged := func(say change) verdict {
				e := base()
				if code != 0 {
					e.Stop.ExitCode, e.Stop.Reason = code, "Error"
				}
				say(&e)
				f := Diagnose(&e)
				return verdictOf(&f)
			}
			silent := judged(func(*evidence.Evidence) {})
			for _, text := range texts {
				for how, say := range map[string]change{
					"message": message(text), "log": says(text),
					"probe": func(e *evidence.Evidence) {
						for i := range e.Events {
							if e.Events[i].Reason == "Unhealthy" {
								e.Events[i].Message = "Liveness probe failed: " + text
							}
						}
					},
				} {
					if got := judged(say); got != silent && (got.Confidence == record.Confirmed || silent.Confidence == record.Confirmed || got.Category != silent.Category) {
						t.Errorf("%s, exit code %d, %s %q: %+v, and without it %+v", name, code, how, text, got, silent)
					}
				}
			}
		}
	}
}
