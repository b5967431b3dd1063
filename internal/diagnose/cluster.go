package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the cluster did to the whole pod. Sources: pkg/kubelet/eviction,
// preemption, nodeshutdown; pkg/controller/tainteviction, podgc;
// pkg/registry/core/pod/storage/eviction.go; KEP-3329 for the condition DisruptionTarget.

// disruptionTarget: the condition DisruptionTarget names who ended the pod.
func disruptionTarget(e *evidence.Evidence) *answer {
	c := e.Pod.Disruption
	if c == nil {
		return nil
	}
	if c.Reason == "TerminationByKubelet" {
		reason, message := e.Pod.Reason, e.Pod.Message
		if byKubelet(e, reason, message) == nil {
			reason, message = kubeletReason(c.Message), c.Message
		}
		return kubeletEnded(e, reason, message)
	}
	if neverRan(e.Stop) || killedBefore(e) {
		return nil
	}
	if p := &e.Pod; c.Reason != "DeletionByPodGC" && !p.DeletionTimestamp.IsZero() && !c.Time.IsZero() {
		// Who sets the condition deletes the pod at once. A deletion long after it was another's,
		// and one long before it was on its way already.
		if d := deletionRequested(p).Sub(c.Time); d > clocks || d < -clocks && p.DeletionGraceSeconds > 0 {
			return nil
		}
	}
	if c.Reason != "DeletionByPodGC" && (e.Pod.DeletionTimestamp.IsZero() && e.Stop.ExitObserved || byItself(e)) {
		// The condition is set before the deletion is asked for, which may fail.
		return nil
	}
	if endedBefore(e, c.Time) && !stoppedNear(e, c.Time) {
		return nil
	}
	a := &answer{category: record.Disruption, confidence: record.Confirmed}
	ev := statusEvidence(e)
	reason, message := ev("status.conditions[DisruptionTarget].reason", c.Reason), ev("status.conditions[DisruptionTarget].message", c.Message)
	reason.Time, message.Time = c.Time, c.Time
	a.evidence = []record.Evidence{reason, message}
	switch c.Reason {
	case "EvictionByEvictionAPI":
		a.cause, a.summary = "eviction_api", "The pod was evicted through the eviction API, as a node drain does"
		if n := e.Node; n != nil && n.Unschedulable {
			a.summary += fmt.Sprintf("; its node %s is cordoned", n.Name)
			a.evidence = append(a.evidence, nodeEvidence(e, "spec.unschedulable", "true", time.Time{}))
		}
	case "PreemptionByScheduler":
		a.cause, a.summary = "preempted", "The scheduler preempted the pod to make room for one of higher priority"
		if p := lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "Preempted" && !ev.Container }); p != nil {
			a.evidence = append(a.evidence, eventEvidence(e, p))
		}
	case "DeletionByTaintManager":
		a.cause, a.summary = "taint_eviction", "The pod was evicted because it does not tolerate a NoExecute taint of its node"
		a.quoteTaints(e)
	case "DeletionByDeviceTaintManager":
		a.cause, a.detail, a.summary = "taint_eviction", "device", "The pod was evicted because it does not tolerate a NoExecute taint of a device that it was given"
	case "DeletionByPodGC":
		a.cause, a.summary = "pod_gc", "The pod garbage collector removed the pod"
		if c.Message == "PodGC: node no longer exists" {
			a.summary += " because its node is gone"
		}
	default:
		return nil
	}
	a.summary += overrun(e) + "."
	a.perhapsItself(e, c.Time)
	a.alsoMemory(e)
	a.evidence = append(a.evidence, exitEvidence(e)...)
	return a
}

