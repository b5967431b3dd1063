package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the pod was deleted and does not go away. The kubelet stops the
// containers, and then deletes the pod with a grace period of 0; finalizers keep it even
// after that (pkg/kubelet/status/status_manager.go, KEP on finalizers in apimachinery).

// killTime is what the kubelet may take beyond the grace period: the last two seconds,
// the runtime's time-outs, volumes.
const killTime = 30 * time.Second

// terminating explains a pod that is still there long after its deletion.
func terminating(e *evidence.Evidence) *answer {
	p := &e.Pod
	if p.DeletionTimestamp.IsZero() {
		return nil
	}
	if over, known := lasted(e, p.DeletionTimestamp); known && over < killTime {
		return nil
	}
	a := &answer{
		cause:      "terminating_stuck",
		confidence: record.Confirmed,
		evidence:   []record.Evidence{timeEvidence(e, "metadata.deletionTimestamp", p.DeletionTimestamp)},
	}
	overdue := forHow(e, p.DeletionTimestamp)
	left := alive(e)
	node := troubleOfNode(e)
	switch {
	case node.silent() && len(left) > 0:
		return stuckNode(e, a, node)
	case len(p.Finalizers) > 0 && len(left) == 0:
		return stuckFinalizer(e, a, overdue)
	}
	ev := newest(e.Events, func(ev *evidence.Event) bool {
		return (ev.Reason == "FailedKillPod" || ev.Reason == "ExceededGracePeriod") && !ev.Last.Before(deletionRequested(p).Add(-skew))
	})
	a.next = append(nodeSteps(e), record.NextStep{
		Text:    "Only if the containers are known to be gone: remove the pod from the API by force, which stops nothing on the node",
		Command: kubectl("delete", "pod", p.Name, "-n", p.Namespace, "--grace-period=0", "--force"),
	})
	for _, c := range left {
		a.evidence = append(a.evidence, statusEvidence(e)(containerPath(c)+".state", c.State))
	}
	switch {
	case ev != nil:
		a.detail = either(ev.Reason == "FailedKillPod", "kill_failed", "grace_period_exceeded")
		a.evidence = append(a.evidence, quoteEvent(e, ev))
		a.summary = fmt.Sprintf("The pod should have been gone%s, and the runtime of its node %s cannot end it: %s.", overdue, p.Node, brief(last(ev.Message)))
	case len(left) > 0:
		a.detail, a.confidence = "containers_running", record.Likely
		a.summary = fmt.Sprintf("The pod should have been gone%s, and %s still reported on its node %s.", overdue, containersText(left), p.Node)
		a.alternatives = []record.Alternative{
			{Cause: "node_lost", Why: "a process in uninterruptible sleep, a runtime that hangs or a dead kubelet look the same from here"},
		}
		a.missing = []record.Missing{lostEvents(e, "an event FailedKillPod or ExceededGracePeriod")}
	default:
		a.confidence = record.Likely
		a.summary = fmt.Sprintf("The pod should have been gone%s; its containers have ended, and the kubelet of its node %s has not removed it.", overdue, p.Node)
		a.alternatives = []record.Alternative{{Cause: "volume_mount_failed", Why: "a volume that cannot be unmounted keeps the pod, and has no event of its own"}}
		a.missing = []record.Missing{{What: "the kubelet's log", Why: "the API does not say what the kubelet waits for"}}
	}
	if len(p.Finalizers) > 0 {
		a.evidence = append(a.evidence, quoteFinalizers(e)...)
		a.summary = strings.TrimSuffix(a.summary, ".") + fmt.Sprintf("; after that, the finalizer %s keeps it.", p.Finalizers[0])
	}
	return a
}

// stuckFinalizer: its containers are gone, and something else has to let the pod go.
func stuckFinalizer(e *evidence.Evidence, a *answer, overdue string) *answer {
	f := e.Pod.Finalizers
	a.detail = f[0]
	a.evidence = append(a.evidence, quoteFinalizers(e)...)
	a.summary = fmt.Sprintf("The pod was deleted and none of its containers runs, and %s %s %s it in the API%s: the controller that set %s has not removed %s.",
		either(len(f) == 1, "the finalizer", "the finalizers"), strings.Join(f, ", "), either(len(f) == 1, "keeps", "keep"), overdue,
		either(len(f) == 1, "it", "them"), either(len(f) == 1, "it", "them"))
	if slices.ContainsFunc(e.Others, func(c evidence.Container) bool { return c.Ended != nil }) {
		a.ruledOut = []record.Alternative{{Cause: "node_lost", Why: "its node has reported that the containers ended"}}
	}
	a.next = []record.NextStep{
		step(e, "Find the controller that the finalizer belongs to, and see why it does not finish", "get", "pod", e.Pod.Name, "-o", "jsonpath={.metadata.finalizers}"),
		step(e, "Only if that controller is gone for good: remove the finalizer by hand, which skips what it was to do", "edit", "pod", e.Pod.Name),
	}
	return a
}

func quoteFinalizers(e *evidence.Evidence) []record.Evidence {
	var out []record.Evidence
	for _, f := range e.Pod.Finalizers {
		q := statusEvidence(e)("metadata.finalizers", f)
		q.Source = "pod-metadata"
		out = append(out, q)
	}
	return out
}

// stuckNode: nobody on the node can tell that the containers have ended. If the cluster
// deleted the pod for that node, the lost node is the cause of it all.
func stuckNode(e *evidence.Evidence, a *answer, node *nodeTrouble) *answer {
	if d := e.Pod.Disruption; d != nil && d.Reason == "DeletionByTaintManager" {
		lost := nodeLost(e, node)
		lost.evidence = append(append(lost.evidence, a.evidence...), quoteCondition(e, &evidence.Condition{Type: "DisruptionTarget", Status: "True", Reason: d.Reason, Message: d.Message, Time: d.Time})...)
		return lost
	}
	a.category, a.detail, a.confidence = record.Disruption, "node_lost", node.confidence
	a.summary = fmt.Sprintf("The pod was deleted and is still there, because %s: nobody can tell that its containers have ended.", node.what)
	a.evidence = append(a.evidence, node.evidence...)
	a.missing = node.missing
	a.next = append(nodeSteps(e), record.NextStep{
		Text:    "If the node is gone for good, delete its Node object: its pods then go too",
		Command: kubectl("delete", "node", e.Pod.Node),
	})
	if node.confidence != record.Confirmed {
		a.alternatives = []record.Alternative{{Cause: "terminating_stuck", Why: "the node may have come back since, and another thing may hold the pod"}}
	}
	return a
}

// alive are the containers that are not reported as ended.
func alive(e *evidence.Evidence) []*evidence.Container {
	var out []*evidence.Container
	if c := &e.Container; c.Name != "" && c.State == "running" {
		out = append(out, c)
	}
	for i := range e.Others {
		if c := &e.Others[i]; c.State == "running" {
			out = append(out, c)
		}
	}
	return out
}

func containersText(list []*evidence.Container) string {
	if len(list) == 1 {
		return "the container " + list[0].Name + " is"
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name
	}
	return "the containers " + strings.Join(names, ", ") + " are"
}
