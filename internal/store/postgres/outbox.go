package postgres

import (
	"context"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const changesStatement = `
	WITH seen AS (SELECT slot, seq FROM whyrestart.consumers WHERE cluster = $1 AND name = $2 AND slot >= $3 AND slot < $4)
	SELECT c.seq, c.week, c.record FROM whyrestart.changes c
	WHERE c.cluster = $1 AND c.slot >= $3 AND c.slot < $4
		AND c.seq > CASE WHEN (SELECT count(*) FROM seen) = $4 - $3 THEN (SELECT min(seq) FROM seen) ELSE 0 END
		AND c.seq > coalesce((SELECT s.seq FROM seen s WHERE s.slot = c.slot), 0)
	ORDER BY c.seq LIMIT $5`

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, o store.Outbox, limit int) ([]store.Change, error) {
	attempt := fmt.Sprintf("read the changes for %s of store %s", o.Consumer, s.location)
	if limit <= 0 {
		limit = store.DefaultLimit
	}
	var changes []store.Change
	err := s.read(ctx, attempt, func(ctx context.Context, tx *transaction) error {
		from, to := o.Shard.Slots()
		var seqs []int64
		var at rowsAt
		err := query(ctx, tx.tx, changesStatement, []any{spell(o.Cluster), spell(o.Consumer), from, to, limit}, func(scan func(...any) error) error {
			var seq, row int64
			var w int32
			err := scan(&seq, &w, &row)
			seqs = append(seqs, seq)
			at.add(w, row)
			return err
		})
		if err != nil {
			return err
		}
		records, err := s.recordsAt(tx, at)
		if err != nil {
			return err
		}
		for n, r := range records {
			if r != nil { // else retention has it, and is about to remove the change
				changes = append(changes, store.Change{Seq: seqs[n], Record: *r})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// rowsAt are the places of rows.
type rowsAt struct {
	weeks []int32
	seqs  []int64
}

func (at *rowsAt) add(w int32, seq int64) {
	at.weeks, at.seqs = append(at.weeks, w), append(at.seqs, seq)
}

// recordsAt reads records with their logs and issues, in the order of their places; nil for one
// that is not there.
func (s *Store) recordsAt(tx *transaction, at rowsAt) ([]*record.Record, error) {
	out := make([]*record.Record, len(at.seqs))
	if len(at.seqs) == 0 {
		return out, nil
	}
	index := make(map[int64]int)
	for n, seq := range at.seqs {
		index[seq] = n
	}
	docs, logs, places := make([][]byte, len(out)), make([][]byte, len(out)), make([]place, len(out))
	tx.ask("SELECT seq, doc, issue, incident FROM whyrestart.records WHERE week = ANY($1) AND seq = ANY($2)", []any{at.weeks, at.seqs}, func(scan func(...any) error) error {
		var seq int64
		var doc []byte
		var p place
		err := scan(&seq, &doc, &p.issue, &p.incident)
		docs[index[seq]], places[index[seq]] = doc, p
		return err
	})
	tx.ask("SELECT record, doc FROM whyrestart.logs WHERE week = ANY($1) AND record = ANY($2)", []any{at.weeks, at.seqs}, func(scan func(...any) error) error {
		var seq int64
		var doc []byte
		err := scan(&seq, &doc)
		logs[index[seq]] = doc
		return err
	})
	if err := tx.flush(); err != nil {
		return nil, err
	}
	records := make([]record.Record, len(out))
	for n, doc := range docs {
		if doc == nil {
			continue
		}
		var err error
		if records[n], err = s.codec.Decode(doc, logs[n]); err != nil {
			return nil, err
		}
		out[n] = &records[n]
	}
	return out, s.refer(tx, records, places)
}

// A number that was not given out yet would skip the changes that get it.
const acknowledge = `
	INSERT INTO whyrestart.consumers (cluster, name, slot, seq)
	SELECT $1::text, $2::text, slot, greatest(0, least($3::bigint, coalesce((SELECT seq FROM whyrestart.clusters WHERE cluster = $1), 0)))
	FROM generate_series($4::integer, $5::integer - 1) AS s (slot)
	ON CONFLICT (cluster, name, slot) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > consumers.seq`

// Acknowledge implements store.Writer.
func (s *Store) Acknowledge(ctx context.Context, o store.Outbox, seq int64) error {
	attempt := fmt.Sprintf("acknowledge the changes for %s in store %s", o.Consumer, s.location)
	before := func(ctx context.Context) error { return s.makeClusters(ctx, []string{o.Cluster}) }
	return s.write(ctx, attempt, before, func(_ context.Context, tx *transaction) error {
		from, to := o.Shard.Slots()
		tx.queue(acknowledge, spell(o.Cluster), spell(o.Consumer), seq, from, to)
		return nil
	})
}

// Claim implements store.Writer.
func (s *Store) Claim(ctx context.Context, cluster string, sh shard.Shard) (term int64, err error) {
	before := func(ctx context.Context) error { return s.makeClusters(ctx, []string{cluster}) }
	err = s.write(ctx, "claim store "+s.location, before, func(_ context.Context, tx *transaction) error {
		clusters := map[string]*lockedCluster{cluster: new(lockedCluster)}
		tx.lock(clusters)
		tx.ask("SELECT 1 + coalesce(max(term), 0) FROM whyrestart.terms WHERE cluster = $1", []any{spell(cluster)}, func(scan func(...any) error) error {
			return scan(&term)
		})
		if err := tx.flush(); err != nil {
			return err
		}
		if err := holds(clusters); err != nil {
			return err
		}
		from, to := sh.Slots()
		tx.queue(`INSERT INTO whyrestart.terms (cluster, slot, term) SELECT $1::text, slot, $2::bigint FROM generate_series($3::integer, $4::integer - 1) AS s (slot)
			ON CONFLICT (cluster, slot) DO UPDATE SET term = excluded.term`, spell(cluster), term, from, to)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return term, nil
}

// Of the changes of the cluster only those are counted that somebody has not seen.
const backlogs = `
	WITH seen AS (SELECT name, slot, seq FROM whyrestart.consumers WHERE cluster = $1),
		who AS (SELECT name, CASE WHEN count(*) = 16 THEN min(seq) ELSE 0 END AS first FROM seen GROUP BY name)
	SELECT who.name, count(c.seq), coalesce(min(c.at), 0) FROM who LEFT JOIN whyrestart.changes c
		ON c.seq > who.first AND c.cluster = $1
		AND c.seq > coalesce((SELECT s.seq FROM seen s WHERE s.name = who.name AND s.slot = c.slot), 0)
	GROUP BY who.name ORDER BY who.name`

// Backlogs implements store.Reader.
func (s *Store) Backlogs(ctx context.Context, cluster string) ([]store.Backlog, error) {
	var out []store.Backlog
	err := s.one(ctx, "read what waits in store "+s.location, backlogs, []any{spell(cluster)}, func(scan func(...any) error) error {
		var b store.Backlog
		var oldest int64
		err := scan(&b.Consumer, &b.Changes, &oldest)
		b.Consumer, b.Oldest = unspell(b.Consumer), sqlstore.FromNanos(oldest)
		out = append(out, b)
		return err
	})
	return out, err
}
