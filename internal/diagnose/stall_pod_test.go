package diagnose

import (
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// node is what the API says of the pod's node.
func node(ready, reason, message string) change {
	return func(e *evidence.Evidence) {
		e.Node = &evidence.Node{Name: "n1", Conditions: []evidence.Condition{{Type: "Ready", Status: ready, Reason: reason, Message: message, Time: at(300)}}}
	}
}

func healthyNode(e *evidence.Evidence) { node("True", "KubeletReady", "")(e) }

func silentNode(e *evidence.Evidence) {
	node("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")(e)
}

func pod(conditions ...evidence.Condition) change {
	return func(e *evidence.Evidence) { e.Pod.Conditions = append(e.Pod.Conditions, conditions...) }
}

func asOfAt(seconds int) change { return func(e *evidence.Evidence) { e.AsOf = at(seconds) } }

func other(c evidence.Container) change {
	return func(e *evidence.Evidence) { e.Others = append(e.Others, c) }
}

// eventOf is an event about another container.
func eventOf(container, reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Events = append(e.Events, evidence.Event{Type: "Normal", Reason: reason, Message: message, Other: container, First: when, Last: when, Count: 1})
	}
}

func lost(detail string, c record.Confidence) outcome {
	return outcome{"node_lost", detail, c, record.Disruption}
}

func unknown() outcome { return outcome{"unknown", "", record.Unknown, record.Failure} }

