package pipeline

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// recentsKept bounds the stops for which late evidence is taken, recentFor how long.
	recentsKept = 1000
	recentFor   = 2 * time.Minute
	// recentBytes bounds roughly their memory.
	recentBytes = 24 << 20
)

// A stop that is not settled is looked at once more at these ages: by then what happened
// beside it has come to light.
const (
	firstLook  = 2 * time.Second
	secondLook = 20 * time.Second
	thirdLook  = time.Minute
)

// nextLook is when a stop that was looked at a number of times is looked at again; false
// after the last.
func nextLook(looks int) (time.Duration, bool) {
	switch looks {
	case 0:
		return firstLook, true
	case 1:
		return secondLook, true
	case 2:
		return thirdLook, true
	}
	return 0, false
}

// recents holds the newest findings with their evidence, for what comes to light later.
type recents struct {
	byID  map[string]*recent
	order []*recent // the oldest first
	bytes int
	// forever keeps them whatever their age: a recording has no clock.
	forever bool
}

type recent struct {
	Finding
	since time.Time
	// looks is how many such looks are done, queued tells that it waits for one.
	looks  int
	queued bool
	// collecting tells that evidence is still collected for it, missed that something came to
	// light meanwhile that the collector may not have seen.
	collecting, missed bool
	bytes              int
}

func (rs *recents) put(f Finding, now time.Time) *recent {
	f.Pod = named(f.Pod)
	if r, ok := rs.byID[f.Record.ID]; ok {
		r.Finding = f
		rs.weigh(r)
		return r
	}
	if rs.byID == nil {
		rs.byID = make(map[string]*recent)
	}
	r := &recent{Finding: f, since: now}
	rs.byID[f.Record.ID] = r
	rs.order = append(rs.order, r)
	rs.weigh(r)
	for len(rs.order) > recentsKept || rs.bytes > recentBytes && len(rs.order) > 1 {
		rs.drop()
	}
	return r
}

// weigh counts what a finding takes now.
func (rs *recents) weigh(r *recent) {
	n := weighRecord(&r.Record) + weighEvidence(&r.Evidence)
	rs.bytes += n - r.bytes
	r.bytes = n
}

// named returns a pod with no more than what tells whose it is: a whole one is too much to keep.
func named(pod *corev1.Pod) *corev1.Pod {
	if pod == nil {
		return nil
	}
	n := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels, OwnerReferences: pod.OwnerReferences,
		CreationTimestamp: pod.CreationTimestamp, GenerateName: pod.GenerateName,
	}}
	if group, ok := pod.Annotations[issue.GroupAnnotation]; ok {
		n.Annotations = map[string]string{issue.GroupAnnotation: group}
	}
	return n
}

func (rs *recents) drop() {
	rs.bytes -= rs.order[0].bytes
	delete(rs.byID, rs.order[0].Record.ID)
	rs.order[0] = nil
	rs.order = rs.order[1:]
}

// expire drops what is too old.
func (rs *recents) expire(now time.Time) {
	for !rs.forever && len(rs.order) > 0 && now.Sub(rs.order[0].since) > recentFor {
		rs.drop()
	}
}

// due returns those whose next look has come.
func (rs *recents) due(now time.Time) []*recent {
	var out []*recent
	for _, r := range rs.order {
		if age, more := nextLook(r.looks); more && now.Sub(r.since) >= age {
			r.looks++
			if unsettled(&r.Record) || r.unread || slices.ContainsFunc(r.Evidence.Missing, passing) {
				out = append(out, r)
			}
		}
	}
	return out
}

// unsettled tells whether what comes to light after a stop can change its diagnosis. Who
// deleted a pod is told by an event that its controller writes afterwards.
func unsettled(r *record.Record) bool {
	return r.Diagnosis.Confidence != record.Confirmed || r.Diagnosis.Cause == "pod_deleted" || r.Diagnosis.Cause == "grace_period_exceeded"
}

// about returns those whose diagnosis an event may change.
func (rs *recents) about(ev *corev1.Event) []*recent {
	if len(rs.order) == 0 {
		return nil
	}
	o := &ev.InvolvedObject
	var concerns func(*recent) bool
	switch {
	case o.Kind == "Pod":
		concerns = func(r *recent) bool { return r.Record.PodUID == string(o.UID) }
	case o.Kind == "Node":
		if !tellsOfNode(ev.Reason) {
			return nil
		}
		concerns = func(r *recent) bool { return r.Record.Node == o.Name }
	case ev.Reason == "SuccessfulDelete":
		// A ReplicaSet, StatefulSet, DaemonSet or Job names the pod that it deleted
		// (pkg/controller/controller_utils.go DeletePod: "Deleted pod: %v").
		concerns = func(r *recent) bool {
			return r.Record.Namespace == o.Namespace && containsWord(ev.Message, r.Record.Pod)
		}
	case tellsOfOwner(ev.Reason):
		concerns = func(r *recent) bool {
			return r.Record.Namespace == o.Namespace && (r.Record.Workload != nil && *r.Record.Workload == record.Workload{Kind: o.Kind, Name: o.Name} ||
				r.Evidence.Pod.Owner != nil && *r.Evidence.Pod.Owner == record.Workload{Kind: o.Kind, Name: o.Name})
		}
	default:
		return nil
	}
	var out []*recent
	newest := make(map[record.ContainerKey]int)
	for _, r := range slices.Backward(rs.order) {
		if !concerns(r) {
			continue
		}
		// An event says nothing of what ended long before: of a container that crashes again and
		// again, the newest are looked at.
		key := record.ContainerKey{PodUID: r.Record.PodUID, Type: r.Record.ContainerType, Name: r.Record.Container}
		if newest[key]++; newest[key] <= stopsPerEvent && (r.Record.Diagnosis.Confidence != record.Confirmed || decides(ev.Reason)) {
			out = append(out, r)
		}
	}
	slices.Reverse(out)
	return out
}

// stopsPerEvent bounds the stops of one container that are looked at again for one event.
const stopsPerEvent = 3

// decides tells events that can change even what was confirmed.
func decides(reason string) bool {
	switch reason {
	case "Killing", "Unhealthy", "SystemOOM", "OOMKilling", "Evicted", "SandboxChanged", "FailedPostStartHook", "Rebooted", "Preempting",
		"Preempted", "TaintManagerEviction", "SuccessfulDelete", "ScalingReplicaSet", "Completed", "BackoffLimitExceeded", "DeadlineExceeded":
		return true
	}
	return false
}

// tellsOfNode tells events about a node that explain what ended on it.
func tellsOfNode(reason string) bool {
	switch reason {
	case "SystemOOM", "OOMKilling", "Rebooted", "NodeNotReady", "NodeShutdown", "Starting", "ContainerGCFailed", "EvictionThresholdMet",
		"ContainerdStart", "ContainerRuntimeUnhealthy", "KubeletSetupFailed", "NodeAllocatableEnforced":
		return true
	}
	return false
}

// tellsOfOwner tells events about a controller that explain why it deleted pods.
func tellsOfOwner(reason string) bool {
	switch reason {
	case "ScalingReplicaSet", "BackoffLimitExceeded", "DeadlineExceeded", "Completed", "SuccessfulDelete", "SuccessfulRescale", "Suspended":
		return true
	}
	return false
}

// containsWord tells that a message names something, and not something whose name goes on.
func containsWord(message, name string) bool {
	return slices.Contains(strings.FieldsFunc(message, func(c rune) bool { return c == ' ' || c == '/' || c == ',' || c == '"' }), name)
}
