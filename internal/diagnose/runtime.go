package diagnose

import (
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what the container runtime or the kubelet itself reports of the end.
// Sources: containerd internal/cri/server (container_status.go, events.go, restart.go,
// container_start.go), cri-o server/container_status.go, pkg/kubelet/kubelet_pods.go.

// standIn: the kubelet could not find the instance and made up a state for it.
func standIn(e *evidence.Evidence) *answer {
	switch e.Stop.Reason {
	case "ContainerStatusUnknown":
		return &answer{
			category:   record.Failure,
			cause:      "status_unknown",
			confidence: record.Unknown,
			summary:    "The container is gone and the kubelet could not learn how it ended; the exit code 137 is the kubelet's stand-in, not a signal.",
			evidence:   exitEvidence(e),
			missing:    []record.Missing{{What: "exit status", Why: "the container runtime no longer knew the container"}},
		}
	case "RestartingAllContainers":
		return &answer{
			category:   record.Lifecycle,
			cause:      "restart_all_containers",
			confidence: record.Confirmed,
			summary:    "Another container's restart rule restarted all containers of the pod; the exit code 137 is a stand-in.",
			evidence:   exitEvidence(e),
		}
	}
	return nil
}

// runtimeUnknown: containerd restarted, or the node did, and the exit status was lost.
func runtimeUnknown(e *evidence.Evidence) *answer {
	if e.Stop.Reason != "Unknown" || e.Stop.ExitCode != 255 {
		return nil
	}
	return &answer{
		category:   record.Disruption,
		cause:      "runtime_restarted",
		confidence: record.Confirmed,
		summary:    "The container runtime restarted, or the whole node did, and the exit status was lost with it.",
		evidence:   exitEvidence(e),
		missing:    []record.Missing{{What: "time of the end", Why: "finishedAt is when the runtime noticed, not when the container ended"}},
	}
}

// startError: the runtime could not start the container's process.
func startError(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.Reason != "StartError" && s.Reason != "ContainerCannotRun" {
		return nil
	}
	a := &answer{
		category:   record.Failure,
		cause:      "start_error",
		confidence: record.Confirmed,
		summary:    "The container runtime could not start the container's process.",
		evidence:   exitEvidence(e),
	}
	m := s.Message
	switch {
	case strings.Contains(m, "container init was OOM-killed"):
		a.cause, a.detail = "oom_killed", "container_limit"
		a.summary = "The container's start was killed for lack of memory: the memory limit is too low for it to start at all."
	case strings.Contains(m, "executable file not found in $PATH"),
		strings.Contains(m, "exec: ") && strings.Contains(m, ": no such file or directory"):
		a.cause = "command_not_found"
		a.summary = "The container's command does not exist in its image."
	case strings.Contains(m, "exec: ") && (strings.Contains(m, ": permission denied") || strings.Contains(m, ": is a directory")):
		a.cause = "command_not_executable"
		a.summary = "The container's command exists, and cannot be executed."
	case strings.Contains(m, "exec format error"):
		a.cause = "exec_format_error"
		a.summary = "The container's command is not a program that this node can execute."
	}
	return a
}

// statusPath is the path of the container's status in the pod.
func statusPath(e *evidence.Evidence) string {
	path, _, _ := strings.Cut(e.Stop.Field, "].")
	if path == "" {
		return "status"
	}
	return path + "]"
}

// oomKilled: the runtime saw the kernel's OOM killer act in the container's cgroup. That
// says that some process was killed, not which limit was hit.
func oomKilled(e *evidence.Evidence) *answer {
	s := e.Stop
	if s.Reason != "OOMKilled" {
		return nil
	}
	a := &answer{
		category:   record.Failure,
		cause:      "oom_killed",
		detail:     "level_unknown",
		confidence: record.Confirmed,
		summary:    "The kernel killed the container for lack of memory.",
		evidence:   exitEvidence(e),
	}
	if m := e.Container.MemoryLimit; m > 0 {
		a.evidence = append(a.evidence, specEvidence(e, "spec.containers["+e.Container.Name+"].resources.limits.memory", fmt.Sprint(m)))
	}
	if s.ExitCode != 137 {
		a.detail = "child_process"
		a.summary = fmt.Sprintf("The kernel killed a process in the container for lack of memory; the container itself ended with exit code %d.", s.ExitCode)
	}
	return a
}
