package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// A writer is the one connection that writes, with its statements.
type writer struct {
	db     *sql.DB
	codec  *codec
	logger *slog.Logger
	stmts  map[string]*sql.Stmt
}

// The statements of an append, prepared once: compiling them costs more than running them.
const (
	findRecord = `SELECT r.seq, r.doc, l.doc, r.issue, r.incident FROM records r LEFT JOIN logs l ON l.record = r.seq WHERE r.id = ?`
	addRecord  = `INSERT INTO records (id, at, kind, category, cause, cluster, namespace, pod, pod_uid, container,
		workload_kind, workload_name, node, open, doc, missed, issue, incident) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	changeRecord = `UPDATE records SET at = ?, kind = ?, category = ?, cause = ?, cluster = ?, namespace = ?, pod = ?, pod_uid = ?,
		container = ?, workload_kind = ?, workload_name = ?, node = ?, open = ?, doc = ?, missed = ?, issue = ?, incident = ? WHERE seq = ?`
	outlineRecord = `SELECT id, at, kind, category, cause, cluster, namespace, pod, pod_uid, container, workload_kind, workload_name, node, open
		FROM records WHERE seq = ?`
	putLog      = `INSERT INTO logs (record, doc) VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc`
	putEvidence = `INSERT INTO evidence (record, doc) VALUES (?, ?) ON CONFLICT DO UPDATE SET doc = excluded.doc`
	dropChange  = `DELETE FROM changes WHERE record = ?`
	addChange   = `INSERT INTO changes (record, cluster, slot, at) VALUES (?, ?, ?, ?)`
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
		findRecord, addRecord, changeRecord, outlineRecord, putLog, putEvidence, dropChange, addChange, findTerm, addTotals,
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

// transact runs f in one transaction.
func (w *writer) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		// After a full disk SQLite has rolled back by itself, and says so here with an error
		// that adds nothing to the first.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
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
	rows := make([]row, 0, len(b.Records))
	for _, r := range b.Records {
		if r.ID == "" {
			return fmt.Errorf("append to store %s: a %s of pod %s/%s has no ID", s.path, cmp.Or(string(r.Kind), "record"), r.Namespace, r.Pod)
		}
		encoded, err := newRow(r)
		if err != nil {
			return fmt.Errorf("append to store %s: encode record %s: %w", s.path, r.ID, err)
		}
		if ev, ok := b.Evidence[r.ID]; ok {
			if encoded.evidence, err = marshal(ev); err != nil {
				return fmt.Errorf("append to store %s: encode the evidence of record %s: %w", s.path, r.ID, err)
			}
		}
		rows = append(rows, encoded)
	}
	err := s.writer.transact(ctx, func(tx *sql.Tx) error {
		a := appender{group: newGroup(ctx, tx, s.writer), now: s.now()}
		return a.append(b, rows)
	})
	return writeError("append to store "+s.path, err)
}

// A row is a record with its JSON, and that of its log and evidence where there are any.
type row struct {
	record             record.Record
	doc, log, evidence []byte
}

func newRow(r record.Record) (row, error) {
	doc, err := marshalRecord(r)
	if err != nil {
		return row{}, err
	}
	out := row{record: r, doc: doc}
	if r.Log != nil {
		if out.log, err = marshal(r.Log); err != nil {
			return row{}, err
		}
	}
	return out, nil
}

// An appender writes one batch in one transaction.
type appender struct {
	*group
	now time.Time
	// What the batch adds to the totals.
	stops, stalls, missed, marks int64
}

func (a *appender) append(b store.Batch, rows []row) error {
	if err := a.fence(b); err != nil {
		return err
	}
	for _, r := range rows {
		if err := a.record(r); err != nil {
			return fmt.Errorf("record %s: %w", r.record.ID, err)
		}
	}
	if err := a.flush(); err != nil {
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
		if _, err := a.exec(putGap, b.Cluster, string(g.Kind), g.Scope, nanos(g.From), g.Why, nanos(g.To), g.Count); err != nil {
			return fmt.Errorf("gap: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Scopes)) {
		c := b.Scopes[name]
		if _, err := a.exec(putScope, b.Cluster, name, nanos(c.Since), nanos(c.Seen), c.ResourceVersion); err != nil {
			return fmt.Errorf("scope %q: %w", name, err)
		}
	}
	for _, o := range b.Observed {
		if err := a.observe(b.Cluster, o); err != nil {
			return fmt.Errorf("what was observed of %s: %w", o.Object, err)
		}
	}
	if a.stops|a.stalls|a.missed|a.marks == 0 {
		return nil
	}
	if _, err := a.exec(addTotals, a.stops, a.stalls, a.missed, a.marks); err != nil {
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
func (a *appender) record(next row) error {
	var have storedRow
	found, err := a.one(findRecord, []any{next.record.ID}, &have.seq, &have.doc, &have.log, &have.issue, &have.incident)
	switch {
	case err != nil:
	case found:
		err = a.refine(have, next)
	default:
		have.seq, err = a.add(next)
	}
	if err != nil || next.evidence == nil {
		return err
	}
	if _, err := a.exec(putEvidence, have.seq, a.writer.codec.packLog(next.evidence)); err != nil {
		return fmt.Errorf("its evidence: %w", err)
	}
	return nil
}

func (a *appender) add(next row) (int64, error) {
	place, err := a.post(nil, issue.Place{}, &next.record)
	if err != nil {
		return 0, err
	}
	done, err := a.exec(addRecord, append([]any{next.record.ID}, a.columns(next, place)...)...)
	if err != nil {
		return 0, err
	}
	seq, err := done.LastInsertId()
	if err != nil {
		return 0, err
	}
	if next.log != nil {
		if _, err := a.exec(putLog, seq, a.writer.codec.packLog(next.log)); err != nil {
			return 0, fmt.Errorf("its log: %w", err)
		}
	}
	a.count(next.record, 1)
	return seq, a.changed(seq, &next.record)
}

// post counts a record in its issue.
func (g *group) post(old *record.Record, was issue.Place, next *record.Record) (issue.Place, error) {
	place, err := issue.Post(g, old, was, next)
	if err != nil {
		return issue.Place{}, fmt.Errorf("count it in its issue: %w", err)
	}
	return place, nil
}

// refine replaces a record that is stored.
func (a *appender) refine(have storedRow, next row) error {
	codec := a.writer.codec
	stored, err := codec.decode(have.doc, have.log)
	if err != nil {
		// What is there is lost in any case; to fail here would hold up this batch, and so
		// everything after it, for ever.
		a.writer.logger.WarnContext(a.ctx, "replaced a stored record that cannot be read", "id", next.record.ID, "error", err)
		if stored, err = a.outline(have.seq); err != nil {
			return err
		}
	}
	old, err := newRow(stored)
	if err != nil {
		return err
	}
	merged, err := newRow(record.Refine(stored, next.record))
	if err != nil {
		return err
	}
	sameDoc, sameLog := bytes.Equal(old.doc, merged.doc), bytes.Equal(old.log, merged.log)
	if sameDoc && sameLog {
		return nil
	}
	if err := a.change(have, old, merged, sameDoc); err != nil {
		return err
	}
	if !sameLog {
		if _, err := a.exec(putLog, have.seq, codec.packLog(merged.log)); err != nil {
			return fmt.Errorf("its log: %w", err)
		}
	}
	// The new number is above what any consumer has acknowledged, so that it comes again.
	if _, err := a.exec(dropChange, have.seq); err != nil {
		return err
	}
	return a.changed(have.seq, &merged.record)
}

// changed puts a record into the outbox.
func (a *appender) changed(seq int64, r *record.Record) error {
	_, err := a.exec(addChange, seq, r.Cluster, shard.Slot(r.Namespace), nanos(a.now))
	return err
}

// change counts a record anew, and writes what differs of its row.
func (a *appender) change(have storedRow, old, merged row, sameDoc bool) error {
	counted, was := &old.record, issue.Place{Issue: have.issue.V, Incident: have.incident.V}
	if !have.issue.Valid {
		counted = nil // by a version that had no issues
	}
	place, err := a.post(counted, was, &merged.record)
	switch {
	case err != nil:
		return err
	case !sameDoc:
		if _, err := a.exec(changeRecord, append(a.columns(merged, place), have.seq)...); err != nil {
			return err
		}
		a.count(old.record, -1)
		a.count(merged.record, 1)
	case counted == nil || place != was:
		if _, err := a.exec(placeRecord, place.Issue, optional(place.Incident), have.seq); err != nil {
			return err
		}
	}
	return nil
}

// outline is what the columns tell of a record whose document cannot be read: as what it
// was counted.
func (a *appender) outline(seq int64) (record.Record, error) {
	var r record.Record
	var w record.Workload
	var at int64
	var open bool
	_, err := a.one(outlineRecord, []any{seq}, &r.ID, &at, &r.Kind, &r.Category, &r.Diagnosis.Cause,
		&r.Cluster, &r.Namespace, &r.Pod, &r.PodUID, &r.Container, &w.Kind, &w.Name, &r.Node, &open)
	if err != nil {
		return record.Record{}, err
	}
	if w != (record.Workload{}) {
		r.Workload = &w
	}
	if r.Kind != record.KindStall {
		r.Stop = &record.Stop{FinishedAt: fromNanos(at)}
		return r, nil
	}
	r.Stall = &record.Stall{Begin: fromNanos(at)}
	if !open {
		r.End = r.Begin
	}
	return r, nil
}

func (a *appender) columns(r row, place issue.Place) []any {
	var w record.Workload
	if r.record.Workload != nil {
		w = *r.record.Workload
	}
	open := r.record.Stall != nil && r.record.End.IsZero()
	return []any{
		nanos(r.record.When()), string(r.record.Kind), string(r.record.Category), r.record.Diagnosis.Cause,
		r.record.Cluster, r.record.Namespace, r.record.Pod, r.record.PodUID, r.record.Container,
		w.Kind, w.Name, r.record.Node, open, a.writer.codec.packRecord(r.doc), missed(&r.record),
		place.Issue, optional(place.Incident),
	}
}

// optional is NULL for an empty text, which keeps it out of an index.
func optional(s string) sql.Null[string] { return sql.Null[string]{V: s, Valid: s != ""} }

func (a *appender) count(r record.Record, by int64) {
	if r.Kind == record.KindStall {
		a.stalls += by
		return
	}
	a.stops += by
	if r.Stop != nil {
		a.missed += by * int64(r.MissedBefore)
	}
}

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
