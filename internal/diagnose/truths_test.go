package diagnose

import (
	"fmt"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// verdict is what of a finding is compared.
type verdict struct {
	Cause, Detail string
	Category      record.Category
	Confidence    record.Confidence
}

func verdictOf(f *Finding) verdict {
	d := &f.Diagnosis
	return verdict{d.Cause, d.Detail, f.Category, d.Confidence}
}

// TestTruths holds what makes naive diagnoses wrong. Each case has a number, what is
// found, what the finding's text has to hold, and what it must not.
func TestTruths(t *testing.T) {
	const (
		failure, disruption, lifecycle = record.Failure, record.Disruption, record.Lifecycle
		confirmed, likely, unknown     = record.Confirmed, record.Likely, record.Unknown
	)
	killed := func(text string, when int) change { return event("Killing", text, at(when)) }
	grace := func(seconds int64) change {
		return func(e *evidence.Evidence) { e.Pod.TerminationGraceSeconds = seconds }
	}
	lastWordsOf := func(code int32, lines ...string) evidence.Evidence { return exited(code, "Error", says(lines...)) }
	source := evidence.Container{Name: "worker", Type: record.App,
		RestartRules: []evidence.RestartRule{{Action: "RestartAllContainers", Operator: "In", ExitCodes: []int32{88}}},
		LastEnded:    &evidence.Ended{ExitCode: 88, Reason: "Error", StartedAt: at(0), FinishedAt: at(59)}}

	var list []ruling
	for _, tc := range []struct {
		n     int
		name  string
		e     evidence.Evidence
		want  verdict
		holds string // parts of the finding's JSON, divided by |
		never string // what must not be in it, divided by |
	}{
		// 137 without OOM.
		{1, "a liveness kill that needed SIGKILL", exited(137, "Error", liveness(httpGet("GET :8080/healthz")), event("Unhealthy", timeoutText, at(29)), killed(failedLiveness, 30)),
			verdict{"liveness_probe", "timeout", failure, confirmed}, "did not end on SIGTERM|grace period of 30s|ignores_sigterm|GET :8080/healthz|no answer within 1s", "out of memory|lack of memory"},
		{1, "with the probe's own grace period", exited(137, "Error", liveness(&evidence.Probe{Kind: "httpGet", Target: "GET :8080/", GraceSeconds: 5, PeriodSeconds: 10, FailureThreshold: 3}), killed(failedLiveness, 55)),
			verdict{"liveness_probe", "", failure, confirmed}, "after its grace period of 5s", "30s"},
		{1, "a shell in front", exited(137, "Error", liveness(httpGet("GET :8080/")), runs("/bin/sh", "-c", "server"), killed(failedLiveness, 30)),
			verdict{"liveness_probe", "", failure, confirmed}, "first process is a shell", ""},
		{1, "a liveness kill of a pod that is not restarted", exited(143, "Error", policyIs("Never"), liveness(httpGet("GET :8080/")), event("Unhealthy", timeoutText, at(57)), killed(stopping, 58)),
			verdict{"liveness_probe", "timeout", failure, likely}, "names no probe", ""},
		{1, "the same, and the probe failed long before", exited(143, "Error", policyIs("Never"), liveness(httpGet("GET :8080/")), event("Unhealthy", timeoutText, at(20)), killed(stopping, 58)),
			verdict{"unknown", "", failure, unknown}, "", ""},
		{1, "the same, and the pod is restarted", exited(143, "Error", liveness(httpGet("GET :8080/")), event("Unhealthy", timeoutText, at(57)), killed(stopping, 58)),
			verdict{"unknown", "", failure, unknown}, "", ""},
		{2, "a liveness kill obeyed with 143", exited(143, "Error", killed(failedLiveness, 59)), verdict{"liveness_probe", "", failure, confirmed}, "with exit code 143", "ignores_sigterm"},
		{2, "a liveness kill obeyed with 0", exited(0, "Completed", killed(failedLiveness, 59)), verdict{"liveness_probe", "", failure, confirmed}, "with exit code 0", "app_completed"},
		{3, "a startup kill", exited(137, "Error", startup(httpGet("GET :8080/")), killed(failedStartup, 30)), verdict{"startup_probe", "", failure, confirmed}, "startup probe", ""},
		{3, "its event was dropped, and the lifetimes are alike", exited(137, "Error", startup(httpGet("GET :8080/")), event("Started", "Container started", at(-600)),
			history(timesOf(3, endedBeforehand{"startup_probe", 137, 61})...)), verdict{"startup_probe", "", failure, likely}, "was not kept|the last 3 stops", ""},
		{3, "its event was dropped, and the lifetime is another", exited(137, "Error", startup(httpGet("GET :8080/")), event("Started", "Container started", at(-600)),
			history(timesOf(3, endedBeforehand{"startup_probe", 137, 600})...)), verdict{"sigkill_unattributed", "", failure, unknown}, "startup_probe|too many", ""},
		{4, "preStop took the grace", exited(137, "Error", deletedAt(at(29)), killed(stopping, 29), func(e *evidence.Evidence) {
			e.Container.PreStop = &evidence.Hook{Kind: "exec", Target: "sleep 60"}
		}, event("FailedPreStopHook", "PreStopHook failed", at(59))), verdict{"grace_period_exceeded", "direct", lifecycle, confirmed}, "long_pre_stop|sleep 60|PreStopHook failed", "ignores_sigterm"},
		{4, "preStop took the grace of a liveness kill", exited(137, "Error", grace(3), func(e *evidence.Evidence) {
			e.Container.PreStop = &evidence.Hook{Kind: "exec", Target: "sleep 60"}
		}, killed(failedLiveness, 57)), verdict{"liveness_probe", "", failure, confirmed}, "preStop hook|long_pre_stop", "ignores_sigterm"},
		{5, "a kill of the whole pod", exited(137, "Error", killed(stopping, 58), disrupted("EvictionByEvictionAPI", at(58)), deletedAt(at(58))), verdict{"eviction_api", "", disruption, confirmed}, "", "app_exit"},
		{6, "the node ran out of memory", exited(137, "Error", onNode("SystemOOM", "System OOM encountered, victim process: server, pid: 41", at(59)), runs("/app/server")),
			verdict{"sigkill_unattributed", "", failure, unknown}, "SystemOOM|called server, as is this container's command", `"cause":"oom_killed","detail`},
		{7, "the kernel's log was read", exited(137, "Error", memory(256), onNode("OOMKilling", "Memory cgroup out of memory: Killed process 41 (server) total-vm:1kB", at(59)), runs("/app/server")),
			verdict{"sigkill_unattributed", "", failure, unknown}, "called server, as is this container's command", ""},
		{57, "replicas on other nodes too", exited(1, "Error", neighbours(evidence.Neighbours{SameWorkload: evidence.Crowd{Stops: 3, Pods: 3, Nodes: 3}, SameNode: evidence.Crowd{Pods: 4}})), verdict{"app_exit", "", failure, likely}, "look for what they share", "look at the node first"},
		{57, "others on the same node alone", exited(1, "Error", neighbours(evidence.Neighbours{SameNode: evidence.Crowd{Pods: 4}})), verdict{"app_exit", "", failure, likely}, "look at the node first", "what they share"},
		{6, "the node ran out of memory at another time", exited(137, "Error", onNode("SystemOOM", "System OOM encountered, victim process: server, pid: 41", at(-600))),
			verdict{"sigkill_unattributed", "", failure, unknown}, "", "SystemOOM encountered"},
		{6, "the runtime saw it too, without a limit", exited(137, "OOMKilled", onNode("SystemOOM", "System OOM encountered, victim process: server, pid: 41", at(60))),
			verdict{"oom_killed", "node", failure, confirmed}, "no_memory_limit|whole node", ""},
		{7, "a limit, and no word of the runtime", exited(137, "Error", memory(256), calm), verdict{"sigkill_unattributed", "", failure, unknown}, "may not have noticed that the memory limit of 256Mi|kernel log", ""},
		{8, "a child was killed, and the shell passed it on", exited(137, "Error", says("starting", "Killed")), verdict{"sigkill_unattributed", "", failure, unknown}, "a child of the program may have been killed", ""},
		{8, "a shell's flagged child", exited(137, "OOMKilled", memory(64), calm, runs("bash", "-c", "work")), verdict{"oom_killed", "container_limit", failure, confirmed}, "64Mi", ""},
		{9, "kill -9 from outside", exited(137, "Error", calm), verdict{"sigkill_unattributed", "", failure, unknown}, "from outside of Kubernetes|no Killing event in the instance's lifetime", ""},
		{10, "a stand-in", exited(137, "ContainerStatusUnknown", noTimes), verdict{"status_unknown", "", failure, unknown}, "stand-in", "SIGKILL|out of memory"},
		{10, "a stand-in at a deletion", exited(137, "ContainerStatusUnknown", noTimes, deletedAt(at(0))), verdict{"pod_deleted", "direct", lifecycle, likely}, "stand-in", "SIGKILL|grace_period_exceeded"},
		{10, "a stand-in of a restart of all", exited(137, "RestartingAllContainers", noTimes), verdict{"restart_all_containers", "", lifecycle, confirmed}, "stand-in", "SIGKILL"},
		{11, "the victim of another container's rule", exited(137, "Error", killed("killing", 59), beside(source)), verdict{"restart_all_containers", "", lifecycle, confirmed}, "Container worker ended with exit code 88|lastState.terminated.exitCode", "app_exit"},
		{11, "no rule matches", exited(137, "Error", killed("killing", 59), beside(evidence.Container{Name: "worker", Type: record.App, RestartRules: source.RestartRules, LastEnded: &evidence.Ended{ExitCode: 1, FinishedAt: at(59)}})),
			verdict{"restart_all_containers", "", lifecycle, confirmed}, "container whose rule it was", "Container worker ended"},
		{11, "the source itself", exited(88, "Error", rules("RestartAllContainers", "In", 88)), verdict{"app_exit", "", failure, likely}, "", "restart_all_containers"},
		{12, "a hard eviction", exited(137, "Error", killed(stopping, 58), event("Evicted", "The node was low on resource: memory. ", at(58)), failedPod("Evicted", "The node was low on resource: memory. ")),
			verdict{"node_pressure_eviction", "memory", disruption, confirmed}, "low on memory", "oom_killed"},

		// OOM subtleties.
		{13, "a child was killed, and then a drain", exited(143, "OOMKilled", disrupted("EvictionByEvictionAPI", at(58)), killed(stopping, 58), deletedAt(at(58))), verdict{"eviction_api", "", disruption, confirmed}, "OOMKilled", ""},
		{13, "a child was killed, and then the probe failed", exited(1, "OOMKilled", killed(failedLiveness, 59)), verdict{"liveness_probe", "", failure, confirmed}, `"cause":"oom_killed","why"`, ""},
		{13, "a child was killed, and the program went on to exit", exited(1, "OOMKilled", memory(64)), verdict{"oom_killed", "child_process", failure, likely}, "app_exit|64Mi|exit code 1", "reached its memory limit"},
		{14, "no limit of the container, one of the pod", exited(137, "OOMKilled", podMemoryLimit(48), calm), verdict{"oom_killed", "pod_limit", failure, confirmed}, "48Mi", "no_memory_limit|reached its memory limit"},
		{14, "no limit at all", exited(137, "OOMKilled", calm), verdict{"oom_killed", "level_unknown", failure, confirmed}, "no_memory_limit|node events", "reached its memory limit"},
		{14, "a limit, and nothing known of the node", exited(137, "OOMKilled", memory(64)), verdict{"oom_killed", "level_unknown", failure, confirmed}, "container_limit: |node: ", "reached its memory limit of 64Mi;"},
		{14, "a limit, and a calm node", exited(137, "OOMKilled", memory(64), calm, ranFor(192)), verdict{"oom_killed", "container_limit", failure, confirmed}, "after 3m12s|its memory limit of 64Mi|no SystemOOM", ""},
		{14, "a limit, and the node out of memory too", exited(137, "OOMKilled", memory(64), onNode("SystemOOM", "System OOM encountered, victim process: x, pid: 1", at(58))), verdict{"oom_killed", "level_unknown", failure, confirmed}, "SystemOOM", ""},
		{15, "a limit of the pod that is below those of the containers", exited(137, "OOMKilled", memory(64), podMemoryLimit(80), calm, beside(evidence.Container{Name: "mesh", Type: record.Sidecar, MemoryLimit: 64 << 20})),
			verdict{"oom_killed", "level_unknown", failure, confirmed}, "pod_limit: ", ""},
		{15, "a limit of the pod that cannot have been reached first", exited(137, "OOMKilled", memory(64), podMemoryLimit(128), calm, beside(evidence.Container{Name: "mesh", Type: record.Sidecar, MemoryLimit: 64 << 20})),
			verdict{"oom_killed", "container_limit", failure, confirmed}, "64Mi", ""},
		{17, "the probe's command was the victim, and the event was dropped", exited(143, "OOMKilled", memory(32), liveness(execs("check")), event("Started", "Container started", at(-600)),
			history(timesOf(3, endedBeforehand{"liveness_probe", 143, 61})...)), verdict{"liveness_probe", "", failure, likely}, `the last 3 stops|"cause":"oom_killed","why"`, ""},
		{17, "the same, and nothing was killed for the probe before", exited(143, "OOMKilled", memory(32), liveness(execs("check")), event("Started", "Container started", at(-600))),
			verdict{"oom_killed", "child_process", failure, likely}, `"cause":"liveness_probe","why"|too many`, ""},
		{17, "the probe's command was the victim", exited(137, "OOMKilled", memory(32), liveness(execs("check")), event("Unhealthy", "Liveness probe failed: command \"check\" failed: possibly OOM-killed", at(28)), killed(failedLiveness, 30)),
			verdict{"liveness_probe", "exec", failure, confirmed}, "exec_probe_memory|32Mi|root of this", ""},
		{18, "a JVM's heap", lastWordsOf(1, `Exception in thread "main" java.lang.OutOfMemoryError: Java heap space`, "\tat shop.Cart.load(Cart.java:41)"), verdict{"app_exit", "heap_exhausted", failure, likely}, "heap_limit|-Xmx", `"cause":"oom_killed","detail`},
		{18, "a Node.js heap", exited(134, "Error", memory(512), says("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory")), verdict{"app_signal", "SIGABRT", failure, likely}, "heap_limit|own heap", `"oom_killed","detail`},
		{19, "no memory to start at all", exited(128, "StartError", memory(4), message(runcText+"container init was OOM-killed (memory limit too low?): unknown")), verdict{"oom_killed", "container_limit", failure, confirmed}, "4Mi|limit_too_low", "command_not_found"},
		{20, "relabelled", exited(137, "OOMKilled", memory(64), calm, history(endedBeforehand{"oom_killed", 137, 60})), verdict{"oom_killed", "container_limit", failure, confirmed}, "", "sigkill_unattributed"},

		// Exit 0.
		{21, "a loop of exit 0", exited(0, "Completed", history(timesOf(2, endedBeforehand{"app_completed", 0, 1})...)), verdict{"app_completed", "", failure, likely}, "exit_zero_loop|3 times in a row", "crash"},
		{22, "an init container", exited(0, "Completed", typeIs(record.Init)), verdict{"completed", "", lifecycle, confirmed}, "", ""},
		{22, "an init container that was stopped with its pod", exited(0, "Completed", typeIs(record.Init), deletedAt(at(58)), killed(stopping, 58)), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", ""},
		{22, "an init container that ended when its pod was deleted", exited(0, "Completed", typeIs(record.Init), deletedAt(at(58))), verdict{"completed", "", lifecycle, likely}, "pod_deleted", ""},
		{22, "an init container that ended before its pod was deleted", exited(0, "Completed", typeIs(record.Init), deletedAt(at(600))), verdict{"completed", "", lifecycle, confirmed}, "", "pod_deleted"},
		{22, "an init container that the kubelet takes for failed", exited(0, "OOMKilled", typeIs(record.Init)), verdict{"oom_killed", "child_process", failure, confirmed}, "takes the init container for failed", ""},
		{22, "a made-up end", exited(0, "Completed", typeIs(record.Init), noTimes, message("Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally")), verdict{"completed", "", lifecycle, likely}, "made it up", ""},
		{23, "a main container of a pod whose sidecar goes on", exited(0, "Completed", policyIs("Never"), beside(evidence.Container{Name: "mesh", Type: record.App, State: "running"})), verdict{"completed", "", lifecycle, confirmed}, "", ""},
		{24, "a lost lease, with 1", lastWordsOf(1, "E0708 12:00:01.000000       1 leaderelection.go:436] error retrieving resource lock", "F0708 12:00:02.000000       1 main.go:90] leaderelection lost"), verdict{"app_exit", "leader_election_lost", failure, likely}, "API server", ""},
		{24, "a lost lease, with 0", lastWordsOf(0, "I0708 12:00:01.000000       1 leaderelection.go:285] failed to renew lease kube-system/x: timed out waiting for the condition", "leader election lost"), verdict{"app_completed", "leader_election_lost", failure, likely}, "leader election", "exit_zero_loop"},

		// 255, 128, 127, 126.
		{25, "the runtime restarted", exited(255, "Unknown", neighbours(evidence.Neighbours{SameNode: evidence.Crowd{Stops: 4, Pods: 3, SameInstant: 4}})), verdict{"runtime_restarted", "", disruption, confirmed}, "when the runtime noticed|same second", "app_exit"},
		{25, "the node was rebooted", exited(255, "Unknown", onNode("Rebooted", "Node n1 has been rebooted, boot id: b2", at(65))), verdict{"runtime_restarted", "node_reboot", disruption, confirmed}, "boot id: b2", ""},
		{25, "the node was rebooted, by its boot id", exited(255, "Unknown", boot("b0")), verdict{"runtime_restarted", "node_reboot", disruption, confirmed}, "b1, before it was b0", ""},
		{25, "the same boot id", exited(255, "Unknown", boot("b1")), verdict{"runtime_restarted", "", disruption, confirmed}, "", "node_reboot"},
		{25, "a reboot before the instance began", exited(255, "Unknown", onNode("Rebooted", "Node n1 has been rebooted, boot id: b2", at(-65))), verdict{"runtime_restarted", "", disruption, confirmed}, "", "node_reboot"},
		{26, "klog.Fatal", lastWordsOf(255, "F0708 12:00:02.000000       1 main.go:90] unable to load the configuration", "goroutine 1 [running]:"), verdict{"app_exit", "*", failure, likely}, "", "exec_format_error|runtime_restarted"},
		{26, "another architecture", exited(255, "Error", says("exec /app: exec format error"), calm), verdict{"exec_format_error", "", failure, likely}, "linux/amd64|/app", ""},
		{26, "another architecture, whose log it is nobody knows", exited(255, "Error", probably("exec /app: exec format error")), verdict{"exec_format_error", "", failure, likely}, "proof whose log it is", ""},
		{26, "another architecture, and nothing else is known", exited(255, "Error", probably("exec /app: exec format error"), noEvents), verdict{"unknown", "", failure, unknown}, "", `"cause":"exec_format_error"`},
		{26, "an older runc", exited(1, "Error", says("standard_init_linux.go:228: exec user process caused: exec format error")), verdict{"exec_format_error", "", failure, likely}, "", ""},
		{26, "a program that mentions it", exited(255, "Error", says("one", "two", "three", "four", "exec /app: exec format error")), verdict{"app_exit", "*", failure, likely}, "", `"cause":"exec_format_error"`},
		{27, "the epoch is no time", exited(128, "StartError", func(e *evidence.Evidence) { e.Stop.StartedAt = time.Time{} }, message(runcText+`exec: "x": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}, "never started", "1970|0001|after 4"},
		{28, "docker says the same", exited(127, "ContainerCannotRun", message(`OCI runtime create failed: exec: "x": executable file not found in $PATH: unknown`)), verdict{"command_not_found", "", failure, confirmed}, "", ""},
		{28, "crun says the same", exited(128, "StartError", message("executable file `xyz` not found in $PATH: No such file or directory")), verdict{"command_not_found", "", failure, confirmed}, "xyz", ""},
		{29, "a shell did not find it", exited(127, "Error", says("sh: no-such-program: not found")), verdict{"command_not_found", "", failure, likely}, "no-such-program", "StartError"},
		{29, "a library is missing", exited(127, "Error", says("/app: error while loading shared libraries: libssl.so.3: cannot open shared object file: No such file or directory")), verdict{"command_not_found", "missing_library", failure, likely}, "libssl.so.3", ""},

		// Identity and gaps.
		{30, "an init container's own end", exited(1, "Error", typeIs(record.Init), func(e *evidence.Evidence) { e.Stop.Field = "status.initContainerStatuses[api].lastState.terminated" }), verdict{"app_exit", "", failure, likely}, "initContainerStatuses", ""},
		{31, "an init container that ran again", exited(0, "Completed", typeIs(record.Init), event("SandboxChanged", sandboxText, at(-10))), verdict{"completed", "", lifecycle, confirmed}, "", "sandbox_changed"},
		{32, "a sidecar's probe", exited(143, "Error", typeIs(record.Sidecar), killed("Init container api failed liveness probe", 59)), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		{33, "only counted", func() evidence.Evidence {
			e := exited(0, "")
			e.Stop = &evidence.Stop{ExitObserved: true}
			return e
		}(), verdict{"unknown", "", failure, unknown}, "terminated state", "app_exit"},
		{36, "a kill of an earlier pod's instance", exited(1, "Error", killed(failedLiveness, -30)), verdict{"app_exit", "", failure, likely}, "", `"cause":"liveness_probe","detail`},
		{37, "another instance's log proves nothing", exited(2, "Error", noEvents, probably("panic: boom", "", "goroutine 1 [running]:", "main.main()", "\t/src/main.go:4 +0x1d", "exit status 2")), verdict{"unknown", "", failure, unknown}, "", ""},
		{37, "its own log does", exited(2, "Error", noEvents, says("panic: boom", "", "goroutine 1 [running]:", "main.main()", "\t/src/main.go:4 +0x1d", "exit status 2")), verdict{"app_exit", "panic", failure, likely}, "panic: boom|events of the pod", ""},
		{38, "a changed image", exited(143, "Error", killed("Container api definition changed, will be restarted", 30)), verdict{"definition_changed", "", lifecycle, confirmed}, "", ""},
		{38, "a resize", exited(143, "Error", killed("Container api resize requires restart", 30)), verdict{"resize_restart", "", lifecycle, confirmed}, "", ""},
		{40, "deleted while it crashes again and again", exited(137, "Error", deletedAt(at(58)), killed(stopping, 58), history(timesOf(3, endedBeforehand{"app_exit", 1, 1})...)), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "sigkill"},
		{41, "deaths come late", exited(1, "Error", eventsSince(at(3600))), verdict{"unknown", "", failure, unknown}, "older than the API keeps events", ""},
		{42, "two clocks", exited(143, "Error", deletedAt(at(61)), killed(stopping, 60)), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", ""},
		{52, "evicted", exited(137, "Error", killed(stopping, 58), failedPod("Evicted", "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 512Mi. Container api was using 3Gi, request is 0, has larger consumption of ephemeral-storage. ")),
			verdict{"node_pressure_eviction", "ephemeral-storage", disruption, confirmed}, "512Mi available, the threshold is 1Gi", "storage_limit"},

		// Probes.
		{54, "refused right after the start, again", exited(143, "Error", ranFor(31), liveness(httpGet("GET :8080/healthz")), history(endedBeforehand{"liveness_probe", 143, 31}), event("Unhealthy", refusedText, at(59)), killed(failedLiveness, 59)),
			verdict{"liveness_probe", "refused", failure, confirmed}, "no_startup_probe", ""},
		{54, "refused after hours", exited(143, "Error", ranFor(7200), liveness(httpGet("GET :8080/healthz")), history(endedBeforehand{"liveness_probe", 143, 7000}), event("Unhealthy", refusedText, at(59)), killed(failedLiveness, 59)),
			verdict{"liveness_probe", "refused", failure, confirmed}, "nothing listens", "no_startup_probe"},
		{55, "timeouts on the whole node", exited(143, "Error", liveness(httpGet("GET :8080/healthz")), neighbours(evidence.Neighbours{SameNode: evidence.Crowd{Stops: 9, Pods: 5, Nodes: 1}}), event("Unhealthy", timeoutText, at(59)), killed(failedLiveness, 59)),
			verdict{"liveness_probe", "timeout", failure, confirmed}, "node_overloaded|short_timeout", ""},
		{56, "all replicas at once", exited(143, "Error", liveness(httpGet("GET :8080/healthz")), neighbours(evidence.Neighbours{SameWorkload: evidence.Crowd{Stops: 4, Pods: 4, Nodes: 3}}),
			event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503", at(59)), killed(failedLiveness, 59)), verdict{"liveness_probe", "http_503", failure, confirmed}, "liveness_checks_dependency", ""},
		{58, "a crash of the newest revision", exited(1, "Error", ofDeployment("7", "7", 3)), verdict{"app_exit", "", failure, likely}, "rollout undo deployment/api|--revision=7", ""},
		{58, "a crash of an older revision", exited(1, "Error", ofDeployment("6", "7", 3)), verdict{"app_exit", "", failure, likely}, "", "rollout undo"},
	} {
		list = append(list, ruling{fmt.Sprintf("%d %s", tc.n, tc.name), tc.e, tc.want, tc.holds, tc.never})
	}
	runRulings(t, list)
}
