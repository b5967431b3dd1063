package kube

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// RouteKlog sends what client-go logs on its own, outside of any context, to
// logger at debug level instead of standard error. It changes the process for
// good, so only main calls it, once, before anything else of this package.
func RouteKlog(logger *slog.Logger) {
	klog.SetLogger(clientLogger(logger))
}

// withLogger gives client-go a logger for what it does with the context.
func withLogger(ctx context.Context, logger *slog.Logger) context.Context {
	return klog.NewContext(ctx, clientLogger(logger))
}

func clientLogger(logger *slog.Logger) logr.Logger {
	return logr.FromSlogHandler(demote{logger.Handler()})
}

// demote passes records on at debug level: what client-go reports as an error is
// reported by this package as Trouble, and the rest is of interest to developers.
type demote struct{ next slog.Handler }

// chatty is the level to which logr maps klog's verbosity 3: request by request.
const chatty = slog.Level(-3)

func (d demote) Enabled(ctx context.Context, l slog.Level) bool {
	return l > chatty && d.next.Enabled(ctx, slog.LevelDebug)
}

func (d demote) Handle(ctx context.Context, r slog.Record) error {
	if !d.next.Enabled(ctx, slog.LevelDebug) { // logr hands errors over without asking
		return nil
	}
	r.Level = slog.LevelDebug
	return d.next.Handle(ctx, r)
}

func (d demote) WithAttrs(a []slog.Attr) slog.Handler { return demote{d.next.WithAttrs(a)} }

func (d demote) WithGroup(name string) slog.Handler { return demote{d.next.WithGroup(name)} }
