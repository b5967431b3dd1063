package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: a restart rule of one container restarts all of the pod (KEP-5532, from
// 1.35 on). The kubelet removes the others, with the Killing event "killing", and where it
// finds no state of them any more, makes one up.

// restartedWithAll: another container's rule restarted this one.
func restartedWithAll(e *evidence.Evidence) *answer {
	k := killing(e)
	byEvent := k != nil && k.event.Message == "killing"
	c, ended, last := ruleSource(e)
	began := restartingAll(e)
	byCondition := k == nil && began != nil && c != nil && matchingAll(e) == nil
	if e.Stop.Reason != "RestartingAllContainers" && !byEvent && !byCondition {
		return nil
	}
	a := &answer{
		category:   record.Lifecycle,
		cause:      "restart_all_containers",
		confidence: record.Confirmed,
		summary:    "Another container's restart rule restarted all containers of the pod",
	}
	if byEvent {
		a.evidence = append(a.evidence, eventEvidence(e, k))
	}
	if byCondition {
		q := statusEvidence(e)("status.conditions[AllContainersRestarting].status", began.Status)
		q.Time = began.Time
		a.evidence = append(a.evidence, q)
		if e.Stop.Reason != "RestartingAllContainers" {
			a.confidence = record.Likely
			a.alternatives = []record.Alternative{{Cause: ownCause(e), Why: "no Killing event of this container is there, and it may have ended by itself at that time"}}
		}
	}
	a.evidence = append(a.evidence, exitEvidence(e)...)
	if c != nil {
		a.summary = fmt.Sprintf("Container %s ended with exit code %d, for which its restart rule restarts all containers of the pod", c.Name, ended.ExitCode)
		q := statusEvidence(e)(endedPath(c, last)+".exitCode", strconv.Itoa(int(ended.ExitCode)))
		q.Time = ended.FinishedAt
		a.evidence = append(a.evidence, q, specEvidence(e, specPath(c)+".restartPolicyRules", restartAll))
	} else {
		if hasRestartAll(&e.Container) {
			// The kubelet removed it before its own end was told.
			a.confidence = record.Likely
			a.summary = "A restart rule restarted all containers of the pod; it may have been this container's own"
			a.alternatives = []record.Alternative{{Cause: "app_exit", Why: "its own exit code may have been the one for which its restart rule restarts all, and is not shown any more"}}
		}
		a.missing = []record.Missing{{What: "container whose rule it was", Why: "no other container of the pod shows an exit code that a rule with RestartAllContainers matches"}}
	}
	if e.Container.Type == record.Init && !byEvent {
		// The stand-in replaces whatever end it had, and one that had finished before is removed too.
		a.confidence = record.Likely
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "completed", Why: "the init container had probably finished its work before, and is run again with the others"})
	}
	if e.Stop.Reason == "RestartingAllContainers" {
		a.summary += "; the exit code 137 is a stand-in"
	}
	a.summary += "."
	return a
}

// hasRestartAll tells that one of the container's own rules restarts all.
func hasRestartAll(c *evidence.Container) bool {
	return slices.ContainsFunc(c.RestartRules, func(r evidence.RestartRule) bool { return r.Action == restartAll })
}

// restartingAll returns the condition by which the kubelet says that it restarts all
// containers, where that began at this instance's end; nil otherwise.
func restartingAll(e *evidence.Evidence) *evidence.Condition {
	c, f := condition(e.Pod.Conditions, "AllContainersRestarting"), e.Stop.FinishedAt
	if c == nil || c.Status != "True" || c.Time.IsZero() || f.IsZero() || f.Before(c.Time.Add(-skew)) || f.After(c.Time.Add(10*time.Second)) {
		return nil
	}
	return c
}

// matchingAll returns the container's own rule that restarts all for its exit code; nil
// where it has none.
func matchingAll(e *evidence.Evidence) *evidence.RestartRule {
	if r := matchingRule(&e.Container, e.Stop.ExitCode); r != nil && r.Action == restartAll {
		return r
	}
	return nil
}

// ruleSource returns the container whose exit made the kubelet restart all, with that
// end, and whether it stands in lastState; nil where none shows.
func ruleSource(e *evidence.Evidence) (*evidence.Container, *evidence.Ended, bool) {
	for i := range e.Others {
		c := &e.Others[i]
		for _, last := range []bool{false, true} {
			ended := c.Ended
			if last {
				ended = c.LastEnded
			}
			if ended == nil || ended.Reason == "RestartingAllContainers" || ended.Reason == "ContainerStatusUnknown" {
				continue
			}
			if f := e.Stop.FinishedAt; !f.IsZero() && ended.FinishedAt.After(f.Add(skew)) || !e.Stop.StartedAt.IsZero() && ended.FinishedAt.Before(e.Stop.StartedAt) {
				continue
			}
			if r := matchingRule(c, ended.ExitCode); r != nil && r.Action == restartAll {
				return c, ended, last
			}
		}
	}
	return nil, nil, false
}
