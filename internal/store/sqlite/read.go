package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Marks implements store.Reader.
func (s *Store) Marks(ctx context.Context, cluster string, yield func(record.Mark) bool) error {
	attempt := "read the marks of store " + s.path
	rows, err := s.reader.QueryContext(ctx, `
		SELECT pod_uid, type, name, namespace, pod, epoch, accounted, last_id, prev_id, last_sum, resource_version
		FROM marks WHERE cluster = ?`, cluster)
	if err != nil {
		return readError(attempt, err)
	}
	defer rows.Close()
	for rows.Next() {
		var m record.Mark
		var last, prev, sum, version int64
		if err := rows.Scan(&m.PodUID, &m.Type, &m.Name, &m.Namespace, &m.Pod, &m.Epoch, &m.Accounted, &last, &prev, &sum, &version); err != nil {
			return readError(attempt, err)
		}
		m.LastID, m.PrevID, m.LastSum, m.ResourceVersion = uint64(last), uint64(prev), uint64(sum), uint64(version)
		if !yield(m) {
			return nil
		}
	}
	return readError(attempt, rows.Err())
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
	out.Since, out.Seen = fromNanos(since), fromNanos(seen)
	return out, nil
}

// Gaps implements store.Reader.
func (s *Store) Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error) {
	attempt := "read the gaps of store " + s.path
	text := "SELECT scope, from_at, why, to_at FROM gaps WHERE cluster = ?"
	args := []any{cluster}
	if !to.IsZero() {
		text += " AND from_at < ?"
		args = append(args, nanos(to))
	}
	if !from.IsZero() {
		// A gap of no length lies in the interval that begins with it.
		text += " AND (to_at = 0 OR to_at > ? OR from_at >= ?)"
		args = append(args, nanos(from), nanos(from))
	}
	rows, err := s.reader.QueryContext(ctx, text+" ORDER BY from_at, scope, why", args...)
	if err != nil {
		return nil, readError(attempt, err)
	}
	defer rows.Close()
	var gaps []record.Gap
	for rows.Next() {
		var g record.Gap
		var from, to int64
		if err := rows.Scan(&g.Scope, &from, &g.Why, &to); err != nil {
			return nil, readError(attempt, err)
		}
		g.From, g.To = fromNanos(from), fromNanos(to)
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
		       coalesce((SELECT min(at) FROM records INDEXED BY records_time WHERE at > 0), 0),
		       coalesce((SELECT max(at) FROM records INDEXED BY records_time WHERE at > 0), 0)
		FROM totals`,
	).Scan(&out.Stops, &out.Stalls, &out.Missed, &out.Pruned, &out.Marks, &out.Bytes, &oldest, &newest)
	if err != nil {
		return store.Stats{}, readError("read the totals of store "+s.path, err)
	}
	out.Oldest, out.Newest = fromNanos(oldest), fromNanos(newest)
	return out, nil
}

// contentBytes is the size of the pages that are in use.
const contentBytes = `(SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size)`
