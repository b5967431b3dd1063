package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		NewLocation: func(t *testing.T) string { return filepath.Join(t.TempDir(), "history.db") },
		Open: func(ctx context.Context, location string) (store.Store, error) {
			return Open(ctx, Options{Path: location})
		},
	})
}
