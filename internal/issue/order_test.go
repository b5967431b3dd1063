package issue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

func hours(pairs ...int64) []issue.Hour {
	var out []issue.Hour
	for n := 0; n < len(pairs); n += 2 {
		out = append(out, issue.Hour{Hour: t0.Unix()/3600 + pairs[n], Count: pairs[n+1]})
	}
	return out
}

func TestTrend(t *testing.T) {
	for _, tc := range []struct {
		name   string
		hours  []issue.Hour
		after  time.Duration
		window time.Duration
		n      int
		want   []int64
	}{
		{"an hour each", hours(-4, 9, -3, 1, -1, 3), 0, 3 * hour, 3, []int64{1, 0, 3}},
		{"hours in parts of two", hours(-4, 1, -3, 2, -2, 3, -1, 4), 0, 4 * hour, 2, []int64{3, 7}},
		{"an hour in parts", hours(-1, 10), 0, hour, 4, []int64{2, 3, 2, 3}},
		{"the hour that is not over", hours(0, 6), 30 * minute, hour, 2, []int64{0, 6}},
		{"half of the oldest hour", hours(-2, 6, -1, 1), 30 * minute, 2 * hour, 2, []int64{3, 1}},
		{"still to come", hours(0, 2, 5, 3), 30 * minute, 2 * hour, 2, []int64{0, 5}},
		{"none", nil, 0, hour, 2, []int64{0, 0}},
		{"no window", hours(-1, 1), 0, 0, 2, []int64{0, 0}},
		{"no parts", hours(-1, 1), 0, hour, 0, nil},
	} {
		i := issue.Issue{Hours: tc.hours}
		if diff := cmp.Diff(tc.want, i.Trend(t0.Add(tc.after), tc.window, tc.n)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var i issue.Issue
		var want int64
		for h := range rapid.Int64Range(0, 40).Draw(t, "hours") {
			c := rapid.Int64Range(1, 99).Draw(t, "count")
			i.Hours = append(i.Hours, hours(h-40, c)...)
			want += c
		}
		now := t0.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "now")) * time.Second)
		var got int64
		for _, c := range i.Trend(now, 60*hour, rapid.IntRange(1, 100).Draw(t, "n")) {
			got += c
		}
		if got != want {
			t.Fatalf("sum %d, want %d", got, want)
		}
	})
}

func TestCompare(t *testing.T) {
	pods := func(n int) issue.Tally {
		var t issue.Tally
		for k := range n {
			t.Add(string(rune('a'+k)), t0, 1, 100)
		}
		return t
	}
	old := t0.Add(-9 * day)
	base := func(id string, f func(*issue.Issue)) *issue.Issue {
		i := &issue.Issue{ID: id, Category: record.Failure, First: old, Last: t0, Seen: t0, Count: 100, Pods: pods(1), Hours: hours(-1, 10), Status: issue.Open, Key: issue.Key{Kind: record.KindStop}}
		f(i)
		return i
	}
	want := []*issue.Issue{
		base("escalating", func(i *issue.Issue) { i.EscalatedAt = t0 }),
		base("regressed", func(i *issue.Issue) { i.RegressedAt = t0 }),
		base("new", func(i *issue.Issue) { i.First = t0.Add(-hour) }),
		base("ongoing, many pods", func(i *issue.Issue) { i.Pods = pods(3) }),
		base("ongoing, many stops", func(i *issue.Issue) { i.Hours = hours(-1, 30) }),
		base("ongoing 1", func(*issue.Issue) {}),
		base("ongoing 2", func(*issue.Issue) {}),
		base("ongoing, older", func(i *issue.Issue) { i.Last = t0.Add(-hour) }),
		base("ongoing, many stops once", func(i *issue.Issue) { i.Hours = hours(-40, 1000); i.Last = t0.Add(-2 * hour) }),
		base("drain", func(i *issue.Issue) { i.Category, i.First, i.Pods = record.Disruption, t0, pods(20) }),
		base("rollout", func(i *issue.Issue) { i.Category, i.First, i.Pods = record.Lifecycle, t0, pods(20) }),
		base("archived", func(i *issue.Issue) { i.Status = issue.StatusArchived }),
		base("muted", func(i *issue.Issue) { i.Status = issue.StatusMuted }),
		base("resolved", func(i *issue.Issue) { i.Status = issue.StatusResolved }),
		base("an old drain", func(i *issue.Issue) { i.Category, i.Status = record.Disruption, issue.StatusResolved }),
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, issue.Compare(t0))
	names := func(all []*issue.Issue) []string {
		var out []string
		for _, i := range all {
			out = append(out, i.ID)
		}
		return out
	}
	if diff := cmp.Diff(names(want), names(got)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTallyIsBounded(t *testing.T) {
	var tally issue.Tally
	for n := range 10 {
		tally.Add(string(rune('a'+n)), t0.Add(time.Duration(n)), 2, 3)
	}
	tally.Add("a", t0, 1, 3)                 // older than all: dropped again
	tally.Add("b", t0, -1, 3)                // not there any more
	tally.Add("i", t0, -1, 3)                // once less
	tally.Add("h", t0, -5, 3)                // more than there were
	tally.Add("", t0, 1, 3)                  // no value
	tally.Add("j", t0.Add(-time.Hour), 1, 3) // does not move it
	want := issue.Tally{More: true, Values: []issue.Count{{Value: "j", Count: 3, First: t0.Add(-time.Hour), Last: t0.Add(9)}, {Value: "i", Count: 1, First: t0.Add(8), Last: t0.Add(8)}}}
	if diff := cmp.Diff(want, tally); diff != "" {
		t.Errorf("tally (-want +got):\n%s", diff)
	}
}
