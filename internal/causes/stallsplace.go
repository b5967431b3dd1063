package causes

// placeStalls are pods that have no node, were refused by one, or were never made.
func placeStalls() []Cause {
	return []Cause{
		{
			Code: "unschedulable", Stall: true, Category: "failure", Title: "No node fits",
			Meaning: "The scheduler found no node for the pod. The first detail is what keeps it from most of the nodes that come into question; all are told with numbers.",
			Details: []Detail{
				{"insufficient_RESOURCE", "no node has so much of the resource free (cpu, memory, ephemeral-storage, an extended one)"}, {"insufficient_storage", "no node's storage pool has enough room for the volume"}, {"too_many_pods", "the nodes run as many pods as they may"},
				{"node_selector", "no node has the labels that nodeSelector or node affinity ask for"}, {"node_name", "the node that it names does not exist"}, {"taint", "the nodes have taints that it does not tolerate"}, {"cordoned", "the nodes are cordoned"}, {"node_conditions", "the nodes' state is not known"},
				{"pod_affinity", "no pod that it wants to be near to is there"}, {"pod_anti_affinity", "a pod that it must not be near to is everywhere"}, {"topology_spread", "the spread over zones or nodes would become too uneven"}, {"host_port", "its host port is taken on the nodes"},
				{"pvc_not_found", "its claim does not exist"}, {"pvc_unbound", "its claim has no volume and gets none"}, {"pvc_deleted", "its claim is being deleted"}, {"pvc_not_created", "the claim of an ephemeral volume is not made yet"}, {"pvc_bound_to_missing_pv", "its claim's volume does not exist"},
				{"volume_zone", "its volume is in another zone"}, {"volume_node_affinity", "its volume is tied to another node or zone"}, {"volume_in_use", "its volume may be used by one pod or node, and is"}, {"max_volume_count", "the nodes have as many volumes as they can"}, {"csi_driver", "the storage driver does not run on the nodes"},
				{"resource_claim", "a claim of a device cannot be met"}, {"gang", "the other pods of its gang are not there yet"}, {"node_features", "the nodes do not declare a feature that it needs"}, {"no_nodes", "the cluster has no node for it to be tried on"}, {"other", "a reason in words of another scheduler or plugin"},
			},
			Open:  true,
			Proof: []string{"confirmed: the condition PodScheduled False with reason Unschedulable, whose message counts nodes by reason", "likely: the event FailedScheduling alone, or words that are not known"},
			Check: []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.conditions[?(@.type==\"PodScheduled\")].message}'", "kubectl describe nodes", "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints", "kubectl get pvc -n NAMESPACE"},
			Fix: []string{
				"insufficient_...: lower the requests, add nodes, or remove what is not needed. A request over the largest node can never be met.",
				"taint, node_selector: add the toleration or label; more nodes of the same kind do not help.",
				"pvc_...: create the claim or its storage class; WaitForFirstConsumer is normal and not the reason.",
			},
		},
		{
			Code: "scheduling_gated", Stall: true, Category: "failure", Title: "Held back by a scheduling gate",
			Meaning: "The pod has scheduling gates, and the scheduler does not look at it until a controller removes them. The detail is the first gate's name.",
			Open:    true,
			Proof:   []string{"confirmed: spec.schedulingGates, and PodScheduled False with reason SchedulingGated"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.schedulingGates}'"},
			Fix:     []string{"Look at the controller whose gate it is (a queue such as Kueue: is there quota?)."},
		},
		{
			Code: "not_scheduled", Stall: true, Category: "failure", Title: "The scheduler has not looked at it",
			Meaning: "The pod has no node, and no scheduler has said why: it does not run, is behind, failed, or no scheduler has the name that the pod asks for.",
			Details: []Detail{{"scheduler_name", "spec.schedulerName is not the default one, and no scheduler of that name answers"}, {"scheduler_error", "the scheduler reported an error"}},
			Proof:   []string{"likely: no PodScheduled condition and no event after a minute", "confirmed: the condition's reason SchedulerError"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.schedulerName}'", "kubectl get pods -n kube-system -l component=kube-scheduler", "kubectl get lease -n kube-system kube-scheduler"},
			Fix:     []string{"Correct schedulerName, or repair the scheduler."},
		},
		{
			Code: "admission_rejected", Stall: true, Category: "failure", Title: "The node refused the pod",
			Meaning: "The scheduler chose the node, and its kubelet refused to admit the pod. No container ran. A controller makes another pod, so that rejected ones pile up. The detail is the kubelet's word.",
			Details: []Detail{
				{"OutOfcpu", "more CPU asked for than is left on the node"}, {"OutOfmemory", "more memory asked for than is left"}, {"OutOfpods", "the node runs as many pods as it may"}, {"OutOfephemeral-storage", "more local storage asked for than is left"},
				{"NodeAffinity", "the node's labels do not match (any more)"}, {"NodePorts", "the host port is taken"}, {"TaintToleration", "the node's taint is not tolerated"}, {"UnexpectedAdmissionError", "a device could not be given, often once after a reboot"},
				{"TopologyAffinityError", "resources cannot be given from one NUMA node"}, {"SMTAlignmentError", "the CPUs asked for are no whole cores"}, {"Evicted", "the node was under pressure"}, {"NodeShutdown", "the node was shutting down"}, {"SysctlForbidden", "a sysctl is not allowed on the node"}, {"AppArmor", "the profile cannot be enforced"},
			},
			Open:  true,
			Proof: []string{"confirmed: phase Failed, no container status, and a reason and message that begin with Pod was rejected"},
			Check: []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.reason}: {.status.message}'", checkNode},
			Fix:   []string{"Nothing, if the replacement runs: the scheduler's view was stale. Delete the pile.", "nodeName set by hand skips the scheduler: do not.", "Devices: look at the device plugin's pod on that node."},
		},
		{
			Code: "pod_not_created", Stall: true, Category: "failure", Title: "The pod cannot be created",
			Meaning: "The controller wants the pod, and the API refuses it. There is no pod to look at; the owner's events say why.",
			Details: []Detail{
				{"quota", "a ResourceQuota is used up, or demands requests or limits"}, {"limit_range", "a LimitRange does not allow its sizes"}, {"pod_security", "it violates the namespace's Pod Security level"}, {"scc", "no security context constraint allows it (OpenShift)"},
				{"service_account", "its service account does not exist"}, {"priority_class", "its priority class does not exist"}, {"runtime_class", "its runtime class does not exist"}, {"webhook_denied", "an admission webhook refuses it"}, {"webhook_unreachable", "an admission webhook cannot be called"},
				{"policy", "a ValidatingAdmissionPolicy refuses it"}, {"invalid", "the API takes it for invalid"}, {"forbidden", "it is forbidden otherwise"}, {"name_conflict", "a pod of that name exists"}, {"api_error", "the API server failed"},
			},
			Open:  true,
			Proof: []string{"confirmed: the owner's FailedCreate event or the condition ReplicaFailure, with the API's text"},
			Check: []string{"kubectl describe -n NAMESPACE KIND/NAME", "kubectl describe quota -n NAMESPACE", "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"},
			Fix:   []string{"Correct the template, the quota or the policy that the text names.", "webhook_unreachable: repair the webhook's pods; failurePolicy Fail lets it stop everything."},
		},
	}
}

