package pipeline

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Offline is a Sink for recorded input: everything is there already, so that each
// record is complete when it is emitted, and nothing depends on the clock.
type Offline struct {
	// Context bounds the reads of Owners, Events and Logs: a Sink is handed none.
	Context context.Context
	Engine  *Engine
	Owners  OwnerResolver
	// Events may be nil: then what only events can tell stays unknown. AsOf is when they
	// were read.
	Events EventReader
	AsOf   func() time.Time
	// Logs may be nil: then records have no log.
	Logs LogReader
	// Filter narrows down the pods that are looked at; nil for all.
	Filter func(*corev1.Pod) bool
	// Emit takes each record in the order of the stops; one that comes again with the
	// same ID replaces the earlier one.
	Emit func(Finding)

	// Pods counts those that were shown, Troubles holds what the recording says went wrong.
	Pods     int
	Troubles []record.Missing

	seen map[string]bool
	// last holds the last stop of every container by the UID of its pod, for evidence
	// that comes late.
	last map[string]map[record.ContainerKey]Finding
}

// Replace implements Sink.
func (o *Offline) Replace(scope string, pods []Object, _ string) {
	for i := range pods {
		o.Apply(scope, pods[i])
	}
}

// Apply implements Sink.
func (o *Offline) Apply(_ string, pod Object) {
	if !o.wanted(&pod) {
		return
	}
	o.count(pod.View.UID)
	o.emit(o.Engine.Observe(&pod, true, time.Time{}))
}

// Delete implements Sink.
func (o *Offline) Delete(_ string, pod Object) {
	if !o.wanted(&pod) {
		return
	}
	o.count(pod.View.UID)
	o.emit(o.Engine.Delete(&pod, true, time.Time{}))
}

// wanted asks the filter. Where the whole pod was not kept it is asked with its names alone.
func (o *Offline) wanted(obj *Object) bool {
	if o.Filter == nil {
		return true
	}
	pod, err := full(obj)
	if err != nil || pod == nil {
		v := &obj.View
		pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v.Namespace, Name: v.Name, UID: types.UID(v.UID)}}
	}
	return o.Filter(pod)
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
		o.addEvents(f)
		workload, missing := owner(o.Context, o.Owners, f)
		r.Workload = workload
		if missing != nil {
			f.miss(*missing)
		}
		if o.Logs != nil && r.Stop != nil && f.Pod != nil && r.ContainerID != "" {
			r.Log = o.Engine.tail(o.Context, o.Logs, f)
		}
		o.Emit(*f)
		if r.Stop != nil {
			o.remember(*f)
		}
	}
}

func (o *Offline) addEvents(f *Finding) {
	if o.Events == nil || !wantsEvents(f) {
		return
	}
	events, err := o.Events.Events(o.Context, f.Record.Namespace, f.Record.PodUID)
	o.Engine.AddEvents(f, events, o.AsOf(), err)
}

func (o *Offline) remember(f Finding) {
	if o.last == nil {
		o.last = make(map[string]map[record.ContainerKey]Finding)
	}
	uid := f.Record.PodUID
	if o.last[uid] == nil {
		o.last[uid] = make(map[record.ContainerKey]Finding)
	}
	o.last[uid][record.ContainerKey{PodUID: uid, Type: f.Record.ContainerType, Name: f.Record.Container}] = f
}

// Late tells that there are new events about a pod: the last stop of each of its
// containers is emitted again if they change what is known of it.
func (o *Offline) Late(uid string) {
	pod := o.last[uid]
	for _, key := range slices.SortedFunc(maps.Keys(pod), byName) {
		f := pod[key]
		before := f.Record.Diagnosis
		f.Record = f.Record.Clone()
		o.addEvents(&f)
		if after := f.Record.Diagnosis; after.Cause != before.Cause || after.Detail != before.Detail || after.Confidence != before.Confidence {
			pod[key] = f
			o.Emit(f)
		}
	}
}

func byName(a, b record.ContainerKey) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
}

var _ Sink = (*Offline)(nil)
