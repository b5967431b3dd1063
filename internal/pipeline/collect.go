package pipeline

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// What can be missing, in words that rules and people tell readings apart by.
const (
	whatPod         = "pod"
	whatEvents      = "events of the pod"
	whatOlderEvents = "older events of the pod"
	whatNode        = "node"
	whatNodeEvents  = "node events"
	whatOwner       = "owner of the pod"
	whatOwnerEvents = "events of the owner"
	whatNamespace   = "namespace"
	whatLog         = "log"
	whatClaims      = "claims"
	whatClaimEvents = "events of the claims"
	whatScheduling  = "nodes"
	whatUsage       = "pods on the nodes"
	whatHistory     = "history"
)

// Readers are what evidence is collected from, beside the pod itself. What is nil is not
// read.
type Readers struct {
	Owners  OwnerResolver
	Events  EventReader
	Logs    LogReader
	Cluster ClusterReader
	History HistoryReader
}

// collector gathers what rules may look at. It may be used from several goroutines.
type collector struct {
	Readers
	engine *Engine
	near   *neighbourhood
	boots  *boots
	// changes remembers what was read of what changed.
	changes *changes
	// watched tells since when a namespace is watched for failures, nil where nothing is known of
	// that; keepObserved takes what is to be kept of the nodes, nil for nobody.
	watched func(namespace string) time.Time
	// busy tells that stops wait to be collected for, nil for never.
	busy         func() bool
	keepObserved func([]record.Observation)
	past         past
	// now is when what is read is as it is.
	now func() time.Time
	// live tells that events may still be on their way.
	live bool
	// read counts a reading, nil for none.
	read func(what string, err error)
}

func newCollector(e *Engine, r Readers, now func() time.Time) *collector {
	return &collector{Readers: r, engine: e, near: new(neighbourhood), boots: new(boots), changes: newChanges(), now: now}
}

// wantsLog tells whether the log tail of a stop is worth reading: of failures and
// disruptions of containers that still exist in a pod that does.
func (c *collector) wantsLog(f *Finding) bool {
	s := f.Record.Stop
	return c.Logs != nil && s != nil && f.Pod != nil && f.Record.Category != record.Lifecycle && s.ExitObserved && s.ContainerID != ""
}

// stop gathers everything for a stop and diagnoses it: the log first, it is what disappears.
func (c *collector) stop(ctx context.Context, f *Finding) {
	if c.wantsLog(f) {
		f.Record.Log = c.engine.tail(ctx, c.Logs, f)
		f.Evidence.Log = &evidence.Log{Lines: f.Record.Log.Lines, Proven: f.Record.Log.Instance == record.LogProven, Truncated: f.Record.Log.Truncated}
		if why := f.Record.Log.Missing; why != "" {
			f.Evidence.Log = nil
			miss(&f.Evidence, whatLog, why)
		}
	}
	c.workload(ctx, f)
	c.history(ctx, f)
	c.refresh(ctx, f)
}

// workload resolves the root owner of a pod, and the group that it is in.
func (c *collector) workload(ctx context.Context, f *Finding) {
	if f.Pod == nil || c.Owners == nil {
		return
	}
	w, err := c.Owners.Workload(ctx, f.Pod)
	f.Record.Workload, f.Evidence.Pod.Workload = w, w
	c.engine.group(f, f.Pod.Annotations)
	c.note(&f.Evidence, whatOwner, err)
}

// refresh reads what may have changed since a stop was diagnosed, and diagnoses it again.
func (c *collector) refresh(ctx context.Context, f *Finding) {
	e := &f.Evidence
	e.AsOf = c.now().UTC()
	if wantsEvents(f) {
		c.podEvents(ctx, e)
		c.engine.explain(f)
	}
	if f.Record.Category != record.Lifecycle {
		c.node(ctx, e)
		e.Neighbours = c.near.around(f)
	}
	if c.wantsOwner(e) {
		c.owner(ctx, e, f.Pod)
	}
	c.engine.explain(f)
	if c.changed(ctx, f) {
		c.engine.explain(f)
	}
}

// wantsEvents tells whether the events of the pod could say more than is known of a stop.
func wantsEvents(f *Finding) bool {
	return f.Record.Stop != nil && f.Record.ExitObserved && (f.Record.Category != record.Lifecycle || f.Record.Diagnosis.Confidence != record.Confirmed)
}

// wantsOwner tells whether who owns the pod, and what became of that, can explain the stop:
// where the pod was deleted, and where a Job ends its pods.
func (c *collector) wantsOwner(e *evidence.Evidence) bool {
	if c.Cluster == nil || e.Pod.Owner == nil {
		return c.Cluster != nil && !e.Pod.DeletionTimestamp.IsZero()
	}
	return !e.Pod.DeletionTimestamp.IsZero() || e.Pod.Owner.Kind == "Job" || e.Stop != nil && !e.Stop.ExitObserved
}

