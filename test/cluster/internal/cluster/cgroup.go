package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const cgroupMount = "/sys/fs/cgroup"

// unified reports whether the machine has version 2 of cgroups, which has one
// hierarchy for all controllers.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers"))
	return err == nil
}

// cgroupRoots returns the folder of the cluster in every hierarchy of cgroups:
// one with version 2, one for each controller with version 1.
func cgroupRoots() ([]string, error) {
	if unified() {
		return []string{filepath.Join(cgroupMount, cgroupRoot)}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, fmt.Errorf("list the cgroup hierarchies: %w", err)
	}
	var roots []string
	for _, entry := range entries {
		// Links are second names: cpuacct of cpu,cpuacct.
		if entry.IsDir() {
			roots = append(roots, filepath.Join(cgroupMount, entry.Name(), cgroupRoot))
		}
	}
	return roots, nil
}

// makeCgroups makes the folder under which the kubelet puts every pod. With one
// of its own, whatever runs in a pod can be found without asking anybody.
func makeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	if unified() {
		// A folder has the controllers that its parent hands on.
		err := os.WriteFile(filepath.Join(cgroupMount, "cgroup.subtree_control"), []byte("+cpuset +cpu +memory +pids"), 0)
		if err != nil {
			return fmt.Errorf("hand the controllers on to the cgroup of the cluster: %w", err)
		}
	}
	for _, root := range roots {
		if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the cgroup of the cluster: %w", err)
		}
	}
	return nil
}

// cgroupProcesses returns every process of every pod.
func cgroupProcesses() ([]int, error) {
	var pids []int
	err := walkCgroups(func(dir string) error {
		content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil // the folder has gone, and with it what was in it
		}
		for line := range strings.Lines(string(content)) {
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				return fmt.Errorf("read the processes of %s: %w", dir, err)
			}
			pids = append(pids, pid)
		}
		return nil
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// removeCgroups removes the folders, which have to be empty of processes.
func removeCgroups() error {
	var dirs []string
	err := walkCgroups(func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a cgroup: %w", err)
		}
	}
	return nil
}

// walkCgroups visits every folder of the cluster, a parent before its children.
func walkCgroups(visit func(dir string) error) error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case !entry.IsDir():
				return nil
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("walk the cgroups of the cluster: %w", err)
		}
	}
	return nil
}
