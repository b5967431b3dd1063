package diagnose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the exit code, asked last, since it says how a process ended and
// rarely why. Codes of 128+n stand for signal n by convention only; those are in signal.go.

// initCompleted: an init container that did its work.
func initCompleted(e *evidence.Evidence) *answer {
	if e.Container.Type != record.Init || !e.Stop.HasExitCode || e.Stop.ExitCode != 0 || e.Stop.Reason == "OOMKilled" || killing(e) != nil {
		return nil // where the kubelet stopped it, that is told by another rule
	}
	a := completed(e, "The init container finished its work.")
	if !e.Pod.DeletionTimestamp.IsZero() && !endedBefore(e, deletionRequested(&e.Pod)) {
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: "pod_deleted", Why: "it ended when the pod was deleted, and may have been stopped for that"}}
	}
	if strings.HasPrefix(e.Stop.Message, "Unable to get init container status from container runtime") {
		a.confidence = record.Likely
		a.summary = "The init container is taken for finished: the runtime no longer knows it, and the pod got past it."
		a.missing = []record.Missing{{What: "exit status", Why: "the kubelet made it up from the state of the pod"}}
	}
	return a
}

// exitZero: the program ended itself, with success.
func exitZero(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode || s.ExitCode != 0 {
		return nil
	}
	if e.Container.Type == record.Ephemeral || e.Container.Type == record.App && (policy(e) == "Never" || policy(e) == "OnFailure") {
		if k := killing(e); k != nil {
			return undecided(e)
		}
		a := completed(e, "The container finished its work.")
		if !covered(e) && e.Container.Liveness != nil {
			a.confidence = record.Likely
			a.alternatives = probes(e)
			a.missing = []record.Missing{eventsMissing(e)}
		}
		return a
	}
	if !ownEnd(e) {
		return undecided(e)
	}
	a := own(e, "app_completed")
	a.summary = fmt.Sprintf("The program ended itself%s with exit code 0, and its restart policy starts it again.", after(e))
	if w := lastWords(e); w != nil && w.class == "leader_election_lost" {
		a.detail = w.class
		a.evidence = append(a.evidence, w.evidence)
		a.summary = fmt.Sprintf("The program lost its leader election and ended itself%s with exit code 0, as such programs do to start afresh.", after(e))
	}
	return a
}

func completed(e *evidence.Evidence, summary string) *answer {
	return &answer{category: record.Lifecycle, cause: "completed", confidence: record.Confirmed, summary: summary, evidence: exitEvidence(e)}
}

// own is the answer for a program that ended itself, which is never more than likely: the
// API has no event for that (issue 123176 of kubernetes/kubernetes).
func own(e *evidence.Evidence, cause string) *answer {
	a := &answer{
		category:     record.Failure,
		cause:        cause,
		confidence:   record.Likely,
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{{Cause: "unknown", Why: "somebody outside of Kubernetes may have asked it to end; events can also be lost"}},
	}
	if lossy(e) {
		a.missing = []record.Missing{eventsMissing(e)}
	} else {
		a.ruledOut = notKilled(e)
	}
	if c := e.Stop.ExitCode; c >= 0 && c < 128 {
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "oom_killed", Why: "the runtime reports no kill for lack of memory, and its main process was not ended by a signal"})
	}
	switch {
	case !e.Pod.DeletionTimestamp.IsZero() && endedBefore(e, deletionRequested(&e.Pod)):
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "pod_deleted", Why: "the deletion was asked for after the end"})
	case !e.Pod.DeletionTimestamp.IsZero():
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "pod_deleted", Why: "no Killing event in the instance's lifetime"})
	case podKnown(e):
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "pod_deleted", Why: "the pod is not being deleted"})
	}
	return a
}

var (
	// What the last stage of runc, and crun, print when execve fails after the start was
	// reported, with exit code 255, and 1 before runc 1.1 (libcontainer/init_linux.go).
	formatLine  = regexp.MustCompile(`^(?:standard_init_linux\.go:\d+: )?exec(?: user process caused:| (\S+):) "?exec format error"?\s*$`)
	execMissing = regexp.MustCompile(`^(?:standard_init_linux\.go:\d+: )?exec(?: user process caused:| (\S+):) "?no such file or directory"?\s*$`)
	// What shells print with 127 and 126.
	shellMissing = regexp.MustCompile(`(?i)^.*?(?:line )?\d*:? ?(\S+): (?:command )?not found\s*$`)
	loaderLine   = regexp.MustCompile(`error while loading shared libraries: ([^:]+):|Error loading shared library ([^:]+):|Error relocating `)
	shellDenied  = regexp.MustCompile(`(\S+): (?:Permission denied|cannot execute|Is a directory)`)
)

