package causes

// clusterCauses are stops that somebody or something in the cluster asked for.
func clusterCauses() []Cause {
	deletions := []Detail{
		{"rollout", "a new revision of its workload replaces it"},
		{"scale_down", "its workload was scaled down"},
		{"job", "its Job deleted it (suspended, finished with a limit, or replaced)"},
		{"namespace", "its namespace is being deleted"},
		{"direct", "somebody deleted the pod itself"},
		{"controller", "its controller deleted it or was deleted, and the evidence does not say why"},
	}
	return []Cause{
		{
			Code: "pod_deleted", Category: "lifecycle", Title: "The pod was deleted",
			Meaning: "The pod was being deleted, and the kubelet stopped its containers. Whatever exit code that gave (143, 137, 0) is not a crash.",
			Details: deletions,
			Proof:   []string{"confirmed: the pod has a deletion timestamp and the container ended after it, or its Killing event says Stopping container; the detail from the owner's events and revisions", "likely: the pod was deleted while the container still ran, and its end was not seen"},
			Check:   []string{"kubectl rollout history -n NAMESPACE KIND/NAME", "kubectl get events -n NAMESPACE --sort-by=.lastTimestamp", "Who did it: the API server's audit log"},
			Fix:     []string{"Nothing, if it was wanted. Otherwise find the controller, autoscaler or person that deletes it."},
		},
		{
			Code: "grace_period_exceeded", Category: "lifecycle", Title: "Killed at the end of its grace period",
			Meaning: "The pod was being deleted, and the container still ran at the end of the grace period, so that it was killed with SIGKILL (137). It did not handle SIGTERM, or not in time. This is no out-of-memory kill.",
			Details: deletions,
			Proof:   []string{"confirmed: exit code 137 at the deletion's deadline (within seconds of the grace period after the deletion)", "Under a drain, preemption, taint or eviction that is the cause, and the overrun is only told."},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.terminationGracePeriodSeconds} {.spec.containers[*].lifecycle}'", "Is the program process 1, or does a shell stand before it that does not pass signals on?"},
			Fix:     []string{"Start the program with exec in the entrypoint script, or use an init such as tini.", "Handle SIGTERM; or set the stop signal that the program knows (STOPSIGNAL).", "Give it more time with terminationGracePeriodSeconds; a preStop hook's time counts too."},
		},
		{
			Code: "eviction_api", Category: "disruption", Title: "Evicted through the API",
			Meaning: "Somebody evicted the pod through the eviction API: kubectl drain, a cluster autoscaler, a descheduler, the vertical autoscaler.",
			Proof:   []string{"confirmed: the condition DisruptionTarget with reason EvictionByEvictionAPI"},
			Check:   []string{checkNode, "kubectl get pdb -n NAMESPACE", "kubectl get events -A --field-selector involvedObject.kind=Node"},
			Fix:     []string{"Expected in maintenance. Protect availability with replicas and a PodDisruptionBudget."},
		},
		{
			Code: "node_pressure_eviction", Category: "disruption", Title: "Evicted because the node ran short",
			Meaning: "The kubelet ended the pod because its node ran short of a resource. The pod with the largest use over its requests goes first; it need not be the culprit.",
			Details: []Detail{{"memory", "MemoryPressure"}, {"ephemeral-storage", "DiskPressure: room on the node's disk"}, {"inodes", "DiskPressure: inodes"}, {"pids", "PIDPressure: process ids"}},
			Open:    true,
			Proof:   []string{"confirmed: the pod's reason Evicted with the message The node was low on resource, or the condition DisruptionTarget with reason TerminationByKubelet and that message"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.message}'", checkNode, "kubectl top pod -A --sort-by=memory"},
			Fix:     []string{"Set requests near to real use, so that the scheduler does not overfill nodes.", "ephemeral-storage: limit logs and emptyDir volumes; look for images that nobody uses.", "Delete piles of Failed pods; they are history."},
		},
		{
			Code: "storage_limit_eviction", Category: "failure", Title: "Evicted over its own storage limit",
			Meaning: "The pod used more ephemeral storage than it may, and the kubelet ended it.",
			Details: []Detail{{"empty_dir", "an emptyDir volume exceeded its sizeLimit"}, {"container", "a container exceeded its ephemeral-storage limit"}, {"pod", "the pod exceeded the sum of its containers' limits"}},
			Proof:   []string{"confirmed: the pod's reason Evicted with a message that names the volume, container or pod. There is no DisruptionTarget condition for these."},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.message}'", checkYAML},
			Fix:     []string{"Raise the limit, or clean up what the program writes; write logs to stdout."},
		},
		{
			Code: "preempted", Category: "disruption", Title: "Preempted by the scheduler",
			Meaning: "The scheduler removed the pod to make room for one of higher priority.",
			Proof:   []string{"confirmed: the condition DisruptionTarget with reason PreemptionByScheduler, or the event Preempted"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.priorityClassName} {.spec.priority}'", checkEvents},
			Fix:     []string{"Add capacity, or give the pod a priority class that fits its worth."},
		},
		{
			Code: "kubelet_preempted", Category: "disruption", Title: "Preempted by the kubelet",
			Meaning: "The kubelet ended the pod to admit a critical one (a static pod, or one of system priority) on the same node.",
			Proof:   []string{"confirmed: the pod's reason Preempting, or the event Preempting"},
			Check:   []string{checkNode, "kubectl get pod -A --field-selector spec.nodeName=NODE"},
			Fix:     []string{"Leave room on the nodes for system pods."},
		},
		{
			Code: "taint_eviction", Category: "disruption", Title: "Evicted by a taint",
			Meaning: "The node, or a device, has a NoExecute taint that the pod does not tolerate, or not for so long. Nodes that are lost get such taints by themselves; pods then wait 300 s by default.",
			Details: []Detail{{"device", "the taint is on a device that the pod was given"}},
			Proof:   []string{"confirmed: the condition DisruptionTarget with reason DeletionByTaintManager or DeletionByDeviceTaintManager, or the event TaintManagerEviction"},
			Check:   []string{"kubectl get node NODE -o jsonpath='{.spec.taints}'", checkNode},
			Fix:     []string{"unreachable or not-ready: look at the node.", "A taint that somebody set: expected; add a toleration if the pod is to stay."},
		},
		{
			Code: "node_shutdown", Category: "disruption", Title: "The node was shutting down",
			Meaning: "The kubelet ended the pod because the node was shutting down gracefully.",
			Proof:   []string{"confirmed: the pod's reason Terminated with the message that the node is shutting down, with the condition DisruptionTarget"},
			Check:   []string{checkNode, "kubectl get events -A --field-selector involvedObject.kind=Node"},
			Fix:     []string{"Expected in maintenance; drain first. Spot or preemptible machines: spread replicas."},
		},
		{
			Code: "pod_gc", Category: "disruption", Title: "Removed by the pod garbage collector",
			Meaning: "The control plane removed the pod because its node no longer exists, is out of service, or because too many finished pods were kept. How the containers ended was never reported.",
			Proof:   []string{"confirmed: the condition DisruptionTarget with reason DeletionByPodGC"},
			Check:   []string{"kubectl get nodes", "kubectl get events -A --field-selector involvedObject.kind=Node"},
			Fix:     []string{"Find out why the node went: scale-down, spot machine, replaced by hand."},
		},
		{
			Code: "deadline_exceeded", Category: "failure", Title: "Its deadline passed",
			Meaning: "activeDeadlineSeconds of the pod or of its Job passed, and it was ended for that.",
			Details: []Detail{{"pod", "the deadline is that of the pod"}, {"job", "the deadline is that of its Job"}},
			Proof:   []string{"confirmed: the pod's reason DeadlineExceeded, or the Job's condition Failed with that reason"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.activeDeadlineSeconds}'", "kubectl describe job -n NAMESPACE JOB"},
			Fix:     []string{"Raise the deadline, or find out what took so long; time in the queue or in back-off counts too."},
		},
		{
			Code: "sidecar_stopped", Category: "lifecycle", Title: "A sidecar, stopped at the pod's end",
			Meaning: "The pod's main containers were done or were stopped, and the kubelet stopped the sidecar after them. Its exit code does not matter.",
			Proof:   []string{"confirmed: all regular containers had terminated before, and it has a Killing event", "likely: without the event"},
			Check:   []string{checkDescribe},
			Fix:     []string{"Nothing."},
		},
		{
			Code: "completed", Category: "lifecycle", Title: "Finished",
			Meaning: "The container exited with code 0 and is not started again: a job, an init container, a pod that is done.",
			Proof:   []string{"confirmed: reason Completed, exit code 0, and a restart policy that leaves it at that"},
			Check:   []string{checkLog},
			Fix:     []string{"Nothing."},
		},
	}
}
