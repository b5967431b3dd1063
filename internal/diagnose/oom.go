package diagnose

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the runtime reports that the kernel's OOM killer acted in the container's
// cgroup. That says that some process was killed, main or child or a probe's, at some time
// of this instance; not which limit was hit, as the counter of the cgroup counts kills for
// the limits above it and for the node too (containerd issue 12133). Which level it was
// follows only where the others are out of the question.

// oomNear is how far the node's own word of an OOM kill may lie from the end.
const oomNear = 10 * time.Second

// oomKilled: the runtime says OOMKilled.
func oomKilled(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.Reason != "OOMKilled" {
		return nil
	}
	a := &answer{category: record.Failure, cause: "oom_killed", confidence: record.Confirmed, evidence: exitEvidence(e)}
	if e.Container.MemoryLimit > 0 {
		a.evidence = append(a.evidence, limitEvidence(e))
	}
	if l := podMemory(e); l > 0 {
		a.evidence = append(a.evidence, specEvidence(e, "spec.resources.limits.memory", size(l)))
	}
	if s.HasExitCode && s.ExitCode != 137 {
		// A probe's own process may be the one that was killed, and the kubelet then have
		// stopped the container for the probe, as it did before.
		if p := probeUnseen(e); p != nil {
			p.alsoMemory(e)
			return p
		}
		childKilled(e, a)
		return a
	}
	a.summary = fmt.Sprintf("The kernel killed the container%s for lack of memory", after(e))
	oomLevel(e, a)
	if k := killing(e); k != nil {
		a.confidence = record.Likely
		a.evidence = append([]record.Evidence{eventEvidence(e, k)}, a.evidence...)
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: "the kubelet stopped the container, and its event does not say why; the kill for lack of memory may have hit another process before"})
	} else if ownEnd(e) {
		a.ruledOut = append(a.ruledOut, notKilled(e)...)
	}
	a.summary += "."
	return a
}

// childKilled: the main process was not killed, or answered otherwise than by its death.
// What then ended the container is not told; that an init container's success does not
// count, is (pkg/kubelet/kuberuntime isInitContainerFailed).
func childKilled(e *evidence.Evidence, a *answer) {
	s := e.Stop
	a.detail = "child_process"
	a.summary = fmt.Sprintf("The kernel killed a process in the container for lack of memory%s; the container's main process ended with exit code %d", limitWords(e), s.ExitCode)
	switch {
	case e.Container.Type == record.Init && s.ExitCode == 0:
		a.summary += ", and the kubelet takes the init container for failed all the same"
	default:
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: ownCause(e), Why: "the process may have been killed earlier, and the program have ended for another reason"}}
		if k := killing(e); k != nil {
			a.evidence = append([]record.Evidence{eventEvidence(e, k)}, a.evidence...)
			a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: "the kubelet stopped the container, and its event does not say why"})
		} else if !covered(e) || lossy(e) {
			a.alternatives = append(a.alternatives, probes(e)...)
			a.missing = append(a.missing, eventsMissing(e))
		}
		if w := lastWords(e); w != nil {
			a.evidence = append(a.evidence, w.evidence)
		}
	}
	a.summary += "."
}

// alsoMemory adds, to an answer for a container that was stopped for another reason, that
// the kernel killed a process of it (issue 140716 of kubernetes/kubernetes).
func (a *answer) alsoMemory(e *evidence.Evidence) {
	if e.Stop.Reason == "OOMKilled" {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "oom_killed", Why: "the kernel also killed a process of the container for lack of memory, at some time of its run"})
	}
}

// limitWords names the container's limit, for a sentence; empty where it has none.
func limitWords(e *evidence.Evidence) string {
	if l := e.Container.MemoryLimit; l > 0 {
		return fmt.Sprintf(" (its limit is %s)", size(l))
	}
	return ""
}

// podMemory is the pod-level memory limit in bytes (KEP-2837), 0 for none.
func podMemory(e *evidence.Evidence) int64 { return int64(e.Pod.Limits["memory"]) / 1000 }

