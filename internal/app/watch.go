package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// Last returns the last stops that the cluster's own statuses still show, without logs.
func Last(ctx context.Context, s Source, logger *slog.Logger) (record.Document, error) {
	watcher, err := newWatcher(s, logger)
	if err != nil {
		return record.Document{}, err
	}
	if err := watcher.Check(ctx); err != nil {
		return record.Document{}, err
	}
	owners, err := kube.NewOwners(kube.OwnersOptions{Config: s.Config, UserAgent: userAgent(s)})
	if err != nil {
		return record.Document{}, err
	}
	events, err := kube.NewEvents(kube.EventsOptions{Config: s.Config, UserAgent: userAgent(s)})
	if err != nil {
		return record.Document{}, err
	}
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return record.Document{}, err
	}
	doc := record.Document{Schema: record.Schema}
	off := &pipeline.Offline{
		Context: ctx,
		Engine:  pipeline.NewEngine(s.Cluster, redactor),
		Owners:  owners,
		Events:  events,
		AsOf:    time.Now,
		Emit:    func(r record.Record) { doc.Findings = append(doc.Findings, r) },
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	once := &snapshot{Offline: off, wanted: len(watcher.Scopes()), done: cancel}
	if err := watcher.Run(ctx, once); err != nil {
		return record.Document{}, err
	}
	if once.wanted > 0 {
		return record.Document{}, fmt.Errorf("list pods: %w", context.Cause(ctx))
	}
	doc.Coverage = Coverage(off, doc.Findings, nil)
	return doc, nil
}

// Coverage sums up what an offline run looked at.
func Coverage(o *pipeline.Offline, found []record.Record, missing []record.Missing) record.Coverage {
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