func TestPreparing(t *testing.T) {
	prepare := func(c ...change) *evidence.Evidence { return stalling(evidence.Preparing, c...) }
	mount := func(text string) *evidence.Evidence {
		return prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : `+text, at(500)))
	}
	sandbox := func(text string) *evidence.Evidence {
		return prepare(warns("FailedCreatePodSandBox", "Failed to create pod sandbox: "+text, at(500)))
	}
	const cni = `rpc error: code = Unknown desc = failed to setup network for sandbox "ab": plugin type="calico" failed (add): `
	ready := func(when time.Time) change {
		return pod(evidence.Condition{Type: "PodReadyToStartContainers", Status: "True", Time: when})
	}
	runStalls(t, []stallCase{
		{"truth 49: through a volume", mount(`configmap "nginx-conf" not found`), confirmed("missing_configmap", "volume")},
		{"secret", mount(`secret "tls" not found`), confirmed("missing_secret", "volume")},
		{"key of a ConfigMap", mount(`configmap references non-existent config key: app.conf`), confirmed("missing_key", "volume")},
		{"key of a Secret", mount(`references non-existent secret key: tls.key`), confirmed("missing_key", "volume")},
		{"truth 50: a cache that has not filled", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : object "shop"/"nginx-conf" not registered`, at(20)), asOfAt(30), healthyNode), nothing},
		{"truth 50: for longer", mount(`object "shop"/"nginx-conf" not registered`), likely("volume_mount_failed", "kubelet_caches")},
		{"truth 50: between two tries that say more", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "nginx-conf" not found`, at(400)), warns("FailedMount", `MountVolume.SetUp failed for volume "v" : object "shop"/"nginx-conf" not registered`, at(500))), confirmed("missing_configmap", "volume")},
		{"hostPath", mount(`hostPath type check failed: /data is not a directory`), confirmed("volume_mount_failed", "host_path")},
		{"nfs refuses", mount("mount failed: exit status 32\nMounting command: mount\nOutput: mount.nfs: access denied by server while mounting nfs:/x"), confirmed("volume_mount_failed", "permission_denied")},
		{"mount lists what may be wrong", mount("mount failed: exit status 32\nMounting command: mount\nOutput: mount: wrong fs type, bad option, bad superblock on nfs:/x, missing codepage or helper program, or other error."), confirmed("volume_mount_failed", "")},
		{"a projected volume lists what is missing", mount(`[configmap "a" not found, secret "b" not found]`), confirmed("missing_configmap", "volume")},
		{"no csi driver", prepare(warns("FailedMount", `MountVolume.MountDevice failed for volume "pvc-1" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name x.csi.io not found in the list of registered CSI drivers`, at(500))), confirmed("volume_mount_failed", "csi_driver_missing")},
		{"service account token", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "kube-api-access-x" : failed to fetch token: serviceaccounts "app" not found`, at(500))), confirmed("volume_mount_failed", "service_account_token")},
		{"wait for attach", prepare(warns("FailedMount", `MountVolume.WaitForAttach failed for volume "pvc-1" : timed out waiting for external-attacher of x CSI driver to attach volume`, at(500))), confirmed("volume_attach_failed", "wait_for_attach")},
		{"truth 48, up to 1.36", prepare(warns("FailedAttachVolume", `Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) api-0`, at(500))), confirmed("volume_attach_failed", "multi_attach")},
		{"truth 48, from 1.37 on", prepare(warns("FailedAttachVolume", `Waiting for detach for volume "pvc-1" Volume is already exclusively attached to one node and can't be attached to another`, at(500))), confirmed("volume_attach_failed", "multi_attach")},
		{"truth 48: the event is old", prepare(warns("FailedAttachVolume", `Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) api-0`, at(5)), asOfAt(3600)), likely("volume_attach_failed", "multi_attach")},
		{"an event of long ago tells little", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "x" not found`, at(100)), asOfAt(3600)), likely("missing_configmap", "volume")},
		{"attached since", prepare(warns("FailedAttachVolume", `Multi-Attach error for volume "pvc-1" x`, at(5)), event("SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "pvc-1"`, at(400)), healthyNode), unknown()},
		{"attach fails", prepare(warns("FailedAttachVolume", `AttachVolume.Attach failed for volume "pvc-1" : rpc error: code = NotFound desc = disk not found`, at(500))), confirmed("volume_attach_failed", "")},
		{"a claim that is not bound, on the node", prepare(warns("FailedMount", `Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[v], failed to process volumes=[v]: error processing PVC shop/data: PVC is not bound`, at(500))), confirmed("volume_mount_failed", "pvc_unbound")},
		{"mounted since, by the sandbox", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "x" not found`, at(100)), ready(at(300)), healthyNode), unknown()},
		{"containerd: addresses", sandbox(cni + `failed to allocate for range 0: no IP addresses available in range set: 10.88.0.1-10.88.0.254`), confirmed("sandbox_failed", "ip_exhausted")},
		{"containerd: plugin down", sandbox(cni + `dial unix /var/run/calico.sock: connect: connection refused`), confirmed("sandbox_failed", "cni")},
		{"cri-o: network", sandbox(`rpc error: code = Unknown desc = failed to create pod network sandbox k8s_api-1: error adding pod shop_api-1 to CNI network`), confirmed("sandbox_failed", "cni")},
		{"runtime class", sandbox(`rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "gvisor" is configured`), confirmed("sandbox_failed", "runtime_class")},
		{"pause image", sandbox(`rpc error: code = Unknown desc = failed to get sandbox image "registry.k8s.io/pause:3.10": failed to pull image: dial tcp: no such host`), confirmed("sandbox_failed", "pause_image")},
		{"deadline", sandbox(`rpc error: code = DeadlineExceeded desc = context deadline exceeded`), confirmed("sandbox_failed", "timeout")},
		{"network not ready", prepare(warns("NetworkNotReady", "network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized", at(500))), confirmed("sandbox_failed", "network_not_ready")},
		{"network not ready, on a node that says so too", prepare(warns("NetworkNotReady", "network is not ready: x", at(500)), node("False", "KubeletNotReady", "container runtime network not ready")), confirmed("sandbox_failed", "network_not_ready")},
		{"network of a new node", prepare(warns("NetworkNotReady", "network is not ready: x", at(60)), healthyNode, asOfAt(70), changed(func(e *evidence.Evidence) { e.Node.CreatedAt = t0 })), nothing},
		{"1.28: mounted since, as a container's event shows", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "x" not found`, at(100)), eventOf("api", "Pulling", `Pulling image "big"`, at(200)), healthyNode), nothing},
		{"devices", prepare(warns("FailedPrepareDynamicResources", "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources failed", at(500))), confirmed("sandbox_failed", "dynamic_resources")},
		{"cgroup", prepare(warns("FailedCreatePodContainer", "unable to ensure pod container exists: failed to create container for [kubepods]", at(500))), confirmed("sandbox_failed", "cgroup")},
		{"truth 43: an image is being pulled", prepare(eventOf("api", "Pulling", `Pulling image "big"`, at(500)), healthyNode), nothing},
		{"near miss: it was pulled, in the same second", prepare(eventOf("api", "Pulled", `Successfully pulled image "big" in 1ms`, at(500)), eventOf("api", "Pulling", `Pulling image "big"`, at(500)), healthyNode), unknown()},
		{"another image is being pulled", prepare(eventOf("web", "Pulled", "x", at(400)), eventOf("api", "Pulling", `Pulling image "big"`, at(300)), healthyNode), nothing},
		{"fsGroup on a large volume", prepare(warns("VolumePermissionChangeInProgress", "Setting volume ownership for v is taking longer than expected", at(500))), nothing},
		{"the node is silent, whatever events said before", prepare(warns("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "x" not found`, at(100)), silentNode), lost("unreachable", record.Confirmed)},
		{"the node does not exist", prepare(changed(func(e *evidence.Evidence) { e.Node = &evidence.Node{Name: "n1", Gone: true} })), lost("gone", record.Confirmed)},
		{"nothing tells", prepare(healthyNode), unknown()},
		{"nothing tells yet", prepare(healthyNode, asOfAt(100)), nothing},
		{"a hook that does not return", prepare(healthyNode, other(evidence.Container{Name: "web", Type: record.App, State: "waiting", WaitingReason: "ContainerCreating", PostStart: &evidence.Hook{Kind: "exec"}}), eventOf("web", "Started", "Container started", at(20))), unknown()},
		{"one container waits for another", prepare(waits("ContainerCreating", ""), asOfAt(120), healthyNode), nothing},
		{"for too long", prepare(waits("ContainerCreating", ""), healthyNode), unknown()},
	})
}

