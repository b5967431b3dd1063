package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/whyrestart/whyrestart/test/cluster/internal/proc"
)

// part is a process of the cluster.
type part string

const (
	etcd              part = "etcd"
	apiServer         part = "kube-apiserver"
	controllerManager part = "kube-controller-manager"
	scheduler         part = "kube-scheduler"
	containerd        part = "containerd"
	recorder          part = "account"
	kubelet           part = "kubelet"
	kwok              part = "kwok" // not among parts: a cluster is up without it
)

// parts are all of them, in the order in which they start.
func parts() []part {
	return []part{etcd, apiServer, containerd, recorder, controllerManager, scheduler, kubelet}
}

// stopTimeout is how long a process may take to end.
const stopTimeout = 30 * time.Second

// name is what the process of a part calls itself. No other process on the
// machine has the path of a file that does not exist for a name.
func (c *Cluster) name(p part) string { return c.path("part", string(p)) }

// start starts a part. It does not wait for the part to be of use.
func (c *Cluster) start(p part) error {
	command := proc.Command{
		Path: c.program("node"),
		Args: append([]string{c.name(p), string(p)}, c.args(p)...),
		Log:  c.log(p),
	}
	switch p {
	case containerd:
		command.Path = c.program("containerd")
		command.Args = append([]string{c.name(p)}, c.args(p)...)
		// containerd looks for its shim and for runc in the path.
		command.Env = []string{"PATH=" + c.builder.Bin() + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"}
	case kwok:
		command.Path = c.program("kwok")
		command.Args = append([]string{c.name(p)}, c.args(p)...)
	case recorder:
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program of the recorder: %w", err)
		}
		command.Path = self
	}
	return proc.Start(command)
}

func (c *Cluster) args(p part) []string {
	switch p {
	case etcd:
		client, peer := fmt.Sprintf("http://127.0.0.1:%d", etcdPort), fmt.Sprintf("http://127.0.0.1:%d", etcdPeer)
		return []string{
			"--data-dir=" + c.path("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=default=" + peer,
			"--unsafe-no-fsync",
			"--logger=zap", "--log-level=warn",
		}
	case apiServer:
		return []string{
			fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", etcdPort),
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", apiPort), "--advertise-address=127.0.0.1",
			"--endpoint-reconciler-type=none",
			"--kubelet-preferred-address-types=InternalIP",
			"--tls-cert-file=" + c.path("pki", "apiserver.crt"), "--tls-private-key-file=" + c.path("pki", "apiserver.key"),
			"--token-auth-file=" + c.path("pki", "tokens.csv"),
			"--authorization-mode=Node,RBAC",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + c.path("pki", "service-account.key"),
			"--service-account-signing-key-file=" + c.path("pki", "service-account.key"),
			"--service-cluster-ip-range=10.248.0.0/24",
			"--allow-privileged",
			// No token is mounted into a pod: a volume less for each.
			"--disable-admission-plugins=ServiceAccount",
			"--event-ttl=3h",
			// An alpha of 1.36 (KEP-5866): it changes nothing for those who do not ask for a shard.
			"--feature-gates=ShardedListAndWatch=true",
		}
	case controllerManager:
		return []string{
			"--kubeconfig=" + c.path("pki", "kube-controller-manager.kubeconfig"),
			"--service-account-private-key-file=" + c.path("pki", "service-account.key"),
			"--root-ca-file=" + c.path("pki", "ca.crt"),
			"--use-service-account-credentials",
			"--flex-volume-plugin-dir=" + c.path("volumeplugins"),
			"--leader-elect=false", "--secure-port=0",
			// A node is lost after 20 seconds instead of 50.
			"--node-monitor-grace-period=20s", "--node-monitor-period=2s",
		}
	case scheduler:
		return []string{
			"--kubeconfig=" + c.path("pki", "kube-scheduler.kubeconfig"),
			"--leader-elect=false", "--secure-port=0",
		}
	case containerd:
		return []string{"--config", c.path("containerd.toml")}
	case recorder:
		return nil // it reads the environment, as every command does
	case kwok:
		return []string{
			"--kubeconfig=" + c.Kubeconfig(),
			"--config=" + c.path("kwok.yaml"),
			"--manage-nodes-with-label-selector=" + kwokLabel,
			// Shorter than the grace period after which a node is lost.
			"--node-lease-duration-seconds=16",
		}
	case kubelet:
		return []string{
			"--config=" + c.path("kubelet.yaml"),
			"--kubeconfig=" + c.path("pki", "kubelet.kubeconfig"),
			"--root-dir=" + c.path("kubelet"), "--cert-dir=" + c.path("kubelet", "pki"),
			"--hostname-override=" + Node,
			// The kubelet refuses a loopback address for its node unless
			// somebody else is in charge of addresses: Up is.
			"--cloud-provider=external",
			// From 2 on, the kubelet logs each change of a container.
			"--v=2",
		}
	}
	panic("no part is called " + string(p))
}

// find returns the processes of the given parts.
func (c *Cluster) find(wanted ...part) ([]int, error) {
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range all {
		if slices.ContainsFunc(wanted, func(w part) bool { return p.Args[0] == c.name(w) }) {
			pids = append(pids, p.PID)
		}
	}
	return pids, nil
}

// stop ends parts in the order given.
func (c *Cluster) stop(ctx context.Context, signal syscall.Signal, parts ...part) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for _, p := range parts {
		if err := proc.Stop(ctx, signal, func() ([]int, error) { return c.find(p) }); err != nil {
			return fmt.Errorf("stop %s: %w", p, err)
		}
	}
	return nil
}

// killPods ends everything that a shim started, and every shim.
func (c *Cluster) killPods(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	// The shims first: one that sees its container end would still report it,
	// and a node that loses its power reports nothing.
	if err := proc.Stop(ctx, syscall.SIGKILL, c.shims); err != nil {
		return fmt.Errorf("kill the shims: %w", err)
	}
	if err := proc.Stop(ctx, syscall.SIGKILL, cgroupProcesses); err != nil {
		return fmt.Errorf("kill the processes of the pods: %w", err)
	}
	return nil
}

// shims returns the processes that containerd of this cluster put between
// itself and its containers.
func (c *Cluster) shims() ([]int, error) {
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range all {
		if !strings.HasPrefix(filepath.Base(p.Args[0]), "containerd-shim") {
			continue
		}
		address := slices.IndexFunc(p.Args, func(arg string) bool { return strings.TrimLeft(arg, "-") == "address" })
		if address >= 0 && address+1 < len(p.Args) && p.Args[address+1] == c.Socket() {
			pids = append(pids, p.PID)
		}
	}
	return pids, nil
}
