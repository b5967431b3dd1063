package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/whyrestart/whyrestart/internal/api"
	"github.com/whyrestart/whyrestart/internal/kube"
	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// measureEvery is how often it is measured what waits for whom.
const measureEvery = 15 * time.Second

// coverageAPI answers programs.
func coverageAPI(db store.Reader, logger *slog.Logger) http.Handler {
	return api.New(api.Options{
		Coverage: func(ctx context.Context, q api.CoverageQuery) (record.Sight, error) {
			return StoredSight(ctx, db, SightQuery{Cluster: q.Cluster, Namespaces: q.Namespaces, Since: q.Since, Now: q.Now})
		},
		Logger: logger,
		Now:    time.Now,
	})
}

// witnessing looks after what is not seen and not told until ctx ends.
func (l *live) witnessing(ctx context.Context, s Source, db store.Reader, meter *metrics.Meter, logger *slog.Logger) error {
	reviewer, err := kube.NewReviewer(s.Config, userAgent(s))
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error {
		l.witness.Ask(ctx, reviewer.Allowed)
		return nil
	})
	g.Go(func() error {
		l.measure(ctx, s.Cluster, db, meter, logger)
		return nil
	})
	return g.Wait()
}

// measure tells the meter what waits for whom, and how far the watch is.
func (l *live) measure(ctx context.Context, cluster string, db store.Reader, meter *metrics.Meter, logger *slog.Logger) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		for scope, at := range l.runtime.Seen() {
			meter.Seen(scope, at)
		}
		backlogs, err := db.Backlogs(ctx, cluster)
		if err != nil && ctx.Err() == nil {
			logger.Warn("cannot read what waits to be told", "err", err)
		}
		for _, b := range backlogs {
			wait := time.Duration(0)
			if b.Changes > 0 && !b.Oldest.IsZero() {
				wait = time.Since(b.Oldest)
			}
			meter.Waiting(b.Consumer, b.Changes, wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
