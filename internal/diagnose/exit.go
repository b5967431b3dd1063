package diagnose

import (
	"fmt"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the exit code, asked last, since it says how a process ended and
// rarely why. Codes of 128+n stand for signal n by convention only.

// initCompleted: an init container that did its work.
func initCompleted(e *evidence.Evidence) *answer {
	if e.Container.Type != record.Init || !e.Stop.HasExitCode || e.Stop.ExitCode != 0 || e.Stop.Reason == "OOMKilled" {
		return nil
	}
	return completed(e, "The init container finished its work.")
}

// exitZero: the program ended itself, with success.
func exitZero(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode || s.ExitCode != 0 {
		return nil
	}
	if e.Container.Type == record.Ephemeral || e.Container.Type == record.App && (policy(e) == "Never" || policy(e) == "OnFailure") {
		return completed(e, "The container finished its work.")
	}
	if !ownEnd(e) {
		return undecided(e)
	}
	return &answer{
		category:   record.Failure,
		cause:      "app_completed",
		confidence: record.Likely,
		summary:    "The program ended itself with exit code 0, and its restart policy starts it again.",
		evidence:   exitEvidence(e),
		ruledOut:   notKilled(),
		alternatives: []record.Alternative{
			{Cause: "unknown", Why: "somebody outside of Kubernetes may have asked it to end; events can also be lost"},
		},
	}
}

func completed(e *evidence.Evidence, summary string) *answer {
	return &answer{category: record.Lifecycle, cause: "completed", confidence: record.Confirmed, summary: summary, evidence: exitEvidence(e)}
}

// exitSignal: the exit code stands for a signal.
func exitSignal(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode {
		return nil
	}
	switch s.ExitCode {
	case 137, 143:
		return signalled(e)
	case 132, 133, 134, 135, 136, 139, 159:
		return &answer{
			category:     record.Failure,
			cause:        "app_signal",
			detail:       record.Signal(s.ExitCode),
			confidence:   record.Likely,
			summary:      fmt.Sprintf("The program was ended by %s (exit code %d), a fault of its own by the kernel's judgement.", record.Signal(s.ExitCode), s.ExitCode),
			evidence:     exitEvidence(e),
			alternatives: []record.Alternative{{Cause: "app_exit", Why: "the program may have chosen this exit code itself"}},
		}
	}
	return nil
}

// signalled: SIGKILL or SIGTERM, and nothing that explains it.
func signalled(e *evidence.Evidence) *answer {
	if k := killing(e); k != nil {
		return undecided(e)
	}
	a := &answer{category: record.Failure, confidence: record.Unknown, evidence: exitEvidence(e)}
	if e.Stop.ExitCode == 137 {
		a.cause = "sigkill_unattributed"
		a.summary = "The container ended with exit code 137 (SIGKILL by convention), and nothing in the API says who sent it."
		a.alternatives = []record.Alternative{
			{Cause: "oom_killed", Why: "the node's memory ran out, or the runtime did not notice that a limit was hit"},
			{Cause: "app_exit", Why: "the program may have chosen the code 137 itself, or passed on that of a child"},
			{Cause: "unknown", Why: "somebody may have killed it from outside of Kubernetes"},
		}
	} else {
		a.cause = "sigterm_unattributed"
		a.summary = "The container ended with exit code 143 (SIGTERM by convention), and nothing in the API says who sent it."
		a.alternatives = []record.Alternative{
			{Cause: "app_exit", Why: "the program may have chosen the code 143 itself, or passed on that of a child"},
			{Cause: "unknown", Why: "somebody may have stopped it from outside of Kubernetes"},
		}
	}
	if covered(e) {
		a.ruledOut = notKilled()
		return a
	}
	a.alternatives = append(append(a.alternatives, probes(e)...), unseenKills()...)
	a.missing = []record.Missing{eventsMissing(e)}
	return a
}

// exitCode: any other code.
func exitCode(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode {
		return nil
	}
	a := &answer{
		category:     record.Failure,
		confidence:   record.Likely,
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{{Cause: "app_exit", Why: "the program may have chosen this exit code itself"}},
	}
	switch s.ExitCode {
	case 126:
		a.cause = "command_not_executable"
		a.summary = "The container ended with exit code 126, by which a shell says that a command could not be executed."
		return a
	case 127:
		a.cause = "command_not_found"
		a.summary = "The container ended with exit code 127, by which a shell says that it did not find a command, and the loader that it did not find a library."
		return a
	}
	if !ownEnd(e) {
		return undecided(e)
	}
	a.cause = "app_exit"
	a.summary = fmt.Sprintf("The program ended itself with exit code %d.", s.ExitCode)
	a.ruledOut = notKilled()
	a.alternatives = []record.Alternative{
		{Cause: "unknown", Why: "somebody outside of Kubernetes may have asked it to end; events can also be lost"},
	}
	return a
}

// ownEnd tells that the kubelet had nothing to do with the end: its events were read
// and it wrote none about a kill in the instance's lifetime.
func ownEnd(e *evidence.Evidence) bool {
	return covered(e) && killing(e) == nil &&
		lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "SandboxChanged" }) == nil
}

