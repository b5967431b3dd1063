package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
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
	if want, err = sqlstore.LastMigration(migrations); err != nil {
		return 0, 0, err
	}
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
	if have > want {
		return 0, 0, fmt.Errorf("it was written by a newer version of whyrestart (schema %d, this program knows up to %d); use that version, or give another database", have, want)
	}
	return have, want, nil
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
