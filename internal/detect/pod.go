package detect

import (
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Pod is what the detector needs to know of a pod: a small part of its status and
// less of its spec. Both a full corev1.Pod (FromPod) and a slim decode of the wire
// bytes give it, and must give the same.
type Pod struct {
	UID       string
	Namespace string
	Name      string
	// ResourceVersion is 0 where the server's is not a number.
	ResourceVersion uint64
	// Deleting is true once the pod has a deletionTimestamp.
	Deleting bool
	// Finished is true once the pod's phase is Succeeded or Failed.
	Finished bool
	// Rejected is true for a pod that the kubelet refused to admit.
	Rejected bool
	// Assigned is true once a node was chosen, Gated while a scheduling gate keeps the
	// scheduler from choosing one.
	Assigned, Gated bool
	// Restarts is true where the pod's restart policy is Always.
	Restarts bool
	// CreatedAt is when it was created, and DeletionTimestamp when a deletion's grace period ends.
	CreatedAt, DeletionTimestamp Seconds
	// Scheduled, Initialized and Ready are the conditions of these types.
	Scheduled, Initialized, Ready Condition
	// Containers holds the pod's container statuses: init ones first, then the
	// regular and the ephemeral ones, each in the order of the status.
	Containers []Container
}

// Container is one container's status.
type Container struct {
	Name         string
	Type         record.ContainerType
	RestartCount int32
	// Running is true for state.running, and BackOff while the container waits in CrashLoopBackOff.
	Running, BackOff bool
	// Ready and Started are as in the status; Started is false where it is not told.
	Ready, Started bool
	// StartedAt is the start of state.running.
	StartedAt Seconds
	// WaitingSum is what WaitingSum gives for the message of state.waiting, Waiting its reason.
	WaitingSum uint32
	Waiting    string
	// ContainerID is that of the newest instance; empty where the kubelet knows none.
	ContainerID string
	// State and Last are the terminated states of status.state and status.lastState, nil where there is none.
	State, Last *Terminated
}

// Seconds are Unix seconds, 0 where a time is unknown. A first list holds the views of all
// pods at once, so they are small; until the year 2106.
type Seconds uint32

// Status is that of a condition.
type Status uint8

// The statuses of a condition: NoStatus where the pod has no such condition, or one
// whose status is no word of the API.
const (
	NoStatus Status = iota
	True
	False
	Unknown
)

// Condition is what the detector needs of a condition of a pod.
type Condition struct {
	// Since is the last transition.
	Since Seconds
	// Sum is a checksum of reason and message, 0 for a condition that is True.
	Sum    uint32
	Status Status
}

// Terminated is a terminated state. Zero times are unknown ones.
type Terminated struct {
	ContainerID           string
	ExitCode              int32
	Reason                string
	StartedAt, FinishedAt time.Time
	// MessageSum is a checksum of the message (Sum64 of its bytes), 0 for an empty one.
	MessageSum uint64
}

// Reasons and texts that the kubelet writes; see pkg/kubelet/kubelet_pods.go,
// status/status_manager.go and pkg/kubelet/kubelet.go (rejectPod).
const (
	reasonStatusUnknown = "ContainerStatusUnknown"
	reasonBackOff       = "CrashLoopBackOff"
	reasonCreating      = "ContainerCreating"
	reasonInitializing  = "PodInitializing"
	reasonPullBackOff   = "ImagePullBackOff"
	rejectedPrefix      = "Pod was rejected: "
)

// FromPod projects a full pod to the detector's view of it.
func FromPod(p *corev1.Pod) Pod {
	v := Pod{
		UID:       string(p.UID),
		Namespace: p.Namespace,
		Name:      p.Name,
		Deleting:  p.DeletionTimestamp != nil,
		Finished:  p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		Rejected:  Rejected(string(p.Status.Phase), p.Status.Message),
	}
	v.ResourceVersion = ParseResourceVersion(p.ResourceVersion)
	v.Assigned = p.Spec.NodeName != ""
	v.Gated = len(p.Spec.SchedulingGates) > 0
	v.Restarts = p.Spec.RestartPolicy == corev1.RestartPolicyAlways
	v.CreatedAt = ToSeconds(p.CreationTimestamp.Time)
	if p.DeletionTimestamp != nil {
		v.DeletionTimestamp = ToSeconds(p.DeletionTimestamp.Time)
	}
	st := &p.Status
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if to := v.Condition(string(c.Type)); to != nil {
			*to = NewCondition(string(c.Status), c.Reason, c.Message, c.LastTransitionTime.Time)
		}
	}
	n := len(st.InitContainerStatuses) + len(st.ContainerStatuses) + len(st.EphemeralContainerStatuses)
	if n == 0 {
		return v
	}
	v.Containers = make([]Container, 0, n)
	for i := range st.InitContainerStatuses {
		s := &st.InitContainerStatuses[i]
		v.Containers = append(v.Containers, fromStatus(s, initType(p, s.Name)))
	}
	for i := range st.ContainerStatuses {
		v.Containers = append(v.Containers, fromStatus(&st.ContainerStatuses[i], record.App))
	}
	for i := range st.EphemeralContainerStatuses {
		v.Containers = append(v.Containers, fromStatus(&st.EphemeralContainerStatuses[i], record.Ephemeral))
	}
	return v
}

