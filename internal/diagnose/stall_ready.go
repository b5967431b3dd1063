package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: containers run and the pod is not ready (pkg/kubelet/prober,
// pkg/kubelet/status/generate.go GenerateContainersReadyCondition, GeneratePodReadyCondition).
// A readiness probe never restarts anything.

const timeFormat = time.RFC3339

// unready explains a container or pod that runs and is not ready.
func unready(e *evidence.Evidence) *answer {
	node := troubleOfNode(e)
	if node.silent() {
		return nodeLost(e, node)
	}
	if e.Pod.Phase == "Succeeded" || e.Pod.Phase == "Failed" {
		return nil
	}
	if e.Container.Name == "" {
		if a := podUnready(e); a == nil || a.cause == "readiness_gate" || node == nil {
			return a
		}
		return nodeLost(e, node)
	}
	c := &e.Container
	switch {
	case c.State != "running", c.Ready:
		return nil // what waits or ended is told by its stops
	case !c.Started:
		return notStarted(e, c)
	case c.Readiness == nil:
		return readyUnknown(e, c)
	}
	return readinessProbe(e, c)
}

// probeTime is how long a probe may take until it has failed for good.
func probeTime(p *evidence.Probe) time.Duration {
	period := max(1, p.PeriodSeconds)
	return time.Duration(p.InitialDelaySeconds)*time.Second +
		time.Duration(period)*time.Second*time.Duration(max(1, p.FailureThreshold)) + time.Duration(max(1, p.TimeoutSeconds))*time.Second
}

// probeSlack is what the kubelet may be late by: it spreads the first probe over a
// period, and tells of results once a sync.
const probeSlack = 30 * time.Second

// startsStill tells that a container is in the time that its startup probe leaves it.
func startsStill(e *evidence.Evidence, c *evidence.Container) bool {
	age, known := lasted(e, c.RunningSince)
	if c.Startup == nil {
		return known && age < probeSlack
	}
	return !known || age < 2*probeTime(c.Startup)+probeSlack
}

// notStarted: a container whose startup probe has not passed is starting, which is not
// a failed readiness probe; the startup probe would end it in time.
func notStarted(e *evidence.Evidence, c *evidence.Container) *answer {
	if startsStill(e, c) {
		return nil
	}
	a := &answer{
		cause:      "unknown",
		confidence: record.Unknown,
		summary:    fmt.Sprintf("The container %s has run%s and does not count as started.", c.Name, forHow(e, c.RunningSince)),
		evidence:   append(quoteRunning(e, c), statusEvidence(e)(containerPath(c)+".started", "false")),
		ruledOut:   []record.Alternative{{Cause: "readiness_probe", Why: "it is not asked before the container counts as started"}},
		missing:    []record.Missing{lostEvents(e, "an event Unhealthy of the startup probe")},
		next:       []record.NextStep{step(e, "See the container's probes and events", "describe", "pod", e.Pod.Name)},
	}
	if c.Startup != nil {
		a.summary = fmt.Sprintf("The container %s has run%s and its startup probe has not passed, although it allows %s only.", c.Name, forHow(e, c.RunningSince), span(probeTime(c.Startup)))
		a.evidence = append(a.evidence, quoteProbe(e, c, "startupProbe", c.Startup))
	}
	if ev := unhealthyNow(e, c, "Startup"); ev != nil {
		// What "errored" does not count as a failure (prober.go), so that such a probe ends nothing.
		a.evidence = append(a.evidence, quoteEvent(e, ev))
		a.missing = nil
	}
	return a
}

// readinessProbe: the container runs, and its readiness probe has not passed.
func readinessProbe(e *evidence.Evidence, c *evidence.Container) *answer {
	ran, known := lasted(e, c.RunningSince)
	if known && ran < probeTime(c.Readiness)+probeSlack {
		return nil // it may just be starting
	}
	a := &answer{
		cause:      "readiness_probe",
		confidence: record.Likely,
		summary:    fmt.Sprintf("The container %s has run%s and is not ready: its readiness probe (%s) has not passed.", c.Name, forHow(e, c.RunningSince), probeName(c.Readiness)),
		evidence: append(quoteRunning(e, c), statusEvidence(e)(containerPath(c)+".ready", "false"),
			quoteProbe(e, c, "readinessProbe", c.Readiness)),
		next: []record.NextStep{
			step(e, "See what the container does", "logs", e.Pod.Name, "-c", c.Name),
			step(e, "See the probe and how it fails", "describe", "pod", e.Pod.Name),
		},
	}
	if e.Node != nil && troubleOfNode(e) == nil {
		a.ruledOut = []record.Alternative{{Cause: "node_lost", Why: "its node reports, and is ready"}}
	}
	ev := unhealthyNow(e, c, "Readiness")
	if r := condition(e.Pod.Conditions, "Ready"); ev != nil && r != nil && r.Status == "False" && ev.Last.Before(r.Time.Add(-probeTime(c.Readiness)-probeSlack)) {
		ev = nil // the pod was ready after that failure
	}
	if ev == nil {
		a.missing = []record.Missing{lostEvents(e, "an event Unhealthy of the readiness probe")}
		if a.ruledOut == nil {
			a.alternatives = []record.Alternative{{Cause: "node_lost", Why: "how the probe fails was not seen; the kubelet may not report"}}
		}
		return a
	}
	a.confidence = record.Confirmed
	a.evidence = append([]record.Evidence{quoteEvent(e, ev)}, a.evidence...)
	a.detail = probeDetail(ev.Message, c.Readiness)
	a.summary = fmt.Sprintf("The container %s has run%s and is not ready: its readiness probe (%s) fails%s.", c.Name, forHow(e, c.RunningSince), probeName(c.Readiness), probeWhy(a.detail, ev.Message, c.Readiness))
	if ev.Combined && probedToo(e) {
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: "readiness_probe", Why: "the event stands for several, and its message may be about another container of the pod"}}
	}
	// The same failure means different things soon after the start and long after it.
	if known && ran < slowStart {
		a.summary = strings.TrimSuffix(a.summary, ".") + "; it may still be starting."
	}
	return a
}

