package diagnose

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// ruling is a case of a rule: for it, against it, or one that is nearly it.
type ruling struct {
	name  string
	e     evidence.Evidence
	want  verdict
	holds string // parts of the finding's JSON, divided by |
	never string // what must not be in it, divided by |
}

// runRulings holds each case.
func runRulings(t *testing.T, list []ruling) {
	t.Helper()
	for _, tc := range list {
		t.Run(tc.name, func(t *testing.T) {
			f := Diagnose(&tc.e)
			b, err := json.Marshal(f.Diagnosis)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\"`, `"`).Replace(string(b))
			got := verdictOf(&f)
			if tc.want.Detail == "*" {
				got.Detail = "*"
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, text)
			}
			for part := range strings.SplitSeq(tc.holds, "|") {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in %s", part, text)
				}
			}
			for part := range strings.SplitSeq(tc.never, "|") {
				if part != "" && strings.Contains(text, part) {
					t.Errorf("%q in %s", part, text)
				}
			}
			check(t, f)
		})
	}
}

func TestWhoDeletedThePod(t *testing.T) {
	const lifecycle, failure, confirmed, likely = record.Lifecycle, record.Failure, record.Confirmed, record.Likely
	deleted := func(changes ...change) evidence.Evidence {
		return exited(143, "Error", append([]change{deletedAt(at(58)), event("Killing", stopping, at(58))}, changes...)...)
	}
	gone := func(changes ...change) evidence.Evidence {
		return exited(0, "", append([]change{deletedAt(at(58)), func(e *evidence.Evidence) { e.Stop = &evidence.Stop{StartedAt: t0} }}, changes...)...)
	}
	says := func(object, reason, message string) change { return ownerSays(object, reason, message, at(58)) }
	revived := func(e *evidence.Evidence) { e.Owner.Chain[0].Revived = true }
	deletedByRS := says("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1")
	is := func(cause, detail string, confidence record.Confidence) verdict {
		return verdict{cause, detail, lifecycle, confidence}
	}
	sets := func(kind, revision, newest string, replicas int32) change {
		return owned(evidence.Controller{Kind: kind, Name: "api", Revision: revision, NewestRevision: newest, Replicas: &replicas})
	}
	job := func(conditions ...evidence.Condition) change {
		deadline := int64(600)
		return owned(evidence.Controller{Kind: "Job", Name: "batch", Conditions: conditions, DeadlineSeconds: &deadline})
	}
	jobFailed := func(kind, reason string, second int) evidence.Condition {
		return evidence.Condition{Type: kind, Status: "True", Reason: reason, Time: at(second)}
	}
	at99 := func(name string) change { return func(e *evidence.Evidence) { e.Pod.Name = name } }

	runRulings(t, []ruling{
		{"a rollout", deleted(ofDeployment("1", "2", 3), deletedByRS), is("pod_deleted", "rollout", confirmed), "Deployment api rolled out revision 2 in place of the pod's revision 1|Deleted pod: api-1|rollout status deployment/api", "missing"},
		{"a rollout, of numbers", deleted(ofDeployment("9", "10", 3), deletedByRS), is("pod_deleted", "rollout", confirmed), "", ""},
		{"a rollout, and it never reported its exit", gone(ofDeployment("1", "2", 3), deletedByRS), is("pod_deleted", "rollout", confirmed), "", ""},
		{"a rollout, past the grace", exited(137, "Error", deletedAt(at(30)), ofDeployment("1", "2", 3), ownerSays("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1", at(30))), is("grace_period_exceeded", "rollout", confirmed), "grace period of 30s", ""},
		{"a rollout, by the event of the Deployment", deleted(ofDeployment("1", "2", 3), says("Deployment api", "ScalingReplicaSet", "Scaled down replica set api-5d4f to 1 from 2")), is("pod_deleted", "rollout", confirmed), "", ""},
		{"a rollout, by another ReplicaSet", deleted(ofDeployment("", "", 3), deletedByRS, says("Deployment api", "ScalingReplicaSet", "Scaled up replica set api-77 from 0 to 1")), is("pod_deleted", "rollout", confirmed), "scaled up another ReplicaSet", ""},
		{"a rollout, as far as the revisions tell", deleted(ofDeployment("1", "2", 3), ownerUnread), is("pod_deleted", "rollout", likely), "events of the controller", ""},
		{"an old revision, and nobody says that it was the controller", deleted(ofDeployment("1", "2", 3)), is("pod_deleted", "direct", likely), "may have deleted it", ""},
		{"scaled down", deleted(ofDeployment("2", "2", 1), deletedByRS), is("pod_deleted", "scale_down", confirmed), "Deployment api scaled down to 1|get horizontalpodautoscalers", "rollout"},
		{"scaled down, or rolled out and back since", deleted(ofDeployment("3", "3", 1), revived, deletedByRS), is("pod_deleted", "scale_down", likely), "if that came later, a rollout deleted the pod", ""},
		{"rolled out, and back at once", deleted(ofDeployment("3", "3", 3), revived, ownerSays("Deployment api", "ScalingReplicaSet", "Scaled up replica set api-77 from 0 to 1", at(56)), deletedByRS,
			ownerSays("Deployment api", "ScalingReplicaSet", "Scaled up replica set api-5d4f from 0 to 1", at(59))), is("pod_deleted", "rollout", confirmed), "Scaled up replica set api-77", "scale_down"},
		{"rolled out and back since", deleted(ofDeployment("3", "3", 3), revived, deletedByRS, ownerSays("ReplicaSet api-5d4f", "SuccessfulCreate", "Created pod: api-5d4f-9", at(120))), is("pod_deleted", "rollout", likely), "Created pod: api-5d4f-9", ""},
		{"the revisions are unknown", deleted(ofDeployment("", "", 3), deletedByRS), is("pod_deleted", "controller", confirmed), "revisions of the Deployment", ""},
		{"another pod of the ReplicaSet", deleted(ofDeployment("2", "2", 1), says("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-11")), is("pod_deleted", "direct", likely), "audit log", "scale_down"},
		{"an event of another time", deleted(ofDeployment("2", "2", 1), ownerSays("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1", at(-600))), is("pod_deleted", "direct", likely), "", "scale_down"},
		{"the controllers' events were not read", deleted(ofDeployment("2", "2", 1), ownerUnread), is("pod_deleted", "", confirmed), "events of the controller", "scale_down"},
		{"the events are forgotten", deleted(ofDeployment("2", "2", 1), eventsSince(at(57))), is("pod_deleted", "", confirmed), "events of the controller", "direct"},
		{"the controllers were not read", deleted(func(e *evidence.Evidence) { e.Pod.Owner = &record.Workload{Kind: "ReplicaSet", Name: "api-5d4f"} }), is("pod_deleted", "", confirmed), "controller of the pod", "direct"},
		{"no controller", deleted(), is("pod_deleted", "direct", confirmed), "no controller", ""},
		{"a pod of which nothing is known", gone(func(e *evidence.Evidence) {
			e.Pod = evidence.Pod{Namespace: "shop", Name: "api-1", DeletionTimestamp: at(88), DeletionGraceSeconds: 30}
		}), is("pod_deleted", "", confirmed), "exit code", "direct"},
		{"a static pod", deleted(func(e *evidence.Evidence) { e.Pod.Static = true }), is("pod_deleted", "", confirmed), "", "direct"},
		{"a bare ReplicaSet", deleted(owned(evidence.Controller{Kind: "ReplicaSet", Name: "api-5d4f"}), deletedByRS), is("pod_deleted", "scale_down", confirmed), "", ""},
		{"a ReplicationController", deleted(owned(evidence.Controller{Kind: "ReplicationController", Name: "api"}), says("ReplicationController api", "SuccessfulDelete", "Deleted pod: api-1")), is("pod_deleted", "scale_down", confirmed), "", ""},
		{"the Deployment was deleted", deleted(ofDeployment("2", "2", 1), func(e *evidence.Evidence) { e.Owner.Chain[0].Gone, e.Owner.Chain[1].Gone = true, true }), is("pod_deleted", "controller", confirmed), "ReplicaSet api-5d4f was deleted", "direct"},
		{"the Deployment is being deleted", deleted(ofDeployment("2", "2", 1), func(e *evidence.Evidence) { e.Owner.Chain[1].DeletedAt = at(57) }), is("pod_deleted", "controller", confirmed), "Deployment api is being deleted", ""},
		{"the Deployment is being deleted, but later", deleted(ofDeployment("2", "2", 1), func(e *evidence.Evidence) { e.Owner.Chain[1].DeletedAt = at(600) }), is("pod_deleted", "direct", likely), "", "is being deleted"},
		{"the namespace is being deleted", deleted(ofDeployment("2", "2", 1), func(e *evidence.Evidence) { e.Owner.NamespaceDeleting = at(50) }), is("pod_deleted", "namespace", confirmed), "Namespace shop", ""},
		{"the namespace is being deleted, and there is no controller", deleted(func(e *evidence.Evidence) { e.Owner = &evidence.Owner{NamespaceDeleting: at(50)} }), is("pod_deleted", "namespace", confirmed), "", ""},
		{"the namespace was deleted later", deleted(func(e *evidence.Evidence) { e.Owner = &evidence.Owner{NamespaceDeleting: at(600)} }), is("pod_deleted", "direct", confirmed), "", "namespace is being"},
		{"a StatefulSet rolls out", deleted(sets("StatefulSet", "api-6b", "api-7c", 3), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-1 in StatefulSet api successful")), is("pod_deleted", "rollout", confirmed), "controller-revision-hash|updateRevision", ""},
		{"a StatefulSet scales down", deleted(sets("StatefulSet", "api-6b", "api-6b", 1), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-1 in StatefulSet api successful")), is("pod_deleted", "scale_down", confirmed), "scaled down to 1", ""},
		{"a StatefulSet has scaled down, and its event is not there yet", deleted(sets("StatefulSet", "api-6b", "api-6b", 1), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-2 in StatefulSet api successful")), is("pod_deleted", "scale_down", likely), "no more than 1", "rollout"},
		{"rolled back since", deleted(ofDeployment("2", "2", 1), says("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1"), says("Deployment api", "ScalingReplicaSet", "Scaled up replica set api-77c9 from 0 to 1")), is("pod_deleted", "rollout", confirmed), "api-77c9", "scale_down"},
		{"a StatefulSet, for something else", deleted(sets("StatefulSet", "api-6b", "api-6b", 3), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-1 in StatefulSet api successful")), is("pod_deleted", "controller", confirmed), "", "scale_down"},
		{"a StatefulSet of which nobody says that it deleted the pod", deleted(sets("StatefulSet", "api-6b", "api-7c", 11), at99("api-10"), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-1 in StatefulSet api successful")), is("pod_deleted", "rollout", likely), "api-7c", "direct"},
		{"a StatefulSet's other pod", deleted(sets("StatefulSet", "api-7c", "api-7c", 11), at99("api-10"), says("StatefulSet api", "SuccessfulDelete", "delete Pod api-1 in StatefulSet api successful")), is("pod_deleted", "direct", likely), "", "rollout"},
		{"a DaemonSet rolls out", deleted(sets("DaemonSet", "1", "2", 0), says("DaemonSet api", "SuccessfulDelete", "Deleted pod: api-1")), is("pod_deleted", "rollout", confirmed), "", ""},
		{"a DaemonSet leaves the node", deleted(sets("DaemonSet", "2", "2", 0), says("DaemonSet api", "SuccessfulDelete", "Deleted pod: api-1")), is("pod_deleted", "controller", confirmed), "", "rollout"},
		{"a controller of its own kind", deleted(owned(evidence.Controller{Kind: "Rollout", Name: "api"})), is("pod_deleted", "", confirmed), "events of the controller", "direct"},

		{"the Job's deadline", deleted(job(jobFailed("FailureTarget", "DeadlineExceeded", 58))), verdict{"deadline_exceeded", "job", failure, confirmed}, "activeDeadlineSeconds, which is 600|describe job batch", ""},
		{"the Job's deadline, told after the pods ended", deleted(job(jobFailed("Failed", "DeadlineExceeded", 90))), verdict{"deadline_exceeded", "job", failure, confirmed}, "", ""},
		{"the Job's deadline, by its event", deleted(job(), says("Job batch", "DeadlineExceeded", "Job was active longer than specified deadline")), verdict{"deadline_exceeded", "job", failure, confirmed}, "", ""},
		{"the Job's deadline came long after", deleted(job(jobFailed("Failed", "DeadlineExceeded", 900))), is("pod_deleted", "direct", likely), "", "deadline_exceeded"},
		{"a condition that does not hold", deleted(job(evidence.Condition{Type: "Failed", Status: "False", Reason: "DeadlineExceeded", Time: at(58)})), is("pod_deleted", "direct", likely), "", "deadline_exceeded"},
		{"the Job has failed", deleted(job(jobFailed("Failed", "BackoffLimitExceeded", 58))), is("pod_deleted", "job", confirmed), "BackoffLimitExceeded", ""},
		{"the Job is suspended", deleted(job(jobFailed("Suspended", "JobSuspended", 58))), is("pod_deleted", "job", confirmed), "suspended", ""},
		{"the Job is complete", deleted(job(jobFailed("SuccessCriteriaMet", "SuccessPolicy", 58))), is("pod_deleted", "job", confirmed), "complete", ""},
		{"the Job deleted it", deleted(job(), says("Job batch", "SuccessfulDelete", "Deleted pod: api-1")), is("pod_deleted", "job", confirmed), "", ""},
		{"the CronJob replaced its Job", deleted(job(), func(e *evidence.Evidence) {
			e.Owner.Chain[0].Gone = true
			e.Owner.Chain = append(e.Owner.Chain, evidence.Controller{Kind: "CronJob", Name: "nightly", Known: true})
		}, says("CronJob nightly", "SuccessfulDelete", "Deleted job batch")), is("pod_deleted", "job", confirmed), "CronJob deleted the Job batch", ""},
		{"the Job was deleted", deleted(job(), func(e *evidence.Evidence) { e.Owner.Chain[0].Gone = true }), is("pod_deleted", "controller", confirmed), "", ""},
	})
}

func TestDeletion(t *testing.T) {
	const lifecycle, disruption, failure, confirmed, likely = record.Lifecycle, record.Disruption, record.Failure, record.Confirmed, record.Likely
	// What the kubelet leaves when it is done: no grace period, and the time of its own delete.
	final := func(when int) change {
		return func(e *evidence.Evidence) {
			e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds, e.Owner = at(when), 0, &evidence.Owner{}
		}
	}
	killed := event("Killing", stopping, at(30))
	runRulings(t, []ruling{
		{"the final delete, and it was stopped for it", exited(143, "Error", final(65), killed), verdict{"pod_deleted", "direct", lifecycle, confirmed}, stopping, ""},
		{"the final delete, past the grace", exited(137, "Error", final(65), killed), verdict{"grace_period_exceeded", "direct", lifecycle, confirmed}, "grace period of 30s|ignores_sigterm", ""},
		{"the final delete, killed early", exited(137, "Error", final(65), event("Killing", stopping, at(50))), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "grace_period_exceeded"},
		{"the final delete, and it had ended by itself", exited(1, "Error", final(65)), verdict{"app_exit", "", failure, likely}, `{"cause":"pod_deleted","why":"no Killing event`, ""},
		{"the final delete, and events were not read", exited(1, "Error", final(65), noEvents), verdict{"pod_deleted", "direct", lifecycle, likely}, "may have ended by itself", ""},
		{"the final delete of a finished Job's pod", exited(0, "Completed", final(65), policyIs("Never")), verdict{"completed", "", lifecycle, confirmed}, "", "pod_deleted"},
		{"the final delete long after", exited(1, "Error", final(300)), verdict{"app_exit", "", failure, likely}, "", ""},
		{"a deletion that found it out of memory before", exited(143, "OOMKilled", deletedAt(at(58)), event("Killing", stopping, at(58))), verdict{"pod_deleted", "direct", lifecycle, confirmed}, `"cause":"oom_killed"`, ""},
		{"the node is lost, and the pod was removed", exited(0, "", deletedAt(at(30)), calm, func(e *evidence.Evidence) {
			e.Stop = &evidence.Stop{}
			e.Node.Conditions = []evidence.Condition{{Type: "Ready", Status: "Unknown", Time: at(20)}}
		}), verdict{"pod_deleted", "direct", lifecycle, likely}, "stopped reporting", ""},
		{"drained, past the grace", exited(137, "Error", deletedAt(at(30)), disrupted("EvictionByEvictionAPI", at(30))), verdict{"eviction_api", "", disruption, confirmed}, "killed at the end of its grace period of 30s", ""},
		{"drained, from a cordoned node", exited(143, "Error", deletedAt(at(58)), disrupted("EvictionByEvictionAPI", at(58)), calm, func(e *evidence.Evidence) { e.Node.Unschedulable = true }), verdict{"eviction_api", "", disruption, confirmed}, "node n1 is cordoned|spec.unschedulable", ""},
	})
}

func TestDisruptions(t *testing.T) {
	const lifecycle, disruption, failure, confirmed, likely = record.Lifecycle, record.Disruption, record.Failure, record.Confirmed, record.Likely
	killed := event("Killing", stopping, at(58))
	kubelet := func(message string, second int) change {
		return func(e *evidence.Evidence) {
			e.Pod.Disruption = &evidence.Condition{Type: "DisruptionTarget", Status: "True", Reason: "TerminationByKubelet", Message: message, Time: at(second)}
		}
	}
	const pressure = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52384Ki. Container api was using 1Gi, request is 0, has larger consumption of memory. "
	runRulings(t, []ruling{
		{"pressure", exited(137, "Error", killed, failedPod("Evicted", pressure)), verdict{"node_pressure_eviction", "memory", disruption, confirmed}, "52384Ki available, the threshold is 100Mi|status.reason", ""},
		{"pressure, inodes", exited(137, "Error", killed, failedPod("Evicted", "The node was low on resource: inodes. ")), verdict{"node_pressure_eviction", "inodes", disruption, confirmed}, "", ""},
		{"pressure, and the status lost the reason", exited(0, "Completed", killed, policyIs("Never"), kubelet(pressure, 61)), verdict{"node_pressure_eviction", "memory", disruption, confirmed}, "status.conditions[DisruptionTarget].message", ""},
		{"pressure, and it had crashed long before", exited(1, "Error", policyIs("Never"), failedPod("Evicted", pressure), kubelet(pressure, 900)), verdict{"app_exit", "", failure, likely}, "", "node_pressure"},
		{"pressure, and it had crashed before the event", exited(1, "Error", policyIs("Never"), failedPod("Evicted", pressure), event("Evicted", pressure, at(90))), verdict{"app_exit", "", failure, likely}, "", "node_pressure"},
		{"pressure, and another container ended much later", exited(1, "Error", policyIs("Never"), noEvents, failedPod("Evicted", pressure), beside(evidence.Container{Name: "b", Type: record.App, Ended: &evidence.Ended{FinishedAt: at(600)}})), verdict{"unknown", "", failure, record.Unknown}, "", "node_pressure"},
		{"pressure, and nothing tells which came first", exited(1, "Error", policyIs("Never"), failedPod("Evicted", pressure)), verdict{"node_pressure_eviction", "memory", disruption, likely}, "app_exit", ""},
		{"pressure, and the probe had failed", exited(143, "Error", event("Killing", failedLiveness, at(58)), failedPod("Evicted", pressure)), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		{"an instance before the last", exited(1, "Error", inLast, failedPod("Evicted", pressure)), verdict{"app_exit", "", failure, likely}, "", "node_pressure"},
		{"an emptyDir", exited(143, "Error", killed, failedPod("Evicted", `Usage of EmptyDir volume "scratch" exceeds the limit "20Mi". `)), verdict{"storage_limit_eviction", "empty_dir", failure, confirmed}, `"scratch"|20Mi`, ""},
		{"a container's storage", exited(143, "Error", killed, failedPod("Evicted", `Container api exceeded its local ephemeral storage limit "1Mi". `)), verdict{"storage_limit_eviction", "container", failure, confirmed}, "container api|1Mi", ""},
		{"a pod's storage", exited(143, "Error", killed, failedPod("Evicted", `Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. `)), verdict{"storage_limit_eviction", "pod", failure, confirmed}, "2Mi", ""},
		{"evicted for what nobody knows", exited(1, "Error", failedPod("Evicted", "Because.")), verdict{"app_exit", "", failure, likely}, "", ""},
		{"the kubelet preempts", exited(143, "Error", killed, failedPod("Preempting", "Preempted in order to admit critical pod"), kubelet("Pod was preempted by Kubelet to accommodate a critical pod.", 61)), verdict{"kubelet_preempted", "", disruption, confirmed}, "", ""},
		{"the kubelet preempts, by the event", exited(143, "Error", event("Preempting", "Preempted in order to admit critical pod", at(58)), func(e *evidence.Evidence) { e.Events[0].Container = false }, killed), verdict{"kubelet_preempted", "", disruption, confirmed}, "", ""},
		{"shutdown", exited(143, "Error", killed, kubelet("Pod was terminated in response to imminent node shutdown.", 61)), verdict{"node_shutdown", "", disruption, confirmed}, "", ""},
		{"the deadline", exited(143, "Error", killed, policyIs("Never"), failedPod("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"), func(e *evidence.Evidence) { e.Pod.ActiveDeadlineSeconds = 90 }), verdict{"deadline_exceeded", "pod", failure, confirmed}, "90 (1m30s)", ""},
		{"the deadline, by the event", exited(143, "Error", killed, policyIs("Never"), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "DeadlineExceeded", Message: "Pod was active on the node longer than the specified deadline", First: at(58), Last: at(58), Count: 1})
		}), verdict{"deadline_exceeded", "pod", failure, confirmed}, "", ""},
		{"preempted", exited(143, "Error", disrupted("PreemptionByScheduler", at(58)), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "Preempted", Message: "Preempted by pod u9 on node n1", First: at(58), Last: at(58), Count: 1})
		}), verdict{"preempted", "", disruption, confirmed}, "Preempted by pod u9|get priorityclasses", ""},
		{"a taint", exited(143, "Error", disrupted("DeletionByTaintManager", at(58)), calm, func(e *evidence.Evidence) {
			e.Node.Taints = []evidence.Taint{{Key: "soft", Effect: "NoSchedule"}, {Key: "closing", Value: "yes", Effect: "NoExecute"}}
		}), verdict{"taint_eviction", "", disruption, confirmed}, "(closing=yes)|closing=yes:NoExecute", "soft"},
		{"a device's taint", exited(143, "Error", disrupted("DeletionByDeviceTaintManager", at(58))), verdict{"taint_eviction", "device", disruption, confirmed}, "", ""},
		{"pod garbage", exited(143, "Error", disrupted("DeletionByPodGC", at(58)), func(e *evidence.Evidence) { e.Pod.Disruption.Message = "PodGC: node no longer exists" }), verdict{"pod_gc", "", disruption, confirmed}, "its node is gone", ""},
		{"preempted, by the event alone", exited(143, "Error", deletedAt(at(58)), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "Preempted", Message: "Preempted by pod u9 on node n1", First: at(58), Last: at(58), Count: 1})
		}), verdict{"preempted", "", disruption, confirmed}, "Preempted by pod u9", ""},
		{"preempted long before", exited(143, "Error", deletedAt(at(58)), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "Preempted", Message: "Preempted by pod u9 on node n1", First: at(-580), Last: at(-580), Count: 1})
		}), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "preempted"},
		{"a taint, by the event alone", exited(143, "Error", deletedAt(at(58)), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "TaintManagerEviction", Message: "Marking for deletion Pod shop/api-1", First: at(58), Last: at(58), Count: 1})
		}), verdict{"taint_eviction", "", disruption, confirmed}, "Marking for deletion", ""},
		{"a taint that went again", exited(143, "Error", deletedAt(at(58)), func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "TaintManagerEviction", Message: "Cancelling deletion of Pod shop/api-1", First: at(58), Last: at(58), Count: 1})
		}), verdict{"pod_deleted", "direct", lifecycle, confirmed}, "", "taint_eviction"},
		{"a taint of a pod that is not deleted", exited(1, "Error", func(e *evidence.Evidence) {
			e.Events = append(e.Events, evidence.Event{Reason: "TaintManagerEviction", Message: "Marking for deletion Pod shop/api-1", First: at(58), Last: at(58), Count: 1})
		}), verdict{"app_exit", "", failure, likely}, "", "taint_eviction"},
		{"a reason of a later version", exited(1, "Error", disrupted("DeletionByMoonPhase", at(58))), verdict{"app_exit", "", failure, likely}, "", ""},

		{"a sidecar after the others, by its event", exited(143, "Error", killed, policyIs("Never"), typeIs(record.Sidecar), func(e *evidence.Evidence) { e.Pod.AppsFinished = true }), verdict{"sidecar_stopped", "", lifecycle, confirmed}, "", ""},
		{"a sidecar before the others", exited(1, "Error", policyIs("Never"), typeIs(record.Sidecar), func(e *evidence.Evidence) { e.Pod.AppsFinished = true }, beside(evidence.Container{Name: "main", Type: record.App, Ended: &evidence.Ended{FinishedAt: at(300)}})), verdict{"app_exit", "", failure, likely}, "", "sidecar_stopped"},
		{"a sidecar's own probe, after the others", exited(143, "Error", policyIs("Never"), typeIs(record.Sidecar), event("Killing", "Init container api failed liveness probe", at(58)), func(e *evidence.Evidence) { e.Pod.AppsFinished = true }), verdict{"liveness_probe", "", failure, confirmed}, "", "sidecar_stopped"},
	})
}

