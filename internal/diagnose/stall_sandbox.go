package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the pod's sandbox cannot be made: its network namespace, its cgroup and
// the pause container (pkg/kubelet/kuberuntime/kuberuntime_sandbox.go; the texts are
// those of containerd internal/cri/server/sandbox_run.go, cri-o server/sandbox_run_linux.go
// and of the CNI plugins).

// sandboxStall explains it by the event of the step that failed.
func sandboxStall(e *evidence.Evidence, ev *evidence.Event) *answer {
	a := &answer{cause: "sandbox_failed", confidence: record.Confirmed, evidence: []record.Evidence{quoteEvent(e, ev)}, next: nodeSteps(e)}
	if c := condition(e.Pod.Conditions, "PodReadyToStartContainers"); c != nil {
		a.evidence = append(a.evidence, quoteCondition(e, c)...)
	}
	text := brief(last(ev.Message))
	switch ev.Reason {
	case "NetworkNotReady":
		a.detail = "network_not_ready"
		a.summary = fmt.Sprintf("The network of the node %s is not ready, so that no pod can be started there: %s.", e.Pod.Node, text)
		return a
	case "FailedPrepareDynamicResources":
		a.detail = "dynamic_resources"
		a.summary = fmt.Sprintf("The devices that the pod claims could not be prepared on the node %s: %s.", e.Pod.Node, text)
		return a
	case "FailedCreatePodContainer":
		a.detail = "cgroup"
		a.summary = fmt.Sprintf("The pod's cgroup could not be made on the node %s: %s.", e.Pod.Node, text)
		return a
	}
	a.detail = sandboxDetail(ev.Message)
	what := map[string]string{
		"ip_exhausted":  "the network plugin has no address left",
		"cni":           "the network plugin failed",
		"runtime_class": "its runtime class is not known there",
		"pause_image":   "the image of the pause container cannot be had",
		"memory_limit":  "its memory limit is too low for a sandbox",
		"cgroup":        "its cgroup could not be made",
		"timeout":       "the runtime did not answer in time",
		"name_reserved": "an earlier try is still under way in the runtime",
		"sysctl":        "a sysctl that it asks for cannot be set",
		"disk_full":     "the disk is full",
	}[a.detail]
	if what == "" {
		what = "the runtime failed"
	}
	a.summary = fmt.Sprintf("The pod's sandbox could not be made on the node %s, because %s: %s.", e.Pod.Node, what, text)
	return a
}

// sandboxDetail classes the text of FailedCreatePodSandBox.
func sandboxDetail(message string) string {
	lower := strings.ToLower(message)
	for _, c := range []struct {
		detail string
		texts  []string
	}{
		{"ip_exhausted", []string{"no available ip", "failed to assign an ip", "no addresses available", "no ip addresses available", "ip addresses exhausted", "no more ips", "insufficient ips", "address pool exhausted"}},
		{"runtime_class", []string{"no runtime for", "runtimeclass", "unknown runtime", "failed to find runtime handler"}},
		{"pause_image", []string{"sandbox image", "pause image"}},
		{"cni", []string{"failed to setup network for sandbox", "failed to set up sandbox container", "failed to create pod network sandbox", "cni plugin not initialized", "cni config uninitialized", "failed to add network", "plugin type=", "error adding pod", "networkplugin cni", "failed to (add)"}},
		{"memory_limit", []string{"memory limit too low", "oom-killed"}},
		{"cgroup", []string{"cgroup"}},
		{"sysctl", []string{"sysctl"}},
		{"disk_full", []string{"no space left on device"}},
		{"name_reserved", []string{"name is reserved", "is reserved for", "failed to reserve sandbox name"}},
		{"timeout", []string{"deadline exceeded"}},
	} {
		if contains(lower, c.texts...) {
			return c.detail
		}
	}
	return ""
}

// goesOn tells that the pod is being prepared still: an image is being pulled, or a
// large volume changes hands.
func goesOn(e *evidence.Evidence) bool {
	return pulling(e) != nil || newest(e.Events, func(ev *evidence.Event) bool {
		age, known := lasted(e, ev.Last)
		return ev.Reason == "VolumePermissionChangeInProgress" && known && age < recently
	}) != nil
}

