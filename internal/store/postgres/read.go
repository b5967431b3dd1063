package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
	// The keys behind which a page begins, as they are spelled; no type or name is before the empty ones.
	after := [3]string{}
	for first := true; ; first = false {
		var page []record.Mark
		text := "SELECT pod_uid, type, name, mark FROM whyrestart.marks WHERE cluster = $1 AND (pod_uid, type, name) > ($2, $3, $4) ORDER BY pod_uid, type, name LIMIT $5"
		if first {
			text = "SELECT pod_uid, type, name, mark FROM whyrestart.marks WHERE cluster = $1 AND (pod_uid, type, name) >= ($2, $3, $4) ORDER BY pod_uid, type, name LIMIT $5"
		}
		err := s.one(ctx, "read the marks of store "+s.location, text, []any{spell(cluster), after[0], after[1], after[2], marksPage}, func(scan func(...any) error) error {
			var b []byte
			if err := scan(&after[0], &after[1], &after[2], &b); err != nil {
				return err
			}
			var m record.Mark
			if err := json.Unmarshal(b, &m); err != nil {
				return fmt.Errorf("decode a mark: %w", err)
			}
			page = append(page, m)
			return nil
		})
		if err != nil {
			return err
		}
		for _, m := range page {
			if !yield(m) {
				return nil
			}
		}
		if len(page) < marksPage {
			return nil
		}
	}
}

// Scope implements store.Reader.
func (s *Store) Scope(ctx context.Context, cluster, scope string) (store.Scope, error) {
	var out store.Scope
	err := s.one(ctx, fmt.Sprintf("read scope %q of store %s", scope, s.location),
		"SELECT since, seen, version FROM whyrestart.scopes WHERE cluster = $1 AND scope = $2", []any{spell(cluster), spell(scope)},
		func(scan func(...any) error) error {
			var err error
			out, err = scanScope(scan)
			return err
		})
	return out, err
}

// scanScope scans since, seen and version of a scope, behind what else is scanned.
func scanScope(scan func(...any) error, first ...any) (store.Scope, error) {
	var since, seen int64
	var version []byte
	err := scan(append(first, &since, &seen, &version)...)
	return store.Scope{Since: sqlstore.FromNanos(since), Seen: sqlstore.FromNanos(seen), ResourceVersion: string(version)}, err
}

// Scopes implements store.Reader.
func (s *Store) Scopes(ctx context.Context, cluster string) (map[string]store.Scope, error) {
	out := make(map[string]store.Scope)
	err := s.one(ctx, "read the scopes of store "+s.location, "SELECT name, since, seen, version FROM whyrestart.scopes WHERE cluster = $1", []any{spell(cluster)},
		func(scan func(...any) error) error {
			var name []byte
			sc, err := scanScope(scan, &name)
			out[string(name)] = sc
			return err
		})
	return out, err
}

// Clusters implements store.Reader. Whoever writes of a cluster enters it first.
func (s *Store) Clusters(ctx context.Context) ([]string, error) {
	var out []string
	err := s.one(ctx, "read the clusters of store "+s.location, "SELECT cluster FROM whyrestart.clusters", nil, func(scan func(...any) error) error {
		var c string
		err := scan(&c)
		out = append(out, unspell(c))
		return err
	})
	slices.Sort(out)
	return out, err
}

// Gaps implements store.Reader.
func (s *Store) Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error) {
	text := "SELECT kind, scope, from_at, why, to_at, count FROM whyrestart.gaps WHERE cluster = ?"
	args := []any{spell(cluster)}
	if !to.IsZero() {
		text += " AND from_at < ?"
		args = append(args, sqlstore.Nanos(to))
	}
	if !from.IsZero() {
		// A gap of no length lies in the interval that begins with it.
		text += " AND (to_at = 0 OR to_at > ? OR from_at >= ?)"
		args = append(args, sqlstore.Nanos(from), sqlstore.Nanos(from))
	}
	var gaps []record.Gap
	err := s.one(ctx, "read the gaps of store "+s.location, numbered(text), args, func(scan func(...any) error) error {
		var kind, scope, why []byte
		var from, to int64
		var g record.Gap
		err := scan(&kind, &scope, &from, &why, &to, &g.Count)
		g.Kind, g.Scope, g.Why = record.GapKind(kind), string(scope), string(why)
		g.From, g.To = sqlstore.FromNanos(from), sqlstore.FromNanos(to)
		gaps = append(gaps, g)
		return err
	})
	slices.SortFunc(gaps, func(a, b record.Gap) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Why, b.Why))
	})
	return gaps, err
}

// Stats implements store.Reader. Bytes is the size of the documents of records, with their logs and
// evidence, as they are compressed, and rowSize for each record: kept as a total, not measured. What
// else is stored, and what the server has not cleaned up yet, comes on top.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	out := store.Stats{Location: s.location}
	var oldest, newest int64
	err := s.one(ctx, "read the totals of store "+s.location, `
		SELECT coalesce(sum(stops), 0)::bigint, coalesce(sum(stalls), 0)::bigint, coalesce(sum(missed), 0)::bigint, coalesce(sum(pruned), 0)::bigint,
			coalesce(sum(marks), 0)::bigint, coalesce(sum(bytes), 0)::bigint,
			(SELECT count(*) FROM whyrestart.issues),
			(SELECT count(*) FROM whyrestart.records WHERE issue IS NULL),
			coalesce((SELECT min(at) FROM whyrestart.records WHERE at > 0), 0),
			coalesce((SELECT max(at) FROM whyrestart.records WHERE at > 0), 0)
		FROM whyrestart.clusters`, nil, func(scan func(...any) error) error {
		return scan(&out.Stops, &out.Stalls, &out.Missed, &out.Pruned, &out.Marks, &out.Bytes, &out.Issues, &out.Ungrouped, &oldest, &newest)
	})
	if err != nil {
		return store.Stats{}, err
	}
	out.Oldest, out.Newest = sqlstore.FromNanos(oldest), sqlstore.FromNanos(newest)
	return out, nil
}
