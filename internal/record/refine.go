package record

// Refine returns what is to be kept of a record of which a newer version arrived: the
// newer one, with what only the first sighting could know, and without losing what
// was collected beside it.
func Refine(old, newer Record) Record {
	r := newer.Clone()
	if !old.ObservedAt.IsZero() {
		r.ObservedAt = old.ObservedAt
	}
	if r.Workload == nil {
		r.Workload = old.Workload
	}
	if r.Node == "" {
		r.Node = old.Node
	}
	if old.Log != nil && (r.Log == nil || len(r.Log.Lines) == 0) {
		r.Log = old.Log
	}
	if old.Stop != nil && r.Stop != nil {
		o := old.Stop
		r.BeforeWatch, r.MissedBefore = o.BeforeWatch, o.MissedBefore
		r.MissedAfter, r.MissedUntil = o.MissedAfter, o.MissedUntil
		if r.ContainerID == "" {
			r.ContainerID = o.ContainerID
		}
	}
	if old.Stall != nil && r.Stall != nil && !old.Begin.IsZero() {
		r.Begin = old.Begin
	}
	return r
}
