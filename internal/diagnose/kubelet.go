package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the kubelet did to the one container for other reasons than a
// probe, as its Killing event says. The kubelet writes the event before it sends the
// signal, whatever exit code then comes of it (pkg/kubelet/kuberuntime/
// kuberuntime_container.go killContainer, kuberuntime_manager.go computePodActions). Of
// an end that nobody ordered there is no event at all.

// hookFailure is how the waiting message, alone in the API, tells what a hook got
// (pkg/kubelet/lifecycle/handlers.go).
var hookFailure = regexp.MustCompile(`^(Exec|HTTP|Http|TCP|Sleep) lifecycle hook .* failed - error: (.*?)(?:: )?, message: "((?s:.*?))"?$`)

// postStartHook: the hook failed and the kubelet killed the container for it.
func postStartHook(e *evidence.Evidence) *answer {
	a := &answer{
		category:   record.Failure,
		cause:      "post_start_hook",
		confidence: record.Confirmed,
		summary:    "The container's postStart hook failed, and the kubelet killed the container for it",
	}
	k := killing(e)
	byKill := k != nil && k.event.Message == "FailedPostStartHook"
	if k != nil && !byKill {
		return nil
	}
	failed := lastEvent(e, func(ev *evidence.Event) bool { return ev.Reason == "FailedPostStartHook" && ev.Container })
	if e.Container.WaitingReason == "PostStartHookError" && strings.Contains(e.Stop.Field, "].lastState.") {
		ev := statusEvidence(e)
		a.evidence = append(a.evidence, ev(statusPath(e)+".state.waiting.reason", e.Container.WaitingReason))
		if m := e.Container.WaitingMessage; m != "" {
			a.evidence = append(a.evidence, ev(statusPath(e)+".state.waiting.message", m))
		}
	} else if e.Container.WaitingReason == "PostStartHookError" && e.Stop.Field != "" {
		a.evidence = append(a.evidence, statusEvidence(e)(statusPath(e)+".state.waiting.reason", e.Container.WaitingReason))
	}
	if m := hookFailure.FindStringSubmatch(e.Container.WaitingMessage); m != nil {
		a.detail = strings.ToLower(m[1])
		a.summary += ": " + oneLine(m[2])
		if said := strings.TrimSpace(strings.ReplaceAll(m[3], `\n`, " ")); said != "" {
			a.summary += ", saying " + quoted(said)
		}
	} else if h := e.Container.PostStart; h != nil && h.Kind != "" {
		a.detail = map[string]string{"exec": "exec", "httpGet": "http", "tcpSocket": "tcp", "sleep": "sleep"}[h.Kind]
	}
	if h := e.Container.PostStart; h != nil && h.Target != "" {
		defer func() {
			a.evidence = append(a.evidence, containerEvidence(e, "lifecycle.postStart", h.Kind+" "+h.Target))
		}()
	}
	a.summary += "."
	switch {
	case byKill:
		a.evidence = append(a.evidence, eventEvidence(e, k))
	case failed != nil:
		a.evidence = append(a.evidence, eventEvidence(e, failed))
	}
	if a.evidence == nil {
		return nil
	}
	if e.Container.WaitingMessage == "" || e.Container.WaitingReason != "PostStartHookError" {
		a.missing = []record.Missing{{What: "what the hook got", Why: "it stands in the waiting message alone, which was replaced since; the events do not have it"}}
	}
	a.evidence = append(a.evidence, exitEvidence(e)...)
	if endedFirst(e, k, failed) {
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: ownCause(e), Why: "the container had ended when the hook was run in it, and that may be why the hook failed"}}
	}
	return a
}

// notRunning is how runtimes refuse to run a hook in a container that has ended
// (containerd internal/cri/server/container_execsync.go, runc exec, cri-o).
var notRunning = regexp.MustCompile(`CONTAINER_EXITED state|cannot exec in a stopped (?:container|state)|container not running|container is not created or running`)

// hookExited is how the kubelet tells that the command of a hook ran and failed; 137 it also
// gets where the container is killed around it.
var hookExited = regexp.MustCompile(`^command '(?s:.*)' exited with (?:[1-9]|[1-9]\d|1[0-2]\d|13[0-689]):?`)

// endedFirst tells that a hook may have failed because the container had ended by itself: the
// kubelet's part of the message says so, or the container ended with a code of its own in
// the very second of the failure.
func endedFirst(e *evidence.Evidence, failures ...*occurrence) bool {
	if m := hookFailure.FindStringSubmatch(e.Container.WaitingMessage); m != nil {
		switch {
		case notRunning.MatchString(m[2]):
			return true
		case hookExited.MatchString(m[2]):
			return false // its command ran, and ended by itself
		}
	}
	s := e.Stop
	return s.HasExitCode && s.ExitCode != 137 && s.ExitCode != 143 && !s.FinishedAt.IsZero() &&
		slices.ContainsFunc(failures, func(o *occurrence) bool { return o != nil && !o.at.Truncate(time.Second).Before(s.FinishedAt) })
}