func (c *collector) podEvents(ctx context.Context, e *evidence.Evidence) {
	if c.Events == nil {
		return
	}
	events, err := c.Events.Events(ctx, e.Pod.Namespace, e.Pod.UID)
	if uid := e.Pod.EventUID; uid != "" && uid != e.Pod.UID && err == nil {
		var more []*corev1.Event
		more, err = c.Events.Events(ctx, e.Pod.Namespace, uid)
		events = append(slices.Clone(events), more...)
	}
	c.note(e, whatEvents, err)
	if err == nil {
		e.Missing = slices.DeleteFunc(e.Missing, func(m record.Missing) bool { return m.What == whatOlderEvents })
		before := e.Events
		extract.AddEvents(e, events, c.now())
		e.Events = occurred(before, e)
	}
}

// atHand diagnoses a stop with the events of its pod that need not be read, so that what is
// stored at once is as good as it can be.
func (c *collector) atHand(f *Finding) {
	index, ok := c.Events.(*EventIndex)
	if !ok || !wantsEvents(f) || f.Evidence.Pod.EventUID != "" {
		return
	}
	if events, all := index.atHand(f.Record.Namespace, f.Record.PodUID); all {
		f.Evidence.AsOf = c.now().UTC()
		extract.AddEvents(&f.Evidence, events, c.now())
		c.engine.explain(f)
	}
}

// occurred returns the events of evidence, with what was known of them before: an event
// that repeats keeps its first and last time alone, so that what it said of a stop is lost
// with its next occurrence, which is of a later instance. One that the API has no more stays.
func occurred(before []evidence.Event, e *evidence.Evidence) []evidence.Event {
	if len(before) == 0 || e.Stop == nil || e.Stop.FinishedAt.IsZero() {
		return e.Events
	}
	until := e.Stop.FinishedAt.Add(eventsAfter)
	out := slices.Clone(e.Events)
	for _, was := range before {
		i := slices.IndexFunc(out, func(is evidence.Event) bool {
			return is.Reason == was.Reason && is.Container == was.Container && is.Other == was.Other && is.Source == was.Source &&
				is.First.Equal(was.First) && (is.Message == was.Message || is.Combined || was.Combined)
		})
		switch {
		case i < 0:
			out = append(out, was)
		case out[i].Last.After(until) && !was.Last.After(until):
			out[i] = was
		}
	}
	slices.SortStableFunc(out, func(a, b evidence.Event) int { return a.Last.Compare(b.Last) })
	return out
}

// eventsAfter is how long after the end of an instance events are still about it.
const eventsAfter = 5 * time.Second

// node reads the pod's node and the events about it.
func (c *collector) node(ctx context.Context, e *evidence.Evidence) {
	name := e.Pod.Node
	if name == "" {
		return
	}
	var events []*corev1.Event
	if r, ok := c.Events.(NodeEventReader); ok {
		var err error
		events, err = r.NodeEvents(ctx, name)
		c.note(e, whatNodeEvents, err)
		if err == nil && events == nil {
			events = []*corev1.Event{}
		}
	}
	c.nodeItself(ctx, e, name, events)
	if events != nil {
		if e.Node == nil {
			e.Node = &evidence.Node{Name: name}
		}
		e.Node.EventsRead, e.Node.Events = true, extract.Events(events)
	}
	if s := e.Stop; s != nil {
		if id := c.boots.during(name, s.StartedAt, s.FinishedAt); id != "" {
			if e.History == nil {
				e.History = &evidence.History{}
			}
			e.History.BootID = id
		}
	}
}

func (c *collector) nodeItself(ctx context.Context, e *evidence.Evidence, name string, events []*corev1.Event) {
	if c.Cluster == nil {
		return
	}
	n, err := c.Cluster.Node(ctx, name)
	switch {
	case err == nil:
		e.Node = extract.Node(n, events)
		c.sawNode(n, c.now())
	case apierrors.IsNotFound(err):
		e.Node, err = &evidence.Node{Name: name, Gone: true}, nil
	}
	c.note(e, whatNode, err)
}

