package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Ledger is where a Runtime keeps what it found, and from where it is told.
type Ledger interface {
	// Append is that of store.Writer.
	Append(ctx context.Context, b store.Batch) error
	// Acknowledge and Changes are the outbox, as in package store.
	Acknowledge(ctx context.Context, o store.Outbox, seq int64) error
	Changes(ctx context.Context, o store.Outbox, limit int) ([]store.Change, error)
	// Marks and Scopes are what earlier runs left.
	Marks(ctx context.Context, cluster string, yield func(record.Mark) bool) error
	Scopes(ctx context.Context, cluster string) (map[string]store.Scope, error)
}

// Meter counts what a Runtime does; see package metrics.
type Meter interface {
	// Complete is called once for every record, when nothing more is collected for it.
	Complete(r *record.Record)
	// Gap is called when a stretch of time was not seen.
	Gap(g record.Gap)
	// Pods tells how many pods are watched, Pending how many records wait to be stored.
	Pods(n int)
	Pending(n int)
	// Stored tells of an attempt to store, Captured of a log tail that was wanted.
	Stored(n int, took time.Duration, err error)
	Captured(outcome string)
	// Trouble tells of a scope that cannot be watched; a nil err that it can again.
	Trouble(scope string, err error)
	// Read tells of an attempt to read evidence, such as "node".
	Read(what string, err error)
	// Late tells of a finding that was to be looked at again: "changed", "same" or "dropped".
	Late(outcome string)
	// Stalling tells that a stall of a cause begins (1) or ends (-1).
	Stalling(cause string, by int)
	// Events tells how many events are kept, and of how many objects they were dropped.
	Events(kept, dropped int)
}

// Options configure a Runtime.
type Options struct {
	// Cluster names the cluster in records; may be empty.
	Cluster string
	// Selection names what is watched of it beside the scope, such as a label selector: a
	// history that was begun with another selection says nothing of this one.
	Selection string
	// Shard is what is recorded of the cluster, and Term that in which it was claimed (see
	// store.Batch); 0 where it was not.
	Shard shard.Shard
	Term  int64
	// Scopes are those that the source will hand over.
	Scopes []string
	Ledger Ledger
	// Readers are what evidence is collected from. Where Events is an EventIndex of a watch,
	// EventIndex is that one, and the Runtime is the watch's EventSink.
	Readers    Readers
	EventIndex *EventIndex
	// Archive is what earlier runs recorded; may be nil: then nothing of it is gone on with.
	Archive  Archive
	Redactor Redactor
	// Merge are the rules that merge issues; nil for none.
	Merge *issue.Rules
	Meter Meter
	// Witness takes what is not seen; nil for one of the Runtime's own.
	Witness *Witness
	Logger  *slog.Logger
	// Now is the watcher's clock.
	Now func() time.Time
	// MaxPending bounds the records that wait to be stored, 20,000 if zero. A source that
	// shows more has to wait; what it cannot show then is counted when it can again.
	MaxPending int
	// Workers bounds the stops that evidence is collected for at once, 8 if zero; half as many
	// more look at stalls, and again at stops.
	Workers int
}

// Runtime is the live pipeline: a Sink for a source, and the work behind it.
type Runtime struct {
	opts      Options
	engine    *Engine
	collector *collector

	mu      sync.Mutex
	room    sync.Cond // pending has room again
	scopes  map[string]*scopeState
	pending pendingQueue
	// compactAt is how many pending records are too many to hold several of one ID.
	compactAt, compactBytes int
	open                    map[string]*opened // by ID: what is collected for, until that is stored
	recents                 recents
	// unfinished are what an earlier run left, until their scope is listed.
	unfinished []Finding
	ward       *ward
	// eventTroubles is what was said last of each scope of events.
	eventTroubles map[string]string
	done          []string // those of open that are complete and pending, once for each time
	closed        bool
	// stored is how far the scopes were stored, by key.
	stored map[string]store.Scope
	// unstored is why the last attempt to store failed, nil if it did not.
	unstored error

	// queued is the weight of the pods in stops.
	queued int

	wake   chan struct{}
	stops  chan Finding        // to collect for
	late   chan string         // to look at again, by ID
	stalls chan detect.Episode // to diagnose or to end
	doubts chan []Finding      // of pods that may be gone

	// told is signalled when something was stored.
	told chan struct{}
}

