package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/whyrestart/whyrestart/internal/record"
)

// A week that ended before the bound is dropped: what must stay moves to week 0, the totals lose what
// does not, and the partitions are detached, all in one transaction that holds the rows of all
// clusters. Then nobody can see them any more, and what is left, the keys and the tables themselves,
// goes without a lock that anyone waits for. A kill in between leaves the detached tables, named
// gone_*, to the next Prune. A key whose row is not there is none: an append replaces it.

// detachLimit is how long a transaction waits for those that read; everyone else waits behind it.
const detachLimit = "1s"

// weeks drops the weeks that ended before a bound.
func (p *pruner) weeks(ctx context.Context, before int64) error {
	var old []int32
	err := p.store.one(ctx, p.attempt+": find old partitions", "SELECT week FROM whyrestart.weeks WHERE week > 0 AND week < $1 ORDER BY week", []any{weekOf(before)},
		func(scan func(...any) error) error {
			var w int32
			err := scan(&w)
			old = append(old, w)
			return err
		})
	if err != nil {
		return err
	}
	for _, w := range old {
		if err := p.detach(ctx, w, before); err != nil {
			if code(err) != "55P03" {
				return err
			}
			// Somebody reads for long; what it has goes row by row, and the tables another time.
			p.store.logger.WarnContext(ctx, "an old partition is in use, and its records are removed one by one", "store", p.store.location, "week", w)
		}
	}
	if len(old) == 0 {
		return nil
	}
	return p.clean(ctx)
}

// stay is what a week that is dropped must not take with it.
const stay = "(open = 1 OR at >= $2)"

func (p *pruner) detach(ctx context.Context, w int32, before int64) error {
	removed := 0
	err := p.step(ctx, "drop an old partition", func(ctx context.Context, tx *transaction) error {
		removed = 0
		clusters := make(map[string]*lockedCluster)
		tx.queue("SET LOCAL lock_timeout = '" + detachLimit + "'")
		tx.queue(lockGuard)
		tx.ask("SELECT cluster, seq FROM whyrestart.clusters ORDER BY cluster FOR UPDATE", nil, func(scan func(...any) error) error {
			var name string
			c := new(lockedCluster)
			err := scan(&name, &c.seq)
			clusters[unspell(name)] = c
			return err
		})
		there := false
		tx.ask("SELECT week FROM whyrestart.weeks WHERE week = $1", []any{w}, func(func(...any) error) error {
			there = true
			return nil
		})
		if err := tx.flush(); err != nil || !there {
			return err
		}
		for _, table := range []string{"logs", "evidence"} {
			tx.queue(fmt.Sprintf(`UPDATE whyrestart.%s d SET week = 0 WHERE d.week = $1
				AND d.record IN (SELECT seq FROM whyrestart.records WHERE week = $1 AND %s)`, table, stay), w, before)
		}
		tx.queue("UPDATE whyrestart.keys SET week = 0 WHERE id IN (SELECT id FROM whyrestart.records WHERE week = $1 AND "+stay+")", w, before)
		tx.queue("UPDATE whyrestart.changes SET week = 0 WHERE record IN (SELECT seq FROM whyrestart.records WHERE week = $1 AND "+stay+")", w, before)
		tx.queue("UPDATE whyrestart.records SET week = 0 WHERE week = $1 AND "+stay, w, before)
		tx.queue("DELETE FROM whyrestart.changes WHERE week = $1", w)
		tx.ask("SELECT cluster, kind, count(*), sum(bytes)::bigint FROM whyrestart.records WHERE week = $1 GROUP BY cluster, kind", []any{w}, func(scan func(...any) error) error {
			var name string
			var kind record.Kind
			var n, bytes int64
			if err := scan(&name, &kind, &n, &bytes); err != nil {
				return err
			}
			clusters[unspell(name)].remove(kind, n, bytes)
			removed += int(n)
			return nil
		})
		for _, table := range partitioned() {
			tx.queue(fmt.Sprintf("ALTER TABLE whyrestart.%[1]s DETACH PARTITION whyrestart.%[1]s_%[2]d", table, w))
			tx.queue(fmt.Sprintf("ALTER TABLE whyrestart.%[1]s_%[2]d RENAME TO gone_%[1]s_%[2]d", table, w))
		}
		tx.queue("DELETE FROM whyrestart.weeks WHERE week = $1", w)
		if err := tx.flush(); err != nil {
			return err
		}
		tx.addUp(clusters)
		return nil
	})
	if err != nil {
		return err
	}
	p.removed += removed
	p.store.forget()
	return nil
}

// cleanStep is how many keys one transaction removes.
const cleanStep = 5000

// clean drops what detached partitions have left.
func (p *pruner) clean(ctx context.Context) error {
	var weeks []int32
	err := p.store.one(ctx, p.attempt+": find dropped partitions", `
		SELECT DISTINCT split_part(c.relname, '_', 3)::integer FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'whyrestart' AND c.relkind = 'r' AND c.relname ~ '^gone_[a-z]+_[0-9]+$'`, nil,
		func(scan func(...any) error) error {
			var w int32
			err := scan(&w)
			weeks = append(weeks, w)
			return err
		})
	if err != nil {
		return err
	}
	slices.Sort(weeks)
	for _, w := range weeks {
		if err := p.cleanWeek(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (p *pruner) cleanWeek(ctx context.Context, w int32) error {
	for after, more := int64(0), true; more; {
		err := p.step(ctx, "remove the keys of a dropped partition", func(ctx context.Context, tx *transaction) error {
			more = false
			var there bool
			err := query(ctx, tx.tx, "SELECT to_regclass($1::text) IS NOT NULL", []any{fmt.Sprintf("whyrestart.gone_records_%d", w)}, func(scan func(...any) error) error { return scan(&there) })
			if err != nil || !there {
				return err
			}
			var ids []string
			last := after
			err = query(ctx, tx.tx, fmt.Sprintf("SELECT id, seq FROM whyrestart.gone_records_%d WHERE seq > $1 ORDER BY seq LIMIT $2", w), []any{after, cleanStep}, func(scan func(...any) error) error {
				var id string
				err := scan(&id, &last)
				ids = append(ids, id)
				return err
			})
			if err != nil {
				return err
			}
			after, more = last, len(ids) == cleanStep
			// A record that came again has another week, or another number.
			tx.queue(fmt.Sprintf(`DELETE FROM whyrestart.keys k WHERE k.id = ANY($1) AND k.week = $2
				AND EXISTS (SELECT FROM whyrestart.gone_records_%d g WHERE g.week = k.week AND g.seq = k.seq)`, w), ids, w)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return p.step(ctx, "drop a detached partition", func(_ context.Context, tx *transaction) error {
		for _, table := range partitioned() {
			tx.queue(fmt.Sprintf("DROP TABLE IF EXISTS whyrestart.gone_%s_%d", table, w))
		}
		return nil
	})
}
