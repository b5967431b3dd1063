package app

import (
	"context"
	"log/slog"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// StoreOptions say where the history is, and what it is opened for.
type StoreOptions struct {
	// Location is the path of an SQLite file.
	Location string
	// ReadOnly opens a history that exists, and changes nothing of it.
	ReadOnly bool
	// Logger is told what happens to the history as a whole; nil for nobody.
	Logger *slog.Logger
}

// OpenStore opens a history.
func OpenStore(ctx context.Context, o StoreOptions) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: o.Location, ReadOnly: o.ReadOnly, Logger: o.Logger})
}
