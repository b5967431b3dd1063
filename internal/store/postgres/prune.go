package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// pruneStep is how many records one transaction removes: some milliseconds, for which an append of
// their clusters may have to wait.
const pruneStep = 250

// Prune implements store.Writer. What is older than a bound goes by whole partitions as far as it
// fills them, and row by row in the week of the bound; a bound at the beginning of a week leaves
// nothing to remove by rows.
func (s *Store) Prune(ctx context.Context, r store.Retention) (int, error) {
	p := pruner{store: s, attempt: "prune store " + s.location}
	if s.readOnly {
		return 0, fmt.Errorf("%s: %w", p.attempt, errReadOnly)
	}
	err := p.prune(ctx, r)
	return p.removed, err
}

type pruner struct {
	store   *Store
	attempt string
	removed int
}

// step runs one transaction of the retention.
func (p *pruner) step(ctx context.Context, what string, f func(ctx context.Context, tx *transaction) error) error {
	return p.store.write(ctx, p.attempt+": "+what, nil, f)
}

func (p *pruner) prune(ctx context.Context, r store.Retention) error {
	if err := p.clean(ctx); err != nil {
		return err
	}
	if err := p.recount(ctx); err != nil {
		return err
	}
	if !r.Before.IsZero() {
		if err := p.byAge(ctx, edge(sqlstore.Nanos(r.Before), r.Slack)); err != nil {
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
	return p.changes(ctx)
}

// edge is the bound that is applied: the beginning of its week, where that is allowed.
func edge(before int64, slack time.Duration) int64 {
	if int64(slack) < week || before < 0 {
		return before
	}
	return before - before%week
}

func (p *pruner) byAge(ctx context.Context, before int64) error {
	if err := p.weeks(ctx, before); err != nil {
		return err
	}
	if err := p.all(ctx, oldestEnded, before-1); err != nil {
		return err
	}
	if err := p.groups(ctx, before); err != nil {
		return err
	}
	return p.step(ctx, "remove what was observed before", func(_ context.Context, tx *transaction) error {
		tx.queue(dropObservations, before)
		tx.queue(dropUnseen, before, sqlstore.MaxObservations)
		tx.queue("DELETE FROM whyrestart.gaps WHERE to_at <> 0 AND to_at < $1", before)
		return nil
	})
}

const (
	// Of what is older than the bound, what was so then stays.
	dropObservations = `
		DELETE FROM whyrestart.observations o WHERE at < $1 AND EXISTS (SELECT FROM whyrestart.observations n
			WHERE n.cluster = o.cluster AND n.object = o.object AND n.field = o.field AND n.at > o.at AND n.at <= $1)`
	// Objects come and go, and nobody tells: beyond a number, what was not seen for long goes.
	dropUnseen = `
		DELETE FROM whyrestart.observations WHERE (cluster, object, field, at) IN (
			SELECT cluster, object, field, at FROM whyrestart.observations WHERE seen_at < $1 ORDER BY seen_at
			LIMIT greatest(0, (SELECT count(*) FROM whyrestart.observations) - $2))`
)

// byIssue asks only the issues that had more records than the bound, stored or not.
func (p *pruner) byIssue(ctx context.Context, most int) error {
	var ids []string
	err := p.store.one(ctx, p.attempt+": find the issues with many records", "SELECT id FROM whyrestart.issues WHERE total > $1", []any{most}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := p.all(ctx, oldestOfIssue, id, most); err != nil {
			return err
		}
	}
	return nil
}

func (p *pruner) bySize(ctx context.Context, maxBytes int64) error {
	removed := false
	for which := oldestEnded; ; removed = true {
		var bytes, records, oldest int64
		err := p.store.one(ctx, p.attempt+": measure the content", `
			SELECT coalesce(sum(bytes), 0)::bigint, coalesce(sum(stops + stalls), 0)::bigint,
				coalesce((SELECT min(at) FROM whyrestart.records), $1) FROM whyrestart.clusters`, []any{int64(sqlstore.MaxNanos)},
			func(scan func(...any) error) error { return scan(&bytes, &records, &oldest) })
		if err != nil {
			return err
		}
		// What is older than every record that is left goes with the records.
		if removed {
			if err := p.groups(ctx, oldest); err != nil {
				return err
			}
		}
		if bytes <= maxBytes || records == 0 {
			return nil
		}
		// About half of what has to go, so that little more is removed than must be.
		step := max(1, min(pruneStep, (bytes-maxBytes)*records/bytes/2))
		n, err := p.remove(ctx, which, int(step), int64(math.MaxInt64))
		if err != nil {
			return err
		}
		if n == 0 && which == oldestOfAll {
			return nil
		}
		if n < int(step) {
			which = oldestOfAll
		}
	}
}

// Which records to remove, up to a limit that is the last argument. A stall that lasts is no
// history yet. The condition is asked again when they are removed, as a record can have changed.
type selection struct{ find, still string }

//nolint:gochecknoglobals // Constants, if there were constants of this type.
var (
	oldestEnded = selection{
		"SELECT week, seq, cluster FROM whyrestart.records WHERE at <= $1 AND open = 0 ORDER BY at, seq LIMIT $2",
		"open = 0",
	}
	oldestOfAll = selection{
		"SELECT week, seq, cluster FROM whyrestart.records WHERE at <= $1 ORDER BY at, seq LIMIT $2",
		"TRUE",
	}
	oldestOfIssue = selection{
		`SELECT week, seq, cluster FROM whyrestart.records WHERE issue = $1 AND open = 0 AND (at, seq) <=
			(SELECT at, seq FROM whyrestart.records WHERE issue = $1 ORDER BY at DESC, seq DESC LIMIT 1 OFFSET $2)
			ORDER BY at, seq LIMIT $3`,
		"open = 0",
	}
)

// all removes all records of a selection.
func (p *pruner) all(ctx context.Context, which selection, args ...any) error {
	for {
		n, err := p.remove(ctx, which, pruneStep, args...)
		if err != nil || n < pruneStep {
			return err
		}
	}
}

// choose returns the rows that a query names by week, number and cluster, and their clusters, to be locked.
func choose(ctx context.Context, tx *transaction, text string, args ...any) (at rowsAt, clusters map[string]*lockedCluster, err error) {
	clusters = make(map[string]*lockedCluster)
	err = query(ctx, tx.tx, text, args, func(scan func(...any) error) error {
		var w int32
		var seq int64
		var cluster string
		err := scan(&w, &seq, &cluster)
		at.add(w, seq)
		clusters[unspell(cluster)] = new(lockedCluster)
		return err
	})
	return at, clusters, err
}

// remove removes some records, with all that belongs to them. Their issues keep counting them.
func (p *pruner) remove(ctx context.Context, which selection, limit int, args ...any) (n int, err error) {
	err = p.step(ctx, "remove the oldest records", func(ctx context.Context, tx *transaction) error {
		n = 0
		at, clusters, err := choose(ctx, tx, which.find, append(args, limit)...)
		if err != nil || len(at.seqs) == 0 {
			return err
		}
		tx.lock(clusters)
		var ids []string
		var gone rowsAt
		lasting := make(map[string]int64)
		tx.ask("DELETE FROM whyrestart.records WHERE week = ANY($1) AND seq = ANY($2) AND "+which.still+
			" RETURNING week, seq, id, cluster, kind, open, coalesce(issue, ''), bytes", []any{at.weeks, at.seqs}, func(scan func(...any) error) error {
			var w int32
			var seq, bytes int64
			var id, cluster, of string
			var kind record.Kind
			var open int16
			if err := scan(&w, &seq, &id, &cluster, &kind, &open, &of, &bytes); err != nil {
				return err
			}
			n++
			gone.add(w, seq)
			ids = append(ids, id)
			c := clusters[unspell(cluster)]
			if c == nil { // it names another since
				c = new(lockedCluster)
				clusters[unspell(cluster)] = c
			}
			c.remove(kind, 1, bytes)
			if open == 1 && of != "" {
				lasting[of]++
			}
			return nil
		})
		if err := tx.flush(); err != nil {
			return err
		}
		tx.queue("DELETE FROM whyrestart.keys WHERE id = ANY($1) AND seq = ANY($2)", ids, gone.seqs)
		tx.queue("DELETE FROM whyrestart.changes WHERE record = ANY($1)", gone.seqs)
		tx.queue("DELETE FROM whyrestart.logs WHERE week = ANY($1) AND record = ANY($2)", gone.weeks, gone.seqs)
		tx.queue("DELETE FROM whyrestart.evidence WHERE week = ANY($1) AND record = ANY($2)", gone.weeks, gone.seqs)
		tx.addUp(clusters)
		if len(lasting) == 0 {
			return nil
		}
		return sqlstore.NewGroup(ctx, tx, p.store.codec, p.store.logger).Release(lasting)
	})
	if err != nil {
		return 0, err
	}
	p.removed += n
	return n, nil
}

// remove takes records of a kind out of the totals.
func (c *lockedCluster) remove(kind record.Kind, n, bytes int64) {
	if kind == record.KindStall {
		c.stalls -= n
	} else {
		c.stops -= n
	}
	c.pruned += n
	c.bytes -= bytes
}

const (
	// What a person said of an issue outlives its records.
	oldIssues = `at < $1 AND open = 0 AND status NOT IN ('muted', 'archived')
		AND NOT EXISTS (SELECT FROM whyrestart.records r WHERE r.issue = issues.id)`
	dropIssues = `
		WITH gone AS (DELETE FROM whyrestart.issues WHERE seq = ANY($2) AND ` + oldIssues + ` RETURNING seq),
			nodes AS (DELETE FROM whyrestart.issue_nodes WHERE issue IN (SELECT seq FROM gone)),
			aliases AS (DELETE FROM whyrestart.issue_aliases WHERE issue IN (SELECT seq FROM gone))
		SELECT count(*) FROM gone`
	oldIncidents  = `at < $1`
	dropIncidents = `
		WITH gone AS (DELETE FROM whyrestart.incidents WHERE seq = ANY($2) AND ` + oldIncidents + ` RETURNING seq),
			nodes AS (DELETE FROM whyrestart.incident_nodes WHERE incident IN (SELECT seq FROM gone))
		SELECT count(*) FROM gone`
)

// groups removes issues and incidents that were last seen before a time and have no records.
func (p *pruner) groups(ctx context.Context, before int64) error {
	for _, what := range []struct{ table, old, drop string }{{"issues", oldIssues, dropIssues}, {"incidents", oldIncidents, dropIncidents}} {
		find := fmt.Sprintf("SELECT seq, cluster FROM whyrestart.%s WHERE %s ORDER BY at, seq LIMIT $2", what.table, what.old)
		for {
			n := 0
			err := p.step(ctx, "remove old issues and incidents", func(ctx context.Context, tx *transaction) error {
				clusters := make(map[string]*lockedCluster)
				var seqs []int64
				err := query(ctx, tx.tx, find, []any{before, pruneStep}, func(scan func(...any) error) error {
					var seq int64
					var cluster string
					err := scan(&seq, &cluster)
					seqs = append(seqs, seq)
					clusters[unspell(cluster)] = new(lockedCluster)
					return err
				})
				if n = len(seqs); err != nil || n == 0 {
					return err
				}
				// A writer of the cluster may have found one of them.
				tx.lock(clusters)
				tx.queue(what.drop, before, seqs)
				return nil
			})
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

// changes forgets what every known consumer has acknowledged. While none is known, all
// are kept.
func (p *pruner) changes(ctx context.Context) error {
	for {
		var n int64
		err := p.step(ctx, "remove acknowledged changes", func(_ context.Context, tx *transaction) error {
			tx.ask(`WITH gone AS (DELETE FROM whyrestart.changes WHERE (cluster, seq) IN (
					SELECT c.cluster, c.seq FROM whyrestart.changes c
					WHERE c.seq <= (SELECT min(k.seq) FROM whyrestart.consumers k WHERE k.cluster = c.cluster AND k.slot = c.slot)
					LIMIT $1) RETURNING 1) SELECT count(*) FROM gone`, []any{10 * pruneStep}, func(scan func(...any) error) error { return scan(&n) })
			return nil
		})
		if err != nil {
			return err
		}
		if n < 10*pruneStep {
			return nil
		}
	}
}
