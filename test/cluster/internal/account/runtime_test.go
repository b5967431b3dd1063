package account

import (
	"bytes"
	"testing"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/whyrestart/whyrestart/test/cluster/internal/cri"
)

func TestEventOfAContainerThatStopped(t *testing.T) {
	r := NewRecorder(nil, &bytes.Buffer{})
	e := r.event(&runtime.ContainerEventResponse{
		ContainerId:        "c1",
		ContainerEventType: runtime.ContainerEventType_CONTAINER_STOPPED_EVENT,
		CreatedAt:          1e9,
		ContainersStatuses: []*runtime.ContainerStatus{{Id: "c0"}, {
			Id:          "c1",
			State:       runtime.ContainerState_CONTAINER_EXITED,
			Reason:      "OOMKilled",
			ExitCode:    137,
			StartedAt:   2e9,
			FinishedAt:  3e9,
			Labels:      map[string]string{cri.LabelPodUID: "u", cri.LabelNamespace: "n", cri.LabelPod: "p", cri.LabelContainer: "c"},
			Annotations: map[string]string{restartCount: "7"},
		}},
	})
	if e.Type != Stopped || e.PodUID != "u" || e.Namespace != "n" || e.Pod != "p" || e.Container != "c" || e.Attempt != 7 {
		t.Errorf("got %+v", e)
	}
	if e.ExitCode == nil || *e.ExitCode != 137 || e.Reason != "OOMKilled" {
		t.Errorf("got exit code %v, reason %q", e.ExitCode, e.Reason)
	}
	if !e.FinishedAt.Equal(time.Unix(3, 0)) {
		t.Errorf("got finishedAt %v", e.FinishedAt)
	}
}

// A runtime that deletes a container reports it by its number alone.
func TestEventOfADeletionRemembersWhatIsDeleted(t *testing.T) {
	r := NewRecorder(nil, &bytes.Buffer{})
	r.event(&runtime.ContainerEventResponse{
		ContainerId:        "s1",
		ContainerEventType: runtime.ContainerEventType_CONTAINER_STARTED_EVENT,
		PodSandboxStatus: &runtime.PodSandboxStatus{
			Id:       "s1",
			Metadata: &runtime.PodSandboxMetadata{Uid: "u", Namespace: "n", Name: "p"},
		},
	})
	e := r.event(&runtime.ContainerEventResponse{
		ContainerId:        "s1",
		ContainerEventType: runtime.ContainerEventType_CONTAINER_DELETED_EVENT,
	})
	if e.Type != Deleted || e.PodUID != "u" || e.Pod != "p" || e.Container != "" || e.ContainerID != "s1" {
		t.Errorf("got %+v", e)
	}
	if len(r.known) != 0 {
		t.Errorf("the recorder still knows %v", r.known)
	}
}