// owner reads the controllers above the pod and the events about them, and whether the
// namespace goes.
func (c *collector) owner(ctx context.Context, e *evidence.Evidence, pod *corev1.Pod) {
	var ns *corev1.Namespace
	if !e.Pod.DeletionTimestamp.IsZero() {
		var err error
		ns, err = c.Cluster.Namespace(ctx, e.Pod.Namespace)
		c.note(e, whatNamespace, err)
	}
	if pod == nil || metav1.GetControllerOf(pod) == nil {
		if ns != nil && e.Owner == nil {
			e.Owner = extract.Owner(nil, ns, nil, &corev1.Pod{})
		}
		return
	}
	if old := e.Owner; old != nil && len(old.Chain) > 0 && old.Chain[0].Known && !e.AsOf.IsZero() && e.AsOf.Sub(requested(e)) > chainHolds {
		// What the controllers are later says nothing of what they were when they deleted the
		// pod: a rollback gives an old ReplicaSet the newest revision.
		if ns != nil && ns.DeletionTimestamp != nil {
			old.NamespaceDeleting = ns.DeletionTimestamp.UTC()
		}
		c.ownerEvents(ctx, e)
		return
	}
	chain, err := c.Cluster.Controllers(NotBefore(ctx, requested(e)), pod)
	owner := extract.Owner(chain, ns, nil, pod)
	gone := apierrors.IsNotFound(err)
	if gone {
		err = nil
		if n := len(chain); n < len(owner.Chain) {
			owner.Chain[n].Gone = true
		}
	}
	c.note(e, whatOwner, err)
	if old := e.Owner; old != nil && len(chain) == 0 && len(old.Chain) > 0 {
		// It was there when the stop was seen: what it said then is more than that it is gone.
		old.Chain[0].Gone = gone
		if ns != nil {
			old.NamespaceDeleting = owner.NamespaceDeleting
		}
		owner = old
	}
	e.Owner = owner
	c.ownerEvents(ctx, e)
}

// chainHolds is how long after a deletion the controllers are read anew: the first reading may
// have been under way before it.
const chainHolds = 20 * time.Second

// requested is when the deletion of the pod was asked for, or the container ended.
func requested(e *evidence.Evidence) time.Time {
	if t := e.Pod.DeletionTimestamp; !t.IsZero() {
		return t.Add(-time.Duration(e.Pod.DeletionGraceSeconds) * time.Second)
	}
	if e.Stop != nil {
		return e.Stop.FinishedAt
	}
	return time.Time{}
}

// ownerEvents reads the events about the controllers that evidence names.
func (c *collector) ownerEvents(ctx context.Context, e *evidence.Evidence) {
	if c.Events == nil {
		return
	}
	var all []*corev1.Event
	for i := range e.Owner.Chain {
		uid := e.Owner.Chain[i].UID
		if uid == "" {
			continue
		}
		events, err := c.Events.Events(ctx, e.Pod.Namespace, uid)
		c.note(e, whatOwnerEvents, err)
		if err != nil {
			return
		}
		all = append(all, events...)
	}
	// Controllers write their events after what they tell of, and a busy API server takes them
	// later still: that there is none means nothing at first.
	e.Owner.EventsRead = !c.live || e.AsOf.Sub(requested(e)) >= eventsSettle
	e.Owner.Events = extract.Events(all)
}

// eventsSettle is how long the events of a controller may take.
const eventsSettle = 15 * time.Second

// note says in the evidence that a reading failed, or, with a nil error, no longer that it did.
func (c *collector) note(e *evidence.Evidence, what string, err error) {
	if c.read != nil {
		c.read(what, err)
	}
	if err != nil {
		miss(e, what, err.Error())
		return
	}
	e.Missing = slices.DeleteFunc(e.Missing, func(m record.Missing) bool { return m.What == what })
}

// miss says in the evidence what is missing and why, once.
func miss(e *evidence.Evidence, what, why string) {
	for i := range e.Missing {
		if e.Missing[i].What == what {
			e.Missing[i].Why = why
			return
		}
	}
	e.Missing = append(e.Missing, record.Missing{What: what, Why: why})
}

// explain hides what nobody should read in the evidence, and diagnoses by it.
func (e *Engine) explain(f *Finding) {
	e.hide(&f.Evidence)
	if f.Evidence.Stop == nil {
		return
	}
	e.diagnosed(&f.Record, diagnose.Diagnose(&f.Evidence))
}

// carry gives to a finding that the detector returned anew what was collected for its
// earlier form.
func carry(old *Finding, f *Finding) {
	f.Record = record.Refine(old.Record, f.Record)
	o, e := &old.Evidence, &f.Evidence
	e.AsOf, e.EventsRead, e.Events, e.EventsSince = o.AsOf, o.EventsRead, o.Events, o.EventsSince
	e.Log, e.Node, e.Owner, e.Scheduling, e.Claims = o.Log, o.Node, o.Owner, o.Scheduling, o.Claims
	e.Neighbours, e.History = o.Neighbours, o.History
	e.Changes, e.ChangesRead, e.FailingSince, e.Rollout = o.Changes, o.ChangesRead, o.FailingSince, o.Rollout
	if w := o.Pod.Workload; w != nil && e.Pod.Workload == nil {
		// It was resolved, and not only taken for what the pod's own references say.
		f.Record.Workload, e.Pod.Workload, f.Record.Group = w, w, old.Record.Group
	}
	for _, m := range o.Missing {
		if m.What != whatPod {
			miss(e, m.What, m.Why)
		}
	}
	if e.Pod.Node == "" && o.Pod.Node != "" {
		// The pod is gone, and was known before.
		e.Pod, e.Container, e.Others = o.Pod, o.Container, o.Others
	}
	if f.Pod == nil {
		f.Pod = old.Pod
	}
}
