package record

import "time"

// The kinds of changes, which are stable codes.
const (
	// ChangeRollout is a new revision of a Deployment, StatefulSet or DaemonSet.
	ChangeRollout = "rollout"
	// ChangePod is an edit of the pod itself: its image, or its resources by a resize.
	ChangePod = "pod"
	// ChangeConfigMap is a write to a ConfigMap that the pod uses.
	ChangeConfigMap = "config_map"
	// ChangeNode is a change of the node: its kubelet, its runtime, its kernel, a boot, or
	// that the pod runs on another one than before.
	ChangeNode = "node"
)

// Change is something that was changed before a container began to fail. That it came
// before does not prove that it is the reason.
type Change struct {
	// Kind is one of the codes above.
	Kind string `json:"kind"`
	// Object is the object's kind and namespaced name, as "Deployment shop/checkout".
	Object string `json:"object"`
	// Time is when it was changed, zero where the API does not tell.
	Time time.Time `json:"time,omitzero"`
	// From and To are the revisions, where the object has them.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// By is who wrote it, as the object's managed fields name the writer.
	By string `json:"by,omitempty"`
	// Fields are those that differ, in the order of the object. The values of environment
	// variables are never among them.
	Fields []FieldChange `json:"fields,omitempty"`
	// Text says it in one sentence.
	Text string `json:"text"`
}

// FieldChange is one field that differs. An empty Old or New is a field that was not set.
type FieldChange struct {
	// Field is the path, as "containers[api].resources.limits.memory".
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	// Hidden tells that it differs and that its values are not shown.
	Hidden bool `json:"hidden,omitempty"`
}

// Observation is what an object was seen to be, kept so that a later change of it is known.
type Observation struct {
	// Object is as in Change, as "Node node-1".
	Object string `json:"object"`
	// Field is the path of the field, as "status.nodeInfo.kubeletVersion".
	Field string `json:"field"`
	Value string `json:"value"`
	// Time is when it was first seen to be so.
	Time time.Time `json:"time,omitzero"`
}

// IssueRef is the issue that a record belongs to, as it was when the record was read.
type IssueRef struct {
	// ID is that of the issue, as "WR-4F2A1C".
	ID string `json:"id"`
	// State is the issue's; see package issue.
	State string `json:"state,omitempty"`
	// Count and Pods are how many stops or stalls the issue has, and of how many pods.
	Count int64 `json:"count,omitempty"`
	Pods  int   `json:"pods,omitempty"`
	// MorePods tells that there were more pods, which are not told apart any more.
	MorePods bool `json:"morePods,omitempty"`
	// Incident is the ID of the incident that the record is a part of, as "WI-91C03B".
	Incident string `json:"incident,omitempty"`
}
