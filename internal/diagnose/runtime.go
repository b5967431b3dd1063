package diagnose

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the container runtime or the kubelet itself reports of the end
// instead of how the process ended. Sources: containerd internal/cri/server
// (container_status.go, restart.go), cri-o server/container_status.go, pkg/kubelet/kubelet_pods.go.

// standIn: the kubelet could not find the instance and made up a state for it.
func standIn(e *evidence.Evidence) *answer {
	if e.Stop.Reason != "ContainerStatusUnknown" {
		return nil
	}
	a := &answer{
		category:   record.Failure,
		cause:      "status_unknown",
		confidence: record.Unknown,
		summary:    "The container is gone and the kubelet could not learn how it ended; the exit code 137 is the kubelet's stand-in, not a signal.",
		evidence:   exitEvidence(e),
		missing:    []record.Missing{{What: "exit status", Why: "the container runtime no longer knew the container"}},
	}
	if q := rebooted(e); q != nil {
		a.evidence = append(a.evidence, *q)
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "runtime_restarted", Why: "the node was rebooted, and its runtime may have lost the container with that"})
	}
	if n := e.Node; n != nil && n.Gone {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "pod_gc", Why: "the node is gone"})
	}
	return a
}

// runtimeUnknown: containerd restarted, or the node did, and the exit status was lost.
func runtimeUnknown(e *evidence.Evidence) *answer {
	if e.Stop.Reason != "Unknown" || e.Stop.ExitCode != 255 {
		return nil
	}
	a := &answer{
		category:   record.Disruption,
		cause:      "runtime_restarted",
		confidence: record.Confirmed,
		summary:    "The container runtime restarted, or the whole node did, and the exit status was lost with it.",
		evidence:   exitEvidence(e),
		missing:    []record.Missing{{What: "time of the end", Why: "finishedAt is when the runtime noticed, not when the container ended"}},
	}
	if q := rebooted(e); q != nil {
		a.detail = "node_reboot"
		a.summary = "The node was rebooted, and the exit status was lost with it."
		a.evidence = append(a.evidence, *q)
	}
	if n := e.Neighbours; n != nil && n.SameNode.SameInstant > 0 {
		a.evidence = append(a.evidence, historyEvidence(e, "other containers of the node that were found gone in the same second", strconv.Itoa(n.SameNode.SameInstant)))
	}
	return a
}

// rebooted quotes what proves that the node was rebooted while the instance ran: the
// event of its kubelet, which comes after the runtime's start, or another boot id than
// before; nil where nothing does.
func rebooted(e *evidence.Evidence) *record.Evidence {
	s := e.Stop
	from, to := s.FinishedAt.Add(-5*time.Minute), s.FinishedAt.Add(5*time.Minute)
	if s.FinishedAt.IsZero() {
		from, to = s.StartedAt, e.AsOf
		if to.IsZero() {
			to = from
		}
	}
	if from.Before(s.StartedAt) {
		from = s.StartedAt
	}
	if ev := nodeEvent(e, from, to, func(ev *evidence.Event) bool { return ev.Reason == "Rebooted" }); ev != nil {
		q := nodeEventEvidence(e, ev)
		return &q
	}
	if n, h := e.Node, e.History; n != nil && h != nil && n.BootID != "" && h.BootID != "" && n.BootID != h.BootID {
		q := nodeEvidence(e, "status.nodeInfo.bootID", fmt.Sprintf("%s, before it was %s", n.BootID, h.BootID), time.Time{})
		return &q
	}
	return nil
}

// statusLost: cri-o could not read the file in which the exit code stands, and gives -1
// (server/container_status.go). No process of Linux ends with that.
func statusLost(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.ExitCode != -1 || s.Reason != "Error" || !crio(e) {
		return nil
	}
	return &answer{
		category:   record.Failure,
		cause:      "status_unknown",
		confidence: record.Unknown,
		summary:    "The container ended, and cri-o could not learn how: the exit code -1 is its stand-in.",
		evidence:   exitEvidence(e),
		missing:    []record.Missing{{What: "exit status", Why: "the container runtime could not read it; its log on the node says why"}},
	}
}

// crio tells that the container ran under cri-o.
func crio(e *evidence.Evidence) bool {
	return strings.HasPrefix(e.Stop.ContainerID, "cri-o://") || e.Stop.ContainerID == "" && e.Node != nil && strings.HasPrefix(e.Node.Runtime, "cri-o://")
}

// seccompKilled: cri-o's seccomp notifier ended the container.
func seccompKilled(e *evidence.Evidence) *answer {
	if e.Stop.Reason != "seccomp killed" {
		return nil
	}
	return &answer{
		category:   record.Failure,
		cause:      "app_signal",
		detail:     "SIGSYS",
		confidence: record.Confirmed,
		summary:    "The container was ended because it made a system call that its seccomp profile forbids.",
		evidence:   exitEvidence(e),
	}
}
