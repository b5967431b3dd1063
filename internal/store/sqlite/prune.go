package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const (
	// pruneStep is how many records, and vacuumStep how many pages, one transaction removes:
	// a few milliseconds, for which an append may have to wait.
	pruneStep  = 250
	vacuumStep = 128
)

// Prune implements store.Writer.
func (s *Store) Prune(ctx context.Context, r store.Retention) (int, error) {
	attempt := "prune store " + s.path
	if s.writer == nil {
		return 0, fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	p := pruner{db: s.writer, observations: sqlstore.MaxObservations}
	err := p.prune(ctx, r)
	return p.removed, writeError(attempt, err)
}

type pruner struct {
	db      *writer
	removed int
	// observations is how many of them are kept whatever their age.
	observations int
}

func (p *pruner) prune(ctx context.Context, r store.Retention) error {
	if !r.Before.IsZero() {
		if err := p.byAge(ctx, sqlstore.Nanos(r.Before)); err != nil {
			return err
		}
	}
	if r.PerIssue > 0 {
		if err := p.byIssue(ctx, r.PerIssue); err != nil {
			return err
		}
	}
	if r.MaxBytes > 0 {
		if err := p.bySize(ctx, r.MaxBytes); err != nil {
			return err
		}
	}
	if err := p.changes(ctx); err != nil {
		return err
	}
	return p.shrink(ctx)
}

func (p *pruner) byAge(ctx context.Context, before int64) error {
	for {
		n, err := p.remove(ctx, oldestEnded, before-1, pruneStep)
		if err != nil {
			return err
		}
		if n < pruneStep {
			break
		}
	}
	if err := p.groups(ctx, before); err != nil {
		return err
	}
	return p.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, dropObservations, sql.Named("before", before)); err != nil {
			return fmt.Errorf("remove what was observed before: %w", err)
		}
		if _, err := tx.ExecContext(ctx, dropUnseen, sql.Named("before", before), sql.Named("most", p.observations)); err != nil {
			return fmt.Errorf("remove what was not observed for long: %w", err)
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM gaps WHERE to_at <> 0 AND to_at < ?", before)
		return err
	})
}

// byIssue asks only the issues that had more records than the bound, stored or not.
func (p *pruner) byIssue(ctx context.Context, bound int) error {
	var ids []string
	err := query(ctx, p.db.db, "SELECT id FROM issues WHERE total > ?", []any{bound}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("find the issues with many records: %w", err)
	}
	for _, id := range ids {
		for {
			n, err := p.remove(ctx, oldestOfIssue, id, id, bound, pruneStep)
			if err != nil {
				return err
			}
			if n < pruneStep {
				break
			}
		}
	}
	return nil
}

func (p *pruner) bySize(ctx context.Context, maxBytes int64) error {
	for which := oldestEnded; ; {
		var bytes, records int64
		err := p.db.db.QueryRowContext(ctx, "SELECT "+contentBytes+", stops + stalls FROM totals").Scan(&bytes, &records)
		if err != nil {
			return fmt.Errorf("measure the content: %w", err)
		}
		if bytes <= maxBytes || records == 0 {
			return nil
		}
		// About half of what has to go, so that the last steps are small and little more is
		// removed than must be. A page only becomes free when its last row goes.
		step := max(1, min(pruneStep, (bytes-maxBytes)*records/bytes/2))
		n, err := p.remove(ctx, which, sqlstore.MaxNanos, step)
		if err != nil {
			return err
		}
		if n == 0 && which == oldestOfAll {
			return nil
		}
		if n < step {
			which = oldestOfAll
		}
		// What is older than every record that is left goes with the records.
		var before int64
		if err := p.db.db.QueryRowContext(ctx, "SELECT coalesce(min(at), ?) FROM records", sqlstore.MaxNanos).Scan(&before); err != nil {
			return fmt.Errorf("find the oldest record: %w", err)
		}
		if err := p.groups(ctx, before); err != nil {
			return err
		}
	}
}

// Which records to remove. A stall that lasts is no history yet.
const (
	oldestEnded   = `SELECT seq FROM records INDEXED BY records_time WHERE at <= ? AND open = 0 ORDER BY at, seq LIMIT ?`
	oldestOfAll   = `SELECT seq FROM records INDEXED BY records_time WHERE at <= ? ORDER BY at, seq LIMIT ?`
	oldestOfIssue = `
		SELECT seq FROM records INDEXED BY records_issue
		WHERE issue = ? AND open = 0 AND (at, seq) <=
			(SELECT at, seq FROM records INDEXED BY records_issue WHERE issue = ? ORDER BY at DESC, seq DESC LIMIT 1 OFFSET ?)
		ORDER BY at, seq LIMIT ?`
)

