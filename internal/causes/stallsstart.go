package causes

// startStalls are containers that cannot be put together, and pods whose node cannot prepare them.
func startStalls() []Cause {
	config := []string{"confirmed: the waiting message of CreateContainerConfigError (env), or the FailedMount event (volume)"}
	by := []Detail{{"env", "its environment names it: the container waits with CreateContainerConfigError"}, {"volume", "a volume names it: the pod waits in ContainerCreating, and only an event says why"}}
	return []Cause{
		{
			Code: "missing_configmap", Stall: true, Category: "failure", Title: "A ConfigMap does not exist",
			Meaning: "The container names a ConfigMap that does not exist in its namespace, and that is not optional.",
			Details: by, Proof: config,
			Check: []string{"kubectl get configmap -n NAMESPACE", checkDescribe},
			Fix:   []string{"Create it, or correct the name. The pod goes on by itself within minutes."},
		},
		{
			Code: "missing_secret", Stall: true, Category: "failure", Title: "A Secret does not exist",
			Meaning: "The container names a Secret that does not exist in its namespace, and that is not optional.",
			Details: by, Proof: config,
			Check: []string{"kubectl get secret -n NAMESPACE", checkDescribe},
			Fix:   []string{"Create it, or correct the name; look at the operator that should make it (external-secrets, cert-manager)."},
		},
		{
			Code: "missing_key", Stall: true, Category: "failure", Title: "A key is not in its ConfigMap or Secret",
			Meaning: "The ConfigMap or Secret exists, and does not have the key that the container names.",
			Details: by, Proof: config,
			Check: []string{"kubectl describe configmap -n NAMESPACE NAME", "kubectl describe secret -n NAMESPACE NAME", checkDescribe},
			Fix:   []string{"Add the key, correct its name, or make it optional."},
		},
		{
			Code: "run_as_non_root", Stall: true, Category: "failure", Title: "It would run as root, and may not",
			Meaning: "runAsNonRoot is set, and the container would run as root, or its user cannot be checked.",
			Details: []Detail{{"image_user", "the image's user is root, or it names none"}, {"user_not_numeric", "the image names its user by name, so that the kubelet cannot tell"}, {"run_as_user", "runAsUser is 0"}},
			Proof:   []string{"confirmed: the waiting message of CreateContainerConfigError"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.securityContext} {.spec.containers[*].securityContext}'"},
			Fix:     []string{"Set runAsUser to a number that the image works with, or USER in the image to a number."},
		},
		{
			Code: "container_create_failed", Stall: true, Category: "failure", Title: "The container cannot be created",
			Meaning: "The kubelet or the runtime refused to create or start the container; its program never ran.",
			Details: []Detail{
				{"no_command", "neither image nor pod names a command"}, {"command_not_found", "the command is not in the image"}, {"command_not_executable", "the command cannot be executed"}, {"exec_format_error", "the command is no program for this node"},
				{"working_dir", "the working directory does not exist or may not be entered"}, {"mount", "a volume cannot be mounted at its place"}, {"sub_path", "a subPath cannot be prepared or mounted"}, {"volume", "a volume that it mounts is not there"},
				{"user", "its user or group is not known in the image"}, {"security_profile", "a profile or capability cannot be applied"}, {"memory_limit", "the memory limit is too low to create it"}, {"cgroup", "the cgroup cannot be set up"},
				{"device", "a device cannot be given to it"}, {"disk_full", "the node's disk is full"}, {"name_reserved", "an earlier try still holds its name: the node is slow or stuck"}, {"deadline_exceeded", "the runtime did not answer in time"},
				{"not_started", "it was created and has neither started nor failed: the runtime is slow or stuck"}, {"sandbox_gone", "the pod's sandbox died before"}, {"resource_manager", "the kubelet's CPU, memory or topology manager refused"}, {"kubelet_caches", "the kubelet has not read Secrets, ConfigMaps or Services yet; it passes after a restart of the kubelet"}, {"config", "the configuration cannot be put together for another reason"},
			},
			Proof: []string{"confirmed: the message of CreateContainerError, RunContainerError or CreateContainerConfigError, quoted"},
			Check: []string{checkDescribe, "kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.containerStatuses[*].state.waiting}'", checkNode},
			Fix:   []string{"Correct the pod's template as the message says.", "name_reserved, deadline_exceeded, cgroup, sandbox_gone: look at the node's disk, load and runtime; drain it if others fail too."},
		},
		{
			Code: "volume_mount_failed", Stall: true, Category: "failure", Title: "A volume cannot be mounted",
			Meaning: "The kubelet cannot mount a volume of the pod. The status shows only ContainerCreating; events say why.",
			Details: []Detail{
				{"host_path", "the path on the node is not of the type that the pod asks for"}, {"csi_driver_missing", "the CSI driver does not run on the node"}, {"pvc_not_found", "the claim does not exist"}, {"pvc_unbound", "the claim has no volume"},
				{"disk_full", "no room left"}, {"read_only", "the file system is read-only"}, {"permission_denied", "the storage refuses the node"}, {"refused", "the storage or the driver does not listen"}, {"timeout", "the storage or the driver did not answer in time"},
				{"path_not_found", "the path does not exist on the storage or the node"}, {"in_use", "it is in use elsewhere"}, {"filesystem", "the file system is damaged or of another kind"}, {"node_affinity", "the volume may not be used from this node"},
				{"service_account_token", "the token of the service account cannot be fetched"}, {"kubelet_caches", "the kubelet has not read the object yet; it passes after a restart of the kubelet"},
			},
			Proof: []string{"confirmed: a FailedMount event of this pod, recent and not followed by a start", "likely: the event is old"},
			Check: []string{checkEvents, "kubectl describe pvc -n NAMESPACE CLAIM", "kubectl get pods -n kube-system -o wide --field-selector spec.nodeName=NODE"},
			Fix:   []string{"Correct the claim, path or driver that the event names.", "One node only: look at its CSI driver's pod and the kubelet's log."},
		},
		{
			Code: "volume_attach_failed", Stall: true, Category: "failure", Title: "A volume cannot be attached",
			Meaning: "The volume cannot be attached to the pod's node, mostly because it is still attached to another.",
			Details: []Detail{{"multi_attach", "it is attached to another node and can be attached to one only"}, {"wait_for_attach", "the kubelet waits for an attachment that does not come"}},
			Proof:   []string{"confirmed: a FailedAttachVolume event (Multi-Attach error; since 1.37 Waiting for detach)"},
			Check:   []string{"kubectl get volumeattachments", "kubectl get pods -A -o wide (which pod uses the claim on the other node?)", "kubectl get nodes"},
			Fix:     []string{"If the other node is dead: taint it node.kubernetes.io/out-of-service, or delete it, so that the volume is detached.", "A rollout with ReadWriteOnce volumes: use strategy Recreate, or a StatefulSet."},
		},
		{
			Code: "sandbox_failed", Stall: true, Category: "failure", Title: "The pod's sandbox cannot be made",
			Meaning: "The node cannot make the pod's sandbox: its network, cgroup or pause container. The status shows only ContainerCreating.",
			Details: []Detail{
				{"cni", "the network plugin failed"}, {"ip_exhausted", "no address is left for pods on the node or in the subnet"}, {"network_not_ready", "the node's network is not set up"}, {"runtime_class", "the runtime class is not known on the node"},
				{"pause_image", "the image of the pause container cannot be had"}, {"memory_limit", "the memory limit is too low"}, {"cgroup", "the cgroup cannot be made"}, {"sysctl", "a sysctl cannot be set"}, {"dynamic_resources", "a driver of dynamic resources failed"},
				{"disk_full", "the node's disk is full"}, {"name_reserved", "an earlier try is still under way"}, {"timeout", "the runtime did not answer in time"},
			},
			Proof: []string{"confirmed: the event FailedCreatePodSandBox, NetworkNotReady or FailedPrepareDynamicResources, recent", "likely: a node that does not answer, or PodReadyToStartContainers False without an event"},
			Check: []string{checkEvents, checkNode, "kubectl get pods -n kube-system -o wide --field-selector spec.nodeName=NODE"},
			Fix:   []string{"Look at the network plugin's pod on that node.", "ip_exhausted: enlarge the range, or remove pods that are done.", "Cordon the node until it is repaired."},
		},
	}
}
