//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// suiteLabel marks the namespaces of the suite.
const suiteLabel = "whyrestart.test/suite=e2e"

// node is the machine that the cluster of test/cluster runs on: this one.
type node struct {
	tool  string
	state string
}

// stateDir returns the state folder of test/cluster, whether it is there or not.
func stateDir() string {
	if dir := os.Getenv("WHYRESTART_CLUSTER_DIR"); dir != "" {
		return dir
	}
	return "/var/lib/whyrestart-cluster"
}

// findNode returns nil where the cluster is not that of test/cluster.
func findNode(ctx context.Context, dir string) (*node, error) {
	n := &node{state: stateDir(), tool: os.Getenv("WHYRESTART_CLUSTER_BIN")}
	if _, err := os.Stat(n.accountFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look for the cluster of test/cluster: %w", err)
	}
	if n.tool == "" {
		n.tool = filepath.Join(dir, "cluster")
		root, err := repository()
		if err != nil {
			return nil, err
		}
		if err := build(ctx, filepath.Join(root, "test", "cluster"), n.tool, "./cmd/cluster"); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *node) accountFile() string { return filepath.Join(n.state, "runtime.jsonl") }

// do runs a command of the cluster's tool.
func (n *node) do(ctx context.Context, args ...string) error {
	_, err := n.output(ctx, args...)
	return err
}

func (n *node) output(ctx context.Context, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, n.tool, args...)
	cmd.Env = append(os.Environ(), "WHYRESTART_CLUSTER_DIR="+n.state)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cluster %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// deaths returns what the kubelet saw die in the namespaces that match. Sandboxes are
// among it; they are told from containers by the runtime's account.
func (n *node) deaths(ctx context.Context, match func(namespace string) bool) ([]death, error) {
	out, err := n.output(ctx, "kubelet-account")
	if err != nil {
		return nil, err
	}
	var deaths []death
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var e struct {
			PodUID, Namespace, Type, ContainerID string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %q of the kubelet's account: %w", lines.Bytes(), err)
		}
		if e.Type == "ContainerDied" && match(e.Namespace) {
			deaths = append(deaths, death{PodUID: e.PodUID, ContainerID: e.ContainerID})
		}
	}
	return deaths, lines.Err()
}

// repository returns the folder of the module.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.Dir(filepath.Dir(dir)), nil
}

// build compiles a main package.
func build(ctx context.Context, dir, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}
