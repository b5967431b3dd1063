package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// collectTimeout bounds what is spent on the evidence of one finding.
	collectTimeout = 20 * time.Second
	// queued bounds the findings of each kind that wait to be collected for.
	queued = 1000
	// queuedBytes bounds roughly the memory of the pods of the stops among them.
	queuedBytes = 32 << 20
	// tick is how often stalls are looked for, and findings looked at again.
	tick = time.Second
	// bootsEvery is how often the nodes are read to know of their boots.
	bootsEvery = 10 * time.Minute
)

// collectForStops completes the stops that are queued until ctx ends.
func (r *Runtime) collectForStops(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-r.stops:
			r.mu.Lock()
			r.queued -= weighPod(f.Pod)
			r.mu.Unlock()
			r.within(ctx, func(ctx context.Context) { r.complete(ctx, f) })
		}
	}
}

// lookAgain diagnoses what is queued beside new stops until ctx ends. These wait for nothing
// that takes as long as a log.
func (r *Runtime) lookAgain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-r.late:
			r.within(ctx, func(ctx context.Context) { r.again(ctx, id) })
		case ep := <-r.stalls:
			r.within(ctx, func(ctx context.Context) { r.stall(ctx, &ep) })
		case found := <-r.doubts:
			r.within(ctx, func(ctx context.Context) { r.whether(ctx, found) })
		}
	}
}

// doubt queues the ends of a pod that a list with a selector lacks: it is gone, or its labels no longer
// fit, and then it goes on. The caller holds mu.
func (r *Runtime) doubt(uid string, found []Finding) {
	if len(found) == 0 {
		return
	}
	select {
	case r.doubts <- found:
	default: // what cannot be asked is not claimed
		r.opts.Logger.Warn("cannot tell whether a pod is gone or was relabelled: too many at once", "uid", uid)
	}
}

