package pipeline

import (
	"context"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// collectTimeout bounds what is spent on one stop's owner and log.
const collectTimeout = 20 * time.Second

// enqueue hands a finding to the collectors, or, where they are too far behind, says in
// the record that its log was not captured: detection does not wait. The caller holds mu.
func (r *Runtime) enqueue(f Finding) {
	select {
	case r.collect <- f:
		r.open[f.Record.ID] = f.Record
	default:
		last := &r.pending.Records[len(r.pending.Records)-1]
		if r.wantsLog(&f) {
			last.Log = &record.Log{Missing: "not captured: too many containers stopped at the same time"}
			r.opts.Meter.Captured("skipped")
		}
		r.opts.Meter.Complete(last)
	}
}

// wantsLog tells whether the log tail of a stop is worth reading: of failures and
// disruptions of containers that still exist in a pod that does.
func (r *Runtime) wantsLog(f *Finding) bool {
	s := f.Record.Stop
	return r.opts.Logs != nil && s != nil && f.Pod != nil && f.Record.Category != record.Lifecycle && s.ExitObserved && s.ContainerID != ""
}

func (r *Runtime) collector(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-r.collect:
			r.complete(ctx, f)
		}
	}
}

// complete collects a record's log, events and owner, and stores it again with them.
func (r *Runtime) complete(ctx context.Context, f Finding) {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	id := f.Record.ID
	// The log first: it is what disappears.
	log := r.captureLog(ctx, &f)
	diagnosed := r.opts.Events != nil && wantsEvents(&f)
	if diagnosed {
		events, err := r.opts.Events.Events(ctx, f.Record.Namespace, f.Record.PodUID)
		r.engine.AddEvents(&f, events, r.opts.Now(), err)
	}
	workload, missing := owner(ctx, r.opts.Owners, &f)

	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.open[id].Clone() // the newest form, if it was relabelled meanwhile
	r.done = append(r.done, id)
	defer signal(r.wake)
	if log != nil {
		rec.Log = log
	}
	if workload != nil {
		rec.Workload = workload
	}
	if diagnosed && rec.Reason == f.Record.Reason {
		rec.Category, rec.Diagnosis, rec.WillRestart = f.Record.Category, f.Record.Diagnosis, f.Record.WillRestart
	}
	if missing != nil {
		rec.Diagnosis.Missing = append(rec.Diagnosis.Missing, *missing)
	}
	r.opts.Meter.Complete(&rec)
	if log != nil || workload != nil || diagnosed || missing != nil {
		r.open[id] = rec
		r.pending.Records = append(r.pending.Records, rec)
	}
}

func (r *Runtime) captureLog(ctx context.Context, f *Finding) *record.Log {
	if !r.wantsLog(f) {
		return nil
	}
	log := r.engine.tail(ctx, r.opts.Logs, f)
	outcome := "captured"
	if log.Missing != "" {
		outcome = "missing"
	}
	r.opts.Meter.Captured(outcome)
	return log
}
