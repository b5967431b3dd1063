package diagnose

import (
	"fmt"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the node does not answer any more. The node lifecycle controller then
// sets the pod's Ready to False and leaves the statuses of its containers as they were
// (pkg/controller/nodelifecycle), so that they say nothing of now.

// nodeTrouble is what is wrong with a node.
type nodeTrouble struct {
	// detail is gone, unreachable or not_ready.
	detail     string
	confidence record.Confidence
	what       string
	evidence   []record.Evidence
	missing    []record.Missing
}

// silent tells that nobody reports the pod's state any more.
func (n *nodeTrouble) silent() bool { return n != nil && n.detail != "not_ready" }

// troubleOfNode tells what is wrong with the pod's node; nil where nothing is known to be.
func troubleOfNode(e *evidence.Evidence) *nodeTrouble {
	if n := e.Node; n != nil {
		ev := quoteNode(e)
		if n.Gone {
			return &nodeTrouble{
				detail:     "gone",
				confidence: record.Confirmed,
				what:       fmt.Sprintf("its node %s does not exist (any more)", n.Name),
				evidence:   []record.Evidence{ev("metadata.name", "no such node"), specEvidence(e, "spec.nodeName", e.Pod.Node)},
			}
		}
		c := condition(n.Conditions, "Ready")
		if c == nil || c.Status == "True" || c.Status == "" {
			return nil
		}
		t := &nodeTrouble{detail: "unreachable", confidence: record.Confirmed, evidence: conditionParts(ev, c)}
		t.what = fmt.Sprintf("the kubelet of its node %s has not reported%s", n.Name, forHow(e, c.Time))
		if c.Status == "False" {
			t.detail = "not_ready"
			t.what = fmt.Sprintf("its node %s is not ready", n.Name)
			if c.Message != "" {
				t.what += " (" + brief(c.Message) + ")"
			}
		}
		if ev := nodeNotReady(e); ev != nil {
			t.evidence = append(t.evidence, quoteEvent(e, ev))
		}
		return t
	}
	ev := nodeNotReady(e)
	if ev == nil {
		return nil
	}
	if r := condition(e.Pod.Conditions, "Ready"); r != nil && r.Time.After(ev.Last.Add(skew)) {
		return nil // the kubelet has reported since
	}
	return &nodeTrouble{
		detail:     "unreachable",
		confidence: record.Likely,
		what:       fmt.Sprintf("its node %s was found not to be ready", e.Pod.Node),
		evidence:   []record.Evidence{quoteEvent(e, ev)},
		missing:    []record.Missing{{What: "node " + e.Pod.Node, Why: "its condition Ready would tell whether it is still so; it was not read"}},
	}
}

// nodeNotReady is the event that the node lifecycle controller writes for each pod of a node.
func nodeNotReady(e *evidence.Evidence) *evidence.Event {
	return newest(e.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "NodeNotReady" && !ev.Container && ev.Other == ""
	})
}

// nodeLost is the answer for a pod whose node is in trouble.
func nodeLost(e *evidence.Evidence, n *nodeTrouble) *answer {
	a := &answer{
		category:   record.Disruption,
		cause:      "node_lost",
		detail:     n.detail,
		confidence: n.confidence,
		summary:    fmt.Sprintf("The pod is out of reach: %s.", n.what),
		evidence:   n.evidence,
		missing:    n.missing,
		next:       nodeSteps(e),
	}
	if n.silent() {
		a.summary = fmt.Sprintf("The pod is out of reach: %s, and what its status says of its containers is what they were before.", n.what)
		a.missing = append(a.missing, record.Missing{What: "state of the containers", Why: "only the kubelet of the node could tell, and it does not report"})
	} else {
		a.summary = fmt.Sprintf("The pod is not ready because %s.", n.what)
	}
	if n.confidence != record.Confirmed {
		a.alternatives = []record.Alternative{{Cause: "readiness_probe", Why: "the node may have come back since, and the pod may not be ready for a reason of its own"}}
	}
	return a
}

func nodeSteps(e *evidence.Evidence) []record.NextStep {
	if e.Pod.Node == "" {
		return nil
	}
	if e.Node != nil && e.Node.Gone {
		return []record.NextStep{{Text: "See which nodes there are; a pod bound to a node that does not exist is removed by the pod garbage collector", Command: kubectl("get", "nodes")}}
	}
	return []record.NextStep{
		{Text: "See since when the node does not report, and what its conditions say", Command: kubectl("describe", "node", e.Pod.Node)},
		{Text: "See what else runs there and is out of reach", Command: kubectl("get", "pods", "-A", "--field-selector", "spec.nodeName="+e.Pod.Node)},
	}
}
