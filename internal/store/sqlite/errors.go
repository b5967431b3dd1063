package sqlite

import (
	"errors"
	"fmt"

	driversqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/whyrestart/whyrestart/internal/store"
)

// errDamaged says what to do about a file whose content is broken.
var errDamaged = errors.New("the file is damaged; restore it from a backup or keep what `sqlite3 FILE .recover` reads of it, or move it away together with its -wal and -shm to begin a new history")

// code returns SQLite's primary result code for err, or 0.
func code(err error) int {
	if e, ok := errors.AsType[*driversqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}

// writeError wraps what a write failed with. What can pass is store.ErrUnavailable: the
// disk is full, fails or is read-only, or another process holds the lock.
func writeError(attempt string, err error) error {
	if err == nil {
		return nil
	}
	switch code(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return fmt.Errorf("%s: %w: %w", attempt, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", attempt, explain(err))
}

// readError wraps what a read failed with; nil stays nil.
func readError(attempt string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", attempt, explain(err))
}

// explain adds what to do to the errors of SQLite that somebody can do something about.
func explain(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errDamaged, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("the file or its folder cannot be written to: %w", err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file, or the -wal and -shm beside it, cannot be opened; where the folder is read-only, copy all three to another one: %w", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another process holds its lock: %w: %w", store.ErrUnavailable, err)
	}
	return err
}