// remove removes the records that a statement selects, with their logs and changes, which
// the foreign keys remove. Their issues keep counting them.
func (p *pruner) remove(ctx context.Context, which string, args ...any) (int64, error) {
	var stops, stalls int64
	err := p.db.transact(ctx, func(tx *sql.Tx) error {
		lasting := make(map[string]int64)
		err := query(ctx, tx, "DELETE FROM records WHERE seq IN ("+which+") RETURNING kind, open, coalesce(issue, '')", args, func(scan func(...any) error) error {
			var kind record.Kind
			var open bool
			var id string
			err := scan(&kind, &open, &id)
			if kind == record.KindStall {
				stalls++
			} else {
				stops++
			}
			if open && id != "" {
				lasting[id]++
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := newGroup(ctx, tx, p.db).Release(lasting); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE totals SET stops = stops - ?, stalls = stalls - ?, pruned = pruned + ?", stops, stalls, stops+stalls)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remove the oldest records: %w", err)
	}
	p.removed += int(stops + stalls)
	return stops + stalls, nil
}

const (
	// What a person said of an issue outlives its records.
	dropIssues = `
		DELETE FROM issues WHERE seq IN (
			SELECT seq FROM issues INDEXED BY issues_time
			WHERE at < ? AND open = 0 AND status NOT IN ('muted', 'archived')
				AND NOT EXISTS (SELECT 1 FROM records INDEXED BY records_issue WHERE issue = issues.id)
			ORDER BY at, seq LIMIT ?)`
	dropIncidents = `
		DELETE FROM incidents WHERE seq IN (SELECT seq FROM incidents INDEXED BY incidents_time WHERE at < ? ORDER BY at, seq LIMIT ?)`
	// Of what is older than the bound, what was so then stays.
	dropObservations = `
		DELETE FROM observations AS o WHERE at < @before AND EXISTS (SELECT 1 FROM observations n
			WHERE n.cluster = o.cluster AND n.object = o.object AND n.field = o.field AND n.at > o.at AND n.at <= @before)`
	// Objects come and go, and nobody tells: beyond a number, what was not seen for long goes.
	dropUnseen = `
		DELETE FROM observations WHERE (cluster, object, field, at) IN (
			SELECT cluster, object, field, at FROM observations WHERE seen_at < @before ORDER BY seen_at
			LIMIT max(0, (SELECT count(*) FROM observations) - @most))`
)

// groups removes issues and incidents that were last seen before a time and have no records.
func (p *pruner) groups(ctx context.Context, before int64) error {
	for _, text := range []string{dropIssues, dropIncidents} {
		for {
			var n int64
			err := p.db.transact(ctx, func(tx *sql.Tx) error {
				done, err := tx.ExecContext(ctx, text, before, pruneStep)
				if err != nil {
					return err
				}
				n, err = done.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("remove old issues and incidents: %w", err)
			}
			if n < pruneStep {
				break
			}
		}
	}
	return nil
}

// changes forgets what every known consumer has acknowledged. While none is known, all
// are kept.
func (p *pruner) changes(ctx context.Context) error {
	for {
		var n int64
		err := p.db.transact(ctx, func(tx *sql.Tx) error {
			done, err := tx.ExecContext(ctx, `
				DELETE FROM changes WHERE seq IN
					(SELECT c.seq FROM changes c
						WHERE c.seq <= (SELECT min(k.seq) FROM consumers k WHERE k.cluster = c.cluster AND k.slot = c.slot)
						LIMIT ?)`, 10*pruneStep)
			if err != nil {
				return err
			}
			n, err = done.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("remove acknowledged changes: %w", err)
		}
		if n < 10*pruneStep {
			return nil
		}
	}
}

// shrink gives free pages back to the file system, all but a few that the next records
// need anyway.
func (p *pruner) shrink(ctx context.Context) error {
	const keep = vacuumStep
	for before := int64(sqlstore.MaxNanos); ; {
		var free int64
		if err := p.db.db.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return fmt.Errorf("count the free pages: %w", err)
		}
		if free <= keep || free >= before {
			break
		}
		before = free
		if err := p.vacuum(ctx, min(vacuumStep, free-keep)); err != nil {
			return fmt.Errorf("give back free pages: %w", err)
		}
	}
	// Only a checkpoint makes the file shorter. A passive one waits for nobody; where a
	// reader is in its way, one of the automatic ones does it later.
	var busy, log, done int64
	if err := p.db.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &done); err != nil {
		return fmt.Errorf("move the write-ahead log into the file: %w", err)
	}
	return nil
}

func (p *pruner) vacuum(ctx context.Context, pages int64) error {
	// A row per page, each of which must be asked for.
	rows, err := p.db.db.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pages))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
