package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// flaky is an outbox that is there and away by a plan: each call takes the next of it, and
// after the last one all succeed. What fails was done or not done, as with a connection that
// is cut at a commit.
type flaky struct {
	Memory
	mu    sync.Mutex
	plan  []outcome
	acked int64
}

type outcome struct {
	err  error
	done bool // although it failed
}

func (f *flaky) next() outcome {
	if len(f.plan) == 0 {
		return outcome{}
	}
	o := f.plan[0]
	f.plan = f.plan[1:]
	return o
}

func (f *flaky) Acknowledge(_ context.Context, _ store.Outbox, seq int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.next()
	if o.err == nil || o.done {
		f.acked = max(f.acked, seq)
	}
	return o.err
}

func (f *flaky) Changes(_ context.Context, _ store.Outbox, limit int) ([]store.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.next(); o.err != nil {
		return nil, o.err
	}
	var out []store.Change
	for seq := f.acked + 1; seq <= 3 && len(out) < limit; seq++ {
		out = append(out, store.Change{Seq: seq, Record: record.Record{ID: fmt.Sprint(seq)}})
	}
	return out, nil
}

// A store that is away delays what is told, and neither ends the relay nor loses anything.
func TestRelayOutlivesAnOutage(t *testing.T) {
	away := outcome{err: fmt.Errorf("connect: %w", store.ErrUnavailable)}
	cut := outcome{err: away.err, done: true}
	ok := outcome{}
	for _, c := range []struct {
		name string
		plan []outcome
		want []string
	}{
		{"away at the registration", []outcome{away, away}, []string{"1", "2", "3"}},
		{"away at the reading", []outcome{ok, away, away, away}, []string{"1", "2", "3"}},
		{"away at the acknowledgement", []outcome{ok, ok, away, ok, away}, []string{"1", "2", "3"}},
		{"cut after the acknowledgement", []outcome{ok, ok, cut}, []string{"1", "2", "3"}},
		{"long", slices.Repeat([]outcome{away}, 500), []string{"1", "2", "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &flaky{plan: c.plan}
				var got []string
				r := &Relay{Ledger: l, Outbox: store.Outbox{Consumer: "test"}, Now: time.Now, Deliver: func(r record.Record) error {
					got = append(got, r.ID)
					return nil
				}}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Run(ctx, nil) }()
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("delivered (-want +got):\n%s", diff)
				}
				if l.acked != 3 {
					t.Errorf("acknowledged up to %d, want 3", l.acked)
				}
			})
		})
	}
}

// What waiting does not change ends it.
func TestRelayEndsByOtherErrors(t *testing.T) {
	broken := errors.New("no such table")
	for _, plan := range [][]outcome{{{err: broken}}, {{}, {err: broken}}, {{}, {}, {err: broken}}} {
		l := &flaky{plan: plan}
		r := &Relay{Ledger: l, Outbox: store.Outbox{Consumer: "test"}, Now: time.Now, Deliver: func(record.Record) error { return nil }}
		if err := r.Run(t.Context(), nil); !errors.Is(err, broken) {
			t.Errorf("after %d calls: %v, want %v", len(plan), err, broken)
		}
	}
}
