package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Down takes the cluster down, whatever state it is in. What can be read
// afterwards stays until the next Up: the logs and the account of the runtime.
func (c *Cluster) Down(ctx context.Context) error {
	if err := c.clean(ctx); err != nil {
		return err
	}
	c.say("the cluster is down; its logs are in %s", c.path("logs"))
	return nil
}

// clean ends every process of the cluster and removes everything but its
// records. It asks none of the processes for help, since it also has to work
// when they are dead.
func (c *Cluster) clean(ctx context.Context) error {
	// The kubelet first, or it would start again what is killed next, and
	// containerd before the pods, or it would report their ends to nobody.
	if err := c.stop(ctx, syscall.SIGKILL, kubelet, containerd); err != nil {
		return err
	}
	if err := c.killPods(ctx); err != nil {
		return err
	}
	if err := c.stop(ctx, syscall.SIGKILL, kwok, recorder, scheduler, controllerManager, apiServer, etcd); err != nil {
		return err
	}
	// Unmounting comes before everything that deletes files: what is mounted
	// may belong to somebody else.
	for _, remove := range []func() error{c.unmount, removeNetwork, removeCgroups, c.removeStrays, c.removeFiles} {
		if err := remove(); err != nil {
			return err
		}
	}
	return nil
}

// unmountNoFollow is UMOUNT_NOFOLLOW, which package syscall lacks.
const unmountNoFollow = 8

// unmount unmounts everything under the state folder.
func (c *Cluster) unmount() error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	// Backward, because what is mounted later may be on top of the earlier.
	for _, point := range slices.Backward(mountsUnder(string(table), c.state)) {
		err := syscall.Unmount(point, syscall.MNT_DETACH|unmountNoFollow)
		if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// mountsUnder returns the mount points below a folder, in the order of the table.
func mountsUnder(table, dir string) []string {
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

// unescape undoes what the kernel does to blanks and backslashes in a path:
// it writes them as three octal digits.
func unescape(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if code, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// removeNetwork deletes the bridge and what is plugged into it. The network
// namespaces have gone with the last process and the last mount of each.
func removeNetwork() error {
	device := filepath.Join("/sys/class/net", bridge)
	ports, err := os.ReadDir(filepath.Join(device, "brif"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the ports of the bridge: %w", err)
	}
	for _, port := range ports {
		// The other end may have taken it along in the meantime.
		_ = exec.Command("ip", "link", "delete", port.Name()).Run()
	}
	if output, err := exec.Command("ip", "link", "delete", bridge).CombinedOutput(); err != nil {
		return fmt.Errorf("delete the bridge %s: %w: %s", bridge, err, output)
	}
	return nil
}

// removeStrays deletes what the parts put into folders that cannot be configured.
func (c *Cluster) removeStrays() error {
	for _, stray := range []struct {
		pattern string
		ours    func(name string) bool
	}{
		// The kubelet links the log of each container.
		{"/var/log/containers/*", c.linksHere},
		// The network library remembers each pod.
		{"/var/lib/cni/results/*", c.mentionsHere},
		// Device plugins look for the kubelet here and nowhere else, so that
		// two kubelets on a machine could not both have one.
		{"/var/lib/kubelet/device-plugins/kubelet.sock", isAbandoned},
	} {
		names, err := filepath.Glob(stray.pattern)
		if err != nil {
			return fmt.Errorf("list %s: %w", stray.pattern, err)
		}
		for _, name := range names {
			if !stray.ours(name) {
				continue
			}
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("delete what a part left: %w", err)
			}
		}
	}
	// The innermost first; one that is not empty belongs to others, too.
	for _, dir := range []string{
		"/var/log/containers", "/var/lib/cni/results", "/var/lib/cni", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
	} {
		_ = os.Remove(dir)
	}
	return nil
}

func (c *Cluster) linksHere(name string) bool {
	target, err := os.Readlink(name)
	return err == nil && strings.HasPrefix(target, c.state+"/")
}

func (c *Cluster) mentionsHere(name string) bool {
	content, err := os.ReadFile(name)
	return err == nil && bytes.Contains(content, []byte(`"`+c.state+"/"))
}

// isAbandoned reports whether nobody listens on a socket.
func isAbandoned(name string) bool {
	conn, err := net.Dial("unix", name)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return false
}

// records are what Down leaves behind, relative to the state folder, and the
// lock that it holds.
func records() []string { return []string{"logs", "runtime.jsonl", "lock"} }

// removeFiles empties the state folder of everything but the records.
func (c *Cluster) removeFiles() error {
	entries, err := os.ReadDir(c.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the state folder: %w", err)
	}
	for _, entry := range entries {
		if slices.Contains(records(), entry.Name()) {
			continue
		}
		if err := os.RemoveAll(c.path(entry.Name())); err != nil {
			return fmt.Errorf("empty the state folder: %w", err)
		}
	}
	return nil
}

// removeRecords deletes the records of the run before.
func (c *Cluster) removeRecords() error {
	for _, name := range records() {
		if name == "lock" {
			continue
		}
		if err := os.RemoveAll(c.path(name)); err != nil {
			return fmt.Errorf("delete the records of the run before: %w", err)
		}
	}
	return nil
}
