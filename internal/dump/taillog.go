package dump

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// putLog keeps the tail of a log. A log with lines is not replaced by one without.
func (o *Objects) putLog(key logKey, log record.Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.logs[key]; ok && len(have.Lines) > 0 && len(log.Lines) == 0 {
		return
	}
	o.logs[key] = log
}

// Tail returns the recorded log of a stopped instance. A dump has at most two logs
// of a container: which instances wrote them follows from its status, by the rules of
// the kubelet. A dump reads the status before the logs, so that only a pod which had
// ended for good proves whose log it is.
func (o *Objects) Tail(_ context.Context, r pipeline.LogRequest) record.Log {
	previous := []bool{r.Previous}
	instance := record.LogProbable
	if pod, ok := ByUID[*corev1.Pod](o, types.UID(r.PodUID)); ok {
		if st := extract.StatusOf(pod, r.Container); st != nil && r.ContainerID != "" {
			previous = whichLogs(st, r.ContainerID)
		}
		if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			instance = record.LogProven
		}
	}
	if len(previous) == 0 {
		return record.Log{Missing: "the recorded logs of this container are those of other instances"}
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	var why record.Log
	for _, prev := range previous {
		key := logKey{r.Namespace, r.Pod, r.Container, prev}
		log, ok := o.logs[key]
		if !ok && !prev {
			// A log that does not name its container is that of a pod that has one.
			log, ok = o.logs[logKey{namespace: r.Namespace, pod: r.Pod}]
		}
		switch {
		case !ok:
		case len(log.Lines) > 0:
			log.Lines = slices.Clone(log.Lines)
			log.Instance = instance
			return log
		case why.Missing == "":
			why = log
		}
	}
	if why.Missing == "" {
		why.Missing = fmt.Sprintf("no %s log of this container was recorded", word(previous[0]))
	}
	return why
}

func word(previous bool) string {
	if previous {
		return "previous"
	}
	return "current"
}

// whichLogs returns which recorded logs, the previous one or the current one, are
// those of the instance with this container ID, the surer one first. While a container
// waits to be started again, both are those of its last instance; see
// validateContainerLogStatus in pkg/kubelet/kubelet_pods.go.
func whichLogs(st *corev1.ContainerStatus, id string) []bool {
	if t := st.State.Terminated; t != nil && t.ContainerID == id {
		return []bool{false}
	}
	if t := st.LastTerminationState.Terminated; t != nil && t.ContainerID == id {
		if st.State.Waiting != nil {
			return []bool{true, false}
		}
		return []bool{true}
	}
	if st.State.Running != nil && st.ContainerID == id {
		return []bool{false}
	}
	return nil
}
