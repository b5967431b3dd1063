package app

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Matters returns what somebody has to look at now: the last stop of every container that
// stopped after a time or is not well since, and every stall that goes on.
func Matters(found []pipeline.Finding, after time.Time) []pipeline.Finding {
	var out []pipeline.Finding
	for _, f := range Newest(found) {
		r := &f.Record
		switch {
		case r.Stall != nil && !r.End.IsZero():
			continue
		case r.Stop != nil && r.When().Before(after) && well(&f.Evidence.Container):
			continue
		}
		out = append(out, f)
	}
	return out
}

// well tells that a container is as it should be, as far as its status says.
func well(c *evidence.Container) bool {
	switch c.State {
	case "running":
		return c.Ready || c.Type == record.Init || c.Type == record.Ephemeral
	case "terminated":
		return c.Ended != nil && c.Ended.ExitCode == 0
	}
	return false
}

// AsOf is when findings were made: now, or for a recorded state the newest time that is
// in it.
func AsOf(found []pipeline.Finding, recorded bool) time.Time {
	if !recorded {
		return time.Now()
	}
	var t time.Time
	for i := range found {
		f := &found[i]
		for _, at := range []time.Time{f.Evidence.AsOf, f.Record.When(), f.Record.ObservedAt} {
			if at.After(t) {
				t = at
			}
		}
	}
	return t
}
