// Package store declares the durable history of stops: what is appended, what is
// asked of it, and what an implementation promises.
//
// An implementation passes the suite in storetest. The promises that matter most:
// Append is atomic and idempotent, what it returned without error survives a crash
// of the process and of the machine, and a record that was appended is handed to
// every reader of Changes at least once.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: there is no such record or log.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the store cannot be written at the moment (a full or failing disk);
	// the same call may succeed later.
	ErrUnavailable = errors.New("store unavailable")
)

// Store is the history of one or more clusters.
type Store interface {
	Writer
	Reader
	Close() error
}

// Writer is the part of a Store that the pipeline writes to.
type Writer interface {
	// Append stores the batch in one transaction: the records, the marks, the gaps, and a
	// change for each record that is new or differs from what was stored. A record whose ID
	// is stored already replaces it, with two exceptions: a log is never replaced by none,
	// and a stop keeps the ObservedAt and BeforeWatch of its first sighting.
	Append(ctx context.Context, b Batch) error
	// Prune applies the retention, and returns how many records it removed. Marks of pods
	// that still exist are kept whatever their age.
	Prune(ctx context.Context, r Retention) (int, error)
	// Acknowledge stores that the named consumer has seen every change up to and including seq.
	Acknowledge(ctx context.Context, consumer string, seq int64) error
}

// Reader is the part of a Store that commands and the API read from.
type Reader interface {
	// Marks calls yield for every mark of a cluster, in no order, until yield returns false.
	Marks(ctx context.Context, cluster string, yield func(record.Mark) bool) error
	// Scope returns the coverage of a scope; the zero Scope where it was never watched.
	Scope(ctx context.Context, cluster, scope string) (Scope, error)
	// List returns records that match, newest first (by the time of the stop), and the
	// cursor of the next page, empty after the last one. It leaves Log nil.
	List(ctx context.Context, q Query) (records []record.Record, next string, err error)
	// Get returns one record by its ID, with its log, or ErrNotFound. An unambiguous prefix
	// of at least 6 characters of an ID is enough.
	Get(ctx context.Context, id string) (record.Record, error)
	// Gaps returns the gaps that overlap [from, to); zero bounds are open.
	Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error)
	// Changes returns up to limit changes that the consumer has not acknowledged, oldest first.
	// A record that changed several times appears once, as it is now.
	Changes(ctx context.Context, consumer string, limit int) ([]Change, error)
	// Stats returns totals, and the size of the store in bytes.
	Stats(ctx context.Context) (Stats, error)
}

// Batch is what one transaction stores.
type Batch struct {
	Records []record.Record
	// Marks are upserted for the named cluster.
	Cluster string
	Marks   []record.Mark
	// Forget removes the marks of pods that are gone, by UID.
	Forget []string
	Gaps   []record.Gap
	// Scopes updates the coverage of scopes, by name.
	Scopes map[string]Scope
}

// Scope is the coverage of a part of a cluster, such as one namespace or a label selector.
type Scope struct {
	// Since is when the scope was watched for the first time.
	Since time.Time
	// Seen is when the watch was last known to be up to date.
	Seen time.Time
	// ResourceVersion is the newest that the watch of this scope had seen.
	ResourceVersion string
}

// Retention bounds the history. Zero values mean no bound.
type Retention struct {
	// Before removes records whose stop is older than this.
	Before time.Time
	// MaxBytes removes the oldest records until the store's content is at most this large.
	MaxBytes int64
}

// Query selects records. Zero fields select everything.
type Query struct {
	Cluster    string
	Namespaces []string
	Pod        string
	PodUID     string
	Container  string
	Workload   *record.Workload
	Node       string
	Kind       record.Kind
	Categories []record.Category
	Causes     []string
	Since      time.Time
	Until      time.Time
	// Cursor continues where an earlier List ended.
	Cursor string
	// Limit is the page size; 0 means 500.
	Limit int
}

// Change is one entry of the outbox.
type Change struct {
	Seq    int64
	Record record.Record
}

// Stats describes a store.
type Stats struct {
	Stops    int64
	Missed   int64
	Stalls   int64
	Marks    int64
	Bytes    int64
	Oldest   time.Time
	Newest   time.Time
	Location string
}
