package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	week = int64(7 * 24 * time.Hour)
	// oldest and newest are how many weeks from now still have partitions of their own. A clock of a
	// node, or an object of a cluster that nobody looked at for long, can have any time.
	oldest, newest = 26, 1
	// odd is the week of all other times.
	odd int32 = 0
)

// weekOf is the week of a time.
func weekOf(at int64) int64 {
	if at < 0 {
		return -1
	}
	return at / week
}

// choose returns the week whose partition a record of a time is stored in.
func (s *Store) choose(at int64) int32 {
	now, w := weekOf(s.now().UnixNano()), weekOf(at)
	if w <= int64(odd) || w < now-oldest || w > now+newest {
		return odd
	}
	return int32(w)
}

// ahead are the weeks that will be needed: so that the first append of a week does not wait.
func (s *Store) ahead() []int32 {
	now := s.now().UnixNano()
	return []int32{odd, s.choose(now), s.choose(now + week)}
}

// unknown returns those of the weeks of which it is not known that they have partitions.
func (s *Store) unknown(weeks []int32) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(weeks), func(w int32) bool { return s.weeks[w] })
}

// forget forgets what is known to be there.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.weeks)
	clear(s.clusters)
}

// partitioned are the tables with partitions.
func partitioned() []string { return []string{"records", "logs", "evidence"} }

// makeWeeks makes the partitions of weeks that have none. Whoever makes or drops some holds the row of
// the guard, so that two processes do not at once.
func (s *Store) makeWeeks(ctx context.Context, weeks []int32) error {
	missing := s.unknown(weeks)
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	err := s.transact(ctx, func(ctx context.Context, tx *transaction) error {
		have := make(map[int32]bool)
		tx.queue(lockGuard)
		tx.ask("SELECT week FROM whyrestart.weeks WHERE week = ANY($1)", []any{missing}, func(scan func(...any) error) error {
			var w int32
			err := scan(&w)
			have[w] = true
			return err
		})
		if err := tx.flush(); err != nil {
			return err
		}
		for _, w := range missing {
			if !have[w] {
				makeWeek(tx, w)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the partitions of weeks: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range missing {
		s.weeks[w] = true
	}
	return nil
}

// lockGuard locks the one row that is there for it.
const lockGuard = "SELECT FROM whyrestart.guard WHERE one = 1 FOR UPDATE"

// makeWeek makes the partitions of a week. A table that is made first and attached then locks out
// nobody who reads or writes the others.
func makeWeek(tx *transaction, w int32) {
	for _, table := range partitioned() {
		tx.queue(fmt.Sprintf("CREATE TABLE whyrestart.%[1]s_%[2]d (LIKE whyrestart.%[1]s INCLUDING ALL)", table, w))
		tx.queue(fmt.Sprintf("ALTER TABLE whyrestart.%[1]s ATTACH PARTITION whyrestart.%[1]s_%[2]d FOR VALUES FROM (%[2]d) TO (%[3]d)", table, w, w+1))
	}
	tx.queue("INSERT INTO whyrestart.weeks (week) VALUES ($1)", w)
}

// makeClusters makes the rows of clusters that have none yet.
func (s *Store) makeClusters(ctx context.Context, names []string) error {
	s.mu.Lock()
	missing := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return s.clusters[n] })
	s.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	err := s.transact(ctx, func(_ context.Context, tx *transaction) error {
		tx.queue("INSERT INTO whyrestart.clusters (cluster) SELECT name FROM unnest($1::text[]) AS u (name) ORDER BY name ON CONFLICT DO NOTHING", spellAll(missing))
		return nil
	})
	if err != nil {
		return fmt.Errorf("enter the cluster: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range missing {
		s.clusters[n] = true
	}
	return nil
}

// A lockedCluster is a cluster whose row is locked, with what the transaction adds to it.
type lockedCluster struct {
	// locked tells that it has a row.
	locked bool
	// seq is the newest change.
	seq                                         int64
	stops, stalls, missed, pruned, marks, bytes int64
	forget                                      []string
}

// lock queues that the rows of clusters are locked, in the order that everyone locks them in.
func (t *transaction) lock(names map[string]*lockedCluster) {
	spelling := make(map[string]string)
	for n := range names {
		spelling[spell(n)] = n
	}
	t.ask(`SELECT cluster, seq FROM whyrestart.clusters WHERE cluster = ANY($1) ORDER BY cluster FOR UPDATE`,
		[]any{slices.Sorted(maps.Keys(spelling))}, func(scan func(...any) error) error {
			var name string
			var seq int64
			err := scan(&name, &seq)
			c := names[spelling[name]]
			c.seq, c.locked = seq, true
			return err
		})
}

// errUnknown is that a cluster has no row although it had one: the database is another than it was.
var errUnknown = errors.New("the cluster is not entered")

// holds tells whether all clusters are locked, once what was queued is flushed.
func holds(clusters map[string]*lockedCluster) error {
	for _, c := range clusters {
		if !c.locked {
			return errUnknown
		}
	}
	return nil
}

// addUp queues what a transaction adds to its clusters.
func (t *transaction) addUp(clusters map[string]*lockedCluster) {
	for _, n := range slices.Sorted(maps.Keys(clusters)) {
		c := clusters[n]
		name := spell(n)
		if len(c.forget) > 0 {
			t.queue(`WITH gone AS (DELETE FROM whyrestart.marks WHERE cluster = $1 AND pod_uid = ANY($2) RETURNING 1)
				UPDATE whyrestart.clusters SET marks = marks - (SELECT count(*) FROM gone) WHERE cluster = $1`, name, spellAll(c.forget))
		}
		t.queue(`UPDATE whyrestart.clusters SET seq = greatest(seq, $2), stops = stops + $3, stalls = stalls + $4, missed = missed + $5,
			pruned = pruned + $6, marks = marks + $7, bytes = bytes + $8 WHERE cluster = $1`,
			name, c.seq, c.stops, c.stalls, c.missed, c.pruned, c.marks, c.bytes)
	}
}
