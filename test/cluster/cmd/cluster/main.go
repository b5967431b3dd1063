// Command cluster brings a real Kubernetes cluster of one node up and down on
// this machine, and does harm to it for tests. "cluster help" lists what it can do.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/whyrestart/whyrestart/test/cluster/internal/account"
	"github.com/whyrestart/whyrestart/test/cluster/internal/cluster"
	"github.com/whyrestart/whyrestart/test/cluster/internal/cri"
)

const usage = `usage: cluster COMMAND [ARGUMENT...]

  up                         bring the cluster up, building what is missing; does nothing if it is up
  down                       take the cluster down and remove all of it but its logs
  status                     say what runs; exits with 1 unless the cluster is up
  env                        print how a shell reaches the cluster: eval "$(cluster env)"

  kill-container NAMESPACE POD CONTAINER [SIGNAL]
                             send a signal, KILL unless given, to the first process of a container
  kill-sandbox NAMESPACE POD kill the process that holds the namespaces of a pod
  restart-runtime            end containerd and everything in pods at once, like a power cut, and start again
  restart-containerd         kill containerd alone and start it again
  stop-kubelet               stop the kubelet; 20 seconds later the node is lost
  start-kubelet              start the kubelet and wait until the node is ready
  restart-apiserver          stop the API server and start it again
  stop-apiserver             stop the API server
  kill-apiserver             kill the API server
  start-apiserver            start the API server and wait until it is ready
  restart-etcd               kill etcd and start it again
  mend                       start again what ended by itself after such a thing
  compact-etcd               remove every revision but the newest from etcd

  start-kwok                 build and start kwok, which plays the kubelet of nodes with the label
                             whyrestart.test/node=kwok that somebody creates; see kwok.yaml
  stop-kwok                  stop it; its nodes are lost 20 seconds later, unless they are deleted

  account                    record what containerd reports; "up" starts this in the background
  kubelet-account            print what the kubelet noticed, from its log, one JSON object per line

environment:
  WHYRESTART_CLUSTER_DIR     folder of the cluster, /var/lib/whyrestart-cluster unless set
  WHYRESTART_CLUSTER_CACHE   folder of built programs, whyrestart-cluster in the user's cache folder unless set
`

// errUsage is an error in the command line; the usage has been printed.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()

	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	name, args := args[0], args[1:]
	if name == "help" {
		fmt.Print(usage)
		return nil
	}
	c, err := newCluster(name)
	if err != nil {
		return err
	}

	// What changes the cluster takes no arguments and waits its turn.
	changes := map[string]func(context.Context) error{
		"up":                 func(ctx context.Context) error { return up(ctx, c) },
		"down":               c.Down,
		"restart-runtime":    c.RestartRuntime,
		"restart-containerd": c.RestartContainerd,
		"stop-kubelet":       c.StopKubelet,
		"start-kubelet":      c.StartKubelet,
		"restart-apiserver":  c.RestartAPIServer,
		"stop-apiserver":     c.StopAPIServer,
		"kill-apiserver":     c.KillAPIServer,
		"start-apiserver":    c.StartAPIServer,
		"restart-etcd":       c.RestartEtcd,
		"compact-etcd":       c.CompactEtcd,
		"mend":               c.Mend,
		"start-kwok":         c.StartKwok,
		"stop-kwok":          c.StopKwok,
	}
	if change, ok := changes[name]; ok && len(args) == 0 {
		return c.Exclusively(ctx, change)
	}

	switch {
	case name == "status" && len(args) == 0:
		return status(ctx, c)
	case name == "env" && len(args) == 0:
		printEnv(c)
		return nil
	case name == "kill-container" && (len(args) == 3 || len(args) == 4):
		number := syscall.SIGKILL
		if len(args) == 4 {
			if number, err = parseSignal(args[3]); err != nil {
				return err
			}
		}
		return c.KillContainer(ctx, args[0], args[1], args[2], number)
	case name == "kill-sandbox" && len(args) == 2:
		return c.KillSandbox(ctx, args[0], args[1])
	case name == "account" && len(args) == 0:
		return record(ctx, c)
	case name == "kubelet-account" && len(args) == 0:
		return printKubelet(c)
	}
	return errUsage
}

func newCluster(command string) (*cluster.Cluster, error) {
	state := os.Getenv("WHYRESTART_CLUSTER_DIR")
	if state == "" {
		state = "/var/lib/whyrestart-cluster"
	}
	cache := os.Getenv("WHYRESTART_CLUSTER_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(dir, "whyrestart-cluster")
	}
	var source string
	if command == "up" || command == "start-kwok" {
		var err error
		if source, err = findSource(); err != nil {
			return nil, err
		}
	}
	return cluster.New(cluster.Options{State: state, Cache: cache, Source: source, Progress: os.Stderr})
}

// findSource finds the folder of this module from anywhere in its repository.
func findSource() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the source of the cluster: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "test", "cluster")} {
			goMod, err := os.ReadFile(filepath.Join(candidate, "go.mod"))
			if err == nil && strings.HasPrefix(string(goMod), "module github.com/whyrestart/whyrestart/test/cluster\n") {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the source of the cluster: %s is not in its repository", start)
		}
	}
}

// parseSignal reads KILL, SIGKILL or 9.
func parseSignal(name string) (syscall.Signal, error) {
	if number, err := strconv.Atoi(name); err == nil {
		return syscall.Signal(number), nil
	}
	number := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
	if number == 0 {
		return 0, fmt.Errorf("no signal is called %q", name)
	}
	return number, nil
}

func up(ctx context.Context, c *cluster.Cluster) error {
	if err := c.Up(ctx); err != nil {
		return err
	}
	printEnv(c)
	return nil
}

func printEnv(c *cluster.Cluster) {
	fmt.Printf("export KUBECONFIG=%s\n", c.Kubeconfig())
	fmt.Printf("export PATH=%s:$PATH\n", c.BinDir())
}

func status(ctx context.Context, c *cluster.Cluster) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Print(s)
	if !s.Up() {
		return errors.New("the cluster is not up")
	}
	return nil
}

func record(ctx context.Context, c *cluster.Cluster) error {
	out, err := os.OpenFile(c.RuntimeAccount(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the account of the runtime: %w", err)
	}
	defer out.Close()
	runtime, err := cri.Dial(c.Socket())
	if err != nil {
		return err
	}
	defer runtime.Close()
	return account.NewRecorder(runtime, out).Run(ctx)
}

func printKubelet(c *cluster.Cluster) error {
	log, err := os.Open(c.KubeletLog())
	if err != nil {
		return fmt.Errorf("open the log of the kubelet: %w", err)
	}
	defer log.Close()
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	if err := account.ReadKubelet(log, func(n account.Noticed) error { return encoder.Encode(n) }); err != nil {
		return err
	}
	return out.Flush()
}
