package diagnose

import (
	"fmt"
	"regexp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: exit codes of 128+n, which stand for signal n by convention.

// exitSignal: the exit code stands for a signal.
func exitSignal(e *evidence.Evidence) *answer {
	s := e.Stop
	if !s.HasExitCode {
		return nil
	}
	switch s.ExitCode {
	case 137, 143:
		return signalled(e)
	case 131, 132, 133, 134, 135, 136, 139, 141, 152, 153, 159:
		return fault(e)
	}
	return nil
}

// fault: a signal that a program brings upon itself.
func fault(e *evidence.Evidence) *answer {
	s := e.Stop
	if k := killing(e); k != nil {
		return undecided(e)
	}
	name := record.Signal(s.ExitCode)
	a := &answer{
		category:     record.Failure,
		cause:        "app_signal",
		detail:       name,
		confidence:   record.Likely,
		summary:      fmt.Sprintf("The program was ended%s by %s (exit code %d), %s", after(e), name, s.ExitCode, faultWords(s.ExitCode)),
		evidence:     exitEvidence(e),
		alternatives: []record.Alternative{{Cause: "app_exit", Why: "the program may have chosen this exit code itself"}},
	}
	if s.ExitCode == 131 {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: "somebody may have sent it SIGQUIT"})
	}
	if w := lastWords(e); w != nil {
		a.evidence = append(a.evidence, w.evidence)
		switch {
		case w.class == "heap_exhausted":
			a.summary += "; it says that its own heap was used up, which is a limit inside the program: " + quoted(w.line)
			a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "oom_killed", Why: "the runtime reports no OOM kill, and the program says that it ended itself"})
		case w.proven:
			a.summary += "; its last words: " + quoted(w.line)
		}
	}
	if covered(e) && !lossy(e) {
		a.ruledOut = append(a.ruledOut, notKilled(e)...)
	} else {
		a.missing = append(a.missing, eventsMissing(e))
	}
	a.summary += "."
	return a
}

// faultWords says what a signal means.
func faultWords(code int32) string {
	switch code {
	case 131:
		return "by which a program is asked to give itself up and leave a dump"
	case 132:
		return "an instruction that this processor does not have, or that is none"
	case 133:
		return "a trap that the program or its runtime set"
	case 134:
		return "by which a program, or its runtime or library, gives itself up"
	case 135:
		return "an access to memory that has nothing behind it, such as a mapped file that was cut or a full /dev/shm"
	case 136:
		return "an arithmetic fault, such as a division by zero"
	case 139:
		return "an access to memory that is not its own"
	case 141:
		return "a write into a pipe or connection that nobody reads any more"
	case 152:
		return "its limit of processor time"
	case 153:
		return "its limit of file size"
	}
	return "a system call that its seccomp profile forbids"
}

// killedLine is what shells and supervisors print of a child that was killed.
var killedLine = regexp.MustCompile(`(?i)^\s*(?:.*\s)?Killed\s*$|signal: killed|SIGKILL|signal 9\b`)

// signalled: SIGKILL or SIGTERM, and nothing that explains it.
func signalled(e *evidence.Evidence) *answer {
	if k := killing(e); k != nil {
		return undecided(e)
	}
	a := &answer{category: record.Failure, confidence: record.Unknown, evidence: exitEvidence(e)}
	if e.Stop.ExitCode == 137 {
		sigkill(e, a)
	} else {
		a.cause = "sigterm_unattributed"
		a.summary = fmt.Sprintf("The container ended%s with exit code 143 (SIGTERM by convention), and nothing in the API says who sent it.", after(e))
		a.alternatives = []record.Alternative{
			{Cause: "app_exit", Why: "the program may have chosen the code 143 itself, or passed on that of a child"},
			{Cause: "unknown", Why: "somebody may have stopped it from outside of Kubernetes"},
		}
	}
	if covered(e) && !lossy(e) && between(e, func(ev *evidence.Event) bool { return isKilling(e, ev) }) == nil {
		a.ruledOut = notKilled(e)
		return a
	}
	a.alternatives = append(append(a.alternatives, probes(e)...), unseenKills(e)...)
	a.missing = append(a.missing, eventsMissing(e))
	return a
}

// sigkill lists who may have sent SIGKILL, with what speaks for each.
func sigkill(e *evidence.Evidence, a *answer) {
	a.cause = "sigkill_unattributed"
	a.summary = fmt.Sprintf("The container ended%s with exit code 137 (SIGKILL by convention), and nothing in the API says who sent it.", after(e))
	memory := "the node's memory ran out, or the runtime did not notice that a limit was hit"
	switch l := e.Container.MemoryLimit; {
	case l > 0:
		memory = fmt.Sprintf("the runtime may not have noticed that the memory limit of %s was hit, or the node's memory ran out", size(l))
		a.evidence = append(a.evidence, limitEvidence(e))
	case podMemory(e) > 0:
		memory = fmt.Sprintf("the runtime may not have noticed that the pod's memory limit of %s was hit, or the node's memory ran out", size(podMemory(e)))
	case podKnown(e):
		memory = "the node's memory may have run out; the container has no limit of its own"
	}
	if ev := nodeKill(e); ev != nil {
		a.evidence = append(a.evidence, nodeEventEvidence(e, ev))
		memory = "within seconds of the end the kernel killed, for lack of memory on the node, a process"
		if name, same := victimIs(e, ev); same {
			memory += fmt.Sprintf(" called %s, as is this container's command", name)
		} else if name != "" {
			memory += fmt.Sprintf(" called %s", name)
		}
	} else if e.Node == nil || !e.Node.EventsRead {
		a.missing = append(a.missing, record.Missing{What: "node events", Why: "a SystemOOM event near the end would point to the node's memory"})
	}
	oom := record.Alternative{Cause: "oom_killed", Why: memory}
	chosen := record.Alternative{Cause: "app_exit", Why: "the program may have chosen the code 137 itself, or passed on that of a child"}
	if m, proven, q := findLine(e, killedLine); m != nil {
		a.evidence = append(a.evidence, q)
		chosen.Why = "a child of the program may have been killed, and the program passed on its code: " + logSays(proven) + " so"
	}
	a.alternatives = []record.Alternative{oom, chosen, {Cause: "unknown", Why: "somebody may have killed it from outside of Kubernetes"}}
	a.missing = append(a.missing, record.Missing{What: "kernel log of the node", Why: "it names every process that the kernel killed for lack of memory"})
}
