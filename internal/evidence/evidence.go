// Package evidence holds what was known of a stop or stall when it was diagnosed,
// and what was not and why. It is plain data with a versioned JSON form, so that a
// diagnosis can be repeated later, offline, and with newer rules.
//
// Everything in it is redacted already: what programs and people wrote (log lines,
// messages, commands) is kept as it may be shown. Times that the API did not know are
// zero. The package imports the standard library and package record alone.
package evidence

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Version names the JSON form of Evidence.
const Version = "evidence/v1"

// Evidence is everything that a rule may look at. A part that is nil was not read;
// where it was wanted, Missing says why.
type Evidence struct {
	Version string `json:"version"`
	// AsOf is when the newest reading was made, by the clock of the cluster where that is
	// known; it stands for "now" in rules, which have no clock.
	AsOf time.Time `json:"asOf,omitzero"`
	Pod  Pod       `json:"pod"`
	// Container is the one that stopped or stalls; zero for a finding about the pod.
	Container Container `json:"container,omitzero"`
	// Others are the pod's other containers, init ones first, in the order of the spec.
	Others []Container `json:"others,omitempty"`
	// Stop is nil for a stall, Stall is nil for a stop.
	Stop  *Stop  `json:"stop,omitempty"`
	Stall *Stall `json:"stall,omitempty"`
	// EventsRead tells that the pod's events were read; Events are those that concern the
	// pod or the container, oldest first.
	EventsRead bool    `json:"eventsRead,omitempty"`
	Events     []Event `json:"events,omitempty"`
	// EventsSince is the time before which the API has forgotten events, or may have; zero
	// where that is not known.
	EventsSince time.Time   `json:"eventsSince,omitzero"`
	Log         *Log        `json:"log,omitempty"`
	Node        *Node       `json:"node,omitempty"`
	Owner       *Owner      `json:"owner,omitempty"`
	Scheduling  *Scheduling `json:"scheduling,omitempty"`
	// Claims are the pod's persistent volume claims, as far as they were read.
	Claims     []Claim     `json:"claims,omitempty"`
	Neighbours *Neighbours `json:"neighbours,omitempty"`
	History    *History    `json:"history,omitempty"`
	// Changes are what was changed before the container began to fail, the newest first; ChangesRead
	// tells that the workload's revisions were read.
	ChangesRead bool            `json:"changesRead,omitempty"`
	Changes     []record.Change `json:"changes,omitempty"`
	// FailingSince is the first failure of the row that this one is the newest of, as far as was
	// recorded: of the container of the workload, of the same revision and cause, each at most a day
	// after the one before. Zero where that is not known.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Rollout is what is known of the revision of the workload that made the pod.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Missing names readings that were not to be had.
	Missing []record.Missing `json:"missing,omitempty"`
	// Partial tells that what is read beside the pod was still being read when this was stored.
	Partial bool `json:"partial,omitempty"`
}

// Amount is a quantity of a resource in thousandths of its unit (cores, bytes, pieces).
type Amount int64

// Resources are amounts by resource name, such as cpu or memory.
type Resources map[string]Amount

