// Package postgres keeps the history of any number of clusters in one PostgreSQL database.
//
// It promises what store.Store does: what Append returned without error is committed, and no two
// records have one ID. Everything is in the schema "whyrestart", which Open makes and upgrades; nothing
// else of the database is touched.
//
// Every append is one transaction, and locks the row of its cluster: so a cluster is written by one
// at a time, and the numbers of its outbox are in the order of the commits. That is also what holds
// off a writer that was taken over from. Nothing is kept in a session: it works behind a pooler that
// gives each transaction another connection. A server that ends a transaction nobody goes on with
// (idleLimit) frees the row that a frozen writer has locked.
//
// Records, logs and evidence are partitioned by the week that a record had when it was stored first,
// so that retention drops whole tables, see drop.go. Week 0 has what happened at a time that one
// would not believe. As no unique index reaches over partitions, the table keys has each ID
// with its row, and its primary key is what makes them unique; an append enters both in one
// transaction.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Options says which database to open, and how.
type Options struct {
	// URL is a connection string of PostgreSQL: a postgres:// URL, or words such as "host=db dbname=x". What
	// it leaves out comes from the environment, as for psql (PGPASSWORD, PGPASSFILE, PGSSLROOTCERT).
	URL string
	// ReadOnly opens an existing history only to read it, also on a standby; it changes nothing.
	ReadOnly bool
	// Logger is told what happens to the history as a whole, such as a migration; nil for nobody.
	Logger *slog.Logger
	// Now is the clock by which the issue of a record that is read has a state, and by which weeks are
	// told from those that one would not believe; nil for time.Now.
	Now func() time.Time
}

// Store is an open history. It implements store.Store.
type Store struct {
	pool     *pgxpool.Pool
	location string
	readOnly bool
	codec    *sqlstore.Codec
	logger   *slog.Logger
	now      func() time.Time
	// reading has room for as many as read at once: the connections that are left are for who writes, so that
	// no number of questions keeps a stop from being stored.
	reading chan struct{}
	// schema is the last migration that this program knows.
	schema int64

	mu sync.Mutex
	// clusters and weeks are those that are known to have a row, or partitions.
	clusters map[string]bool
	weeks    map[int32]bool
}

var _ store.Store = (*Store)(nil)

// errReadOnly is what writing to a store returns that was opened for reading.
var errReadOnly = errors.New("the store is open for reading only")

const (
	// patience is how long one transaction may take, waiting for others included.
	patience = 30 * time.Second
	// idleLimit is after which time the server gives up a transaction whose writer says nothing.
	idleLimit = "10s"
	// connectLimit is how long it may take to connect, where the URL does not say (connect_timeout).
	connectLimit = 10 * time.Second
	// writing is how many connections are left to who writes.
	writing = 2
	// descriptions is how many statements a connection remembers the types of.
	descriptions = 512
)

// Open opens the history in the database that o.URL names. No error has the URL or the password in
// it. What may pass, such as a server that is away or restarts, is store.ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := configure(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		location: location(config.ConnConfig), readOnly: o.ReadOnly, logger: o.Logger, now: o.Now,
		clusters: make(map[string]bool), weeks: make(map[int32]bool),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	attempt := "open store " + s.location
	if s.schema, err = sqlstore.LastMigration(migrations); err != nil {
		return nil, fmt.Errorf("%s: %w", attempt, err)
	}
	if s.codec, err = sqlstore.NewCodec(); err != nil {
		return nil, fmt.Errorf("%s: %w", attempt, err)
	}
	// It connects when it is first used.
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		s.codec.Close()
		return nil, fmt.Errorf("%s: %w", attempt, errURL)
	}
	s.reading = make(chan struct{}, config.MaxConns-writing)
	if err := s.prepare(ctx); err != nil {
		s.end()
		return nil, openError(ctx, attempt, err)
	}
	return s, nil
}

// errURL says no more, because what a parser says of a URL may have the password in it.
var errURL = errors.New("a port, a parameter of the URL, or a PG variable of the environment cannot be read, or a file that one of them names: see sslmode, sslrootcert, sslcert, sslkey, target_session_attrs, connect_timeout, service and those that begin with pool_")

func configure(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	c := config.ConnConfig
	// Statements without a name: a pooler may give each transaction another connection.
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, descriptions
	// To upgrade the schema takes three: one that locks, one that asks, one that changes it.
	config.MaxConns = max(config.MaxConns, 4)
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectLimit
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "whyrestart"
	}
	// A server whose machine is gone does not answer, nor say so.
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	return config, nil
}

// location names the servers and the database, and nothing else.
func location(c *pgx.ConnConfig) string {
	hosts := []string{address(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		// A host is tried with and without TLS.
		if a := address(f.Host, f.Port); a != hosts[len(hosts)-1] {
			hosts = append(hosts, a)
		}
	}
	return "PostgreSQL database " + c.Database + " on " + strings.Join(hosts, ", ")
}

func address(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host // the folder of a socket
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if s.readOnly {
		return s.check(ctx)
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.makeWeeks(ctx, s.ahead())
}

// Close waits for calls that are under way, and closes the connections.
func (s *Store) Close() error {
	s.end()
	return nil
}

func (s *Store) end() {
	s.pool.Close()
	s.codec.Close()
}

// bound gives a call its time, and tells whether it was that which ended.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}

// write runs f in one transaction, and again where it failed for what another did at the same time.
// What has to be there before it, before makes; it may be nil.
func (s *Store) write(ctx context.Context, attempt string, before func(ctx context.Context) error, f func(ctx context.Context, tx *transaction) error) error {
	if s.readOnly {
		return fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	var err error
	for range 4 {
		err = nil
		if before != nil {
			err = before(ctx)
		}
		if err == nil {
			err = s.transact(ctx, f)
		}
		if err == nil {
			return nil
		}
		if !s.again(ctx, err) {
			break
		}
	}
	return s.failed(ctx, attempt, s.outdated(ctx, err))
}

func (s *Store) transact(ctx context.Context, f func(ctx context.Context, tx *transaction) error) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		t := &transaction{ctx: ctx, tx: tx, texts: groupTexts()}
		t.queue("SET LOCAL idle_in_transaction_session_timeout = '" + idleLimit + "'")
		s.keepSchema(t)
		if err := f(ctx, t); err != nil {
			return err
		}
		return t.flush()
	})
}

// read runs f in one transaction that reads, so that all that it sees is of one moment.
func (s *Store) read(ctx context.Context, attempt string, f func(ctx context.Context, tx *transaction) error) error {
	within, cancel := bound(ctx)
	defer cancel()
	done, err := s.mayRead(within)
	if err != nil {
		return s.failed(ctx, attempt, err)
	}
	defer done()
	err = pgx.BeginTxFunc(within, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return f(within, &transaction{ctx: within, tx: tx})
	})
	return s.failed(ctx, attempt, err)
}

// one runs one statement that reads.
func (s *Store) one(ctx context.Context, attempt, text string, args []any, row func(scan func(...any) error) error) error {
	within, cancel := bound(ctx)
	defer cancel()
	done, err := s.mayRead(within)
	if err != nil {
		return s.failed(ctx, attempt, err)
	}
	defer done()
	return s.failed(ctx, attempt, query(within, s.pool, text, args, row))
}

// errBusy: the server may be well.
var errBusy = errors.New("too many others read")

// mayRead waits until there is room for one more who reads, who calls done afterwards.
func (s *Store) mayRead(ctx context.Context) (done func(), err error) {
	select {
	case s.reading <- struct{}{}:
		return func() { <-s.reading }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}
