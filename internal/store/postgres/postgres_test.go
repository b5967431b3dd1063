package postgres

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// migrated returns what makes copies of an empty history, which spare hundreds of migrations.
func migrated(t *testing.T) func(t *testing.T) string {
	t.Helper()
	server := pgtest.Shared(t)
	admin, err := pgxpool.New(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	const template = "migrated"
	do := func(t *testing.T, text string) {
		t.Helper()
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), text, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	do(t, "DROP DATABASE IF EXISTS "+template)
	do(t, "CREATE DATABASE "+template)
	s, err := Open(t.Context(), Options{URL: server.URL(template), Now: func() time.Time { return storetest.Epoch() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	return func(t *testing.T) string {
		t.Helper()
		name := fmt.Sprintf("copy_%d", n.Add(1))
		do(t, "CREATE DATABASE "+name+" TEMPLATE "+template)
		t.Cleanup(func() { do(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
		return server.URL(name)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		NewLocation: migrated(t),
		Open: func(ctx context.Context, location string, now func() time.Time) (store.Store, error) {
			return Open(ctx, Options{URL: location, Now: now})
		},
	})
}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
