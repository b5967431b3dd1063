package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// faults counts those that happened. When they are over, everything works.
type faults struct {
	mu    sync.Mutex
	ended bool
	tries map[string]int
}

func (f *faults) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries[what]++
}

func (f *faults) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// errKilled is what everything answers after the process was killed.
var errKilled = errors.New("the process was killed")

// ledger is the store of one process, with its faults.
type ledger struct {
	*sqlite.Store
	plan   plan
	faults *faults
	// died is closed when the process dies.
	died chan struct{}

	mu   sync.Mutex
	rng  *rand.Rand
	dead bool
	// failing is until when the disk takes nothing.
	failing time.Time
}

func (l *ledger) die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		l.dead = true
		close(l.died)
	}
}

func (l *ledger) hit(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.faults.over() && n > 0 && l.rng.IntN(n) == 0
}

func (l *ledger) intn(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

func (l *ledger) alive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errKilled
	}
	return nil
}

// write does what changes the store, with what may happen before and after.
func (l *ledger) write(ctx context.Context, kill int, do func() error) error {
	if err := l.alive(); err != nil {
		return err
	}
	if l.hit(l.plan.slow) {
		l.faults.count("slow")
		sleep(ctx, time.Duration(l.intn(90))*time.Second)
	}
	if l.hit(kill) {
		l.faults.count("killed")
		l.die()
	}
	if err := l.unavailable(); err != nil {
		return err
	}
	if err := l.alive(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if l.hit(kill) {
		l.faults.count("killed")
		l.die()
	}
	if l.hit(l.plan.unknown) {
		l.faults.count("unknown")
		return fmt.Errorf("the connection broke: %w", store.ErrUnavailable)
	}
	return l.alive()
}

// unavailable tells that the disk is full, and for how long it stays so.
func (l *ledger) unavailable() error {
	if l.hit(l.plan.full) {
		l.faults.count("full")
		d := time.Duration(l.intn(120)) * time.Second
		l.mu.Lock()
		l.failing = time.Now().Add(d)
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.failing) && !l.faults.over() {
		return fmt.Errorf("the disk is full: %w", store.ErrUnavailable)
	}
	return nil
}

func (l *ledger) Append(ctx context.Context, b store.Batch) error {
	return l.write(ctx, l.plan.killAppend, func() error { return l.Store.Append(ctx, b) })
}

func (l *ledger) Acknowledge(ctx context.Context, o store.Outbox, seq int64) error {
	if seq == 0 {
		return l.Store.Acknowledge(ctx, o, seq)
	}
	return l.write(ctx, l.plan.killTell, func() error { return l.Store.Acknowledge(ctx, o, seq) })
}
