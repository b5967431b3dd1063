package pipeline

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// scopeState is the coverage of one scope.
type scopeState struct {
	// Scope is what this process stores.
	store.Scope
	// name is that of its gaps, key that under which it is stored.
	name, key string
	// before is what earlier runs left of it: of all of it, or, one after the other, of runs of slots
	// of which not the same is known, because there was another number of shards.
	before   []stretch
	replaced bool
	trouble  error
	// behind tells that the source was held back, and has not caught up yet.
	behind bool
}

// stretch is a run of slots of which the same is known: those from and after from, and before to.
type stretch struct {
	store.Scope
	from, to int
	name     string
}

// newScope returns the coverage of a scope that earlier runs left, zero where they left none.
//
// A process stores one coverage for all slots of its shard, under their name. To go on with
// another number of shards is to put these together: a slot was watched since the first
// time, and up to the last, that any of those says that it is in.
func newScope(name string, o *Options, stored map[string]store.Scope) *scopeState {
	from, to := 0, shard.Slots
	sc := &scopeState{name: name}
	if name == "" {
		from, to = o.Shard.Slots()
		sc.name = shard.Scope(from, to)
	}
	sc.key = sc.name + "|" + o.Selection
	sc.Scope = stored[sc.key]
	if name != "" {
		sc.before = []stretch{{Scope: sc.Scope, from: from, to: to, name: name}}
		return sc
	}
	var known [shard.Slots]store.Scope
	for f := range shard.Slots {
		for t := f + 1; t <= shard.Slots; t++ {
			for slot := f; slot < t; slot++ {
				known[slot] = both(known[slot], stored[shard.Scope(f, t)+"|"+o.Selection])
			}
		}
	}
	for slot := from; slot < to; slot++ {
		if n := len(sc.before); n > 0 && sc.before[n-1].Scope == known[slot] {
			sc.before[n-1].to = slot + 1
			continue
		}
		sc.before = append(sc.before, stretch{Scope: known[slot], from: slot, to: slot + 1})
	}
	for i := range sc.before {
		sc.before[i].name = shard.Scope(sc.before[i].from, sc.before[i].to)
	}
	return sc
}

// both puts together what two processes knew of the same slot.
func both(a, b store.Scope) store.Scope {
	if a.Since.IsZero() {
		return b
	}
	if !b.Since.IsZero() && b.Since.Before(a.Since) {
		a.Since = b.Since
	}
	if b.Seen.After(a.Seen) {
		a.Seen, a.ResourceVersion = b.Seen, b.ResourceVersion
	}
	return a
}

// unwatched returns what an earlier run watched: up to its Seen.
func (sc *scopeState) unwatched() []stretch {
	var out []stretch
	for _, s := range sc.before {
		if !s.Since.IsZero() {
			out = append(out, s)
		}
	}
	return out
}

// of returns what earlier runs left of a namespace.
func (sc *scopeState) of(namespace string) store.Scope {
	if len(sc.before) == 1 {
		return sc.before[0].Scope
	}
	slot := shard.Slot(namespace)
	for i := range sc.before {
		if s := &sc.before[i]; s.from <= slot && slot < s.to {
			return s.Scope
		}
	}
	return store.Scope{}
}

// known tells that an earlier run watched a namespace.
func (sc *scopeState) known(namespace string) bool { return !sc.of(namespace).Since.IsZero() }

// since is when a namespace was watched for the first time, by this run or an earlier one.
func (sc *scopeState) since(namespace string) time.Time {
	if since := sc.of(namespace).Since; !since.IsZero() {
		return since
	}
	return sc.Since
}
