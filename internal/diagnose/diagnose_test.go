package diagnose

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns a time so many seconds after the instance's start.
func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

// exited is a container that ran for 60 seconds in a plain pod, with its events read.
func exited(code int32, reason string, change ...func(*evidence.Evidence)) evidence.Evidence {
	e := evidence.Evidence{
		Version:    evidence.Version,
		Pod:        evidence.Pod{Namespace: "shop", Name: "api-1", UID: "u1", Phase: "Running", RestartPolicy: "Always", TerminationGraceSeconds: 30},
		Container:  evidence.Container{Name: "api", Type: record.App},
		EventsRead: true,
		Stop: &evidence.Stop{
			Field: "status.containerStatuses[api].state.terminated", ExitObserved: true,
			HasExitCode: true, ExitCode: code, Reason: reason, StartedAt: t0, FinishedAt: at(60),
		},
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

type change = func(*evidence.Evidence)

func event(reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Events = append(e.Events, evidence.Event{Type: "Normal", Reason: reason, Message: message, Container: reason != "SandboxChanged" && reason != "Evicted", First: when, Last: when, Count: 1})
	}
}

func noEvents(e *evidence.Evidence) { e.EventsRead, e.Events = false, nil }

// eventsSince says that older events are forgotten.
func eventsSince(t time.Time) change { return func(e *evidence.Evidence) { e.EventsSince = t } }

// limited gives the container a memory limit.
func limited(e *evidence.Evidence) { e.Container.MemoryLimit = 16 << 20 }

func policyIs(p string) change { return func(e *evidence.Evidence) { e.Pod.RestartPolicy = p } }

func typeIs(t record.ContainerType) change {
	return func(e *evidence.Evidence) { e.Container.Type = t }
}

func message(m string) change { return func(e *evidence.Evidence) { e.Stop.Message = m } }

// rules gives the container a restart rule.
func rules(action, operator string, codes ...int32) change {
	return func(e *evidence.Evidence) {
		e.Container.RestartRules = append(e.Container.RestartRules, evidence.RestartRule{Action: action, Operator: operator, ExitCodes: codes})
	}
}

// deletedAt is a deletion that was asked for at a time, with 30 seconds of grace.
func deletedAt(asked time.Time) change {
	return func(e *evidence.Evidence) {
		e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds = asked.Add(30*time.Second), 30
		if e.Owner == nil {
			e.Owner = &evidence.Owner{} // its namespace was read
		}
	}
}

func disrupted(reason string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Pod.Disruption = &evidence.Condition{Reason: reason, Time: when}
		switch reason {
		case "EvictionByEvictionAPI", "PreemptionByScheduler", "DeletionByTaintManager", "DeletionByDeviceTaintManager":
			if e.Pod.DeletionTimestamp.IsZero() {
				deletedAt(when)(e)
			}
		}
	}
}

func failedPod(reason, message string) change {
	return func(e *evidence.Evidence) {
		e.Pod.Phase, e.Pod.Reason, e.Pod.Message = "Failed", reason, message
	}
}

