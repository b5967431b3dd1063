package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
	if err := c.StopAPIServer(ctx); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// StopAPIServer stops the API server as a clean shutdown does. Everything else goes on
// running, and has nobody to tell.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	return c.stop(ctx, syscall.SIGTERM, apiServer)
}

// KillAPIServer ends the API server without a word to its clients.
func (c *Cluster) KillAPIServer(ctx context.Context) error {
	return c.stop(ctx, syscall.SIGKILL, apiServer)
}

// StartAPIServer starts the API server unless it runs, and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	pids, err := c.find(apiServer)
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		if err := c.start(apiServer); err != nil {
			return err
		}
	}
	admin, err := c.api()
	if err != nil {
		return err
	}
	return c.await(ctx, apiServer, admin.ready)
}

// Mend starts what ended by itself, as a kubelet would start its static pods again. The
// scheduler ends where its cache turns out to be wrong, which a restart of the API server
// can bring about.
func (c *Cluster) Mend(ctx context.Context) error {
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	for _, p := range []part{controllerManager, scheduler} {
		pids, err := c.find(p)
		if err != nil {
			return err
		}
		if len(pids) > 0 {
			continue
		}
		if err := c.start(p); err != nil {
			return err
		}
	}
	return c.StartKubelet(ctx)
}

// RestartEtcd kills etcd and starts it again. The API server stays, and has lost its
// watches of etcd.
func (c *Cluster) RestartEtcd(ctx context.Context) error {
	if err := c.stop(ctx, syscall.SIGKILL, etcd); err != nil {
		return err
	}
	if err := c.start(etcd); err != nil {
		return err
	}
	if err := c.await(ctx, etcd, etcdReady); err != nil {
		return err
	}
	admin, err := c.api()
	if err != nil {
		return err
	}
	return c.await(ctx, apiServer, admin.ready)
}

// CompactEtcd removes every revision but the newest from etcd, as the API server does with
// those of the last five minutes: who asks for an older one is answered with 410.
func (c *Cluster) CompactEtcd(ctx context.Context) error {
	var newest struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	// Any key will do: every answer carries the revision of the store.
	if err := etcdCall(ctx, "/v3/kv/range", map[string]any{"key": "AA=="}, &newest); err != nil {
		return err
	}
	return etcdCall(ctx, "/v3/kv/compaction", map[string]any{"revision": newest.Header.Revision, "physical": true}, nil)
}

// etcdCall calls the JSON gateway of etcd, which maps each method of its gRPC API to a path.
func etcdCall(ctx context.Context, path string, body, result any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", etcdPort, path), bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask etcd for %s: %s", path, response.Status)
	}
	if result == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(result); err != nil {
		return fmt.Errorf("read the answer of etcd to %s: %w", path, err)
	}
	return nil
}
