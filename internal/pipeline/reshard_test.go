package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// resharded is a cluster whose namespaces are watched by one number of shards after the other, all of
// which write to one store.
type resharded struct {
	t    *testing.T
	rand *rand.Rand
	db   store.Store
	mu   sync.Mutex
	now  time.Time
	pods []*restarting
	// watched is when each slot was, told how often each record was delivered, and by whom.
	watched [shard.Slots][]span
	told    map[string][]string
}

type span struct{ From, To time.Time }

// restarting is a pod: count instances of it have ended.
type restarting struct {
	ns, uid   string
	count     int
	version   int
	before    int  // those of them that had when its namespace was seen for the first time
	forgotten bool // deleted while nobody watched
}

func (p *restarting) object(s corev1.ContainerStatus) Object {
	p.version++
	o := pod(p.uid, p.version, s)
	o.Namespace = p.ns
	return object(o)
}

func (w *resharded) born(n int) {
	for range n {
		i := len(w.pods)
		p := &restarting{ns: fmt.Sprintf("%c%d-team", 'a'+i%26, i), uid: fmt.Sprintf("uid-%d", i)}
		w.pods = append(w.pods, p)
	}
}

func (w *resharded) step() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Duration(1+w.rand.IntN(100)) * time.Second)
	return w.now
}

// one is a shard while it runs.
type one struct {
	*Runtime
	of    shard.Shard
	began time.Time
	end   func(tell bool)
}

func (w *resharded) begin(s shard.Shard) *one {
	w.t.Helper()
	began := w.step()
	r, err := NewRuntime(w.t.Context(), Options{
		Cluster: "prod", Shard: s, Scopes: []string{""}, Ledger: w.db, Archive: w.db,
		Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var list []Object
	for _, p := range w.pods {
		if !s.Contains(p.ns) || p.forgotten {
			continue
		}
		if len(w.watched[shard.Slot(p.ns)]) == 0 {
			p.before = p.count
		}
		list = append(list, p.object(running(p.count)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r.Replace("", list, "1")
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	o := &one{Runtime: r, of: s, began: began}
	o.end = func(tell bool) {
		r.Progress("", "2") // so that the end is known to the second
		from, to := s.Slots()
		for slot := from; slot < to; slot++ {
			w.watched[slot] = append(w.watched[slot], span{began, w.now})
		}
		cancel()
		running.Wait()
		if !tell {
			return // it was killed before it told
		}
		relay := &Relay{Ledger: w.db, Outbox: store.Outbox{Cluster: "prod", Shard: s, Consumer: "stdout"}, Now: r.opts.Now, Deliver: func(rec record.Record) error {
			if rec.Stop == nil {
				return nil // on a slow machine, a pod that is never ready stalls
			}
			w.told[rec.ID] = append(w.told[rec.ID], s.String())
			return nil
		}}
		if err := relay.Drain(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	}
	return o
}

// restart lets pods restart while shards watch, and shows it to whom it concerns.
func (w *resharded) restart(shards []*one) {
	for _, p := range w.pods {
		if p.forgotten || w.rand.IntN(3) == 0 {
			continue
		}
		end := p.object(crashed(p.count))
		p.count++
		again := p.object(running(p.count))
		for _, s := range shards {
			if s.of.Contains(p.ns) {
				s.Apply("", end)
				s.Apply("", again)
			}
		}
	}
}

// away lets pods restart, come and go while nobody watches.
func (w *resharded) away() {
	for _, p := range w.pods {
		if p.forgotten {
			continue
		}
		switch w.rand.IntN(8) {
		case 0, 1:
			p.count += 1 + w.rand.IntN(4)
		case 2:
			p.forgotten = true
		}
	}
	w.born(10)
	w.step()
}

// However the number of shards changes, each stop is recorded once or counted as missed, what was
// watched before is no history, each slot has a gap for exactly the times in which nobody watched it, and
// each record is told once.
func TestReshard(t *testing.T) {
	for _, numbers := range [][]int{{1, 4, 3, 1}, {4, 1, 16, 5}, {2, 2, 3, 7, 1}} {
		t.Run(fmt.Sprint(numbers), func(t *testing.T) {
			db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db"), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			w := &resharded{t: t, rand: rand.New(rand.NewPCG(1, uint64(numbers[0]))), db: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), told: make(map[string][]string)}
			if err := db.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "stdout"}, 0); err != nil {
				t.Fatal(err)
			}
			w.born(60)
			for _, p := range w.pods {
				p.count = w.rand.IntN(3)
			}
			for n, of := range numbers {
				var shards []*one
				for i := range of {
					shards = append(shards, w.begin(shard.Shard{Index: i, Of: of}))
				}
				w.restart(shards)
				w.step()
				w.restart(shards)
				w.rand.Shuffle(of, func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
				for i, s := range shards {
					w.step()
					s.end(i > 0 || n == len(numbers)-1) // one of them does not get to tell
				}
				if n < len(numbers)-1 {
					w.away()
				}
			}
			w.check()
		})
	}
}

func (w *resharded) check() {
	t := w.t
	t.Helper()
	list, next, err := w.db.List(t.Context(), store.Query{Cluster: "prod", Kind: record.KindStop, Limit: 100_000})
	if err != nil || next != "" {
		t.Fatal(err, next)
	}
	recorded, missed, history := make(map[string]int), make(map[string]int), make(map[string]int)
	for _, r := range list {
		recorded[r.PodUID]++
		missed[r.PodUID] += r.MissedBefore
		if r.BeforeWatch {
			history[r.PodUID] += 1 + r.MissedBefore
		}
		if who := w.told[r.ID]; len(who) != 1 {
			t.Errorf("record %s of %s was told by the shards %q", r.ID, r.PodUID, who)
		}
	}
	if len(w.told) != len(list) {
		t.Errorf("%d records were told, and %d stored", len(w.told), len(list))
	}
	for _, p := range w.pods {
		if got := recorded[p.uid] + missed[p.uid]; got != p.count {
			t.Errorf("%s in slot %d: %d recorded and %d missed of %d stops", p.uid, shard.Slot(p.ns), recorded[p.uid], missed[p.uid], p.count)
		}
		if history[p.uid] != p.before {
			t.Errorf("%s in slot %d: %d stops are from before the watch, want %d", p.uid, shard.Slot(p.ns), history[p.uid], p.before)
		}
	}
	gaps, err := w.db.Gaps(t.Context(), "prod", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for slot := range shard.Slots {
		var got, want []span
		for _, g := range gaps {
			from, to, ok := shard.ParseScope(g.Scope)
			if !ok {
				t.Fatalf("a gap of %q", g.Scope)
			}
			if from <= slot && slot < to {
				got = append(got, span{g.From, g.To})
			}
		}
		for i, s := range w.watched[slot][1:] {
			want = append(want, span{w.watched[slot][i].To, s.From})
		}
		slices.SortFunc(got, func(a, b span) int { return a.From.Compare(b.From) })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("gaps of slot %d (-want +got):\n%s", slot, d)
		}
	}
}