func TestDiagnose(t *testing.T) {
	const (
		failure, disruption, lifecycle = record.Failure, record.Disruption, record.Lifecycle
		confirmed, likely, unknown     = record.Confirmed, record.Likely, record.Unknown
	)
	for _, tc := range []struct {
		name string
		e    evidence.Evidence
		want verdict
	}{
		// The program's own end.
		{"exit 1", exited(1, "Error"), verdict{"app_exit", "", failure, likely}},
		{"exit 1, events not read", exited(1, "Error", noEvents), verdict{"unknown", "", failure, unknown}},
		{"exit 1, and events go far enough back", exited(1, "Error", eventsSince(at(-3600))), verdict{"app_exit", "", failure, likely}},
		{"exit 1 before the events that are kept", exited(1, "Error", eventsSince(at(3600))), verdict{"unknown", "", failure, unknown}},
		{"exit 1 at the edge of the events that are kept", exited(1, "Error", eventsSince(at(0))), verdict{"unknown", "", failure, unknown}},
		{"exit 0, started again", exited(0, "Completed"), verdict{"app_completed", "", failure, likely}},
		{"exit 0, events not read", exited(0, "Completed", noEvents), verdict{"unknown", "", failure, unknown}},
		{"exit 0 of a job", exited(0, "Completed", policyIs("OnFailure")), verdict{"completed", "", lifecycle, confirmed}},
		{"exit 0 of an init container", exited(0, "Completed", typeIs(record.Init)), verdict{"completed", "", lifecycle, confirmed}},
		{"exit 0 of an ephemeral container", exited(0, "Completed", typeIs(record.Ephemeral)), verdict{"completed", "", lifecycle, confirmed}},
		{"exit 1 of an init container", exited(1, "Error", typeIs(record.Init)), verdict{"app_exit", "", failure, likely}},
		{"segmentation fault", exited(139, "Error"), verdict{"app_signal", "SIGSEGV", failure, likely}},
		{"abort", exited(134, "Error"), verdict{"app_signal", "SIGABRT", failure, likely}},
		{"shell did not find it", exited(127, "Error"), verdict{"command_not_found", "", failure, likely}},
		{"shell could not run it", exited(126, "Error"), verdict{"command_not_executable", "", failure, likely}},
		{"a Windows code", exited(-1073741510, "Error"), verdict{"app_exit", "", failure, likely}},

		// 137 and 143 are not out-of-memory, nor anything else by themselves.
		{"137", exited(137, "Error"), verdict{"sigkill_unattributed", "", failure, unknown}},
		{"137, events not read", exited(137, "Error", noEvents), verdict{"sigkill_unattributed", "", failure, unknown}},
		{"137 before the events that are kept", exited(137, "Error", eventsSince(at(3600))), verdict{"sigkill_unattributed", "", failure, unknown}},
		{"137 beside a memory limit", exited(137, "Error", func(e *evidence.Evidence) { e.Container.MemoryLimit = 1 << 20 }), verdict{"sigkill_unattributed", "", failure, unknown}},
		{"143", exited(143, "Error"), verdict{"sigterm_unattributed", "", failure, unknown}},
		{"137 after a plain stop by the kubelet", exited(137, "Error", event("Killing", "Stopping container api", at(30))), verdict{"unknown", "", failure, unknown}},

		// Out of memory.
		{"OOMKilled", exited(137, "OOMKilled"), verdict{"oom_killed", "level_unknown", failure, confirmed}},
		{"OOMKilled, main ended well", exited(0, "OOMKilled"), verdict{"oom_killed", "child_process", failure, likely}},
		{"OOMKilled init container with exit 0", exited(0, "OOMKilled", typeIs(record.Init)), verdict{"oom_killed", "child_process", failure, confirmed}},
		{"OOMKilled during a deletion", exited(143, "OOMKilled", deletedAt(at(58))), verdict{"pod_deleted", "direct", lifecycle, confirmed}},
		{"OOM before the program began", exited(128, "StartError", limited, message("runc create failed: container init was OOM-killed (memory limit too low?)")), verdict{"oom_killed", "container_limit", failure, confirmed}},

		// The kubelet's kills, whatever the exit code.
		{"liveness, obeyed", exited(0, "Completed", event("Killing", "Container api failed liveness probe, will be restarted", at(59))), verdict{"liveness_probe", "", failure, confirmed}},
		{"liveness, ignored", exited(137, "Error", event("Killing", "Container api failed liveness probe, will be restarted", at(30))), verdict{"liveness_probe", "", failure, confirmed}},
		{"liveness, refused", exited(2, "Error",
			event("Unhealthy", `Liveness probe failed: Get "http://10.0.0.1:80/": dial tcp 10.0.0.1:80: connect: connection refused`, at(58)),
			event("Killing", "Container api failed liveness probe, will be restarted", at(59))), verdict{"liveness_probe", "refused", failure, confirmed}},
		{"the next instance fails its probe in another way within the second", exited(0, "Completed",
			event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 404", at(58)), event("Killing", "Container api failed liveness probe, will be restarted", at(58)),
			event("Unhealthy", `Liveness probe failed: Get "http://10.0.0.9:8080/": dial tcp 10.0.0.9:8080: connect: connection refused`, at(61))), verdict{"liveness_probe", "http_404", failure, confirmed}},
		{"liveness, status", exited(2, "Error",
			event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503", at(58)),
			event("Killing", "Container api failed liveness probe, will be restarted", at(59))), verdict{"liveness_probe", "http_503", failure, confirmed}},
		{"liveness of a sidecar", exited(2, "Error", typeIs(record.Sidecar), event("Killing", "Init container api failed liveness probe", at(59))), verdict{"liveness_probe", "", failure, confirmed}},
		{"readiness does not restart", exited(1, "Error", event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500", at(59))), verdict{"app_exit", "", failure, likely}},
		{"liveness kill of an earlier instance", exited(1, "Error", event("Killing", "Container api failed liveness probe, will be restarted", at(-5))), verdict{"app_exit", "", failure, likely}},
		{"liveness kill of a later instance", exited(1, "Error", event("Killing", "Container api failed liveness probe, will be restarted", at(70))), verdict{"app_exit", "", failure, likely}},
		{"startup", exited(143, "Error", event("Killing", "Container api failed startup probe, will be restarted", at(59))), verdict{"startup_probe", "", failure, confirmed}},
		{"postStart, by its event", exited(137, "Error", event("Killing", "FailedPostStartHook", at(2))), verdict{"post_start_hook", "", failure, confirmed}},
		{"postStart, by its status", exited(137, "Error", noEvents, func(e *evidence.Evidence) { e.Container.WaitingReason = "PostStartHookError" }), verdict{"post_start_hook", "", failure, confirmed}},
		{"definition changed", exited(143, "Error", event("Killing", "Container api definition changed, will be restarted", at(30))), verdict{"definition_changed", "", lifecycle, confirmed}},
		{"resized", exited(143, "Error", event("Killing", "Container api resize requires restart", at(30))), verdict{"resize_restart", "", lifecycle, confirmed}},
		{"sandbox changed", exited(2, "Error", event("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", at(59)), event("Killing", "Stopping container api", at(59))), verdict{"sandbox_changed", "", disruption, confirmed}},
		{"sandbox changed before", exited(2, "Error", event("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", at(-5))), verdict{"app_exit", "", failure, likely}},

		// What the runtime says.
		{"runtime restarted", exited(255, "Unknown"), verdict{"runtime_restarted", "", disruption, confirmed}},
		{"255 of the program", exited(255, "Error"), verdict{"app_exit", "", failure, likely}},
		{"stand-in", exited(137, "ContainerStatusUnknown"), verdict{"status_unknown", "", failure, unknown}},
		{"restart of all containers, an init container", exited(137, "RestartingAllContainers", typeIs(record.Init)), verdict{"restart_all_containers", "", lifecycle, likely}},
		{"restart of all containers", exited(137, "RestartingAllContainers"), verdict{"restart_all_containers", "", lifecycle, confirmed}},
		{"command not found", exited(128, "StartError", message(`exec: "x": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}},
		{"path not found", exited(128, "StartError", message(`exec: "/x": stat /x: no such file or directory: unknown`)), verdict{"command_not_found", "", failure, confirmed}},
		{"not executable", exited(128, "StartError", message(`exec: "/x": permission denied: unknown`)), verdict{"command_not_executable", "", failure, confirmed}},
		{"other start error", exited(128, "StartError", message(`error mounting "/a" to rootfs at "/b": not a directory`)), verdict{"start_error", "mount_failed", failure, confirmed}},
		{"the program chose 128", exited(128, "Error"), verdict{"app_exit", "", failure, likely}},

		// What was done to the pod.
		{"deleted", exited(143, "Error", deletedAt(at(59))), verdict{"pod_deleted", "direct", lifecycle, confirmed}},
		{"deleted in the same second", exited(0, "Completed", deletedAt(at(60)), event("Killing", "Stopping container api", at(60))), verdict{"pod_deleted", "direct", lifecycle, confirmed}},
		{"deleted in the same second, no event", exited(1, "Error", deletedAt(at(60))), verdict{"pod_deleted", "direct", lifecycle, likely}},
		{"deleted in the same second, events not read", exited(1, "Error", deletedAt(at(60)), noEvents), verdict{"pod_deleted", "direct", lifecycle, likely}},
		{"crashed just before the deletion", exited(1, "Error", deletedAt(at(61))), verdict{"app_exit", "", failure, likely}},
		{"failed to start just before the deletion", exited(128, "StartError", deletedAt(at(61)), noEvents), verdict{"start_error", "", failure, confirmed}},
		{"out of memory just before the deletion", exited(137, "OOMKilled", deletedAt(at(61)), noEvents), verdict{"oom_killed", "level_unknown", failure, confirmed}},
		{"the clocks differ", exited(143, "Error", deletedAt(at(61)), event("Killing", "Stopping container api", at(60))), verdict{"pod_deleted", "direct", lifecycle, confirmed}},
		{"probe kill at the deletion", exited(143, "Error", deletedAt(at(60)), event("Killing", "Container api failed liveness probe, will be restarted", at(59))), verdict{"liveness_probe", "", failure, confirmed}},
		{"evicted with exit 0, by the event alone", exited(0, "Completed",
			event("Evicted", `Usage of EmptyDir volume "s" exceeds the limit "20Mi". `, at(58)), event("Killing", "Stopping container api", at(58))), verdict{"storage_limit_eviction", "empty_dir", failure, confirmed}},
		{"deleted, killed at the deadline", exited(137, "Error", deletedAt(at(30))), verdict{"grace_period_exceeded", "direct", lifecycle, confirmed}},
		{"deleted, killed before the deadline", exited(137, "Error", deletedAt(at(50))), verdict{"pod_deleted", "direct", lifecycle, confirmed}},
		{"crashed before the deletion", exited(1, "Error", deletedAt(at(90))), verdict{"app_exit", "", failure, likely}},
		{"gone while running", exited(0, "", func(e *evidence.Evidence) { e.Stop = &evidence.Stop{} }), verdict{"pod_deleted", "direct", lifecycle, likely}},
		{"drained", exited(143, "Error", deletedAt(at(59)), disrupted("EvictionByEvictionAPI", at(59))), verdict{"eviction_api", "", disruption, confirmed}},
		{"drained past the grace", exited(137, "Error", deletedAt(at(30)), disrupted("EvictionByEvictionAPI", at(30))), verdict{"eviction_api", "", disruption, confirmed}},
		{"crashed before the drain", exited(1, "Error", deletedAt(at(95)), disrupted("EvictionByEvictionAPI", at(95))), verdict{"app_exit", "", failure, likely}},
		{"preempted", exited(143, "Error", disrupted("PreemptionByScheduler", at(59))), verdict{"preempted", "", disruption, confirmed}},
		{"tainted", exited(143, "Error", disrupted("DeletionByTaintManager", at(59))), verdict{"taint_eviction", "", disruption, confirmed}},
		{"pod gc", exited(143, "Error", disrupted("DeletionByPodGC", at(59))), verdict{"pod_gc", "", disruption, confirmed}},
		{"node pressure", exited(137, "Error", failedPod("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ")), verdict{"node_pressure_eviction", "memory", disruption, confirmed}},
		{"storage limit", exited(137, "Error", failedPod("Evicted", `Usage of EmptyDir volume "s" exceeds the limit "20Mi". `)), verdict{"storage_limit_eviction", "empty_dir", failure, confirmed}},
		{"shutdown", exited(143, "Error", failedPod("Terminated", "Pod was terminated in response to imminent node shutdown.")), verdict{"node_shutdown", "", disruption, confirmed}},
		{"deadline", exited(143, "Error", policyIs("Never"), failedPod("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")), verdict{"deadline_exceeded", "pod", failure, confirmed}},
		{"failed pod of a job", exited(1, "Error", policyIs("Never"), failedPod("", "")), verdict{"app_exit", "", failure, likely}},
		{"sidecar after the others", exited(137, "Error", policyIs("Never"), typeIs(record.Sidecar), func(e *evidence.Evidence) { e.Pod.AppsFinished = true }), verdict{"sidecar_stopped", "", lifecycle, likely}},
		{"sidecar beside the others", exited(1, "Error", policyIs("Never"), typeIs(record.Sidecar)), verdict{"app_exit", "", failure, likely}},

		// Nothing but a count.
		{"counted", exited(0, "", func(e *evidence.Evidence) { e.Stop = &evidence.Stop{ExitObserved: true} }), verdict{"unknown", "", failure, unknown}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := Diagnose(&tc.e)
			got := verdict{f.Diagnosis.Cause, f.Diagnosis.Detail, f.Category, f.Diagnosis.Confidence}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, f.Diagnosis.Summary)
			}
			check(t, f)
		})
	}
}

// check holds what every finding owes.
func check(t interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
}, f Finding) {
	t.Helper()
	d := &f.Diagnosis
	switch {
	case d.Summary == "":
		t.Error("no summary")
	case d.Confidence == record.Confirmed && len(d.Evidence) == 0:
		t.Errorf("%s is confirmed by nothing", d.Cause)
	case d.Confidence == record.Likely && len(d.Alternatives) == 0 && len(d.Missing) == 0:
		t.Errorf("%s is likely, and no competing explanation is named", d.Cause)
	case d.Confidence == record.Unknown && len(d.Missing) == 0 && len(d.Alternatives) == 0:
		t.Errorf("%s is unknown, and nothing that would settle it is named", d.Cause)
	case f.Category == "":
		t.Error("no category")
	}
}

func TestWillRestart(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		name string
		e    evidence.Evidence
		want *bool
	}{
		{"always", exited(0, "Completed"), &yes},
		{"never", exited(1, "Error", policyIs("Never")), &no},
		{"on failure, failed", exited(1, "Error", policyIs("OnFailure")), &yes},
		{"on failure, done", exited(0, "Completed", policyIs("OnFailure")), &no},
		{"init, done", exited(0, "Completed", typeIs(record.Init)), &no},
		{"init, failed", exited(1, "Error", typeIs(record.Init)), &yes},
		{"init, out of memory with 0", exited(0, "OOMKilled", typeIs(record.Init)), &yes},
		{"sidecar after its job", exited(0, "Completed", typeIs(record.Sidecar), policyIs("Never"), func(e *evidence.Evidence) { e.Pod.AppsFinished = true }), &no},
		{"sidecar of a job", exited(0, "Completed", typeIs(record.Sidecar), policyIs("Never")), &yes},
		{"it was, and the pod has succeeded since", exited(1, "Error", policyIs("OnFailure"), inLast, func(e *evidence.Evidence) {
			e.Pod.Phase, e.Container.State, e.Stop.Ordinal, e.Container.RestartCount = "Succeeded", "terminated", 1, 2
		}), &yes},
		{"it waits, and the pod is being deleted", exited(1, "Error", inLast, deletedAt(at(90)), func(e *evidence.Evidence) {
			e.Container.State, e.Stop.Ordinal, e.Container.RestartCount = "waiting", 2, 2
		}), &no},
		{"being deleted", exited(1, "Error", deletedAt(at(59))), &no},
		{"failed pod", exited(1, "Error", failedPod("Evicted", "")), &no},
		{"ephemeral", exited(1, "Error", typeIs(record.Ephemeral)), &no},
		{"the container's own policy", exited(1, "Error", policyIs("Never"), func(e *evidence.Evidence) { e.Container.RestartPolicy = "OnFailure" }), &yes},
		{"a rule restarts", exited(42, "Error", policyIs("Never"), rules("Restart", "In", 42)), &yes},
		{"a rule restarts all", exited(42, "Error", policyIs("Never"), rules("RestartAllContainers", "In", 42)), &yes},
		{"no rule holds", exited(1, "Error", policyIs("Never"), rules("Restart", "In", 42)), &no},
		{"a rule for all others", exited(1, "Error", policyIs("Never"), rules("Restart", "NotIn", 42)), &yes},
		{"a rule for all others, and this one", exited(42, "Error", policyIs("Never"), rules("Restart", "NotIn", 42)), &no},
		{"no rule holds, and the policy does", exited(1, "Error", policyIs("OnFailure"), rules("Restart", "In", 42)), &yes},
		{"a rule of a later version", exited(1, "Error", policyIs("Never"), func(e *evidence.Evidence) { e.Container.RestartRules = []evidence.RestartRule{{Action: "Restart"}} }), nil},
	} {
		if diff := cmp.Diff(tc.want, Diagnose(&tc.e).WillRestart); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestRejected(t *testing.T) {
	e := exited(0, "", failedPod("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu"))
	e.Stop = nil
	f := Rejected(&e)
	if f.Diagnosis.Cause != "admission_rejected" || f.Diagnosis.Detail != "OutOfcpu" || f.Category != record.Failure {
		t.Errorf("got %+v", f)
	}
	check(t, f)
}

// FuzzDiagnose: any evidence gets an answer, the same one each time, and a probe, an
// eviction or memory is never claimed without a fact that says so.
func FuzzDiagnose(f *testing.F) {
	for _, e := range []evidence.Evidence{exited(1, "Error"), exited(137, "OOMKilled", deletedAt(at(3))), exited(0, "Completed", noEvents)} {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e evidence.Evidence
		if json.Unmarshal(b, &e) != nil || e.Stop == nil {
			t.Skip()
		}
		first, second := Diagnose(&e), Diagnose(&e)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("two answers:\n%s", diff)
		}
		check(t, first)
		if first.Diagnosis.Cause == "oom_killed" && e.Stop.Reason != "OOMKilled" && e.Stop.Reason != "StartError" && e.Stop.Reason != "ContainerCannotRun" {
			t.Fatalf("out of memory without proof: %+v", e.Stop)
		}
	})
}

func BenchmarkDiagnose(b *testing.B) {
	for _, bm := range []struct {
		name string
		e    evidence.Evidence
	}{
		{"probe", exited(137, "Error", liveness(httpGet("GET :8080/healthz")), manyEvents,
			event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503", at(58)),
			event("Killing", "Container api failed liveness probe, will be restarted", at(59)))},
		{"exit", exited(1, "Error", manyEvents, ofDeployment("3", "3", 2), calm)},
		{"panic", exited(2, "Error", manyEvents, ofDeployment("3", "3", 2), calm, says(append(strings.Split(strings.Repeat("level=info msg=served\n", 80), "\n"), "panic: boom", "", "goroutine 1 [running]:", "main.main()", "\t/src/main.go:4 +0x1d", "exit status 2")...))},
		{"oom", exited(137, "OOMKilled", memory(64), manyEvents, calm)},
		{"deleted", exited(143, "Error", manyEvents, deletedAt(at(58)), event("Killing", stopping, at(58)), ofDeployment("1", "2", 3), ownerSays("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1", at(58)))},
		{"sigkill", exited(137, "Error", manyEvents, calm)},
		{"start", exited(128, "StartError", manyEvents, message(runcText+`exec: "/x": stat /x: no such file or directory: unknown`))},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Diagnose(&bm.e)
			}
		})
	}
}

// manyEvents is as much as a pod that restarts often shows.
func manyEvents(e *evidence.Evidence) {
	for i := range 24 {
		e.Events = append(e.Events, evidence.Event{Reason: "Pulled", Message: "Container image already present on machine", Container: true, First: at(i - 600), Last: at(i - 300), Count: 3})
	}
}
