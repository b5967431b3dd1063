package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(killedPath); path != "" {
		os.Exit(appendUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	// A copy of an empty store is as good as a new one, and spares hundreds of migrations.
	empty, err := os.ReadFile(stored(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storetest.Harness{
		NewLocation: func(t *testing.T) string {
			return write(t, filepath.Join(t.TempDir(), "history.db"), empty)
		},
		Open: func(ctx context.Context, location string, now func() time.Time) (store.Store, error) {
			return Open(ctx, Options{Path: location, Now: now})
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

// copyOf returns the path of a copy of a closed store.
func copyOf(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "history.db")
	if err := os.WriteFile(out, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

func newTest(t testing.TB) *Store {
	t.Helper()
	return openTest(t, Options{Path: filepath.Join(t.TempDir(), "history.db")})
}

// samples returns n records that begin with the given one.
func samples(from, n int) []record.Record {
	records := make([]record.Record, 0, n)
	for i := range n {
		records = append(records, storetest.Sample(from+i))
	}
	return records
}

func mustAppend(t testing.TB, s *Store, records ...record.Record) {
	t.Helper()
	if err := s.Append(t.Context(), store.Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, s *Store) int64 {
	t.Helper()
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Stops
}

// execute changes a file as another program would.
func execute(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := openPool(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