// disruptionEvent: the pod was deleted, its condition is not there, and the scheduler or the
// taint manager says in an event that it deleted the pod.
func disruptionEvent(e *evidence.Evidence) *answer {
	p, s := &e.Pod, e.Stop
	if p.Disruption != nil || p.DeletionTimestamp.IsZero() && s.ExitObserved || neverRan(s) || killedBefore(e) || byItself(e) {
		return nil
	}
	for i := range e.Events {
		ev := &e.Events[i]
		a := &answer{category: record.Disruption, confidence: record.Confirmed}
		switch {
		case ev.Container, ev.Other != "", ev.Object != "", ev.Last.IsZero(), endedBefore(e, ev.Last):
			continue
		case !p.DeletionTimestamp.IsZero() && (ev.Last.Before(deletionRequested(p).Add(-eventSlack)) || ev.Last.After(p.DeletionTimestamp.Add(skew))):
			continue
		case ev.Reason == "Preempted" && strings.HasPrefix(ev.Message, "Preempted by"):
			a.cause, a.summary = "preempted", "The scheduler preempted the pod to make room for one of higher priority"
		case ev.Reason == "TaintManagerEviction" && strings.HasPrefix(ev.Message, "Marking for deletion"):
			a.cause, a.summary = "taint_eviction", "The pod was evicted because it does not tolerate a NoExecute taint of its node"
		case ev.Reason == "DeviceTaintManagerEviction" && strings.HasPrefix(ev.Message, "Marking for deletion"):
			a.cause, a.detail, a.summary = "taint_eviction", "device", "The pod was evicted because it does not tolerate a NoExecute taint of a device that it was given"
		default:
			continue
		}
		a.evidence = []record.Evidence{eventEvidence(e, &occurrence{ev, ev.Last})}
		if !p.DeletionTimestamp.IsZero() {
			a.evidence = append(a.evidence, timeEvidence(e, "metadata.deletionTimestamp", p.DeletionTimestamp))
		}
		if a.cause == "taint_eviction" && a.detail == "" {
			a.quoteTaints(e)
		}
		a.summary += overrun(e) + "."
		a.perhapsItself(e, ev.Last)
		a.alsoMemory(e)
		a.evidence = append(a.evidence, exitEvidence(e)...)
		return a
	}
	return nil
}

// tolerated tells that a pod tolerates a NoExecute taint for good.
func tolerated(p *evidence.Pod, t *evidence.Taint) bool {
	return slices.ContainsFunc(p.Tolerations, func(o evidence.Toleration) bool {
		exists := o.Operator == "Exists"
		return o.Seconds == nil && (o.Effect == "" || o.Effect == t.Effect) && (o.Key == t.Key || o.Key == "" && exists) && (exists || o.Value == t.Value)
	})
}

// quoteTaints adds the taints of the node that evict the pod.
func (a *answer) quoteTaints(e *evidence.Evidence) {
	if e.Node == nil {
		return
	}
	var names []string
	for _, t := range e.Node.Taints {
		if t.Effect != "NoExecute" || tolerated(&e.Pod, &t) {
			continue
		}
		name := t.Key
		if t.Value != "" {
			name += "=" + t.Value
		}
		names = append(names, name)
		a.evidence = append(a.evidence, nodeEvidence(e, "spec.taints", name+":NoExecute", t.Time))
	}
	if len(names) > 0 {
		a.summary += " (" + strings.Join(names, ", ") + ")"
	}
}

// overrun tells, for a sentence, that the container was killed at the end of a grace period; empty otherwise.
func overrun(e *evidence.Evidence) string {
	if g, ok := graceExceeded(e); ok {
		return fmt.Sprintf(", and the container was killed at the end of its grace period of %s", span(g))
	}
	return ""
}

// podStatusReason: the kubelet ended the pod and says so in status.reason. It writes
// that after all containers stopped (status_manager.go mergePodStatus), so it explains
// only those that were the last of their container, and of those the ones that it stopped.
func podStatusReason(e *evidence.Evidence) *answer {
	if e.Pod.Phase != "Failed" {
		return nil
	}
	return kubeletEnded(e, e.Pod.Reason, e.Pod.Message)
}

// kubeletReason gives the reason for which the kubelet ended a pod by the message of its
// condition, where the status lost its own.
func kubeletReason(message string) string {
	switch {
	case strings.HasPrefix(message, "The node was low on resource: "):
		return "Evicted"
	case strings.HasPrefix(message, "Pod was preempted by Kubelet"):
		return "Preempting"
	case strings.HasPrefix(message, "Pod was terminated in response to imminent node shutdown"):
		return "Terminated"
	}
	return ""
}

