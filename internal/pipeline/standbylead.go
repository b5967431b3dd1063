package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// askers is how many pods are looked up in the history at once.
const askers = 8

// Takeover says what a replica brought with it when it began to lead.
type Takeover struct {
	// Pods are remembered, Played are the states of them that were shown to the Runtime, and Known are
	// pods of which the old leader had recorded everything.
	Pods, Played, Known int
	// Gaps are what nobody saw.
	Gaps int
}

// step is a state that is played.
type step struct {
	*state
	scope string
	old   bool
}

// Lead hands what is remembered to r, which was made from what the old leader stored and is running,
// and from then on everything that the source shows.
//
// Of what is played, r recognises by the marks of the store what was recorded. The marks of pods that
// the old leader saw go are no longer there, which is why their records are looked for. Pods that
// r has marks of and that are not among those remembered are gone, as soon as this watch has come
// as far as the old leader's had.
func (s *Standby) Lead(ctx context.Context, r *Runtime) (Takeover, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t Takeover
	clear(s.behind)
	clear(s.spent)
	known, err := s.lookUp(ctx, r)
	if err != nil {
		return t, err
	}
	var steps []step
	for name, f := range s.scopes {
		if !f.listed {
			continue // its first list begins as that of any other run
		}
		t.Pods += len(f.pods)
		for uid, l := range f.pods {
			if known[uid] {
				t.Known++
				if l.newest().kind == seen {
					s.spent[uid] = name
				}
				continue
			}
			for i := range l.states {
				steps = append(steps, step{&l.states[i], name, l.old && i == 0})
			}
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.seq, b.seq) })
	for i := range steps {
		r.play(&steps[i])
	}
	t.Played = len(steps)
	for _, name := range s.opts.Scopes {
		f := s.scope(name)
		if f.trouble != nil {
			r.Trouble(name, f.trouble)
		}
		if !f.listed {
			continue
		}
		gaps, behind := r.goOn(name, f)
		t.Gaps += gaps
		if behind != 0 {
			s.behind[name] = behind
		}
	}
	r.absentees(s.opts.EventIndex)
	s.leading = r
	return t, nil
}

// Follow ends what Lead began, after the Runtime has: what it has not stored is remembered.
func (s *Standby) Follow() {
	s.mu.Lock()
	r := s.leading
	s.leading = nil
	clear(s.behind)
	clear(s.spent)
	s.mu.Unlock()
	if r == nil {
		return
	}
	s.trim(r.storedScopes())
	r.opts.Witness.ceased()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.ward.open {
		r.ward.count(rec.Diagnosis.Cause, -1)
	}
	r.opts.Meter.Pending(0)
}

// settle judges the marks of pods that are not known, once the watch has come as far as that of
// the old leader. The caller holds mu, and a Runtime leads.
func (s *Standby) settle(scope string, f *followed) {
	until, behind := s.behind[scope]
	if !behind || f.at.version < until {
		return
	}
	delete(s.behind, scope)
	for uid, of := range s.spent {
		if of == scope {
			delete(s.spent, uid)
		}
	}
	s.leading.mu.Lock()
	defer s.leading.mu.Unlock()
	s.leading.forgetSeeds(scope)
}

// lookUp returns the pods that the old leader saw go, and so recorded to their end: r has no marks
// of them, and the history has records. The caller holds mu.
func (s *Standby) lookUp(ctx context.Context, r *Runtime) (map[string]bool, error) {
	if r.opts.Archive == nil {
		return nil, nil
	}
	seeded := make(map[string]bool)
	for _, uid := range r.engine.detector.Seeded("") {
		seeded[uid] = true
	}
	var ask []string
	for name, f := range s.scopes {
		sc := r.scope(name)
		if !f.listed {
			continue
		}
		for uid, l := range f.pods {
			newest := l.newest()
			before := sc.of(newest.View.Namespace)
			if before.Since.IsZero() || seeded[uid] {
				continue
			}
			lags := r.opts.Selection == "" && f.at.version != 0 && f.at.version < detect.ParseResourceVersion(before.ResourceVersion)
			if newest.kind != seen || lags && stopped(&newest.View) {
				ask = append(ask, uid)
			}
		}
	}
	return whollyRecorded(ctx, r.opts.Archive, r.opts.Cluster, ask)
}

// stopped tells that a container of a pod has stopped before.
func stopped(p *detect.Pod) bool {
	return slices.ContainsFunc(p.Containers, func(c detect.Container) bool { return c.RestartCount > 0 || c.State != nil || c.Last != nil })
}

