package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// A writer is the one connection that writes, with its statements.
type writer struct {
	db     *sql.DB
	codec  *sqlstore.Codec
	logger *slog.Logger
	// path is the file that was opened, and file what it was then.
	path  string
	file  os.FileInfo
	stmts map[string]*sql.Stmt
	texts map[sqlstore.Statement]string
	// schema is the last migration that this program knows.
	schema int64
}

// The statements of an append, prepared once: compiling them costs more than running them.
const (
	findRecord = `SELECT r.seq, r.doc, l.doc, r.issue, r.incident FROM records r LEFT JOIN logs l ON l.record = r.seq WHERE r.id = ?`
	addRecord  = `INSERT INTO records (id, at, kind, category, cause, cluster, namespace, pod, pod_uid, container,
		workload_kind, workload_name, node, open, missed, doc, issue, incident) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	changeRecord = `UPDATE records SET at = ?, kind = ?, category = ?, cause = ?, cluster = ?, namespace = ?, pod = ?, pod_uid = ?,
		container = ?, workload_kind = ?, workload_name = ?, node = ?, open = ?, missed = ?, doc = ?, issue = ?, incident = ? WHERE seq = ?`
	outlineRecord = `SELECT at, kind, category, cause, cluster, namespace, pod, pod_uid, container, workload_kind, workload_name, node, open, missed
		FROM records WHERE seq = ?`
	putLog      = `INSERT INTO logs (record, doc) VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc`
	putEvidence = `INSERT INTO evidence (record, doc) VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc`
	placeRecord = `UPDATE records SET issue = ?, incident = ? WHERE seq = ?`
	dropChange  = `DELETE FROM changes WHERE record = ?`
	addChange   = `INSERT INTO changes (record, cluster, slot, at) VALUES (?, ?, ?, ?)`
	findSchema  = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`
	findTerm    = `SELECT coalesce(max(term), 0) FROM terms WHERE cluster = ? AND slot >= ? AND slot < ?`
	addTotals   = `UPDATE totals SET stops = stops + ?, stalls = stalls + ?, missed = missed + ?, marks = marks + ?`
	changeMark  = `UPDATE marks SET mark = ? WHERE cluster = ? AND pod_uid = ? AND type = ? AND name = ?`
	addMark     = `INSERT INTO marks (mark, cluster, pod_uid, type, name) VALUES (?, ?, ?, ?, ?)`
	forgetMarks = `DELETE FROM marks WHERE cluster = ? AND pod_uid = ?`
	putGap      = `INSERT INTO gaps (cluster, kind, scope, from_at, why, to_at, count) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET to_at = iif(excluded.to_at <> 0, excluded.to_at, to_at), count = max(count, excluded.count)`
	putScope = `INSERT INTO scopes (cluster, scope, since, seen, resource_version) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET since = excluded.since, seen = excluded.seen, resource_version = excluded.resource_version`
)

func (w *writer) prepare(ctx context.Context) error {
	w.stmts = make(map[string]*sql.Stmt)
	for _, text := range append(groupStatements(),
		findRecord, addRecord, changeRecord, outlineRecord, placeRecord, putLog, putEvidence, dropChange, addChange, findTerm, findSchema, addTotals,
		changeMark, addMark, forgetMarks, putGap, putScope, lastSeen, observe, observeAgain,
	) {
		stmt, err := w.db.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare to write: %w", err)
		}
		w.stmts[text] = stmt
	}
	return nil
}

func (w *writer) close() error {
	var err error
	for _, stmt := range w.stmts {
		err = errors.Join(err, stmt.Close())
	}
	return errors.Join(err, w.db.Close())
}

// errMoved: what would be written goes with the last process that has the file open.
var errMoved = errors.New("the file was deleted, moved or replaced while it was in use, and what is written to it now would be lost; put it back, or start again, which goes on with the file that is there then or begins a new history")

// inPlace tells that the file is still where it was opened. SQLite looks after that for its
// rollback journal alone (SQLITE_READONLY_DBMOVED); with a write-ahead log it goes on writing
// to a file that has no name any more.
func (w *writer) inPlace() error {
	now, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, w.file) {
		return errMoved
	}
	return nil // what else is wrong with it, writing tells
}

