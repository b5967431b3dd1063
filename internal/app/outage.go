package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// heeded is a history that tells once when it went away and once when it is back, for all who
// use it: each of them tries again by itself, and would say so each time. While it is away, what would
// be nice to know of the past is not asked for: the log of a stop is not to be missed because
// eight who read it wait for a database that hangs.
type heeded struct {
	store.Store
	logger *slog.Logger
	now    func() time.Time
	// ask, if not nil, ends the questions whether the history is there, which asked waits for.
	ask   context.CancelFunc
	asked sync.WaitGroup

	mu sync.Mutex
	// since is when it went away, zero while it is there; why is what was said then, and unwritten
	// tells that something could not be written: a full disk can be read.
	since     time.Time
	why       error
	unwritten bool
}

// heed returns db, which may be heeded already, as one that is.
func heed(db store.Store, logger *slog.Logger) *heeded {
	if h, ok := db.(*heeded); ok {
		return h
	}
	return &heeded{Store: db, logger: logger, now: time.Now}
}

const (
	// askEvery is how often it is asked whether the history is there, askAgain while it is not.
	askEvery = 10 * time.Second
	askAgain = 2 * time.Second
)

// inquire asks again and again whether the history is there, until it is closed: where nothing stops, nobody
// else would notice.
func (h *heeded) inquire(ctx context.Context, cluster string) {
	ctx, h.ask = context.WithCancel(ctx)
	h.asked.Go(func() {
		for {
			wait := askEvery
			if h.away() != nil {
				wait = askAgain
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			_ = h.limit(ctx, func(ctx context.Context) error {
				_, err := h.Store.Scope(ctx, cluster, "")
				return err
			})
		}
	})
}

func (h *heeded) Close() error {
	if h.ask != nil {
		h.ask()
		h.asked.Wait()
	}
	return h.Store.Close()
}

// away returns why the history is away, nil while it is there.
func (h *heeded) away() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		return nil
	}
	return fmt.Errorf("the history is away: %w", h.why)
}

// see takes notice of how a call ended, and wrote of one that wrote.
func (h *heeded) see(err error) error { return h.notice(err, false) }

func (h *heeded) wrote(err error) error { return h.notice(err, true) }

func (h *heeded) notice(err error, write bool) error {
	away := errors.Is(err, store.ErrUnavailable)
	if err != nil && !away {
		return err // it answered, or nobody waited for the answer
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case away:
		h.unwritten = h.unwritten || write
		if h.since.IsZero() {
			h.since, h.why = h.now(), err
			h.logger.Error("the history is away; what is found waits in memory until it is back", "err", err)
		}
	case !h.since.IsZero() && (write || !h.unwritten):
		h.logger.Info("the history is back", "after", h.now().Sub(h.since).Round(time.Millisecond))
		h.since, h.why, h.unwritten = time.Time{}, nil, false
	}
	return err
}

func (h *heeded) Append(ctx context.Context, b store.Batch) error {
	return h.wrote(h.Store.Append(ctx, b))
}

func (h *heeded) Acknowledge(ctx context.Context, o store.Outbox, seq int64) error {
	return h.wrote(h.Store.Acknowledge(ctx, o, seq))
}

func (h *heeded) Changes(ctx context.Context, o store.Outbox, limit int) ([]store.Change, error) {
	changes, err := h.Store.Changes(ctx, o, limit)
	return changes, h.see(err)
}

func (h *heeded) Claim(ctx context.Context, cluster string, s shard.Shard) (int64, error) {
	term, err := h.Store.Claim(ctx, cluster, s)
	return term, h.see(err)
}

func (h *heeded) Prune(ctx context.Context, r store.Retention) (int, error) {
	n, err := h.Store.Prune(ctx, r)
	return n, h.see(err)
}

func (h *heeded) Amend(ctx context.Context, id string, a issue.Action) (issue.Issue, error) {
	i, err := h.Store.Amend(ctx, id, a)
	return i, h.see(err)
}

func (h *heeded) Issues(ctx context.Context, q store.IssueQuery) ([]issue.Issue, string, error) {
	issues, next, err := h.Store.Issues(ctx, q)
	return issues, next, h.see(err)
}

func (h *heeded) List(ctx context.Context, q store.Query) (records []record.Record, next string, err error) {
	err = h.glance(ctx, func(ctx context.Context) error {
		records, next, err = h.Store.List(ctx, q)
		return err
	})
	return records, next, err
}

func (h *heeded) Evidence(ctx context.Context, id string) (e evidence.Evidence, err error) {
	err = h.glance(ctx, func(ctx context.Context) error {
		e, err = h.Store.Evidence(ctx, id)
		return err
	})
	return e, err
}

func (h *heeded) Observations(ctx context.Context, cluster, object string, since time.Time) (found []record.Observation, err error) {
	err = h.glance(ctx, func(ctx context.Context) error {
		found, err = h.Store.Observations(ctx, cluster, object, since)
		return err
	})
	return found, err
}

// glancing is how long reading something of the past may take.
const glancing = 10 * time.Second

// errAway is what is read while the history is away.
var errAway = fmt.Errorf("the history is away: %w", store.ErrUnavailable)

// glance reads something that a stop can be explained without.
func (h *heeded) glance(ctx context.Context, read func(context.Context) error) error {
	if h.away() != nil {
		return errAway
	}
	return h.limit(ctx, read)
}

func (h *heeded) limit(ctx context.Context, read func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, glancing)
	defer cancel()
	err := read(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %s: %w: %w", glancing, store.ErrUnavailable, err)
	}
	return h.see(err)
}
