package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Relay hands the changes of a Ledger to one consumer, in order and at least once:
// what was delivered is acknowledged afterwards, so that a crash between the two
// delivers it again, with the same ID.
type Relay struct {
	Ledger Ledger
	Outbox store.Outbox
	// Settle is how long a record may wait for what is still being collected for it;
	// Settled tells that nothing is. Nil means never to wait.
	Settle  time.Duration
	Settled func(id string) bool
	// Deliver tells the consumer. After an error nothing more is delivered.
	Deliver func(record.Record) error
	Now     func() time.Time
}

// page is how many changes are asked for at once.
const page = 500

// Run relays until ctx ends or Deliver fails; told is signalled when there may be
// something new.
func (r *Relay) Run(ctx context.Context, told <-chan struct{}) error {
	// From now on, what this consumer has not seen is kept for it.
	if err := r.Ledger.Acknowledge(ctx, r.Outbox, 0); err != nil {
		return fmt.Errorf("register %s for changes: %w", r.Outbox.Consumer, err)
	}
	for {
		wait, err := r.relay(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-told:
		case <-due:
		}
	}
}

// Drain relays everything that is left, settled or not.
func (r *Relay) Drain(ctx context.Context) error {
	last := *r
	last.Settled = nil
	_, err := last.relay(ctx)
	return err
}

// relay delivers what is settled, and returns how long the first that is not has to wait.
func (r *Relay) relay(ctx context.Context) (time.Duration, error) {
	for {
		changes, err := r.Ledger.Changes(ctx, r.Outbox, page)
		if err != nil {
			return 0, fmt.Errorf("read the changes for %s: %w", r.Outbox.Consumer, err)
		}
		n, wait, err := r.deliver(changes)
		if n > 0 {
			if ackErr := r.Ledger.Acknowledge(ctx, r.Outbox, changes[n-1].Seq); ackErr != nil && err == nil {
				err = fmt.Errorf("acknowledge the changes for %s: %w", r.Outbox.Consumer, ackErr)
			}
		}
		if err != nil || n < page {
			return wait, err
		}
	}
}

func (r *Relay) deliver(changes []store.Change) (n int, wait time.Duration, err error) {
	for i, c := range changes {
		if r.Settled != nil && !r.Settled(c.Record.ID) {
			if left := c.Record.ObservedAt.Add(r.Settle).Sub(r.Now()); left > 0 {
				return i, left, nil
			}
		}
		if err := r.Deliver(c.Record); err != nil {
			return i, 0, fmt.Errorf("deliver to %s: %w", r.Outbox.Consumer, err)
		}
	}
	return len(changes), 0, nil
}
