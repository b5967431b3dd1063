// Package diagnose says why a container stopped, from evidence alone.
//
// Diagnose is a pure function: the same evidence gives the same finding, to the
// byte, with no clock and no input but its argument, so that a finding can be made
// again from history or from a dump. Where the evidence does not carry a cause, it
// says so, and names what would settle it; it never takes the likeliest story for a fact.
//
// The rules stand in ordered families, one file each; the first rule that speaks
// decides. To add a cause, add a rule to its family and a case to testdata.
package diagnose

import (
	"fmt"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// RulesVersion changes whenever a rule may answer differently than before.
const RulesVersion = "1"

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
}

// families returns the rules in the order in which they are asked: what the cluster
// did to the pod explains its containers' ends whatever their exit codes, then what the
// kubelet and the runtime report, and the exit code last.
func families() []rule {
	return []rule{
		initCompleted,
		disruptionTarget, podStatusReason, podDeleted, evictedEvent,
		sidecarStopped,
		standIn, runtimeUnknown, startError,
		probeKill, postStartHook, containerReplaced, sandboxChanged,
		oomKilled,
		exitZero, exitSignal, exitCode,
	}
}

// Diagnose explains a stop.
func Diagnose(e *evidence.Evidence) Finding {
	a := ask(e)
	d := record.Diagnosis{
		Cause:        a.cause,
		Detail:       a.detail,
		Confidence:   a.confidence,
		Summary:      a.summary,
		Evidence:     a.evidence,
		Alternatives: a.alternatives,
		RuledOut:     a.ruledOut,
		Missing:      missing(a.missing, e.Missing),
		RulesVersion: RulesVersion,
	}
	return Finding{Category: a.category, Diagnosis: d, WillRestart: willRestart(e, a.cause)}
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

// Rejected explains the stall of a pod that the kubelet refused to admit.
func Rejected(e *evidence.Evidence) Finding {
	ev := statusEvidence(e)
	no := false
	return Finding{
		Category: record.Failure,
		Diagnosis: record.Diagnosis{
			Cause:        "admission_rejected",
			Detail:       e.Pod.Reason,
			Confidence:   record.Confirmed,
			Summary:      fmt.Sprintf("The kubelet refused to admit the pod (%s); none of its containers was started after that.", e.Pod.Reason),
			Evidence:     []record.Evidence{ev("status.reason", e.Pod.Reason), ev("status.message", e.Pod.Message)},
			Missing:      e.Missing,
			RulesVersion: RulesVersion,
		},
		WillRestart: &no,
	}
}

// willRestart applies the kubelet's restart decision (pkg/kubelet/container/helpers.go
// ShouldContainerBeRestarted), which does not ask once the kubelet ends the whole pod.
func willRestart(e *evidence.Evidence, cause string) *bool {
	yes, no := true, false
	c, s := &e.Container, e.Stop
	switch {
	case endsPod(cause):
		return &no
	case !e.Pod.DeletionTimestamp.IsZero(), e.Pod.Phase == "Succeeded", e.Pod.Phase == "Failed", !s.ExitObserved, c.Type == record.Ephemeral:
		return &no
	case c.Type == record.Sidecar:
		return &yes
	case len(c.RestartRules) > 0:
		return nil
	}
	policy := policy(e)
	if !s.HasExitCode && policy != "Never" && policy != "Always" {
		return nil
	}
	failed := s.ExitCode != 0 || c.Type == record.Init && s.Reason == "OOMKilled"
	switch policy {
	case "Always":
		if c.Type == record.Init {
			return pick(failed, &yes, &no)
		}
		return &yes
	case "OnFailure":
		return pick(failed, &yes, &no)
	case "Never":
		return &no
	}
	return nil
}

// endsPod tells causes after which no container of the pod is started again.
func endsPod(cause string) bool {
	switch cause {
	case "sidecar_stopped", "pod_deleted", "grace_period_exceeded", "eviction_api", "node_pressure_eviction", "storage_limit_eviction",
		"preempted", "kubelet_preempted", "taint_eviction", "node_shutdown", "pod_gc", "deadline_exceeded":
		return true
	}
	return false
}

// policy is the restart policy that holds for the container.
func policy(e *evidence.Evidence) string {
	if p := e.Container.RestartPolicy; p != "" {
		return p
	}
	return e.Pod.RestartPolicy
}

func pick[T any](cond bool, a, b T) T {
	if cond {
		return a
	}
	return b
}

// statusEvidence returns a maker of evidence that quotes the pod's status.
func statusEvidence(e *evidence.Evidence) func(field, value string) record.Evidence {
	return func(field, value string) record.Evidence {
		return record.Evidence{
			Source: "pod-status",
			Object: "Pod " + e.Pod.Namespace + "/" + e.Pod.Name,
			UID:    e.Pod.UID,
			Field:  field,
			Value:  value,
		}
	}
}

// exitEvidence quotes the terminated state: its reason, its exit code, and its message if there is one.
func exitEvidence(e *evidence.Evidence) []record.Evidence {
	s := e.Stop
	if !s.HasExitCode {
		return nil
	}
	ev := statusEvidence(e)
	out := []record.Evidence{
		ev(s.Field+".reason", s.Reason),
		ev(s.Field+".exitCode", fmt.Sprint(s.ExitCode)),
	}
	if s.Message != "" {
		out = append(out, ev(s.Field+".message", s.Message))
	}
	for i := range out {
		out[i].Time = s.FinishedAt
	}
	return out
}

// specEvidence quotes the pod's spec.
func specEvidence(e *evidence.Evidence, field, value string) record.Evidence {
	ev := statusEvidence(e)(field, value)
	ev.Source = "pod-spec"
	return ev
}

// timeEvidence quotes a time of the pod.
func timeEvidence(e *evidence.Evidence, field string, t time.Time) record.Evidence {
	ev := statusEvidence(e)(field, t.UTC().Format(time.RFC3339))
	ev.Source, ev.Time = "pod-metadata", t
	return ev
}
