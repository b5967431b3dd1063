// Package cluster runs a real Kubernetes cluster of one node on this machine:
// etcd, the API server, the controller manager, the scheduler, containerd, the
// recorder of containerd's events and the kubelet, each a process of its own.
//
// It promises that Up works whatever an earlier run left behind, and that
// after Down nothing of it is left in the process table, the mount table, the
// network and the cgroups, whether or not the run ended well. To that end no
// record is kept of what was made: everything that belongs to a cluster can be
// told by its name alone, which contains the state folder, the name of the
// bridge or the name of the cgroup.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/whyrestart/whyrestart/test/cluster/internal/build"
)

// Node is the name of the node.
const Node = "node-1"

// Where the parts listen, all of it on the loopback interface. None is the
// default of the part, so that a cluster does not get in the way of another
// program that is.
const (
	apiPort     = 26443
	etcdPort    = 22379
	etcdPeer    = 22380
	kubeletPort = 20250
)

// What cannot be told by the state folder. Two clusters cannot be up at once.
const (
	bridge      = "whyrestart0"
	networkName = "whyrestart-test"
	podSubnet   = "10.247.0.0/16"
	cgroupRoot  = "whyrestart-test"
)

// maxStateLength is what containerd allows the folder of its sockets, whose
// names are long and may not exceed a limit of the kernel, less "/s".
const maxStateLength = 40

// Options say where a cluster keeps its things.
type Options struct {
	State    string    // what belongs to one run
	Cache    string    // programs, which outlive a run
	Source   string    // the folder of this module; only Up needs it
	Progress io.Writer // told what is happening
}

// Cluster is the cluster of a state folder, up or not.
type Cluster struct {
	state    string
	progress io.Writer
	builder  *build.Builder
}

// New returns the cluster of a state folder. It touches nothing.
func New(o Options) (*Cluster, error) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return nil, errors.New("a cluster needs Linux and root: its node makes namespaces, mounts and cgroups")
	}
	for name, dir := range map[string]string{"state": o.State, "cache": o.Cache} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("the %s folder %q is not an absolute path", name, dir)
		}
	}
	// Whatever is mounted under the state folder is unmounted and whatever is
	// in it is deleted, so it had better be a folder of its own.
	if state := filepath.Clean(o.State); filepath.Dir(state) == "/" {
		return nil, fmt.Errorf("the state folder %s is a folder of the system", state)
	} else if len(state) > maxStateLength {
		return nil, fmt.Errorf("the state folder %s is longer than %d characters, which leaves no room for the names of sockets", state, maxStateLength)
	}
	return &Cluster{
		state:    filepath.Clean(o.State),
		progress: o.Progress,
		builder:  &build.Builder{Source: o.Source, Cache: filepath.Clean(o.Cache), Progress: o.Progress},
	}, nil
}

// Kubeconfig is the file with which an administrator reaches the cluster.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// RuntimeAccount is the file that the recorder writes.
func (c *Cluster) RuntimeAccount() string { return c.path("runtime.jsonl") }

// KubeletLog is the log of the kubelet, across its restarts.
func (c *Cluster) KubeletLog() string { return c.log(kubelet) }

// Socket is where containerd listens.
func (c *Cluster) Socket() string { return c.path("containerd.sock") }

// BinDir holds a kubectl and a ctr that reach this cluster.
func (c *Cluster) BinDir() string { return c.path("bin") }

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.state}, elem...)...)
}

func (c *Cluster) log(p part) string { return c.path("logs", string(p)+".log") }

func (c *Cluster) program(name string) string { return filepath.Join(c.builder.Bin(), name) }

func (c *Cluster) say(format string, args ...any) { fmt.Fprintf(c.progress, format+"\n", args...) }

// Exclusively runs f while nobody else changes the cluster of this state
// folder. The lock ends with the process that holds it.
func (c *Cluster) Exclusively(ctx context.Context, f func(context.Context) error) error {
	if err := os.MkdirAll(c.state, 0o755); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	file, err := os.OpenFile(c.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open the lock of the cluster: %w", err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		c.say("waiting for another command to be done with the cluster")
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock the cluster: %w", err)
		}
	}
	return f(ctx)
}
