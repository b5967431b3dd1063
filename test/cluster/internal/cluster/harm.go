package cluster

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/whyrestart/whyrestart/test/cluster/internal/cri"
)

// KillContainer sends a signal to the first process of a running container, as
// somebody outside of Kubernetes would.
func (c *Cluster) KillContainer(ctx context.Context, namespace, pod, container string, signal syscall.Signal) error {
	return c.kill(signal, func(runtime *cri.Client) (int, error) {
		return runtime.ContainerPID(ctx, namespace, pod, container)
	})
}

// KillSandbox kills the process that holds the namespaces of a pod. The kubelet
// then makes a new sandbox and starts every container again in it.
func (c *Cluster) KillSandbox(ctx context.Context, namespace, pod string) error {
	return c.kill(syscall.SIGKILL, func(runtime *cri.Client) (int, error) {
		return runtime.SandboxPID(ctx, namespace, pod)
	})
}

func (c *Cluster) kill(signal syscall.Signal, find func(*cri.Client) (int, error)) error {
	runtime, err := cri.Dial(c.Socket())
	if err != nil {
		return err
	}
	defer runtime.Close()
	pid, err := find(runtime)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("send signal %d to process %d: %w", signal, pid, err)
	}
	return nil
}

// RestartRuntime does to containers what the loss of power does: the kubelet,
// containerd and everything that runs in a pod end at once, without a word to
// each other, and containerd and the kubelet come back.
func (c *Cluster) RestartRuntime(ctx context.Context) error {
	if err := c.stop(ctx, syscall.SIGKILL, kubelet, containerd); err != nil {
		return err
	}
	if err := c.killPods(ctx); err != nil {
		return err
	}
	if err := c.startRuntime(ctx); err != nil {
		return err
	}
	return c.startNode(ctx)
}

// RestartContainerd kills containerd alone and starts it again. What runs in
// pods goes on running.
func (c *Cluster) RestartContainerd(ctx context.Context) error {
	if err := c.stop(ctx, syscall.SIGKILL, containerd); err != nil {
		return err
	}
	return c.startRuntime(ctx)
}

// StopKubelet stops the kubelet. The node is lost when the controller manager
// has not heard of it for the grace period.
func (c *Cluster) StopKubelet(ctx context.Context) error {
	return c.stop(ctx, syscall.SIGTERM, kubelet)
}

// StartKubelet starts the kubelet unless it runs, and waits for the node.
func (c *Cluster) StartKubelet(ctx context.Context) error {
	pids, err := c.find(kubelet)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return c.awaitNode(ctx, time.Time{})
	}
	return c.startNode(ctx)
}

// RestartAPIServer stops the API server and starts it again. Every watch ends.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	if err := c.stop(ctx, syscall.SIGTERM, apiServer); err != nil {
		return err
	}
	if err := c.start(apiServer); err != nil {
		return err
	}
	admin, err := c.api()
	if err != nil {
		return err
	}
	return c.await(ctx, apiServer, admin.ready)
}
