package app

import (
	"context"
	"errors"
	"net/url"

	"github.com/whyrestart/whyrestart/internal/store"
)

// errURL is all that is said of a URL that cannot be read: the reasons quote parts of it, of
// which one may be the password.
var errURL = errors.New("--store: this is not a valid postgres:// URL; in a user name or a password, characters such as @ : / ? # % are written as %40 %3A %2F %3F %23 %25, and PGPASSWORD takes a password as it is")

// openPostgres opens a history in a database of PostgreSQL.
func openPostgres(_ context.Context, o StoreOptions) (store.Store, error) {
	if _, err := url.Parse(o.Location); err != nil {
		return nil, errURL
	}
	return nil, errors.New("--store: PostgreSQL is not in this build")
}