// whether records the ends of a pod if it is gone.
func (r *Runtime) whether(ctx context.Context, found []Finding) {
	if r.opts.Readers.Cluster == nil {
		return
	}
	of := &found[0].Record
	pod, err := r.opts.Readers.Cluster.Pod(ctx, of.Namespace, of.Pod)
	r.opts.Meter.Read(whatPod, err)
	switch {
	case err == nil && string(pod.UID) == of.PodUID:
		return // it is there
	case err != nil && !apierrors.IsNotFound(err):
		r.opts.Logger.Warn("cannot tell whether a pod is gone or was relabelled", "namespace", of.Namespace, "pod", of.Pod, "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add("", found)
}

func (r *Runtime) within(ctx context.Context, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	do(ctx)
}

// collect hands a finding to the collectors; false where they are too far behind. The caller
// holds mu.
func (r *Runtime) collect(f Finding) bool {
	if r.queued += weighPod(f.Pod); r.queued > queuedBytes {
		r.queued -= weighPod(f.Pod)
		return false
	}
	select {
	case r.stops <- f:
	default:
		r.queued -= weighPod(f.Pod)
		return false
	}
	o, ok := r.open[f.Record.ID]
	if !ok {
		o = new(opened)
		r.open[f.Record.ID] = o
	}
	f.Evidence.Partial = true
	o.Finding, o.collecting = f, true
	o.rounds++
	r.recents.put(f, r.opts.Now()).collecting = true
	r.keep(&f)
	return true
}

// renewed takes a stop that the detector returned again after everything was collected for it.
// What was read of it stays, but a new label can ask for more than the old one did: the log of what
// was no failure then, the node of one that was not out of memory. The caller holds mu.
func (r *Runtime) renewed(f *Finding) {
	if r.collector.wantsLog(f) && f.Record.Log == nil && r.collect(*f) {
		return
	}
	if o, ok := r.open[f.Record.ID]; ok {
		o.Finding = *f
	}
	kept := r.recents.put(*f, r.opts.Now())
	r.look([]*recent{kept})
}

// enqueue hands a finding to the collectors, or, where they are too far behind, says in
// the record that nothing was collected: detection does not wait. The caller holds mu.
func (r *Runtime) enqueue(f Finding) {
	if r.collect(f) {
		return
	}
	last := &r.pending.Records[len(r.pending.Records)-1]
	const why = tooMany
	r.opts.Witness.skipped()
	if r.collector.wantsLog(&f) {
		last.Log = &record.Log{Missing: "not captured: " + why}
		r.opts.Meter.Captured("skipped")
	}
	if f.Record.Category != record.Lifecycle {
		if r.opts.Readers.Events != nil && !f.Evidence.EventsRead {
			miss(&f.Evidence, whatEvents, why)
		}
		if r.opts.Readers.Cluster != nil && f.Evidence.Pod.Node != "" {
			miss(&f.Evidence, whatNode, why)
		}
		r.engine.explain(&f)
		last.Category, last.Diagnosis, last.WillRestart = f.Record.Category, f.Record.Diagnosis, f.Record.WillRestart
	}
	r.keep(&f)
	if !f.Refined {
		r.opts.Meter.Complete(last)
	}
}

// complete collects what explains a stop, and stores its record again with that.
func (r *Runtime) complete(ctx context.Context, f Finding) {
	before := f.Record
	f.Record = f.Record.Clone()
	f.Evidence = copied(f.Evidence)
	r.collector.stop(ctx, &f)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the end of the process: the next one goes on with it
	}
	if f.Record.Log != nil {
		outcome := "captured"
		if f.Record.Log.Missing != "" {
			outcome = "missing"
		}
		r.opts.Meter.Captured(outcome)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.open[f.Record.ID]
	if !ok { // never so
		o = &opened{rounds: 1}
		r.open[f.Record.ID] = o
	}
	another := o.Record.Stop != nil && relabelled(before.Stop, o.Record.Stop)
	if another {
		newer := o.Finding
		newer.Refined = f.Refined
		carry(&f, &newer)
		r.engine.explain(&newer)
		f = newer
	}
	f.Evidence.Partial = false
	o.Finding, o.collecting = f, false
	r.done = append(r.done, f.Record.ID)
	kept := r.recents.put(f, r.opts.Now())
	kept.collecting = false
	r.keep(&f)
	r.push(f.Record)
	missed := kept.missed
	kept.missed = false
	switch {
	case another:
		r.renewed(&f)
	case missed:
		r.look([]*recent{kept})
	}
	if !f.Refined {
		r.opts.Meter.Complete(&f.Record)
	}
}

// relabelled tells that the detector returned a stop again with another state.
func relabelled(a, b *record.Stop) bool {
	return a.Reason != b.Reason || a.ContainerID != b.ContainerID || (a.ExitCode == nil) != (b.ExitCode == nil) ||
		a.ExitCode != nil && *a.ExitCode != *b.ExitCode || a.Message != b.Message
}

// push queues a record for the store. It does not wait, unlike add: what it is called for are
// records of stops and stalls that are known, and of which only the newest form is kept where
// they pile up because the store cannot be written. The caller holds mu.
func (r *Runtime) push(rec record.Record) {
	p := &r.pending
	p.put(rec)
	if len(p.Records) >= r.compactAt || p.bytes >= r.compactBytes {
		p.compact()
		r.compactAt, r.compactBytes = max(r.opts.MaxPending, 2*len(p.Records)), max(compactFrom, 2*p.bytes)
	}
	signal(r.wake)
}

// keep stores the evidence of a finding with the next batch. Its log is that of the record.
func (r *Runtime) keep(f *Finding) {
	r.pending.explain(f.Record.ID, WithoutLog(f.Evidence))
}

// WithoutLog returns evidence as it is stored, beside a record that has the log's lines.
func WithoutLog(e evidence.Evidence) evidence.Evidence {
	if e.Log != nil {
		log := *e.Log
		log.Lines = nil
		e.Log = &log
	}
	return e
}

// WithLog returns stored evidence with the lines of its record's log.
func WithLog(e evidence.Evidence, log *record.Log) evidence.Evidence {
	if e.Log != nil && log != nil && len(e.Log.Lines) == 0 {
		l := *e.Log
		l.Lines = log.Lines
		e.Log = &l
	}
	return e
}

// look queues findings to be looked at again. What does not fit is looked at no more, which
// is counted. The caller holds mu.
func (r *Runtime) look(found []*recent) {
	for _, f := range found {
		if f.collecting {
			f.missed = true
			continue
		}
		if f.queued {
			continue
		}
		select {
		case r.late <- f.Record.ID:
			f.queued = true
		default:
			r.opts.Meter.Late("dropped")
		}
	}
}

// again looks at a stop once more, whose evidence may have grown.
func (r *Runtime) again(ctx context.Context, id string) {
	r.mu.Lock()
	kept, ok := r.recents.byID[id]
	if !ok {
		r.mu.Unlock()
		return
	}
	kept.queued = false
	f := kept.Finding
	r.mu.Unlock()

	before, had := f.Record, f.Evidence.Missing
	f.Record = f.Record.Clone()
	f.Evidence = copied(f.Evidence)
	r.collector.refresh(ctx, &f)
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	news := len(before.Changes) == 0 && len(f.Record.Changes) > 0 || regained(had, f.Evidence.Missing)
	if other := differs(&before, &f.Record); !other && !news || other && weaker(&before, &f.Record) {
		r.opts.Meter.Late("same")
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kept, ok = r.recents.byID[id]
	if !ok || relabelled(kept.Record.Stop, before.Stop) {
		return // it changed meanwhile, and is looked at with what it is now
	}
	kept.Finding = f
	r.keep(&f)
	r.push(f.Record)
	r.opts.Meter.Late("changed")
}

// copied returns evidence whose lists can be replaced or appended to, for what collects again.
func copied(e evidence.Evidence) evidence.Evidence {
	e.Missing = append([]record.Missing(nil), e.Missing...)
	if e.Node != nil {
		n := *e.Node
		e.Node = &n
	}
	if e.Owner != nil {
		o := *e.Owner
		e.Owner = &o
	}
	if e.History != nil {
		h := *e.History
		e.History = &h
	}
	return e
}

// regained tells that a reading which had failed did not fail again.
func regained(before, after []record.Missing) bool {
	return slices.ContainsFunc(before, func(b record.Missing) bool {
		return passing(b) && !slices.ContainsFunc(after, func(a record.Missing) bool { return a.What == b.What })
	})
}

// passing tells of a reading that another attempt may have: not of one that is denied.
func passing(m record.Missing) bool {
	switch m.What {
	case whatNode, whatNodeEvents, whatEvents, whatOwner, whatOwnerEvents, whatNamespace:
		return !strings.Contains(m.Why, "forbidden")
	}
	return false
}

// differs tells that a diagnosis says something else.
func differs(a, b *record.Record) bool {
	x, y := &a.Diagnosis, &b.Diagnosis
	return x.Cause != y.Cause || x.Detail != y.Detail || x.Confidence != y.Confidence || a.Category != b.Category
}

// weaker tells that a diagnosis says the same as another and is less sure of it: then
// evidence was lost and not gained. What a probe got is what it got before the kill; that
// nobody listens while the container is being stopped comes later, and explains nothing.
func weaker(a, b *record.Record) bool {
	x, y := &a.Diagnosis, &b.Diagnosis
	if x.Cause != y.Cause || a.Category != b.Category || x.Confidence != record.Confirmed {
		return false
	}
	probe := x.Cause == "liveness_probe" || x.Cause == "startup_probe"
	return x.Detail == y.Detail || probe && x.Detail != ""
}

// Event implements EventSink.
func (r *Runtime) Event(ev *corev1.Event) {
	if r.opts.EventIndex != nil {
		r.opts.EventIndex.Event(ev)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	r.recents.expire(now)
	r.look(r.recents.about(ev))
	switch o := &ev.InvolvedObject; o.Kind {
	case "Pod":
		r.ward.tracker.Touch(string(o.UID), now)
	case "Node":
	default:
		if r.opts.Selection == "" && r.opts.Shard.Contains(o.Namespace) && inScopes(r.opts.Scopes, o.Namespace) {
			r.ended(r.ward.absent.event(ev, now))
		}
	}
}

func inScopes(scopes []string, namespace string) bool {
	for _, s := range scopes {
		if s == "" || s == namespace {
			return true
		}
	}
	return false
}

// EventTrouble implements EventSink.
func (r *Runtime) EventTrouble(scope string, err error) {
	if r.opts.EventIndex != nil {
		r.opts.EventIndex.EventTrouble(scope, err)
	}
	said := ""
	if err != nil {
		said = err.Error()
	}
	if scope == "" {
		r.opts.Witness.events(r.opts.Shard.Scope(), err)
	} else {
		r.opts.Witness.events(scope, err)
	}
	r.mu.Lock()
	news := r.eventTroubles[scope] != said
	r.eventTroubles[scope] = said
	r.mu.Unlock()
	switch {
	case !news:
	case err != nil:
		r.opts.Logger.Warn("cannot watch events; they are read one by one for what stops", "scope", scope, "err", err)
	default:
		r.opts.Logger.Info("watching events", "scope", scope)
	}
}

// beat does what has to be done now and then: it queues the stalls that are due and the
// findings to look at again.
func (r *Runtime) beat() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	r.recents.expire(now)
	r.look(r.recents.due(now))
	r.ended(r.ward.absent.silent(now))
	for _, ep := range r.ward.due(now) {
		select {
		case r.stalls <- ep:
		default: // it is due again after a while
		}
	}
	if r.opts.EventIndex != nil {
		r.opts.Meter.Events(r.opts.EventIndex.Kept())
	}
}

// stall diagnoses an episode, and records it if it is a stall; one that has ended is
// recorded with its end.
func (r *Runtime) stall(ctx context.Context, ep *detect.Episode) {
	if !ep.End.IsZero() {
		r.endedUnknown(ctx, ep)
		return
	}
	r.mu.Lock()
	full := r.ward.pods[ep.PodUID].full
	ref := r.ward.absent.ref(ep)
	r.mu.Unlock()
	pod, err := r.collector.podOf(ctx, ep, full)
	f := r.engine.stall(ep, pod, r.opts.Now())
	if err != nil {
		miss(&f.Evidence, whatPod, err.Error())
	}
	ofController(&f, ref)
	found := r.collector.stall(ctx, &f)

	r.mu.Lock()
	defer r.mu.Unlock()
	of := &f
	if !found {
		of = nil
	}
	switch r.ward.judged(ep, of, r.opts.Now()) {
	case stallBegins:
		r.opts.Meter.Complete(&f.Record)
	case stallChanges:
	case noNews:
		return
	}
	r.keep(&f)
	r.push(f.Record)
}

// ended records the ends of stalls. The caller holds mu.
func (r *Runtime) ended(episodes []detect.Episode) {
	for i := range episodes {
		rec, ok := r.ward.ended(&episodes[i])
		if !ok {
			select {
			case r.stalls <- episodes[i]: // its record is read from the history
			default:
				r.opts.Meter.Late("dropped")
			}
			continue
		}
		r.push(rec)
	}
}

// endedUnknown records the end of a stall whose record is not at hand.
func (r *Runtime) endedUnknown(ctx context.Context, ep *detect.Episode) {
	if r.opts.Archive == nil {
		return
	}
	rec, err := r.opts.Archive.Get(ctx, ep.ID())
	if err != nil {
		r.opts.Logger.Warn("cannot record the end of a stall", "namespace", ep.Namespace, "pod", ep.Pod, "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.push(withEnd(rec, ep.End))
}

// busy tells that more stops wait to be collected for than are at once.
func (r *Runtime) busy() bool { return len(r.stops) > r.opts.Workers }

// keepObserved stores what was newly seen of nodes with the next batch.
func (r *Runtime) keepObserved(news []record.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.Observed = append(r.pending.Observed, news...)
}

// watchedSince is when a namespace was watched for the first time, by this run or an earlier one.
func (r *Runtime) watchedSince(namespace string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	var since time.Time
	for name, sc := range r.scopes {
		if name != "" && name != namespace {
			continue
		}
		if s := sc.since(namespace); since.IsZero() || s.Before(since) {
			since = s
		}
	}
	return since
}

// readBoots reads the nodes now and then, to know of a container that ends whether its node was
// booted or changed meanwhile.
func (r *Runtime) readBoots(ctx context.Context) {
	if r.opts.Readers.Cluster == nil {
		return
	}
	every := time.NewTicker(bootsEvery)
	defer every.Stop()
	for {
		nodes, err := r.opts.Readers.Cluster.Nodes(ctx)
		r.opts.Meter.Read(whatScheduling, err)
		now := r.opts.Now()
		for _, n := range nodes {
			r.collector.sawNode(n, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