func TestKubeletKills(t *testing.T) {
	const lifecycle, disruption, failure, confirmed, likely, unknown = record.Lifecycle, record.Disruption, record.Failure, record.Confirmed, record.Likely, record.Unknown
	probed := liveness(httpGet("GET :8080/healthz"))
	hooked := func(e *evidence.Evidence) { e.Container.PostStart = &evidence.Hook{Kind: "exec", Target: "warm-up"} }
	ruled := evidence.Container{Name: "worker", Type: record.App, RestartRules: []evidence.RestartRule{{Action: restartAll, Operator: "In", ExitCodes: []int32{88}}}, LastEnded: &evidence.Ended{ExitCode: 88, FinishedAt: at(58)}}
	restarting := func(second int) change {
		return func(e *evidence.Evidence) {
			e.Pod.Conditions = append(e.Pod.Conditions, evidence.Condition{Type: "AllContainersRestarting", Status: "True", Time: at(second)})
		}
	}
	hookMessage := waitsFor("PostStartHookError", `Exec lifecycle hook ([warm-up]) for Container "api" in Pod "api-1_shop(u1)" failed - error: command 'warm-up' exited with 9: , message: "the cache is cold\n"`)
	runRulings(t, []ruling{
		{"a repeated kill, at its last time", exited(2, "Error", repeated("Killing", failedLiveness, at(-300), at(59), 4)), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		{"a repeated kill, at its first time", exited(2, "Error", repeated("Killing", failedLiveness, at(59), at(400), 2)), verdict{"liveness_probe", "", failure, confirmed}, "", ""},
		{"two kills, before and after", exited(2, "Error", repeated("Killing", failedLiveness, at(-100), at(400), 2)), verdict{"app_exit", "", failure, likely}, "", ""},
		{"kills before and after, and perhaps this one", exited(2, "Error", probed, repeated("Killing", failedLiveness, at(-100), at(400), 5)), verdict{"liveness_probe", "", failure, likely}, "5 times between", ""},
		{"kills before and after, but too soon for the probe", exited(2, "Error", probed, ranFor(5), repeated("Killing", failedLiveness, at(-100), at(400), 5)), verdict{"unknown", "", failure, unknown}, "first and last", ""},
		{"a merged event of another container", exited(2, "Error", repeated("Killing", "Container mesh failed liveness probe, will be restarted", at(-100), at(59), 12), func(e *evidence.Evidence) { e.Events[0].Combined = true }, beside(evidence.Container{Name: "mesh", Type: record.App})), verdict{"app_exit", "", failure, likely}, "", `"liveness_probe","detail`},
		{"what the probe got, in a merged event of two probes", exited(2, "Error", probed, event("Killing", failedLiveness, at(59)), event("Unhealthy", refusedText, at(58)), func(e *evidence.Evidence) { e.Events[1].Combined = true }, beside(evidence.Container{Name: "mesh", Type: record.App, Liveness: httpGet("GET :9/")})), verdict{"liveness_probe", "", failure, confirmed}, "what the probe got", "refused"},
		{"what the probe got was repeated since", exited(2, "Error", probed, event("Killing", failedLiveness, at(59)), repeated("Unhealthy", refusedText, at(-60), at(300), 9)), verdict{"liveness_probe", "refused", failure, confirmed}, "time of the probe's failures", ""},
		{"a probe that could not be made does not count", exited(2, "Error", probed, event("Killing", failedLiveness, at(59)), event("Unhealthy", "Liveness probe errored and resulted in unknown state: rpc error", at(58))), verdict{"liveness_probe", "", failure, confirmed}, "what the probe got", "rpc error"},
		{"events of this one were dropped, and there is a probe", exited(2, "Error", probed, event("Started", "Container started", at(-300))), verdict{"unknown", "", failure, unknown}, "liveness_probe|too many", ""},
		{"events of this one were dropped, and it ended before its probe can have failed often enough", exited(2, "Error", event("Started", "Container started", at(-300)), func(e *evidence.Evidence) {
			e.Container.Liveness = &evidence.Probe{Kind: "httpGet", InitialDelaySeconds: 30, PeriodSeconds: 20, FailureThreshold: 3}
		}), verdict{"app_exit", "", failure, likely}, "too many", ""},
		{"events of this one were dropped, and it ended when its probe can just have failed often enough", exited(2, "Error", event("Started", "Container started", at(-300)), func(e *evidence.Evidence) {
			e.Container.Liveness = &evidence.Probe{Kind: "httpGet", InitialDelaySeconds: 41, PeriodSeconds: 10, FailureThreshold: 3}
		}), verdict{"unknown", "", failure, unknown}, "liveness_probe|too many", ""},
		{"events of this one were dropped, and there is no probe", exited(2, "Error", event("Started", "Container started", at(-300))), verdict{"app_exit", "", failure, likely}, "too many", `"liveness_probe"`},
		{"its start was told", exited(2, "Error", probed, event("Started", "Container started", at(-300)), event("Started", "Container started", at(0))), verdict{"app_exit", "", failure, likely}, "ruledOut", "too many"},

		{"a hook, with what it said", exited(137, "Error", inLast, hookMessage, hooked), verdict{"post_start_hook", "exec", failure, confirmed}, `exited with 9, saying "the cache is cold|lifecycle.postStart`, ""},
		{"a hook, by its event alone", exited(137, "Error", hooked, event("FailedPostStartHook", "PostStartHook failed", at(1))), verdict{"post_start_hook", "exec", failure, confirmed}, "", ""},
		{"a hook of another instance", exited(1, "Error", hooked, event("FailedPostStartHook", "PostStartHook failed", at(-5))), verdict{"app_exit", "", failure, likely}, "", "post_start_hook\",\"detail"},
		{"a probe, and a hook that waits", exited(137, "Error", hookMessage, event("Killing", failedLiveness, at(59))), verdict{"liveness_probe", "", failure, confirmed}, "", ""},

		{"a sandbox that died with the container", exited(137, "Error", event("SandboxChanged", sandboxText, at(64))), verdict{"sandbox_changed", "", disruption, likely}, "sigkill_unattributed", ""},
		{"a sandbox replaced much later", exited(137, "Error", event("SandboxChanged", sandboxText, at(264))), verdict{"sigkill_unattributed", "", failure, unknown}, "", ""},
		{"a crash, and a sandbox replaced after", exited(1, "Error", event("SandboxChanged", sandboxText, at(64))), verdict{"app_exit", "", failure, likely}, "", ""},
		{"a sandbox replaced in its life, and no kill", exited(1, "Error", event("SandboxChanged", sandboxText, at(58))), verdict{"unknown", "", failure, unknown}, sandboxText, ""},
		{"a sandbox replaced by a reboot", exited(143, "Error", event("SandboxChanged", sandboxText, at(58)), event("Killing", stopping, at(58)), onNode("Rebooted", "Node n1 has been rebooted, boot id: b2", at(50))), verdict{"sandbox_changed", "", disruption, confirmed}, "boot id: b2", ""},
		{"a state that the runtime does not know", exited(137, "Error", event("Killing", `Container is in "UNKNOWN" state, try killing it before restart`, at(58))), verdict{"status_unknown", "", failure, likely}, "", "SIGKILL"},
		{"an old kubelet's changed definition", exited(143, "Error", event("Killing", "Container api definition changed, will be restarted", at(30)), calm, func(e *evidence.Evidence) { e.Node.KubeletVersion = "v1.30.2" }), verdict{"definition_changed", "", lifecycle, confirmed}, "upgraded themselves", ""},
		{"a new kubelet's changed definition", exited(143, "Error", event("Killing", "Container api definition changed, will be restarted", at(30)), calm), verdict{"definition_changed", "", lifecycle, confirmed}, "", "upgraded"},
		{"stopped for a reason of the pod", exited(143, "Error", event("Killing", stopping, at(58)), failedPod("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed")), verdict{"unknown", "", failure, unknown}, "Predicate NodeAffinity failed", ""},
		{"all are restarted, by the condition", exited(137, "Error", beside(ruled), restarting(58)), verdict{"restart_all_containers", "", lifecycle, likely}, "AllContainersRestarting|Container worker", ""},
		{"all are restarted, and this one began it", exited(88, "Error", rules("RestartAllContainers", "In", 88), beside(ruled), restarting(58)), verdict{"app_exit", "", failure, likely}, "", "AllContainersRestarting"},
		{"all were restarted long before", exited(137, "Error", beside(ruled), restarting(5)), verdict{"sigkill_unattributed", "", failure, unknown}, "", ""},
		{"all are restarted, by nobody's rule", exited(137, "Error", restarting(58)), verdict{"sigkill_unattributed", "", failure, unknown}, "", ""},
		{"stopped for what nobody says", exited(0, "Completed", policyIs("Never"), event("Killing", stopping, at(58))), verdict{"unknown", "", failure, unknown}, "why it did, neither", "completed"},
		{"out of memory, and stopped for what nobody says", exited(137, "OOMKilled", event("Killing", stopping, at(58))), verdict{"oom_killed", "level_unknown", failure, likely}, stopping, ""},
	})
}

func TestStartErrors(t *testing.T) {
	const failure, confirmed = record.Failure, record.Confirmed
	is := func(cause, detail string) verdict { return verdict{cause, detail, failure, confirmed} }
	start := func(text string, changes ...change) evidence.Evidence {
		return exited(128, "StartError", append([]change{message(runcText + text + ": unknown")}, changes...)...)
	}
	runRulings(t, []ruling{
		{"in no directory of PATH", start(`exec: "x": executable file not found in $PATH`, runs("x", "--now")), is("command_not_found", ""), `command x does not|["x" "--now"]`, ""},
		{"no such path", start(`exec: "/x": stat /x: no such file or directory`), is("command_not_found", ""), "/x", ""},
		{"no right to execute", start(`exec: "/x": permission denied`), is("command_not_executable", ""), "", ""},
		{"a directory", start(`exec: "/etc": is a directory`), is("command_not_executable", ""), "is a directory", ""},
		{"a format", start(`exec: "/x": exec format error`), is("exec_format_error", ""), "", ""},
		{"a working directory", start(`mkdir /app/x: chdir to cwd ("/app/x") set in config.json failed: no such file or directory`, func(e *evidence.Evidence) { e.Container.WorkingDir = "/app/x" }), is("start_error", "bad_working_dir"), "/app/x|workingDir", "command_not_found"},
		{"a working directory that is a file", start(`chdir to cwd ("/etc/hosts") set in config.json failed: not a directory`), is("start_error", "bad_working_dir"), "is not a directory", ""},
		{"a mount", start(`error mounting "/var/lib/kubelet/pods/x" to rootfs at "/etc/app.conf": mount src=/x, dst=/etc/app.conf: not a directory`, func(e *evidence.Evidence) {
			e.Container.Mounts = []evidence.Mount{{Volume: "conf", Path: "/etc/app.conf", SubPath: "app.conf"}}
		}), is("start_error", "mount_failed"), "/etc/app.conf|one side is a file|subPath", ""},
		{"a user", start(`unable to find user web: no matching entries in passwd file`), is("start_error", "user_not_found"), "user web", ""},
		{"a group", start(`unable to find group web: no matching entries in group file`), is("start_error", "user_not_found"), "group web", ""},
		{"AppArmor", start(`unable to apply apparmor profile: apparmor failed to apply profile`), is("start_error", "security_profile"), "", ""},
		{"seccomp", start(`error loading seccomp filter into kernel: error loading seccomp filter: errno 524`), is("start_error", "security_profile"), "", ""},
		{"capabilities", start(`unable to apply caps: operation not permitted`), is("start_error", "security_profile"), "", ""},
		{"a cgroup", start(`unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: no space left on device`), is("start_error", "cgroup"), "", ""},
		{"a disk", start(`write /x: no space left on device`), is("start_error", "disk_full"), "", ""},
		{"a time", start(`context deadline exceeded`), is("start_error", "timeout"), "", ""},
		{"no command", start(`no command specified`), is("start_error", "no_command"), "", ""},
		{"something else", start(`the moon is full`), is("start_error", ""), "the moon is full", ""},
		{"out of memory, and nobody knows whose limit", start(`container init was OOM-killed (memory limit too low?)`, podMemoryLimit(10)), is("oom_killed", "level_unknown"), "", ""},
		{"a program that prints so", exited(1, "Error", message(`exec: "x": executable file not found in $PATH`)), verdict{"app_exit", "*", failure, record.Likely}, "", "was never started"},
	})
}

func TestProbeDetails(t *testing.T) {
	grpc, tcp, exec := &evidence.Probe{Kind: "grpc"}, &evidence.Probe{Kind: "tcpSocket"}, execs("check")
	get := httpGet("GET :8080/")
	for _, tc := range []struct {
		text string
		spec *evidence.Probe
		want string
	}{
		{"HTTP probe failed with statuscode: 503", get, "http_503"},
		{"HTTP probe failed with statuscode: 404", nil, "http_404"},
		{`Get "http://10.0.0.1:80/": dial tcp 10.0.0.1:80: connect: connection refused`, get, "refused"},
		{`Get "http://10.0.0.1:80/": dial tcp 10.0.0.1:80: connect: connection refused`, nil, "refused"},
		{`Get "http://10.0.0.1:80/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, get, "timeout"},
		{`Get "http://10.0.0.1:80/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, get, "timeout"},
		{`Get "http://10.0.0.1:80/": EOF`, get, ""},
		{`Get "http://10.0.0.1:80/": EOF`, nil, ""},
		{"dial tcp 10.0.0.1:80: i/o timeout", tcp, "timeout"},
		{"dial tcp 10.0.0.1:80: connect: connection refused", tcp, "refused"},
		{"dial tcp 10.0.0.1:80: connect: no route to host", tcp, ""},
		{`timeout: failed to connect service "10.0.0.1:9" within 1s: context deadline exceeded`, grpc, "timeout"},
		{`error: failed to connect service at "10.0.0.1:9": connection refused`, grpc, "refused"},
		{"timeout: health rpc did not complete within 1s", grpc, "timeout"},
		{`service unhealthy (responded with "NOT_SERVING")`, grpc, "grpc"},
		{`service unhealthy (responded with "NOT_SERVING")`, nil, "grpc"},
		{"error: this server does not implement the grpc health protocol (grpc.health.v1.Health)", grpc, "grpc"},
		{"error: health rpc failed: rpc error", grpc, "grpc"},
		{`command timed out: "check" timed out after 1s`, exec, "timeout"},
		{`command timed out: "check" timed out after 1s`, nil, "timeout"},
		{"the queue is stuck", exec, "exec"},
		{"the queue is stuck", nil, "exec"},
		{"", exec, "exec"},
		// What a command prints is its own, whatever it looks like.
		{"curl: (7) Failed to connect: connection refused", exec, "exec"},
		{"statuscode: 500", exec, "exec"},
	} {
		if got := probeDetail("Liveness probe failed: "+tc.text, tc.spec); got != tc.want {
			t.Errorf("%q of %+v is %q, want %q", tc.text, tc.spec, got, tc.want)
		}
	}
}

func TestRuntimeAndExits(t *testing.T) {
	const failure, lifecycle, confirmed, likely, unknown = record.Failure, record.Lifecycle, record.Confirmed, record.Likely, record.Unknown
	crioID := func(e *evidence.Evidence) { e.Stop.ContainerID = "cri-o://a" }
	rebootedAt := func(second int) change {
		return onNode("Rebooted", "Node n1 has been rebooted, boot id: b2", at(second))
	}
	pressure := func(status string, since int) change {
		return func(e *evidence.Evidence) {
			calm(e)
			e.Node.Conditions[0].Status, e.Node.Conditions[0].Time = status, at(since)
		}
	}
	conditionsAlone := func(e *evidence.Evidence) { calm(e); e.Node.EventsRead = false }
	runRulings(t, []ruling{
		{"cri-o lost the exit code", exited(-1, "Error", crioID), verdict{"status_unknown", "", failure, unknown}, "cri-o could not learn", "app_exit"},
		{"a program of Windows ends with -1", exited(-1, "Error"), verdict{"app_exit", "", failure, likely}, "", "status_unknown"},
		{"cri-o, and 255", exited(255, "Error", crioID), verdict{"app_exit", "", failure, likely}, "cri-o gives 255 also", ""},
		{"containerd, and 255", exited(255, "Error"), verdict{"app_exit", "", failure, likely}, "", "cri-o"},
		{"cri-o's seccomp notifier", exited(159, "seccomp killed", crioID), verdict{"app_signal", "SIGSYS", failure, confirmed}, "system call", ""},
		{"a forbidden system call", exited(159, "Error"), verdict{"app_signal", "SIGSYS", failure, likely}, "system call", ""},
		{"a stand-in after a reboot", exited(137, "ContainerStatusUnknown", noTimes, rebootedAt(70), func(e *evidence.Evidence) { e.AsOf = at(100) }), verdict{"status_unknown", "", failure, unknown}, `"runtime_restarted"|boot id: b2`, ""},
		{"a stand-in, and the node is gone", exited(137, "ContainerStatusUnknown", noTimes, calm, func(e *evidence.Evidence) { e.Node.Gone = true }), verdict{"status_unknown", "", failure, unknown}, "pod_gc", ""},
		{"Unknown with another code", exited(1, "Unknown"), verdict{"app_exit", "", failure, likely}, "", "runtime_restarted"},
		{"SIGQUIT", exited(131, "Error"), verdict{"app_signal", "SIGQUIT", failure, likely}, "somebody may have sent it SIGQUIT", ""},
		{"SIGINT", exited(130, "Error"), verdict{"app_exit", "", failure, likely}, "SIGINT by convention|somebody may have sent it SIGINT", ""},
		{"a fault, and events were not read", exited(139, "Error", noEvents), verdict{"app_signal", "SIGSEGV", failure, likely}, "events of the pod", "ruledOut"},
		{"a fault on the kubelet's signal", exited(139, "Error", event("Killing", stopping, at(58))), verdict{"unknown", "", failure, unknown}, "", "app_signal"},
		{"a shell without the right", exited(126, "Error", says("sh: /app: Permission denied")), verdict{"command_not_executable", "", failure, likely}, "command /app could not be executed", ""},
		{"a shell, and whose log nobody knows", exited(127, "Error", probably("/bin/sh: 1: serve: not found")), verdict{"command_not_found", "", failure, likely}, "probably its last words|serve", ""},
		{"a shell stopped by the kubelet", exited(127, "Error", event("Killing", stopping, at(58))), verdict{"unknown", "", failure, unknown}, "", "command_not_found"},
		{"a missing interpreter", exited(255, "Error", says("exec /run.sh: no such file or directory")), verdict{"command_not_found", "interpreter", failure, likely}, "/run.sh", ""},
		{"a message in place of a log", exited(1, "Error", message("panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:4 +0x1d")), verdict{"app_exit", "panic", failure, likely}, "panic: boom", `"log"`},
		{"a message goes before a log", exited(1, "Error", message("dial tcp 10.0.0.9:5432: connect: connection refused"), says("panic: boom", "", "goroutine 1 [running]:", "main.main()")), verdict{"app_exit", "connection_refused", failure, likely}, "", ""},
		{"last words that are probably its own", exited(1, "Error", probably("listen tcp :8080: bind: address already in use")), verdict{"app_exit", "port_in_use", failure, likely}, "were probably|proof whose log", ""},
		{"nothing was said", exited(1, "Error", says("")), verdict{"app_exit", "", failure, likely}, "", `"what":"log"`},
		{"no log was read", exited(1, "Error"), verdict{"app_exit", "", failure, likely}, `"what":"log"`, ""},
		{"a finished container with a probe, unread events", exited(0, "Completed", policyIs("Never"), noEvents, liveness(httpGet("GET :1/"))), verdict{"completed", "", lifecycle, likely}, "liveness_probe", ""},
		{"a finished container, unread events", exited(0, "Completed", policyIs("Never"), noEvents), verdict{"completed", "", lifecycle, confirmed}, "", ""},

		{"a limit, under pressure", exited(137, "OOMKilled", memory(64), pressure("True", 30)), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", "reached its memory limit"},
		{"a limit, and pressure that went since", exited(137, "OOMKilled", memory(64), pressure("False", 90)), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", "reached its memory limit"},
		{"a limit, and pressure that went before", exited(137, "OOMKilled", memory(64), pressure("False", -3600)), verdict{"oom_killed", "container_limit", failure, confirmed}, "", ""},
		{"a limit, and the node's conditions alone", exited(137, "OOMKilled", memory(64), conditionsAlone), verdict{"oom_killed", "container_limit", failure, confirmed}, "no memory pressure since before", ""},
		{"a limit, and a node that is gone", exited(137, "OOMKilled", memory(64), calm, func(e *evidence.Evidence) { e.Node.Gone = true }), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", ""},
		{"a limit of the pod, and nothing known of the node", exited(137, "OOMKilled", podMemoryLimit(48)), verdict{"oom_killed", "level_unknown", failure, confirmed}, "", ""},
		{"limits of both, and another without", exited(137, "OOMKilled", memory(32), podMemoryLimit(128), calm, beside(evidence.Container{Name: "mesh", Type: record.App})), verdict{"oom_killed", "level_unknown", failure, confirmed}, "pod_limit: |container_limit: ", ""},
		{"limits of both, and an init container without", exited(137, "OOMKilled", memory(32), podMemoryLimit(128), calm, beside(evidence.Container{Name: "setup", Type: record.Init})), verdict{"oom_killed", "container_limit", failure, confirmed}, "", ""},
		{"a child, and a kill by the kubelet", exited(143, "OOMKilled", event("Killing", stopping, at(58))), verdict{"oom_killed", "child_process", failure, likely}, stopping, ""},
		{"a child, and last words", exited(1, "OOMKilled", memory(64), says("worker 7 was sent SIGKILL", "panic: worker died", "", "goroutine 1 [running]:", "main.main()")), verdict{"oom_killed", "child_process", failure, likely}, "", ""},
	})

	e := exited(1, "Error")
	e.Stop = nil
	if f := Diagnose(&e); f.Diagnosis.Cause != "unknown" || e.Stop != nil {
		t.Errorf("without a stop: %+v", f)
	}
}

func TestSentences(t *testing.T) {
	for _, tc := range []struct {
		name string
		e    evidence.Evidence
		want string
	}{
		{"a limit", exited(137, "OOMKilled", memory(256), calm, ranFor(192)), "The kernel killed the container after 3m12s for lack of memory: it reached its memory limit of 256Mi."},
		{"a probe", exited(143, "Error", liveness(httpGet("GET :8080/healthz")), event("Unhealthy", timeoutText, at(58)), event("Killing", failedLiveness, at(59))),
			"The kubelet killed the container 59s after its start because it failed its liveness probe GET :8080/healthz 3 times in a row (no answer within 1s); it answered the kubelet's signal within 1s, with exit code 143."},
		{"an exit", exited(1, "Error", ranFor(3600)), "The program ended itself after 1h with exit code 1."},
		{"an exit at once", exited(1, "Error", ranFor(0)), "The program ended itself within a second with exit code 1."},
		{"an exit at no known time", exited(1, "Error", noTimes), "The program ended itself with exit code 1."},
		{"a rollout", exited(137, "Error", deletedAt(at(30)), ofDeployment("1", "2", 3), ownerSays("ReplicaSet api-5d4f", "SuccessfulDelete", "Deleted pod: api-1", at(30))),
			"The pod was deleted, and the container still ran after its grace period of 30s: it was killed; Deployment api rolled out revision 2 in place of the pod's revision 1."},
		{"a hostile message", exited(128, "StartError", message(runcText+"exec: \"/x\x1b[2J\u202e\n\": permission denied")), "The container's command /x [2J exists, and cannot be executed."},
	} {
		f := Diagnose(&tc.e)
		if diff := cmp.Diff(tc.want, f.Diagnosis.Summary); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
