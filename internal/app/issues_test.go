package app_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// upgrading is a store that has not counted all records of an earlier version in their issues yet.
type upgrading struct {
	store.Store
	left int64
}

func (u *upgrading) Stats(ctx context.Context) (store.Stats, error) {
	s, err := u.Store.Stats(ctx)
	s.Ungrouped = u.left
	return s, err
}

// TestUngroupedIsSaid holds that a list of issues does not pass for whole while it is not.
func TestUngroupedIsSaid(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "h.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, left := range []int64{0, 7} {
		seen, err := app.StoredIssues(t.Context(), &upgrading{db, left}, store.IssueQuery{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		missing := seen.Coverage.Missing
		if left == 0 && len(missing) != 0 || left > 0 && (len(missing) != 1 || missing[0].What != "7 of the stops and stalls") {
			t.Errorf("with %d left: missing %v", left, missing)
		}
	}
}
