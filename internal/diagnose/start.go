package diagnose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the runtime could not start the container's process. containerd says
// StartError with exit code 128, docker ContainerCannotRun; cri-o refuses to create the
// container, which is a stall. The text is runc's (libcontainer) or crun's in the
// runtime's wrapping.

var (
	// What runc quotes: exec: "/app": stat /app: no such file or directory.
	execTarget = regexp.MustCompile(`exec: "((?:[^"\\]|\\.)*)"`)
	// crun: executable file `app` not found in $PATH: No such file or directory.
	crunTarget = regexp.MustCompile("executable file `([^`]*)` not found")
	unquoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|` + "`[^`]*`")
	workingDir = regexp.MustCompile(`chdir to cwd \("([^"]*)"\)`)
	mountPoint = regexp.MustCompile(`error mounting "[^"]*" to rootfs at "([^"]*)"`)
	noUser     = regexp.MustCompile(`unable to find (user|group) ([^:]+): no matching entries`)
)

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
		summary:    "The container runtime could not start the container's process; the message says why.",
		evidence:   exitEvidence(e),
		ruledOut:   []record.Alternative{{Cause: "app_exit", Why: "the program was never started"}},
	}
	classStart(e, a, s.Message)
	return a
}

// classStart sets cause, detail and summary by the runtime's text.
func classStart(e *evidence.Evidence, a *answer, m string) {
	target := ""
	if t := execTarget.FindStringSubmatch(m); t != nil {
		target = " " + oneLine(t[1])
	} else if t := crunTarget.FindStringSubmatch(m); t != nil {
		target = " " + oneLine(t[1])
	}
	lower := strings.ToLower(unquoted.ReplaceAllString(m, `""`)) // a command may be called anything
	has := func(text string) bool { return strings.Contains(lower, text) }
	switch {
	case has("container init was oom-killed"):
		a.cause, a.detail = "oom_killed", "container_limit"
		a.ruledOut = nil
		a.summary = "The container's start was killed for lack of memory: its memory limit is too low for it to start at all."
		if l := e.Container.MemoryLimit; l > 0 && (podMemory(e) == 0 || limitedBelow(e, podMemory(e))) {
			a.summary = fmt.Sprintf("The container's start was killed for lack of memory: its memory limit of %s is too low for it to start at all.", size(l))
			a.evidence = append(a.evidence, limitEvidence(e))
			if nodeOOM(e) != nil {
				a.detail = "level_unknown" // its counter has the kills for the node's memory too
			}
		} else {
			a.detail = "level_unknown"
			a.summary = "The container's start was killed for lack of memory."
		}
	case workingDir.MatchString(m):
		a.detail = "bad_working_dir"
		a.summary = fmt.Sprintf("The container's working directory %s does not exist in it, or its user may not enter it.", oneLine(workingDir.FindStringSubmatch(m)[1]))
		if has("not a directory") {
			a.summary = fmt.Sprintf("The container's working directory %s is not a directory.", oneLine(workingDir.FindStringSubmatch(m)[1]))
		}
		if w := e.Container.WorkingDir; w != "" {
			a.evidence = append(a.evidence, containerEvidence(e, "workingDir", w))
		}
	case mountPoint.MatchString(m):
		a.detail = "mount_failed"
		at := oneLine(mountPoint.FindStringSubmatch(m)[1])
		a.summary = fmt.Sprintf("The runtime could not mount a volume at %s.", at)
		if has("not a directory") || has("is a directory") {
			a.summary = fmt.Sprintf("The runtime could not mount a volume at %s: one side is a file, the other a directory.", at)
		}
		for _, mount := range e.Container.Mounts {
			if mount.Path == at && mount.SubPath != "" {
				a.evidence = append(a.evidence, containerEvidence(e, "volumeMounts["+at+"].subPath", mount.SubPath))
			}
		}
	case noUser.MatchString(m):
		u := noUser.FindStringSubmatch(m)
		a.detail = "user_not_found"
		a.summary = fmt.Sprintf("The %s %s, which the container is to run as, does not exist in its image.", u[1], oneLine(u[2]))
	case has("executable file not found in $path"), crunTarget.MatchString(m),
		target != "" && has(": no such file or directory"):
		a.cause = "command_not_found"
		a.summary = fmt.Sprintf("The container's command%s does not exist in its image.", target)
		a.quoteCommand(e)
	case has("exec format error"):
		a.cause = "exec_format_error"
		a.summary = fmt.Sprintf("The container's command%s is not a program that this node can execute%s.", target, platform(e))
	case target != "" && (has(": permission denied") || has(": is a directory")), has("open executable: permission denied"):
		a.cause = "command_not_executable"
		a.summary = fmt.Sprintf("The container's command%s exists, and cannot be executed.", target)
		if has(": is a directory") {
			a.summary = fmt.Sprintf("The container's command%s is a directory.", target)
		}
		a.quoteCommand(e)
	case has("no command specified"):
		a.cause = "start_error"
		a.detail = "no_command"
		a.summary = "Neither the image nor the pod says which command to run."
	case has("apparmor"), has("seccomp"), has("selinux"), has("unable to apply caps"), has("capabilit"):
		a.detail = "security_profile"
		a.summary = "The runtime could not apply the container's security settings on this node."
	case has("cgroup"):
		a.detail = "cgroup"
		a.summary = "The runtime could not set up the container's cgroup on this node."
	case has("no space left on device"):
		a.detail = "disk_full"
		a.summary = "The runtime could not start the container: a disk or a quota of the node is full."
	case has("context deadline exceeded"), has("deadlineexceeded"):
		a.detail = "timeout"
		a.summary = "The runtime did not start the container in time."
	}
}

// quoteCommand adds the command of the spec, which names what the image does not have.
func (a *answer) quoteCommand(e *evidence.Evidence) {
	if c := e.Container.Command; len(c) > 0 {
		a.evidence = append(a.evidence, containerEvidence(e, "command", fmt.Sprintf("%q", c)))
	} else if c := e.Container.Args; len(c) > 0 {
		a.evidence = append(a.evidence, containerEvidence(e, "args", fmt.Sprintf("%q", c)))
	}
}

// platform names the node's platform, for a sentence; empty where it is not known.
func platform(e *evidence.Evidence) string {
	if e.Node == nil || e.Node.Platform == "" {
		return ""
	}
	return ", which is " + e.Node.Platform
}

// limitEvidence quotes the container's memory limit.
func limitEvidence(e *evidence.Evidence) record.Evidence {
	return containerEvidence(e, "resources.limits.memory", size(e.Container.MemoryLimit))
}
