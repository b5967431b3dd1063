// Package issue groups stops and stalls into issues, and issues that share one reason
// into incidents.
//
// An issue is what has one fingerprint: a container of a workload that ends, or cannot
// go on, for one cause. Its counts are exact: a record that is stored again, refined or
// given another cause is counted once, where it belongs. The package decides what belongs
// where and in which state an issue is; it does no I/O and has no clock. Who keeps
// issues hands it a Tx, so that one logic serves every store and the memory alike.
package issue

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// State is where an issue stands.
type State string

// The states of issues.
const (
	// New: seen for the first time within the last day.
	New State = "new"
	// Ongoing: known, and going on as before.
	Ongoing State = "ongoing"
	// Escalating: much more often than it used to be.
	Escalating State = "escalating"
	// Regressed: it was resolved, and came back within the last day.
	Regressed State = "regressed"
	// Resolved: a person said so, or it has been silent, its image was replaced, or its workload is gone.
	Resolved State = "resolved"
	// Muted: a person does not want to hear of it.
	Muted State = "muted"
	// Archived: a person does not want to hear of it until it escalates.
	Archived State = "archived"
)

// States are all states, the most pressing first.
func States() []State {
	return []State{Escalating, Regressed, New, Ongoing, Archived, Muted, Resolved}
}

// Active tells that somebody should look at it.
func (s State) Active() bool {
	switch s {
	case Escalating, Regressed, New, Ongoing:
		return true
	case Resolved, Muted, Archived:
	}
	return false
}

// Status is what was decided of an issue; its State follows from that and from the time.
type Status string

// The statuses of issues.
const (
	Open           Status = "open"
	StatusResolved Status = "resolved"
	StatusMuted    Status = "muted"
	StatusArchived Status = "archived"
)

// Resolution says why an issue is resolved.
type Resolution string

// The resolutions of issues.
const (
	// ByPerson: somebody said so.
	ByPerson Resolution = "person"
	// BySilence: it has not been seen for long, by the rhythm that it had.
	BySilence Resolution = "silence"
	// ByImage: all pods run another image, and have for a while.
	ByImage Resolution = "image"
	// ByDeletion: the workload is gone.
	ByDeletion Resolution = "deletion"
)

