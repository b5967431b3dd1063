package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	driversqlite "modernc.org/sqlite"
)

// busyTimeout is how many milliseconds a statement waits for the lock of another process.
const busyTimeout = "busy_timeout(5000)"

func writerParameters(fresh bool) url.Values {
	p := url.Values{
		"mode": {"rw"},
		// The lock is taken when a transaction begins: one that reads first and writes then
		// could otherwise fail in the middle.
		"_txlock": {"immediate"},
		"_pragma": {
			busyTimeout,
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"foreign_keys(1)",
			"cache_size(-4000)",
			// A burst leaves a long write-ahead log behind; it is cut back to this.
			"journal_size_limit(4194304)",
		},
	}
	if fresh {
		// So that pruned pages can be given back to the file system. It must be set before the
		// first table is made, and the driver sees to that; later it only writes for nothing.
		p.Set("_auto_vacuum", "INCREMENTAL")
	}
	return p
}

func readerParameters() url.Values {
	return url.Values{"mode": {"rw"}, "_pragma": {busyTimeout, "query_only(1)", "cache_size(-2000)"}}
}

func dataSource(path string, parameters url.Values) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/x becomes file:///C:/x
	}
	u := url.URL{Scheme: "file", Path: p, RawQuery: parameters.Encode()}
	return u.String()
}

func openPool(path string, parameters url.Values) (*sql.DB, error) {
	c, err := driversqlite.NewConnector(dataSource(path, parameters))
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	return sql.OpenDB(c), nil
}

func openReadOnlyPool(path string) (*sql.DB, error) {
	c, err := newReadOnlyConnector(path)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	// Nothing stays open between queries: see readOnlyConnector.
	db.SetMaxIdleConns(0)
	db.SetMaxOpenConns(readers)
	return db, nil
}

// A readOnlyConnector opens a file in the way that fits the moment. While a process
// writes to it, there is a write-ahead log beside it, and the reader takes part in
// SQLite's locking. Where there is none, nobody has the file open for writing: it is
// read as immutable, which needs no lock and no file beside it, and so works on a
// read-only file system too. A writer that comes later would not see such a reader,
// which is why no connection outlives its query. A writer that starts during a query
// that began before can, at worst, make this one query fail or return what is half old.
type readOnlyConnector struct {
	live, immutable driver.Connector
	wal             string
}

func newReadOnlyConnector(path string) (*readOnlyConnector, error) {
	pragmas := []string{busyTimeout, "query_only(1)", "cache_size(-2000)"}
	live, err := driversqlite.NewConnector(dataSource(path, url.Values{"mode": {"ro"}, "_pragma": pragmas}))
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	immutable, err := driversqlite.NewConnector(dataSource(path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": pragmas}))
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	return &readOnlyConnector{live: live, immutable: immutable, wal: path + "-wal"}, nil
}

// Connect implements driver.Connector.
func (c *readOnlyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	_, err := os.Stat(c.wal)
	switch {
	case err == nil:
		return c.live.Connect(ctx)
	case errors.Is(err, fs.ErrNotExist):
		return c.immutable.Connect(ctx)
	}
	return nil, fmt.Errorf("look for its write-ahead log: %w", err)
}

// Driver implements driver.Connector.
func (c *readOnlyConnector) Driver() driver.Driver { return c.live.Driver() }
