package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

// gapStore keeps gaps as a store does.
type gapStore map[string]record.Gap

func (s gapStore) put(t *testing.T, gaps []record.Gap) {
	t.Helper()
	for _, g := range gaps {
		if g.From.IsZero() || !g.To.IsZero() && g.To.Before(g.From) {
			t.Errorf("a gap from %s to %s", g.From, g.To)
		}
		key := fmt.Sprint(g.Kind, g.From.UnixNano(), g.Scope, g.Why)
		if old, ok := s[key]; ok {
			g.Count = max(g.Count, old.Count)
			if g.To.IsZero() {
				g.To = old.To
			}
		}
		s[key] = g
	}
}

func (s gapStore) all() []record.Gap {
	var out []record.Gap
	for _, g := range s {
		out = append(out, g)
	}
	return out
}

type gapCounts struct {
	lapses  map[record.GapKind]int
	denied  map[string]int
	outages int
}

func (c *gapCounts) Lapse(k record.GapKind) { c.lapses[k]++ }
func (c *gapCounts) Denied(verb, resource string, n int) {
	c.denied[verb+" "+resource] = n
}
func (c *gapCounts) Unavailable(is bool) {
	if is {
		c.outages++
	}
}

func newCounts() *gapCounts {
	return &gapCounts{lapses: map[record.GapKind]int{}, denied: map[string]int{}}
}

var logsInShop = Asked{Verb: "get", Resource: "pods/log", Namespace: "shop"}

// TestWitnessFlapping holds that what is refused and allowed again each second for an hour is one
// gap, stored at most once a minute, that says how often and is over when it stays allowed.
func TestWitnessFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts, kept, writes := newCounts(), gapStore{}, 0
		w := NewWitness(counts, time.Now)
		began := time.Now()
		store := func() {
			gaps := w.due(false)
			writes += len(gaps)
			kept.put(t, gaps)
		}
		for i := range 3600 {
			refusal := Answered
			if i%2 == 0 {
				refusal = Forbidden
			}
			w.Heard(logsInShop, refusal)
			store()
			time.Sleep(time.Second)
		}
		if writes > 61 || len(kept) != 1 {
			t.Errorf("%d writes of %d gaps", writes, len(kept))
		}
		if n := counts.denied["get pods/log"]; n != 0 {
			t.Errorf("refused in %d namespaces while it is allowed", n)
		}
		over := time.Now().Add(-time.Second)
		time.Sleep(lapseJoins)
		store()
		want := []record.Gap{{
			Kind: record.GapPermission, From: began.UTC(), To: over.UTC(), Scope: "pods/log in shop", Why: "not allowed to get", Count: 1800,
		}}
		if diff := cmp.Diff(want, kept.all()); diff != "" {
			t.Errorf("the gaps (-want +got):\n%s", diff)
		}
		if len(w.lapses) != 0 || counts.lapses[record.GapPermission] != 1 {
			t.Errorf("%d are kept, %v counted", len(w.lapses), counts.lapses)
		}

		// What is refused then is another one.
		w.Heard(logsInShop, Forbidden)
		store()
		if len(kept) != 2 {
			t.Errorf("%d gaps", len(kept))
		}
	})
}

// TestWitnessGoesOn holds that a gap which a killed process left open lasts until it is known to be
// over, and that what was refused again is the same gap.
func TestWitnessGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Add(-time.Hour).UTC()
		open := []record.Gap{
			{Kind: record.GapPermission, From: began, Scope: "pods/log in shop", Why: "not allowed to get", Count: 7},
			{Kind: record.GapEvents, From: began, Scope: "", Why: "refused"},
			{Kind: record.GapEvents, From: began, To: began.Add(time.Minute), Scope: "pay", Why: "is over"},
			{Kind: record.GapEvents, From: began, Scope: "late"},
			{Kind: record.GapPermission, From: began.Add(time.Second), Scope: "pods/log in shop", Why: "not allowed to get", Count: 1},
			{Kind: record.GapStore, From: began, Why: "is told when it is over"},
		}
		kept := gapStore{}
		kept.put(t, open)
		w := NewWitness(nil, time.Now)
		w.adopt(open)
		open[4].To = time.Now().UTC() // the earlier one goes on
		kept.put(t, w.due(false))
		time.Sleep(time.Minute)
		w.Heard(logsInShop, Forbidden)
		w.events("", nil)
		ended := time.Now().UTC()
		time.Sleep(lapseJoins)
		w.Heard(Asked{Verb: "list", Resource: "pods/log", Namespace: "shop"}, Answered) // another verb
		kept.put(t, w.due(false))
		open[0].Count, open[1].To = 8, ended
		if diff := cmp.Diff(len(open), len(kept)); diff != "" {
			t.Errorf("the gaps (-want +got):\n%s", diff)
		}
		for _, g := range open {
			if got := kept[fmt.Sprint(g.Kind, g.From.UnixNano(), g.Scope, g.Why)]; got != g {
				t.Errorf("got %+v, want %+v", got, g)
			}
		}
		if denied := w.denied(); len(denied) != 1 || denied[0] != logsInShop {
			t.Errorf("refused: %v", denied)
		}
	})
}

