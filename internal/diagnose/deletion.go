package diagnose

import (
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the pod was deleted, and that is why its containers ended. Who deleted
// it is told by owner.go.

// podDeleted: somebody or a controller deleted the pod.
func podDeleted(e *evidence.Evidence) *answer {
	p, s := &e.Pod, e.Stop
	if !s.ExitObserved {
		return goneRunning(e)
	}
	if p.DeletionTimestamp.IsZero() || neverRan(s) || killedBefore(e) || endedBefore(e, deletionRequested(p)) && !stoppedNear(e, deletionRequested(p)) {
		return nil
	}
	var a *answer
	switch {
	case p.DeletionGraceSeconds > 0 && atTheRequest(e):
		a = aroundDeletion(e, deletionRequested(p))
	case p.DeletionGraceSeconds == 0 && (endedBefore(e, p.DeletionTimestamp) || s.ExitCode != 137 && s.ExitCode != 143):
		// The kubelet's final delete hides when the deletion was asked for.
		a = aroundDeletion(e, p.DeletionTimestamp)
	default:
		a = deleted(e)
		if p.DeletionGraceSeconds > 0 {
			a.perhapsItself(e, deletionRequested(p))
		}
	}
	if a == nil {
		return nil
	}
	if s.Reason == "ContainerStatusUnknown" {
		a.confidence = record.Likely
		a.summary = "The pod was deleted; how its container ended was lost, and the exit code 137 is the kubelet's stand-in."
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "status_unknown", Why: "the runtime may have lost the container before the deletion"})
	} else if g, ok := graceExceeded(e); ok {
		a.cause = "grace_period_exceeded"
		a.summary = fmt.Sprintf("The pod was deleted, and the container still ran after its grace period of %s: it was killed.", span(g))
	}
	if k := killing(e); k != nil && plainStop(k.event) {
		a.ruledOut = []record.Alternative{{Cause: ownCause(e), Why: "the kubelet had begun to stop the container before it ended"}}
	}
	a.alsoMemory(e)
	attribute(e, a)
	return a
}

// goneRunning: the pod is gone, and its last known state had the container running.
func goneRunning(e *evidence.Evidence) *answer {
	a := &answer{
		category:   record.Lifecycle,
		cause:      "pod_deleted",
		confidence: record.Likely,
		summary:    "The pod was removed while the container was reported running; how the container ended was never reported.",
		missing:    []record.Missing{{What: "exit code", Why: "the pod was gone before the kubelet reported one"}},
	}
	if !e.Pod.DeletionTimestamp.IsZero() {
		a.confidence = record.Confirmed
		a.evidence = []record.Evidence{timeEvidence(e, "metadata.deletionTimestamp", e.Pod.DeletionTimestamp)}
		if n := e.Node; n != nil {
			if c := condition(n.Conditions, "Ready"); c != nil && c.Status == "Unknown" {
				a.confidence = record.Likely
				a.alternatives = []record.Alternative{{Cause: "runtime_restarted", Why: fmt.Sprintf("node %s stopped reporting at %s, and the container may have ended with it", n.Name, c.Time.UTC().Format(time.RFC3339))}}
				a.evidence = append(a.evidence, nodeEvidence(e, "status.conditions[Ready].status", c.Status, c.Time))
			}
		}
	}
	attribute(e, a)
	return a
}

// deleted is the answer for a container that was stopped for the deletion of its pod.
func deleted(e *evidence.Evidence) *answer {
	a := &answer{
		category:   record.Lifecycle,
		cause:      "pod_deleted",
		confidence: record.Confirmed,
		summary:    "The pod was deleted, and the container was stopped for that.",
		evidence:   append([]record.Evidence{timeEvidence(e, "metadata.deletionTimestamp", e.Pod.DeletionTimestamp)}, exitEvidence(e)...),
	}
	return a
}

// graceExceeded tells that the container was killed because it outlived the grace
// period of its pod's deletion, and how long that is.
func graceExceeded(e *evidence.Evidence) (time.Duration, bool) {
	p, s := &e.Pod, e.Stop
	if !s.HasExitCode || s.ExitCode != 137 || s.Field == "" || s.FinishedAt.IsZero() || p.DeletionTimestamp.IsZero() || synthetic(s) || s.Reason == "OOMKilled" {
		return 0, false
	}
	if g := seconds(p.DeletionGraceSeconds); g > 0 {
		return g, !s.FinishedAt.Before(p.DeletionTimestamp.Add(-time.Second))
	}
	g := seconds(p.TerminationGraceSeconds)
	k := killing(e)
	return g, g > 0 && k != nil && plainStop(k.event) && s.FinishedAt.Sub(k.at) >= g-time.Second
}

