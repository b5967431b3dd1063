package app

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestBoundMemory(t *testing.T) {
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetMemoryLimit(limit); debug.SetGCPercent(percent) })
	for _, c := range []struct {
		name, file string
		env        map[string]string
		limit      int64
		percent    int
	}{
		{name: "a container", file: "134217728\n", limit: 134217728 / 10 * 9, percent: gcPercent},
		{name: "no limit", file: "max\n", limit: math.MaxInt64, percent: gcPercent},
		{name: "no cgroup", limit: math.MaxInt64, percent: gcPercent},
		{name: "told otherwise", file: "134217728\n", env: map[string]string{"GOGC": "100", "GOMEMLIMIT": "1GiB"}, limit: math.MaxInt64, percent: 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			debug.SetGCPercent(100)
			path := filepath.Join(t.TempDir(), "memory.max")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			boundMemory(slog.New(slog.DiscardHandler), func(name string) string { return c.env[name] }, path)
			if got := debug.SetMemoryLimit(-1); got != c.limit {
				t.Errorf("the limit is %d, want %d", got, c.limit)
			}
			if got := debug.SetGCPercent(100); got != c.percent {
				t.Errorf("the collector's percentage is %d, want %d", got, c.percent)
			}
		})
	}
}
