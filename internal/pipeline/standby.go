package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// keptFor is how long a Standby remembers what nobody tells it was stored: a leader stores its
	// progress every 30 seconds at least, and it is missed after the duration of its lease.
	keptFor = 2 * time.Minute
	// keptChanges and keptBytes bound what it remembers beside the newest state of each pod.
	keptChanges = 200_000
	keptBytes   = 128 << 20
	// trimEvery is how often it forgets what was stored.
	trimEvery = time.Second
	// progressEvery is how often it asks how far the leader has stored.
	progressEvery = 5 * time.Second
	// clocksDiffer is by how much the clocks of two replicas may: times are compared only where
	// the server's resource versions are no numbers.
	clocksDiffer = 10 * time.Second
)

// StandbyOptions configure a Standby.
type StandbyOptions struct {
	// Scopes are those that the source will hand over.
	Scopes []string
	// EventIndex is that of the watch of events; may be nil.
	EventIndex *EventIndex
	// Cluster, Selection and Shard are those of the Runtime that will lead.
	Cluster, Selection string
	Shard              shard.Shard
	// Progress is where it stands how far the leader has stored; nil where that cannot be read,
	// such as in a file that only the leader opens: then what is older than Keep is forgotten.
	Progress interface {
		Scopes(ctx context.Context, cluster string) (map[string]store.Scope, error)
	}
	// Keep, MaxChanges and MaxBytes bound what is remembered: 2 minutes, 200,000 changes and 128
	// MiB of whole pods where they are zero.
	Keep       time.Duration
	MaxChanges int
	MaxBytes   int
	Meter      Meter
	Logger     *slog.Logger
	Now        func() time.Time
}

// Standby is the Sink of a replica. While another one leads, it remembers what it sees: of each pod
// the newest state, and every state before it that the leader may not have stored yet, whole.
// Lead hands that to a Runtime, which knows by the marks of the store what the old leader had
// recorded, and from then on everything that the source shows; Follow ends that. A leader goes
// on remembering what it has not stored, so that one that follows again has it still.
//
// What it remembers is bounded. It always knows since when that is complete, and what is not is
// a gap when it leads.
type Standby struct {
	opts StandbyOptions

	mu      sync.Mutex
	scopes  map[string]*followed
	leading *Runtime
	seq     uint64
	// changes and bytes are what all scopes remember.
	changes, bytes int
	// behind are the scopes of which the old leader had seen more than this watch shows until it has
	// come this far; spent the pods that it had seen go, by UID, with their scope.
	behind map[string]uint64
	spent  map[string]string

	troubles map[string]error // of events, by scope
}

// followed is what is remembered of one scope.
type followed struct {
	listed bool
	// since is when it was listed for the first time, at how far the watch has come.
	since   time.Time
	at      point
	trouble error
	// from is since when everything is remembered.
	from point
	// holes are stretches in which this watch itself saw nothing.
	holes []hole
	pods  map[string]*life // by UID
	// changes are what is remembered, oldest first: each took the place of the oldest state
	// that is remembered of its pod.
	changes []change
}

// point is a place in what a watch shows.
type point struct {
	version uint64
	at      time.Time
}

// stored tells that everything up to p was stored by who has come as far as sc.
func (p point) stored(sc *store.Scope) bool {
	if sc.Since.IsZero() {
		return false
	}
	if v := detect.ParseResourceVersion(sc.ResourceVersion); v != 0 && p.version != 0 {
		return p.version <= v
	}
	return p.at.Add(clocksDiffer).Before(sc.Seen)
}

type hole struct {
	begin time.Time
	end   point
}

// life is what is remembered of one pod: its states, oldest first.
type life struct {
	states []state
	// old tells that the pod had been there before what is remembered.
	old bool
}

type state struct {
	Object
	point
	seq  uint64
	kind changeKind
}

type change struct {
	point
	seq uint64
	uid string
}

type changeKind uint8

const (
	seen changeKind = iota
	// deleted comes with the last state of a pod, vanished without one.
	deleted
	vanished
)

// NewStandby returns a Standby that follows.
func NewStandby(o StandbyOptions) *Standby {
	if o.Keep == 0 {
		o.Keep = keptFor
	}
	if o.MaxChanges == 0 {
		o.MaxChanges = keptChanges
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = keptBytes
	}
	s := &Standby{opts: o, scopes: make(map[string]*followed), spent: make(map[string]string), behind: make(map[string]uint64), troubles: make(map[string]error)}
	for _, name := range o.Scopes {
		s.scopes[name] = &followed{pods: make(map[string]*life)}
	}
	return s
}

func (s *Standby) scope(name string) *followed {
	f, ok := s.scopes[name]
	if !ok {
		f = &followed{pods: make(map[string]*life)}
		s.scopes[name] = f
	}
	return f
}

