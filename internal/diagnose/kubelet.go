package diagnose

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the kubelet did to the one container, as its Killing event says.
// The kubelet writes the event before it sends the signal, whatever exit code then
// comes of it (pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer,
// kuberuntime_manager.go computePodActions). Of an end that nobody ordered there is no
// event at all.

// probeKill: the container failed its liveness or startup probe.
func probeKill(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil {
		return nil
	}
	var cause, probe string
	switch {
	case strings.Contains(k.Message, "failed liveness probe"):
		cause, probe = "liveness_probe", "Liveness"
	case strings.Contains(k.Message, "failed startup probe"):
		cause, probe = "startup_probe", "Startup"
	default:
		return nil
	}
	a := &answer{
		category:   record.Failure,
		cause:      cause,
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("The kubelet killed the container because it failed its %s probe.", strings.ToLower(probe)),
		evidence:   []record.Evidence{eventEvidence(e, k)},
	}
	if u := lastEvent(e, func(ev *evidence.Event) bool {
		return ev.Reason == "Unhealthy" && ev.Container && strings.HasPrefix(ev.Message, probe+" probe ")
	}); u != nil {
		a.detail = probeDetail(u.Message)
		a.evidence = append(a.evidence, eventEvidence(e, u))
	}
	a.evidence = append(a.evidence, exitEvidence(e)...)
	if e.Stop.Reason == "OOMKilled" {
		a.alternatives = []record.Alternative{{Cause: "oom_killed", Why: "the kernel also killed a process of the container for lack of memory, perhaps the probe's own"}}
	}
	return a
}

var httpStatus = regexp.MustCompile(`statuscode: (\d{3})`)

// probeDetail classes the text of a failed probe (pkg/probe).
func probeDetail(message string) string {
	if m := httpStatus.FindStringSubmatch(message); m != nil {
		return "http_" + m[1]
	}
	for _, c := range []struct{ text, detail string }{
		{"connection refused", "refused"},
		{"health rpc did not complete", "timeout"},
		{"failed to connect service", "grpc"},
		{"service unhealthy (responded with", "grpc"},
		{"does not implement the grpc health protocol", "grpc"},
		{"command timed out", "timeout"},
		{"Client.Timeout exceeded", "timeout"},
		{"context deadline exceeded", "timeout"},
		{"i/o timeout", "timeout"},
	} {
		if strings.Contains(message, c.text) {
			return c.detail
		}
	}
	if strings.Contains(message, "Get \"http") || strings.Contains(message, "dial tcp") {
		return ""
	}
	return "exec"
}

// postStartHook: the hook failed and the kubelet killed the container for it.
func postStartHook(e *evidence.Evidence) *answer {
	a := &answer{
		category:   record.Failure,
		cause:      "post_start_hook",
		confidence: record.Confirmed,
		summary:    "The container's postStart hook failed, and the kubelet killed the container for it.",
	}
	if e.Container.WaitingReason == "PostStartHookError" {
		ev := statusEvidence(e)
		a.evidence = append(a.evidence,
			ev(statusPath(e)+".state.waiting.reason", e.Container.WaitingReason),
			ev(statusPath(e)+".state.waiting.message", e.Container.WaitingMessage))
	}
	if k := killing(e); k != nil && k.Message == "FailedPostStartHook" {
		a.evidence = append(a.evidence, eventEvidence(e, k))
	} else if f := lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "FailedPostStartHook" && ev.Container }); f != nil {
		a.evidence = append(a.evidence, eventEvidence(e, f))
	}
	if a.evidence == nil {
		return nil
	}
	a.evidence = append(a.evidence, exitEvidence(e)...)
	return a
}