// Pod is the part of a pod's spec and status that rules look at.
type Pod struct {
	Namespace     string            `json:"namespace"`
	Name          string            `json:"name"`
	UID           string            `json:"uid"`
	Labels        map[string]string `json:"labels,omitempty"`
	Node          string            `json:"node,omitempty"`
	Phase         string            `json:"phase,omitempty"`
	Reason        string            `json:"reason,omitempty"`
	Message       string            `json:"message,omitempty"`
	CreatedAt     time.Time         `json:"createdAt,omitzero"`
	StartedAt     time.Time         `json:"startedAt,omitzero"` // status.startTime: the kubelet took it
	RestartPolicy string            `json:"restartPolicy,omitempty"`
	// DeletionTimestamp is when a deletion's grace period ends, as the API has it.
	DeletionTimestamp time.Time `json:"deletionTimestamp,omitzero"`
	// DeletionGraceSeconds is that grace period, TerminationGraceSeconds the one of the spec.
	DeletionGraceSeconds    int64    `json:"deletionGraceSeconds,omitempty"`
	TerminationGraceSeconds int64    `json:"terminationGraceSeconds,omitempty"`
	ActiveDeadlineSeconds   int64    `json:"activeDeadlineSeconds,omitempty"`
	Finalizers              []string `json:"finalizers,omitempty"`
	// Disruption is the condition DisruptionTarget, where it is True.
	Disruption *Condition `json:"disruption,omitempty"`
	// Conditions are all conditions, in the order of the status.
	Conditions []Condition `json:"conditions,omitempty"`
	// Owner is the controller of the pod.
	Owner *record.Workload `json:"owner,omitempty"`
	// Workload is the root owner, nil where it was not resolved.
	Workload *record.Workload `json:"workload,omitempty"`
	// AppsFinished is true once every regular container of the pod has terminated.
	AppsFinished bool `json:"appsFinished,omitempty"`

	SchedulerName   string   `json:"schedulerName,omitempty"`
	SchedulingGates []string `json:"schedulingGates,omitempty"`
	ReadinessGates  []string `json:"readinessGates,omitempty"`
	NominatedNode   string   `json:"nominatedNode,omitempty"`
	QOSClass        string   `json:"qosClass,omitempty"`
	HostNetwork     bool     `json:"hostNetwork,omitempty"`
	Static          bool     `json:"static,omitempty"` // a mirror of a pod that the kubelet runs from a file
	// EventUID is what events about a static pod have as its UID, the hash of its file;
	// empty for other pods.
	EventUID string `json:"eventUID,omitempty"`
	// Requests are those of the whole pod as the scheduler counts them.
	Requests Resources `json:"requests,omitempty"`
	// Limits are the pod-level ones of spec.resources (KEP-2837); nil where there are none.
	Limits       Resources         `json:"limits,omitempty"`
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	Tolerations  []Toleration      `json:"tolerations,omitempty"`
	Volumes      []Volume          `json:"volumes,omitempty"`
}

// Condition is a condition of a pod, a node or an owner.
type Condition struct {
	Type    string    `json:"type,omitempty"`
	Status  string    `json:"status,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time,omitzero"` // of the last transition
}

// Toleration and Taint are as in core/v1.
type Toleration struct {
	Key      string `json:"key,omitempty"`
	Operator string `json:"operator,omitempty"`
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"`
	Seconds  *int64 `json:"seconds,omitempty"`
}

// Taint keeps pods that do not tolerate it off a node.
type Taint struct {
	Key    string    `json:"key"`
	Value  string    `json:"value,omitempty"`
	Effect string    `json:"effect"`
	Time   time.Time `json:"time,omitzero"`
}

