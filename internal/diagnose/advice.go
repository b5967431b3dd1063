package diagnose

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file gives advice: what the evidence shows to be set up so that this end was to be
// expected, or others are. Each piece rests on evidence of its own, and none is general.

// freshPod is how long a pod counts as new.
const freshPod = time.Hour

// advise returns the advice that follows from the evidence.
func advise(e *evidence.Evidence, d *record.Diagnosis) []record.Advice {
	var out []record.Advice
	for _, f := range []func(*evidence.Evidence, *record.Diagnosis) *record.Advice{
		noStartupProbe, sharedProbe, shortTimeout, dependencyProbe, overloadedNode, probeMemory,
		ignoresSigterm, longPreStop,
		noMemoryLimit, limitTooLow, memoryFillsAgain, heapLimit,
		exitZeroLoop,
	} {
		if a := f(e, d); a != nil {
			out = append(out, *a)
		}
	}
	return out
}

// killedAt is when the kubelet began to kill for a probe, and how long that was after the start.
func killedAt(e *evidence.Evidence) (time.Duration, *occurrence) {
	k := killing(e)
	if k == nil || e.Stop.StartedAt.IsZero() {
		return 0, nil
	}
	return k.at.Sub(e.Stop.StartedAt), k
}

// earlier counts the newest earlier stops with this cause.
func earlier(e *evidence.Evidence, cause string) int {
	if e.History == nil {
		return 0
	}
	n := 0
	for i := len(e.History.Causes) - 1; i >= 0 && e.History.Causes[i] == cause; i-- {
		n++
	}
	return n
}

// noStartupProbe: the liveness probe kills the container before it ever answered.
func noStartupProbe(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	p := e.Container.Liveness
	if d.Cause != "liveness_probe" || p == nil || e.Container.Startup != nil || d.Detail != "refused" && d.Detail != "timeout" {
		return nil
	}
	after, k := killedAt(e)
	if k == nil || after > killAfter(p)+seconds(p.PeriodSeconds)+seconds(p.TimeoutSeconds)+skew {
		return nil
	}
	if earlier(e, "liveness_probe") == 0 && e.Container.RestartCount < 2 {
		return nil
	}
	return &record.Advice{
		Code: "no_startup_probe",
		Text: fmt.Sprintf("The liveness probe kills the container %s after its start, before it ever answered: if it only needs longer to start, give it a startup probe.", span(after)),
		Evidence: []record.Evidence{
			eventEvidence(e, k), containerEvidence(e, "livenessProbe", probeText(p)), containerEvidence(e, "startupProbe", "none"),
		},
	}
}

// sharedProbe: liveness and readiness ask the same, so whatever makes the program unready kills it.
func sharedProbe(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	l, r := e.Container.Liveness, e.Container.Readiness
	if d.Cause != "liveness_probe" || l == nil || r == nil || l.Kind != r.Kind || l.Target != r.Target || l.Target == "" || d.Detail == "refused" {
		return nil
	}
	return &record.Advice{
		Code: "probe_shared",
		Text: fmt.Sprintf("Liveness and readiness probe both ask %s: what should only take the container out of service for a while kills it. Let liveness ask something that needs nothing else.", target(l)),
		Evidence: []record.Evidence{
			containerEvidence(e, "livenessProbe", probeText(l)), containerEvidence(e, "readinessProbe", probeText(r)),
		},
	}
}

// shortTimeout: one second is the default, and a busy program misses it.
func shortTimeout(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	name, p := "livenessProbe", e.Container.Liveness
	if d.Cause == "startup_probe" {
		name, p = "startupProbe", e.Container.Startup
	}
	if d.Cause != "liveness_probe" && d.Cause != "startup_probe" || d.Detail != "timeout" || p == nil || p.TimeoutSeconds != 1 {
		return nil
	}
	return &record.Advice{
		Code:     "short_timeout",
		Text:     "The probe gives the program one second to answer, which is the default; it did not answer in time.",
		Evidence: []record.Evidence{containerEvidence(e, name+".timeoutSeconds", strconv.Itoa(int(p.TimeoutSeconds)))},
	}
}