// Issue is a group of stops or stalls with one fingerprint. Its JSON is of the public
// schema "whyrestart/v1".
type Issue struct {
	// ID is "WR-" and the beginning of the fingerprint, as long as it takes to be the only one.
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	Key

	Category record.Category `json:"category"`
	// Detail, Confidence and Summary are those of the newest record, of those that are known best.
	Detail     string            `json:"detail,omitempty"`
	Confidence record.Confidence `json:"confidence,omitempty"`
	Summary    string            `json:"summary,omitempty"`

	// Best is the ID of that record, BestAt its time.
	Best   string    `json:"best,omitempty"`
	BestAt time.Time `json:"bestAt,omitzero"`
	// First and Last are the times (record.When) of the first and the newest record.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Seen is Last, or when that was observed where the clock of a node was ahead.
	Seen time.Time `json:"seen,omitzero"`
	// Count is the number of records, Missed that of stops that they count as missed, Open that of
	// stalls that last.
	Count  int64 `json:"count"`
	Missed int64 `json:"missed,omitempty"`
	Open   int64 `json:"open,omitempty"`
	// Pods, Nodes, Images and ImageIDs are where it was seen.
	Pods     Tally `json:"pods,omitzero"`
	Nodes    Tally `json:"nodes,omitzero"`
	Images   Tally `json:"images,omitzero"`
	ImageIDs Tally `json:"imageIDs,omitzero"`
	// Revisions are those of the workload's template (record.Revision).
	Revisions Tally `json:"revisions,omitzero"`
	// ExitCodes are those of its stops, where they have one.
	ExitCodes Tally `json:"exitCodes,omitzero"`
	// Known is how many of Count have the issue's cause by themselves. The others joined it: their
	// own cause is not known, and they are like these (see Post).
	Known int64 `json:"known"`
	// Ended is when the newest stall of it that ended did so.
	Ended time.Time `json:"ended,omitzero"`
	// Began is the ID of the record that began it or brought it back: Changes are those of that.
	Began string `json:"began,omitempty"`
	// Incidents are those that records of it are a part of, with how many of them.
	Incidents Tally `json:"incidents,omitzero"`
	// Hours counts stops by the hour, the oldest first, of the last two weeks.
	Hours []Hour `json:"hours,omitempty"`
	// Ran sums up how long the instances ran.
	Ran Spread `json:"ran,omitzero"`
	// Newest and Oldest are IDs of records: of the newest, and of the first.
	Newest string `json:"newest,omitempty"`
	Oldest string `json:"oldest,omitempty"`
	// Changes are what was changed before it began, or before it came back, the newest first.
	Changes []record.Change `json:"changes,omitempty"`

	// Status is what was decided, when, by whom and why.
	Status Status    `json:"status,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	By     string    `json:"by,omitempty"`
	Note   string    `json:"note,omitempty"`
	// Resolution says why it is resolved; Image and ImageID are what the container ran then, of
	// which alone, or of a newer one, it can regress.
	Resolution Resolution `json:"resolution,omitempty"`
	Image      string     `json:"image,omitempty"`
	ImageID    string     `json:"imageID,omitempty"`
	// Prior is what held before the issue came back by itself, so that it can hold again if the records
	// that brought it back turn out to be something else.
	Prior *Prior `json:"prior,omitempty"`
	// RegressedAt and EscalatedAt are when it last was.
	RegressedAt time.Time `json:"regressedAt,omitzero"`
	EscalatedAt time.Time `json:"escalatedAt,omitzero"`

	// State is that at the time of the reading: filled in by who reads, see Issue.At.
	State State `json:"state,omitempty"`
}

// Key is what the records of an issue have in common.
type Key struct {
	// Version is that of the rules by which fingerprints are made.
	Version   int             `json:"version"`
	Cluster   string          `json:"cluster,omitempty"`
	Namespace string          `json:"namespace"`
	Workload  record.Workload `json:"workload"`
	// Group replaces the workload in the fingerprint, where a merge rule says so.
	Group     string      `json:"group,omitempty"`
	Container string      `json:"container,omitempty"`
	Kind      record.Kind `json:"kind"`
	Cause     string      `json:"cause"`
	// ExitCode and Signature are those of an app_exit.
	ExitCode  *int32 `json:"exitCode,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// Prior is a decision that the issue overturned by coming back.
type Prior struct {
	Status     Status     `json:"status,omitempty"`
	Since      time.Time  `json:"since,omitzero"`
	By         string     `json:"by,omitempty"`
	Note       string     `json:"note,omitempty"`
	Resolution Resolution `json:"resolution,omitempty"`
	Image      string     `json:"image,omitempty"`
	ImageID    string     `json:"imageID,omitempty"`
	// Quiet is up to when the issue was quiet: it holds again if nothing later is left.
	Quiet       time.Time       `json:"quiet,omitzero"`
	RegressedAt time.Time       `json:"regressedAt,omitzero"`
	Began       string          `json:"began,omitempty"`
	Changes     []record.Change `json:"changes,omitempty"`
}

// Tally counts values: the newest ones, up to a bound.
type Tally struct {
	Values []Count `json:"values,omitempty"`
	// More tells that there were others, which are not kept.
	More bool `json:"more,omitempty"`
}

// Count is a value, how often it was seen, and when.
type Count struct {
	Value string    `json:"value"`
	Count int64     `json:"count"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Hour counts stops or stalls of an hour: those seen and those only counted.
type Hour struct {
	// Hour is Unix time in hours.
	Hour  int64 `json:"hour"`
	Count int64 `json:"count"`
}

// Spread sums up durations in seconds.
type Spread struct {
	Count int64 `json:"count"`
	Min   int64 `json:"min"`
	Max   int64 `json:"max"`
	Sum   int64 `json:"sum"`
}

// Incident is what many stops have in common that are not one issue: a node and a moment,
// an image, or something that cannot be reached.
type Incident struct {
	// ID is "WI-" and the beginning of a hash.
	ID      string `json:"id"`
	Cluster string `json:"cluster,omitempty"`
	// Kind is node, image or dependency; Subject the node's name, the image, or what is refused.
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	// Summary is one sentence.
	Summary string `json:"summary,omitempty"`

	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Count and Missed are as in Issue.
	Count  int64 `json:"count"`
	Missed int64 `json:"missed,omitempty"`
	// Newest and Oldest are IDs of records: of the newest, and of the first.
	Newest string `json:"newest,omitempty"`
	Oldest string `json:"oldest,omitempty"`
	// Stalls is how many of Count are stalls.
	Stalls int64 `json:"stalls,omitempty"`
	// Issues are its members by ID; Workloads ("shop/deploy/checkout"), Pods ("shop/checkout-7d9-x2kpl"),
	// Causes ("oom_killed", or with the detail, "oom_killed/node"), Nodes and Categories where it was seen.
	Issues     Tally `json:"issues,omitzero"`
	Workloads  Tally `json:"workloads,omitzero"`
	Pods       Tally `json:"pods,omitzero"`
	Causes     Tally `json:"causes,omitzero"`
	Nodes      Tally `json:"nodes,omitzero"`
	Categories Tally `json:"categories,omitzero"`
}

// The kinds of incidents.
const (
	OnNode       = "node"
	OfImage      = "image"
	OnDependency = "dependency"
)

// Action is what a person, or the program itself, decides of an issue.
type Action struct {
	// Status is what the issue becomes.
	Status Status
	At     time.Time
	// Until ends a mute; zero for ever.
	Until time.Time
	By    string
	Note  string
	// Count is how many records the issue had when it was decided; where it is not zero and the
	// issue has another number by now, nothing is done: ErrChanged.
	Count int64
	// Resolution, Image and ImageID go with StatusResolved.
	Resolution Resolution
	Image      string
	ImageID    string
}

// Tx is what Post needs of the store that it is called in the transaction of. What it
// returns may be written to; Put stores it.
type Tx interface {
	// ByFingerprint and ByID return nil where there is none. ByID also knows the IDs of issues that
	// were absorbed, and not come back since.
	ByFingerprint(fingerprint string) (*Issue, error)
	ByID(id string) (*Issue, error)
	// ByKin returns the issues that have a kin now (see Issue.Kin), in any order.
	ByKin(kin string) ([]*Issue, error)
	// Put stores an issue. A new one can have the ID of one that was absorbed, which is its own again.
	Put(*Issue) error
	// Delete forgets an issue that has no records any more, and the IDs that it absorbed.
	Delete(id string) error
	// Absorb gives the records of one issue to another, which was Put before, and deletes the one;
	// its ID belongs to the other from then on.
	Absorb(from, into *Issue) error
	// Span returns the times (record.When) and IDs of the first and the last record of an issue
	// that are stored, leaving out the one that is being posted; zero where there are none. Of
	// records of one time, their IDs decide.
	Span(id, without string) (first, last Point, err error)

	// Incident returns an incident by its ID, nil where there is none; Around the newest of a kind
	// and subject whose Last is at or after a time.
	Incident(id string) (*Incident, error)
	Around(cluster, kind, subject string, since time.Time) (*Incident, error)
	PutIncident(*Incident) error
	DeleteIncident(id string) error
	SpanOfIncident(id, without string) (first, last Point, err error)
}

// Point is a record's place in time.
type Point struct {
	ID   string
	Time time.Time
}

// Place is where a record belongs.
type Place struct {
	// Issue and Incident are IDs; empty where there is none.
	Issue    string
	Incident string
}
