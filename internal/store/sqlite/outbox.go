package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// The join is crossed so that SQLite begins with the changes: those after the first that one
// of the slots has not seen, where none of them is unknown.
const changesStatement = `
	WITH seen AS (SELECT slot, seq FROM consumers WHERE cluster = :cluster AND name = :consumer AND slot >= :from AND slot < :to)
	SELECT c.seq, r.doc, l.doc, r.issue, r.incident
	FROM changes c CROSS JOIN records r ON r.seq = c.record LEFT JOIN logs l ON l.record = c.record
	WHERE c.seq > iif((SELECT count(*) FROM seen) = :to - :from, (SELECT min(seq) FROM seen), 0)
		AND c.cluster = :cluster AND c.slot >= :from AND c.slot < :to
		AND c.seq > coalesce((SELECT s.seq FROM seen s WHERE s.slot = c.slot), 0)
	ORDER BY c.seq LIMIT :limit`

func outboxArguments(o store.Outbox, limit int) []any {
	from, to := o.Shard.Slots()
	return []any{
		sql.Named("cluster", o.Cluster), sql.Named("consumer", o.Consumer),
		sql.Named("from", from), sql.Named("to", to), sql.Named("limit", limit),
	}
}

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, o store.Outbox, limit int) ([]store.Change, error) {
	attempt := fmt.Sprintf("read the changes for %s of store %s", o.Consumer, s.path)
	if limit <= 0 {
		limit = store.DefaultLimit
	}
	var changes []store.Change
	err := s.view(ctx, func(tx *sql.Tx) error {
		var records []record.Record
		var places []place
		err := query(ctx, tx, changesStatement, outboxArguments(o, limit), func(scan func(...any) error) error {
			var c store.Change
			var doc, log []byte
			var p place
			if err := scan(&c.Seq, &doc, &log, &p.issue, &p.incident); err != nil {
				return err
			}
			r, err := s.codec.Decode(doc, log)
			changes, records, places = append(changes, c), append(records, r), append(places, p)
			return err
		})
		if err != nil {
			return err
		}
		if err := s.refer(ctx, tx, records, places); err != nil {
			return err
		}
		for n := range changes {
			changes[n].Record = records[n]
		}
		return nil
	})
	if err != nil {
		return nil, readError(attempt, err)
	}
	return changes, nil
}

// A number that was not given out yet would skip the changes that get it.
const acknowledge = `
	INSERT INTO consumers (cluster, name, slot, seq)
	VALUES (?, ?, ?, max(0, min(?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0))))
	ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq`

// Acknowledge implements store.Writer.
func (s *Store) Acknowledge(ctx context.Context, o store.Outbox, seq int64) error {
	attempt := fmt.Sprintf("acknowledge the changes for %s in store %s", o.Consumer, s.path)
	if s.writer == nil {
		return fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	err := s.writer.transact(ctx, func(tx *sql.Tx) error {
		from, to := o.Shard.Slots()
		for slot := from; slot < to; slot++ {
			if _, err := tx.ExecContext(ctx, acknowledge, o.Cluster, o.Consumer, slot, seq); err != nil {
				return err
			}
		}
		return nil
	})
	return writeError(attempt, err)
}

// Claim implements store.Writer.
func (s *Store) Claim(ctx context.Context, cluster string, sh shard.Shard) (term int64, err error) {
	attempt := "claim store " + s.path
	if s.writer == nil {
		return 0, fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	err = s.writer.transact(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT 1 + coalesce(max(term), 0) FROM terms WHERE cluster = ?", cluster).Scan(&term); err != nil {
			return err
		}
		from, to := sh.Slots()
		for slot := from; slot < to; slot++ {
			_, err := tx.ExecContext(ctx, `INSERT INTO terms (cluster, slot, term) VALUES (?, ?, ?)
				ON CONFLICT DO UPDATE SET term = excluded.term`, cluster, slot, term)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, writeError(attempt, err)
	}
	return term, nil
}
