package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// Watch shows stops as they happen until ctx ends, each with its issue, and keeps nothing
// but what ledger has of them.
func Watch(ctx context.Context, s Source, settle time.Duration, logger *slog.Logger, ledger *pipeline.Memory, show func(record.Record) error) error {
	live, err := newLive(ctx, s, ledger, 0, metrics.New(prometheus.NewRegistry(), s.Version), logger)
	if err != nil {
		return err
	}
	return live.tell(ctx, &pipeline.Relay{Ledger: ledger, Settle: settle, Settled: live.runtime.Settled, Deliver: show, Now: time.Now})
}

// Look finds the last stops that the cluster's own statuses still show, and the stalls,
// with the evidence for each; log tails are read where Source.Logs says so. A filter
// narrows the pods down; then a pod of which there is nothing to find comes too, as a
// Finding with evidence whose record has no kind.
func Look(ctx context.Context, s Source, filter func(*corev1.Pod) bool, logger *slog.Logger) ([]pipeline.Finding, record.Coverage, error) {
	none := record.Coverage{}
	watcher, err := newWatcher(s, logger, nil)
	if err != nil {
		return nil, none, err
	}
	if err := watcher.Check(ctx); err != nil {
		return nil, none, err
	}
	readers, _, index, err := newReaders(s)
	if err != nil {
		return nil, none, err
	}
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return nil, none, err
	}
	var missing []record.Missing
	if filter != nil {
		index.Unwatched()
	} else {
		// One list of all events is less than one of each pod's.
		if missing, err = listEvents(ctx, s, index, logger); err != nil {
			return nil, none, err
		}
	}
	var found []pipeline.Finding
	off := &pipeline.Offline{
		Context:  ctx,
		Cluster:  s.Cluster,
		Redactor: redactor,
		Merge:    s.Merge,
		Readers:  readers,
		AsOf:     time.Now,
		Snapshot: true,
		Workers:  lookWorkers,
		Filter:   filter,
		Emit:     func(f pipeline.Finding) { found = append(found, f) },
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
	off.Finish()
	return found, Coverage(off, found, missing), nil
}

// listEvents fills an index with the events that the API has. That some cannot be read is no
// error: it returns which, and why.
func listEvents(ctx context.Context, s Source, index *pipeline.EventIndex, logger *slog.Logger) ([]record.Missing, error) {
	watcher, err := newEventWatcher(s, logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, eventsWait)
	defer cancel()
	wanted := make(map[string]bool)
	for _, scope := range watcher.Scopes() {
		if scope != pipeline.NodeEventScope { // of which a refusal is not told
			wanted[scope] = true
		}
	}
	list := &eventList{EventIndex: index, wanted: wanted, done: cancel}
	err = watcher.Run(ctx, list)
	return list.missing, err
}

// lookWorkers is how many stops are looked into at once: what takes time is the API server's
// answer for each log.
const lookWorkers = 8

// eventsWait bounds how long a list of events may take.
const eventsWait = 30 * time.Second

// eventList is an event sink that has enough once everything was listed.
type eventList struct {
	*pipeline.EventIndex
	wanted  map[string]bool
	missing []record.Missing
	done    func()
}

// EventTrouble implements pipeline.EventSink.
func (l *eventList) EventTrouble(scope string, err error) {
	l.EventIndex.EventTrouble(scope, err)
	if err != nil && l.wanted[scope] {
		l.missing = append(l.missing, record.Missing{What: "events", Why: err.Error()})
	}
	delete(l.wanted, scope)
	if len(l.wanted) == 0 {
		l.done()
	}
}

// Coverage sums up what an offline run looked at.
func Coverage(o *pipeline.Offline, found []pipeline.Finding, missing []record.Missing) record.Coverage {
	return coverage(o, Records(found), missing)
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
