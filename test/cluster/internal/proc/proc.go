// Package proc starts, finds and ends the processes of the test cluster.
//
// There are no pid files: one that outlives its process names a stranger. A
// process is found again by its arguments, which /proc shows for as long as it
// lives and not a moment longer.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is a process as it was when All read it.
type Process struct {
	PID  int
	Args []string
}

// All returns the processes of the machine that have arguments. Threads of the
// kernel and processes that ended without being collected have none.
func All() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var all []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || len(line) == 0 {
			continue // ended since the directory was read, or without arguments
		}
		var args []string
		for arg := range bytes.SplitSeq(bytes.TrimSuffix(line, []byte{0}), []byte{0}) {
			args = append(args, string(arg))
		}
		all = append(all, Process{pid, args})
	}
	return all, nil
}

// Command is a process to be.
type Command struct {
	Path string   // the program
	Args []string // what the program sees, its name included
	Env  []string // added to the environment
	Log  string   // the file that its output is appended to
}

// Start starts the command in a session of its own, so that it outlives the
// caller and no signal of the caller's terminal reaches it.
func Start(c Command) error {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", c.Args[0], err)
	}
	defer log.Close()

	cmd := exec.Cmd{
		Path:        c.Path,
		Args:        c.Args,
		Env:         append(os.Environ(), c.Env...),
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	// While the caller lives it is the parent, and has to collect a child that
	// fails early.
	go cmd.Wait()
	return nil
}

// Stop sends the signal to every process that find returns, again and again
// until find returns none: what is found may start others while it is stopped.
func Stop(ctx context.Context, signal syscall.Signal, find func() ([]int, error)) error {
	for {
		pids, err := find()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("send signal %d to process %d: %w", signal, pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v outlive signal %d: %w", pids, signal, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