// containerReplaced: the kubelet restarts the container because somebody changed it.
func containerReplaced(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil {
		return nil
	}
	a := &answer{category: record.Lifecycle, confidence: record.Confirmed}
	switch {
	case strings.Contains(k.Message, "definition changed"):
		a.cause = "definition_changed"
		a.summary = "The container's definition in the running pod was changed, and the kubelet restarted it for that."
	case strings.Contains(k.Message, "resize requires restart"):
		a.cause = "resize_restart"
		a.summary = "The container's resources were changed in place, and its resize policy asks for a restart."
	case k.Message == "killing":
		a.cause = "restart_all_containers"
		a.summary = "Another container's restart rule restarted all containers of the pod."
	default:
		return nil
	}
	a.evidence = append([]record.Evidence{eventEvidence(e, k)}, exitEvidence(e)...)
	return a
}

// sandboxChanged: the pod's sandbox was replaced, which stops all containers.
func sandboxChanged(e *evidence.Evidence) *answer {
	s := lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "SandboxChanged" })
	if s == nil {
		return nil
	}
	k := killing(e)
	if k == nil || !plainStop(k) || k.Last.Before(s.Last.Add(-skew)) {
		return nil
	}
	return &answer{
		category:   record.Disruption,
		cause:      "sandbox_changed",
		confidence: record.Confirmed,
		summary:    "The pod's sandbox was replaced, and the kubelet stopped the container for that.",
		evidence:   append([]record.Evidence{eventEvidence(e, s), eventEvidence(e, k)}, exitEvidence(e)...),
	}
}

// covered tells that the events of the instance's end were read, and not too late: the
// API forgets them, and what it has forgotten rules nothing out.
func covered(e *evidence.Evidence) bool {
	return e.EventsRead && (e.EventsSince.IsZero() || !e.Stop.FinishedAt.IsZero() && e.Stop.FinishedAt.After(e.EventsSince.Add(eventSlack)))
}

// eventSlack is how long before the end of an instance its Killing event may lie, as
// far as the usual grace periods go.
const eventSlack = 2 * time.Minute

// eventsMissing is what is missing where the events do not cover the end.
func eventsMissing(e *evidence.Evidence) record.Missing {
	m := record.Missing{What: "events of the pod", Why: "a Killing or SandboxChanged event would tell; events were not read"}
	if e.EventsRead {
		m.Why = "a Killing or SandboxChanged event would tell; the stop is older than the API keeps events"
	}
	return m
}

// killing returns the Killing event of this instance: about this container, and within
// its lifetime. An event that says more than "Stopping container" goes first.
func killing(e *evidence.Evidence) *evidence.Event {
	for _, plain := range []bool{false, true} {
		if k := lastEvent(e, func(ev *evidence.Event) bool {
			return ev.Reason == "Killing" && ev.Container && plainStop(ev) == plain
		}); k != nil {
			return k
		}
	}
	return nil
}

// plainStop tells a Killing event that gives no reason: the kubelet stops all of the pod.
func plainStop(ev *evidence.Event) bool { return strings.HasPrefix(ev.Message, "Stopping container ") }

// lastEvent returns the newest matching event within the instance's lifetime; nil where
// there is none. Of an event that repeats, the API keeps the last time alone.
func lastEvent(e *evidence.Evidence, match func(*evidence.Event) bool) *evidence.Event {
	s := e.Stop
	var found *evidence.Event
	for i := range e.Events {
		ev := &e.Events[i]
		if !match(ev) || ev.Last.IsZero() {
			continue
		}
		if !s.StartedAt.IsZero() && ev.Last.Before(s.StartedAt) || !s.FinishedAt.IsZero() && ev.Last.After(s.FinishedAt.Add(skew)) {
			continue
		}
		if found == nil || !ev.Last.Before(found.Last) {
			found = ev
		}
	}
	return found
}

// eventEvidence quotes an event.
func eventEvidence(e *evidence.Evidence, ev *evidence.Event) record.Evidence {
	q := statusEvidence(e)(ev.Reason, ev.Message)
	q.Source, q.Time = "event", ev.Last
	return q
}