// dependencyProbe: the probe fails in several pods of the workload at once, on several nodes.
func dependencyProbe(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	n := e.Neighbours
	if d.Cause != "liveness_probe" || n == nil || n.SameWorkload.Pods < 2 || n.SameWorkload.Nodes < 2 || !strings.HasPrefix(d.Detail, "http_5") && d.Detail != "timeout" {
		return nil
	}
	return &record.Advice{
		Code:     "liveness_checks_dependency",
		Text:     "Other pods of the workload stopped at the same time, on other nodes: if the probe asks something that all depend on, a failure there kills all of them, and mends nothing.",
		Evidence: []record.Evidence{historyEvidence(e, fmt.Sprintf("pods of the workload with stops within %d s", n.Seconds), strconv.Itoa(n.SameWorkload.Pods))},
	}
}

// overloadedNode: many pods of one node fail their probes by timeout.
func overloadedNode(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	n := e.Neighbours
	if d.Cause != "liveness_probe" && d.Cause != "startup_probe" || d.Detail != "timeout" || n == nil || n.SameNode.Pods < 3 || n.SameNode.Pods <= n.SameWorkload.Pods {
		return nil
	}
	return &record.Advice{
		Code:     "node_overloaded",
		Text:     "Containers of other pods on the same node stopped at the same time: the node may lack processor time or disk speed, and the probes are its victims.",
		Evidence: []record.Evidence{historyEvidence(e, fmt.Sprintf("pods of the node with stops within %d s", n.Seconds), strconv.Itoa(n.SameNode.Pods))},
	}
}

// probeMemory: the command of an exec probe is killed within the container's memory.
func probeMemory(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	if d.Cause != "liveness_probe" && d.Cause != "startup_probe" {
		return nil
	}
	for i := range d.Alternatives {
		if d.Alternatives[i].Cause == "oom_killed" && d.Detail == "exec" {
			a := &record.Advice{Code: "exec_probe_memory", Text: "The probe's command runs within the memory of the container and was probably killed there: the limit may be too low for both."}
			if e.Container.MemoryLimit > 0 {
				a.Evidence = append(a.Evidence, limitEvidence(e))
			}
			a.Evidence = append(a.Evidence, d.Evidence...)
			return a
		}
	}
	return nil
}

// isShell tells a command whose first process, a shell, does not pass on signals.
func isShell(command []string) bool {
	if len(command) == 0 {
		return false
	}
	switch path.Base(command[0]) {
	case "sh", "bash", "ash", "dash":
		return true
	}
	return false
}

// ignoresSigterm: the container had to be killed at the end of its grace period.
func ignoresSigterm(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	if e.Container.PreStop != nil || e.Stop.ExitCode != 137 || !e.Stop.HasExitCode {
		return nil
	}
	a := &record.Advice{Code: "ignores_sigterm", Text: "The program does not end on SIGTERM and is killed at the end of the grace period: each stop takes that long, and it cannot finish its work."}
	grace, exceeded := graceExceeded(e)
	if d.Cause == "liveness_probe" || d.Cause == "startup_probe" {
		_, k := killedAt(e)
		grace = probeGrace(e, d.Cause)
		if k == nil || grace <= 0 || e.Stop.FinishedAt.Sub(k.at) < grace-2*time.Second {
			return nil
		}
		a.Evidence = append(a.Evidence, eventEvidence(e, k))
		exceeded = true
	}
	if !exceeded || grace <= 2*time.Second {
		return nil
	}
	a.Evidence = append(a.Evidence, exitEvidence(e)...)
	if isShell(e.Container.Command) {
		a.Text = "The container's first process is a shell, which does not pass SIGTERM on: it is killed at the end of the grace period. Start the program with exec, or let it handle the signal."
		a.Evidence = append(a.Evidence, containerEvidence(e, "command", fmt.Sprintf("%q", e.Container.Command)))
	}
	return a
}

// probeGrace is the grace period of a kill for a probe.
func probeGrace(e *evidence.Evidence, cause string) time.Duration {
	p := e.Container.Liveness
	if cause == "startup_probe" {
		p = e.Container.Startup
	}
	if p != nil && p.GraceSeconds > 0 {
		return seconds(p.GraceSeconds)
	}
	return seconds(e.Pod.TerminationGraceSeconds)
}

