package sqlstore

import (
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// LastMigration is the number of the last migration of a store, in its folder "migrations".
func LastMigration(of fs.FS) (int64, error) {
	files, err := fs.ReadDir(of, "migrations")
	if err != nil {
		return 0, fmt.Errorf("list the migrations: %w", err)
	}
	var last int64
	for _, f := range files {
		n, err := goose.NumericComponent(f.Name())
		if err != nil {
			return 0, fmt.Errorf("number of a migration: %w", err)
		}
		last = max(last, n)
	}
	return last, nil
}