// Replace implements Sink.
func (s *Standby) Replace(scope string, pods []Object, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.scope(scope)
	at := point{detect.ParseResourceVersion(version), s.opts.Now()}
	first := !f.listed
	if first {
		f.listed, f.since, f.from = true, at.at, at
	} else {
		f.holes = append(f.holes, hole{begin: f.at.at, end: at})
	}
	exist := make(map[string]bool, len(pods))
	for i := range pods {
		uid := pods[i].View.UID
		exist[uid] = true
		s.keep(f, pods[i], at, seen)
		if first {
			f.pods[uid].old = true
		}
	}
	for uid, l := range f.pods {
		if newest := l.newest(); !exist[uid] && newest.kind == seen {
			s.keep(f, Object{View: newest.View}, at, vanished)
		}
	}
	f.at = at // which is lower than before where the cluster was restored from a backup
	if s.leading != nil {
		s.leading.Replace(scope, pods, version)
		s.settle(scope, f)
		return
	}
	s.opts.Meter.Pods(s.len())
}

// Apply implements Sink.
func (s *Standby) Apply(scope string, pod Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.scope(scope)
	at := point{pod.View.ResourceVersion, s.opts.Now()}
	if !f.stale(at) {
		s.keep(f, pod, at, seen)
	}
	f.reached(at)
	if s.leading == nil {
		s.opts.Meter.Pods(s.len())
		return
	}
	if !s.isSpent(pod.View.UID) {
		s.leading.Apply(scope, pod)
	}
	s.settle(scope, f)
}

// Delete implements Sink.
func (s *Standby) Delete(scope string, pod Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.scope(scope)
	at := point{pod.View.ResourceVersion, s.opts.Now()}
	if !f.stale(at) {
		s.keep(f, pod, at, deleted)
	}
	f.reached(at)
	if s.leading == nil {
		s.opts.Meter.Pods(s.len())
		return
	}
	if !s.isSpent(pod.View.UID) {
		s.leading.Delete(scope, pod)
	}
	delete(s.spent, pod.View.UID)
	s.settle(scope, f)
}

// Progress implements Sink.
func (s *Standby) Progress(scope, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.scope(scope)
	f.reached(point{detect.ParseResourceVersion(version), s.opts.Now()})
	if s.leading != nil {
		s.leading.Progress(scope, version)
		s.settle(scope, f)
	}
}

// Trouble implements Sink.
func (s *Standby) Trouble(scope string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.scope(scope)
	was := f.trouble
	f.trouble = err
	if s.leading != nil {
		s.leading.Trouble(scope, err)
		return
	}
	s.opts.Meter.Trouble(scope, err)
	switch {
	case err != nil && was == nil:
		s.opts.Logger.Warn("cannot watch pods; this replica follows, and could not take over without a gap", "scope", scope, "err", err)
	case err == nil && was != nil:
		s.opts.Logger.Info("watching pods again", "scope", scope)
	}
}

func (s *Standby) isSpent(uid string) bool {
	_, ok := s.spent[uid]
	return ok
}

// Event implements EventSink.
func (s *Standby) Event(ev *corev1.Event) {
	if r := s.leader(); r != nil {
		r.Event(ev)
		return
	}
	if s.opts.EventIndex != nil {
		s.opts.EventIndex.Event(ev)
	}
}

// EventTrouble implements EventSink.
func (s *Standby) EventTrouble(scope string, err error) {
	s.mu.Lock()
	s.troubles[scope] = err
	r := s.leading
	s.mu.Unlock()
	if r != nil {
		r.EventTrouble(scope, err)
		return
	}
	if s.opts.EventIndex != nil {
		s.opts.EventIndex.EventTrouble(scope, err)
	}
}

func (s *Standby) leader() *Runtime {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}

// Warm tells that this replica may lead: each scope was listed once, or cannot be. A list that was asked
// for before the old leader's last words and comes after them would show less than is recorded, and
// what is recorded of pods that it still shows would be counted anew.
func (s *Standby) Warm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.opts.Scopes {
		if f := s.scope(name); !f.listed && f.trouble == nil {
			return false
		}
	}
	return true
}

// Ready returns nil once every scope was listed and is being watched.
func (s *Standby) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.opts.Scopes {
		f := s.scope(name)
		switch {
		case f.trouble != nil:
			return fmt.Errorf("watch %s: %w", scopeName(name), f.trouble)
		case !f.listed:
			return fmt.Errorf("%s was not listed yet", scopeName(name))
		}
	}
	return nil
}

// Kept tells how many changes are remembered beside the newest state of each pod, and how many bytes
// of whole pods.
func (s *Standby) Kept() (changes, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes, s.bytes
}

func (s *Standby) len() int {
	n := 0
	for _, f := range s.scopes {
		n += len(f.pods)
	}
	return n
}

// stale tells of what a watch that was resumed shows again: it shows everything in the order of the
// versions.
func (f *followed) stale(at point) bool { return at.version != 0 && at.version <= f.at.version }

// reached notes how far the watch has come.
func (f *followed) reached(at point) {
	f.at = point{max(f.at.version, at.version), at.at}
}

func (l *life) newest() *state { return &l.states[len(l.states)-1] }

