package detect

import (
	"hash/fnv"
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
	// Containers holds the pod's container statuses: init ones first, then the
	// regular and the ephemeral ones, each in the order of the status.
	Containers []Container
}

// Container is one container's status.
type Container struct {
	Name         string
	Type         record.ContainerType
	RestartCount int32
	// ContainerID is that of the newest instance; empty where the kubelet knows none.
	ContainerID string
	// Running is true for state.running; StartedAt is its start.
	Running   bool
	StartedAt time.Time
	// BackOff is true while the container waits in CrashLoopBackOff.
	BackOff bool
	// State and Last are the terminated states of status.state and status.lastState, nil where there is none.
	State, Last *Terminated
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
	st := &p.Status
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
		State:        fromTerminated(s.State.Terminated),
		Last:         fromTerminated(s.LastTerminationState.Terminated),
	}
	if r := s.State.Running; r != nil {
		c.StartedAt = KnownTime(r.StartedAt.Time)
	}
	if w := s.State.Waiting; w != nil {
		c.BackOff = w.Reason == reasonBackOff
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

// KnownTime returns t in UTC, or the zero time where t is a stand-in for
// "unknown": null, or the epoch of 1970 that containerd writes for a start that failed.
func KnownTime(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC()
}