// oomLevel tells whose memory ran out, as far as that can be told.
func oomLevel(e *evidence.Evidence, a *answer) {
	limit, podLimit := e.Container.MemoryLimit, podMemory(e)
	node := nodeOOM(e)
	if node != nil {
		a.evidence = append(a.evidence, nodeEventEvidence(e, node))
	}
	calm, why := nodeCalm(e)
	other := func(why string) {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "oom_killed", Why: why})
	}
	a.detail = "level_unknown"
	switch {
	case node != nil && limit == 0 && podLimit == 0:
		a.detail = "node"
		a.summary += ": the memory of the whole node ran out, and the container has no limit of its own"
	case node != nil:
		a.summary += limitWords(e) + "; the whole node was out of memory at that time"
		other("node: the memory of the whole node may have run out, as its SystemOOM event says")
		other("container_limit or pod_limit: the limit may have been hit at the same time")
	case limit == 0 && podLimit == 0:
		a.summary += "; it has no memory limit of its own"
		if podKnown(e) {
			other("node: without a limit, only the memory of the node, or what the kubelet gives to all pods together, can have run out")
		}
		a.missing = append(a.missing, record.Missing{What: "node events", Why: "a SystemOOM event near the end would prove that the node ran out of memory"})
	case podLimit > 0 && limit == 0 && calm:
		a.detail = "pod_limit"
		a.summary += fmt.Sprintf(": the pod's memory limit of %s, which its containers share, was reached", size(podLimit))
		other("node: the memory that the kubelet gives to all pods together may have run out; only the kernel log tells")
	case podLimit > 0 && !limitedBelow(e, podLimit):
		a.summary += fmt.Sprintf("%s; the pod's limit is %s, and which of the two was reached is not told", limitWords(e), size(podLimit))
		other("container_limit: the container's own limit was reached")
		other("pod_limit: the containers together reached the limit of the pod")
	case calm:
		a.detail = "container_limit"
		a.summary += fmt.Sprintf(": it reached its memory limit of %s", size(limit))
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "oom_killed", Why: "node: " + why})
		other("node: the memory that the kubelet gives to all pods together may have run out; only the kernel log tells")
	default:
		a.summary += limitWords(e)
		other("container_limit: it probably reached its limit of " + size(max(limit, podLimit)))
		other("node: the memory of the whole node may have run out")
		a.missing = append(a.missing, record.Missing{What: "node", Why: "its conditions and events would tell whether the node ran out of memory"})
	}
}

// limitedBelow tells that the limits of the pod's containers together stay below the
// pod's, so that the pod's cannot have been reached first.
func limitedBelow(e *evidence.Evidence, podLimit int64) bool {
	sum := e.Container.MemoryLimit
	for i := range e.Others {
		c := &e.Others[i]
		switch {
		case c.Type == record.Init, c.Type == record.Ephemeral:
		case c.MemoryLimit == 0:
			return false
		default:
			sum += c.MemoryLimit
		}
	}
	return sum > 0 && sum <= podLimit
}

// victim is how the kubelet and the node-problem-detector name the process that the kernel chose.
var victim = regexp.MustCompile(`victim process: ([^,]+), pid: \d+|Killed process \d+ \(([^)]+)\)`)

// nodeOOM returns the node's event of an OOM kill near the end: the kubelet writes
// SystemOOM where the whole node ran out of memory, and for no container's limit (pkg/kubelet/oom).
func nodeOOM(e *evidence.Evidence) *evidence.Event {
	f := e.Stop.FinishedAt
	if f.IsZero() {
		return nil
	}
	return nodeEvent(e, f.Add(-oomNear), f.Add(oomNear), func(ev *evidence.Event) bool { return ev.Reason == "SystemOOM" })
}

// nodeKill returns the node's event of any kill for lack of memory near the end: one of
// the whole node first, else what node-problem-detector reads in the kernel's log.
func nodeKill(e *evidence.Evidence) *evidence.Event {
	if ev := nodeOOM(e); ev != nil {
		return ev
	}
	f := e.Stop.FinishedAt
	if f.IsZero() {
		return nil
	}
	return nodeEvent(e, f.Add(-oomNear), f.Add(oomNear), func(ev *evidence.Event) bool { return ev.Reason == "OOMKilling" })
}

// victimIs tells that the node's event names a process like the container's command.
func victimIs(e *evidence.Evidence, ev *evidence.Event) (string, bool) {
	m := victim.FindStringSubmatch(ev.Message)
	if m == nil {
		return "", false
	}
	name := m[1] + m[2]
	c := e.Container.Command
	// The kernel keeps 15 bytes of a name.
	return name, len(c) > 0 && name != "" && strings.HasPrefix(path.Base(c[0]), name)
}

// nodeCalm tells that the node was read and shows no lack of memory near the end, and how
// it shows that.
func nodeCalm(e *evidence.Evidence) (bool, string) {
	n := e.Node
	if n == nil || n.Gone {
		return false, ""
	}
	if has := int64(n.Allocatable["memory"]) / 1000; has > 0 && max(e.Container.MemoryLimit, podMemory(e)) >= has {
		return false, "" // the node's memory is used up before such a limit is
	}
	pressure := condition(n.Conditions, "MemoryPressure")
	if pressure != nil && pressure.Status == "True" {
		return false, ""
	}
	// Pressure that began after the end, or ended before it, is told by the time of the transition alone.
	f := e.Stop.FinishedAt
	if pressure != nil && pressure.Status == "False" && !f.IsZero() && pressure.Time.After(f.Add(-time.Minute)) {
		return false, ""
	}
	if n.EventsRead && (e.EventsSince.IsZero() || f.After(e.EventsSince)) {
		return true, "no SystemOOM event of the node near the end"
	}
	if pressure != nil && pressure.Status == "False" {
		return true, "the node reports no memory pressure since before the end"
	}
	return false, ""
}
