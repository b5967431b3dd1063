package issue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// lately is what counts for the order of a list.
const lately = 24 * time.Hour

// Trend returns how many stops there were in each of n equal parts of the time until now, the
// oldest first. Stops are kept by the hour: those of an hour that lies in several parts are
// taken for spread over it evenly, and what a clock ahead dates after now is counted in the
// last part. Their sum is that of the whole window.
func (i *Issue) Trend(now time.Time, window time.Duration, n int) []int64 {
	if n <= 0 {
		return nil
	}
	out := make([]int64, n)
	if window <= 0 {
		return out
	}
	end := now.Unix()
	begin := end - int64(window/time.Second)
	edge := func(k int64) int64 { return begin + (end-begin)*k/int64(n) }
	for _, h := range i.Hours {
		from, to := h.Hour*3600, min((h.Hour+1)*3600, end)
		if from >= end {
			out[n-1] += h.Count
			continue
		}
		if to <= begin {
			continue
		}
		// Of the hour's stops, those up to a time are a share; the parts are differences of these, so
		// that none is lost by rounding.
		upTo := func(t int64) int64 {
			t = min(max(t, from), to)
			return h.Count * (t - from) / (to - from)
		}
		for k := range int64(n) {
			out[k] += upTo(edge(k+1)) - upTo(edge(k))
		}
	}
	return out
}

// Compare orders issues as a person on call wants them: what is active before what is not,
// failures before disruptions, the most pressing state first, then what concerned the most pods
// and came most often in the last day, then the newest.
func Compare(now time.Time) func(a, b *Issue) int {
	states := States()
	since := now.Add(-lately)
	return func(a, b *Issue) int {
		as, bs := a.state(now), b.state(now)
		return cmp.Or(
			trueFirst(as.Active(), bs.Active()),
			cmp.Compare(a.Category.Rank(), b.Category.Rank()),
			cmp.Compare(slices.Index(states, as), slices.Index(states, bs)),
			-cmp.Compare(a.Pods.since(since), b.Pods.since(since)),
			-cmp.Compare(a.since(since), b.since(since)),
			b.last().Compare(a.last()),
			strings.Compare(a.ID, b.ID),
		)
	}
}

func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// since is how many stops there were in the hours from a time on.
func (i *Issue) since(t time.Time) int64 {
	var n int64
	for _, h := range i.Hours {
		if h.Hour > hourOf(t) {
			n += h.Count
		}
	}
	return n
}

// Fold takes out of issues those that are wholly a part of the incidents, of which Shown holds:
// each of their records is one of an incident, and so an incident's line tells of it.
func Fold(issues []Issue, incidents []Incident) []Issue {
	shown := make(map[string]bool, len(incidents))
	for j := range incidents {
		shown[incidents[j].ID] = incidents[j].Shown()
	}
	var out []Issue
	for j := range issues {
		i := &issues[j]
		var n int64
		for _, c := range i.Incidents.Values {
			if shown[c.Value] {
				n += c.Count
			}
		}
		if i.Count == 0 || n < i.Count {
			out = append(out, *i)
		}
	}
	return out
}
