// Package sqlite keeps the history in one SQLite file.
//
// It promises what store.Store does: what Append returned without error survives a
// kill of the process and a loss of power (synchronous=FULL), and no two records have
// one ID. One connection writes, a few read beside it, and further processes may read
// the file while it is written (Options.ReadOnly).
//
// Beside the file lie its write-ahead log and index (-wal and -shm); they belong to it
// as long as they exist, and go when the last process closes it. The file must be on a
// file system of this machine: SQLite's locks and shared memory do not work over NFS.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Options says which file to open, and how.
type Options struct {
	// Path of the file. Its folder and the file are made where they do not exist.
	Path string
	// ReadOnly opens an existing file only to read it, also while another process writes
	// to it. It makes no file, except that SQLite may need the index (-shm) beside the
	// log (-wal) of a process that was killed; and it never changes the schema.
	ReadOnly bool
	// Lock keeps other servers away for as long as the file is open.
	Lock Lock
	// Logger is told what happens to the file as a whole, such as a migration; nil for nobody.
	Logger *slog.Logger
	// Now is the clock by which the issue of a record that is read has a state; nil for time.Now.
	Now func() time.Time

	// groupAtStart is for tests; see the constant.
	groupAtStart int
}

// Store is an open history. It implements store.Store.
type Store struct {
	path   string
	codec  *sqlstore.Codec
	now    func() time.Time
	reader *sql.DB
	writer *writer
	// stopGrouping ends what counts the records of an earlier version, where it still does.
	stopGrouping func()
	// lock is the file that is locked; nil for none.
	lock *os.File
}

var _ store.Store = (*Store)(nil)

// errReadOnly is what writing to a store returns that was opened for reading.
var errReadOnly = errors.New("the store is open for reading only")

// readers is how many queries run at once; each connection costs up to 2 MiB of cache.
const readers = 4

// Open opens the history at o.Path. Every error is one sentence that begins with
// "open store" and the path.
//
// What is checked of an existing file, before anything is written to it: that it is an
// SQLite file of whyrestart and not of another program, that its schema is not newer
// than this program, that no page is missing at its end, and up to checkBytes of size
// that it is sound as a whole (PRAGMA quick_check). The last reads the whole file, 36 MB in
// 50 ms from memory but at the speed of the disk after a boot: too long for a large
// history at every start. There, damage shows when the damaged page is read.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, explain(err))
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("no path is given")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("make the path absolute: %w", err)
	}
	if !o.ReadOnly {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	held, err := lock(path, o.Lock)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, now: o.Now, lock: held}
	size, err := checkFile(path)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.codec, err = sqlstore.NewCodec(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.ReadOnly {
		err = s.openReadOnly(ctx, size)
	} else {
		err = s.openReadWrite(ctx, size, o)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// create makes the folder and an empty file that nobody else can read: logs may hold
// what redaction does not know. SQLite gives the files beside it the same mode.
func create(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	return f.Close()
}

func (s *Store) openReadOnly(ctx context.Context, size int64) error {
	if size == 0 {
		return errors.New("the file is empty: nothing was recorded in it yet")
	}
	var err error
	if s.reader, err = openReadOnlyPool(s.path); err != nil {
		return err
	}
	have, want, err := checkContent(ctx, s.reader, size)
	if err != nil {
		return err
	}
	if have < want {
		return fmt.Errorf("it has the older schema %d and this program reads %d; a server of this version upgrades it when it starts, or read it with the version that wrote it", have, want)
	}
	return nil
}

func (s *Store) openReadWrite(ctx context.Context, size int64, o Options) error {
	if err := checkBefore(ctx, s.path, size); err != nil {
		return err
	}
	db, err := openPool(s.path, writerParameters(size == 0))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	s.writer = &writer{db: db, codec: s.codec, logger: o.Logger, texts: groupTexts()}
	if err := migrate(ctx, db, o.Logger); err != nil {
		return err
	}
	s.writer.path = s.path
	if s.writer.schema, err = sqlstore.LastMigration(migrations); err != nil {
		return err
	}
	if s.writer.file, err = os.Stat(s.path); err != nil {
		return err
	}
	if err := s.writer.prepare(ctx); err != nil {
		return err
	}
	if s.reader, err = openPool(s.path, readerParameters()); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	return s.group(ctx, cmp.Or(o.groupAtStart, groupAtStart))
}

// checkBefore checks a file that will be written, through a connection that cannot: to
// set up the other one already changes the header.
func checkBefore(ctx context.Context, path string, size int64) error {
	// A kill in the first moments of a new file leaves a journal that only a connection
	// that writes can roll back. Nothing else is in the file then, and migrate checks it.
	if _, err := os.Stat(path + "-journal"); err == nil || size == 0 {
		return nil
	}
	db, err := openReadOnlyPool(path)
	if err != nil {
		return err
	}
	_, _, err = checkContent(ctx, db, size)
	return errors.Join(err, db.Close())
}

// Close waits for calls that are under way, and closes the file.
func (s *Store) Close() error {
	var err error
	if s.stopGrouping != nil {
		s.stopGrouping()
	}
	// The writer goes last: the last connection that may write moves the write-ahead log
	// into the file and removes it.
	if s.reader != nil {
		err = s.reader.Close()
	}
	if s.writer != nil {
		err = errors.Join(err, s.writer.close())
	}
	if s.codec != nil {
		s.codec.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}