// whollyRecorded returns those of some pods of which the history has stops.
func whollyRecorded(ctx context.Context, h HistoryReader, cluster string, uids []string) (map[string]bool, error) {
	var (
		mu    sync.Mutex
		found = make(map[string]bool)
		fail  error
		work  = make(chan string)
		group sync.WaitGroup
	)
	for range min(askers, len(uids)) {
		group.Go(func() {
			for uid := range work {
				records, _, err := h.List(ctx, store.Query{Cluster: cluster, Kind: record.KindStop, PodUID: uid, Limit: 1})
				mu.Lock()
				if err != nil {
					fail = err
				} else if len(records) > 0 {
					found[uid] = true
				}
				mu.Unlock()
			}
		})
	}
	for _, uid := range uids {
		work <- uid
	}
	close(work)
	group.Wait()
	if fail != nil {
		return nil, fmt.Errorf("look for what the leader before recorded: %w", fail)
	}
	return found, nil
}

// play takes a state that was seen while another one led.
func (r *Runtime) play(st *step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, uid := &st.Object, st.View.UID
	switch st.kind {
	case seen:
		r.observe(o, st.old && !r.scope(st.scope).known(o.View.Namespace), st.at)
		return
	case deleted:
		r.add("", r.engine.Delete(o, false, st.at))
	case vanished:
		found := r.engine.Gone(uid, st.at)
		r.engine.detector.Bury(uid, st.version)
		if r.opts.Selection == "" {
			r.add("", found)
		} // else as in Replace
	}
	r.ended(r.ward.gone(uid, st.at))
	r.pending.Forget = append(r.pending.Forget, uid)
}

// goOn goes on with the coverage of a scope where an old leader left it, says what neither it nor the
// Standby saw, and returns how far the watch has to come before it is where the old leader's
// was, 0 where it is.
func (r *Runtime) goOn(name string, f *followed) (gaps int, behind uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sc := r.scope(name)
	for _, b := range sc.unwatched() {
		if !f.from.stored(&b.Scope) {
			r.gap(record.Gap{Kind: record.GapWatch, From: b.Seen, To: later(f.from.at, b.Seen), Scope: b.name,
				Why: "the leader before stored no more, and this replica remembers only what came after"})
			gaps++
		}
		for _, h := range f.holes {
			if !h.end.stored(&b.Scope) {
				r.gap(record.Gap{Kind: record.GapWatch, From: later(h.begin, b.Seen), To: later(h.end.at, b.Seen), Scope: b.name,
					Why: "the watch could not be resumed and everything was listed again"})
				gaps++
			}
		}
		if v := detect.ParseResourceVersion(b.ResourceVersion); f.at.version != 0 && f.at.version < v {
			behind = max(behind, v)
		}
	}
	if sc.Since.IsZero() {
		sc.Since = f.since.UTC()
	}
	if f.trouble == nil {
		r.opts.Meter.Trouble(name, nil)
	}
	sc.replaced = true
	version := ""
	if v := max(f.at.version, behind); v != 0 {
		version = strconv.FormatUint(v, 10)
	}
	r.seen(sc, version, later(f.at.at, sc.Seen))
	if behind == 0 {
		r.forgetSeeds(name)
	}
	return gaps, behind
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b.UTC()
	}
	return a.UTC()
}

// absentees takes what the index has of controllers that cannot create pods.
func (r *Runtime) absentees(x *EventIndex) {
	if x == nil || r.opts.Selection != "" {
		return
	}
	now := r.opts.Now()
	events := x.ofControllers(now.Add(-absentSilence))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		if r.opts.Shard.Contains(ev.InvolvedObject.Namespace) && inScopes(r.opts.Scopes, ev.InvolvedObject.Namespace) {
			r.ended(r.ward.absent.event(ev, now))
		}
	}
}

// ofControllers returns the events that tell of pods that were created or could not be, oldest first.
func (x *EventIndex) ofControllers(since time.Time) []*corev1.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*corev1.Event
	for el := x.order.Front(); el != nil; el = el.Next() {
		o := el.Value.(*objectEvents) //nolint:errcheck,forcetypeassert // the list holds nothing else
		for _, ev := range o.events {
			if (ev.Reason == "FailedCreate" || ev.Reason == "SuccessfulCreate") && extract.EventTime(ev).After(since) {
				out = append(out, ev)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *corev1.Event) int { return extract.EventTime(a).Compare(extract.EventTime(b)) })
	return out
}

// storedScopes is how far this run has stored, by the names under which that is.
func (r *Runtime) storedScopes() map[string]store.Scope {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.stored)
}

// versionOf is how far a watch has come that shows a pod: it shows them in the order of their
// versions, whichever pod it is.
func versionOf(o *Object) string {
	if o.View.ResourceVersion == 0 {
		return ""
	}
	return strconv.FormatUint(o.View.ResourceVersion, 10)
}
