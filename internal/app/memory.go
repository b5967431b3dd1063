package app

import (
	"bytes"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
)

const (
	// gcPercent lets the heap grow by half of what lives before it is collected, where Go's own
	// default is twice: a burst of stops is short and large, and the limit of a pod is small.
	gcPercent = 50
	// cgroupLimit is where the kernel tells a container the limit of its memory (cgroup v2).
	cgroupLimit = "/sys/fs/cgroup/memory.max"
)

// boundMemory makes the collector work harder rather than let the process grow beyond the
// limit of its container. What GOGC and GOMEMLIMIT say goes before it.
func boundMemory(logger *slog.Logger, env func(string) string, limitFile string) {
	if env("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if env("GOMEMLIMIT") != "" {
		return
	}
	content, err := os.ReadFile(limitFile)
	if err != nil {
		return // no container, or an older kernel: there is no limit to know of
	}
	limit, err := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
	if err != nil || limit <= 0 {
		return // "max"
	}
	// The heap is not all: SQLite's and the runtime's own memory is the rest.
	debug.SetMemoryLimit(limit / 10 * 9)
	logger.Debug("memory is limited", "bytes", limit)
}
