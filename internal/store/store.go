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

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: there is no such record or log.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: the prefix fits more than one record.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrCursor: the cursor did not come from an earlier List.
	ErrCursor = errors.New("invalid cursor")
	// ErrUnavailable: the store cannot be written at the moment (a full or failing disk);
	// the same call may succeed later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFenced: another process has claimed what this one writes. Nothing of the call was
	// stored, and no later call of the same term will be.
	ErrFenced = errors.New("another process has taken over")
)

// Store is the history of one or more clusters. Its methods may be called by several
// goroutines at once. An error names the store and what was attempted.
type Store interface {
	Writer
	Reader
	Close() error
}

// Writer is the part of a Store that the pipeline writes to.
type Writer interface {
	// Append stores the batch in one transaction: the records, the marks, the gaps, the
	// scopes, and a change for each record that is new or differs from what was stored. Each record
	// is counted in its issue, by issue.Post, in the same transaction. A
	// record whose ID is stored already replaces it in the way of record.Refine. Where one ID comes
	// twice in a batch, the later one refines the earlier. After an error nothing of the batch
	// is stored, or all of it where the context ended or the connection broke at the very
	// end; to append it again is right in both cases.
	Append(ctx context.Context, b Batch) error
	// Amend applies an action to an issue, and returns it as it is then; ErrNotFound where there
	// is none. The records of the issue get no change by it.
	Amend(ctx context.Context, id string, a issue.Action) (issue.Issue, error)
	// Prune applies the retention, and returns how many records it removed. The log, the
	// evidence and the changes of a record go with it, whether or not somebody still waits for them; marks are
	// kept whatever their age. Writers get their turn between its steps: it is not one
	// transaction, and what it removed before it failed stays removed and is counted.
	Prune(ctx context.Context, r Retention) (int, error)
	// Acknowledge stores that a consumer has seen every change of its outbox up to and including
	// seq. It never goes back, nor beyond the newest change. The first call makes the consumer
	// known; Acknowledge(outbox, 0) does only that. Changes that every consumer that is known in
	// their cluster has acknowledged may be forgotten by the next Prune. A consumer is the same
	// in whatever number of shards its outbox is read: each namespace has its own place in it.
	Acknowledge(ctx context.Context, o Outbox, seq int64) error
	// Claim begins a new term of who writes the history of a shard of a cluster, and returns its
	// number: higher than that of any earlier claim to any namespace of it. From then on, batches of
	// an earlier term are refused with ErrFenced. It reads and changes nothing else.
	Claim(ctx context.Context, cluster string, s shard.Shard) (term int64, err error)
}

// Reader is the part of a Store that commands and the API read from.
type Reader interface {
	// Marks calls yield for every mark of a cluster, once and in no order, until yield returns
	// false. yield may call the store; whether marks that are written meanwhile come as they
	// were, as they are or not at all is open.
	Marks(ctx context.Context, cluster string, yield func(record.Mark) bool) error
	// Scope returns the coverage of a scope; the zero Scope where it was never watched.
	Scope(ctx context.Context, cluster, scope string) (Scope, error)
	// List returns records that match, newest first by Record.When and, among those of one time, the
	// one stored first last; and the cursor of the next page, empty after the last one. A
	// record that is appended between two pages does not move the others. It leaves Log nil.
	// Records come with their Issue here, in Get and in Changes.
	List(ctx context.Context, q Query) (records []record.Record, next string, err error)
	// Get returns one record by its ID, with its log, or ErrNotFound. An unambiguous prefix
	// of at least MinPrefix characters of an ID is enough; ErrAmbiguous where it fits several.
	Get(ctx context.Context, id string) (record.Record, error)
	// Evidence returns what the record with this ID, which must be whole, was diagnosed from,
	// or ErrNotFound where nothing was kept of it.
	Evidence(ctx context.Context, id string) (evidence.Evidence, error)
	// Issues returns the issues that match, the one seen last first, and the cursor of the next
	// page, empty after the last one. Their State is left to the caller, who knows the time.
	Issues(ctx context.Context, q IssueQuery) (issues []issue.Issue, next string, err error)
	// Issue returns one issue by its ID, or that of one which it absorbed, or ErrNotFound. Upper
	// and lower case are the same, and "WR-" may be left out.
	Issue(ctx context.Context, id string) (issue.Issue, error)
	// Incidents returns the incidents that match and have enough members (issue.Incident.Shown), the one
	// seen last first.
	Incidents(ctx context.Context, q IncidentQuery) ([]issue.Incident, error)
	// Incident returns one incident by its ID, or ErrNotFound.
	Incident(ctx context.Context, id string) (issue.Incident, error)
	// Observations returns what an object of a cluster was seen to be, oldest first: of each
	// field, what it was at a time and everything since then.
	Observations(ctx context.Context, cluster, object string, since time.Time) ([]record.Observation, error)
	// Gaps returns the gaps of a cluster that overlap [from, to), oldest first; zero bounds
	// are open, of the question as well as of a gap.
	Gaps(ctx context.Context, cluster string, from, to time.Time) ([]record.Gap, error)
	// Clusters returns the clusters that anything is kept of, sorted.
	Clusters(ctx context.Context) ([]string, error)
	// Scopes returns the coverage of every scope of a cluster that was ever watched, by name.
	Scopes(ctx context.Context, cluster string) (map[string]Scope, error)
	// Backlogs returns what waits for each consumer that is known in a cluster, by its name, also where
	// nothing does.
	Backlogs(ctx context.Context, cluster string) ([]Backlog, error)
	// Changes returns up to limit changes that a consumer has not acknowledged, oldest first;
	// limit 0 means DefaultLimit. A record that changed several times appears once, as it is
	// now, with its log. A consumer that never acknowledged anything gets all that is kept.
	Changes(ctx context.Context, o Outbox, limit int) ([]Change, error)
	// Stats returns totals, and the size of the store in bytes.
	Stats(ctx context.Context) (Stats, error)
}