// TestUnexplained: what is not known is told apart as far as it can be.
func TestUnexplained(t *testing.T) {
	for name, c := range map[string]struct {
		e    *evidence.Evidence
		want string
	}{
		"the kubelet has not taken it": {stalling(evidence.Preparing, healthyNode, changed(func(e *evidence.Evidence) { e.Pod.StartedAt = time.Time{} })), "its kubelet has not taken it"},
		"a hook":                       {stalling(evidence.Preparing, healthyNode, other(evidence.Container{Name: "web", Type: record.App, PostStart: &evidence.Hook{}}), eventOf("web", "Started", "", at(20))), "the container web was started for 10m, and its postStart hook seems not to have returned"},
		"nothing":                      {stalling(evidence.Preparing, healthyNode), "nothing says why"},
	} {
		f, ok := Stalled(c.e)
		if !ok || !strings.Contains(strings.ToLower(f.Diagnosis.Summary), strings.ToLower(c.want)) || len(f.Diagnosis.Missing) == 0 {
			t.Errorf("%s: %v %q", name, ok, f.Diagnosis.Summary)
		}
	}
}

// unreadied is the container api, which runs since t0 and is not ready.
func unreadied(change ...func(*evidence.Container)) change {
	return func(e *evidence.Evidence) {
		e.Pod.Phase = "Running"
		e.Container = evidence.Container{Name: "api", Type: record.App, State: "running", RunningSince: t0, Started: true, Readiness: &evidence.Probe{Kind: "httpGet", Target: "GET :8080/ready", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}}
		for _, c := range change {
			c(&e.Container)
		}
	}
}