// opened is a finding that something is collected for.
type opened struct {
	Finding
	// collecting tells that the collector has it, rounds how often it was handed to it without
	// that being stored yet.
	collecting bool
	rounds     int
}

// NewRuntime prepares a Runtime: what an earlier run recorded is loaded, so that
// nothing is recorded twice.
func NewRuntime(ctx context.Context, o Options) (*Runtime, error) {
	if o.MaxPending == 0 {
		o.MaxPending = 20_000
	}
	if o.Workers == 0 {
		o.Workers = 8
	}
	r := &Runtime{
		opts:   o,
		engine: NewEngine(o.Cluster, o.Redactor),
		scopes: make(map[string]*scopeState),
		open:   make(map[string]*opened),
		stored: make(map[string]store.Scope),
		wake:   make(chan struct{}, 1),
		stops:  make(chan Finding, queued),
		late:   make(chan string, queued),

		eventTroubles: make(map[string]string),
		stalls:        make(chan detect.Episode, queued),
		doubts:        make(chan []Finding, queued),
		told:          make(chan struct{}, 1),
	}
	if r.opts.Witness == nil {
		r.opts.Witness = NewWitness(nil, o.Now)
	}
	if err := r.goOnWithGaps(ctx); err != nil {
		return nil, err
	}
	r.collector = newCollector(r.engine, o.Readers, o.Now)
	r.collector.live, r.collector.read = true, o.Meter.Read
	r.collector.watched, r.collector.keepObserved, r.collector.busy = r.watchedSince, r.keepObserved, r.busy
	r.engine.merge = o.Merge
	r.ward = newWard(r.engine, detect.NewStalls(o.Cluster))
	r.ward.count = o.Meter.Stalling
	r.room.L = &r.mu
	r.compactAt, r.compactBytes = 2*o.MaxPending, compactFrom
	r.pending.Batch = r.emptyBatch()
	if err := o.Ledger.Marks(ctx, o.Cluster, func(m record.Mark) bool {
		if o.Shard.Contains(m.Namespace) {
			r.engine.detector.Seed(m)
		}
		return true
	}); err != nil {
		return nil, fmt.Errorf("load the high-water marks: %w", err)
	}
	if o.Archive != nil {
		if err := r.ward.seed(ctx, o.Archive, o.Cluster, o.Shard); err != nil {
			return nil, err
		}
		r.loadUnfinished(ctx)
	}
	stored, err := o.Ledger.Scopes(ctx, o.Cluster)
	if err != nil {
		return nil, fmt.Errorf("load the coverage: %w", err)
	}
	for _, name := range o.Scopes {
		r.scopes[name] = newScope(name, &o, stored)
	}
	return r, nil
}

func (r *Runtime) emptyBatch() store.Batch {
	return store.Batch{Cluster: r.opts.Cluster, Shard: r.opts.Shard, Term: r.opts.Term, Scopes: map[string]store.Scope{}, Evidence: map[string]evidence.Evidence{}}
}

