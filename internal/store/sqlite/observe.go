package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const (
	lastSeen     = `SELECT at, value, seen_at FROM observations WHERE cluster = ? AND object = ? AND field = ? AND at <= ? ORDER BY at DESC LIMIT 1`
	observe      = `INSERT INTO observations (cluster, object, field, at, value, seen_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`
	observeAgain = `UPDATE observations SET seen_at = ? WHERE cluster = ? AND object = ? AND field = ? AND at = ?`

	// seenEvery is how often it is noted that something is as it was: retention takes what was
	// not seen for long.
	seenEvery = int64(6 * time.Hour)
)

// observe adds an observation that differs from the last one before it.
func (a *appender) observe(cluster string, o record.Observation) error {
	var at, seen int64
	var value string
	now := sqlstore.Nanos(o.Time)
	found, err := a.one(lastSeen, []any{cluster, o.Object, o.Field, now}, &at, &value, &seen)
	switch {
	case err != nil:
		return err
	case !found || value != o.Value:
		_, err = a.exec(observe, cluster, o.Object, o.Field, now, o.Value, now)
	case now-seen >= seenEvery:
		_, err = a.exec(observeAgain, now, cluster, o.Object, o.Field, at)
	}
	return err
}

const observationsStatement = `SELECT field, at, value FROM observations WHERE cluster = ? AND object = ? ORDER BY field, at`

// Observations implements store.Reader.
func (s *Store) Observations(ctx context.Context, cluster, object string, since time.Time) ([]record.Observation, error) {
	attempt := fmt.Sprintf("read what was observed of %s in store %s", object, s.path)
	rows, err := s.reader.QueryContext(ctx, observationsStatement, cluster, object)
	if err != nil {
		return nil, readError(attempt, err)
	}
	defer rows.Close()
	var out []record.Observation
	for rows.Next() {
		o := record.Observation{Object: object}
		var at int64
		if err := rows.Scan(&o.Field, &at, &o.Value); err != nil {
			return nil, readError(attempt, err)
		}
		o.Time = sqlstore.FromNanos(at)
		// What it was at that time is the last one before, of which only the newest stays.
		if n := len(out); n > 0 && out[n-1].Field == o.Field && !o.Time.After(since) {
			out = out[:n-1]
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b record.Observation) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Field, b.Field))
	})
	return out, readError(attempt, rows.Err())
}
