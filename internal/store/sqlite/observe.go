package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const (
	lastSeen     = `SELECT at, value, seen_at FROM observations WHERE cluster = ? AND object = ? AND field = ? AND at <= ? ORDER BY at DESC LIMIT 1`
	observe      = `INSERT INTO observations (cluster, object, field, at, value, seen_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`
	observeAgain = `UPDATE observations SET seen_at = ? WHERE cluster = ? AND object = ? AND field = ? AND at = ?`
)

// observe adds an observation that differs from the last one before it.
func (a *appender) observe(cluster string, o record.Observation) error {
	now := sqlstore.Nanos(o.Time)
	last := new(sqlstore.Seen)
	found, err := a.one(lastSeen, []any{cluster, o.Object, o.Field, now}, &last.At, &last.Value, &last.Seen)
	if err != nil {
		return err
	}
	if !found {
		last = nil
	}
	switch sqlstore.Observe(last, o.Value, now) {
	case sqlstore.Differs:
		_, err = a.exec(observe, cluster, o.Object, o.Field, now, o.Value, now)
	case sqlstore.SeenAgain:
		_, err = a.exec(observeAgain, now, cluster, o.Object, o.Field, last.At)
	case sqlstore.AsItWas:
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
	var out sqlstore.Observed
	for rows.Next() {
		o := record.Observation{Object: object}
		var at int64
		if err := rows.Scan(&o.Field, &at, &o.Value); err != nil {
			return nil, readError(attempt, err)
		}
		o.Time = sqlstore.FromNanos(at)
		out.Add(o, since)
	}
	return out.Sorted(), readError(attempt, rows.Err())
}