// kubeletEnded is the answer for a pod that the kubelet ended, as far as that is why this
// container did.
func kubeletEnded(e *evidence.Evidence, reason, message string) *answer {
	s := e.Stop
	if s.ExitObserved && strings.Contains(s.Field, ".lastState.") && e.Container.WaitingReason == "" || neverRan(s) {
		return nil
	}
	a := byKubelet(e, reason, message)
	if a == nil {
		return nil
	}
	killed := killing(e)
	if killed != nil && !plainStop(killed.event) {
		return nil // another rule knows that kill
	}
	if killed == nil && beforeTheKill(e) {
		return nil
	}
	ev := statusEvidence(e)
	if reason == e.Pod.Reason {
		a.evidence = []record.Evidence{ev("status.reason", reason), ev("status.message", message)}
	} else {
		a.evidence = []record.Evidence{ev("status.conditions[DisruptionTarget].message", message)}
	}
	switch {
	case killed != nil:
		a.evidence = append(a.evidence, eventEvidence(e, killed))
	case s.HasExitCode && !synthetic(s) && (s.Reason != "Error" || s.ExitCode != 137 && s.ExitCode != 143), covered(e) && !lossy(e) && s.Reason != "Error":
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: ownCause(e), Why: "no Killing event of this container is there: it may have ended before the kubelet stopped the pod"}}
	}
	a.alsoMemory(e)
	a.evidence = append(a.evidence, exitEvidence(e)...)
	return a
}

// beforeTheKill tells that the container had ended before the kubelet began to end the
// pod: before the event that says so, or much earlier than another container of the
// pod, as it stops all at once.
func beforeTheKill(e *evidence.Evidence) bool {
	f := e.Stop.FinishedAt
	if f.IsZero() {
		return false
	}
	for i := range e.Events {
		if ev := &e.Events[i]; endsThePod(ev) && ev.Reason == e.Pod.Reason && !ev.First.IsZero() {
			return f.Before(ev.First.Add(-skew))
		}
	}
	if d := e.Pod.ActiveDeadlineSeconds; e.Pod.Reason == "DeadlineExceeded" && d > 0 && !e.Pod.StartedAt.IsZero() && f.Before(e.Pod.StartedAt.Add(seconds(d)-skew)) {
		return true
	}
	grace := seconds(e.Pod.TerminationGraceSeconds) + time.Minute
	if c := e.Pod.Disruption; c != nil && c.Reason == "TerminationByKubelet" && !c.Time.IsZero() && f.Before(c.Time.Add(-grace)) {
		return true
	}
	for i := range e.Others {
		if o := e.Others[i].Ended; o != nil && f.Before(o.FinishedAt.Add(-grace)) {
			return true
		}
	}
	return false
}

// endsThePod tells the events by which the kubelet says that it ends a pod.
func endsThePod(ev *evidence.Event) bool {
	switch ev.Reason {
	case "Evicted", "Preempting", "DeadlineExceeded":
		return !ev.Container && ev.Other == "" && ev.Object == ""
	}
	return false
}

// evictedEvent: the kubelet ended the pod, and its status does not say so, or not yet: a
// pod whose programs answer with exit code 0 ends as Succeeded, without a reason (issue
// 105467 of kubernetes/kubernetes).
func evictedEvent(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil || !plainStop(k.event) {
		return nil
	}
	ev := lastEvent(e, endsThePod)
	if ev == nil || k.at.Before(ev.at.Add(-skew)) {
		return nil
	}
	a := byKubelet(e, ev.event.Reason, ev.event.Message)
	if a != nil {
		a.evidence = append([]record.Evidence{eventEvidence(e, ev), eventEvidence(e, k)}, exitEvidence(e)...)
	}
	return a
}

var (
	lowOn       = regexp.MustCompile(`^The node was low on resource: ([A-Za-z0-9./-]*[A-Za-z0-9])`)
	threshold   = regexp.MustCompile(`Threshold quantity: ([^,]+), available: ([^.]+(?:\.\d+)?[A-Za-z]*)\. `)
	emptyDir    = regexp.MustCompile(`^Usage of EmptyDir volume "([^"]*)" exceeds the limit "([^"]*)"`)
	podStorage  = regexp.MustCompile(`^Pod ephemeral local storage usage exceeds the total limit of containers ([^ ]+?)\.? *$`)
	overStorage = regexp.MustCompile(`^Container (\S+) exceeded its local ephemeral storage limit "([^"]*)"`)
)

