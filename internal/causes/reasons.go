package causes

// terminatedReasons are the words of state.terminated.reason and lastState.terminated.reason.
func terminatedReasons() []Reason {
	return []Reason{
		{
			Kind: KindTerminated, Name: "Completed",
			Meaning: "The main process exited with code 0.",
			Not:     "It does not mean that nothing is wrong: with restart policy Always it is a loop, and a liveness probe's kill can end in it too. The kubelet also writes it for an init container that it can no longer find.",
			Causes:  []string{"completed", "app_completed", "liveness_probe", "pod_deleted"},
			Check:   []string{"The restart policy, and whether a Killing event falls into the instance's lifetime"},
		},
		{
			Kind: KindTerminated, Name: "Error",
			Meaning: "The main process exited with a code other than 0, and the runtime has no better word for it.",
			Not:     "It is never the root cause. It also stands for a SIGKILL by the kubelet, and for out-of-memory kills that the runtime missed.",
			Causes:  []string{"app_exit", "app_signal", "liveness_probe", "startup_probe", "sigkill_unattributed", "sigterm_unattributed", "pod_deleted"},
			Check:   []string{"The exit code, Killing events, the log"},
		},
		{
			Kind: KindTerminated, Name: "OOMKilled", Also: []string{"OOM"},
			Meaning: "The kernel killed some process of the container for lack of memory at some time of this instance: the main one, a child, or a probe's command.",
			Not:     "It does not mean that this ended the container (unless the exit code is 137), nor that the container's own limit was reached: the pod's limit or the node's memory can be it. The word may come in a later update of the status, after Error.",
			Causes:  []string{"oom_killed"},
			Check:   []string{"The exit code; limits of the container and the pod; the node's SystemOOM events"},
		},
		{
			Kind: KindTerminated, Name: "ContainerStatusUnknown",
			Meaning: "The kubelet could not find the container when the pod was ended or deleted, and invented exit code 137.",
			Not:     "Nobody is known to have sent SIGKILL. There are no times and no container ID.",
			Causes:  []string{"status_unknown", "node_pressure_eviction", "pod_deleted", "runtime_restarted"},
			Check:   []string{"The pod's reason and message, DisruptionTarget, the node's history"},
		},
		{
			Kind: KindTerminated, Name: "Unknown",
			Meaning: "containerd came back after a restart, its own or the node's, and the container was gone; exit code 255.",
			Not:     "The finish time is not the time of death, and the program did not choose 255.",
			Causes:  []string{"runtime_restarted"},
			Check:   []string{"Other pods of the node with the same finish time; the node's Rebooted event"},
		},
		{
			Kind: KindTerminated, Name: "StartError",
			Meaning: "The runtime (containerd) created the container and could not start its process; the message says why. Exit code 128.",
			Not:     "The program never ran. The start time 1970-01-01 is a placeholder.",
			Causes:  []string{"command_not_found", "command_not_executable", "start_error", "exec_format_error", "oom_killed"},
			Check:   []string{"The terminated message"},
		},
		{
			Kind: KindTerminated, Name: "ContainerCannotRun",
			Meaning: "What StartError is, of Docker (cri-dockerd): exit code 126, 127 or 128.",
			Not:     "The program never ran.",
			Causes:  []string{"command_not_found", "command_not_executable", "start_error"},
			Check:   []string{"The terminated message"},
		},
		{
			Kind: KindTerminated, Name: "seccomp killed",
			Meaning: "cri-o saw the program end for a system call that its seccomp profile forbids.",
			Causes:  []string{"app_signal"},
			Check:   []string{"securityContext.seccompProfile"},
		},
		{
			Kind: KindTerminated, Name: "RestartingAllContainers",
			Meaning: "Another container's exit restarted all containers of the pod (restartPolicyRules). Exit code 137 is invented.",
			Not:     "This container did nothing wrong.",
			Causes:  []string{"restart_all_containers"},
			Check:   []string{"The container that exited first; restartPolicyRules"},
		},
	}
}