// transact runs f in one transaction.
func (w *writer) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = w.keepSchema(ctx, tx)
	if err == nil {
		err = f(tx)
	}
	if err != nil {
		// After a full disk SQLite has rolled back by itself, and says so here with an error
		// that adds nothing to the first.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// keepSchema refuses to write to a schema that this program does not know: a newer version may have
// opened the file, if only to mute an issue, while this one serves.
func (w *writer) keepSchema(ctx context.Context, tx *sql.Tx) error {
	find, ok := w.stmts[findSchema]
	if !ok {
		return nil // it is only being opened
	}
	var have int64
	if err := tx.StmtContext(ctx, find).QueryRowContext(ctx).Scan(&have); err != nil {
		return fmt.Errorf("read the version of its schema: %w", err)
	}
	return newer(have, w.schema)
}

// Append implements store.Writer.
func (s *Store) Append(ctx context.Context, b store.Batch) error {
	if s.writer == nil {
		return fmt.Errorf("append to store %s: %w", s.path, errReadOnly)
	}
	if len(b.Records)+len(b.Marks)+len(b.Forget)+len(b.Gaps)+len(b.Scopes)+len(b.Observed) == 0 {
		return ctx.Err()
	}
	// Encoded before the transaction: it holds the only connection that writes.
	rows, err := sqlstore.EncodeBatch(b)
	if err != nil {
		return fmt.Errorf("append to store %s: %w", s.path, err)
	}
	if err := s.writer.inPlace(); err != nil {
		return fmt.Errorf("append to store %s: %w", s.path, err)
	}
	err = s.writer.transact(ctx, func(tx *sql.Tx) error {
		a := appender{now: s.now(), transaction: transaction{ctx: ctx, tx: tx, writer: s.writer}}
		a.group = sqlstore.NewGroup(ctx, &a.transaction, s.writer.codec, s.writer.logger)
		return a.append(b, rows)
	})
	return writeError("append to store "+s.path, err)
}

// An appender writes one batch in one transaction.
type appender struct {
	transaction
	group *sqlstore.Group
	now   time.Time
	// What the batch adds to the totals.
	totals sqlstore.Totals
	marks  int64
}

func (a *appender) append(b store.Batch, rows []sqlstore.Encoded) error {
	if err := a.fence(b); err != nil {
		return err
	}
	for _, r := range rows {
		if err := a.record(r); err != nil {
			return fmt.Errorf("record %s: %w", r.Record.ID, err)
		}
	}
	if err := a.group.Flush(); err != nil {
		return err
	}
	for _, m := range b.Marks {
		if err := a.mark(b.Cluster, m); err != nil {
			return fmt.Errorf("mark of pod %s/%s: %w", m.Namespace, m.Pod, err)
		}
	}
	for _, uid := range b.Forget {
		done, err := a.exec(forgetMarks, b.Cluster, uid)
		if err != nil {
			return fmt.Errorf("forget the marks of a pod: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return err
		}
		a.marks -= n
	}
	for _, g := range b.Gaps {
		if _, err := a.exec(putGap, b.Cluster, string(g.Kind), g.Scope, sqlstore.Nanos(g.From), g.Why, sqlstore.Nanos(g.To), g.Count); err != nil {
			return fmt.Errorf("gap: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Scopes)) {
		c := b.Scopes[name]
		if _, err := a.exec(putScope, b.Cluster, name, sqlstore.Nanos(c.Since), sqlstore.Nanos(c.Seen), c.ResourceVersion); err != nil {
			return fmt.Errorf("scope %q: %w", name, err)
		}
	}
	for _, o := range b.Observed {
		if err := a.observe(b.Cluster, o); err != nil {
			return fmt.Errorf("what was observed of %s: %w", o.Object, err)
		}
	}
	if a.totals == (sqlstore.Totals{}) && a.marks == 0 {
		return nil
	}
	if _, err := a.exec(addTotals, a.totals.Stops, a.totals.Stalls, a.totals.Missed, a.marks); err != nil {
		return fmt.Errorf("totals: %w", err)
	}
	return nil
}

// fence refuses a batch of who was taken over from.
func (a *appender) fence(b store.Batch) error {
	if b.Term == 0 {
		return nil
	}
	from, to := b.Shard.Slots()
	var newest int64
	if _, err := a.one(findTerm, []any{b.Cluster, from, to}, &newest); err != nil {
		return fmt.Errorf("who writes: %w", err)
	}
	if newest > b.Term {
		return fmt.Errorf("%w (term %d; this process has term %d)", store.ErrFenced, newest, b.Term)
	}
	return nil
}

// A stored row is what of a record refining it begins from.
type storedRow struct {
	seq             int64
	doc, log        []byte
	issue, incident sql.Null[string]
}

// record stores one record, and a change where it is new or different.
func (a *appender) record(next sqlstore.Encoded) error {
	var have storedRow
	found, err := a.one(findRecord, []any{next.Record.ID}, &have.seq, &have.doc, &have.log, &have.issue, &have.incident)
	switch {
	case err != nil:
	case found:
		err = a.refine(have, next)
	default:
		have.seq, err = a.add(next)
	}
	if err != nil || next.Evidence == nil {
		return err
	}
	if _, err := a.exec(putEvidence, have.seq, a.writer.codec.PackLog(next.Evidence)); err != nil {
		return fmt.Errorf("its evidence: %w", err)
	}
	return nil
}

// one scans the first row, and tells whether there is one.
func (a *appender) one(text string, args []any, into ...any) (bool, error) {
	err := a.tx.StmtContext(a.ctx, a.writer.stmts[text]).QueryRowContext(a.ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (a *appender) add(next sqlstore.Encoded) (int64, error) {
	place, err := a.group.Post(nil, issue.Place{}, &next.Record)
	if err != nil {
		return 0, err
	}
	seq, err := a.insert(addRecord, append([]any{next.Record.ID}, a.columns(next, place)...)...)
	if err != nil {
		return 0, err
	}
	if next.Log != nil {
		if _, err := a.exec(putLog, seq, a.writer.codec.PackLog(next.Log)); err != nil {
			return 0, fmt.Errorf("its log: %w", err)
		}
	}
	a.totals.Count(&next.Record, 1)
	return seq, a.changed(seq, &next.Record)
}

// refine replaces a record that is stored.
func (a *appender) refine(have storedRow, next sqlstore.Encoded) error {
	codec := a.writer.codec
	stored, err := codec.Decode(have.doc, have.log)
	if err != nil {
		// What is there is lost in any case; to fail here would hold up this batch, and so
		// everything after it, for ever.
		a.writer.logger.WarnContext(a.ctx, "replaced a stored record that cannot be read", "id", next.Record.ID, "error", err)
		var outline sqlstore.Columns
		if _, err := a.one(outlineRecord, []any{have.seq}, outline.Pointers()...); err != nil {
			return err
		}
		stored = outline.Outline(next.Record.ID)
	}
	m, err := sqlstore.Merge(stored, next.Record)
	if err != nil || m.SameDoc && m.SameLog {
		return err
	}
	if err := a.change(have, m); err != nil {
		return err
	}
	if !m.SameLog {
		if _, err := a.exec(putLog, have.seq, codec.PackLog(m.New.Log)); err != nil {
			return fmt.Errorf("its log: %w", err)
		}
	}
	// The new number is above what any consumer has acknowledged, so that it comes again.
	if _, err := a.exec(dropChange, have.seq); err != nil {
		return err
	}
	return a.changed(have.seq, &m.New.Record)
}

// changed puts a record into the outbox.
func (a *appender) changed(seq int64, r *record.Record) error {
	_, err := a.exec(addChange, seq, r.Cluster, shard.Slot(r.Namespace), sqlstore.Nanos(a.now))
	return err
}

// change counts a record anew, and writes what differs of its row.
func (a *appender) change(have storedRow, m sqlstore.Merged) error {
	counted, was := &m.Old.Record, issue.Place{Issue: have.issue.V, Incident: have.incident.V}
	if !have.issue.Valid {
		counted = nil // by a version that had no issues
	}
	place, err := a.group.Post(counted, was, &m.New.Record)
	switch {
	case err != nil:
		return err
	case !m.SameDoc:
		if _, err := a.exec(changeRecord, append(a.columns(m.New, place), have.seq)...); err != nil {
			return err
		}
		a.totals.Count(&m.Old.Record, -1)
		a.totals.Count(&m.New.Record, 1)
	case counted == nil || place != was:
		if _, err := a.exec(placeRecord, place.Issue, optional(place.Incident), have.seq); err != nil {
			return err
		}
	}
	return nil
}

func (a *appender) columns(r sqlstore.Encoded, place issue.Place) []any {
	c := sqlstore.ColumnsOf(&r.Record)
	return append(c.Values(), a.writer.codec.PackRecord(r.Doc), place.Issue, optional(place.Incident))
}

// optional is NULL for an empty text, which keeps it out of an index.
func optional(s string) sql.Null[string] { return sql.Null[string]{V: s, Valid: s != ""} }

func (a *appender) mark(cluster string, m record.Mark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a mark: %w", err)
	}
	args := []any{string(b), cluster, m.PodUID, string(m.Type), m.Name}
	// Most marks exist already; and an upsert would not tell whether the total changes.
	done, err := a.exec(changeMark, args...)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err != nil || n > 0 {
		return err
	}
	a.marks++
	_, err = a.exec(addMark, args...)
	return err
}