// slowStart is how long a program may take to start, by experience.
const slowStart = 5 * time.Minute

// probedToo tells that another container has a readiness probe.
func probedToo(e *evidence.Evidence) bool {
	return slices.ContainsFunc(e.Others, func(c evidence.Container) bool { return c.Readiness != nil })
}

// probeName is a probe as a sentence holds it.
func probeName(p *evidence.Probe) string { return strings.TrimSpace(p.Kind + " " + target(p)) }

// probeWhy tells how a probe failed, after a verb.
func probeWhy(detail, message string, p *evidence.Probe) string {
	why := ""
	if detail != "exec" && detail != "grpc" {
		why = probeWords(detail, p)
	}
	if _, text, ok := strings.Cut(message, ": "); ok && why == "" {
		why = brief(text)
	}
	if why == "" {
		return ""
	}
	return ": " + why
}

func quoteProbe(e *evidence.Evidence, c *evidence.Container, field string, p *evidence.Probe) record.Evidence {
	return specEvidence(e, specPath(c)+"."+field, probeText(p))
}

// unhealthyNow is the newest failure of a probe of the container that runs now.
func unhealthyNow(e *evidence.Evidence, c *evidence.Container, probe string) *evidence.Event {
	return newest(e.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "Unhealthy" && strings.HasPrefix(ev.Message, probe+" probe ") && about(e, ev) == c.Name &&
			!ev.Last.IsZero() && !ev.Last.Before(c.RunningSince)
	})
}

// readyUnknown: a container without a readiness probe is ready as soon as it has started.
func readyUnknown(e *evidence.Evidence, c *evidence.Container) *answer {
	if age, known := lasted(e, c.RunningSince); !known || age < startRace {
		return nil
	}
	return &answer{
		cause:      "unknown",
		confidence: record.Unknown,
		summary:    fmt.Sprintf("The container %s has run%s and is not ready, although it has no readiness probe.", c.Name, forHow(e, c.RunningSince)),
		evidence:   append(quoteRunning(e, c), statusEvidence(e)(containerPath(c)+".ready", "false")),
		ruledOut:   []record.Alternative{{Cause: "readiness_probe", Why: "the container has none"}},
		missing:    []record.Missing{{What: "the kubelet's log", Why: "the API does not say why the kubelet does not count the container as ready"}},
		next:       nodeSteps(e),
	}
}

// gateTime is what whoever sets a readiness gate may take, such as a load balancer that
// looks at the pod first.
const gateTime = time.Minute

// podUnready: all containers are ready and the pod is not.
func podUnready(e *evidence.Evidence) *answer {
	ready, containers := condition(e.Pod.Conditions, "Ready"), condition(e.Pod.Conditions, "ContainersReady")
	if ready == nil || ready.Status == "True" || containers != nil && containers.Status != "True" {
		return nil // one of its containers is not, which is told of that container
	}
	if e.Pod.Static {
		return nil
	}
	a := &answer{evidence: quoteCondition(e, ready), next: []record.NextStep{step(e, "See the pod's conditions", "get", "pod", e.Pod.Name, "-o", "jsonpath={.status.conditions}")}}
	if len(e.Pod.ReadinessGates) > 0 && young(e, gateTime) {
		return nil
	}
	for _, gate := range e.Pod.ReadinessGates {
		g := condition(e.Pod.Conditions, gate)
		if g != nil && g.Status == "True" {
			continue
		}
		q := []record.Evidence{specEvidence(e, "spec.readinessGates", gate)}
		state := "the pod has no such condition: whoever is to set it has not"
		if g != nil {
			q = append(q, quoteCondition(e, g)...)
			state = "the condition is " + g.Status
			if why := strings.TrimSpace(g.Reason + " " + g.Message); why != "" {
				state += " (" + brief(why) + ")"
			}
		}
		a.evidence = append(a.evidence, q...)
		if a.cause == "" {
			a.cause, a.detail, a.confidence = "readiness_gate", gate, record.Confirmed
			a.summary = fmt.Sprintf("All containers of the pod are ready, and its readiness gate %s is not open: %s.", gate, state)
		}
	}
	if a.cause != "" {
		return a
	}
	a.cause, a.confidence = "unknown", record.Unknown
	a.summary = "All containers of the pod are ready, and the pod is not; it has no readiness gate that would say why."
	a.alternatives = []record.Alternative{{Cause: "node_lost", Why: "the node may have been out of reach for a while"}}
	a.missing = []record.Missing{{What: "node " + e.Pod.Node, Why: "the node controller marks the pods of a node that does not report"}}
	if e.Node != nil {
		a.missing = []record.Missing{{What: "the kubelet's log", Why: "the node is ready, and its kubelet has not said so of the pod"}}
	}
	return a
}