// waitingReasons are the words of state.waiting.reason.
func waitingReasons() []Reason {
	image := []string{"image_not_found", "image_pull_auth", "image_registry_unreachable", "image_rate_limited", "image_platform_mismatch", "image_pull_failed"}
	return []Reason{
		{
			Kind: KindWaiting, Name: "CrashLoopBackOff",
			Meaning: "The container ended, and the kubelet waits before it starts it again: 10 s, doubled each time up to a cap of 5 minutes by default, for ever. It is reset after ten minutes of running.",
			Not:     "It is a timer, not an error: the cause is in lastState.terminated. Probe kills and programs that end with exit code 0 come here too.",
			Causes:  []string{"app_exit", "oom_killed", "liveness_probe", "startup_probe", "command_not_found", "app_completed", "app_signal", "post_start_hook"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.containerStatuses[*].lastState.terminated}'", checkLog},
		},
		{
			Kind: KindWaiting, Name: "ContainerCreating",
			Meaning: "No container was tried yet: the node prepares volumes, network and sandbox, or pulls images.",
			Not:     "An empty message does not mean that nothing is wrong: errors of volumes and sandboxes never reach the status.",
			Causes:  []string{"volume_mount_failed", "volume_attach_failed", "sandbox_failed", "missing_configmap", "missing_secret", "node_lost"},
			Check:   []string{checkEvents},
		},
		{
			Kind: KindWaiting, Name: "PodInitializing",
			Meaning: "The container waits for the init containers, or for what ContainerCreating waits for.",
			Not:     "The reason is never in this container: look at the init containers and the pod's events.",
			Causes:  []string{"init_not_finished", "volume_mount_failed", "sandbox_failed"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.initContainerStatuses}'", checkEvents},
		},
		{
			Kind: KindWaiting, Name: "ErrImagePull",
			Meaning: "The pull just failed; the message is the runtime's error.",
			Causes:  image, Check: []string{checkPull},
		},
		{
			Kind: KindWaiting, Name: "ImagePullBackOff",
			Meaning: "The pull failed, and the kubelet waits before it tries again (10 s up to 5 minutes).",
			Not:     "It is a timer: the cause is in the message since Kubernetes 1.32, before that in an event alone. Of a pod with running containers it blocks only the one that waits.",
			Causes:  image, Check: []string{checkPull},
		},
		{
			Kind: KindWaiting, Name: "ErrImageNeverPull",
			Meaning: "imagePullPolicy is Never, and the image is not on the node.",
			Causes:  []string{"image_never_pull"},
		},
		{
			Kind: KindWaiting, Name: "InvalidImageName",
			Meaning: "The image's reference cannot be parsed.",
			Causes:  []string{"image_invalid_name"},
		},
		{
			Kind: KindWaiting, Name: "ImageInspectError",
			Meaning: "The runtime could not read its own image store.",
			Causes:  []string{"image_pull_failed"}, Check: []string{checkNode},
		},
		{
			Kind: KindWaiting, Name: "RegistryUnavailable",
			Meaning: "The runtime (cri-o) reports that the registry cannot be reached.",
			Causes:  []string{"image_registry_unreachable"}, Check: []string{checkPull},
		},
		{
			Kind: KindWaiting, Name: "SignatureValidationFailed",
			Meaning: "The node's policy does not accept the image's signature.",
			Causes:  []string{"image_pull_failed"}, Check: []string{checkPull},
		},
		{
			Kind: KindWaiting, Name: "CreateContainerConfigError",
			Meaning: "The kubelet cannot put the container's configuration together: a ConfigMap, Secret or key is missing, or it would run as root and may not. It is tried again for ever.",
			Not:     "The restart count does not rise, and there is no log: nothing ran.",
			Causes:  []string{"missing_configmap", "missing_secret", "missing_key", "run_as_non_root", "container_create_failed"},
			Check:   []string{checkDescribe, "The waiting message; describe does not show it, -o yaml does"},
		},
		{
			Kind: KindWaiting, Name: "CreateContainerError",
			Meaning: "The runtime refused to create the container. With cri-o this is also where a missing command shows.",
			Not:     "The restart count does not rise, and there is no log: nothing ran.",
			Causes:  []string{"container_create_failed", "command_not_found", "command_not_executable", "start_error"},
			Check:   []string{"The waiting message"},
		},
		{
			Kind: KindWaiting, Name: "RunContainerError",
			Meaning: "The container was created, and its process could not be started. The restart count rises; CrashLoopBackOff with StartError follows.",
			Causes:  []string{"command_not_found", "command_not_executable", "start_error", "exec_format_error"},
			Check:   []string{"The waiting message"},
		},
		{
			Kind: KindWaiting, Name: "PostStartHookError",
			Meaning: "The postStart hook failed, and the container was killed for it. Only this message has the hook's output.",
			Causes:  []string{"post_start_hook"},
		},
		{
			Kind: KindWaiting, Name: "PreCreateHookError", Also: []string{"PreStartHookError"},
			Meaning: "The kubelet's own resource managers (CPU, memory, topology) refused the container.",
			Not:     "It has nothing to do with lifecycle hooks of the pod.",
			Causes:  []string{"container_create_failed"}, Check: []string{checkNode},
		},
	}
}

