package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/dump"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// Replay finds the stops in recorded watch events and calls show for each, in order.
// The first error of show ends it.
func Replay(ctx context.Context, cluster string, files []string, stdin io.Reader, show func(record.Record) error) (record.Coverage, error) {
	return replay(ctx, cluster, show, func(handle func(dump.Event) error) ([]record.Missing, error) {
		return dump.ReplayFiles(ctx, files, stdin, dump.Limits{}, handle)
	})
}

// ReplayStream is Replay for one stream; before is called with each event first.
func ReplayStream(ctx context.Context, name string, r io.Reader, before func(dump.Event) error, show func(record.Record) error) (record.Coverage, error) {
	return replay(ctx, "", show, func(handle func(dump.Event) error) ([]record.Missing, error) {
		return dump.ReadWatch(ctx, name, r, dump.Limits{}, func(ev dump.Event) error {
			if err := before(ev); err != nil {
				return err
			}
			return handle(ev)
		})
	})
}

func replay(ctx context.Context, cluster string, show func(record.Record) error, read func(func(dump.Event) error) ([]record.Missing, error)) (record.Coverage, error) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return record.Coverage{}, err
	}
	objects := dump.NewObjects()
	events := &dumpEvents{objects: objects}
	shown := make(map[string]record.Record) // by ID: one that comes again replaces the earlier one
	var failed error
	off := &pipeline.Offline{
		Context:  ctx,
		Cluster:  cluster,
		Redactor: redactor,
		Readers:  pipeline.Readers{Owners: objects, Events: events, Cluster: objects},
		AsOf:     events.asOf,
		Emit: func(f pipeline.Finding) {
			shown[f.Record.ID] = record.Record{Stop: f.Record.Stop}
			if failed == nil {
				failed = show(f.Record)
			}
		},
	}
	missing, err := read(func(ev dump.Event) error {
		objects.Apply(ev)
		events.saw(ev.Object)
		ev.Deliver(off, "")
		if ev.Type == dump.Deleted {
			return failed
		}
		switch obj := ev.Object.(type) {
		case *corev1.Event:
			off.Event(obj)
		case *corev1.Node:
			off.Node(obj)
		}
		return failed
	})
	off.Finish()
	if err == nil {
		err = failed
	}
	return coverage(off, slices.Collect(maps.Values(shown)), missing), err
}

// LookInto finds in a recorded state of a cluster what Look finds in a live one.
func LookInto(ctx context.Context, cluster, path string, stdin io.Reader, filter func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return nil, record.Coverage{}, err
	}
	d, err := dump.ReadDump(ctx, path, stdin, dump.Limits{})
	if err != nil {
		return nil, record.Coverage{}, err
	}
	events := &dumpEvents{objects: d.Objects, latest: d.At}
	for _, ev := range dump.All[*corev1.Event](d.Objects) {
		events.saw(ev)
	}
	for _, pod := range dump.All[*corev1.Pod](d.Objects) {
		events.saw(pod)
	}
	for _, node := range dump.All[*corev1.Node](d.Objects) {
		events.saw(node)
	}
	var found []pipeline.Finding
	off := &pipeline.Offline{
		Context:  ctx,
		Cluster:  cluster,
		Redactor: redactor,
		Readers:  pipeline.Readers{Owners: d.Objects, Events: events, Logs: d.Objects, Cluster: d.Objects},
		AsOf:     events.asOf,
		Snapshot: true,
		Filter:   filter,
		Emit:     func(f pipeline.Finding) { found = append(found, f) },
	}
	d.Objects.Replace(off, "")
	for _, ev := range dump.All[*corev1.Event](d.Objects) {
		off.Event(ev)
	}
	off.Finish()
	return found, Coverage(off, found, d.Missing), nil
}

