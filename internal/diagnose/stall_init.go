package diagnose

import (
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: an init container does not finish, or a sidecar does not start, so that
// nothing after it is tried (KEP-753, pkg/kubelet/kuberuntime computeInitContainerActions).

// initializing explains a pod whose init containers are not through.
func initializing(e *evidence.Evidence) *answer {
	if node := troubleOfNode(e); node.silent() {
		return nodeLost(e, node)
	}
	c := blockingInit(e)
	if c == nil {
		return nil
	}
	switch {
	case c.State == "running" && c.Type == record.Sidecar:
		return sidecarStarts(e, c)
	case c.State == "running":
		return initRuns(e, c)
	}
	// One that ends and is started again shows in its stops; one that waits for its
	// image or configuration is a stall of that container.
	return nil
}

// blockingInit finds the init container that the pod waits for: the first that has not
// finished, or as a sidecar not started.
func blockingInit(e *evidence.Evidence) *evidence.Container {
	if t := e.Container.Type; (t == record.Init || t == record.Sidecar) && e.Container.Name != "" {
		return &e.Container
	}
	for i := range e.Others {
		c := &e.Others[i]
		switch {
		case c.Type == record.Sidecar && c.State == "running" && c.Started:
		case c.Type == record.Init && c.Ended != nil && c.Ended.ExitCode == 0 && c.Ended.Reason != "OOMKilled":
		case c.Type == record.Init || c.Type == record.Sidecar:
			return c
		}
	}
	return nil
}

// initTime is what an init container may take for its work where the pod is seen only once,
// and in each of its runs where it is started again and again: that it fails is told by its
// stops, and is no second problem.
const initTime = 30 * time.Second

// initRuns: the init container runs, and does not end.
func initRuns(e *evidence.Evidence, c *evidence.Container) *answer {
	if ran, known := lasted(e, c.RunningSince); known && ran < initTime {
		return nil
	}
	a := &answer{
		cause:      "init_not_finished",
		detail:     c.Name,
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("The init container %s has run%s and has not ended; no container after it is started before it does.", c.Name, forHow(e, c.RunningSince)),
		evidence:   append(quoteRunning(e, c), initConditions(e)...),
		missing:    []record.Missing{{What: "what the init container waits for", Why: "only its log tells"}},
		next: []record.NextStep{
			step(e, "See what the init container is doing", "logs", e.Pod.Name, "-c", c.Name),
		},
	}
	if c.RestartCount == 0 {
		a.ruledOut = []record.Alternative{{Cause: "app_exit", Why: "it has not ended once"}}
	} else {
		a.summary = fmt.Sprintf("The init container %s has run%s and has not ended, after it was restarted %s; no container after it is started before it does.",
			c.Name, forHow(e, c.RunningSince), count(c.RestartCount, "time", "times"))
		a.evidence = append(a.evidence, statusEvidence(e)(containerPath(c)+".restartCount", fmt.Sprint(c.RestartCount)))
		a.alternatives = []record.Alternative{{Cause: "app_exit", Why: "why it ended before is told by its stops"}}
	}
	return a
}

// sidecarStarts: the sidecar runs and its startup probe has not passed.
func sidecarStarts(e *evidence.Evidence, c *evidence.Container) *answer {
	if c.Started || startsStill(e, c) {
		return nil
	}
	a := &answer{
		cause:      "init_not_finished",
		detail:     c.Name,
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("The sidecar %s has run%s and has not started by its startup probe; no container after it is started before it has.", c.Name, forHow(e, c.RunningSince)),
		evidence:   append(quoteRunning(e, c), initConditions(e)...),
		next:       []record.NextStep{step(e, "See what the sidecar is doing", "logs", e.Pod.Name, "-c", c.Name)},
	}
	if c.Startup == nil {
		a.summary = fmt.Sprintf("The sidecar %s has run%s and does not count as started; no container after it is started before it does.", c.Name, forHow(e, c.RunningSince))
	}
	if ev := unhealthyNow(e, c, "Startup"); ev != nil {
		a.evidence = append(a.evidence, quoteEvent(e, ev))
	}
	return a
}

// quoteRunning quotes since when a container runs.
func quoteRunning(e *evidence.Evidence, c *evidence.Container) []record.Evidence {
	ev, path := statusEvidence(e), containerPath(c)
	var out []record.Evidence
	if !c.RunningSince.IsZero() {
		q := ev(path+".state.running.startedAt", c.RunningSince.UTC().Format(timeFormat))
		q.Time = c.RunningSince
		out = append(out, q)
	}
	if c.Type == record.Sidecar {
		out = append(out, ev(path+".started", fmt.Sprint(c.Started)))
	}
	if len(out) == 0 {
		out = append(out, ev(path+".state", c.State))
	}
	return out
}

// initConditions quotes the condition Initialized, where it is not True.
func initConditions(e *evidence.Evidence) []record.Evidence {
	if c := condition(e.Pod.Conditions, "Initialized"); c != nil && c.Status != "True" {
		return quoteCondition(e, c)
	}
	return nil
}
