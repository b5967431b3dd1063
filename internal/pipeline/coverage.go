package pipeline

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
)

const (
	// lapseJoins is for how long something has to work again until it is over: what fails once a
	// second and works in between is one gap.
	lapseJoins = 2 * time.Minute
	// lapsePace is how often a gap that goes on is stored again, with its count.
	lapsePace = time.Minute
	// maxLapses bounds what is told apart. More namespaces than that in which the same is refused
	// are told as one.
	maxLapses = 200
)

// GapMeter counts gaps; see package metrics.
type GapMeter interface {
	// Lapse tells of a gap when it begins.
	Lapse(kind record.GapKind)
	// Denied tells in how many namespaces something is refused at the moment; 0 that it is no more.
	Denied(verb, resource string, namespaces int)
	// Unavailable tells whether the store cannot be written at the moment.
	Unavailable(bool)
}

// Witness notes what is not seen, not read and not stored, and makes gaps of it: one for what
// lasts, or comes again and again, with how often it came. It claims no more than it heard: a
// gap begins with the first failure and ends when the same is known to work again, whatever
// was not tried in between. Its methods may be called from any goroutine.
type Witness struct {
	now   func() time.Time
	meter GapMeter

	mu     sync.Mutex
	lapses map[lapseKey]*lapse
	// doubled are gaps that two earlier runs left open: the one that began first goes on.
	doubled []record.Gap
}

// lapseKey is what a gap is about.
type lapseKey struct {
	kind  record.GapKind
	scope string
	// why tells apart what is refused of one scope.
	why string
}

// lapse is a gap that lasts, or that may be gone on with.
type lapse struct {
	record.Gap
	// fine is since when it works again, zero while it does not.
	fine time.Time
	// last is when it was heard of last.
	last time.Time
	// stored is when it was handed out to be stored, zero if it never was; news that it has
	// changed since then.
	stored time.Time
	news   bool
	// moments tells that it is made of moments, and lasts from the first to the last of them.
	moments bool
	// vague tells that it stands for what is not told apart, so that nobody says when it is over.
	vague bool
}

// NewWitness returns one that has seen nothing yet. Meter may be nil.
func NewWitness(meter GapMeter, now func() time.Time) *Witness {
	return &Witness{now: now, meter: meter, lapses: make(map[lapseKey]*lapse)}
}

// adopt goes on with gaps that an earlier run left open: whether they last is not known yet.
func (w *Witness) adopt(gaps []record.Gap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for _, g := range gaps {
		if !g.To.IsZero() || g.Kind != record.GapPermission && g.Kind != record.GapEvents {
			continue
		}
		key := keyOfGap(g)
		if l, ok := w.lapses[key]; ok {
			switch own := g.From.Equal(l.From); {
			case own:
				continue // this process stored it, when it led before
			case g.From.Before(l.From):
				unknown := l.stored.IsZero()
				g, l.Gap = l.Gap, g
				if unknown {
					l.Count, l.stored = max(l.Count, g.Count), now
					continue // nobody stored what this process alone heard while it followed
				}
			}
			g.To = now.UTC()
			w.doubled = append(w.doubled, g)
			continue
		}
		w.lapses[key] = &lapse{Gap: g, last: now, stored: now, vague: vague(g.Scope)}
	}
	w.countDenied()
}

func keyOfGap(g record.Gap) lapseKey {
	k := lapseKey{kind: g.Kind, scope: g.Scope}
	if g.Kind == record.GapPermission {
		k.why = g.Why
	}
	return k
}

// fails notes that something does not work, n of it.
func (w *Witness) fails(g record.Gap) *lapse {
	now := w.now().UTC()
	key := keyOfGap(g)
	l, ok := w.lapses[key]
	if !ok {
		g.From = now
		l = &lapse{Gap: g}
		l.Count = 0
		w.lapses[key] = l
		if w.meter != nil {
			w.meter.Lapse(g.Kind)
		}
	}
	l.Count += g.Count
	l.fine, l.last, l.news = time.Time{}, now, true
	return l
}