// byKubelet tells why the kubelet ended a pod by the reason and message that it gives,
// which are the same in the pod's status and in its event.
func byKubelet(e *evidence.Evidence, reason, message string) *answer {
	a := &answer{category: record.Disruption, confidence: record.Confirmed}
	switch reason {
	case "Evicted":
		return evicted(a, message)
	case "Preempting":
		a.cause, a.summary = "kubelet_preempted", "The kubelet ended the pod to admit a critical one."
	case "Terminated", "NodeShutdown":
		a.cause, a.summary = "node_shutdown", "The kubelet ended the pod because its node is shutting down."
	case "DeadlineExceeded":
		a.category, a.cause, a.detail = record.Failure, "deadline_exceeded", "pod"
		a.summary = "The pod ran longer than its activeDeadlineSeconds."
		if d := e.Pod.ActiveDeadlineSeconds; d > 0 {
			a.summary = fmt.Sprintf("The pod ran longer than its activeDeadlineSeconds, which is %d (%s), and the kubelet ended it.", d, span(seconds(d)))
		}
	default:
		return nil
	}
	return a
}

// evicted tells apart what the kubelet evicts for (pkg/kubelet/eviction): pressure of
// the node, which the pod may be innocent of, and limits of the pod's own, which it broke.
func evicted(a *answer, message string) *answer {
	if m := lowOn.FindStringSubmatch(message); m != nil {
		a.cause, a.detail = "node_pressure_eviction", m[1]
		a.summary = fmt.Sprintf("The kubelet evicted the pod because its node ran low on %s", m[1])
		if t := threshold.FindStringSubmatch(message); t != nil {
			a.summary += fmt.Sprintf(" (%s available, the threshold is %s)", t[2], t[1])
		}
		a.summary += "."
		return a
	}
	a.category, a.cause = record.Failure, "storage_limit_eviction"
	if m := emptyDir.FindStringSubmatch(message); m != nil {
		a.detail = "empty_dir"
		a.summary = fmt.Sprintf("The kubelet evicted the pod because it wrote more into its emptyDir volume %q than the limit of %s.", m[1], m[2])
		return a
	}
	if m := podStorage.FindStringSubmatch(message); m != nil {
		a.detail = "pod"
		a.summary = fmt.Sprintf("The kubelet evicted the pod because it used more local storage than the limits of its containers together, %s.", m[1])
		return a
	}
	if m := overStorage.FindStringSubmatch(message); m != nil {
		a.detail = "container"
		a.summary = fmt.Sprintf("The kubelet evicted the pod because its container %s used more local storage than its limit of %s.", m[1], m[2])
		return a
	}
	return nil
}

// sidecarStopped: the kubelet stops sidecars once the regular containers of a pod have finished (KEP-753).
func sidecarStopped(e *evidence.Evidence) *answer {
	if e.Container.Type != record.Sidecar || !e.Pod.AppsFinished || e.Pod.Phase != "Succeeded" && e.Pod.Phase != "Failed" && e.Pod.RestartPolicy == "Always" {
		return nil
	}
	last, known := lastApp(e)
	if known && endedBefore(e, last.FinishedAt) {
		return nil
	}
	if known && last.ExitCode != 0 && e.Pod.Phase == "Running" && e.Pod.RestartPolicy == "OnFailure" {
		return nil // that one is started again, and the sidecars stay
	}
	k := killing(e)
	if k != nil && !plainStop(k.event) {
		return nil
	}
	a := &answer{
		category:   record.Lifecycle,
		cause:      "sidecar_stopped",
		confidence: record.Likely,
		summary:    "The pod's regular containers had finished, and the kubelet stops sidecars after them.",
		evidence:   exitEvidence(e),
	}
	if k != nil {
		a.confidence = record.Confirmed
		a.evidence = append([]record.Evidence{eventEvidence(e, k)}, a.evidence...)
		return a
	}
	a.alternatives = []record.Alternative{{Cause: "app_exit", Why: "the sidecar may have ended by itself at the same time"}}
	if !covered(e) {
		a.missing = []record.Missing{eventsMissing(e)}
	}
	return a
}

// lastApp returns the end of the regular container that finished last.
func lastApp(e *evidence.Evidence) (last evidence.Ended, known bool) {
	for i := range e.Others {
		c := &e.Others[i]
		if c.Type != record.App || c.Ended == nil {
			continue
		}
		if !known || c.Ended.FinishedAt.After(last.FinishedAt) {
			last, known = *c.Ended, true
		}
	}
	return last, known
}
