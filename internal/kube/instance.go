package kube

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// place tells under which name the log API knows the wanted instance.
type place int

const (
	unknownPlace place = iota // the pod could not be read
	asCurrent
	asPrevious
	elsewhere // neither: at least two later instances, or the pod forgot it
)

// never stands for a later instance that cannot exist.
var never = time.Unix(1<<40, 0)

// locate finds the instance in the pod's status. later is a time before which no
// later instance can have written a line; zero where that is not known.
func locate(p *corev1.Pod, r pipeline.LogRequest) (where place, later time.Time) {
	s := extract.StatusOf(p, r.Container)
	switch {
	case s == nil:
		return elsewhere, later
	case isInstance(s.LastTerminationState.Terminated, r):
		return asPrevious, laterThanPrevious(s)
	case isInstance(s.State.Terminated, r) || r.ContainerID != "" && s.ContainerID == r.ContainerID:
		if t := s.State.Terminated; t != nil && staysDown(p, r.Container, t.ExitCode) {
			return asCurrent, never
		}
		return asCurrent, later
	default:
		return elsewhere, later
	}
}

// laterThanPrevious returns when the instance after the previous one began, at the
// earliest. While it waits in back-off, which the kubelet counts from finishedAt
// (pkg/kubelet/kuberuntime/kuberuntime_manager.go, doBackOff) and which is a second
// at least (ReduceDefaultCrashLoopBackOffDecay), it has not begun a second after.
func laterThanPrevious(s *corev1.ContainerStatus) time.Time {
	switch {
	case s.State.Running != nil:
		return s.State.Running.StartedAt.Time
	case s.State.Terminated != nil:
		return s.State.Terminated.StartedAt.Time
	case s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff":
		return s.LastTerminationState.Terminated.FinishedAt.Add(time.Second)
	default:
		return time.Time{}
	}
}

// staysDown tells that the kubelet does not start a container again that ended
// with this code (pkg/kubelet/container/helpers.go, ShouldContainerBeRestarted).
// It says no wherever the container has rules of its own.
func staysDown(p *corev1.Pod, container string, exitCode int32) bool {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if c := &list[i]; c.Name == container && (c.RestartPolicy != nil || len(c.RestartPolicyRules) > 0) {
				return false
			}
		}
	}
	switch p.Spec.RestartPolicy {
	case corev1.RestartPolicyNever:
		return true
	case corev1.RestartPolicyOnFailure:
		return exitCode == 0
	default:
		return false
	}
}

// isInstance compares by container ID; by the times, which must be known, where the
// runtime gave none.
func isInstance(t *corev1.ContainerStateTerminated, r pipeline.LogRequest) bool {
	if t == nil {
		return false
	}
	if r.ContainerID != "" {
		return t.ContainerID == r.ContainerID
	}
	return !r.FinishedAt.IsZero() && t.FinishedAt.Time.Equal(r.FinishedAt) && (r.StartedAt.IsZero() || t.StartedAt.Time.Equal(r.StartedAt))
}

// verdict tells whose log some lines are.
type verdict int

const (
	foreign verdict = iota
	perhaps
	ours
)

// judge tells from the lines' own times whose log they are. All lines of one answer
// are of one instance, since the kubelet reads one container's files. The API has
// times in whole seconds, so that an instance's lines lie in [started, finished+1s),
// and another instance can only write before, or from the second of finished on.
//
// It is ours if a line lies in [started, finished), or before any later instance can
// have begun; foreign if no such line exists and one lies outside; and it cannot be
// told if all lie in the last second, the container may have been started again
// within it, and the status of that may still be on its way.
func judge(lines []line, r pipeline.LogRequest, where place, later time.Time) verdict {
	end := r.FinishedAt.Add(time.Second)
	if r.FinishedAt.IsZero() {
		// Nothing to compare with but the identity.
		if where == unknownPlace {
			return foreign
		}
		return perhaps
	}
	inside, outside, early := false, false, false
	for _, l := range lines {
		switch {
		case l.at.IsZero(): // goes on with the line before
		case l.at.Before(r.StartedAt) || !l.at.Before(end):
			outside = true
		case l.at.Before(r.FinishedAt):
			inside = true
		case l.at.Before(later):
			early = true
		}
	}
	switch {
	case outside && inside && !r.StartedAt.IsZero():
		// The runtime stamps what it finds in the pipe after the end later than the end.
		return perhaps
	case outside:
		return foreign
	case where == unknownPlace:
		return perhaps
	case early || inside && !r.StartedAt.IsZero():
		return ours
	default:
		return perhaps
	}
}
