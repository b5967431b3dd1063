package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/whyrestart/whyrestart/test/cluster/internal/account"
	"github.com/whyrestart/whyrestart/test/cluster/internal/cri"
)

// startTimeout is how long a part may take to be of use. A busy machine needs
// a good deal of it for the API server.
const startTimeout = 3 * time.Minute

// Up brings the cluster up and returns when its node is ready. If it is up
// already, Up changes nothing.
func (c *Cluster) Up(ctx context.Context) error {
	if status, err := c.Status(ctx); err == nil && status.Up() {
		c.say("the cluster is up")
		return nil
	}
	start := time.Now()
	if err := c.installDependencies(ctx); err != nil {
		return err
	}
	if err := c.builder.All(ctx); err != nil {
		return err
	}
	built := time.Now()
	if err := c.clean(ctx); err != nil {
		return fmt.Errorf("clean up after an earlier run: %w", err)
	}
	if err := c.removeRecords(); err != nil {
		return err
	}
	for _, prepare := range []func() error{c.writeFiles, c.writeIdentities, makeCgroups, c.mountDisk} {
		if err := prepare(); err != nil {
			return fmt.Errorf("prepare the cluster: %w", err)
		}
	}
	if err := c.startAll(ctx); err != nil {
		return err
	}
	c.say("the cluster is up after %s, %s of it for packages and programs",
		time.Since(start).Round(100*time.Millisecond), built.Sub(start).Round(100*time.Millisecond))
	return nil
}

// diskSize is that of the disk of the node, which is one of its own so that it can be
// filled without filling that of the machine.
const diskSize = "256m"

// mountDisk mounts the file system that holds the volumes of pods.
func (c *Cluster) mountDisk() error {
	dir := c.path("kubelet")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the kubelet: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+diskSize); err != nil {
		return fmt.Errorf("mount the disk of the node: %w", err)
	}
	return nil
}

func (c *Cluster) startAll(ctx context.Context) error {
	// Two chains that do not need each other until the kubelet needs both:
	// etcd and the API server, and containerd with its images.
	if err := c.start(etcd); err != nil {
		return err
	}
	if err := c.startRuntime(ctx); err != nil {
		return err
	}
	if err := c.await(ctx, etcd, etcdReady); err != nil {
		return err
	}
	if err := c.start(apiServer); err != nil {
		return err
	}
	if err := c.importImages(ctx); err != nil {
		return err
	}
	admin, err := c.api()
	if err != nil {
		return err
	}
	if err := c.await(ctx, apiServer, admin.ready); err != nil {
		return err
	}
	for _, p := range []part{controllerManager, scheduler} {
		if err := c.start(p); err != nil {
			return err
		}
	}
	return c.startNode(ctx)
}

// startRuntime starts containerd and waits until it serves and the recorder
// follows it. The recorder starts with the first containerd and then outlives
// every one of them.
func (c *Cluster) startRuntime(ctx context.Context) error {
	before := time.Now()
	if err := c.start(containerd); err != nil {
		return err
	}
	recorders, err := c.find(recorder)
	if err != nil {
		return err
	}
	if len(recorders) == 0 {
		if err := c.start(recorder); err != nil {
			return err
		}
	}
	if err := c.await(ctx, containerd, c.runtimeReady); err != nil {
		return err
	}
	return c.await(ctx, recorder, func(context.Context) error {
		return account.ConnectedSince(c.RuntimeAccount(), before)
	})
}

// startNode starts the kubelet and waits until it has reported that the node
// is ready.
func (c *Cluster) startNode(ctx context.Context) error {
	before := time.Now()
	if err := c.start(kubelet); err != nil {
		return err
	}
	return c.awaitNode(ctx, before)
}

func (c *Cluster) awaitNode(ctx context.Context, since time.Time) error {
	admin, err := c.api()
	if err != nil {
		return err
	}
	return c.await(ctx, kubelet, func(ctx context.Context) error {
		n, err := admin.node(ctx)
		if err != nil {
			return err
		}
		if err := admin.initialize(ctx, n); err != nil {
			return err
		}
		return n.ready(since)
	})
}

// await asks whether a part is ready until it is, until the part has ended or
// until it has taken too long.
func (c *Cluster) await(ctx context.Context, p part, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	absent := 0
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		pids, findErr := c.find(p)
		if findErr != nil {
			return findErr
		}
		absent++
		if len(pids) > 0 {
			absent = 0
		}
		// A process has no command line to be found by between its fork and its exec.
		if absent > 20 {
			return fmt.Errorf("%s has ended; the end of %s:\n%s", p, c.log(p), lastLines(c.log(p), 15))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", p, ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func etcdReady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", etcdPort), nil)
	if err != nil {
		return fmt.Errorf("ask etcd for its health: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask etcd for its health: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask etcd for its health: %s", response.Status)
	}
	return nil
}

func (c *Cluster) runtimeReady(ctx context.Context) error {
	client, err := cri.Dial(c.Socket())
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Version(ctx, &runtime.VersionRequest{}); err != nil {
		return fmt.Errorf("ask the runtime for its version: %w", err)
	}
	return nil
}

// lastLines returns the end of a file, or why there is none.
func lastLines(name string, n int) string {
	content, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(content), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