// podReasons are words of the pod: status.reason, and what kubectl shows.
func podReasons() []Reason {
	return []Reason{
		{
			Kind: KindPod, Name: "Evicted",
			Meaning: "The kubelet ended the pod: its node ran short of a resource, or it exceeded its own storage limit. A pod that never ran was refused by a node under pressure.",
			Not:     "It has nothing to do with evictions through the API (drain), after which the pod is deleted and has no such reason.",
			Causes:  []string{"node_pressure_eviction", "storage_limit_eviction", "admission_rejected"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.message}'"},
		},
		{
			Kind: KindPod, Name: "DeadlineExceeded",
			Meaning: "activeDeadlineSeconds of the pod or its Job passed.",
			Causes:  []string{"deadline_exceeded"},
		},
		{
			Kind: KindPod, Name: "Preempting",
			Meaning: "The kubelet ended the pod to admit a critical one.",
			Causes:  []string{"kubelet_preempted"},
		},
		{
			Kind: KindPod, Name: "Terminated",
			Meaning: "The kubelet ended the pod because the node was shutting down.",
			Causes:  []string{"node_shutdown"},
		},
		{
			Kind: KindPod, Name: "NodeShutdown",
			Meaning: "The node refused the pod because it was shutting down; nothing ran.",
			Causes:  []string{"admission_rejected"},
		},
		{
			Kind: KindPod, Name: "UnexpectedAdmissionError", Also: []string{"OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "NodeAffinity", "NodePorts", "TaintToleration", "TopologyAffinityError", "SMTAlignmentError", "SysctlForbidden"},
			Meaning: "The kubelet refused to admit the pod; nothing ran.",
			Not:     "It is not a crash. Often the scheduler's view was stale for a moment after a restart, and the replacement runs.",
			Causes:  []string{"admission_rejected"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.message}'"},
		},
		{
			Kind: KindPod, Name: "NodeLost",
			Meaning: "A word of old versions for a pod whose node does not answer.",
			Not:     "Kubernetes 1.28 and later do not write it.",
			Causes:  []string{"node_lost"},
		},
		{
			Kind: KindPod, Name: "Pending",
			Meaning: "The pod was accepted, and not all of its containers were started yet: no node, or the node still prepares it, or init containers run or fail.",
			Not:     "With a node, scheduling is not the problem. An init container in CrashLoopBackOff is Pending too.",
			Causes:  []string{"unschedulable", "volume_mount_failed", "sandbox_failed", "image_not_found", "init_not_finished", "scheduling_gated"},
			Check:   []string{checkDescribe},
		},
		{
			Kind: KindPod, Name: "Running",
			Meaning: "All regular containers were started once.",
			Not:     "It does not mean healthy: crash loops are Running between and during the waits.",
			Causes:  []string{"readiness_probe"},
			Check:   []string{"READY and RESTARTS of kubectl get pod"},
		},
		{
			Kind: KindPod, Name: "Succeeded",
			Meaning: "Every regular container exited with code 0 and is not started again.",
			Causes:  []string{"completed"},
		},
		{
			Kind: KindPod, Name: "Failed",
			Meaning: "The pod is over, and at least one container failed or the kubelet ended the pod. This is final.",
			Causes:  []string{"app_exit", "node_pressure_eviction", "deadline_exceeded", "admission_rejected"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.reason} {.status.message}'"},
		},
		{
			Kind: KindPod, Name: "Terminating",
			Meaning: "kubectl's word for a pod with a deletion timestamp.",
			Causes:  []string{"pod_deleted", "terminating_stuck"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.metadata.deletionTimestamp} {.metadata.finalizers}'"},
		},
		{
			Kind: KindPod, Name: "SchedulingGated",
			Meaning: "The pod has scheduling gates; the scheduler does not look at it yet.",
			Causes:  []string{"scheduling_gated"},
		},
		{
			Kind: KindPod, Name: "Unschedulable",
			Meaning: "Reason of the condition PodScheduled: no node fits. The message counts the nodes by reason.",
			Causes:  []string{"unschedulable"},
		},
		{
			Kind: KindPod, Name: "DisruptionTarget",
			Meaning: "A condition of a pod that is about to be ended by the cluster; its reason says by whom.",
			Not:     "Pods that exceed their own storage limit do not get it.",
			Causes:  []string{"eviction_api", "preempted", "taint_eviction", "pod_gc", "node_pressure_eviction", "node_shutdown", "kubelet_preempted"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.conditions[?(@.type==\"DisruptionTarget\")]}'"},
		},
		{Kind: KindPod, Name: "EvictionByEvictionAPI", Meaning: "Reason of DisruptionTarget: evicted through the API, as a drain does.", Causes: []string{"eviction_api"}},
		{Kind: KindPod, Name: "PreemptionByScheduler", Meaning: "Reason of DisruptionTarget: removed for a pod of higher priority.", Causes: []string{"preempted"}},
		{Kind: KindPod, Name: "DeletionByTaintManager", Also: []string{"DeletionByDeviceTaintManager"}, Meaning: "Reason of DisruptionTarget: a NoExecute taint that the pod does not tolerate.", Causes: []string{"taint_eviction"}},
		{Kind: KindPod, Name: "DeletionByPodGC", Meaning: "Reason of DisruptionTarget: removed by the pod garbage collector, mostly because the node is gone.", Causes: []string{"pod_gc"}},
		{Kind: KindPod, Name: "TerminationByKubelet", Meaning: "Reason of DisruptionTarget: the kubelet ended the pod; the message says whether for pressure, shutdown or a critical pod.", Causes: []string{"node_pressure_eviction", "node_shutdown", "kubelet_preempted"}},
	}
}

// eventReasons are events that people ask about.
func eventReasons() []Reason {
	return []Reason{
		{
			Kind: KindEvent, Name: "Killing",
			Meaning: "The kubelet stops a container. The text says why for probes, changed definitions and resizes; Stopping container is every other kill.",
			Not:     "It is no problem by itself: every rollout has it. A container that ends by its own has no event at all.",
			Causes:  []string{"liveness_probe", "startup_probe", "pod_deleted", "definition_changed", "sandbox_changed", "resize_restart"},
		},
		{
			Kind: KindEvent, Name: "Unhealthy",
			Meaning: "A probe failed once; the text says which and how.",
			Not:     "A readiness probe never restarts a container. One failure is below the threshold.",
			Causes:  []string{"liveness_probe", "startup_probe", "readiness_probe"},
		},
		{
			Kind: KindEvent, Name: "BackOff",
			Meaning: "The kubelet waits: Normal for an image, Warning for a restart.",
			Not:     "It is a timer, not a cause.",
			Causes:  []string{"app_exit", "image_pull_failed"},
		},
		{Kind: KindEvent, Name: "FailedScheduling", Meaning: "The scheduler found no node. The condition PodScheduled has the whole text, the event is cut at 1024 bytes.", Not: "An old one says nothing of a pod that has a node by now.", Causes: []string{"unschedulable"}},
		{Kind: KindEvent, Name: "FailedMount", Meaning: "A volume cannot be mounted on the pod's node.", Causes: []string{"volume_mount_failed", "missing_configmap", "missing_secret", "missing_key"}},
		{Kind: KindEvent, Name: "FailedAttachVolume", Meaning: "A volume cannot be attached to the pod's node.", Causes: []string{"volume_attach_failed"}},
		{Kind: KindEvent, Name: "FailedCreatePodSandBox", Meaning: "The pod's sandbox cannot be made; mostly the network plugin.", Causes: []string{"sandbox_failed"}},
		{Kind: KindEvent, Name: "SandboxChanged", Meaning: "The sandbox is lost, and all containers of the pod start again.", Causes: []string{"sandbox_changed"}},
		{Kind: KindEvent, Name: "FailedPostStartHook", Meaning: "The postStart hook failed, and the container was killed.", Causes: []string{"post_start_hook"}},
		{Kind: KindEvent, Name: "FailedPreStopHook", Meaning: "The preStop hook failed; the container is stopped all the same.", Causes: []string{"pod_deleted", "grace_period_exceeded"}},
		{Kind: KindEvent, Name: "FailedCreate", Meaning: "A controller cannot create a pod.", Causes: []string{"pod_not_created"}},
		{Kind: KindEvent, Name: "SystemOOM", Meaning: "Of a node: the kernel killed a process for lack of memory on the whole node. It does not name the pod.", Causes: []string{"oom_killed", "sigkill_unattributed"}},
		{Kind: KindEvent, Name: "NodeNotReady", Meaning: "The node stopped reporting; the statuses of its pods are frozen.", Causes: []string{"node_lost"}},
		{Kind: KindEvent, Name: "Rebooted", Meaning: "Of a node: it has another boot id than before.", Causes: []string{"runtime_restarted"}},
		{Kind: KindEvent, Name: "TaintManagerEviction", Meaning: "The pod is about to be deleted for a NoExecute taint.", Causes: []string{"taint_eviction"}},
		{Kind: KindEvent, Name: "Preempted", Meaning: "The scheduler removed the pod for one of higher priority.", Causes: []string{"preempted"}},
	}
}
