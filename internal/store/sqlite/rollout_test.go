package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// A newer version that opens the file to mute an issue upgrades it under a server of this version,
// which then writes nothing to what it does not know.
func TestUpgradedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := Open(t.Context(), Options{Path: path, Lock: Exclusive})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(1)}}); err != nil {
		t.Fatal(err)
	}
	newer, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newer.writer.db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	_, claimed := s.Claim(t.Context(), "prod", shard.Shard{})
	for what, err := range map[string]error{
		"append": s.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(2)}}), "claim": claimed,
		"acknowledge": s.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "stdout"}, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), "newer version of whyrestart (schema 1000") || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
