package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// gapKey is what makes a gap another one, beside when it began.
func gapKey(g record.Gap) string {
	h := sha256.New()
	for _, s := range []string{string(g.Kind), g.Scope, g.Why} {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) // a hash never returns an error
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// observed are the stored observations of the objects of a batch, by object and field, the oldest first.
type observed map[[2]string][]sqlstore.Seen

func (a *appender) askObserved() {
	if len(a.batch.Observed) == 0 {
		return
	}
	a.seen = make(observed)
	var objects, fields []string
	for _, o := range a.batch.Observed {
		objects, fields = append(objects, spell(o.Object)), append(fields, spell(o.Field))
	}
	a.ask("SELECT object, field, at, value, seen_at FROM whyrestart.observations WHERE cluster = $1 AND object = ANY($2) AND field = ANY($3) ORDER BY at",
		[]any{spell(a.batch.Cluster), sorted(objects), sorted(fields)}, func(scan func(...any) error) error {
			var key [2]string
			var value []byte
			var seen sqlstore.Seen
			err := scan(&key[0], &key[1], &seen.At, &value, &seen.Seen)
			seen.Value = string(value)
			a.seen[key] = append(a.seen[key], seen)
			return err
		})
}

// observe queues the observations that differ from the last one before them.
func (a *appender) observe() {
	cluster := spell(a.batch.Cluster)
	for _, o := range a.batch.Observed {
		key := [2]string{spell(o.Object), spell(o.Field)}
		now := sqlstore.Nanos(o.Time)
		list := a.seen[key]
		// Behind those at or before it.
		n, _ := slices.BinarySearchFunc(list, now, func(s sqlstore.Seen, at int64) int { return cmp.Compare(s.At, at+1) })
		var last *sqlstore.Seen
		if n > 0 {
			last = &list[n-1]
		}
		switch sqlstore.Observe(last, o.Value, now) {
		case sqlstore.Differs:
			a.queue(`INSERT INTO whyrestart.observations (cluster, object, field, at, seen_at, name, value) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (cluster, object, field, at) DO UPDATE SET value = excluded.value`,
				cluster, key[0], key[1], now, now, []byte(o.Field), []byte(o.Value))
			if last != nil && last.At == now {
				last.Value = o.Value
			} else {
				a.seen[key] = slices.Insert(list, n, sqlstore.Seen{At: now, Seen: now, Value: o.Value})
			}
		case sqlstore.SeenAgain:
			a.queue("UPDATE whyrestart.observations SET seen_at = $1 WHERE cluster = $2 AND object = $3 AND field = $4 AND at = $5",
				now, cluster, key[0], key[1], last.At)
			last.Seen = now
		case sqlstore.AsItWas:
		}
	}
}

// Observations implements store.Reader.
func (s *Store) Observations(ctx context.Context, cluster, object string, since time.Time) ([]record.Observation, error) {
	attempt := fmt.Sprintf("read what was observed of %s in store %s", object, s.location)
	var all sqlstore.Observed
	err := s.one(ctx, attempt, "SELECT name, at, value FROM whyrestart.observations WHERE cluster = $1 AND object = $2 ORDER BY field, at",
		[]any{spell(cluster), spell(object)}, func(scan func(...any) error) error {
			var name, value []byte
			var at int64
			err := scan(&name, &at, &value)
			all.Add(record.Observation{Object: object, Field: string(name), Value: string(value), Time: sqlstore.FromNanos(at)}, since)
			return err
		})
	return all.Sorted(), err
}
