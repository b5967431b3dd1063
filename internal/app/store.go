package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// StoreOptions say where the history is, and what it is opened for.
type StoreOptions struct {
	// Location is the path of an SQLite file, or the postgres:// URL of a database.
	Location string
	// ReadOnly opens a history that exists, and changes nothing of it.
	ReadOnly bool
	// Existing opens a history to write to it, and makes none.
	Existing bool
	// Server tells that a server opens it, and keeps others from doing the same where it is a file.
	Server Server
	// Logger is told what happens to the history as a whole; nil for nobody.
	Logger *slog.Logger
}

// Server is how a server opens a history.
type Server int

// NoServer is for who reads, or writes a word and goes. Of the OnlyServer there is one at a time for
// each file, and none of it beside an ElectedServer; of these a Lease chooses the one that
// writes, and the terms of the history refuse one that was taken over from without knowing.
const (
	NoServer Server = iota
	OnlyServer
	ElectedServer
)

// OpenStore opens a history. Its errors never have the URL of a database in them.
func OpenStore(ctx context.Context, o StoreOptions) (store.Store, error) {
	switch {
	case isPostgres(o.Location):
		return openPostgres(ctx, o)
	case looksLikeURL(o.Location):
		return nil, errors.New("--store: want the path of an SQLite file, or the URL of a database (postgres://)")
	}
	if o.Existing {
		// What is not there is not made, and what cannot be written is said before anything is done.
		f, err := os.OpenFile(o.Location, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open store %s to write: %w", o.Location, errors.Unwrap(err))
		}
		f.Close()
	}
	return sqlite.Open(ctx, sqlite.Options{Path: o.Location, ReadOnly: o.ReadOnly, Lock: lockOf(o.Server), Logger: o.Logger})
}

// StoreThere tells whether there may be a history: a file, or whatever a URL names, which only
// who opens it can tell.
func StoreThere(location string) bool {
	if looksLikeURL(location) {
		return true
	}
	_, err := os.Stat(location)
	return !errors.Is(err, fs.ErrNotExist)
}

// StoreName is what a history is called in messages. It has neither the user nor the password
// of a URL, nor the URL itself.
func StoreName(location string) string {
	if !looksLikeURL(location) {
		return location
	}
	u, err := url.Parse(location)
	if err != nil || !isPostgres(location) {
		return "a database"
	}
	hosts := u.Host
	if h := u.Query().Get("host"); h != "" {
		hosts = h
	}
	name := "PostgreSQL"
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		name += " database " + db
	}
	if hosts != "" {
		name += " on " + strings.Join(strings.Split(hosts, ","), ", ")
	}
	return name
}

// HideURLs takes what names databases out of a text: whatever went wrong, a password may be
// in it.
func HideURLs(text string) string {
	text = databaseURLs.ReplaceAllString(text, "$1:...")
	return keywords.ReplaceAllString(text, "$1=...")
}

var (
	// databaseURLs are URLs of PostgreSQL, and what somebody may have taken for one.
	databaseURLs = regexp.MustCompile("(?i)\\b(postgres(?:ql)?):/{0,3}[^\\s\"'`)/][^\\s\"'`]*")
	// keywords are the settings by which libpq's other form gives secrets.
	keywords = regexp.MustCompile(`(?i)\b(password|sslpassword)\s*=\s*(?:'(?:[^'\\]|\\.)*'?|[^\s&"']+)`)
	// notPaths are how URLs and libpq's keywords begin.
	notPaths = regexp.MustCompile(`(?i)^(?:[a-z][a-z0-9+.-]*://|postgres(?:ql)?:|(?:host|hostaddr|port|user|password|dbname|service|sslmode)\s*=)`)
)

// looksLikeURL tells that a location is no path: a URL, or what somebody may have taken for one
// and has a password in it.
func looksLikeURL(location string) bool { return notPaths.MatchString(location) }

func isPostgres(location string) bool {
	scheme, _, ok := strings.Cut(location, "://")
	return ok && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql"))
}

func lockOf(s Server) sqlite.Lock {
	switch s {
	case OnlyServer:
		return sqlite.Exclusive
	case ElectedServer:
		return sqlite.Shared
	case NoServer:
	}
	return sqlite.NoLock
}