// TestWitnessAsks holds that a permission which nobody needs at the moment is known to be granted.
func TestWitnessAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWitness(nil, time.Now)
		w.Heard(logsInShop, Forbidden)
		granted := time.Now().Add(10 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var asked atomic.Int64
		go w.Ask(ctx, func(_ context.Context, a Asked) (bool, error) {
			if a != logsInShop {
				t.Errorf("asked for %+v", a)
			}
			if asked.Add(1) == 3 {
				return true, errors.New("no answer") // is no permission
			}
			return time.Now().After(granted), nil
		})
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if len(w.denied()) != 1 || asked.Load() < 8 {
			t.Errorf("asked %d times", asked.Load())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(w.denied()) != 0 || asked.Load() > 12 {
			t.Errorf("asked %d times", asked.Load())
		}
		cancel()
		synctest.Wait()
	})
}

// TestWitnessStore holds that an outage of the store is told once it is over, with how many waited,
// and that a store that comes and goes is one gap.
func TestWitnessStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts, kept := newCounts(), gapStore{}
		w := NewWitness(counts, time.Now)
		began := time.Now().UTC()
		w.unstored(errors.New("disk full"), 3)
		time.Sleep(10 * time.Second)
		w.unstored(errors.New("disk full (again)"), 40)
		if due := w.due(false); len(due) > 0 {
			t.Errorf("%v cannot be stored now", due)
		}
		time.Sleep(time.Second)
		w.stored()
		first := time.Now().UTC()
		kept.put(t, w.due(false))
		want := record.Gap{Kind: record.GapStore, From: began, To: first, Why: "disk full", Count: 40}
		if diff := cmp.Diff([]record.Gap{want}, kept.all()); diff != "" {
			t.Errorf("the gaps (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		w.unstored(errors.New("disk full"), 5)
		w.stored()
		want.To = time.Now().UTC()
		kept.put(t, w.due(false))
		time.Sleep(lapseJoins)
		kept.put(t, w.due(false))
		if diff := cmp.Diff([]record.Gap{want}, kept.all()); diff != "" || counts.lapses[record.GapStore] != 1 || counts.outages != 3 {
			t.Errorf("%+v, the gaps (-want +got):\n%s", counts, diff)
		}
		w.stored()
		if due := w.due(true); len(due) > 0 {
			t.Errorf("an available store is a gap: %v", due)
		}
	})
}

// TestWitnessMoments holds that what is dropped and skipped is counted exactly, in gaps that join
// what comes within minutes.
func TestWitnessMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := gapStore{}
		w := NewWitness(nil, time.Now)
		for i := range 1000 {
			w.skipped()
			if i%10 == 0 {
				w.Dropped("chat", "the receiver refuses it", 2)
			}
			if i == 500 {
				time.Sleep(time.Hour)
			}
			kept.put(t, w.due(false))
			time.Sleep(time.Second)
		}
		kept.put(t, w.due(true))
		total := make(map[record.GapKind]int64)
		for _, g := range kept.all() {
			total[g.Kind] += g.Count
			if d := g.To.Sub(g.From); d > 10*time.Minute || d < 5*time.Minute {
				t.Errorf("a gap of %s: %+v", d, g)
			}
		}
		if want := map[record.GapKind]int64{record.GapEvidence: 1000, record.GapNotification: 200}; !cmp.Equal(want, total) || len(kept) != 4 {
			t.Errorf("%v in %d gaps, want %v", total, len(kept), want)
		}
	})
}

