package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where goose keeps which migrations were applied.
const versionTable = "whyrestart.goose_db_version"

// check refuses what cannot be read: another program's schema, one that is newer, or older, than
// this program.
func (s *Store) check(ctx context.Context) error {
	have, want, err := s.versions(ctx)
	switch {
	case err != nil:
		return err
	case have == 0:
		return errors.New("nothing was recorded in this database yet: it has no schema whyrestart with a history in it")
	case have < want:
		return fmt.Errorf("it has the older schema %d and this program reads %d; a server of this version upgrades it when it starts, or read it with the version that wrote it", have, want)
	}
	return nil
}

// versions returns the last migration that was applied, 0 if none was, and the last that this
// program knows. A database beyond that is refused. It writes nothing.
func (s *Store) versions(ctx context.Context) (have, want int64, err error) {
	want = s.schema
	var ours, guard bool
	var tables int
	err = s.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE c.relname = 'goose_db_version') > 0, count(*) FILTER (WHERE c.relname = 'guard') > 0, count(*)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'whyrestart' AND c.relkind IN ('r', 'p', 'v', 'm')`).Scan(&ours, &guard, &tables)
	if err != nil {
		return 0, 0, fmt.Errorf("look for the schema: %w", err)
	}
	if tables > 0 && !guard {
		return 0, 0, errors.New("its schema whyrestart has tables of another program; give another database")
	}
	if !ours {
		return 0, want, nil
	}
	if err := s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&have); err != nil {
		return 0, 0, fmt.Errorf("read the version of its schema: %w", err)
	}
	return have, want, s.newer(have)
}

// newer refuses a schema that this program does not know.
func (s *Store) newer(have int64) error {
	if have <= s.schema {
		return nil
	}
	return fmt.Errorf("it was written by a newer version of whyrestart (schema %d, this program knows up to %d); use that version, or give another database", have, s.schema)
}

// schemaLock is what a transaction that writes shares with others, and who upgrades the schema has
// alone: its number is "whyr".
const schemaLock = 0x77687972

// keepSchema queues that a transaction writes only to the schema that it knows, and that nobody upgrades it
// meanwhile: while a rollout replaces one version by the next, the old one may lead for a
// while after the new one has upgraded what it writes to.
func (s *Store) keepSchema(t *transaction) {
	t.queue("SELECT pg_advisory_xact_lock_shared($1)", int64(schemaLock))
	t.ask("SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied", nil, func(scan func(...any) error) error {
		var have int64
		if err := scan(&have); err != nil {
			return err
		}
		return s.newer(have)
	})
}

// outdated is why a statement does not fit the schema, where a newer version has upgraded that: the
// server refuses to parse it before it is asked for the version.
func (s *Store) outdated(ctx context.Context, err error) error {
	if !strings.HasPrefix(code(err), "42") {
		return err
	}
	within, cancel := bound(ctx)
	defer cancel()
	var have int64
	if s.pool.QueryRow(within, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&have) != nil {
		return err
	}
	if newer := s.newer(have); newer != nil {
		return newer
	}
	return err
}

// migrate brings the schema to what this program needs. Several processes may do so at once: one
// holds the row of the guard, and the others find it done.
func (s *Store) migrate(ctx context.Context) error {
	have, want, err := s.versions(ctx)
	if err != nil || have == want {
		return err
	}
	if err := s.makeGuard(ctx); err != nil {
		return err
	}
	// The lock is of a transaction, not of a session, which a pooler would not keep together.
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return fmt.Errorf("wait for those who write: %w", err)
		}
		if _, err := tx.Exec(ctx, lockGuard); err != nil {
			return fmt.Errorf("wait for others that upgrade the schema: %w", err)
		}
		have, want, err := s.versions(ctx)
		if err != nil || have == want {
			return err
		}
		return s.upgrade(ctx, have, want)
	})
}

// makeGuard makes the schema, and the table whose one row is locked by who changes tables.
func (s *Store) makeGuard(ctx context.Context) error {
	var err error
	for range 4 {
		err = s.tryGuard(ctx)
		// Two that create one thing at once: "IF NOT EXISTS" does not help the second.
		if c := code(err); c != "23505" && c != "42P06" && c != "42P07" {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("make the schema whyrestart: %w", err)
	}
	return nil
}

func (s *Store) tryGuard(ctx context.Context) error {
	var schema bool
	if err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'whyrestart')").Scan(&schema); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if !schema {
			// Who may not make schemas uses one that was made for it.
			if _, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS whyrestart"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS whyrestart.guard (one integer PRIMARY KEY)"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO whyrestart.guard (one) VALUES (1) ON CONFLICT DO NOTHING")
		return err
	})
}

func (s *Store) upgrade(ctx context.Context, have, want int64) (err error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, sub,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithTableName(versionTable))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("upgrade its schema from %d to %d: %w", have, want, err)
	}
	for _, r := range results {
		s.logger.InfoContext(ctx, "upgraded the store's schema", "store", s.location, "version", r.Source.Version, "took", r.Duration)
	}
	return nil
}
