package diagnose

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// What evidence for tests is built of.

// all makes one change of several.
func all(changes ...change) change {
	return func(e *evidence.Evidence) {
		for _, c := range changes {
			c(e)
		}
	}
}

// repeated is an event that happened several times.
func repeated(reason, message string, first, last time.Time, count int) change {
	return func(e *evidence.Evidence) {
		e.Events = append(e.Events, evidence.Event{Type: "Normal", Reason: reason, Message: message, Container: true, First: first, Last: last, Count: count})
	}
}

// onNode is an event about the node; the node's events were read.
func onNode(reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		calm(e)
		e.Node.Events = append(e.Node.Events, evidence.Event{Type: "Warning", Reason: reason, Message: message, Object: "Node n1", First: when, Last: when, Count: 1})
	}
}

// calm is a node that was read and shows nothing.
func calm(e *evidence.Evidence) {
	e.Pod.Node = "n1"
	if e.Node == nil {
		e.Node = &evidence.Node{Name: "n1", EventsRead: true, Platform: "linux/amd64", KubeletVersion: "v1.37.1", Runtime: "containerd://2.4.2", BootID: "b1",
			Conditions: []evidence.Condition{{Type: "MemoryPressure", Status: "False", Time: at(-86400)}, {Type: "Ready", Status: "True", Time: at(-86400)}}}
	}
}

func boot(before string) change {
	return func(e *evidence.Evidence) {
		calm(e)
		history()(e)
		e.History.BootID = before
	}
}

// ended is an earlier stop.
type endedBeforehand struct {
	cause string
	code  int32
	ran   int64
}

// history is what was recorded before, the oldest first.
func history(stops ...endedBeforehand) change {
	return func(e *evidence.Evidence) {
		if e.History == nil {
			e.History = &evidence.History{}
		}
		for _, s := range stops {
			e.History.Stops++
			e.History.Causes = append(e.History.Causes, s.cause)
			e.History.ExitCodes = append(e.History.ExitCodes, s.code)
			e.History.RanSeconds = append(e.History.RanSeconds, s.ran)
		}
	}
}

func timesOf(n int, s endedBeforehand) []endedBeforehand {
	var out []endedBeforehand
	for range n {
		out = append(out, s)
	}
	return out
}

// memory gives the container a memory limit, and podMemoryLimit the pod.
func memory(mebibytes int64) change {
	return func(e *evidence.Evidence) { e.Container.MemoryLimit = mebibytes << 20 }
}

func podMemoryLimit(mebibytes int64) change {
	return func(e *evidence.Evidence) {
		e.Pod.Limits = evidence.Resources{"memory": evidence.Amount(mebibytes << 20 * 1000)}
	}
}

func httpGet(target string) *evidence.Probe {
	return &evidence.Probe{Kind: "httpGet", Target: target, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
}

func liveness(p *evidence.Probe) change {
	return func(e *evidence.Evidence) {
		own := *p
		e.Container.Liveness = &own
	}
}
func readiness(p *evidence.Probe) change {
	return func(e *evidence.Evidence) { e.Container.Readiness = p }
}
func startup(p *evidence.Probe) change {
	return func(e *evidence.Evidence) { e.Container.Startup = p }
}
func execs(command string) *evidence.Probe {
	return &evidence.Probe{Kind: "exec", Target: command, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
}

// says is the log's tail of the instance for certain, probably where nobody knows.
func says(lines ...string) change {
	return func(e *evidence.Evidence) { e.Log = &evidence.Log{Lines: lines, Proven: true} }
}

func probably(lines ...string) change {
	return func(e *evidence.Evidence) { e.Log = &evidence.Log{Lines: lines} }
}

// beside is another container of the pod.
func beside(c evidence.Container) change {
	return func(e *evidence.Evidence) { e.Others = append(e.Others, c) }
}

// runs is the command of the container.
func runs(command ...string) change {
	return func(e *evidence.Evidence) { e.Container.Command = command }
}

// ranFor is how long the instance ran, and ranFrom when it was started.
func ranFor(seconds int) change {
	return func(e *evidence.Evidence) {
		e.Stop.StartedAt = e.Stop.FinishedAt.Add(-time.Duration(seconds) * time.Second)
	}
}

// noTimes is an end of which no time is known.
func noTimes(e *evidence.Evidence) { e.Stop.StartedAt, e.Stop.FinishedAt = time.Time{}, time.Time{} }

// inLast is a state that the status shows as the previous one.
func inLast(e *evidence.Evidence) {
	e.Stop.Field = "status.containerStatuses[api].lastState.terminated"
}

// waitsFor is what the container waits for now.
func waitsFor(reason, message string) change {
	return func(e *evidence.Evidence) { e.Container.WaitingReason, e.Container.WaitingMessage = reason, message }
}

// ofDeployment is a pod of a ReplicaSet of revision rev, where newest is rolled out.
func ofDeployment(rev, newest string, replicas int32) change {
	return func(e *evidence.Evidence) {
		e.Pod.Owner = &record.Workload{Kind: "ReplicaSet", Name: "api-5d4f"}
		e.Pod.CreatedAt = at(-60)
		e.Owner = &evidence.Owner{EventsRead: true, Chain: []evidence.Controller{
			{Kind: "ReplicaSet", Name: "api-5d4f", UID: "r1", Known: true, Revision: rev},
			{Kind: "Deployment", Name: "api", UID: "d1", Known: true, NewestRevision: newest, Replicas: &replicas},
		}}
	}
}

// owned is a pod of a controller.
func owned(c evidence.Controller) change {
	return func(e *evidence.Evidence) {
		e.Pod.Owner = &record.Workload{Kind: c.Kind, Name: c.Name}
		c.Known = !c.Gone
		e.Owner = &evidence.Owner{EventsRead: true, Chain: []evidence.Controller{c}}
	}
}

// ownerSays is an event about a controller.
func ownerSays(object, reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Owner.Events = append(e.Owner.Events, evidence.Event{Type: "Normal", Reason: reason, Message: message, Object: object, First: when, Last: when, Count: 1})
	}
}

func ownerUnread(e *evidence.Evidence) { e.Owner.EventsRead, e.Owner.Events = false, nil }

// neighbours are other stops at that time.
func neighbours(n evidence.Neighbours) change {
	return func(e *evidence.Evidence) { n.Seconds = 60; e.Neighbours = &n }
}

// Texts of the kubelet, containerd and runc.
const (
	failedLiveness = "Container api failed liveness probe, will be restarted"
	failedStartup  = "Container api failed startup probe, will be restarted"
	stopping       = "Stopping container api"
	sandboxText    = "Pod sandbox changed, it will be killed and re-created."
	refusedText    = `Liveness probe failed: Get "http://10.0.0.1:8080/healthz": dial tcp 10.0.0.1:8080: connect: connection refused`
	timeoutText    = `Liveness probe failed: Get "http://10.0.0.1:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`
	runcText       = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
)