// Rejected tells from a pod's phase and status message that the kubelet refused
// to admit it. Such a pod may still have run before: a kubelet that restarts admits
// its pods anew.
func Rejected(phase, message string) bool {
	return phase == string(corev1.PodFailed) && strings.HasPrefix(message, rejectedPrefix)
}

// ParseResourceVersion returns the resource version as a number, 0 where it is not one.
func ParseResourceVersion(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Condition returns where the view holds the condition of a type; nil for the types that
// it does not hold.
func (p *Pod) Condition(typ string) *Condition {
	switch corev1.PodConditionType(typ) {
	case corev1.PodScheduled:
		return &p.Scheduled
	case corev1.PodInitialized:
		return &p.Initialized
	case corev1.PodReady:
		return &p.Ready
	}
	return nil
}

// NewCondition projects a condition.
func NewCondition[T string | []byte](status, reason, message T, transition time.Time) Condition {
	c := Condition{Since: ToSeconds(transition)}
	switch string(status) {
	case string(corev1.ConditionTrue):
		c.Status = True
		return c
	case string(corev1.ConditionFalse):
		c.Status = False
	case string(corev1.ConditionUnknown):
		c.Status = Unknown
	}
	c.Sum = fold(Sum64(reason)*31 + Sum64(message))
	return c
}

// WaitingSum is the checksum of what a waiting message says of the cause. The kubelet
// shows a failed pull in turns as ErrImagePull with the error and as ImagePullBackOff,
// with the same error quoted since 1.32 and without one before (pkg/kubelet/images,
// prevPullErrMsg): the first two are one statement, and the last is none, with sum 0.
func WaitingSum[T string | []byte](reason string, message T) uint32 {
	if reason != reasonPullBackOff {
		return fold(Sum64(message))
	}
	_, failure, _ := strings.Cut(string(message), ": ErrImagePull: ")
	return fold(Sum64(failure))
}

// fold makes a checksum shorter; 0 of 0 alone.
func fold(h uint64) uint32 {
	if s := uint32(h ^ h>>32); s != 0 || h == 0 {
		return s
	}
	return 1
}

// Sum64 is the checksum that marks and views hold in place of longer texts; 0 for an empty one.
func Sum64[T string | []byte](s T) uint64 {
	if len(s) == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(s)) // never fails
	return h.Sum64()
}

// initType tells a sidecar from an init container that runs to completion.
func initType(p *corev1.Pod, name string) record.ContainerType {
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return record.Sidecar
		}
	}
	return record.Init
}

func fromStatus(s *corev1.ContainerStatus, t record.ContainerType) Container {
	c := Container{
		Name:         s.Name,
		Type:         t,
		RestartCount: s.RestartCount,
		ContainerID:  s.ContainerID,
		Running:      s.State.Running != nil,
		Ready:        s.Ready,
		Started:      s.Started != nil && *s.Started,
		State:        fromTerminated(s.State.Terminated),
		Last:         fromTerminated(s.LastTerminationState.Terminated),
	}
	if r := s.State.Running; r != nil {
		c.StartedAt = ToSeconds(r.StartedAt.Time)
	}
	if w := s.State.Waiting; w != nil {
		c.BackOff = w.Reason == reasonBackOff
		c.Waiting, c.WaitingSum = w.Reason, WaitingSum(w.Reason, w.Message)
	}
	return c
}

func fromTerminated(t *corev1.ContainerStateTerminated) *Terminated {
	if t == nil {
		return nil
	}
	return &Terminated{
		ContainerID: t.ContainerID,
		ExitCode:    t.ExitCode,
		Reason:      t.Reason,
		StartedAt:   KnownTime(t.StartedAt.Time),
		FinishedAt:  KnownTime(t.FinishedAt.Time),
		MessageSum:  Sum64(t.Message),
	}
}

// lastSecond is the end of the year 9999: a later time has no form in JSON.
const lastSecond = 253402300799

// KnownTime returns t in UTC, or the zero time where t is a stand-in for
// "unknown": null, or the epoch of 1970 that containerd writes for a start that failed.
func KnownTime(t time.Time) time.Time {
	if u := t.Unix(); u <= 0 || u > lastSecond {
		return time.Time{}
	}
	return t.UTC()
}

// ToSeconds returns a known time in seconds.
func ToSeconds(t time.Time) Seconds {
	if u := t.Unix(); u > 0 && u <= math.MaxUint32 {
		return Seconds(u)
	}
	return 0
}
