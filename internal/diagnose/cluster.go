package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the cluster or somebody did to the whole pod. Sources:
// pkg/kubelet/eviction, preemption, nodeshutdown; pkg/controller/tainteviction, podgc;
// pkg/registry/core/pod/storage/eviction.go; KEP-3329 for the condition DisruptionTarget.

// skew is what two clocks of a cluster may differ by before their order says nothing.
const skew = 2 * time.Second

// disruptionTarget: the condition DisruptionTarget names who ended the pod.
func disruptionTarget(e *evidence.Evidence) *answer {
	c := e.Pod.Disruption
	if c == nil || endedBefore(e, c.Time) {
		return nil
	}
	cause, what := "", ""
	switch c.Reason {
	case "EvictionByEvictionAPI":
		cause, what = "eviction_api", "The pod was evicted through the eviction API, as a node drain does."
	case "PreemptionByScheduler":
		cause, what = "preempted", "The scheduler preempted the pod to make room for one of higher priority."
	case "DeletionByTaintManager", "DeletionByDeviceTaintManager":
		cause, what = "taint_eviction", "The pod was evicted because it does not tolerate a NoExecute taint."
	case "DeletionByPodGC":
		cause, what = "pod_gc", "The pod garbage collector removed the pod because its node is gone."
	case "TerminationByKubelet":
		return statusAnswer(e)
	default:
		return nil
	}
	ev := statusEvidence(e)
	reason, message := ev("status.conditions[DisruptionTarget].reason", c.Reason), ev("status.conditions[DisruptionTarget].message", c.Message)
	reason.Time, message.Time = c.Time, c.Time
	return &answer{
		category:   record.Disruption,
		cause:      cause,
		confidence: record.Confirmed,
		summary:    what,
		evidence:   append([]record.Evidence{reason, message}, exitEvidence(e)...),
	}
}

// podStatusReason: the kubelet ended the pod and says so in status.reason. It writes
// that after all containers stopped, so it explains only those that were the last of
// their container.
func podStatusReason(e *evidence.Evidence) *answer {
	if e.Pod.Phase != "Failed" || e.Stop.ExitObserved && strings.Contains(e.Stop.Field, ".lastState.") && e.Container.WaitingReason == "" {
		return nil
	}
	return statusAnswer(e)
}

// evictedEvent: the kubelet evicted the pod, and its status does not say so: a pod whose
// programs answer with exit code 0 ends as Succeeded, without a reason (issue 105467 of
// kubernetes/kubernetes).
func evictedEvent(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil {
		return nil
	}
	ev := lastEvent(e, func(ev *evidence.Event) bool {
		return !ev.Container && (ev.Reason == "Evicted" || ev.Reason == "Preempting")
	})
	if ev == nil || k.Last.Before(ev.Last.Add(-skew)) {
		return nil
	}
	a := byKubelet(ev.Reason, ev.Message)
	if a != nil {
		a.evidence = append([]record.Evidence{eventEvidence(e, ev), eventEvidence(e, k)}, exitEvidence(e)...)
	}
	return a
}

// statusAnswer tells from status.reason and status.message why the kubelet ended the pod.
func statusAnswer(e *evidence.Evidence) *answer {
	a := byKubelet(e.Pod.Reason, e.Pod.Message)
	if a != nil {
		ev := statusEvidence(e)
		a.evidence = append([]record.Evidence{ev("status.reason", e.Pod.Reason), ev("status.message", e.Pod.Message)}, exitEvidence(e)...)
	}
	return a
}

// byKubelet tells why the kubelet ended a pod by the reason and message that it gives,
// which are the same in the pod's status and in its event.
func byKubelet(reason, message string) *answer {
	a := &answer{category: record.Disruption, confidence: record.Confirmed}
	switch reason {
	case "Evicted":
		resource, pressure := strings.CutPrefix(message, "The node was low on resource: ")
		switch {
		case pressure:
			a.cause = "node_pressure_eviction"
			a.detail, _, _ = strings.Cut(resource, ".")
			a.summary = fmt.Sprintf("The kubelet evicted the pod because its node ran low on %s.", a.detail)
		case strings.HasPrefix(message, "Usage of EmptyDir volume "),
			strings.HasPrefix(message, "Pod ephemeral local storage usage exceeds "),
			strings.HasPrefix(message, "Container ") && strings.Contains(message, " exceeded its local ephemeral storage limit"):
			a.category, a.cause = record.Failure, "storage_limit_eviction"
			a.summary = "The kubelet evicted the pod because it wrote more than its local storage limit."
		default:
			return nil
		}
	case "Preempting":
		a.cause, a.summary = "kubelet_preempted", "The kubelet ended the pod to admit a critical one."
	case "Terminated", "NodeShutdown":
		a.cause, a.summary = "node_shutdown", "The kubelet ended the pod because its node is shutting down."
	case "DeadlineExceeded":
		a.category, a.cause = record.Failure, "deadline_exceeded"
		a.summary = "The pod ran longer than its activeDeadlineSeconds."
	default:
		return nil
	}
	return a
}

