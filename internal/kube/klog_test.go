package kube

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// lines is a writer that several goroutines write to.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestClientLogsAtDebug has a server refuse everything, of which client-go has a lot to say.
func TestClientLogsAtDebug(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var out lines
		server := newAPIServer(t)
		server.answer(all, forbidden("list"))
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
		sink, stop := run(t, newWatcher(t, Options{Config: server.config(), Logger: logger}))
		sink.wait(3)
		stop()
		got := out.String()
		if level == slog.LevelInfo && got != "" {
			t.Errorf("at level info:\n%s", got)
		}
		if level == slog.LevelDebug && (!strings.Contains(got, "level=DEBUG") || strings.Contains(got, "level=ERROR")) {
			t.Errorf("at level debug:\n%s", got)
		}
	}
}
