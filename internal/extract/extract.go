// Package extract turns API objects into records and evidence: it knows where in a
// pod each fact stands, and nothing of what the facts mean.
//
// It returns texts as they were written; whoever keeps them redacts them first. Every text and
// every list is bounded, so that the evidence of a pod that is as large as the API server
// stores stays small. It writes to no object, and shares parts of them: they must not be
// written to afterwards either.
package extract

import (
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Stop makes the record of a stop, without a diagnosis. Pod is the object that showed
// it; nil where only the detector's memory is left.
func Stop(cluster string, s *detect.Stop, pod *corev1.Pod, observed time.Time) record.Record {
	key := record.StopKey{Cluster: cluster, ContainerKey: s.ContainerKey, Epoch: s.Epoch, Ordinal: s.Ordinal}
	r := record.Record{
		Kind:          record.KindStop,
		ID:            key.ID(),
		Cluster:       cluster,
		Namespace:     s.Namespace,
		Pod:           s.Pod,
		PodUID:        s.PodUID,
		Container:     s.Name,
		ContainerType: s.Type,
		ObservedAt:    observed.UTC(),
		Stop: &record.Stop{
			Epoch:        s.Epoch,
			Ordinal:      s.Ordinal,
			RestartCount: s.RestartCount,
			MissedBefore: s.MissedBefore,
			ExitObserved: s.ExitObserved,
			BeforeWatch:  s.BeforeWatch,
			ContainerID:  s.ContainerID,
		},
	}
	st := r.Stop
	if t := s.Terminated; t != nil {
		st.ExitCode = &t.ExitCode
		st.Reason = t.Reason
		st.StartedAt, st.FinishedAt = t.StartedAt, t.FinishedAt
		st.Signal = record.Signal(t.ExitCode)
		if t.ContainerID == "" {
			st.Signal = "" // the kubelet's stand-in: nothing was signalled
		}
		if !t.StartedAt.IsZero() && !t.FinishedAt.IsZero() {
			ran := max(0, int64(t.FinishedAt.Sub(t.StartedAt)/time.Second))
			st.RanSeconds = &ran
		}
	}
	if s.MissedBefore > 0 {
		st.MissedAfter = s.PreviousFinished
		st.MissedUntil = st.StartedAt
		if st.MissedUntil.IsZero() {
			st.MissedUntil = st.FinishedAt
		}
		if st.MissedUntil.IsZero() && !observed.Before(st.MissedAfter) { // else its clock is wrong
			st.MissedUntil = observed.UTC()
		}
	}
	if pod == nil {
		return r
	}
	origin(&r, pod)
	cs := status(pod, s.Type, s.Name)
	if cs == nil {
		return r
	}
	if t := terminated(cs, s); t != nil {
		st.Message = clip(t.Message)
	}
	// Image and imageID are those of the newest instance; after a restart by the kubelet
	// they are the stopped one's too, unless the pod's image was changed in between.
	st.Image, st.ImageID = cs.Image, cs.ImageID
	if w := cs.State.Waiting; w != nil && s.ContainerID == cs.ContainerID {
		r.BackOffSeconds = BackOff(w.Message)
	}
	return r
}

// Evidence collects from the pod what the rules may look at for a stop.
func Evidence(s *detect.Stop, pod *corev1.Pod) evidence.Evidence {
	e := evidence.Evidence{
		Version:   evidence.Version,
		Pod:       evidence.Pod{Namespace: s.Namespace, Name: s.Pod, UID: s.PodUID},
		Container: evidence.Container{Name: s.Name, Type: s.Type},
		Stop:      &evidence.Stop{ExitObserved: s.ExitObserved},
	}
	if t := s.Terminated; t != nil {
		st := e.Stop
		st.Field = field(s)
		st.HasExitCode, st.ExitCode, st.Reason = true, t.ExitCode, clipTo(t.Reason, maxCommand)
		st.StartedAt, st.FinishedAt = t.StartedAt, t.FinishedAt
	}
	e.Stop.ContainerID, e.Stop.Ordinal = s.ContainerID, s.Ordinal
	if pod == nil {
		e.Missing = append(e.Missing, record.Missing{What: "pod", Why: "it was gone before its last state could be read"})
		return e
	}
	e.Pod = Pod(pod)
	e.Container = container(pod, s.Type, s.Name, true)
	e.Others = others(pod, s.Type, s.Name)
	if cs := status(pod, s.Type, s.Name); cs != nil {
		if t := terminated(cs, s); t != nil {
			e.Stop.Message = clip(t.Message)
			// It need not be kept twice.
			if s.InLast {
				e.Container.LastEnded.Message = ""
			} else {
				e.Container.Ended.Message = ""
			}
		}
	}
	return e
}

// spec finds the spec of a container; nil where there is none.
func spec(pod *corev1.Pod, t record.ContainerType, name string) *corev1.Container {
	list := pod.Spec.Containers
	switch t {
	case record.Init, record.Sidecar:
		list = pod.Spec.InitContainers
	case record.Ephemeral:
		for i := range pod.Spec.EphemeralContainers {
			if e := &pod.Spec.EphemeralContainers[i]; e.Name == name {
				return (*corev1.Container)(&e.EphemeralContainerCommon)
			}
		}
		return nil
	case record.App:
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// status finds the status of a container; nil where there is none.
func status(pod *corev1.Pod, t record.ContainerType, name string) *corev1.ContainerStatus {
	list := pod.Status.ContainerStatuses
	switch t {
	case record.Init, record.Sidecar:
		list = pod.Status.InitContainerStatuses
	case record.Ephemeral:
		list = pod.Status.EphemeralContainerStatuses
	case record.App:
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// StatusOf finds the status of a container by its name, which is unique in a pod; nil
// where there is none.
func StatusOf(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	st := &pod.Status
	for _, list := range [][]corev1.ContainerStatus{st.ContainerStatuses, st.InitContainerStatuses, st.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// terminated returns the state of the status that the stop was seen in; nil where there is none.
func terminated(cs *corev1.ContainerStatus, s *detect.Stop) *corev1.ContainerStateTerminated {
	switch {
	case s.Terminated == nil:
		return nil
	case s.InLast:
		return cs.LastTerminationState.Terminated
	default:
		return cs.State.Terminated
	}
}

// field is the path of the stop's terminated state within the pod.
func field(s *detect.Stop) string {
	list := "containerStatuses"
	switch s.Type {
	case record.Init, record.Sidecar:
		list = "initContainerStatuses"
	case record.Ephemeral:
		list = "ephemeralContainerStatuses"
	case record.App:
	}
	state := "state"
	if s.InLast {
		state = "lastState"
	}
	return fmt.Sprintf("status.%s[%s].%s.terminated", list, s.Name, state)
}

// backOff matches the message of CrashLoopBackOff (pkg/kubelet/kuberuntime/kuberuntime_manager.go doBackOff).
var backOff = regexp.MustCompile(`^back-off (\S+) restarting failed container`)

// BackOff returns the delay that a waiting message states, in seconds; 0 where it states none.
func BackOff(message string) int64 {
	m := backOff.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	d, err := time.ParseDuration(m[1])
	if err != nil || d < 0 {
		return 0
	}
	return int64(d / time.Second)
}