// TestWitnessIsBounded holds that a cluster which refuses in thousands of namespaces costs a bounded
// number of gaps, and that the rest is told as one and ends when nothing is refused any more.
func TestWitnessIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := gapStore{}
		w := NewWitness(nil, time.Now)
		for i := range 5000 {
			w.Heard(Asked{Verb: "get", Resource: "pods/log", Namespace: fmt.Sprintf("ns-%d", i)}, Forbidden)
		}
		kept.put(t, w.due(false))
		if len(kept) != maxLapses+1 {
			t.Errorf("%d gaps", len(kept))
		}
		rest := w.lapses[lapseKey{record.GapPermission, "pods/log in " + inMany, "not allowed to get"}]
		if rest == nil || rest.Count != 5000-maxLapses {
			t.Fatalf("the rest: %+v", rest)
		}
		time.Sleep(5*lapseJoins + time.Second)
		kept.put(t, w.due(false))
		for _, g := range kept.all() {
			if vague(g.Scope) == g.To.IsZero() {
				t.Errorf("%+v", g)
			}
		}
	})
}

// TestWitnessAtTheEnd holds that a process that ends leaves open what lasts, and ends what is over.
func TestWitnessAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := gapStore{}
		w := NewWitness(nil, time.Now)
		w.events("shop", errors.New("refused"))
		w.events("pay", errors.New("refused"))
		time.Sleep(time.Second)
		w.events("pay", nil)
		over := time.Now().UTC()
		kept.put(t, w.due(true))
		for _, g := range kept.all() {
			if want := map[string]time.Time{"shop": {}, "pay": over}[g.Scope]; !g.To.Equal(want) {
				t.Errorf("%+v, want it until %s", g, want)
			}
		}
		if len(kept) != 2 {
			t.Errorf("%d gaps", len(kept))
		}
	})
}

// TestDenied holds that what a gap was made of is read from it.
func TestDenied(t *testing.T) {
	for _, a := range []Asked{logsInShop, {Verb: "list", Resource: "nodes"}, {Verb: "get", Resource: "jobs.batch", Namespace: "a"}} {
		for _, r := range []Refusal{Forbidden, Unauthorized} {
			got, ok := Denied(record.Gap{Kind: record.GapPermission, Scope: a.scope(), Why: r.why(a)})
			if !ok || got != a {
				t.Errorf("%+v, %v, want %+v", got, ok, a)
			}
		}
	}
	if _, ok := Denied(record.Gap{Kind: record.GapEvents, Scope: "shop", Why: "not allowed to get"}); ok {
		t.Error("a gap of events is about a permission")
	}
}

// TestWitnessOfAReplica holds that a process which leads, follows and leads again claims neither that the
// store was away while another one led, nor that what it began itself is over.
func TestWitnessOfAReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts, kept := newCounts(), gapStore{}
		w := NewWitness(counts, time.Now)
		began := time.Now().UTC()
		w.Heard(logsInShop, Forbidden)
		kept.put(t, w.due(false))
		w.unstored(errors.New("away"), 3)
		time.Sleep(10 * time.Second)
		w.unstored(errors.New("away"), 3)
		last := time.Now().UTC()
		w.ceased()
		time.Sleep(24 * time.Hour) // another one leads, and leaves the refusal open
		w.adopt(kept.all())
		w.stored()
		w.Heard(logsInShop, Forbidden)
		kept.put(t, w.due(false))
		for _, want := range []record.Gap{
			{Kind: record.GapPermission, From: began, Scope: "pods/log in shop", Why: "not allowed to get", Count: 2},
			{Kind: record.GapStore, From: began, To: last, Why: "away", Count: 3},
		} {
			key := fmt.Sprint(want.Kind, want.From.UnixNano(), want.Scope, want.Why)
			if diff := cmp.Diff(want, kept[key]); diff != "" {
				t.Errorf("the gap (-want +got):\n%s", diff)
			}
		}
		if len(kept) != 2 || len(w.denied()) != 1 {
			t.Errorf("%v, refused %v", kept, w.denied())
		}
	})
}

// TestWitnessAdoptsWhatItHeard holds that what a follower was refused too is the gap that the leader before
// it left open, and not one more.
func TestWitnessAdoptsWhatItHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := gapStore{}
		began := time.Now().Add(-time.Hour).UTC()
		open := record.Gap{Kind: record.GapPermission, From: began, Scope: "pods/log in shop", Why: "not allowed to get", Count: 7}
		kept.put(t, []record.Gap{open})
		w := NewWitness(nil, time.Now)
		w.Heard(logsInShop, Forbidden)
		w.adopt(kept.all())
		kept.put(t, w.due(true))
		time.Sleep(lapsePace)
		w.Heard(logsInShop, Forbidden)
		kept.put(t, w.due(false))
		open.Count = 8
		if diff := cmp.Diff([]record.Gap{open}, kept.all()); diff != "" {
			t.Errorf("the gaps (-want +got):\n%s", diff)
		}
	})
}
