package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/store"
)

// The join is crossed so that SQLite begins with the changes.
const changesStatement = `
	SELECT c.seq, r.doc, l.doc
	FROM changes c CROSS JOIN records r ON r.seq = c.record LEFT JOIN logs l ON l.record = c.record
	WHERE c.seq > coalesce((SELECT seq FROM consumers WHERE name = ?), 0)
	ORDER BY c.seq LIMIT ?`

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, consumer string, limit int) ([]store.Change, error) {
	attempt := fmt.Sprintf("read the changes for %s of store %s", consumer, s.path)
	if limit <= 0 {
		limit = store.DefaultLimit
	}
	rows, err := s.reader.QueryContext(ctx, changesStatement, consumer, limit)
	if err != nil {
		return nil, readError(attempt, err)
	}
	defer rows.Close()
	var changes []store.Change
	for rows.Next() {
		var c store.Change
		var doc, log []byte
		if err := rows.Scan(&c.Seq, &doc, &log); err != nil {
			return nil, readError(attempt, err)
		}
		if c.Record, err = s.codec.decode(doc, log); err != nil {
			return nil, fmt.Errorf("%s: %w", attempt, err)
		}
		changes = append(changes, c)
	}
	return changes, readError(attempt, rows.Err())
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
