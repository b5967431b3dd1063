package diagnose

import (
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// willRestart applies the kubelet's restart decision (pkg/kubelet/container/helpers.go
// ShouldContainerBeRestarted, pkg/api/v1/pod ContainerShouldRestart), which does not ask
// once the kubelet ends the whole pod.
func willRestart(e *evidence.Evidence, cause string) *bool {
	yes, no := true, false
	c, s := &e.Container, e.Stop
	switch {
	case c.RestartCount > s.Ordinal && strings.Contains(s.Field, ".lastState.") && (c.State == "running" || c.State == "terminated"):
		return &yes // it was: the status shows a later instance
	case endsPod(cause):
		return &no
	case !e.Pod.DeletionTimestamp.IsZero(), e.Pod.Phase == "Succeeded", e.Pod.Phase == "Failed", !s.ExitObserved, c.Type == record.Ephemeral:
		return &no
	case c.Type == record.Sidecar, cause == "restart_all_containers":
		return &yes
	}
	if len(c.RestartRules) > 0 {
		if !s.HasExitCode || slices.ContainsFunc(c.RestartRules, func(r evidence.RestartRule) bool { return r.Operator != "In" && r.Operator != "NotIn" }) {
			return nil
		}
		if r := matchingRule(c, s.ExitCode); r != nil && (r.Action == "Restart" || r.Action == restartAll) {
			return &yes
		}
	}
	policy := policy(e)
	if !s.HasExitCode && policy != "Never" && policy != "Always" {
		return nil
	}
	failed := s.ExitCode != 0 || c.Type == record.Init && s.Reason == "OOMKilled"
	switch policy {
	case "Always":
		if c.Type == record.Init {
			return either(failed, &yes, &no)
		}
		return &yes
	case "OnFailure":
		return either(failed, &yes, &no)
	case "Never":
		return &no
	}
	return nil
}

// restartAll is the action of a restart rule that restarts all containers of the pod (KEP-5532).
const restartAll = "RestartAllContainers"

// matchingRule returns the first restart rule that holds for an exit code, as the
// kubelet takes the first (KEP-5307); nil where none does.
func matchingRule(c *evidence.Container, code int32) *evidence.RestartRule {
	for i := range c.RestartRules {
		r := &c.RestartRules[i]
		in := slices.Contains(r.ExitCodes, code)
		if r.Operator == "In" && in || r.Operator == "NotIn" && !in {
			return r
		}
	}
	return nil
}

// endsPod tells causes after which no container of the pod is started again.
func endsPod(cause string) bool {
	switch cause {
	case "sidecar_stopped", "pod_deleted", "grace_period_exceeded", "eviction_api", "node_pressure_eviction", "storage_limit_eviction",
		"preempted", "kubelet_preempted", "taint_eviction", "node_shutdown", "pod_gc", "deadline_exceeded":
		return true
	}
	return false
}

// policy is the restart policy that holds for the container.
func policy(e *evidence.Evidence) string {
	if p := e.Container.RestartPolicy; p != "" {
		return p
	}
	return e.Pod.RestartPolicy
}
