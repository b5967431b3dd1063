package diagnose

import (
	"fmt"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: no node was chosen for the pod (pkg/scheduler/schedule_one.go,
// framework/types.go, framework/plugins).

// scaleUp is how long a cluster autoscaler may take to bring a node that it has asked for
// (its --max-node-provision-time).
const scaleUp = 15 * time.Minute

// provisionTime is how long a volume may take to be made; the scheduler waits for it for
// ten minutes (VolumeBindingArgs.bindTimeoutSeconds), and begins anew.
const provisionTime = 3 * time.Minute

// preemptTime is how long the pods that were preempted for this one may take to go.
const preemptTime = 2 * time.Minute

// unscheduled explains a pod without a node.
func unscheduled(e *evidence.Evidence) *answer {
	p := &e.Pod
	c := condition(p.Conditions, "PodScheduled")
	if p.Node != "" || c != nil && c.Status == "True" {
		return nil // it has one by now
	}
	if len(p.SchedulingGates) > 0 || c != nil && c.Reason == "SchedulingGated" {
		return gated(e, c)
	}
	ev := newest(e.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "FailedScheduling" && !ev.Container && ev.Other == ""
	})
	message := ""
	var from []record.Evidence
	switch {
	case c != nil && c.Message != "":
		message, from = c.Message, quoteCondition(e, c)
	case ev != nil:
		message, from = ev.Message, []record.Evidence{quoteEvent(e, ev)}
	default:
		return notScheduled(e, c)
	}
	f := parseFitError(message)
	if scalesUp(e) != nil || young(e, preemptTime) && (e.Pod.NominatedNode != "" || f.preempts()) {
		return nil
	}
	if e.Pod.NominatedNode != "" {
		from = append(from, statusEvidence(e)("status.nominatedNodeName", e.Pod.NominatedNode))
	}
	if f.parsed {
		return unfit(e, f, from)
	}
	return schedulerError(e, message, from)
}

// gated: the pod is not to be scheduled yet (KEP-3521).
func gated(e *evidence.Evidence, c *evidence.Condition) *answer {
	gates := e.Pod.SchedulingGates
	a := &answer{
		cause:      "scheduling_gated",
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("The pod waits%s for its scheduling gates to be removed, which is up to whoever set them.", forHow(e, stallBegin(e))),
		next:       []record.NextStep{step(e, "See the gates, and which controller is to remove them", "get", "pod", e.Pod.Name, "-o", "jsonpath={.spec.schedulingGates}")},
	}
	for _, g := range gates {
		a.evidence = append(a.evidence, specEvidence(e, "spec.schedulingGates", g))
	}
	if c != nil {
		a.evidence = append(a.evidence, quoteCondition(e, c)...)
	}
	if len(gates) > 0 {
		a.detail = gates[0]
		a.summary = fmt.Sprintf("The pod waits%s for %s %s to be removed, which is up to whoever set %s.", forHow(e, stallBegin(e)),
			either(len(gates) == 1, "its scheduling gate", "its scheduling gates"), strings.Join(gates, ", "), either(len(gates) == 1, "it", "them"))
	}
	return a
}

// notScheduled: no scheduler has said anything of the pod.
func notScheduled(e *evidence.Evidence, c *evidence.Condition) *answer {
	if claim := provisioning(e); claim != nil {
		if !provisionFailed(claim) && young(e, provisionTime) {
			return nil // a node is chosen once the volume is made
		}
		a := &answer{
			cause: "unschedulable", detail: "pvc_unbound", confidence: record.Likely,
			summary:      fmt.Sprintf("The scheduler waits for the volume of the claim %s, which is not made%s.", claim.Name, forHow(e, stallBegin(e))),
			alternatives: []record.Alternative{{Cause: "not_scheduled", Why: "no scheduler has said anything of the pod"}},
		}
		a.evidence = quoteClaimState(e, claim)
		a.next = claimSteps(e, claim.Name)
		return a
	}
	p := &e.Pod
	a := &answer{
		cause:      "not_scheduled",
		confidence: record.Likely,
		evidence:   []record.Evidence{specEvidence(e, "spec.schedulerName", p.SchedulerName), statusEvidence(e)("status.phase", p.Phase)},
		ruledOut:   []record.Alternative{{Cause: "unschedulable", Why: "a scheduler that finds no node says so in the condition PodScheduled, and there is none"}},
		next:       []record.NextStep{{Text: "See whether the scheduler runs", Command: kubectl("get", "pods", "-A", "-l", "component=kube-scheduler")}},
	}
	if c != nil {
		a.evidence = append(a.evidence, quoteCondition(e, c)...)
	}
	if !p.CreatedAt.IsZero() {
		a.evidence = append(a.evidence, timeEvidence(e, "metadata.creationTimestamp", p.CreatedAt))
	}
	if s := p.SchedulerName; s != "" && s != "default-scheduler" {
		a.detail = "scheduler_name"
		a.summary = fmt.Sprintf("No scheduler has taken the pod%s; it asks for the scheduler %s, which does not seem to run.", forHow(e, stallBegin(e)), s)
		a.alternatives = []record.Alternative{{Cause: "unschedulable", Why: "a scheduler other than the default one may not write down what it decides"}}
		a.ruledOut = nil
		a.next = []record.NextStep{
			{Text: "See whether a scheduler of this name runs", Command: kubectl("get", "pods", "-A")},
			edit(e, "Or name the one that does: spec.schedulerName"),
		}
		return a
	}
	a.summary = fmt.Sprintf("No scheduler has taken the pod%s: the scheduler does not run, or is far behind.", forHow(e, stallBegin(e)))
	a.missing = []record.Missing{{What: "state of the scheduler", Why: "the API does not say whether one runs"}}
	return a
}

// provisioning returns a claim whose volume the scheduler may be waiting for.
func provisioning(e *evidence.Evidence) *evidence.Claim {
	for i := range e.Claims {
		c := &e.Claims[i]
		if c.Phase == "Pending" && newest(c.Events, hasReason("Provisioning", "ExternalProvisioning", "ProvisioningFailed")) != nil {
			return c
		}
	}
	return nil
}

// provisionFailed tells that the newest news of a claim is that its volume cannot be made.
func provisionFailed(c *evidence.Claim) bool {
	ev := newest(c.Events, func(*evidence.Event) bool { return true })
	return ev != nil && ev.Reason == "ProvisioningFailed"
}

// schedulerError: the scheduler failed at something else than finding a node.
func schedulerError(e *evidence.Evidence, message string, from []record.Evidence) *answer {
	a := &answer{confidence: record.Confirmed, evidence: from}
	// running PreBind plugin "VolumeBinding": binding volumes: ...
	if strings.Contains(message, "binding volumes") {
		a.cause, a.detail = "unschedulable", "pvc_unbound"
		a.summary = fmt.Sprintf("A node was found, and the pod's volume was not bound there: %s.", brief(last(message)))
		for i := range e.Claims {
			if c := &e.Claims[i]; c.Phase == "Pending" {
				a.evidence = append(a.evidence, quoteClaimState(e, c)...)
				a.next = append(a.next, claimSteps(e, c.Name)...)
			}
		}
		return a
	}
	a.cause, a.detail = "not_scheduled", "scheduler_error"
	if c := classifyReason(message); c.detail != "other" {
		a.cause, a.detail = "unschedulable", c.detail
	} else if contains(message, "Failed to schedule pod", "incompatible with") {
		a.cause, a.detail = "unschedulable", "other" // Karpenter's words
	}
	a.summary = fmt.Sprintf("The pod was not scheduled: %s.", brief(message))
	a.next = []record.NextStep{step(e, "See the newest events of the pod", "events", "--for", "pod/"+e.Pod.Name)}
	return a
}

// scalesUp returns the event by which an autoscaler has asked for a node, and has not
// given up since; nil where there is none, or it is too old.
func scalesUp(e *evidence.Evidence) *evidence.Event {
	// Cluster Autoscaler, and Karpenter's Nominated.
	ev := newest(e.Events, hasReason("TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp", "Nominated"))
	if ev == nil || ev.Reason == "NotTriggerScaleUp" || ev.Reason == "FailedScaleUp" {
		return nil
	}
	if age, known := lasted(e, ev.Last); !known || age > scaleUp {
		return nil
	}
	return ev
}

// scaleUpRefused returns the event by which an autoscaler says that no new node would help.
func scaleUpRefused(e *evidence.Evidence) *evidence.Event {
	ev := newest(e.Events, hasReason("TriggeredScaleUp", "NotTriggerScaleUp", "FailedScaleUp"))
	if ev == nil || ev.Reason == "TriggeredScaleUp" {
		return nil
	}
	return ev
}
