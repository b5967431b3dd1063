package sqlstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// A Seen is a stored observation: what a field was from At on, and roughly when that was seen last.
type Seen struct {
	At, Seen int64
	Value    string
}

// An Observing is what is to be stored of an observation.
type Observing int

// What is to be stored of an observation.
const (
	// AsItWas is nothing.
	AsItWas Observing = iota
	// Differs is the observation itself.
	Differs
	// SeenAgain is when the last one was seen.
	SeenAgain
)

// seenEvery is how often it is noted that something is as it was: retention takes what was
// not seen for long.
const seenEvery = int64(6 * time.Hour)

// Observe tells what is to be stored of a value seen at a time, where last is the last observation
// at or before it, nil for none.
func Observe(last *Seen, value string, at int64) Observing {
	switch {
	case last == nil || last.Value != value:
		return Differs
	case at-last.Seen >= seenEvery:
		return SeenAgain
	}
	return AsItWas
}

// MaxObservations is how many observations are kept whatever their age.
const MaxObservations = 50_000

// Observed collects the observations of an object, which come by field and time.
type Observed []record.Observation

// Add adds one. What it was at a time is the last one before, of which only the newest stays.
func (o *Observed) Add(next record.Observation, since time.Time) {
	list := *o
	if n := len(list); n > 0 && list[n-1].Field == next.Field && !next.Time.After(since) {
		list = list[:n-1]
	}
	*o = append(list, next)
}

// Sorted returns them in the order of time.
func (o *Observed) Sorted() []record.Observation {
	list := []record.Observation(*o)
	slices.SortStableFunc(list, func(a, b record.Observation) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Field, b.Field))
	})
	return list
}
