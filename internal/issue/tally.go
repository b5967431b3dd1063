package issue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Bounds of the tallies: what a hostile tenant can make of one issue.
const (
	maxPods      = 100
	maxNodes     = 50
	maxImages    = 20
	maxRevisions = 20
	maxCodes     = 20
	maxIncidents = 20
	maxMembers   = 200 // issues, workloads and pods of an incident
	maxHours     = 14 * 24
)

// Add counts a value n times more, or less where n is negative. The one seen longest ago is
// dropped where there are more than bound. A value that was dropped is not there to be taken
// from: that changes nothing, and More goes on to say that the tally is not all.
func (t *Tally) Add(value string, at time.Time, n int64, bound int) {
	if value == "" || n == 0 {
		return
	}
	value = cut(value, maxName)
	i := slices.IndexFunc(t.Values, func(c Count) bool { return c.Value == value })
	if i < 0 {
		if n < 0 {
			return
		}
		t.Values = append(t.Values, Count{Value: value, First: at, Last: at})
		i = len(t.Values) - 1
	}
	c := &t.Values[i]
	if c.Count += n; c.Count <= 0 {
		if t.Values = slices.Delete(t.Values, i, i+1); len(t.Values) == 0 {
			t.Values = nil
		}
		return
	}
	if n > 0 {
		c.span(at, at)
		t.up(i)
		t.bound(bound)
	}
}

// span widens the times of a count.
func (c *Count) span(first, last time.Time) {
	if c.First.IsZero() || !first.IsZero() && first.Before(c.First) {
		c.First = first
	}
	if last.After(c.Last) {
		c.Last = last
	}
}

// up moves a value to its place: the newest first.
func (t *Tally) up(i int) {
	j := 0
	for j < i && newest(t.Values[j], t.Values[i]) < 0 {
		j++
	}
	c := t.Values[i]
	copy(t.Values[j+1:i+1], t.Values[j:i])
	t.Values[j] = c
}

func (t *Tally) bound(n int) {
	if len(t.Values) > n {
		t.Values, t.More = t.Values[:n], true
	}
}

func newest(a, b Count) int { return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Value, b.Value)) }

// merge adds what another tally has.
func (t *Tally) merge(o Tally, bound int) {
	for _, c := range o.Values {
		if i := slices.IndexFunc(t.Values, func(h Count) bool { return h.Value == c.Value }); i >= 0 {
			t.Values[i].Count += c.Count
			t.Values[i].span(c.First, c.Last)
		} else {
			t.Values = append(t.Values, c)
		}
	}
	slices.SortFunc(t.Values, newest)
	t.More = t.More || o.More
	t.bound(bound)
}

// rename counts under another value what was counted under one.
func (t *Tally) rename(from, to string, bound int) {
	i := slices.IndexFunc(t.Values, func(c Count) bool { return c.Value == from })
	if i < 0 {
		return
	}
	c := t.Values[i]
	t.Values = slices.Delete(t.Values, i, i+1)
	c.Value = to
	t.merge(Tally{Values: []Count{c}}, bound)
}

// of returns how often a value was counted.
func (t *Tally) of(value string) int64 {
	value = cut(value, maxName)
	for i := range t.Values {
		if t.Values[i].Value == value {
			return t.Values[i].Count
		}
	}
	return 0
}

// unseen tells that a value was not seen before a time.
func (t *Tally) unseen(value string, at time.Time) bool {
	value = cut(value, maxName)
	for i := range t.Values {
		if t.Values[i].Value == value {
			return !t.Values[i].First.Before(at)
		}
	}
	return true
}

// since returns how many values were seen at or after a time.
func (t *Tally) since(at time.Time) int {
	n := 0
	for i := range t.Values {
		if !t.Values[i].Last.Before(at) {
			n++
		}
	}
	return n
}

func (t Tally) clone() Tally {
	t.Values = slices.Clone(t.Values)
	return t
}

// addHour counts stops of an hour, and forgets what is two weeks older than the newest.
func addHour(hours []Hour, hour, n int64) []Hour {
	if hour < 0 || n == 0 || len(hours) > 0 && hour <= hours[len(hours)-1].Hour-maxHours {
		return hours
	}
	i, found := slices.BinarySearchFunc(hours, hour, func(h Hour, hour int64) int { return cmp.Compare(h.Hour, hour) })
	if !found {
		if n < 0 {
			return hours
		}
		hours = slices.Insert(hours, i, Hour{Hour: hour})
	}
	if hours[i].Count += n; hours[i].Count <= 0 {
		if hours = slices.Delete(hours, i, i+1); len(hours) == 0 {
			return nil
		}
		return hours
	}
	old := 0
	for hours[old].Hour <= hours[len(hours)-1].Hour-maxHours {
		old++
	}
	return slices.Delete(hours, 0, old)
}

// add counts a duration n times, where n is 1 or -1. The extremes stay when it is taken back.
func (s *Spread) add(seconds, n int64) {
	if n > 0 && (s.Count == 0 || seconds < s.Min) {
		s.Min = seconds
	}
	s.Max = max(s.Max, seconds)
	s.Count += n
	s.Sum += n * seconds
	if s.Count <= 0 {
		*s = Spread{}
	}
}

func (s *Spread) merge(o Spread) {
	switch {
	case o.Count == 0:
	case s.Count == 0:
		*s = o
	default:
		*s = Spread{Count: s.Count + o.Count, Min: min(s.Min, o.Min), Max: max(s.Max, o.Max), Sum: s.Sum + o.Sum}
	}
}
