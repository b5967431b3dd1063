package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// While a rollout replaces a version by a newer one, the old one may lead for a while after the schema was
// upgraded: it writes nothing to it, whether or not its statements would still fit, and says why.
func TestUpgradedWhileOpen(t *testing.T) {
	const upgraded = "INSERT INTO whyrestart.goose_db_version (version_id, is_applied) VALUES (1000, true)"
	for name, change := range map[string]string{
		"and all still fits": "ALTER TABLE whyrestart.marks ADD COLUMN more text",
		"and nothing fits":   "ALTER TABLE whyrestart.clusters RENAME COLUMN seq TO newest",
		"and a table went":   "ALTER TABLE whyrestart.terms RENAME TO claims",
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			s := openTest(t, Options{URL: url})
			outbox := store.Outbox{Cluster: "prod", Consumer: "stdout"}
			b := store.Batch{Cluster: "prod", Records: []record.Record{storetest.Sample(1)}}
			if err := s.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			execute(t, url, upgraded, change)
			b.Records, b.Term = []record.Record{storetest.Sample(2)}, 1
			_, claimed := s.Claim(t.Context(), "prod", shard.Shard{})
			_, pruned := s.Prune(t.Context(), store.Retention{MaxBytes: 1})
			for what, err := range map[string]error{
				"append": s.Append(t.Context(), b), "claim": claimed, "prune": pruned, "acknowledge": s.Acknowledge(t.Context(), outbox, 1),
			} {
				if err == nil || !strings.Contains(err.Error(), "newer version of whyrestart (schema 1000") || errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// Who upgrades waits for those who write, and they for it.
func TestUpgradeWaits(t *testing.T) {
	url := pgtest.NewDatabase(t)
	s := openTest(t, Options{URL: url})
	writing, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx := &transaction{ctx: t.Context(), tx: writing}
	s.keepSchema(tx)
	if err := tx.flush(); err != nil {
		t.Fatal(err)
	}
	alone := func() (locked bool) {
		if err := s.pool.QueryRow(t.Context(), "SELECT pg_try_advisory_xact_lock($1)", int64(schemaLock)).Scan(&locked); err != nil {
			t.Fatal(err)
		}
		return locked
	}
	if alone() {
		t.Error("the schema can be upgraded in the middle of a transaction that writes")
	}
	if err := writing.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !alone() {
		t.Error("the schema cannot be upgraded after the transaction")
	}
}
