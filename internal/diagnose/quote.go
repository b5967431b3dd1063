package diagnose

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file quotes: it turns what the evidence holds into the evidence of a diagnosis,
// with the path at which kubectl would show it.

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
	out := make([]record.Evidence, 0, 4)
	if s.Reason != "" {
		out = append(out, ev(s.Field+".reason", s.Reason))
	}
	out = append(out, ev(s.Field+".exitCode", strconv.Itoa(int(s.ExitCode))))
	if s.Message != "" {
		out = append(out, ev(s.Field+".message", s.Message))
	}
	for i := range out {
		out[i].Time = s.FinishedAt
	}
	return out
}

// statusPath is the path of the container's status in the pod.
func statusPath(e *evidence.Evidence) string {
	path, _, _ := strings.Cut(e.Stop.Field, "].")
	if path == "" {
		return "status"
	}
	return path + "]"
}

// endedPath is the path of a terminated state of a container.
func endedPath(c *evidence.Container, last bool) string {
	return containerPath(c) + "." + either(last, "lastState", "state") + ".terminated"
}

// specPath is the path of a container in the pod's spec.
func specPath(c *evidence.Container) string {
	return "spec." + listOf(c.Type, "containers", "initContainers", "ephemeralContainers") + "[" + c.Name + "]"
}

// containerPath is the path of a container's status in the pod.
func containerPath(c *evidence.Container) string {
	return "status." + listOf(c.Type, "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses") + "[" + c.Name + "]"
}

// listOf chooses the list of a pod in which containers of a type stand.
func listOf(t record.ContainerType, app, initial, ephemeral string) string {
	switch t {
	case record.Init, record.Sidecar:
		return initial
	case record.Ephemeral:
		return ephemeral
	case record.App:
	}
	return app
}

// specEvidence quotes the pod's spec.
func specEvidence(e *evidence.Evidence, field, value string) record.Evidence {
	ev := statusEvidence(e)(field, value)
	ev.Source = "pod-spec"
	return ev
}

// containerEvidence quotes the spec of the container itself.
func containerEvidence(e *evidence.Evidence, field, value string) record.Evidence {
	return specEvidence(e, specPath(&e.Container)+"."+field, value)
}

// timeEvidence quotes a time of the pod.
func timeEvidence(e *evidence.Evidence, field string, t time.Time) record.Evidence {
	ev := statusEvidence(e)(field, t.UTC().Format(time.RFC3339))
	ev.Source, ev.Time = "pod-metadata", t
	return ev
}

// eventEvidence quotes an event about the pod or the container, at the time at which it
// happened for the instance.
func eventEvidence(e *evidence.Evidence, o *occurrence) record.Evidence {
	q := statusEvidence(e)(o.event.Reason, o.event.Message)
	q.Source, q.Time = "event", o.at
	if o.event.Object != "" {
		q.Object, q.UID = namespaced(e, o.event.Object), ""
	}
	return q
}

// nodeEvidence quotes the node.
func nodeEvidence(e *evidence.Evidence, field, value string, t time.Time) record.Evidence {
	name := e.Pod.Node
	if e.Node != nil && e.Node.Name != "" {
		name = e.Node.Name
	}
	return record.Evidence{Source: "node", Object: "Node " + name, Field: field, Value: value, Time: t}
}

// nodeEventEvidence quotes an event about the node.
func nodeEventEvidence(e *evidence.Evidence, ev *evidence.Event) record.Evidence {
	q := nodeEvidence(e, ev.Reason, ev.Message, ev.Last)
	q.Source = "event"
	return q
}

// ownerEvidence quotes a controller of the pod.
func ownerEvidence(e *evidence.Evidence, c *evidence.Controller, field, value string, t time.Time) record.Evidence {
	return record.Evidence{Source: "owner", Object: namespaced(e, c.Kind+" "+c.Name), UID: c.UID, Field: field, Value: value, Time: t}
}

// namespaced puts the pod's namespace into "Kind name".
func namespaced(e *evidence.Evidence, object string) string {
	kind, name, ok := strings.Cut(object, " ")
	if !ok || kind == "Node" || kind == "Namespace" {
		return object
	}
	return kind + " " + e.Pod.Namespace + "/" + name
}

// historyEvidence quotes what was recorded before.
func historyEvidence(e *evidence.Evidence, field, value string) record.Evidence {
	q := statusEvidence(e)(field, value)
	q.Source = "history"
	return q
}

// logEvidence quotes a line of the container's log.
func logEvidence(e *evidence.Evidence, line string) record.Evidence {
	field := "log of " + e.Container.Name
	if !e.Log.Proven {
		field += ", probably of this instance"
	}
	q := statusEvidence(e)(field, line)
	q.Source = "log"
	return q
}

// span writes a duration as "3m12s".
func span(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// seconds is a number of seconds of the API as a duration.
func seconds[T int32 | int64](n T) time.Duration { return time.Duration(n) * time.Second }

// size writes a number of bytes as a quantity of Kubernetes, and exactly, as it stands for
// what the spec says: 256Mi.
func size(n int64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "Ti"}, {30, "Gi"}, {20, "Mi"}, {10, "Ki"}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", n>>u.shift, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// ran returns how long the instance ran, and whether that is known.
func ran(e *evidence.Evidence) (time.Duration, bool) {
	s := e.Stop
	if s.StartedAt.IsZero() || s.FinishedAt.IsZero() || s.FinishedAt.Before(s.StartedAt) {
		return 0, false
	}
	return s.FinishedAt.Sub(s.StartedAt), true
}

// after tells, for a sentence, how long the instance ran: " after 3m12s"; empty where that
// is not known.
func after(e *evidence.Evidence) string {
	d, ok := ran(e)
	switch {
	case !ok:
		return ""
	case d < time.Second:
		return " within a second"
	}
	return " after " + span(d)
}
