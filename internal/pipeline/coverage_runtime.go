package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
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
	gaps = slices.DeleteFunc(gaps, func(g record.Gap) bool { return !r.owns(&g) })
	r.opts.Witness.adopt(gaps)
	return nil
}

// owns tells whether a gap is this shard's to go on with, rather than another's.
func (r *Runtime) owns(g *record.Gap) bool {
	scope := g.Scope
	if a, ok := Denied(*g); ok {
		scope = a.Namespace
		if scope == "" {
			return true
		}
	}
	if from, _, slots := shard.ParseScope(scope); slots {
		// Of slots that belong to several shards now, who has the first ends it.
		own, others := r.opts.Shard.Slots()
		return own <= from && from < others
	}
	return strings.Contains(scope, " ") || r.opts.Shard.Contains(scope) // the former is no namespace
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
