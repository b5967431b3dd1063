package causes

// runtimeCauses are stops by the kubelet or the container runtime, and those that nobody claims.
func runtimeCauses() []Cause {
	probe := func(code, title, word, more string, fix ...string) Cause {
		return Cause{
			Code: code, Category: "failure", Title: title,
			Meaning: "The kubelet killed the container because its " + word + " probe failed failureThreshold times in a row. " + more + " The exit code says only how the program took it: 137 where it did not end in time, 143 or its own code (also 0) where it did.",
			Details: []Detail{
				{"refused", "nothing listened on the probe's port: wrong port, not started yet, or the listener is gone"},
				{"timeout", "no answer within timeoutSeconds: the program is busy, throttled, deadlocked or the node is overloaded"},
				{"http_NNN", "the program answered with this HTTP status"},
				{"exec", "the probe's command failed"},
				{"grpc", "the gRPC health check failed or is not implemented"},
			},
			Proof: []string{"confirmed: a Killing event of this container in the instance's lifetime that names the " + word + " probe; Unhealthy events give the detail", "likely: the event is lost, and Unhealthy events of the probe or lifetimes that always equal the probe's budget fit"},
			Check: []string{checkEvents, "kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*]." + word + "Probe}'", checkTop, checkLog},
			Fix:   fix,
		}
	}
	return []Cause{
		probe("liveness_probe", "The liveness probe killed it", "liveness", "A readiness probe never does that.",
			"Killed while it starts: add a startup probe; do not only raise initialDelaySeconds.",
			"timeout: raise timeoutSeconds (the default is 1 s) and CPU limits; many pods of one node at once means the node is overloaded.",
			"refused after hours: the listener died or hangs; look at the log and at threads.",
			"Let the liveness probe check the process only, never a database: otherwise all replicas restart together when that fails."),
		probe("startup_probe", "The startup probe killed it", "startup", "It had not started within initialDelaySeconds + periodSeconds * failureThreshold.",
			"Give it more time with failureThreshold, or find what makes the start slow (CPU limit, migrations, a dependency).",
			"refused on each try: compare the probe's port and path with what the program listens on."),
		{
			Code: "post_start_hook", Category: "failure", Title: "The postStart hook failed",
			Meaning: "The container's postStart hook failed, and the kubelet killed the container for it.",
			Details: []Detail{{"exec", "a command"}, {"http", "an HTTP request"}, {"tcp", "a TCP connection"}, {"sleep", "a sleep"}},
			Proof:   []string{"confirmed: the event FailedPostStartHook or a Killing event with that text, or the waiting reason PostStartHookError", "The hook's output is in the waiting message alone, which is gone at the next start; the event does not have it."},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.containerStatuses[*].state.waiting.message}'", checkYAML},
			Fix:     []string{"The hook runs at the same time as the program's start: let it wait for what it needs.", "Move work that must come first into an init container."},
		},
		{
			Code: "definition_changed", Category: "lifecycle", Title: "The container's definition changed",
			Meaning: "The image (up to Kubernetes 1.30: any part of the container) was changed in the running pod, and the kubelet restarted the container with it. Up to 1.30 an upgrade of the kubelet can do this too.",
			Proof:   []string{"confirmed: a Killing event that says definition changed"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.metadata.managedFields[*].manager}'", checkEvents},
			Fix:     []string{"Nothing, if somebody wanted it. Change the workload's template instead of pods."},
		},
		{
			Code: "resize_restart", Category: "lifecycle", Title: "Restarted for a resize in place",
			Meaning: "The container's resources were changed in the running pod, and its resizePolicy asks for a restart.",
			Proof:   []string{"confirmed: a Killing event that says resize requires restart"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].resizePolicy}'", checkEvents},
			Fix:     []string{"Nothing, if somebody or the vertical autoscaler wanted it. NotRequired as resizePolicy resizes without a restart."},
		},
		{
			Code: "restart_all_containers", Category: "lifecycle", Title: "Another container restarted all of the pod",
			Meaning: "A container of the pod exited with a code for which its restartPolicyRules say RestartAllContainers, and this one was restarted with it. Exit code 137 is a placeholder here.",
			Proof:   []string{"confirmed: reason RestartingAllContainers or the condition AllContainersRestarting, or the Killing event killing together with a container whose exit code matches a rule"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].restartPolicyRules} {.spec.initContainers[*].restartPolicyRules}'", checkDescribe},
			Fix:     []string{"Look at the container that exited first; this one is collateral."},
		},
		{
			Code: "sandbox_changed", Category: "disruption", Title: "The pod's sandbox was replaced",
			Meaning: "The pause container or the network of the pod was lost, and the kubelet made a new sandbox: all containers of the pod were stopped and start again, init containers too.",
			Proof:   []string{"confirmed: the event SandboxChanged in the instance's lifetime", "likely: all containers of the pod ended at once, and their restart counts rise together"},
			Check:   []string{checkEvents, checkNode, "kubectl get events -A --field-selector involvedObject.kind=Node"},
			Fix:     []string{"Look for the cause on the node: a reboot, a restarted runtime, the network plugin."},
		},
		{
			Code: "runtime_restarted", Category: "disruption", Title: "The container runtime or the node was restarted",
			Meaning: "The runtime lost the container: containerd writes reason Unknown with exit code 255 for what was gone when it came back. The finish time is when it noticed, not when the container died.",
			Details: []Detail{{"node_reboot", "the node was rebooted: a Rebooted event, or another boot id than before"}},
			Proof:   []string{"confirmed: reason Unknown and exit code 255 of containerd; node_reboot by the node's Rebooted event or boot id", "Several pods of the node with the same finish time support it."},
			Check:   []string{checkNode, "kubectl get events -A --field-selector involvedObject.kind=Node,reason=Rebooted", "On the node: journalctl -u containerd -u kubelet; last -x reboot"},
			Fix:     []string{"Find out who restarted the node or runtime: maintenance, a kernel panic, an automatic upgrade.", "Drain a node before its maintenance."},
		},
		{
			Code: "status_unknown", Category: "failure", Title: "The exit status is lost",
			Meaning: "The kubelet could not find the container any more and wrote ContainerStatusUnknown with an invented exit code 137; no SIGKILL is known. Or the runtime lost the exit code (255 or -1 of cri-o).",
			Proof:   []string{"unknown: reason ContainerStatusUnknown, or exit code 255 or -1 of cri-o. The API says that the status is lost, not how the container ended; what else it shows (a lost node, a reboot) is listed. An eviction or deletion of the pod is a cause of its own."},
			Check:   []string{checkYAML, checkNode, "kubectl get events -A --field-selector involvedObject.kind=Node"},
			Fix:     []string{"Look for what happened to the node at that time; the container itself cannot tell."},
		},
		{
			Code: "sigkill_unattributed", Category: "failure", Title: "SIGKILL, and nobody says who",
			Meaning: "Exit code 137 with nothing that explains it: not reported as out of memory, no Killing event, no deletion, no eviction. The API does not carry the cause.",
			Proof:   []string{"unknown: what remains is listed with the finding: an out-of-memory kill that the runtime missed, the node out of memory, a kill from outside (kill -9, crictl stop), or the program's own exit code 137"},
			Check:   []string{"On the node, at that time: journalctl -k | grep -i -e 'out of memory' -e oom", checkTop, checkNode, checkLog},
			Fix:     []string{"If memory use was near the limit, treat it as an out-of-memory kill.", "If the log goes on to the very end and names a killed child, the program passed on its child's end.", "node-problem-detector makes the kernel's kills visible as events."},
		},
		{
			Code: "sigterm_unattributed", Category: "failure", Title: "SIGTERM, and nobody says who",
			Meaning: "Exit code 143 with nothing that explains it: no Killing event, no deletion. A kill from outside of Kubernetes, a supervisor within the container, a lost event, or the program's own exit code.",
			Proof:   []string{"unknown: the alternatives are listed with the finding"},
			Check:   []string{checkLog, checkEvents, "On the node: journalctl -u kubelet | grep POD"},
			Fix:     []string{"Look for scripts and supervisors in the image that send SIGTERM (timeout, entrypoint traps).", "Keep events longer, or let whyrestart record while it happens."},
		},
		{
			Code: "unknown", Category: "failure", Title: "Not known",
			Meaning: "The API does not say why. The finding names what was ruled out, what stays possible, and which reading would settle it.",
			Proof:   []string{"unknown: no rule applies, or several do that the evidence cannot tell apart"},
			Check:   []string{"What the finding lists as missing", checkLog, checkEvents},
			Fix:     []string{"Let whyrestart serve run in the cluster: it takes events and logs before they are gone."},
		},
	}
}
