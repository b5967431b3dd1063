package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/kube"
	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// Watch shows stops as they happen until ctx ends, and keeps nothing.
func Watch(ctx context.Context, s Source, settle time.Duration, logger *slog.Logger, show func(record.Record) error) error {
	ledger := new(pipeline.Memory)
	live, err := newLive(ctx, s, ledger, metrics.New(prometheus.NewRegistry(), s.Version), logger)
	if err != nil {
		return err
	}
	return live.tell(ctx, &pipeline.Relay{Ledger: ledger, Settle: settle, Settled: live.runtime.Settled, Deliver: show, Now: time.Now})
}

// Last returns what Look finds of all pods.
func Last(ctx context.Context, s Source, logger *slog.Logger) (record.Document, error) {
	found, coverage, err := Look(ctx, s, nil, logger)
	return document(found, coverage), err
}

// Look finds the last stops that the cluster's own statuses still show, and the stalls,
// with the evidence for each; log tails are read where Source.Logs says so. A filter
// narrows the pods down; then a pod of which there is nothing to find comes too, as a
// Finding with evidence whose record has no kind.
func Look(ctx context.Context, s Source, filter func(*corev1.Pod) bool, logger *slog.Logger) ([]pipeline.Finding, record.Coverage, error) {
	none := record.Coverage{}
	watcher, err := newWatcher(s, logger)
	if err != nil {
		return nil, none, err
	}
	if err := watcher.Check(ctx); err != nil {
		return nil, none, err
	}
	owners, err := kube.NewOwners(kube.OwnersOptions{Config: s.Config, UserAgent: userAgent(s)})
	if err != nil {
		return nil, none, err
	}
	events, err := kube.NewEvents(kube.EventsOptions{Config: s.Config, UserAgent: userAgent(s)})
	if err != nil {
		return nil, none, err
	}
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return nil, none, err
	}
	var found []pipeline.Finding
	off := &pipeline.Offline{
		Context: ctx,
		Engine:  pipeline.NewEngine(s.Cluster, redactor),
		Owners:  owners,
		Events:  events,
		AsOf:    time.Now,
		Filter:  filter,
		Emit:    func(f pipeline.Finding) { found = append(found, f) },
	}
	if s.Logs {
		if off.Logs, err = kube.NewLogs(kube.LogsOptions{Config: s.Config, UserAgent: userAgent(s)}); err != nil {
			return nil, none, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	once := &snapshot{Offline: off, wanted: len(watcher.Scopes()), done: cancel}
	if err := watcher.Run(ctx, once); err != nil {
		return nil, none, err
	}
	if once.wanted > 0 {
		return nil, none, fmt.Errorf("list pods: %w", context.Cause(ctx))
	}
	return found, Coverage(off, found, nil), nil
}

// Coverage sums up what an offline run looked at.
func Coverage(o *pipeline.Offline, found []pipeline.Finding, missing []record.Missing) record.Coverage {
	return coverage(o, document(found, record.Coverage{}).Findings, missing)
}

func coverage(o *pipeline.Offline, found []record.Record, missing []record.Missing) record.Coverage {
	c := record.Coverage{Pods: o.Pods, Missing: append(missing, o.Troubles...)}
	c.Stops, c.Missed = sum(found)
	return c
}

// sum counts the stops among records, and those that they count as missed.
func sum(records []record.Record) (stops, missed int) {
	for i := range records {
		if s := records[i].Stop; s != nil {
			stops++
			missed += s.MissedBefore
		}
	}
	return stops, missed
}