// pulling returns the event of a pull that has not ended, nil where there is none.
func pulling(e *evidence.Evidence) *evidence.Event {
	return newest(e.Events, func(ev *evidence.Event) bool {
		if ev.Reason != "Pulling" {
			return false
		}
		name := about(e, ev)
		return name != "" && newest(e.Events, func(after *evidence.Event) bool {
			return about(e, after) == name && !after.Last.Before(ev.Last) &&
				slices.Contains([]string{"Pulled", "Failed", "Created", "Started", "BackOff"}, after.Reason)
		}) == nil
	})
}

// unexplained is the answer for a pod that is not got ready, and nothing says why.
func unexplained(e *evidence.Evidence) *answer {
	ev := statusEvidence(e)
	a := &answer{
		cause:      "unknown",
		confidence: record.Unknown,
		summary:    fmt.Sprintf("The pod has the node %s%s, and none of its containers was started; nothing says why.", e.Pod.Node, forHow(e, stallBegin(e))),
		evidence:   []record.Evidence{ev("status.phase", e.Pod.Phase), specEvidence(e, "spec.nodeName", e.Pod.Node)},
		alternatives: []record.Alternative{
			{Cause: "volume_mount_failed", Why: "its event may be forgotten"},
			{Cause: "sandbox_failed", Why: "its event may be forgotten"},
		},
		missing: []record.Missing{lostEvents(e, "an event of the kubelet")},
		next:    append([]record.NextStep{step(e, "See the newest events of the pod", "events", "--for", "pod/"+e.Pod.Name)}, nodeSteps(e)...),
	}
	if c := condition(e.Pod.Conditions, "PodReadyToStartContainers"); c != nil {
		a.evidence = append(a.evidence, quoteCondition(e, c)...)
		if c.Status == "True" {
			a.alternatives = []record.Alternative{{Cause: "image_pull_failed", Why: "its image may still be being pulled, and the event of that forgotten"}}
			a.ruledOut = []record.Alternative{
				{Cause: "volume_mount_failed", Why: "the sandbox is made after the volumes are mounted, and it is ready"},
				{Cause: "sandbox_failed", Why: "the sandbox is ready"},
			}
		}
	}
	if e.Container.Name != "" {
		a.summary = fmt.Sprintf("The container %s was not tried%s, although others of the pod were; nothing says why.", e.Container.Name, forHow(e, stallBegin(e)))
		a.evidence = append(a.evidence, quoteWaiting(e)...)
		a.alternatives = []record.Alternative{{Cause: "image_pull_failed", Why: "its image may still be being pulled, and the event of that forgotten"}}
	}
	if hook := hooking(e); hook != "" {
		a.summary = fmt.Sprintf("The container %s was started%s, and its postStart hook seems not to have returned: the kubelet starts nothing else before it does.", hook, forHow(e, stallBegin(e)))
		a.alternatives = nil
		a.missing = []record.Missing{{What: "state of the hook", Why: "the kubelet reports a postStart hook when it fails, and not while it runs"}}
		return a
	}
	if e.Pod.StartedAt.IsZero() {
		a.summary = fmt.Sprintf("The pod was given to the node %s%s, and its kubelet has not taken it.", e.Pod.Node, forHow(e, stallBegin(e)))
		a.alternatives = []record.Alternative{{Cause: "node_lost", Why: "a kubelet that runs takes a pod within seconds; it may be dead, or the node may not exist"}}
		a.missing = []record.Missing{{What: "node " + e.Pod.Node, Why: "its condition Ready would tell whether the kubelet lives"}}
		if e.Node != nil {
			a.missing = []record.Missing{{What: "the kubelet's log", Why: "the node says that its kubelet lives"}}
		}
	}
	return a
}

// hooking names a container with a postStart hook that was started and says no more: while
// the hook runs, the status of the pod stays as it was (kuberuntime_container.go startContainer).
func hooking(e *evidence.Evidence) string {
	runs := func(c *evidence.Container) bool {
		if c.Name == "" || c.PostStart == nil || c.State == "running" {
			return false
		}
		of := func(ev *evidence.Event) bool { return about(e, ev) == c.Name }
		started := newest(e.Events, func(ev *evidence.Event) bool { return of(ev) && ev.Reason == "Started" })
		return started != nil && newest(e.Events, func(ev *evidence.Event) bool { return of(ev) && ev.Last.After(started.Last) }) == nil
	}
	if runs(&e.Container) {
		return e.Container.Name
	}
	for i := range e.Others {
		if runs(&e.Others[i]) {
			return e.Others[i].Name
		}
	}
	return ""
}