func TestUnready(t *testing.T) {
	unready := func(c ...change) *evidence.Evidence { return stalling(evidence.Unready, c...) }
	fails := func(text string, when int) change {
		return warnsOf("Unhealthy", "Readiness probe failed: "+text, at(when))
	}
	const refused = `Get "http://10.0.0.1:8080/ready": dial tcp 10.0.0.1:8080: connect: connection refused`
	starting := unreadied(func(c *evidence.Container) {
		c.Started = false
		c.Startup = &evidence.Probe{Kind: "httpGet", PeriodSeconds: 10, FailureThreshold: 30, TimeoutSeconds: 1}
	})
	allReady := pod(evidence.Condition{Type: "ContainersReady", Status: "True", Time: at(5)}, evidence.Condition{Type: "Ready", Status: "False", Reason: "ReadinessGatesNotReady", Message: `corresponding condition of pod readiness gate "example.com/lb" does not exist.`, Time: at(5)})
	gate := changed(func(e *evidence.Evidence) { e.Pod.Phase, e.Pod.ReadinessGates = "Running", []string{"example.com/lb"} })
	runStalls(t, []stallCase{
		{"refused", unready(unreadied(), fails(refused, 590)), confirmed("readiness_probe", "refused")},
		{"status", unready(unreadied(), fails("HTTP probe failed with statuscode: 503", 590)), confirmed("readiness_probe", "http_503")},
		{"timeout", unready(unreadied(), fails(`Get "http://10.0.0.1:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, 590)), confirmed("readiness_probe", "timeout")},
		{"exec", unready(unreadied(func(c *evidence.Container) { c.Readiness.Kind = "exec" }), fails("cat: can't open '/tmp/ready': No such file or directory", 590)), confirmed("readiness_probe", "exec")},
		{"grpc", unready(unreadied(func(c *evidence.Container) { c.Readiness.Kind = "grpc" }), fails(`service unhealthy (responded with "NOT_SERVING")`, 590)), confirmed("readiness_probe", "grpc")},
		{"a combined event may be another container's", unready(unreadied(), changed(func(e *evidence.Evidence) {
			e.Others = []evidence.Container{{Name: "web", Type: record.App, Readiness: &evidence.Probe{}}}
			e.Events = []evidence.Event{{Type: "Warning", Reason: "Unhealthy", Message: "Readiness probe failed: " + refused, Container: true, Last: at(590), Combined: true}}
		})), likely("readiness_probe", "refused")},
		{"no event was kept", unready(unreadied()), likely("readiness_probe", "")},
		{"an event of an earlier instance", unready(unreadied(func(c *evidence.Container) { c.RunningSince = at(100) }), fails(refused, 50)), likely("readiness_probe", "")},
		{"an event of another container", unready(unreadied(), eventOf("web", "Unhealthy", "Readiness probe failed: "+refused, at(590))), likely("readiness_probe", "")},
		{"a liveness probe is none", unready(unreadied(), warnsOf("Unhealthy", "Liveness probe failed: "+refused, at(590))), likely("readiness_probe", "")},
		{"truth 54: it may just be starting", unready(unreadied(), fails(refused, 20), asOfAt(30)), nothing},
		{"truth 39: the startup probe has not passed", unready(starting), nothing},
		{"truth 39: far beyond what it allows", unready(starting, asOfAt(3600)), unknown()},
		{"ready by now", unready(unreadied(func(c *evidence.Container) { c.Ready = true })), nothing},
		{"it ended: its stop tells", unready(unreadied(func(c *evidence.Container) { c.State = "terminated" })), nothing},
		{"no readiness probe", unready(unreadied(func(c *evidence.Container) { c.Readiness = nil })), unknown()},
		{"readiness gate, no condition", unready(gate, allReady), confirmed("readiness_gate", "example.com/lb")},
		{"readiness gate, False", unready(gate, allReady, pod(evidence.Condition{Type: "example.com/lb", Status: "False", Reason: "Unregistered"})), confirmed("readiness_gate", "example.com/lb")},
		{"near miss: the gate is open", unready(gate, allReady, pod(evidence.Condition{Type: "example.com/lb", Status: "True"}), healthyNode), unknown()},
		{"near miss: a container is not ready", unready(gate, pod(evidence.Condition{Type: "ContainersReady", Status: "False"}, evidence.Condition{Type: "Ready", Status: "False"})), nothing},
		{"finished", unready(gate, allReady, changed(func(e *evidence.Evidence) { e.Pod.Phase = "Succeeded" })), nothing},
		{"truth 41: the node is silent and the status as it was", unready(allReady, silentNode), lost("unreachable", record.Confirmed)},
		{"truth 41: of a container too", unready(unreadied(), silentNode, fails(refused, 100)), lost("unreachable", record.Confirmed)},
		{"the node was not read, and the event tells", unready(allReady, warns("NodeNotReady", "Node is not ready", at(500))), lost("unreachable", record.Likely)},
		{"the node came back since", unready(gate, pod(evidence.Condition{Type: "ContainersReady", Status: "True", Time: at(5)}, evidence.Condition{Type: "Ready", Status: "False", Time: at(550)}), warns("NodeNotReady", "Node is not ready", at(500))), confirmed("readiness_gate", "example.com/lb")},
		{"the node is there and not ready", unready(allReady, node("False", "KubeletNotReady", "container runtime is down")), lost("not_ready", record.Confirmed)},
		{"near miss: a gate is not open, on a node that is not ready", unready(gate, allReady, node("False", "KubeletNotReady", "x")), confirmed("readiness_gate", "example.com/lb")},
		{"near miss: a node that is not ready fails no probe", unready(unreadied(), node("False", "KubeletNotReady", "x"), fails(refused, 590)), confirmed("readiness_probe", "refused")},
	})
}

func TestInitializing(t *testing.T) {
	initial := func(c evidence.Container, more ...change) *evidence.Evidence {
		return stalling(evidence.Initializing, append([]change{changed(func(e *evidence.Evidence) { e.Container = c })}, more...)...)
	}
	wait := evidence.Container{Name: "wait-db", Type: record.Init, State: "running", RunningSince: t0}
	side := evidence.Container{Name: "proxy", Type: record.Sidecar, State: "running", RunningSince: t0, Startup: &evidence.Probe{Kind: "tcpSocket", PeriodSeconds: 10, FailureThreshold: 3, TimeoutSeconds: 1}}
	done := evidence.Container{Name: "done", Type: record.Init, State: "terminated", Ended: &evidence.Ended{Reason: "Completed"}}
	oom := evidence.Container{Name: "oom", Type: record.Init, State: "terminated", Ended: &evidence.Ended{Reason: "OOMKilled"}}
	started := side
	started.Started = true
	retried := wait
	retried.RestartCount, retried.LastEnded = 19, &evidence.Ended{ExitCode: 4}
	loop := evidence.Container{Name: "wait-db", Type: record.Init, State: "waiting", WaitingReason: "CrashLoopBackOff", LastEnded: &evidence.Ended{ExitCode: 1}}
	runStalls(t, []stallCase{
		{"runs", initial(wait), confirmed("init_not_finished", "wait-db")},
		{"runs, found among all", stalling(evidence.Initializing, other(done), other(started), other(wait)), confirmed("init_not_finished", "wait-db")},
		{"truth 30: crash loop, its stops tell", initial(loop), nothing},
		{"crash loop, seen while it runs", initial(retried, asOfAt(3)), nothing},
		{"failed before, and does not end now", initial(retried, asOfAt(300)), confirmed("init_not_finished", "wait-db")},
		{"truth 22: OOMKilled with exit code 0 has failed", stalling(evidence.Initializing, other(oom), other(wait)), nothing},
		{"sidecar whose startup probe does not pass", initial(side), confirmed("init_not_finished", "proxy")},
		{"sidecar that has time", initial(side, asOfAt(60)), nothing},
		{"all are done", stalling(evidence.Initializing, other(done), other(started)), nothing},
		{"the node is silent", initial(wait, silentNode), lost("unreachable", record.Confirmed)},
	})
}

func TestTerminating(t *testing.T) {
	// Asked for at t0 with 30 s.
	terminating := func(c ...change) *evidence.Evidence {
		return stalling(evidence.Terminating, append([]change{changed(func(e *evidence.Evidence) {
			e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds, e.Pod.Phase = at(30), 30, "Running"
		})}, c...)...)
	}
	running := other(evidence.Container{Name: "api", Type: record.App, State: "running", RunningSince: t0})
	ended := other(evidence.Container{Name: "api", Type: record.App, State: "terminated", Ended: &evidence.Ended{ExitCode: 137}})
	finalizer := changed(func(e *evidence.Evidence) {
		e.Pod.Finalizers, e.Pod.DeletionGraceSeconds = []string{"example.com/hold"}, 0
	})
	taint := changed(func(e *evidence.Evidence) {
		e.Pod.Disruption = &evidence.Condition{Reason: "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint"}
	})
	runStalls(t, []stallCase{
		{"finalizer", terminating(ended, finalizer, healthyNode), confirmed("terminating_stuck", "example.com/hold")},
		{"finalizer, and the node is silent: its containers had ended", terminating(ended, finalizer, silentNode), confirmed("terminating_stuck", "example.com/hold")},
		{"near miss: a finalizer, and a container that runs", terminating(running, finalizer, healthyNode), likely("terminating_stuck", "containers_running")},
		{"the node is silent", terminating(running, silentNode), outcome{"terminating_stuck", "node_lost", record.Confirmed, record.Disruption}},
		{"deleted because the node is silent", terminating(running, silentNode, taint), lost("unreachable", record.Confirmed)},
		{"the runtime cannot kill", terminating(running, healthyNode, warns("FailedKillPod", "error killing pod: failed to \"KillContainer\" for \"api\" with KillContainerError: \"rpc error: code = DeadlineExceeded desc = context deadline exceeded\"", at(500))), confirmed("terminating_stuck", "kill_failed")},
		{"the runtime did not in time", terminating(running, healthyNode, warns("ExceededGracePeriod", "Container runtime did not kill the pod within specified grace period.", at(500))), confirmed("terminating_stuck", "grace_period_exceeded")},
		{"nothing tells", terminating(running, healthyNode), likely("terminating_stuck", "containers_running")},
		{"its containers have ended", terminating(ended, healthyNode), likely("terminating_stuck", "")},
		{"not yet", terminating(running, healthyNode, asOfAt(45)), nothing},
		{"not deleted", stalling(evidence.Terminating), nothing},
	})
}

func TestNotCreated(t *testing.T) {
	refused := func(text string, more ...change) *evidence.Evidence {
		return stalling(evidence.NotCreated, append([]change{changed(func(e *evidence.Evidence) {
			e.Owner = &evidence.Owner{
				Chain:      []evidence.Controller{{Kind: "ReplicaSet", Name: "api-5f"}, {Kind: "Deployment", Name: "api"}},
				EventsRead: true,
				Events:     []evidence.Event{{Type: "Warning", Reason: "FailedCreate", Message: text, Object: "ReplicaSet api-5f", First: at(0), Last: at(500), Count: 8}},
			}
		})}, more...)...)
	}
	created := func(seconds int) change {
		return func(e *evidence.Evidence) {
			e.Owner.Events = append(e.Owner.Events, evidence.Event{Reason: "SuccessfulCreate", Message: "Created pod: x", Object: "ReplicaSet api-5f", Last: at(seconds)})
		}
	}
	failure := changed(func(e *evidence.Evidence) {
		e.Owner.Chain[0].Conditions = []evidence.Condition{{Type: "ReplicaFailure", Status: "True", Reason: "FailedCreate", Message: `pods "api-5f-x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`}}
	})
	not := func(detail string) outcome { return confirmed("pod_not_created", detail) }
	const forbidden = `Error creating: pods "api-5f-x" is forbidden: `
	runStalls(t, []stallCase{
		{"quota", refused(forbidden + `exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`), not("quota")},
		{"quota that demands limits", refused(forbidden + `failed quota: q: must specify limits.cpu for: api; limits.memory for: api`), not("quota")},
		{"limit range", refused(forbidden + `maximum memory usage per Container is 1Gi, but limit is 2Gi`), not("limit_range")},
		{"pod security", refused(forbidden + `violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "api" must set ...)`), not("pod_security")},
		{"service account", refused(forbidden + `error looking up service account shop/app: serviceaccount "app" not found`), not("service_account")},
		{"priority class", refused(forbidden + `no PriorityClass with name high was found`), not("priority_class")},
		{"runtime class", refused(forbidden + `pod rejected: RuntimeClass "gvisor" not found`), not("runtime_class")},
		{"webhook that is down", refused(`Error creating: Internal error occurred: failed calling webhook "inject.example.com": failed to call webhook: Post "https://inject.mesh.svc:443/x": dial tcp 10.0.0.1:443: connect: connection refused`), not("webhook_unreachable")},
		{"webhook that denies", refused(`Error creating: admission webhook "policy.example.com" denied the request: no latest tag`), not("webhook_denied")},
		{"policy", refused(forbidden + `ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`), not("policy")},
		{"scc", refused(forbidden + `unable to validate against any security context constraint: [provider "anyuid": Forbidden]`), not("scc")},
		{"StatefulSet", refused(`create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=3, limited: cpu=4`), not("quota")},
		{"forbidden otherwise", refused(forbidden + `not today`), not("forbidden")},
		{"invalid", refused(`Error creating: Pod "api-5f-x" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit`), not("invalid")},
		{"it could, since", refused(forbidden+`not today`, created(550)), nothing},
		{"it could before", refused(forbidden+`not today`, created(450)), not("forbidden")},
		{"it made some, and still fails by its condition", refused(forbidden+`exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`, created(550), failure), not("quota")},
		{"the condition alone", refused("", changed(func(e *evidence.Evidence) { e.Owner.Events = nil }), failure), not("quota")},
		{"the namespace goes away", refused(forbidden + `unable to create new content in namespace shop because it is being terminated`), nothing},
		{"the owner was not read", stalling(evidence.NotCreated), nothing},
	})
}

func TestRejectedSummary(t *testing.T) {
	e := stalling(evidence.Rejected, failedPod("OutOfmemory", "Pod was rejected: Node didn't have enough resource: memory, requested: 8589934592, used: 1073741824, capacity: 4294967296"))
	f, ok := Stalled(e)
	const want = "The kubelet refused to admit the pod (OutOfmemory): it asks for 8Gi of memory, and its node has 4Gi, of which 1Gi are in use. None of its containers was started after that."
	if !ok || f.Diagnosis.Summary != want {
		t.Errorf("%q", f.Diagnosis.Summary)
	}
	e.Node = &evidence.Node{Name: "n1", Events: []evidence.Event{{Reason: "Rebooted", Message: "Node n1 has been rebooted", Last: t0.Add(-time.Minute)}}}
	if f, _ := Stalled(e); !strings.Contains(f.Diagnosis.Summary, "just been rebooted") {
		t.Errorf("truth 53: %q", f.Diagnosis.Summary)
	}
	runStalls(t, []stallCase{
		{"out of cpu", stalling(evidence.Rejected, failedPod("OutOfcpu", "Pod was rejected: x")), confirmed("admission_rejected", "OutOfcpu")},
		{"truth 52: rejected under pressure", stalling(evidence.Rejected, failedPod("Evicted", "Pod was rejected: The node had condition: [DiskPressure]. ")), confirmed("admission_rejected", "Evicted")},
		{"truth 53: a device plugin", stalling(evidence.Rejected, failedPod("UnexpectedAdmissionError", "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices x, which is unexpected")), confirmed("admission_rejected", "UnexpectedAdmissionError")},
	})
}
