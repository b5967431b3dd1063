package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// gapReader is a Ledger that remembers the gaps of earlier runs.
type gapReader interface {
	Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error)
}

// goOnWithGaps goes on with the gaps that an earlier run left open.
func (r *Runtime) goOnWithGaps(ctx context.Context) error {
	ledger, ok := r.opts.Ledger.(gapReader)
	if !ok {
		return nil
	}
	gaps, err := ledger.Gaps(ctx, r.opts.Cluster, r.opts.Now(), time.Time{})
	if err != nil {
		return fmt.Errorf("load the gaps that last: %w", err)
	}
	r.opts.Witness.adopt(gaps)
	return nil
}

// Seen returns until when each scope is known to be seen, by its name; zero where it never was.
func (r *Runtime) Seen() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]time.Time, len(r.opts.Scopes))
	for _, name := range r.opts.Scopes {
		if sc := r.scope(name); sc.replaced {
			out[name] = sc.Seen
		} else {
			out[name] = time.Time{}
		}
	}
	return out
}
