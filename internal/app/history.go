package app

import (
	"context"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// StoreCoverage sums up what a history says of the records that were found in it, and
// when it saw nothing since a time (zero: since ever).
func StoreCoverage(ctx context.Context, r store.Reader, cluster string, found []record.Record, since time.Time) (record.Coverage, error) {
	gaps, err := r.Gaps(ctx, cluster, since, time.Time{})
	if err != nil {
		return record.Coverage{}, err
	}
	c := record.Coverage{Gaps: gaps}
	pods := make(map[string]bool)
	for i := range found {
		pods[found[i].PodUID] = true
	}
	c.Pods = len(pods)
	c.Stops, c.Missed = sum(found)
	return c, nil
}
