package pipeline

import (
	"context"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Offline is a Sink for recorded input: everything is there already, so that each
// record is complete when it is emitted, and nothing depends on the clock.
type Offline struct {
	Engine *Engine
	Owners OwnerResolver
	// Logs may be nil: then records have no log.
	Logs     LogReader
	Redactor Redactor
	// Emit takes each record in the order of the stops; one that comes again with the
	// same ID replaces the earlier one.
	Emit func(record.Record)

	// Pods counts those that were shown, Troubles holds what the recording says went wrong.
	Pods     int
	Troubles []record.Missing

	seen map[string]bool
}

// Replace implements Sink.
func (o *Offline) Replace(scope string, pods []Object, _ string) {
	for i := range pods {
		o.Apply(scope, pods[i])
	}
}

// Apply implements Sink.
func (o *Offline) Apply(_ string, pod Object) {
	o.count(pod.View.UID)
	o.emit(o.Engine.Observe(&pod, true, time.Time{}))
}

// Delete implements Sink.
func (o *Offline) Delete(_ string, pod Object) {
	o.count(pod.View.UID)
	o.emit(o.Engine.Delete(&pod, true, time.Time{}))
}

// Progress implements Sink; a recording makes none.
func (o *Offline) Progress(string, string) {}

// Trouble implements Sink.
func (o *Offline) Trouble(_ string, err error) {
	if err != nil {
		o.Troubles = append(o.Troubles, record.Missing{What: "part of the watch", Why: err.Error()})
	}
}

func (o *Offline) count(uid string) {
	if o.seen == nil {
		o.seen = make(map[string]bool)
	}
	if !o.seen[uid] {
		o.seen[uid] = true
		o.Pods++
	}
}

func (o *Offline) emit(found []Finding) {
	for i := range found {
		f := &found[i]
		r := &f.Record
		if f.Pod != nil && o.Owners != nil {
			w, err := o.Owners.Workload(context.Background(), f.Pod)
			r.Workload = w
			if err != nil {
				r.Diagnosis.Missing = append(r.Diagnosis.Missing, record.Missing{What: "owner of the pod", Why: err.Error()})
			}
		}
		if o.Logs != nil && r.Stop != nil && f.Pod != nil && r.ContainerID != "" {
			log := o.Logs.Tail(context.Background(), logRequest(f))
			if o.Redactor != nil {
				log.Lines, log.Redactions = o.Redactor.Lines(log.Lines)
			}
			r.Log = &log
		}
		o.Emit(*r)
	}
}

var _ Sink = (*Offline)(nil)
