package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Relay hands the changes of a Ledger to one consumer, in order and at least once:
// what was delivered is acknowledged afterwards, so that a crash between the two
// delivers it again, with the same ID. A ledger that is unavailable is asked again, for
// as long as it takes.
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

	// delivered are the changes that were delivered and could not be acknowledged yet, with the IDs of
	// their records: while the store cannot be written, nobody is told of them again and again.
	delivered map[int64]string
}

// page is how many changes are asked for at once.
const page = 500

// Run relays until ctx ends or Deliver fails; told is signalled when there may be
// something new.
func (r *Relay) Run(ctx context.Context, told <-chan struct{}) error {
	var again backOff
	// From now on, what this consumer has not seen is kept for it.
	for {
		err := r.Ledger.Acknowledge(ctx, r.Outbox, 0)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that it was to end is no failure
		}
		if !errors.Is(err, store.ErrUnavailable) {
			return fmt.Errorf("register %s for changes: %w", r.Outbox.Consumer, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again.next()):
		}
	}
	for {
		wait, err := r.relay(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // that it was to end is no failure
		case err == nil:
			again = 0
		case errors.Is(err, store.ErrUnavailable):
			wait = again.next()
		default:
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

// backOff is how long was waited last for a store that is unavailable.
type backOff time.Duration

const (
	leastBackOff = backOff(100 * time.Millisecond)
	mostBackOff  = backOff(10 * time.Second)
)

// next returns how long to wait now.
func (b *backOff) next() time.Duration {
	*b = min(max(2**b, leastBackOff), mostBackOff)
	return time.Duration(*b)
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
			ackErr := r.Ledger.Acknowledge(ctx, r.Outbox, changes[n-1].Seq)
			switch {
			case ackErr == nil:
				clear(r.delivered)
			case err == nil:
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
		if r.delivered[c.Seq] == c.Record.ID {
			continue
		}
		if r.Settled != nil && !r.Settled(c.Record.ID) {
			if left := c.Record.ObservedAt.Add(r.Settle).Sub(r.Now()); left > 0 {
				return i, min(left, r.Settle), nil // a clock that was set back makes it no longer
			}
		}
		if err := r.Deliver(c.Record); err != nil {
			return i, 0, fmt.Errorf("deliver to %s: %w", r.Outbox.Consumer, err)
		}
		if r.delivered == nil {
			r.delivered = make(map[int64]string)
		}
		r.delivered[c.Seq] = c.Record.ID
	}
	return len(changes), 0, nil
}