// Replace implements Sink.
func (r *Runtime) Replace(scope string, pods []Object, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	sc := r.scope(scope)
	first := !sc.replaced
	if first {
		sc.replaced = true
		r.opts.Meter.Trouble(scope, nil)
		for _, away := range sc.unwatched() {
			r.gap(between(away.Seen, now, away.name, "whyrestart was not running"))
		}
		if sc.Since.IsZero() {
			sc.Since = now.UTC()
		}
	} else {
		r.gap(between(sc.Seen, now, sc.name, "the watch could not be resumed and everything was listed again"))
	}
	exist := make(map[string]bool, len(pods))
	for i := range pods {
		exist[pods[i].View.UID] = true
		history := first && !sc.known(pods[i].View.Namespace)
		r.observe(&pods[i], history, now)
	}
	var gone []string
	r.engine.detector.Pods(func(uid, namespace, _ string) bool {
		if !exist[uid] && (scope == "" || scope == namespace) {
			gone = append(gone, uid)
		}
		return true
	})
	slices.Sort(gone)
	for _, uid := range gone {
		found := r.engine.Gone(uid, now)
		r.engine.detector.Bury(uid, detect.ParseResourceVersion(version))
		r.ended(r.ward.gone(uid, now))
		if r.opts.Selection == "" {
			r.add("", found)
		} else {
			r.doubt(uid, found)
		}
		r.pending.Forget = append(r.pending.Forget, uid)
	}
	if first {
		r.forgetSeeds(scope)
		r.resume(scope, pods)
	}
	sc.behind = false
	r.seen(sc, version, now)
	signal(r.wake) // that it is watched is stored at once, and not only with the first stop
}

// between is the gap between two times of the clock, in the order of the clock as it is now.
func between(seen, now time.Time, scope, why string) record.Gap {
	g := record.Gap{From: seen.UTC(), To: now.UTC(), Scope: scope, Why: why}
	if back := g.From.Sub(g.To); back > 0 {
		// What it was before is not known: of the time between, nothing can be said.
		g.From, g.To = g.To, g.From
		g.Why += fmt.Sprintf("; the clock was set back by %s or more meanwhile, so that when is not certain", back.Round(time.Second))
	}
	return g
}

// observe takes a pod that exists. The caller holds mu.
func (r *Runtime) observe(pod *Object, history bool, now time.Time) {
	if r.engine.detector.Buried(&pod.View) {
		return // an earlier state of a pod that is gone
	}
	r.add(pod.View.UID, r.engine.Observe(pod, history, now))
	r.ended(r.ward.observe(pod, now))
}

// forgetSeeds forgets the marks of pods that an earlier run knew and that are gone.
func (r *Runtime) forgetSeeds(scope string) {
	for _, uid := range r.engine.detector.Seeded(scope) {
		r.engine.detector.Gone(uid)
		r.pending.Forget = append(r.pending.Forget, uid)
	}
	for _, ep := range r.ward.tracker.Seeded(scope) {
		r.ended(r.ward.gone(ep.PodUID, r.opts.Now()))
	}
}

// Apply implements Sink.
func (r *Runtime) Apply(scope string, pod Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	r.observe(&pod, false, now)
	r.went(r.scope(scope), versionOf(&pod), now)
}

// Delete implements Sink.
func (r *Runtime) Delete(scope string, pod Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	r.add("", r.engine.Delete(&pod, false, now))
	r.ended(r.ward.gone(pod.View.UID, now))
	r.pending.Forget = append(r.pending.Forget, pod.View.UID)
	r.went(r.scope(scope), versionOf(&pod), now)
}

// Progress implements Sink.
func (r *Runtime) Progress(scope, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sc := r.scope(scope)
	sc.behind = false
	r.went(sc, version, r.opts.Now())
}

// Trouble implements Sink.
func (r *Runtime) Trouble(scope string, err error) {
	r.mu.Lock()
	r.scope(scope).trouble = err
	r.mu.Unlock()
	r.opts.Meter.Trouble(scope, err)
	if err != nil {
		r.opts.Logger.Warn("cannot watch pods; what stops meanwhile is counted when it works again", "scope", scope, "err", err)
		return
	}
	r.opts.Logger.Info("watching pods again", "scope", scope)
}