// readyStalls are pods that run and are not ready, whose node is lost, or that do not go away.
func readyStalls() []Cause {
	return []Cause{
		{
			Code: "init_not_finished", Stall: true, Category: "failure", Title: "An init container does not finish",
			Meaning: "The pod waits for an init container, which runs on and on or fails again and again. The detail is its name; if it fails, look at its own stops for the cause.",
			Open:    true,
			Proof:   []string{"confirmed: the condition Initialized is False and names it, and its own status shows that it runs or restarts"},
			Check:   []string{"kubectl logs -n NAMESPACE POD -c INIT-CONTAINER", checkDescribe},
			Fix:     []string{"Most wait for a dependency: look whether that is there and its name resolves.", "A sidecar (restartPolicy Always) without a passing startup probe keeps the pod here too."},
		},
		{
			Code: "readiness_probe", Stall: true, Category: "failure", Title: "The readiness probe fails",
			Meaning: "The container runs and is not ready, so that it gets no traffic. A failing readiness probe never restarts a container.",
			Details: []Detail{{"refused", "nothing listens on the probe's port"}, {"timeout", "no answer within timeoutSeconds"}, {"http_NNN", "the program answered with this HTTP status"}, {"exec", "the probe's command failed"}, {"grpc", "the gRPC health check failed"}},
			Proof:   []string{"confirmed: the container is running and not ready, and recent Unhealthy events name the readiness probe", "likely: without events"},
			Check:   []string{checkEvents, "kubectl logs -n NAMESPACE POD -c CONTAINER", "kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].readinessProbe}'"},
			Fix:     []string{"refused, 404: compare port and path with what the program serves.", "503: the program says itself that it is not ready; its log tells what it waits for.", "timeout: raise timeoutSeconds or the CPU limit."},
		},
		{
			Code: "readiness_gate", Stall: true, Category: "failure", Title: "A readiness gate is not open",
			Meaning: "All containers are ready, and the pod waits for a condition that another controller sets. The detail is the gate.",
			Open:    true,
			Proof:   []string{"confirmed: ContainersReady is True, Ready is False with reason ReadinessGatesNotReady"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.readinessGates} {.status.conditions}'"},
			Fix:     []string{"Look at the controller that sets it (a load balancer controller: is the target healthy?)."},
		},
		{
			Code: "node_lost", Stall: true, Category: "disruption", Title: "The node does not answer",
			Meaning: "The kubelet of the pod's node stopped reporting. The pod's status is frozen: its containers may run or not.",
			Details: []Detail{{"unreachable", "the kubelet stopped posting its status (Ready is Unknown)"}, {"not_ready", "the kubelet reports, and says that it is not ready"}, {"gone", "the node object does not exist"}},
			Proof:   []string{"confirmed: the node's condition Ready is Unknown or False, or the node is gone", "likely: the pod's event NodeNotReady alone"},
			Check:   []string{"kubectl get node NODE", checkNode, "kubectl get lease -n kube-node-lease NODE"},
			Fix:     []string{"Look at the machine: is it up, has it memory and disk, does the kubelet run?", "If it is dead for good, delete the node or taint it node.kubernetes.io/out-of-service, so that its pods and volumes go elsewhere."},
		},
		{
			Code: "terminating_stuck", Stall: true, Category: "failure", Title: "The pod does not go away",
			Meaning: "The pod was deleted and is still there long after its grace period.",
			Details: []Detail{{"node_lost", "its node does not answer, so that nobody can stop it"}, {"containers_running", "containers still run"}, {"kill_failed", "the runtime failed to stop it"}, {"grace_period_exceeded", "the runtime did not stop it in time"}, {"FINALIZER", "the finalizer that keeps it, by its own name"}},
			Open:    true,
			Proof:   []string{"confirmed: the deletion's deadline has passed, and a finalizer, a lost node or a FailedKillPod or ExceededGracePeriod event is there", "likely: containers still run and nothing says why"},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.metadata.deletionTimestamp} {.metadata.finalizers} {.spec.nodeName}'", checkNode, checkEvents},
			Fix:     []string{"A finalizer: repair the controller that should remove it; remove it by hand only if that is gone.", "A lost node: see node_lost. Deleting with --force frees the name, and may let two pods of a StatefulSet run at once."},
		},
	}
}