// podDeleted: somebody or a controller deleted the pod, and that is why its containers ended.
func podDeleted(e *evidence.Evidence) *answer {
	p, s := &e.Pod, e.Stop
	if !s.ExitObserved {
		a := &answer{
			category:   record.Lifecycle,
			cause:      "pod_deleted",
			confidence: record.Likely,
			summary:    "The pod was removed while the container was reported running; how the container ended was never reported.",
			missing:    []record.Missing{{What: "exit code", Why: "the pod was gone before the kubelet reported one"}},
		}
		if !p.DeletionTimestamp.IsZero() {
			a.confidence = record.Confirmed
			a.evidence = []record.Evidence{timeEvidence(e, "metadata.deletionTimestamp", p.DeletionTimestamp)}
		}
		return a
	}
	if p.DeletionTimestamp.IsZero() || endedBefore(e, deletionRequested(p)) {
		return nil
	}
	if atTheRequest(e) {
		return aroundDeletion(e)
	}
	a := deleted(e)
	if s.HasExitCode && s.ExitCode == 137 && s.Reason != "OOMKilled" && s.Field != "" && p.DeletionGraceSeconds > 0 &&
		!s.FinishedAt.IsZero() && !s.FinishedAt.Before(p.DeletionTimestamp.Add(-time.Second)) {
		a.cause = "grace_period_exceeded"
		a.summary = fmt.Sprintf("The pod was deleted, and the container still ran after its grace period of %d s: it was killed.", p.DeletionGraceSeconds)
	}
	return a
}

// deleted is the answer for a container that was stopped for the deletion of its pod.
func deleted(e *evidence.Evidence) *answer {
	return &answer{
		category:   record.Lifecycle,
		cause:      "pod_deleted",
		confidence: record.Confirmed,
		summary:    "The pod was deleted, and the container was stopped for that.",
		evidence:   append([]record.Evidence{timeEvidence(e, "metadata.deletionTimestamp", e.Pod.DeletionTimestamp)}, exitEvidence(e)...),
	}
}

// atTheRequest tells that the instance ended in the second in which the deletion was
// asked for, or so little before that the clocks of node and API server may be to blame:
// times alone do not tell which came first.
func atTheRequest(e *evidence.Evidence) bool {
	return e.Pod.DeletionGraceSeconds > 0 && !e.Stop.FinishedAt.IsZero() && !e.Stop.FinishedAt.After(deletionRequested(&e.Pod))
}

// aroundDeletion decides such an end by the Killing event, which the kubelet writes
// before it stops a container for a deletion.
func aroundDeletion(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.Reason == "StartError" || s.Reason == "OOMKilled" && s.ExitCode == 137 {
		return nil // the runtime says what it was
	}
	a := deleted(e)
	k := killing(e)
	switch {
	case k != nil && plainStop(k):
		a.evidence = append(a.evidence, eventEvidence(e, k))
		return a
	case k != nil:
		return nil // another rule knows that kill
	case covered(e) && s.FinishedAt.Before(deletionRequested(&e.Pod)):
		return nil
	}
	a.confidence = record.Likely
	a.alternatives = []record.Alternative{{Cause: "app_exit", Why: "it ended when the deletion was asked for, and may have ended by itself"}}
	if !covered(e) {
		a.missing = []record.Missing{eventsMissing(e)}
	}
	return a
}

// deletionRequested is when the deletion was asked for. The kubelet's final delete
// sets the grace period to zero; the request then lies up to the spec's own grace
// period, and whatever the kubelet took, before the timestamp.
func deletionRequested(p *evidence.Pod) time.Time {
	if p.DeletionGraceSeconds > 0 {
		return p.DeletionTimestamp.Add(-time.Duration(p.DeletionGraceSeconds) * time.Second)
	}
	return p.DeletionTimestamp.Add(-time.Duration(p.TerminationGraceSeconds)*time.Second - time.Minute)
}

// endedBefore tells that the instance ended for certain before t, so that what happened at t is not why.
func endedBefore(e *evidence.Evidence, t time.Time) bool {
	f := e.Stop.FinishedAt
	return !f.IsZero() && !t.IsZero() && f.Before(t.Add(-skew))
}

// sidecarStopped: the kubelet stops sidecars once the regular containers of a pod have finished (KEP-753).
func sidecarStopped(e *evidence.Evidence) *answer {
	if e.Container.Type != record.Sidecar || !e.Pod.AppsFinished || e.Pod.Phase != "Succeeded" && e.Pod.Phase != "Failed" && policy(&evidence.Evidence{Pod: e.Pod}) == "Always" {
		return nil
	}
	return &answer{
		category:   record.Lifecycle,
		cause:      "sidecar_stopped",
		confidence: record.Likely,
		summary:    "The pod's regular containers had finished, and the kubelet stops sidecars after them.",
		evidence:   exitEvidence(e),
		alternatives: []record.Alternative{
			{Cause: "app_exit", Why: "the sidecar may have ended by itself at the same time"},
		},
	}
}
