package record

import "time"

// SightDocument is what "coverage -o json" and the API's coverage give.
type SightDocument struct {
	Schema   string `json:"schema"`
	Coverage Sight  `json:"coverage"`
}

// Sight says of a stretch of time what was seen of a cluster, and above all what was not. Its
// fields have the names and meanings of those of Coverage.
type Sight struct {
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Summary is one sentence.
	Summary string `json:"summary"`
	// Whole tells that nothing was missed, refused, dropped or late: there are no gaps and no missed stops.
	Whole bool `json:"whole"`
	// Pods and Stops are what a single look saw.
	Pods  int `json:"pods,omitempty"`
	Stops int `json:"stops,omitempty"`
	// UnseenSeconds is how long something that is watched was not seen, whatever overlaps counted once.
	UnseenSeconds int64 `json:"unseenSeconds"`
	// Missed is how many stops are only counted; those that were over before the watch began are in
	// MissedBeforeWatch in its place.
	Missed            int `json:"missed"`
	MissedBeforeWatch int `json:"missedBeforeWatch,omitempty"`
	// Scopes are what is watched.
	Scopes []WatchedScope `json:"scopes,omitempty"`
	// Gaps are those of all kinds, the oldest first; MoreGaps is how many older ones are left out.
	Gaps     []Gap `json:"gaps,omitempty"`
	MoreGaps int   `json:"moreGaps,omitempty"`
	// MissedStops say where stops were missed, most of them first; MoreMissed is how many of the missed
	// stops are of containers that are left out.
	MissedStops []MissedStops `json:"missedStops,omitempty"`
	MoreMissed  int           `json:"moreMissed,omitempty"`
	// Denied is what the API server refuses or refused.
	Denied []Denial `json:"denied,omitempty"`
	// Consumers are who is told, and what they were not told yet.
	Consumers []Consumer `json:"consumers,omitempty"`
	// Missing names what could not be found out for this answer.
	Missing []Missing `json:"missing,omitempty"`
}

// WatchedScope is a part of a cluster that is or was watched.
type WatchedScope struct {
	Cluster string `json:"cluster,omitempty"`
	// Scope is a namespace, empty for all of them. Selector narrows its pods down.
	Scope    string `json:"scope"`
	Selector string `json:"selector,omitempty"`
	// Since is when the watch of it began for the first time, Seen when it was last known to be up to date.
	Since time.Time `json:"since,omitzero"`
	Seen  time.Time `json:"seen,omitzero"`
}

// MissedStops are stops of one container of a workload of which only the count is known.
type MissedStops struct {
	Cluster   string    `json:"cluster,omitempty"`
	Namespace string    `json:"namespace"`
	Workload  *Workload `json:"workload,omitempty"`
	// Pod is set where all are of one pod.
	Pod       string `json:"pod,omitempty"`
	Pods      int    `json:"pods"`
	Container string `json:"container"`
	Count     int    `json:"count"`
	// After and Until bound when they ended, where known.
	After time.Time `json:"after,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Why   string    `json:"why"`
	// BeforeWatch tells that they were over before the watch began.
	BeforeWatch bool `json:"beforeWatch,omitempty"`
}

// Denial is something that the API server refuses to whyrestart.
type Denial struct {
	Cluster  string `json:"cluster,omitempty"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	// Namespace is empty for all of them, and for what is in none.
	Namespace string    `json:"namespace,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	// Until is zero while it is refused, as far as is known.
	Until time.Time `json:"until,omitzero"`
	// Refused is how often.
	Refused int64 `json:"refused"`
	// Means says what is not known because of it.
	Means string `json:"means"`
}

// Consumer is somebody who is told of records.
type Consumer struct {
	Cluster string `json:"cluster,omitempty"`
	Name    string `json:"name"`
	// Waiting is how many changes were not told yet, Oldest when the first of them was stored.
	Waiting int64     `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"`
	// Dropped is how many were not and will not be told.
	Dropped int64 `json:"dropped"`
}

// Overlaps tells whether a gap and a stretch of time have something in common. Zero bounds are
// open, of both.
func (g *Gap) Overlaps(from, to time.Time) bool {
	return (g.To.IsZero() || from.IsZero() || g.To.After(from)) && (g.From.IsZero() || to.IsZero() || g.From.Before(to))
}