// dumpEvents reads events from what was recorded. A recording without any event was
// made without them, which says nothing of what happened; and one with events about pods
// alone says nothing of what controllers did.
type dumpEvents struct {
	objects *dump.Objects
	any     bool
	// pods are those that were seen, others tells that there is an event about something else.
	pods   map[types.UID]bool
	others bool
	// spaces are the namespaces of which there is any event: one in which a container was
	// started or ended has some, unless they were not recorded.
	spaces map[string]bool
	// nodes tells that events about nodes were recorded, or those of the namespace that they
	// are written to: the default one, as a node has none (client-go's recorder).
	nodes  bool
	latest time.Time
	// aboutNodes holds them by the node's name, which writers agree on: the kubelet gives no
	// UID or the name for one.
	aboutNodes map[string]map[types.UID]*corev1.Event
}

// saw takes an object, for the time that it tells.
func (d *dumpEvents) saw(obj dump.Object) {
	if d.pods == nil {
		d.pods, d.spaces = make(map[types.UID]bool), make(map[string]bool)
	}
	switch obj := obj.(type) {
	case *corev1.Event:
		d.any = true
		d.spaces[obj.InvolvedObject.Namespace] = true
		if obj.InvolvedObject.Kind == "Pod" {
			d.pods[obj.InvolvedObject.UID] = true
		} else {
			d.others = true
		}
		if obj.InvolvedObject.Kind == "Node" || obj.Namespace == metav1.NamespaceDefault {
			d.nodes = true
		}
		d.sawNode(obj)
	case *corev1.Pod:
		d.pods[obj.UID] = true
	}
	if t := newestTime(obj); t.After(d.latest) {
		d.latest = t
	}
}

func (d *dumpEvents) sawNode(ev *corev1.Event) {
	o := &ev.InvolvedObject
	if o.Kind != "Node" {
		return
	}
	if d.aboutNodes == nil {
		d.aboutNodes = make(map[string]map[types.UID]*corev1.Event)
	}
	if d.aboutNodes[o.Name] == nil {
		d.aboutNodes[o.Name] = make(map[types.UID]*corev1.Event)
	}
	d.aboutNodes[o.Name][ev.UID] = ev
}

// newestTime is the newest time that an object tells of itself: when it was written last,
// where that was recorded.
func newestTime(obj dump.Object) time.Time {
	if obj == nil {
		return time.Time{}
	}
	if ev, ok := obj.(*corev1.Event); ok {
		return extract.EventTime(ev)
	}
	newest := obj.GetCreationTimestamp().Time
	later := func(t time.Time) {
		if t.After(newest) {
			newest = t
		}
	}
	for _, f := range obj.GetManagedFields() {
		if f.Time != nil {
			later(f.Time.Time)
		}
	}
	if node, ok := obj.(*corev1.Node); ok {
		// Where nothing happens any more, the kubelet still reports, every five minutes at least.
		for i := range node.Status.Conditions {
			later(node.Status.Conditions[i].LastHeartbeatTime.Time)
		}
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		for i := range pod.Status.Conditions {
			later(pod.Status.Conditions[i].LastTransitionTime.Time)
		}
		for i := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[i]
			if s.State.Running != nil {
				later(s.State.Running.StartedAt.Time)
			}
			for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
				if t != nil {
					later(t.FinishedAt.Time)
				}
			}
		}
	}
	return newest
}

// asOf is about when the recording was made: the newest time in it.
func (d *dumpEvents) asOf() time.Time { return d.latest }

// Events implements pipeline.EventReader.
func (d *dumpEvents) Events(_ context.Context, namespace, uid string) ([]*corev1.Event, error) {
	if !d.any || !d.spaces[namespace] || !d.others && !d.pods[types.UID(uid)] {
		return nil, errNoEvents
	}
	return d.objects.EventsAbout(types.UID(uid)), nil
}

// NodeEvents implements pipeline.NodeEventReader.
func (d *dumpEvents) NodeEvents(_ context.Context, name string) ([]*corev1.Event, error) {
	if !d.nodes {
		return nil, errNoNodeEvents
	}
	return slices.SortedFunc(maps.Values(d.aboutNodes[name]), func(a, b *corev1.Event) int {
		return cmp.Or(extract.EventTime(a).Compare(extract.EventTime(b)), cmp.Compare(a.Name, b.Name))
	}), nil
}

var (
	errNoEvents     = errors.New("no events were recorded")
	errNoNodeEvents = errors.New("no events of nodes were recorded")
)