// Ready returns nil once every scope was listed, is being watched, and what was found
// can be stored.
func (r *Runtime) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.opts.Scopes {
		sc := r.scope(name)
		switch {
		case sc.trouble != nil:
			return fmt.Errorf("watch %s: %w", scopeName(name), sc.trouble)
		case !sc.replaced:
			return fmt.Errorf("%s was not listed yet", scopeName(name))
		}
	}
	if r.unstored != nil {
		return fmt.Errorf("store what was found: %w", r.unstored)
	}
	return nil
}

func scopeName(scope string) string {
	if scope == "" {
		return "all namespaces"
	}
	return "namespace " + scope
}

func (r *Runtime) scope(name string) *scopeState {
	sc, ok := r.scopes[name]
	if !ok {
		sc = newScope(name, &r.opts, nil)
		r.scopes[name] = sc
	}
	return sc
}

// went is seen for a watch that goes on: it only goes forward. That of a replica that took over may be
// behind what the leader before it had stored, and what that had recorded stays recorded.
func (r *Runtime) went(sc *scopeState, version string, now time.Time) {
	if v := detect.ParseResourceVersion(version); v != 0 && v < detect.ParseResourceVersion(sc.ResourceVersion) {
		version = ""
	}
	r.seen(sc, version, now)
}

func (r *Runtime) seen(sc *scopeState, version string, now time.Time) {
	if !sc.behind {
		sc.Seen = now.UTC()
	}
	if version != "" {
		sc.ResourceVersion = version
	}
	r.pending.Scopes[sc.key] = sc.Scope
	r.opts.Meter.Pods(r.engine.detector.Len())
}

func (r *Runtime) gap(g record.Gap) {
	g.Kind = record.GapWatch
	r.pending.Gaps = append(r.pending.Gaps, g)
	r.opts.Meter.Gap(g)
	r.opts.Logger.Warn("gap in the watch", "scope", g.Scope, "from", g.From, "to", g.To, "why", g.Why)
}

// add queues findings for the store, with the marks that go with them, and hands
// them to whoever collects what the pod object does not have. The caller holds mu.
func (r *Runtime) add(uid string, found []Finding) {
	if len(found) == 0 {
		return
	}
	if r.full() && !r.closed {
		// What the source shows next is as old as this wait: until it says that it is up to
		// date, that is when everything was seen last.
		for _, sc := range r.scopes {
			sc.behind = true
		}
	}
	for r.full() && !r.closed {
		r.room.Wait()
	}
	for i := range found {
		f := &found[i]
		r.collector.near.add(f)
		old, open := r.open[f.Record.ID]
		kept, recent := r.recents.byID[f.Record.ID]
		again := false
		switch {
		case open && old.collecting:
			carry(&old.Finding, f)
			r.engine.explain(f)
			f.Evidence.Partial = true
			old.Finding = *f
			r.keep(f)
		case recent:
			carry(&kept.Finding, f)
			again = true
		case open:
			carry(&old.Finding, f)
			again = true
		default:
			r.collector.atHand(f)
		}
		if again {
			r.engine.explain(f)
			r.keep(f)
		}
		r.pending.put(f.Record)
		if again {
			r.renewed(f)
		} else if !open {
			r.enqueue(*f)
		}
	}
	if uid != "" {
		r.pending.mark(len(found), r.engine.detector.Marks(uid))
	}
	r.opts.Meter.Pending(len(r.pending.Records))
	signal(r.wake)
}

func (r *Runtime) full() bool {
	return len(r.pending.Records) >= r.opts.MaxPending || r.pending.bytes >= pendingBytes
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run stores and completes what the Sink is handed until ctx ends, then stores what is
// left within a grace of ten seconds. It returns an error if that did not succeed.
func (r *Runtime) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	defer r.close() // whatever ends it: a source that waits for room would wait for ever
	for range r.opts.Workers {
		workers.Go(func() { r.collectForStops(ctx) })
	}
	for range max(1, r.opts.Workers/2) {
		workers.Go(func() { r.lookAgain(ctx) })
	}
	workers.Go(func() { r.readBoots(ctx) })
	beat := time.NewTicker(tick)
	defer beat.Stop()
	heartbeat := time.NewTicker(30 * time.Second)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			r.close()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return r.flush(last)
		case <-r.wake:
		case <-beat.C:
			r.beat()
			continue
		case <-heartbeat.C: // the coverage moves on although nothing stopped
		}
		if err := r.flush(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// close lets nobody wait for room any more.
func (r *Runtime) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.room.Broadcast()
}

