package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to what this program needs. It refuses what checkContent
// does, because a new file did not go through that.
func migrate(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	if err := checkLibrary(ctx, db); err != nil {
		return err
	}
	if err := checkApplication(ctx, db); err != nil {
		return err
	}
	have, want, err := versions(ctx, db)
	if err != nil {
		return err
	}
	if have == want {
		return nil
	}
	// goose tries again for seconds where the first write fails; this write fails at once.
	if err := probeWrite(ctx, db); err != nil {
		return err
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("upgrade its schema from %d to %d: %w", have, want, err)
	}
	for _, r := range results {
		logger.InfoContext(ctx, "upgraded the store's schema", "version", r.Source.Version, "took", r.Duration)
	}
	return nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// versions returns the last migration that was applied, 0 if none was, and the last that
// this program knows. A file beyond that is refused. It writes nothing, unlike goose's
// own way to ask.
func versions(ctx context.Context, db querier) (have, want int64, err error) {
	if want, err = sqlstore.LastMigration(migrations); err != nil {
		return 0, 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'goose_db_version'").Scan(&have)
	if err == nil && have > 0 {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&have)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the version of its schema: %w", err)
	}
	if err := newer(have, want); err != nil {
		return 0, 0, err
	}
	return have, want, nil
}

// newer refuses a schema that this program does not know.
func newer(have, want int64) error {
	if have <= want {
		return nil
	}
	return fmt.Errorf("it was written by a newer version of whyrestart (schema %d, this program knows up to %d); use that version, or give another path", have, want)
}

func probeWrite(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	return tx.Rollback()
}