// Volume is a volume of a pod that comes from somewhere.
type Volume struct {
	Name string `json:"name"`
	// Kind is configMap, secret, persistentVolumeClaim, hostPath, emptyDir, nfs, csi,
	// projected (each of its sources is a Volume of its own with the same name) or the API's word for another.
	Kind string `json:"kind"`
	// Source is the name of the object or the path.
	Source   string `json:"source,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	// Medium and SizeLimit are those of an emptyDir.
	Medium    string `json:"medium,omitempty"`
	SizeLimit Amount `json:"sizeLimit,omitempty"`
}

// Container is the part of a container's spec and status that rules look at.
type Container struct {
	Name string               `json:"name"`
	Type record.ContainerType `json:"type"`

	Image           string   `json:"image,omitempty"`
	ImagePullPolicy string   `json:"imagePullPolicy,omitempty"`
	Command         []string `json:"command,omitempty"`
	Args            []string `json:"args,omitempty"`
	WorkingDir      string   `json:"workingDir,omitempty"`
	// RestartPolicy is the container's own, empty where it follows the pod's.
	RestartPolicy string `json:"restartPolicy,omitempty"`
	// RestartRules are its restartPolicyRules, which may override the policy.
	RestartRules []RestartRule `json:"restartRules,omitempty"`
	// Liveness, Startup, PostStart and PreStop tell what the kubelet may kill the container for, or with.
	Liveness  *Probe `json:"liveness,omitempty"`
	Readiness *Probe `json:"readiness,omitempty"`
	Startup   *Probe `json:"startup,omitempty"`
	PostStart *Hook  `json:"postStart,omitempty"`
	PreStop   *Hook  `json:"preStop,omitempty"`
	// MemoryLimit is the container's memory limit in bytes, 0 for none.
	MemoryLimit  int64     `json:"memoryLimit,omitempty"`
	Requests     Resources `json:"requests,omitempty"`
	Limits       Resources `json:"limits,omitempty"`
	RunAsUser    *int64    `json:"runAsUser,omitempty"`
	RunAsNonRoot *bool     `json:"runAsNonRoot,omitempty"`
	// References are the ConfigMaps and Secrets that its environment names.
	References []Reference `json:"references,omitempty"`
	Mounts     []Mount     `json:"mounts,omitempty"`

	// State is running, waiting or terminated, empty where there is no status.
	State string `json:"state,omitempty"`
	// WaitingReason and WaitingMessage are those of the status that showed the stop or stall.
	WaitingReason  string `json:"waitingReason,omitempty"`
	WaitingMessage string `json:"waitingMessage,omitempty"`
	// RunningSince is when the instance that runs was started.
	RunningSince time.Time `json:"runningSince,omitzero"`
	RestartCount int       `json:"restartCount,omitempty"`
	Ready        bool      `json:"ready,omitempty"`
	// Started is status.started: the startup probe passed, or there is none.
	Started bool `json:"started,omitempty"`
	// Ended and LastEnded are the terminated states of state and lastState.
	Ended     *Ended `json:"ended,omitempty"`
	LastEnded *Ended `json:"lastEnded,omitempty"`
}

// Ended is a terminated state of a container.
type Ended struct {
	ExitCode    int32     `json:"exitCode"`
	Reason      string    `json:"reason,omitempty"`
	Message     string    `json:"message,omitempty"`
	StartedAt   time.Time `json:"startedAt,omitzero"`
	FinishedAt  time.Time `json:"finishedAt,omitzero"`
	ContainerID string    `json:"containerID,omitempty"`
}

// RestartRule is one of restartPolicyRules (KEP-5307).
type RestartRule struct {
	Action    string  `json:"action"`
	Operator  string  `json:"operator,omitempty"`
	ExitCodes []int32 `json:"exitCodes,omitempty"`
}

// Probe is a probe of a container, with the API's defaults filled in.
type Probe struct {
	// Kind is httpGet, tcpSocket, grpc or exec.
	Kind string `json:"kind"`
	// Target is what is asked, as "GET :8080/healthz", ":5432" or the command.
	Target              string `json:"target,omitempty"`
	InitialDelaySeconds int32  `json:"initialDelaySeconds,omitempty"`
	PeriodSeconds       int32  `json:"periodSeconds,omitempty"`
	TimeoutSeconds      int32  `json:"timeoutSeconds,omitempty"`
	FailureThreshold    int32  `json:"failureThreshold,omitempty"`
	// GraceSeconds is the probe's own grace period, 0 where it has none.
	GraceSeconds int64 `json:"graceSeconds,omitempty"`
}

// Hook is a lifecycle hook.
type Hook struct {
	Kind   string `json:"kind"`
	Target string `json:"target,omitempty"`
}

// Reference is a ConfigMap or Secret that a container's environment names.
type Reference struct {
	Kind string `json:"kind"` // ConfigMap or Secret
	Name string `json:"name"`
	// Key is empty for envFrom; Variable is the variable that it sets.
	Key      string `json:"key,omitempty"`
	Variable string `json:"variable,omitempty"`
	Optional bool   `json:"optional,omitempty"`
}

// Mount is a volume mount.
type Mount struct {
	Volume   string `json:"volume"`
	Path     string `json:"path"`
	SubPath  string `json:"subPath,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Stop is the end of an instance as the API shows it.
type Stop struct {
	// Field is the path of the terminated state in the pod, empty where none was seen.
	Field string `json:"field,omitempty"`
	// ExitObserved is as in record.Stop.
	ExitObserved bool      `json:"exitObserved"`
	HasExitCode  bool      `json:"hasExitCode"`
	ExitCode     int32     `json:"exitCode,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Message      string    `json:"message,omitempty"`
	StartedAt    time.Time `json:"startedAt,omitzero"`
	FinishedAt   time.Time `json:"finishedAt,omitzero"`
	ContainerID  string    `json:"containerID,omitempty"`
	Ordinal      int       `json:"ordinal,omitempty"`
}

// Class is what a stall looks like from the pod alone, before its cause is known.
type Class string

// The classes of stalls. One pod and container has at most one stall of a class at a time.
const (
	// Unscheduled: no node was chosen.
	Unscheduled Class = "scheduling"
	// Rejected: the kubelet refused to admit the pod.
	Rejected Class = "rejected"
	// Preparing: a node was chosen, and no container was tried yet: volumes, sandbox, a dead kubelet.
	Preparing Class = "preparing"
	// Image: the container's image cannot be had.
	Image Class = "image"
	// Config: the container's configuration cannot be put together.
	Config Class = "config"
	// Create: the runtime refuses to create or start the container.
	Create Class = "create"
	// Initializing: an init container does not finish.
	Initializing Class = "initializing"
	// Unready: a container runs and is not ready, or the pod is not although its containers are.
	Unready Class = "unready"
	// Terminating: the pod was deleted, and is still there long after its grace period.
	Terminating Class = "terminating"
	// NotCreated: a controller cannot create the pod.
	NotCreated Class = "not_created"
)

// Stall is what is known of a pod or container that cannot go on, beside the pod itself.
type Stall struct {
	Class Class     `json:"class"`
	Begin time.Time `json:"begin,omitzero"`
	// Key is what its identity has beside the pod and container, where the detector follows it.
	Key string `json:"key,omitempty"`
}

// Event is an event about the pod, the container, a node or an owner.
type Event struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Source is the component that wrote it.
	Source string `json:"source,omitempty"`
	// Container tells that the event is about this container, not about the pod.
	Container bool `json:"container,omitempty"`
	// Other names another container of the pod that the event is about.
	Other string `json:"other,omitempty"`
	// Object is "Kind name" where the event is about something else than the pod.
	Object string `json:"object,omitempty"`
	// First and Last are when it happened for the first and last time, Count how often.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Count int       `json:"count,omitempty"`
	// Combined tells that a client merged several events into this one and kept the newest message.
	Combined bool `json:"combined,omitempty"`
}

// Log is the redacted tail of the stopped instance's log.
type Log struct {
	Lines []string `json:"lines,omitempty"`
	// Proven tells that the lines are those of this instance for certain.
	Proven    bool `json:"proven,omitempty"`
	Truncated bool `json:"truncated,omitempty"`
}

// Node is what the API says of the pod's node.
type Node struct {
	Name string `json:"name"`
	// Gone tells that the API has no such node.
	Gone           bool        `json:"gone,omitempty"`
	CreatedAt      time.Time   `json:"createdAt,omitzero"`
	Conditions     []Condition `json:"conditions,omitempty"`
	Taints         []Taint     `json:"taints,omitempty"`
	Unschedulable  bool        `json:"unschedulable,omitempty"`
	BootID         string      `json:"bootID,omitempty"`
	KubeletVersion string      `json:"kubeletVersion,omitempty"`
	Runtime        string      `json:"runtime,omitempty"`
	Platform       string      `json:"platform,omitempty"` // linux/amd64
	Allocatable    Resources   `json:"allocatable,omitempty"`
	// Events are those about the node, oldest first.
	EventsRead bool    `json:"eventsRead,omitempty"`
	Events     []Event `json:"events,omitempty"`
}

// Owner is what the API says of the controllers above the pod.
type Owner struct {
	// Chain are the controllers, the pod's own first.
	Chain []Controller `json:"chain,omitempty"`
	// NamespaceDeleting is when the namespace's deletion was asked for.
	NamespaceDeleting time.Time `json:"namespaceDeleting,omitzero"`
	// Events are those about the controllers, oldest first.
	EventsRead bool    `json:"eventsRead,omitempty"`
	Events     []Event `json:"events,omitempty"`
}

// Controller is one owner of a pod, or of its owner.
type Controller struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
	// Known tells that the object was read; Gone that the API has it no more.
	Known     bool      `json:"known,omitempty"`
	Gone      bool      `json:"gone,omitempty"`
	DeletedAt time.Time `json:"deletedAt,omitzero"` // when its deletion was asked for
	// Replicas is the number asked for, nil where the kind has none.
	Replicas *int32 `json:"replicas,omitempty"`
	// FirstOrdinal is the number of the first pod of a StatefulSet (spec.ordinals.start).
	FirstOrdinal int32 `json:"firstOrdinal,omitempty"`
	// Revision is that of this object or of the pod's template in it: the annotation
	// deployment.kubernetes.io/revision of a ReplicaSet, the pod's controller-revision-hash
	// under a StatefulSet or DaemonSet; NewestRevision is the one that is rolled out, known
	// at the Deployment, StatefulSet or DaemonSet.
	Revision       string `json:"revision,omitempty"`
	NewestRevision string `json:"newestRevision,omitempty"`
	// Revived tells that a ReplicaSet was of an older revision for a while: a rollback gave it
	// the newest.
	Revived    bool        `json:"revived,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// BackoffLimit and DeadlineSeconds are those of a Job.
	BackoffLimit    *int32 `json:"backoffLimit,omitempty"`
	DeadlineSeconds *int64 `json:"deadlineSeconds,omitempty"`
}

// Rollout is a revision of a workload, and how its container fared before it.
type Rollout struct {
	// Object is the workload, as "Deployment shop/checkout", Revision its number.
	Object   string `json:"object"`
	Revision string `json:"revision"`
	// Time is when it was rolled out, zero where that is not known.
	Time time.Time `json:"time,omitzero"`
	// WatchedBefore tells that failures were recorded before it was rolled out, and for a good while
	// longer than it took to fail; EarlierFailures is how many of the container were recorded, with other
	// revisions, since a day before.
	WatchedBefore   bool `json:"watchedBefore,omitempty"`
	EarlierFailures int  `json:"earlierFailures,omitempty"`
}

// Scheduling is how the nodes look to a pod that no node was found for.
type Scheduling struct {
	// Nodes is how many there are.
	Nodes     int           `json:"nodes"`
	Cordoned  int           `json:"cordoned,omitempty"`
	Resources []ResourceFit `json:"resources,omitempty"`
	// Taints are those that the pod does not tolerate, by how many nodes have them.
	Taints []TaintCount `json:"taints,omitempty"`
	// SelectorMatches is how many nodes have the labels of the node selector and fit the
	// required node affinity; nil where the pod has neither.
	SelectorMatches *int `json:"selectorMatches,omitempty"`
	// UsageKnown tells that the requests of all pods were read, so that Free is known.
	UsageKnown bool `json:"usageKnown,omitempty"`
}

// ResourceFit compares what a pod asks for with what nodes have.
type ResourceFit struct {
	Name  string `json:"name"`
	Asked Amount `json:"asked"`
	// LargestFree is the most that one node has left, LargestNode its name; LargestAllocatable the most
	// that any node has for pods at all.
	LargestFree        Amount `json:"largestFree"`
	LargestNode        string `json:"largestNode,omitempty"`
	LargestAllocatable Amount `json:"largestAllocatable"`
}

// TaintCount is a taint and how many nodes have it.
type TaintCount struct {
	Taint
	Nodes int `json:"nodes"`
}

// Claim is a persistent volume claim of the pod.
type Claim struct {
	Name         string    `json:"name"`
	Gone         bool      `json:"gone,omitempty"` // the API has none of this name
	Phase        string    `json:"phase,omitempty"`
	StorageClass string    `json:"storageClass,omitempty"`
	Volume       string    `json:"volume,omitempty"`
	Requested    Amount    `json:"requested,omitempty"`
	DeletedAt    time.Time `json:"deletedAt,omitzero"`
	Events       []Event   `json:"events,omitempty"`
}

// Neighbours are other stops within Seconds of this one, before or after it.
type Neighbours struct {
	Seconds int64 `json:"seconds"`
	// SameWorkload, SameNode and SameImage count the others; their pods and causes.
	SameWorkload Crowd `json:"sameWorkload,omitzero"`
	SameNode     Crowd `json:"sameNode,omitzero"`
	SameImage    Crowd `json:"sameImage,omitzero"`
}

// Crowd sums up a number of stops.
type Crowd struct {
	Stops int `json:"stops"`
	Pods  int `json:"pods"`
	Nodes int `json:"nodes,omitempty"`
	// SameInstant counts those that finished in the same second with reason Unknown, as
	// after a restart of the runtime.
	SameInstant int `json:"sameInstant,omitempty"`
}

// History is what was recorded before of this container of this workload.
type History struct {
	// Stops counts earlier ones of the container of this pod; First and Last are their times.
	Stops int       `json:"stops"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// RanSeconds are the lifetimes of the newest of them, the oldest first, and ExitCodes
	// and Causes what they ended with.
	RanSeconds []int64  `json:"ranSeconds,omitempty"`
	ExitCodes  []int32  `json:"exitCodes,omitempty"`
	Causes     []string `json:"causes,omitempty"`
	// BootID is that of the node when it was read before the stop, to tell a reboot.
	BootID string `json:"bootID,omitempty"`
	// Images are those that the container of the workload stopped with, in all its pods, the
	// one seen first first. They do not count the stop itself, whose image is Image.
	Images []ImageHistory `json:"images,omitempty"`
	Image  string         `json:"image,omitempty"`
	// ImagesCut tells that there are earlier stops, which Images do not count.
	ImagesCut bool `json:"imagesCut,omitempty"`
	// Survived counts the stops of the container of the workload with the cause that the newest
	// of them has, of those that nobody wanted, after which it ran for longer than ten minutes.
	// SurvivedCause is that cause, and SurvivedOf how many of the stops that were looked at have it.
	Survived      int    `json:"survived,omitempty"`
	SurvivedCause string `json:"survivedCause,omitempty"`
	SurvivedOf    int    `json:"survivedOf,omitempty"`
	// OthersRanSeconds are the lifetimes of the newest failures of the container in other pods of
	// the workload, the oldest first.
	OthersRanSeconds []int64 `json:"othersRanSeconds,omitempty"`
}

// ImageHistory is what was recorded of a container of a workload with one image.
type ImageHistory struct {
	Image string    `json:"image"`
	Stops int       `json:"stops"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// LongestSeconds is the longest lifetime of an instance of it that is known.
	LongestSeconds int64 `json:"longestSeconds,omitempty"`
	// Failures counts those of the stops that were failures, Began is when the first of the
	// instances was started, as far as that is known.
	Failures int       `json:"failures,omitempty"`
	Began    time.Time `json:"began,omitzero"`
}