// containerReplaced: the kubelet restarts the container because somebody changed it.
func containerReplaced(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil {
		return nil
	}
	a := &answer{category: record.Lifecycle, confidence: record.Confirmed}
	switch m := k.event.Message; {
	case strings.Contains(m, "definition changed"):
		a.cause = "definition_changed"
		a.summary = "The container's definition in the running pod was changed, such as its image, and the kubelet restarted it for that."
		if upgradeChanges(e) {
			if nodeEvent(e, k.at.Add(-10*time.Minute), k.at.Add(skew), func(ev *evidence.Event) bool {
				return ev.Reason == "Starting" && strings.HasPrefix(ev.Message, "Starting kubelet")
			}) != nil {
				a.confidence = record.Likely
			}
			a.alternatives = []record.Alternative{{Cause: "definition_changed", Why: "kubelets up to 1.30 see a changed definition also when they were upgraded themselves"}}
		}
	case strings.Contains(m, "resize requires restart"):
		a.cause = "resize_restart"
		a.summary = "The container's resources were changed in place, and its resize policy asks for a restart."
	default:
		return nil
	}
	a.evidence = append([]record.Evidence{eventEvidence(e, k)}, exitEvidence(e)...)
	return a
}

// upgradeChanges tells that the node's kubelet may take its own upgrade for a change of
// the container: up to 1.30 it hashes the whole spec as that version knows it, and the
// first start of a later one compares with such a hash.
func upgradeChanges(e *evidence.Evidence) bool {
	if e.Node == nil {
		return false
	}
	_, rest, ok := strings.Cut(e.Node.KubeletVersion, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return ok && err == nil && n <= 31
}

// sandboxChanged: the pod's sandbox was replaced, which stops all containers.
func sandboxChanged(e *evidence.Evidence) *answer {
	s := lastEvent(e, isSandboxChanged)
	if s == nil {
		return nil
	}
	k := killing(e)
	if k == nil || !plainStop(k.event) || k.at.Before(s.at.Add(-skew)) || k.at.After(s.at.Add(sandboxNear)) {
		return nil
	}
	a := &answer{
		category:   record.Disruption,
		cause:      "sandbox_changed",
		confidence: record.Confirmed,
		summary:    "The pod's sandbox was replaced, and the kubelet stopped the container for that; it does the same to all containers of the pod.",
		evidence:   append([]record.Evidence{eventEvidence(e, s), eventEvidence(e, k)}, exitEvidence(e)...),
	}
	if q := rebooted(e); q != nil {
		a.evidence = append(a.evidence, *q)
		a.alternatives = []record.Alternative{{Cause: "runtime_restarted", Why: "the node was rebooted, which replaces the sandboxes of its pods"}}
	}
	return a
}

// sandboxDied: the containers of a pod may end with its sandbox, such as where they share
// its process namespace; the kubelet then replaces the sandbox, and has nothing to kill.
func sandboxDied(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.FinishedAt.IsZero() || killing(e) != nil || !s.HasExitCode || synthetic(s) || s.Reason == "OOMKilled" || s.ExitCode != 137 && s.ExitCode != 143 && !(s.ExitCode == 255 && crio(e)) {
		return nil
	}
	for i := range e.Events {
		ev := &e.Events[i]
		at := ev.Last
		if ev.Count > 1 && at.After(s.FinishedAt.Add(sandboxNear)) {
			at = ev.First
		}
		if !isSandboxChanged(ev) || at.Before(s.FinishedAt.Add(-skew)) || at.After(s.FinishedAt.Add(sandboxNear)) {
			continue
		}
		return &answer{
			category:     record.Disruption,
			cause:        "sandbox_changed",
			confidence:   record.Likely,
			summary:      fmt.Sprintf("The container ended%s with exit code %d, and its pod's sandbox was found gone right after: it probably ended with it.", after(e), s.ExitCode),
			evidence:     append([]record.Evidence{eventEvidence(e, &occurrence{ev, at})}, exitEvidence(e)...),
			alternatives: []record.Alternative{{Cause: "sigkill_unattributed", Why: "somebody may have killed both from outside of Kubernetes"}},
		}
	}
	return nil
}

// sandboxNear is how soon the kubelet notices that a sandbox is gone.
const sandboxNear = 15 * time.Second

func isSandboxChanged(ev *evidence.Event) bool { return ev.Reason == "SandboxChanged" }

// runtimeStateUnknown: the kubelet kills what the runtime says nothing of, before it
// starts the container again.
func runtimeStateUnknown(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil || !strings.Contains(k.event.Message, "state, try killing it before restart") {
		return nil
	}
	return &answer{
		category:   record.Failure,
		cause:      "status_unknown",
		confidence: record.Likely,
		summary:    "The container runtime gave the container's state as unknown, so the kubelet killed it and started it again.",
		evidence:   append([]record.Evidence{eventEvidence(e, k)}, exitEvidence(e)...),
		alternatives: []record.Alternative{
			{Cause: ownCause(e), Why: "the program may have ended before, without the runtime noticing"},
		},
		missing: []record.Missing{{What: "log of the container runtime", Why: fmt.Sprintf("it would tell why the state of %s was unknown", e.Container.Name)}},
	}
}