// execFormat: the runtime started its own last stage, and that could not turn into the
// program: for a wrong architecture, a script without an interpreter line, or an
// interpreter that is missing in the image. Only the log says so.
func execFormat(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode || s.ExitCode != 255 && s.ExitCode != 1 && s.ExitCode != 127 || killing(e) != nil {
		return nil
	}
	if message, log := lines(e); len(message) > 3 || len(message) == 0 && len(log) > 3 {
		return nil // nothing else was said but this
	}
	a := &answer{category: record.Failure, confidence: record.Likely, evidence: exitEvidence(e)}
	m, proven, q := findLine(e, formatLine)
	what := ""
	switch {
	case m != nil:
		a.cause = "exec_format_error"
		what = "is not a program that this node can execute" + platform(e) + ": it is built for another architecture, or a script without an interpreter line"
	default:
		if m, proven, q = findLine(e, execMissing); m == nil {
			return nil
		}
		a.cause = "command_not_found"
		a.detail = "interpreter"
		what = "or the interpreter or loader that it names does not exist in its image"
	}
	if !proven && !covered(e) {
		return nil
	}
	name := "The container's command"
	if m[1] != "" {
		name += " " + m[1]
	}
	a.summary = name + " " + what + "."
	a.evidence = append(a.evidence, q)
	a.alternatives = []record.Alternative{{Cause: "app_exit", Why: "the program may have printed that itself, and chosen the exit code"}}
	if !proven {
		a.missing = []record.Missing{{What: "proof whose log it is", Why: "another instance may have written it"}}
	}
	return a
}

// exitCode: any other code.
func exitCode(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode {
		return nil
	}
	if k := killing(e); k != nil {
		return undecided(e)
	}
	if s.ExitCode == 126 || s.ExitCode == 127 {
		return shellCode(e)
	}
	w := lastWords(e)
	if !ownEnd(e) && (w == nil || !w.proven || !w.endsIn(s.ExitCode)) {
		return undecided(e)
	}
	a := own(e, "app_exit")
	a.summary = fmt.Sprintf("The program ended itself%s with exit code %d", after(e), s.ExitCode)
	if n := record.Signal(s.ExitCode); n != "" {
		a.summary += fmt.Sprintf(" (%s by convention)", n)
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: "somebody may have sent it " + n})
	}
	if s.ExitCode == 255 && crio(e) {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "status_unknown", Why: "cri-o gives 255 also where it lost the exit status"})
	}
	if w != nil {
		a.detail = w.class
		a.evidence = append(a.evidence, w.evidence)
		if w.proven {
			a.summary += "; its last words: " + quoted(w.line)
		} else {
			a.summary += "; its last words were probably: " + quoted(w.line)
			a.missing = append(a.missing, record.Missing{What: "proof whose log it is", Why: "another instance may have written it"})
		}
	} else if e.Log == nil && s.Message == "" {
		a.missing = append(a.missing, record.Missing{What: "log", Why: "the program's last words would say why it ended; they were not read"})
	}
	if !covered(e) {
		a.ruledOut = nil
		a.missing = append(a.missing, eventsMissing(e))
		a.alternatives = append(a.alternatives, probes(e)...)
	}
	a.summary += "."
	return a
}

// shellCode: the codes by which a shell says that it could not run a command.
func shellCode(e *evidence.Evidence) *answer {
	s := e.Stop
	a := &answer{
		category:     record.Failure,
		cause:        "command_not_found",
		confidence:   record.Likely,
		summary:      "The container ended with exit code 127, by which a shell says that it did not find a command, and the loader that it did not find a library.",
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{{Cause: "app_exit", Why: "the program may have chosen this exit code itself"}},
	}
	re := shellMissing
	if s.ExitCode == 126 {
		a.cause = "command_not_executable"
		a.summary = "The container ended with exit code 126, by which a shell says that a command could not be executed."
		re = shellDenied
	} else if m, proven, q := findLine(e, loaderLine); m != nil {
		a.detail = "missing_library"
		a.summary = "The container ended with exit code 127, and " + logSays(proven) + " that the loader did not find a library" + named(m[1]+m[2]) + "."
		a.evidence = append(a.evidence, q)
		return a
	}
	if m, proven, q := findLine(e, re); m != nil {
		verb := "was not found"
		if s.ExitCode == 126 {
			verb = "could not be executed"
		}
		a.summary = fmt.Sprintf("The container ended with exit code %d, and %s that the command%s %s.", s.ExitCode, logSays(proven), named(m[1]), verb)
		a.evidence = append(a.evidence, q)
	} else if e.Log == nil && s.Message == "" {
		a.missing = []record.Missing{{What: "log", Why: "a shell names the command there; it was not read"}}
	}
	if !covered(e) {
		a.missing = append(a.missing, eventsMissing(e))
	}
	a.quoteCommand(e)
	return a
}

func logSays(proven bool) string {
	if proven {
		return "its last words say"
	}
	return "what are probably its last words say"
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " " + oneLine(name)
}