// flush stores what is pending, a part after another, and tries again for as long as ctx
// lasts: a store that cannot be written is reported, and what was found waits.
func (r *Runtime) flush(ctx context.Context) error {
	for {
		all, err := r.flushSome(ctx)
		if all || err != nil {
			return err
		}
	}
}

// flushSome stores a part of what is pending, and tells whether it was all.
func (r *Runtime) flushSome(ctx context.Context) (all bool, err error) {
	r.mu.Lock()
	r.pending.Gaps = append(r.pending.Gaps, r.opts.Witness.due(r.closed)...)
	b, all := r.pending.take(r.emptyBatch())
	var done, later []string
	for waits := r.pending.has(); len(r.done) > 0; r.done = r.done[1:] {
		if id := r.done[0]; waits[id] {
			later = append(later, id)
		} else {
			done = append(done, id)
		}
	}
	r.done = later
	r.mu.Unlock()
	if len(done)+len(b.Records)+len(b.Marks)+len(b.Forget)+len(b.Gaps)+len(b.Scopes)+len(b.Observed) == 0 {
		return all, nil
	}
	b.Records = newest(b.Records)
	wait := 100 * time.Millisecond
	for {
		began := time.Now()
		err := r.opts.Ledger.Append(ctx, b)
		r.opts.Meter.Stored(len(b.Records), time.Since(began), err)
		r.mu.Lock()
		r.unstored = err
		waiting := len(b.Records) + len(r.pending.Records)
		r.mu.Unlock()
		if err == nil {
			r.opts.Witness.stored()
			break
		}
		if !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			return all, fmt.Errorf("store %d records: %w", len(b.Records), err)
		}
		r.opts.Witness.unstored(err, waiting)
		r.opts.Logger.Debug("cannot store; will try again", "records", len(b.Records), "err", err)
		select {
		case <-ctx.Done():
			r.putBack(b, done)
			return all, fmt.Errorf("store %d records: %w", len(b.Records), err)
		case <-time.After(wait):
			wait = min(2*wait, 10*time.Second)
		}
	}
	r.mu.Lock()
	maps.Copy(r.stored, b.Scopes)
	for _, id := range done {
		if o, ok := r.open[id]; ok {
			if o.rounds--; o.rounds <= 0 {
				delete(r.open, id)
			}
		}
	}
	r.opts.Meter.Pending(len(r.pending.Records))
	r.room.Broadcast()
	r.mu.Unlock()
	if len(b.Records)+len(done) > 0 {
		signal(r.told)
	}
	return all, nil
}

// Settled tells that nothing more is being collected for a record.
func (r *Runtime) Settled(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, waits := r.open[id]
	return !waits
}

// Told is signalled when something was stored.
func (r *Runtime) Told() <-chan struct{} { return r.told }

// putBack returns a batch that was not stored to the front of what is pending.
func (r *Runtime) putBack(b store.Batch, done []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(done, r.done...)
	r.pending.back(b)
}

// newest keeps of records with the same ID the newest, in the place of the first.
func newest(records []record.Record) []record.Record {
	at := make(map[string]int, len(records))
	out := records[:0]
	for _, rec := range records {
		if i, ok := at[rec.ID]; ok {
			out[i] = record.Refine(out[i], rec)
			continue
		}
		at[rec.ID] = len(out)
		out = append(out, rec)
	}
	return out
}

var (
	_ Sink      = (*Runtime)(nil)
	_ EventSink = (*Runtime)(nil)
)
