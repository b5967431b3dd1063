// Package cri asks a container runtime what runs, over the interface that the
// kubelet uses and without the kubelet or the API server in between.
package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The labels with which the kubelet says whose container it is.
const (
	LabelPodUID    = "io.kubernetes.pod.uid"
	LabelNamespace = "io.kubernetes.pod.namespace"
	LabelPod       = "io.kubernetes.pod.name"
	LabelContainer = "io.kubernetes.container.name"
)

// ErrNotRunning says that nothing that runs has the name that was asked for.
var ErrNotRunning = errors.New("not running")

// redial is the pause between attempts to reach a runtime that is not there. It
// is short because a runtime that comes back is not to do anything unseen.
const redial = 50 * time.Millisecond

// Client is a connection to a runtime.
type Client struct {
	runtime.RuntimeServiceClient
	conn *grpc.ClientConn
}

// Dial prepares a connection to the runtime that listens on the socket. The
// runtime need not be there yet: a call fails for as long as it is not.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: redial, Multiplier: 1, MaxDelay: redial},
			// Without it a connection has no longer to be made than the delay, which a busy machine misses.
			MinConnectTimeout: 20 * time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("dial the runtime at %s: %w", socket, err)
	}
	return &Client{runtime.NewRuntimeServiceClient(conn), conn}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// ContainerPID returns the process of a running container, init and ephemeral
// ones included.
func (c *Client) ContainerPID(ctx context.Context, namespace, pod, container string) (int, error) {
	list, err := c.ListContainers(ctx, &runtime.ListContainersRequest{Filter: &runtime.ContainerFilter{
		State:         &runtime.ContainerStateValue{State: runtime.ContainerState_CONTAINER_RUNNING},
		LabelSelector: map[string]string{LabelNamespace: namespace, LabelPod: pod, LabelContainer: container},
	}})
	if err != nil {
		return 0, fmt.Errorf("list the containers of pod %s/%s: %w", namespace, pod, err)
	}
	if len(list.Containers) == 0 {
		return 0, fmt.Errorf("container %s of pod %s/%s: %w", container, namespace, pod, ErrNotRunning)
	}
	status, err := c.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: list.Containers[0].Id, Verbose: true})
	if err != nil {
		return 0, fmt.Errorf("read the status of container %s of pod %s/%s: %w", container, namespace, pod, err)
	}
	return pidIn(status.Info)
}

// SandboxPID returns the process that holds the namespaces of a pod.
func (c *Client) SandboxPID(ctx context.Context, namespace, pod string) (int, error) {
	list, err := c.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: &runtime.PodSandboxFilter{
		State:         &runtime.PodSandboxStateValue{State: runtime.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{LabelNamespace: namespace, LabelPod: pod},
	}})
	if err != nil {
		return 0, fmt.Errorf("list the sandboxes of pod %s/%s: %w", namespace, pod, err)
	}
	if len(list.Items) == 0 {
		return 0, fmt.Errorf("sandbox of pod %s/%s: %w", namespace, pod, ErrNotRunning)
	}
	status, err := c.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: list.Items[0].Id, Verbose: true})
	if err != nil {
		return 0, fmt.Errorf("read the status of the sandbox of pod %s/%s: %w", namespace, pod, err)
	}
	return pidIn(status.Info)
}

// pidIn reads the process id out of what containerd adds to a verbose status.
func pidIn(info map[string]string) (int, error) {
	var verbose struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(info["info"]), &verbose); err != nil {
		return 0, fmt.Errorf("read the verbose status: %w", err)
	}
	if verbose.PID <= 0 {
		return 0, fmt.Errorf("the verbose status names no process: %w", ErrNotRunning)
	}
	return verbose.PID, nil
}
