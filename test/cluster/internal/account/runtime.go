package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/whyrestart/whyrestart/test/cluster/internal/cri"
)

// restartCount is the annotation with which the kubelet numbers the containers
// that follow each other under one name.
const restartCount = "io.kubernetes.container.restartCount"

// retry is the pause before the recorder looks for a runtime that went away.
const retry = 100 * time.Millisecond

// Recorder writes what a runtime reports, one JSON object per line.
type Recorder struct {
	client *cri.Client
	out    io.Writer
	// known are the containers that are there: a runtime that reports a
	// deletion no longer knows what it deleted.
	known map[string]Event
}

// NewRecorder returns a recorder that writes each event with one call to out.
func NewRecorder(client *cri.Client, out io.Writer) *Recorder {
	return &Recorder{client, out, map[string]Event{}}
}

// Run records until the context ends or out fails, across any number of ends of
// the runtime.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		connected, err := r.follow(ctx)
		if connected {
			if writeErr := r.write(Event{Time: time.Now(), Type: Disconnected, Reason: firstLine(err)}); writeErr != nil {
				return writeErr
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

// follow records one connection and reports whether there was one.
func (r *Recorder) follow(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// The stream first and the list second: a container that changes in
	// between is in both, the other way round it would be in neither.
	stream, err := r.client.GetContainerEvents(ctx, &runtime.GetEventsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return false, fmt.Errorf("open the stream of container events: %w", err)
	}
	seen, err := r.list(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range append(seen, Event{Time: time.Now(), Type: Connected}) {
		if err := r.write(e); err != nil {
			return true, err
		}
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return true, fmt.Errorf("read the stream of container events: %w", err)
		}
		if err := r.write(r.event(response)); err != nil {
			return true, err
		}
	}
}

// list returns what is there now, and forgets what is not.
func (r *Recorder) list(ctx context.Context) ([]Event, error) {
	containers, err := r.client.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	clear(r.known)

	var seen []Event
	for _, c := range containers.Containers {
		response, err := r.client.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: c.Id})
		if err != nil {
			continue // deleted since it was listed, which the stream will say
		}
		e := ofContainer(response.Status)
		r.known[e.ContainerID] = e
		e.Time, e.Type = time.Now(), Seen
		e.State = strings.ToLower(strings.TrimPrefix(response.Status.State.String(), "CONTAINER_"))
		seen = append(seen, e)
	}
	return seen, nil
}

// event turns what the runtime reports into a line of the account.
func (r *Recorder) event(response *runtime.ContainerEventResponse) Event {
	id := response.ContainerId
	e, ok := described(response)
	if !ok {
		e = r.known[id]
		e.ContainerID = id
	}
	e.Time = time.Unix(0, response.CreatedAt)

	switch response.ContainerEventType {
	case runtime.ContainerEventType_CONTAINER_CREATED_EVENT:
		e.Type = Created
	case runtime.ContainerEventType_CONTAINER_STARTED_EVENT:
		e.Type = Started
	case runtime.ContainerEventType_CONTAINER_STOPPED_EVENT:
		e.Type = Stopped
	case runtime.ContainerEventType_CONTAINER_DELETED_EVENT:
		e.Type = Deleted
	}
	if e.Type == Deleted {
		delete(r.known, id)
	} else {
		r.known[id] = e
	}
	return e
}

// described finds the container or the sandbox that a report is about among
// the states that it carries.
func described(response *runtime.ContainerEventResponse) (Event, bool) {
	for _, status := range response.ContainersStatuses {
		if status.Id == response.ContainerId {
			return ofContainer(status), true
		}
	}
	sandbox := response.PodSandboxStatus
	if sandbox == nil || sandbox.Id != response.ContainerId {
		return Event{}, false
	}
	return Event{
		PodUID:      sandbox.GetMetadata().GetUid(),
		Namespace:   sandbox.GetMetadata().GetNamespace(),
		Pod:         sandbox.GetMetadata().GetName(),
		Attempt:     int(sandbox.GetMetadata().GetAttempt()),
		ContainerID: sandbox.Id,
	}, true
}

func ofContainer(status *runtime.ContainerStatus) Event {
	e := Event{
		PodUID:      status.Labels[cri.LabelPodUID],
		Namespace:   status.Labels[cri.LabelNamespace],
		Pod:         status.Labels[cri.LabelPod],
		Container:   status.Labels[cri.LabelContainer],
		ContainerID: status.Id,
		Reason:      status.Reason,
		StartedAt:   timeOf(status.StartedAt),
		FinishedAt:  timeOf(status.FinishedAt),
	}
	attempt, err := strconv.Atoi(status.Annotations[restartCount])
	if err != nil {
		attempt = int(status.GetMetadata().GetAttempt())
	}
	e.Attempt = attempt
	if status.State == runtime.ContainerState_CONTAINER_EXITED {
		code := int(status.ExitCode)
		e.ExitCode = &code
	}
	return e
}

// timeOf reads a time of the runtime, for which none is zero or the year 1.
func timeOf(nanoseconds int64) *time.Time {
	if nanoseconds <= 0 {
		return nil
	}
	t := time.Unix(0, nanoseconds)
	return &t
}

func (r *Recorder) write(e Event) error {
	e.Time = e.Time.UTC()
	for _, t := range []*time.Time{e.StartedAt, e.FinishedAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an event of the runtime: %w", err)
	}
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write an event of the runtime: %w", err)
	}
	return nil
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// ConnectedSince returns nil if a recorder that writes to the file has been
// connected since the given time, and why not otherwise.
func ConnectedSince(name string, since time.Time) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the account of the runtime: %w", err)
	}
	for line := range bytes.Lines(content) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			continue // being written
		}
		if e.Type == Connected && e.Time.After(since) {
			return nil
		}
	}
	return errors.New("the recorder is not connected to the runtime")
}