// works notes that something works.
func (w *Witness) works(key lapseKey) bool {
	l, ok := w.lapses[key]
	if !ok || !l.fine.IsZero() {
		return false
	}
	l.fine, l.news = w.now().UTC(), true
	return true
}

// Dropped notes that n records will not be told to a consumer.
func (w *Witness) Dropped(consumer, why string, n int) {
	w.moment(record.Gap{Kind: record.GapNotification, Scope: consumer, Why: why, Count: int64(n)})
}

// skipped notes that a stop's evidence is not collected.
func (w *Witness) skipped() {
	w.moment(record.Gap{Kind: record.GapEvidence, Why: tooMany, Count: 1})
}

// tooMany is why evidence is not collected.
const tooMany = "too many containers stopped at the same time"

func (w *Witness) moment(g record.Gap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.fails(g)
	l.moments, l.fine = true, l.last
}

// unstored notes that n records wait as the store cannot be written.
func (w *Witness) unstored(err error, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.fails(record.Gap{Kind: record.GapStore, Why: err.Error()})
	l.moments = true // nobody can store that it lasts
	l.Count = max(l.Count, int64(n))
	if w.meter != nil {
		w.meter.Unavailable(true)
	}
}

// stored notes that the store can be written.
func (w *Witness) stored() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.works(lapseKey{kind: record.GapStore}) && w.meter != nil {
		w.meter.Unavailable(false)
	}
}

// ceased notes that this process stores no more for now, as another one leads: since the last attempt it
// has not known whether the store can be written.
func (w *Witness) ceased() {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := lapseKey{kind: record.GapStore}
	if l := w.lapses[key]; l != nil && w.works(key) {
		l.fine = l.last
		if w.meter != nil {
			w.meter.Unavailable(false)
		}
	}
}

// events notes whether the events of a scope can be watched.
func (w *Witness) events(scope string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.fails(record.Gap{Kind: record.GapEvents, Scope: scope, Why: err.Error()})
		return
	}
	_, _, slots := shard.ParseScope(scope)
	for key := range w.lapses {
		if key.kind != record.GapEvents {
			continue
		}
		// What is adopted of slots is of those of this shard, however many there were.
		if _, _, others := shard.ParseScope(key.scope); key.scope == scope || slots && others {
			w.works(key)
		}
	}
}

// due returns the gaps to store now: those that began, those that are over, and those that went
// on for a while. With all it returns whatever is not stored yet.
func (w *Witness) due(all bool) []record.Gap {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.doubled
	w.doubled = nil
	if len(w.lapses) == 0 {
		return out
	}
	now := w.now().UTC()
	denied := false
	for key, l := range w.lapses {
		if l.vague && l.fine.IsZero() && now.Sub(l.last) >= 5*lapseJoins {
			l.fine = l.last
		}
		lasts := l.fine.IsZero()
		over := !lasts && now.Sub(l.fine) >= lapseJoins
		paced := l.stored.IsZero() || now.Sub(l.stored) >= lapsePace
		switch {
		case over:
			delete(w.lapses, key)
			denied = true
			if l.moments && !l.news {
				continue
			}
		case l.moments && (lasts || !l.news || !paced && !all):
			continue
		case !l.moments && (!lasts && !all || !l.news || !paced && !all):
			continue
		}
		g := l.Gap
		// What was read of a clock that was set back meanwhile is not turned around.
		if g.To = l.fine.Round(0); !lasts && g.To.Before(g.From.Round(0)) {
			g.To = g.From
		}
		out = append(out, g)
		l.stored, l.news = now, false
	}
	if denied {
		w.countDenied()
	}
	slices.SortFunc(out, func(a, b record.Gap) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Why, b.Why))
	})
	return out
}
