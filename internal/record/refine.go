package record

import "time"

// aheadOfNode is how far a node's clock may be behind that of the API server before a time that it
// wrote is not believed.
const aheadOfNode = time.Hour

// When returns the time that orders a record among others: when the stop ended or the
// stall began, and where the runtime did not know that, when it was first seen. A container that
// ended long before its pod was created ended by a clock that is wrong.
func (r *Record) When() time.Time {
	switch {
	case r.Stop != nil && !r.ObservedAt.IsZero() && r.FinishedAt.Before(r.PodCreatedAt.Add(-aheadOfNode)):
	case r.Stop != nil && !r.FinishedAt.IsZero():
		return r.FinishedAt
	case r.Stall != nil && !r.Begin.IsZero():
		return r.Begin
	}
	return r.ObservedAt
}

// Refine returns what is kept when a newer version of a record arrives: the newer one,
// with what only the first sighting could know (when it came to light, whether before
// the watch, what was missed before it), and without losing what was collected beside
// it. A log is never replaced by none, nor one with lines by one without.
func Refine(old, newer Record) Record {
	r := newer.Clone()
	if !old.ObservedAt.IsZero() {
		r.ObservedAt = old.ObservedAt
	}
	if r.Workload == nil {
		r.Workload = clone(old.Workload)
	}
	if r.Node == "" {
		r.Node = old.Node
	}
	if r.PodCreatedAt.IsZero() {
		r.PodCreatedAt = old.PodCreatedAt
	}
	if r.GenerateName == "" {
		r.GenerateName = old.GenerateName
	}
	if r.Revision == "" {
		r.Revision = old.Revision
	}
	if r.Group == "" && (newer.Workload == nil || old.Workload == nil || *newer.Workload == *old.Workload) {
		r.Group = old.Group // else a rule made it of what the workload was taken for
	}
	if len(r.Changes) == 0 {
		r.Changes = old.Clone().Changes
	}
	if keepLog(old.Log, r.Log) {
		r.Log = old.Clone().Log
	}
	if old.Stop != nil && r.Stop != nil {
		o := old.Stop
		r.BeforeWatch = o.BeforeWatch
		if o.MissedBefore >= r.MissedBefore { // a count of missed ones is never taken back
			r.MissedBefore, r.MissedAfter, r.MissedUntil = o.MissedBefore, o.MissedAfter, o.MissedUntil
		}
		if r.ContainerID == "" {
			r.ContainerID = o.ContainerID
		}
	}
	if old.Stall != nil && r.Stall != nil && !old.Begin.IsZero() {
		r.Begin = old.Begin
	}
	return r
}

func keepLog(old, newer *Log) bool {
	switch {
	case old == nil:
		return false
	case newer == nil:
		return true
	}
	return len(old.Lines) > 0 && len(newer.Lines) == 0
}
