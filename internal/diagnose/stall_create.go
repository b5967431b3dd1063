package diagnose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the runtime refuses to create the container, or a hook of the kubelet's
// own before that. cri-o puts a command that does not exist here as well, where
// containerd counts a start that failed.

var (
	missingCommand = regexp.MustCompile("(?i)executable file [`\"']?.*not found in \\$PATH|exec: .*: no such file or directory|stat /\\S+: no such file or directory")
	badCommand     = regexp.MustCompile("(?i)exec: .*(permission denied|is a directory)|open executable: permission denied|open `[^`]*`: permission denied")
)

// createStall explains a container that the runtime does not create or start.
func createStall(e *evidence.Evidence) *answer {
	c := &e.Container
	switch c.WaitingReason {
	case "CrashLoopBackOff", "PostStartHookError", "RestartingAllContainers":
		return nil // its stops tell
	case "":
		return created(e)
	case "RunContainerError":
		// A start that failed is a stop of its own, with the runtime's text.
		for _, t := range []*evidence.Ended{c.Ended, c.LastEnded} {
			if t != nil {
				return nil
			}
		}
	}
	a := &answer{cause: "container_create_failed", confidence: record.Confirmed, evidence: quoteWaiting(e)}
	text := c.WaitingMessage
	var ev *evidence.Event
	if text == "" {
		if ev, text = lastFailure(e); ev != nil {
			a.evidence = append(a.evidence, quoteEvent(e, ev))
		} else if forgotten(e) {
			return nil
		}
	}
	if text == "" {
		a.confidence = record.Likely
		a.summary = fmt.Sprintf("The container %s could not be created or started; why, its status does not say.", c.Name)
		a.missing = []record.Missing{lostEvents(e, `an event "Failed" of the container`)}
		a.alternatives = []record.Alternative{{Cause: "start_error", Why: "the error was not seen"}}
		return a
	}
	if c.WaitingReason == "PreCreateHookError" || c.WaitingReason == "PreStartHookError" {
		a.detail = "resource_manager"
		a.summary = fmt.Sprintf("The kubelet's managers of cpu, memory or devices could not serve the container: %s.", brief(text))
		a.next = nodeSteps(e)
		return a
	}
	a.create(e, text)
	if ev != nil {
		return a.aged(e, ev)
	}
	return a
}

// create classes the runtime's text.
func (a *answer) create(e *evidence.Evidence, text string) {
	lower := strings.ToLower(execTarget.ReplaceAllString(text, `exec: ""`)) // a command may be called anything
	inPod := []record.NextStep{step(e, "Compare the container's command, mounts and security context with what the image has", "get", "pod", e.Pod.Name, "-o", "yaml"), edit(e, "Correct it")}
	for _, c := range []struct {
		is              bool
		detail, summary string
		next            []record.NextStep
	}{
		{contains(lower, "no command specified"), "no_command", "Neither the image nor the pod says which command to run.", inPod},
		{contains(lower, "container init was oom-killed", "memory limit too low"), "memory_limit", "The memory limit is too low for the container to be created at all.", inPod},
		{contains(lower, "failed to reserve container name", "name is reserved"), "name_reserved", "An earlier try to create the container is still under way in the runtime, which holds its name: the node's disk or its runtime is slow or stuck.", nodeSteps(e)},
		{contains(lower, "deadline exceeded"), "deadline_exceeded", "The runtime did not create the container in time: the node's disk or its runtime is slow or stuck.", nodeSteps(e)},
		{contains(lower, "chdir to cwd", "mkdir cwd"), "working_dir", "The container's working directory does not exist, or its user may not enter it.", inPod},
		{contains(lower, "exec format error"), "exec_format_error", "The container's command is not a program that this node can execute.", inPod},
		{badCommand.MatchString(text), "command_not_executable", "The container's command exists, and cannot be executed.", inPod},
		{contains(lower, "volume-subpaths", "subpath"), "sub_path", "A subPath of a volume cannot be mounted into the container.", inPod},
		{contains(lower, "error mounting", "not a directory", "to rootfs at"), "mount", "A volume cannot be mounted at its place in the container, as with a file where a directory is, or the reverse.", inPod},
		{missingCommand.MatchString(text), "command_not_found", "The container's command does not exist in its image.", inPod},
		{contains(lower, "unable to find user", "no users found", "no groups found", "no matching entries in passwd", "unable to find group", "no matching entries in group"), "user", "The user or group that the container shall run as is not known in its image.", inPod},
		{contains(lower, "apparmor", "seccomp", "selinux", "apply caps", "capabilit"), "security_profile", "A security profile or capability that the container asks for cannot be applied on this node.", nodeSteps(e)},
		{contains(lower, "cgroup"), "cgroup", "The node could not set up the container's cgroup.", nodeSteps(e)},
		{contains(lower, "no space left on device"), "disk_full", "The node has no room left on its disk for the container.", nodeSteps(e)},
		{contains(lower, "cdi device", "device", "nvidia"), "device", "A device that the container asks for cannot be given to it.", nodeSteps(e)},
		{contains(lower, "sandbox container") && contains(lower, "is not running"), "sandbox_gone", "The pod's sandbox died before the container could be created in it.", nodeSteps(e)},
	} {
		if c.is {
			a.detail, a.next = c.detail, c.next
			a.summary = strings.TrimSuffix(c.summary, ".") + " (" + last(text) + ")."
			return
		}
	}
	a.summary = fmt.Sprintf("The container runtime refused to create the container: %s.", last(text))
	a.next = []record.NextStep{step(e, "See the pod's spec and events", "describe", "pod", e.Pod.Name)}
}

// created: the runtime has the container, and it is neither running nor ended
// (pkg/kubelet/kubelet_pods.go convertContainerStatusToAPI leaves the reason empty).
func created(e *evidence.Evidence) *answer {
	c := &e.Container
	if c.State != "waiting" || young(e, startRace) {
		return nil
	}
	if node := troubleOfNode(e); node.silent() {
		return nodeLost(e, node)
	}
	return &answer{
		cause:        "container_create_failed",
		detail:       "not_started",
		confidence:   record.Likely,
		summary:      fmt.Sprintf("The container %s was created%s and has neither started nor failed: the node's runtime is slow or stuck.", c.Name, either(stallBegin(e).IsZero(), "", " (it waits"+forHow(e, stallBegin(e))+")")),
		evidence:     []record.Evidence{statusEvidence(e)(containerPath(c)+".state", "waiting, without a reason")},
		alternatives: []record.Alternative{{Cause: "node_lost", Why: "the kubelet may have lost the runtime, or the API server"}},
		next:         nodeSteps(e),
	}
}