// keep remembers a state of a pod. One in which no container differs takes the place of the newest.
func (s *Standby) keep(f *followed, o Object, at point, kind changeKind) {
	uid := o.View.UID
	l, ok := f.pods[uid]
	if !ok {
		l = new(life)
		f.pods[uid] = l
	}
	s.seq++
	next := state{Object: o, point: at, seq: s.seq, kind: kind}
	if len(l.states) > 0 {
		last := l.newest()
		if kind == seen && last.kind == seen {
			if last.View.ResourceVersion == o.View.ResourceVersion && o.View.ResourceVersion != 0 {
				return
			}
			if sameContainers(&last.View, &o.View) {
				if last.Full == nil {
					o.Full, o.Size = nil, 0 // what it would tell is stored
				}
				s.bytes += o.Size - last.Size
				last.Object = o
				return
			}
		}
	} else if o.Full == nil && kind == seen {
		l.states = append(l.states, next)
		return // nothing to forget of it
	}
	l.states = append(l.states, next)
	f.changes = append(f.changes, change{at, next.seq, uid})
	s.changes++
	s.bytes += o.Size
	for s.changes > s.opts.MaxChanges || s.bytes > s.opts.MaxBytes {
		if !s.forgetOldest() {
			return
		}
	}
}

// forgetOldest forgets the oldest change of all scopes, although it may not be stored.
func (s *Standby) forgetOldest() bool {
	var oldest *followed
	for _, f := range s.scopes {
		if len(f.changes) > 0 && (oldest == nil || f.changes[0].at.Before(oldest.changes[0].at)) {
			oldest = f
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(oldest)
	return true
}

// forget forgets the oldest change of a scope: of its pod, the state before it, and of the state
// that it brought, the whole pod.
func (s *Standby) forget(f *followed) {
	c := f.changes[0]
	f.changes[0] = change{}
	f.changes = f.changes[1:]
	s.changes--
	if c.version > f.from.version || c.version == 0 {
		f.from = c.point
	}
	f.holes = slices.DeleteFunc(f.holes, func(h hole) bool { return h.end.version != 0 && h.end.version < c.version })
	l := f.pods[c.uid]
	if l == nil {
		return
	}
	for len(l.states) > 0 && l.states[0].seq < c.seq {
		s.bytes -= l.states[0].Size
		l.states[0] = state{}
		l.states = l.states[1:]
		l.old = true
	}
	if len(l.states) == 0 || l.states[0].seq != c.seq {
		return
	}
	first := &l.states[0]
	s.bytes -= first.Size
	first.Full, first.Size = nil, 0
	if first.kind != seen {
		l.states = l.states[1:]
	}
	if len(l.states) == 0 {
		delete(f.pods, c.uid)
	}
}

// sameContainers tells that two states of a pod show the same of every instance.
func sameContainers(a, b *detect.Pod) bool {
	return a.Deleting == b.Deleting && a.Finished == b.Finished && a.Rejected == b.Rejected &&
		slices.EqualFunc(a.Containers, b.Containers, func(x, y detect.Container) bool {
			return x.Name == y.Name && x.Type == y.Type && x.RestartCount == y.RestartCount && x.Running == y.Running && x.BackOff == y.BackOff &&
				x.ContainerID == y.ContainerID && sameEnd(x.State, y.State) && sameEnd(x.Last, y.Last)
		})
}

func sameEnd(a, b *detect.Terminated) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Run forgets what was stored until ctx ends.
func (s *Standby) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch r := s.leader(); {
		case r != nil:
			s.trim(r.storedScopes())
		case s.opts.Progress == nil:
			s.expire()
		case s.opts.Now().Sub(asked) >= progressEvery:
			asked = s.opts.Now()
			stored, err := s.opts.Progress.Scopes(ctx, s.opts.Cluster)
			if err != nil {
				// No trouble of its own: more is remembered until it can be read.
				s.opts.Logger.Debug("cannot read how far the leader has stored", "err", err)
				continue
			}
			s.trim(stored)
		}
	}
}

// trim forgets what was stored, of which the coverage tells.
func (s *Standby) trim(coverage map[string]store.Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.scopes {
		sc := newScope(name, &Options{Selection: s.opts.Selection, Shard: s.opts.Shard}, coverage)
		for len(f.changes) > 0 && sc.stored(f.changes[0].point) {
			s.forget(f)
		}
		f.holes = slices.DeleteFunc(f.holes, func(h hole) bool { return sc.stored(h.end) })
	}
}

// stored tells that earlier runs stored everything up to a point.
func (sc *scopeState) stored(p point) bool {
	return !slices.ContainsFunc(sc.before, func(b stretch) bool { return !p.stored(&b.Scope) })
}

// expire forgets what is old.
func (s *Standby) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.opts.Now().Add(-s.opts.Keep)
	for _, f := range s.scopes {
		for len(f.changes) > 0 && f.changes[0].at.Before(oldest) {
			s.forget(f)
		}
		for len(f.holes) > 0 && f.holes[0].end.at.Before(oldest) {
			if end := f.holes[0].end; end.version > f.from.version || end.version == 0 {
				f.from = end
			}
			f.holes = f.holes[1:]
		}
	}
}

var (
	_ Sink      = (*Standby)(nil)
	_ EventSink = (*Standby)(nil)
)
