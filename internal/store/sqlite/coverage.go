package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const (
	unlooked    = `SELECT seq, doc FROM records INDEXED BY records_missed WHERE missed <> 0 AND missed < 0 ORDER BY at, seq LIMIT ?`
	lookedAt    = `UPDATE records SET missed = ? WHERE seq = ?`
	allClusters = `
		SELECT cluster FROM scopes UNION SELECT cluster FROM consumers UNION SELECT cluster FROM gaps
		UNION SELECT cluster FROM issues UNION SELECT cluster FROM terms ORDER BY 1`
	allScopes = `SELECT scope, since, seen, resource_version FROM scopes WHERE cluster = ?`
	// Of the changes of all clusters only those are read that somebody has not seen.
	backlogs = `
		WITH seen AS (SELECT name, slot, seq FROM consumers WHERE cluster = :cluster),
			who AS (SELECT name, iif(count(*) = 16, min(seq), 0) AS first FROM seen GROUP BY name)
		SELECT who.name, count(c.seq), coalesce(min(c.at), 0) FROM who LEFT JOIN changes c
			ON c.seq > who.first AND c.cluster = :cluster
			AND c.seq > coalesce((SELECT s.seq FROM seen s WHERE s.name = who.name AND s.slot = c.slot), 0)
		GROUP BY who.name ORDER BY who.name`
)

// lookSome reads of records that an earlier version stored how many stops were missed before them.
func (s *Store) lookSome(ctx context.Context, limit int) (n int, err error) {
	type look struct {
		seq    int64
		missed int64
	}
	err = s.writer.transact(ctx, func(tx *sql.Tx) error {
		var looked []look
		err := query(ctx, tx, unlooked, []any{limit}, func(scan func(...any) error) error {
			var l look
			var doc []byte
			if err := scan(&l.seq, &doc); err != nil {
				return err
			}
			// One that cannot be read tells of none; groupSome has said so.
			if r, err := s.codec.Record(doc); err == nil {
				l.missed = sqlstore.MissedOf(&r)
			}
			looked = append(looked, l)
			return nil
		})
		if err != nil {
			return err
		}
		for _, l := range looked {
			if _, err := tx.ExecContext(ctx, lookedAt, l.missed, l.seq); err != nil {
				return err
			}
		}
		n = len(looked)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look at which stored stops missed others: %w", err)
	}
	return n, nil
}

// Clusters implements store.Reader.
func (s *Store) Clusters(ctx context.Context) ([]string, error) {
	var out []string
	err := query(ctx, s.reader, allClusters, nil, func(scan func(...any) error) error {
		var c string
		err := scan(&c)
		out = append(out, c)
		return err
	})
	return out, readError("read the clusters of store "+s.path, err)
}

// Scopes implements store.Reader.
func (s *Store) Scopes(ctx context.Context, cluster string) (map[string]store.Scope, error) {
	out := make(map[string]store.Scope)
	err := query(ctx, s.reader, allScopes, []any{cluster}, func(scan func(...any) error) error {
		var name string
		var since, seen int64
		var sc store.Scope
		err := scan(&name, &since, &seen, &sc.ResourceVersion)
		sc.Since, sc.Seen = sqlstore.FromNanos(since), sqlstore.FromNanos(seen)
		out[name] = sc
		return err
	})
	return out, readError("read the scopes of store "+s.path, err)
}

// Backlogs implements store.Reader.
func (s *Store) Backlogs(ctx context.Context, cluster string) ([]store.Backlog, error) {
	var out []store.Backlog
	err := query(ctx, s.reader, backlogs, []any{sql.Named("cluster", cluster)}, func(scan func(...any) error) error {
		var b store.Backlog
		var oldest int64
		err := scan(&b.Consumer, &b.Changes, &oldest)
		b.Oldest = sqlstore.FromNanos(oldest)
		out = append(out, b)
		return err
	})
	return out, readError("read what waits in store "+s.path, err)
}