// killedBefore tells that the kubelet had begun to kill the container for a reason that its
// event names: it does so no more once the pod is being deleted.
func killedBefore(e *evidence.Evidence) bool {
	k := killing(e)
	return k != nil && !plainStop(k.event)
}

// neverRan tells an end of a process that was never started, so that nobody can have stopped it.
func neverRan(s *evidence.Stop) bool {
	return s.Reason == "StartError" || s.Reason == "ContainerCannotRun"
}

// synthetic tells a terminated state that the kubelet made up.
func synthetic(s *evidence.Stop) bool {
	return s.Reason == "ContainerStatusUnknown" || s.Reason == "RestartingAllContainers"
}

// atTheRequest tells that the instance ended in the second in which the deletion was
// asked for, or so little before that the clocks of node and API server may be to blame:
// times alone do not tell which came first.
func atTheRequest(e *evidence.Evidence) bool {
	return !e.Stop.FinishedAt.IsZero() && !e.Stop.FinishedAt.After(deletionRequested(&e.Pod))
}

// clocks is what the clocks of a node and of the API server may differ by in a cluster
// that works.
const clocks = 10 * time.Second

// perhapsItself takes its certainty from an answer where the instance ended so soon after its
// pod's deletion was asked for, at a time, that it may have ended by itself just then: no
// event says that the kubelet had begun to stop it, and its exit code is none of a signal.
func (a *answer) perhapsItself(e *evidence.Evidence, asked time.Time) {
	s := e.Stop
	seen := covered(e) && !lossy(e)
	near := skew
	if seen {
		near = clocks
	}
	signal := s.ExitCode == 143 || s.ExitCode == 137 && s.Reason != "OOMKilled"
	if !s.HasExitCode || signal || s.FinishedAt.IsZero() || asked.IsZero() || s.FinishedAt.Sub(asked) > near || killing(e) != nil {
		return
	}
	a.confidence = record.Likely
	if s.Reason != "OOMKilled" { // alsoMemory tells of that
		a.alternatives = append(a.alternatives, record.Alternative{Cause: ownCause(e), Why: "no Killing event of the container is there: it may have ended by itself at that time"})
	}
	if !seen {
		a.missing = append(a.missing, eventsMissing(e))
	}
}

// stoppedNear tells that the kubelet stopped the container, and gave no reason, so little
// before t that a node's clock that is behind is why.
func stoppedNear(e *evidence.Evidence, t time.Time) bool {
	k := killing(e)
	return k != nil && plainStop(k.event) && !k.at.Before(t.Add(-clocks)) && !e.Stop.FinishedAt.Before(t.Add(-clocks))
}

// byItself tells that the instance ended before the deletion of its pod was asked for, and
// that the kubelet had not begun to stop it.
func byItself(e *evidence.Evidence) bool {
	p := &e.Pod
	return p.DeletionGraceSeconds > 0 && atTheRequest(e) && killing(e) == nil && covered(e) && !lossy(e) && e.Stop.FinishedAt.Before(deletionRequested(p))
}

// aroundDeletion decides such an end by the Killing event, which the kubelet writes
// before it stops a container for a deletion. Asked is the latest time at which the
// deletion can have been asked for.
func aroundDeletion(e *evidence.Evidence, asked time.Time) *answer {
	s := e.Stop
	if s.Reason == "OOMKilled" && s.ExitCode == 137 {
		return nil // the runtime says what it was
	}
	a := deleted(e)
	k := killing(e)
	switch {
	case k != nil && plainStop(k.event):
		a.evidence = append(a.evidence, eventEvidence(e, k))
		return a
	case k != nil:
		return nil // another rule knows that kill
	case covered(e) && !lossy(e) && s.FinishedAt.Before(asked):
		return nil
	}
	a.confidence = record.Likely
	a.alternatives = []record.Alternative{{Cause: ownCause(e), Why: "it ended when the deletion was asked for, and may have ended by itself"}}
	if !covered(e) || lossy(e) {
		a.missing = []record.Missing{eventsMissing(e)}
	}
	return a
}

// deletionRequested is when the deletion was asked for. The kubelet's final delete
// sets the grace period to zero; the request then lies up to the spec's own grace
// period, and whatever the kubelet took, before the timestamp.
func deletionRequested(p *evidence.Pod) time.Time {
	if p.DeletionGraceSeconds > 0 {
		return p.DeletionTimestamp.Add(-seconds(p.DeletionGraceSeconds))
	}
	return p.DeletionTimestamp.Add(-seconds(p.TerminationGraceSeconds) - time.Minute)
}
