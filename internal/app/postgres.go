package app

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres"
)

// errURL is all that is said of a URL that cannot be read: the reasons quote parts of it, of
// which one may be the password.
var errURL = errors.New("--store: this is not a valid postgres:// URL; in a user name or a password, characters such as @ : / ? # % are written as %40 %3A %2F %3F %23 %25, and PGPASSWORD takes a password as it is")

// openPostgres opens a history in a database of PostgreSQL.
func openPostgres(ctx context.Context, o StoreOptions) (store.Store, error) {
	if _, err := url.Parse(o.Location); err != nil || ambiguous(o.Location) {
		return nil, errURL
	}
	if o.Existing {
		// To write opens what is not there yet.
		db, err := postgres.Open(ctx, postgres.Options{URL: o.Location, ReadOnly: true})
		if err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
	db, err := postgres.Open(ctx, postgres.Options{URL: o.Location, ReadOnly: o.ReadOnly, Logger: o.Logger})
	if err != nil {
		return nil, err // as it is: a nil *postgres.Store is no nil store.Store
	}
	return db, nil
}

// ambiguous tells that there is more than one @ before the path of a URL: what is behind the first is
// the end of a password to some, and a host to be looked up to others.
func ambiguous(location string) bool {
	_, rest, _ := strings.Cut(location, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Count(rest, "@") > 1
}
