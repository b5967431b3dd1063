package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// marksPage is how many marks are read at once. Between pages no connection is held, so
// that yield may take one.
const marksPage = 1000

// Marks implements store.Reader.
func (s *Store) Marks(ctx context.Context, cluster string, yield func(record.Mark) bool) error {
	var after record.ContainerKey
	for first := true; ; first = false {
		page, err := s.marks(ctx, cluster, first, after)
		if err != nil {
			return readError("read the marks of store "+s.path, err)
		}
		for _, m := range page {
			if !yield(m) {
				return nil
			}
		}
		if len(page) < marksPage {
			return nil
		}
		after = page[len(page)-1].ContainerKey
	}
}

// The first page, and those after a container; an OR of both could not use the key.
const (
	marksStatement = `
		SELECT mark FROM marks WHERE cluster = ? ORDER BY pod_uid, type, name LIMIT ?`
	marksAfterStatement = `
		SELECT mark FROM marks WHERE cluster = ? AND (pod_uid, type, name) > (?, ?, ?) ORDER BY pod_uid, type, name LIMIT ?`
)

func (s *Store) marks(ctx context.Context, cluster string, first bool, after record.ContainerKey) ([]record.Mark, error) {
	text, args := marksStatement, []any{cluster, marksPage}
	if !first {
		text, args = marksAfterStatement, []any{cluster, after.PodUID, string(after.Type), after.Name, marksPage}
	}
	rows, err := s.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var marks []record.Mark
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		var m record.Mark
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("decode a mark: %w", err)
		}
		marks = append(marks, m)
	}
	return marks, rows.Err()
}

// Scope implements store.Reader.
func (s *Store) Scope(ctx context.Context, cluster, scope string) (store.Scope, error) {
	var since, seen int64
	var out store.Scope
	err := s.reader.QueryRowContext(ctx, "SELECT since, seen, resource_version FROM scopes WHERE cluster = ? AND scope = ?", cluster, scope).
		Scan(&since, &seen, &out.ResourceVersion)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Scope{}, nil
	}
	if err != nil {
		return store.Scope{}, readError(fmt.Sprintf("read scope %q of store %s", scope, s.path), err)
	}
	out.Since, out.Seen = sqlstore.FromNanos(since), sqlstore.FromNanos(seen)
	return out, nil
}

// Gaps implements store.Reader.
func (s *Store) Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error) {
	attempt := "read the gaps of store " + s.path
	text := "SELECT kind, scope, from_at, why, to_at, count FROM gaps WHERE cluster = ?"
	args := []any{cluster}
	if !to.IsZero() {
		text += " AND from_at < ?"
		args = append(args, sqlstore.Nanos(to))
	}
	if !from.IsZero() {
		// A gap of no length lies in the interval that begins with it.
		text += " AND (to_at = 0 OR to_at > ? OR from_at >= ?)"
		args = append(args, sqlstore.Nanos(from), sqlstore.Nanos(from))
	}
	rows, err := s.reader.QueryContext(ctx, text+" ORDER BY from_at, kind, scope, why", args...)
	if err != nil {
		return nil, readError(attempt, err)
	}
	defer rows.Close()
	var gaps []record.Gap
	for rows.Next() {
		var g record.Gap
		var from, to int64
		if err := rows.Scan(&g.Kind, &g.Scope, &from, &g.Why, &to, &g.Count); err != nil {
			return nil, readError(attempt, err)
		}
		g.From, g.To = sqlstore.FromNanos(from), sqlstore.FromNanos(to)
		gaps = append(gaps, g)
	}
	return gaps, readError(attempt, rows.Err())
}

// Stats implements store.Reader.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	out := store.Stats{Location: s.path}
	var oldest, newest int64
	err := s.reader.QueryRowContext(ctx, `
		SELECT stops, stalls, missed, pruned, marks, `+contentBytes+`,
		       (SELECT count(*) FROM issues),
		       (SELECT count(*) FROM records INDEXED BY records_issue WHERE issue IS NULL),
		       (SELECT count(*) FROM records INDEXED BY records_missed WHERE missed <> 0 AND missed < 0),
		       coalesce((SELECT min(at) FROM records INDEXED BY records_time WHERE at > 0), 0),
		       coalesce((SELECT max(at) FROM records INDEXED BY records_time WHERE at > 0), 0)
		FROM totals`,
	).Scan(&out.Stops, &out.Stalls, &out.Missed, &out.Pruned, &out.Marks, &out.Bytes, &out.Issues, &out.Ungrouped, &out.Unlooked, &oldest, &newest)
	if err != nil {
		return store.Stats{}, readError("read the totals of store "+s.path, err)
	}
	out.Oldest, out.Newest = sqlstore.FromNanos(oldest), sqlstore.FromNanos(newest)
	return out, nil
}

// contentBytes is the size of the pages that are in use.
const contentBytes = `(SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size)`
