package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

const (
	// applicationID stands in the header of the file, and in the first migration.
	applicationID = 1465013076
	// checkBytes is up to which size a file is checked as a whole when it is opened.
	checkBytes = 256 << 20
)

// checkFile refuses what SQLite would answer with less helpful words, or overwrite. It
// returns the size of the file.
func checkFile(path string) (int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, errors.New("there is no such file")
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, errors.New("it is a folder; give the path of a file in it")
	case !info.Mode().IsRegular():
		return 0, errors.New("it is not a regular file")
	case info.Size() == 0:
		return 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read it: %w", errors.Unwrap(err))
	}
	defer f.Close()
	header := make([]byte, 16)
	if _, err := io.ReadFull(f, header); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read its header: %w", err)
	}
	if !bytes.Equal(header, []byte("SQLite format 3\x00")) {
		return 0, errors.New("it is not a whyrestart history, or its beginning is overwritten; give another path, or move the file away to begin a new history")
	}
	return info.Size(), nil
}

// A querier is a pool of connections or one of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// checkContent refuses a library that can damage files, the file of another program, a
// newer schema, and a damaged file. It returns the version of the schema, and which one
// this program knows.
func checkContent(ctx context.Context, db *sql.DB, size int64) (have, want int64, err error) {
	// One connection for all of it: this pool keeps none.
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("begin to read: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := checkLibrary(ctx, conn); err != nil {
		return 0, 0, err
	}
	if err := checkApplication(ctx, conn); err != nil {
		return 0, 0, err
	}
	if have, want, err = versions(ctx, conn); err != nil {
		return 0, 0, err
	}
	if size > checkBytes {
		return have, want, nil
	}
	var result string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return 0, 0, fmt.Errorf("check it for damage: %w", err)
	}
	if result != "ok" {
		return 0, 0, fmt.Errorf("%w (%s)", errDamaged, strings.ReplaceAll(result, "\n", "; "))
	}
	return have, want, nil
}

func checkLibrary(ctx context.Context, db querier) error {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	if !atLeast(version, [3]int{3, 51, 3}) {
		return fmt.Errorf("this program was built with SQLite %s; versions before 3.51.3 can damage a file", version)
	}
	return nil
}

func checkApplication(ctx context.Context, db querier) error {
	var application, tables int64
	err := db.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id),
		       (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version')`,
	).Scan(&application, &tables)
	if err != nil {
		return fmt.Errorf("read its schema: %w", err)
	}
	if application != applicationID && tables > 0 {
		return errors.New("it is the SQLite file of another program; give another path")
	}
	return nil
}

func atLeast(version string, want [3]int) bool {
	parts := strings.SplitN(version, ".", 3)
	for i, w := range want {
		if i >= len(parts) {
			return false
		}
		have, err := strconv.Atoi(parts[i])
		if err != nil {
			return false
		}
		if have != w {
			return have > w
		}
	}
	return true
}