const (
	// MinPrefix is how much of an ID names a record.
	MinPrefix = 6
	// DefaultLimit is the size of a page for which none was asked.
	DefaultLimit = 500
)

// Batch is what one transaction stores.
type Batch struct {
	// Term, if it is not 0, is that in which Shard of Cluster was claimed: where a later claim was
	// made to any namespace of it, Append returns ErrFenced.
	Term  int64
	Shard shard.Shard
	// Records have an ID each, and name their cluster themselves.
	Records []record.Record
	// Evidence is what records of this batch were diagnosed from, by their ID. It replaces what
	// was stored of the same ID.
	Evidence map[string]evidence.Evidence
	// Observed is added where it differs from what was observed last of the same field.
	Observed []record.Observation
	// Cluster is what everything below belongs to, and what was observed.
	Cluster string
	// Marks replace those of the same container.
	Marks []record.Mark
	// Forget removes the marks of pods that are gone, by UID, also those that Marks has.
	Forget []string
	// Gaps are added. One with the Kind, From, Scope and Why of a stored gap moves its To, which
	// never becomes zero again, and its Count, which never falls.
	Gaps []record.Gap
	// Scopes replaces the coverage of scopes, by name.
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
	// Before removes records whose time (see When) is before this, all but stalls that last, and gaps
	// that ended before it. Their issues go on counting them. What was seen last before it as a whole
	// goes too: incidents, and issues that nobody muted or archived.
	Before time.Time
	// Slack is for how much longer than that they may be kept, where it spares the store work: a store
	// that is partitioned by time then removes whole partitions, and no rows.
	Slack time.Duration
	// PerIssue removes the oldest records of each issue, all but stalls that last, until it has at
	// most this many.
	PerIssue int
	// MaxBytes removes the oldest records until Stats.Bytes is at most this large, or none are left.
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
	// Issue and Incident select the records of one, by its ID.
	Issue    string
	Incident string
	// Open selects stalls that have no end, Missed stops before which others were missed.
	Open   bool
	Missed bool
	// Since and Until select records whose time (see When) is in [Since, Until).
	Since time.Time
	Until time.Time
	// Cursor continues where an earlier List ended.
	Cursor string
	// Limit is the page size; 0 means DefaultLimit.
	Limit int
}

// IssueQuery selects issues. Zero fields select everything.
type IssueQuery struct {
	Cluster    string
	Namespaces []string
	Workload   *record.Workload
	Container  string
	// Node selects those that were seen on a node, as far as their tally remembers.
	Node       string
	Kind       record.Kind
	Categories []record.Category
	Causes     []string
	Statuses   []issue.Status
	// Since selects what was seen at or after a time, or has a stall that lasts.
	Since time.Time
	// Cursor continues where an earlier Issues ended; Limit is the page size, 0 for DefaultLimit.
	Cursor string
	Limit  int
}

// IncidentQuery selects incidents. Zero fields select everything.
type IncidentQuery struct {
	Cluster string
	Kind    string
	Subject string
	// Node selects those of a node, and those that were seen on it.
	Node  string
	Since time.Time
	Limit int
}

// Outbox names a consumer of changes, and those that it is told of.
type Outbox struct {
	Cluster string
	Shard   shard.Shard
	// Consumer is who is told, such as "stdout".
	Consumer string
}

// Change is one entry of the outbox. Seq grows in the order in which the changes of a cluster
// were stored.
type Change struct {
	Seq    int64
	Record record.Record
}

// Backlog is what waits for one consumer, over all shards of a cluster.
type Backlog struct {
	Consumer string
	// Changes is how many of them it has not acknowledged, Oldest when the first of these was
	// stored, by the store's clock: zero where none waits, and where an earlier version stored it.
	Changes int64
	Oldest  time.Time
}

// Stats describes a store.
type Stats struct {
	// Stops and Stalls are the records that are kept.
	Stops  int64
	Stalls int64
	Issues int64
	// Ungrouped are those of them that an earlier version stored and that are not counted in
	// their issues yet: until there are none, issues are incomplete.
	Ungrouped int64
	// Unlooked are those of them that an earlier version stored and of which it is not known yet
	// whether Query.Missed selects them: until there are none, it may leave some out.
	Unlooked int64
	// Missed is how many stops are only counted, summed over every record that was ever
	// stored: retention does not lower it.
	Missed int64
	// Pruned is how many records retention has removed.
	Pruned int64
	Marks  int64
	// Bytes is the size of the content: what Retention.MaxBytes bounds. The files can be
	// larger for a while.
	Bytes int64
	// Oldest and Newest are the times (see When) of the first and last record.
	Oldest   time.Time
	Newest   time.Time
	Location string
}