// ownEnd tells that the kubelet had nothing to do with the end: its events were read
// and it wrote none about a kill in the instance's lifetime. Where events of the instance
// were dropped, that holds only if there is nothing that the kubelet kills it for.
func ownEnd(e *evidence.Evidence) bool {
	if !covered(e) || killing(e) != nil || lastEvent(e, isSandboxChanged) != nil ||
		between(e, func(ev *evidence.Event) bool { return isKilling(e, ev) || isSandboxChanged(ev) }) != nil {
		return false
	}
	c := &e.Container
	return !lossy(e) || !couldFail(e, c.Liveness) && !couldFail(e, c.Startup) && c.PostStart == nil
}

// notKilled is what the absence of a Killing event rules out, of what could have been at all.
func notKilled(e *evidence.Evidence) []record.Alternative {
	const why = "no Killing event in the instance's lifetime"
	probe := func(p *evidence.Probe, none string) string {
		switch {
		case p == nil:
			return either(podKnown(e), none, why)
		case !couldFail(e, p):
			return "the container ended before that probe can have failed often enough"
		}
		return why
	}
	return []record.Alternative{
		{Cause: "liveness_probe", Why: probe(e.Container.Liveness, "the container has no liveness probe")},
		{Cause: "startup_probe", Why: probe(e.Container.Startup, "the container has no startup probe")},
		{Cause: "definition_changed", Why: why},
		{Cause: "sandbox_changed", Why: why},
	}
}

// undecided answers "unknown" for an exit code that the program and the kubelet can
// both be behind: programs answer the kubelet's SIGTERM with any code, 0 included, and
// only the pod's events tell that it was sent.
func undecided(e *evidence.Evidence) *answer {
	a := &answer{
		category:     record.Failure,
		cause:        "unknown",
		confidence:   record.Unknown,
		summary:      fmt.Sprintf("The container ended%s with exit code %d; whether by itself or because the kubelet stopped it, its status does not say.", after(e), e.Stop.ExitCode),
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{{Cause: ownCause(e), Why: "the program may have ended itself"}},
	}
	if w := lastWords(e); w != nil {
		a.evidence = append(a.evidence, w.evidence)
		a.alternatives[0].Why = "the program may have ended itself: it said " + quoted(w.line)
	}
	k := killing(e)
	if k == nil {
		a.alternatives = append(append(a.alternatives, probes(e)...), unseenKills(e)...)
		a.missing = []record.Missing{eventsMissing(e)}
		if covered(e) && !lossy(e) {
			a.missing[0].Why = "events of the kubelet were repeated before and after this end, and the API keeps only their first and last times"
			if s := lastEvent(e, isSandboxChanged); s != nil {
				a.evidence = append(a.evidence, eventEvidence(e, s))
				a.missing[0].Why = "the pod's sandbox was replaced, and no Killing event tells whether this container was stopped for that"
			}
		}
		return a
	}
	a.summary = fmt.Sprintf("The kubelet stopped the container, which ended with exit code %d; why it did, neither the pod nor its events say.", e.Stop.ExitCode)
	a.evidence = append([]record.Evidence{eventEvidence(e, k)}, a.evidence...)
	a.alternatives = nil
	a.missing = []record.Missing{{What: "reason of the kill", Why: "the Killing event names none, and the pod is neither being deleted nor evicted"}}
	if p := &e.Pod; p.Phase == "Failed" && p.Reason != "" {
		// Such as NodeAffinity: a restarted kubelet refuses a pod that it had admitted before.
		a.summary = fmt.Sprintf("The kubelet stopped the container, which ended with exit code %d, and gives the pod's reason as %s.", e.Stop.ExitCode, oneLine(p.Reason))
		ev := statusEvidence(e)
		a.evidence = append(a.evidence, ev("status.reason", p.Reason), ev("status.message", p.Message))
		a.missing[0].Why = "no rule knows the reason that the pod's status gives"
	}
	return a
}

// probes lists the kills that the container's spec makes possible.
func probes(e *evidence.Evidence) []record.Alternative {
	var out []record.Alternative
	c := &e.Container
	unread := "no events of that time were read"
	if e.EventsRead && lossy(e) {
		unread = "events of that time were dropped"
	}
	if couldFail(e, c.Liveness) {
		out = append(out, record.Alternative{Cause: "liveness_probe", Why: "the container has a liveness probe, and " + unread})
	}
	if couldFail(e, c.Startup) {
		out = append(out, record.Alternative{Cause: "startup_probe", Why: "the container has a startup probe, and " + unread})
	}
	if c.PostStart != nil {
		out = append(out, record.Alternative{Cause: "post_start_hook", Why: "the container has a postStart hook, and " + unread})
	}
	return out
}

// unseenKills lists kills of any container that only events would show.
func unseenKills(e *evidence.Evidence) []record.Alternative {
	unread := "no events of that time were read"
	if covered(e) {
		unread = "not all events of that time are kept"
	}
	return []record.Alternative{
		{Cause: "sandbox_changed", Why: "a replaced pod sandbox stops its containers, and " + unread},
		{Cause: "definition_changed", Why: "a changed image in the running pod restarts the container, and " + unread},
	}
}
