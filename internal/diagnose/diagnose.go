// Package diagnose says why a container stopped, from evidence alone.
//
// Diagnose is a pure function: the same evidence gives the same finding, to the
// byte, with no clock and no input but its argument, so that a finding can be made
// again from history or from a dump. Where the evidence does not carry a cause, it
// says so, and names what would settle it; it never takes the likeliest story for a fact.
// Confirmed is what a fact of the API decides; what a log says never does.
//
// The rules stand in ordered families, one file each; the first rule that speaks
// decides. To add a cause, add a rule to its family and a case to the tests.
package diagnose

import (
	"slices"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// RulesVersion changes whenever a rule may answer differently than before.
const RulesVersion = "3"

// Finding is the answer for one stop or stall.
type Finding struct {
	Category  record.Category
	Diagnosis record.Diagnosis
	// WillRestart tells whether the kubelet starts the container again; nil where that
	// depends on what the evidence does not have.
	WillRestart *bool
}

// rule looks at the evidence and answers, or returns nil for "not mine".
type rule func(*evidence.Evidence) *answer

// answer is what a rule says; Diagnose completes it.
type answer struct {
	category     record.Category
	cause        string
	detail       string
	confidence   record.Confidence
	summary      string
	evidence     []record.Evidence
	alternatives []record.Alternative
	ruledOut     []record.Alternative
	missing      []record.Missing
	// next is what a rule about stalls says to do; for stops, next.go does.
	next []record.NextStep
	// target is what could not be reached; of stops, the program's last words tell.
	target string
}

// diagnosis is the answer in the form of the record.
func (a *answer) diagnosis(e *evidence.Evidence) record.Diagnosis {
	return record.Diagnosis{
		Cause:        a.cause,
		Detail:       a.detail,
		Confidence:   a.confidence,
		Summary:      a.summary,
		Evidence:     a.evidence,
		Alternatives: a.alternatives,
		RuledOut:     a.ruledOut,
		Missing:      missing(a.missing, e.Missing),
		RulesVersion: RulesVersion,
		Target:       a.target,
	}
}

// families returns the rules in the order in which they are asked: what the cluster
// did to the pod explains its containers' ends whatever their exit codes, then what the
// kubelet and the runtime report, and the exit code last.
func families() []rule {
	return []rule{
		initCompleted,
		disruptionTarget, disruptionEvent, podStatusReason, podDeleted, evictedEvent,
		sidecarStopped,
		standIn, restartedWithAll, runtimeUnknown, statusLost, seccompKilled, startError,
		probeKill, probeEndsPod, postStartHook, containerReplaced, sandboxChanged, sandboxDied, runtimeStateUnknown,
		oomKilled,
		probeUnseen,
		execFormat, exitZero, exitSignal, exitCode,
	}
}

// Diagnose explains a stop.
func Diagnose(e *evidence.Evidence) Finding {
	if e.Stop == nil {
		without := *e
		without.Stop = &evidence.Stop{ExitObserved: true}
		e = &without
	}
	a := ask(e)
	if a.confidence == record.Confirmed && len(a.evidence) == 0 {
		a.confidence = record.Likely // nothing to quote, nothing to confirm
		a.missing = append(a.missing, record.Missing{What: "terminated state", Why: "no state that could be quoted was kept"})
	}
	addChanges(e, a)
	remember(e, a)
	f := Finding{Category: a.category, Diagnosis: a.diagnosis(e), WillRestart: willRestart(e, a.cause)}
	quoteWords(e, &f.Diagnosis)
	f.Diagnosis.Next = next(e, &f.Diagnosis)
	f.Diagnosis.Advice = advise(e, &f.Diagnosis)
	return f
}

// missing joins what a rule would have needed with what was not to be had: where both
// name the same reading, the reason why it failed says more.
func missing(wanted, failed []record.Missing) []record.Missing {
	var out []record.Missing
	for _, w := range wanted {
		if !slices.ContainsFunc(failed, func(f record.Missing) bool { return f.What == w.What }) {
			out = append(out, w)
		}
	}
	return append(out, failed...)
}

func ask(e *evidence.Evidence) *answer {
	for _, r := range families() {
		if a := r(e); a != nil {
			return a
		}
	}
	return &answer{
		category:   record.Failure,
		cause:      "unknown",
		confidence: record.Unknown,
		summary:    "The container ended, and the API does not say how.",
		missing:    []record.Missing{{What: "terminated state", Why: "it was replaced or lost before it could be read; only the restart count tells of this stop"}},
	}
}