// notKilled is what the absence of a Killing event rules out.
func notKilled() []record.Alternative {
	const why = "no Killing event in the instance's lifetime"
	return []record.Alternative{
		{Cause: "liveness_probe", Why: why},
		{Cause: "startup_probe", Why: why},
		{Cause: "definition_changed", Why: why},
		{Cause: "sandbox_changed", Why: why},
	}
}

// undecided answers "unknown" for an exit code that the program and the kubelet can
// both be behind: programs answer the kubelet's SIGTERM with any code, 0 included, and
// only the pod's events tell that it was sent.
func undecided(e *evidence.Evidence) *answer {
	own := record.Alternative{Cause: "app_exit", Why: "the program may have ended itself"}
	if e.Stop.ExitCode == 0 {
		own.Cause = "app_completed"
	}
	a := &answer{
		category:     record.Failure,
		cause:        "unknown",
		confidence:   record.Unknown,
		summary:      fmt.Sprintf("The container ended with exit code %d; whether by itself or because the kubelet stopped it, its status does not say.", e.Stop.ExitCode),
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{own},
	}
	k := killing(e)
	if k == nil && !covered(e) {
		a.alternatives = append(append(a.alternatives, probes(e)...), unseenKills()...)
		a.missing = []record.Missing{eventsMissing(e)}
		return a
	}
	if k != nil {
		a.summary = fmt.Sprintf("The kubelet stopped the container, which ended with exit code %d; why it did, neither the pod nor its events say.", e.Stop.ExitCode)
		a.evidence = append([]record.Evidence{eventEvidence(e, k)}, a.evidence...)
		a.alternatives = nil
		a.missing = []record.Missing{{What: "reason of the kill", Why: "the Killing event names none, and the pod is neither being deleted nor evicted"}}
	}
	return a
}

// probes lists the kills that the container's spec makes possible.
func probes(e *evidence.Evidence) []record.Alternative {
	var out []record.Alternative
	c := &e.Container
	if c.Liveness != nil {
		out = append(out, record.Alternative{Cause: "liveness_probe", Why: "the container has a liveness probe, and no events of that time were read"})
	}
	if c.Startup != nil {
		out = append(out, record.Alternative{Cause: "startup_probe", Why: "the container has a startup probe, and no events of that time were read"})
	}
	if c.PostStart != nil {
		out = append(out, record.Alternative{Cause: "post_start_hook", Why: "the container has a postStart hook, and no events of that time were read"})
	}
	return out
}

// unseenKills lists kills of any container that only events would show.
func unseenKills() []record.Alternative {
	return []record.Alternative{
		{Cause: "sandbox_changed", Why: "a replaced pod sandbox stops its containers, and no events of that time were read"},
		{Cause: "definition_changed", Why: "a changed image in the running pod restarts the container, and no events of that time were read"},
	}
}
