package store

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// When returns the time that orders a record in the history: when the stop ended or
// the stall began, and where the runtime did not know that, when it was first seen.
func When(r record.Record) time.Time {
	switch {
	case r.Stop != nil && !r.FinishedAt.IsZero():
		return r.FinishedAt
	case r.Stall != nil && !r.Begin.IsZero():
		return r.Begin
	}
	return r.ObservedAt
}

// Refine returns what a store keeps when next arrives and stored has the same ID:
// next, with these exceptions. A log is never replaced by none, nor one with lines by
// one without. The ObservedAt and BeforeWatch of the first sighting are kept, because
// a later sighting, perhaps by another process, knows more about the stop but less
// about when it came to light.
func Refine(stored, next record.Record) record.Record {
	next = next.Clone()
	if !stored.ObservedAt.IsZero() {
		next.ObservedAt = stored.ObservedAt
	}
	if stored.Stop != nil && next.Stop != nil {
		next.BeforeWatch = stored.BeforeWatch
	}
	if keepLog(stored.Log, next.Log) {
		next.Log = stored.Log
	}
	return next
}

func keepLog(stored, next *record.Log) bool {
	switch {
	case stored == nil:
		return false
	case next == nil:
		return true
	}
	return len(stored.Lines) > 0 && len(next.Lines) == 0
}
