package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// The join is crossed so that SQLite begins with the changes.
const changesStatement = `
	SELECT c.seq, r.doc, l.doc, r.issue, r.incident
	FROM changes c CROSS JOIN records r ON r.seq = c.record LEFT JOIN logs l ON l.record = c.record
	WHERE c.seq > coalesce((SELECT seq FROM consumers WHERE name = ?), 0)
	ORDER BY c.seq LIMIT ?`

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, consumer string, limit int) ([]store.Change, error) {
	attempt := fmt.Sprintf("read the changes for %s of store %s", consumer, s.path)
	if limit <= 0 {
		limit = store.DefaultLimit
	}
	var changes []store.Change
	err := s.view(ctx, func(tx *sql.Tx) error {
		var records []record.Record
		var places []place
		err := query(ctx, tx, changesStatement, []any{consumer, limit}, func(scan func(...any) error) error {
			var c store.Change
			var doc, log []byte
			var p place
			if err := scan(&c.Seq, &doc, &log, &p.issue, &p.incident); err != nil {
				return err
			}
			r, err := s.codec.decode(doc, log)
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

// Acknowledge implements store.Writer.
func (s *Store) Acknowledge(ctx context.Context, consumer string, seq int64) error {
	attempt := fmt.Sprintf("acknowledge the changes for %s in store %s", consumer, s.path)
	if s.writer == nil {
		return fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	err := s.writer.transact(ctx, func(tx *sql.Tx) error {
		// A number that was not given out yet would skip the changes that get it.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO consumers (name, seq)
			VALUES (?, max(0, min(?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0))))
			ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq`, consumer, seq)
		return err
	})
	return writeError(attempt, err)
}