// longPreStop: the hook took the grace period, and left the program none.
func longPreStop(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	h := e.Container.PreStop
	if _, exceeded := graceExceeded(e); h == nil || !exceeded && !strings.Contains(d.Summary, "its preStop hook") {
		return nil
	}
	a := &record.Advice{
		Code:     "long_pre_stop",
		Text:     "The preStop hook counts towards the grace period, and the program was killed at its end: shorten the hook, or lengthen terminationGracePeriodSeconds.",
		Evidence: []record.Evidence{containerEvidence(e, "lifecycle.preStop", strings.TrimSpace(h.Kind+" "+h.Target)), specEvidence(e, "spec.terminationGracePeriodSeconds", strconv.FormatInt(e.Pod.TerminationGraceSeconds, 10))},
	}
	if f := lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "FailedPreStopHook" && ev.Container }); f != nil {
		a.Evidence = append(a.Evidence, eventEvidence(e, f))
	}
	return a
}

// noMemoryLimit: a container without a limit takes what the node has.
func noMemoryLimit(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	if d.Cause != "oom_killed" || e.Container.MemoryLimit > 0 || podMemory(e) > 0 || !podKnown(e) {
		return nil
	}
	return &record.Advice{
		Code:     "no_memory_limit",
		Text:     "The container has no memory limit: it takes what the node has, and then the kernel chooses what to kill.",
		Evidence: []record.Evidence{containerEvidence(e, "resources.limits.memory", "none")},
	}
}

// limitTooLow: the container runs out of memory each time it starts.
func limitTooLow(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	if d.Cause != "oom_killed" || e.Container.MemoryLimit == 0 || d.Detail != "container_limit" {
		return nil
	}
	const start = 15 * time.Second
	a := &record.Advice{Code: "limit_too_low", Evidence: []record.Evidence{limitEvidence(e)}}
	if e.Stop.Reason == "StartError" {
		a.Text = fmt.Sprintf("The memory limit of %s is too low for the container to start.", size(e.Container.MemoryLimit))
		return a
	}
	lived, known := ran(e)
	n := earlier(e, "oom_killed")
	if !known || lived > start || n == 0 || len(e.History.RanSeconds) < n {
		return nil
	}
	for _, r := range e.History.RanSeconds[len(e.History.RanSeconds)-n:] {
		if seconds(r) > start {
			return nil
		}
	}
	a.Text = fmt.Sprintf("The container has run out of memory %d times in a row within %s of its start: the limit of %s is too low for what it loads then.", n+1, span(start), size(e.Container.MemoryLimit))
	a.Evidence = append(a.Evidence, historyEvidence(e, "stops in a row with this cause", strconv.Itoa(n+1)))
	return a
}

// heapLimit: the program ended at a limit of its own, which the container's does not move.
func heapLimit(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	if d.Cause != "app_exit" && d.Cause != "app_signal" || d.Cause == "app_exit" && d.Detail != "heap_exhausted" {
		return nil
	}
	w := lastWords(e)
	if w == nil || w.class != "heap_exhausted" {
		return nil
	}
	return &record.Advice{
		Code:     "heap_limit",
		Text:     "The program's own heap limit was reached, not the container's: raising the memory limit alone does not help where a flag such as -Xmx or --max-old-space-size is set.",
		Evidence: []record.Evidence{w.evidence},
	}
}

// exitZeroLoop: a program that ends with success again and again is not a service.
func exitZeroLoop(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	n := earlier(e, "app_completed")
	if d.Cause != "app_completed" || d.Detail != "" || n == 0 {
		return nil
	}
	return &record.Advice{
		Code: "exit_zero_loop",
		Text: fmt.Sprintf("The program has ended with exit code 0 %d times in a row: it is not a service. Let it stay in the foreground, or run it as a Job.", n+1),
		Evidence: []record.Evidence{
			specEvidence(e, "spec.restartPolicy", e.Pod.RestartPolicy), historyEvidence(e, "stops in a row with this cause", strconv.Itoa(n+1)),
		},
	}
}
