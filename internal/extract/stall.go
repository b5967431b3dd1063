package extract

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// StallRecord makes the record of a stall, without a diagnosis. Pod is the object that
// showed it; nil where there is none any more.
func StallRecord(ep *detect.Episode, pod *corev1.Pod, observed time.Time) record.Record {
	r := record.Record{
		Kind:          record.KindStall,
		ID:            ep.ID(),
		Cluster:       ep.Cluster,
		Namespace:     ep.Namespace,
		Pod:           ep.Pod,
		PodUID:        ep.PodUID,
		Container:     ep.Name,
		ContainerType: ep.Type,
		ObservedAt:    observed.UTC(),
		Stall:         &record.Stall{Begin: ep.Begin, End: ep.End},
	}
	if pod != nil {
		origin(&r, pod)
	}
	return r
}

// Stall collects from the pod what the rules may look at for a stall.
func Stall(ep *detect.Episode, pod *corev1.Pod) evidence.Evidence {
	e := evidence.Evidence{
		Version: evidence.Version,
		Pod:     evidence.Pod{Namespace: ep.Namespace, Name: ep.Pod, UID: ep.PodUID},
		Stall:   &evidence.Stall{Class: ep.Class, Begin: ep.Begin, Key: ep.Cause},
	}
	if ep.Name != "" {
		e.Container = evidence.Container{Name: ep.Name, Type: ep.Type}
	}
	if pod == nil {
		e.Missing = append(e.Missing, record.Missing{What: "pod", Why: "it was gone before its last state could be read"})
		return e
	}
	e.Pod = Pod(pod)
	if ep.Name != "" {
		e.Container = container(pod, ep.Type, ep.Name, true)
	}
	e.Others = others(pod, ep.Type, ep.Name)
	return e
}

// Bare collects what is known of a pod of which nothing stopped or stalls: all its
// containers are Others.
func Bare(pod *corev1.Pod) evidence.Evidence {
	return evidence.Evidence{Version: evidence.Version, Pod: Pod(pod), Others: containers(pod, "", "", true)}
}
