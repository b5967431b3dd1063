package model

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

const clusterName = "model"

// world is one run: the cluster, the processes that watch it one after the other, and what they told.
type world struct {
	t       *testing.T
	plan    plan
	seed    uint64
	rng     *rand.Rand
	path    string
	cluster *cluster
	faults  *faults

	mu sync.Mutex
	// steps are by how much whyrestart's clock was wrong since when.
	steps []step
	drift float64
	told  []record.Record
	// calm is since when all goes well.
	calm time.Time
	// away are the times in which no process watched.
	away []stretch
}

type step struct {
	at   time.Time
	skew time.Duration
}

type stretch struct{ from, to time.Time }

// clock is whyrestart's clock at a moment.
func (w *world) clock(at time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var skew time.Duration
	for _, s := range w.steps {
		if !s.at.After(at) {
			skew = s.skew
		}
	}
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return at.Add(skew + time.Duration(w.drift*float64(at.Sub(began))))
}

func (w *world) now() time.Time { return w.clock(time.Now()) }

func (w *world) skew(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, step{time.Now(), by})
}

func (w *world) blind(s stretch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = append(w.away, s)
}

func (w *world) deliver(l *ledger) func(record.Record) error {
	return func(r record.Record) error {
		if err := l.alive(); err != nil {
			return err
		}
		r = r.Clone()
		r.Issue = nil
		w.mu.Lock()
		w.told = append(w.told, r)
		w.mu.Unlock()
		if l.hit(l.plan.killTell) {
			w.faults.count("killed")
			l.die()
			return errKilled
		}
		return nil
	}
}

// logs answers after a while.
type logs struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *logs) Tail(ctx context.Context, r pipeline.LogRequest) record.Log {
	l.mu.Lock()
	d := time.Duration(l.rng.IntN(400)) * time.Millisecond
	if l.rng.IntN(20) == 0 {
		d *= 30
	}
	l.mu.Unlock()
	if !sleep(ctx, d) {
		return record.Log{Missing: ctx.Err().Error()}
	}
	return record.Log{Lines: []string{"last words of " + r.ContainerID}, Instance: record.LogProven}
}

// live runs one process until stop is closed, or until it dies.
func (w *world) live(stop, kill <-chan struct{}, seed uint64) {
	db, err := sqlite.Open(context.Background(), sqlite.Options{Path: w.path, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	l := &ledger{Store: db, plan: w.plan, faults: w.faults, died: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, 1))}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rt, err := pipeline.NewRuntime(ctx, pipeline.Options{
		Cluster: clusterName, Scopes: []string{""}, Ledger: l, Archive: db, Meter: meter{}, Logger: slog.New(slog.DiscardHandler), Now: w.now,
		Readers:    pipeline.Readers{Logs: &logs{rng: rand.New(rand.NewPCG(seed, 2))}},
		MaxPending: w.plan.pending,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	relay := &pipeline.Relay{
		Ledger: l, Outbox: store.Outbox{Cluster: clusterName, Consumer: "stdout"}, Settle: 3 * time.Second, Settled: rt.Settled,
		Deliver: w.deliver(l), Now: w.now,
	}
	source := &stream{rng: rand.New(rand.NewPCG(seed, 3)), cluster: w.cluster, plan: w.plan, faults: w.faults, blind: w.blind}

	// As package app does: the source stops first, and what it showed is stored and told.
	var wg sync.WaitGroup
	watching, stopWatching := context.WithCancel(ctx)
	storing, stopStoring := context.WithCancel(ctx)
	fail := func(err error) {
		if err != nil && l.alive() == nil {
			if !errors.Is(err, store.ErrUnavailable) {
				w.t.Errorf("the process ended: %v", err)
			}
			l.die()
		}
	}
	wg.Go(func() { defer stopStoring(); source.run(watching, rt) })
	wg.Go(func() { defer stopWatching(); fail(rt.Run(storing)) })
	wg.Go(func() { fail(relay.Run(watching, rt.Told())) })
	select {
	case <-stop:
	case <-kill:
		l.die()
	case <-l.died:
	}
	if l.alive() != nil {
		cancel()
	}
	stopWatching()
	wg.Wait()
	if l.alive() == nil {
		fail(relay.Drain(context.Background()))
	}
}

// meter ignores everything.
type meter struct{}

func (meter) Complete(*record.Record)          {}
func (meter) Gap(record.Gap)                   {}
func (meter) Pods(int)                         {}
func (meter) Pending(int)                      {}
func (meter) Stored(int, time.Duration, error) {}
func (meter) Captured(string)                  {}
func (meter) Trouble(string, error)            {}
func (meter) Read(string, error)               {}
func (meter) Late(string)                      {}
func (meter) Stalling(string, int)             {}
func (meter) Events(int, int)                  {}
