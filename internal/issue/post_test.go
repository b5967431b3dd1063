package issue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// counts are the issues as "cause/signature: count (known)", in the order of their causes.
func counts(m *issue.Memory) []string {
	var out []string
	for _, i := range m.Issues(t0) {
		name := i.Cause
		if i.Signature != "" {
			name += "/" + i.Signature
		}
		out = append(out, fmt.Sprintf("%s: %d (%d)", name, i.Count, i.Known))
	}
	slices.Sort(out)
	return out
}

func category(c record.Category) func(*record.Record) {
	return func(r *record.Record) { r.Category = c }
}

func noCode(r *record.Record) { r.Stop.ExitCode = nil }

// TestWeak: where a stop goes of which little is known.
func TestWeak(t *testing.T) {
	probe := cause("liveness_probe", record.Confirmed)
	killed := cause("sigkill_unattributed", record.Unknown)
	unread := cause("app_exit", record.Likely)
	read := func(r *record.Record) { r.Log = &record.Log{Lines: []string{"bye"}} }
	v2 := func(r *record.Record) { r.Image = "app:v2" }
	one, two := said("panic", "one"), said("exception", "two")
	none := issue.Action{}
	type step struct {
		id  string
		at  time.Duration
		f   []func(*record.Record)
		act issue.Action // on all issues, before it
	}
	fs := func(f ...func(*record.Record)) []func(*record.Record) { return f }
	act := func(s issue.Status, d time.Duration) issue.Action {
		return issue.Action{Status: s, At: t0.Add(d), By: "eve"}
	}
	for _, tc := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"known, then not", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed), none}}, []string{"liveness_probe: 2 (1)"}},
		{"not, then known", []step{{"1", 0, fs(killed), none}, {"2", minute, fs(probe), none}}, []string{"liveness_probe: 2 (1)"}},
		{"flips for long", []step{{"1", 0, fs(killed), none}, {"2", hour, fs(probe), none}, {"3", 2 * hour, fs(killed), none}, {"4", 3 * hour, fs(probe), none}, {"5", 4 * hour, fs(killed), none}},
			[]string{"liveness_probe: 5 (2)"}},
		{"two that are not known", []step{{"1", 0, fs(killed), none}, {"2", minute, fs(cause("unknown", record.Unknown)), none}}, []string{"sigkill_unattributed: 1 (0)", "unknown: 1 (0)"}},
		{"and one that is", []step{{"1", 0, fs(killed), none}, {"2", minute, fs(cause("unknown", record.Unknown)), none}, {"3", hour, fs(probe), none}}, []string{"liveness_probe: 3 (1)"}},
		{"a status that was lost is its own", []step{{"1", 0, fs(), none}, {"2", minute, fs(cause("status_unknown", record.Unknown)), none}, {"3", hour, fs(), none}}, []string{"oom_killed: 2 (2)", "status_unknown: 1 (1)"}},
		{"another exit code", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, exit(143)), none}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"until the known one has that too", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, exit(143)), none}, {"3", hour, fs(probe, exit(143)), none}}, []string{"liveness_probe: 3 (2)"}},
		{"no exit code fits all", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, noCode), none}}, []string{"liveness_probe: 2 (1)"}},
		{"but does not vanish in what is muted", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, noCode), act(issue.StatusMuted, 1)}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"what is muted is muted as a whole", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed), act(issue.StatusMuted, 1)}}, []string{"liveness_probe: 2 (1)"}},
		{"but not what another image does", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, v2), act(issue.StatusArchived, 1)}, {"3", 2 * minute, fs(probe), none}}, []string{"liveness_probe: 2 (2)", "sigkill_unattributed: 1 (0)"}},
		{"until that does the same", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, v2), act(issue.StatusArchived, 1)}, {"3", 2 * minute, fs(probe, v2), none}}, []string{"liveness_probe: 3 (2)"}},
		{"what is resolved does not come back for it", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed), act(issue.StatusResolved, 1)}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"until it does", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed), act(issue.StatusResolved, 1)}, {"3", hour, fs(probe), none}}, []string{"liveness_probe: 3 (2)"}},
		{"somebody acted on it", []step{{"1", 0, fs(killed), none}, {"2", minute, fs(probe), act(issue.StatusMuted, 1)}, {"3", hour, fs(killed), none}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 2 (0)"}},
		{"a day later", []step{{"1", 0, fs(probe), none}, {"2", day, fs(killed), none}}, []string{"liveness_probe: 2 (1)"}},
		{"more than a day later", []step{{"1", 0, fs(probe), none}, {"2", day + 1, fs(killed), none}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"more than a day before", []step{{"1", 0, fs(killed), none}, {"2", day + 1, fs(probe), none}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"another category", []step{{"1", 0, fs(cause("runtime_restarted", record.Confirmed), category(record.Disruption)), none}, {"2", minute, fs(killed), none}}, []string{"runtime_restarted: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"another container", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed, func(r *record.Record) { r.Container = "proxy" }), none}}, []string{"liveness_probe: 1 (1)", "sigkill_unattributed: 1 (0)"}},
		{"the newest of two", []step{{"1", 0, fs(exit(1), one), none}, {"2", minute, fs(exit(1), two), none}, {"3", 2 * minute, fs(exit(1), unread), none}}, []string{"app_exit/one: 1 (1)", "app_exit/two: 2 (1)"}},
		{"and moves when its log was read", []step{{"1", 0, fs(exit(1), one), none}, {"2", minute, fs(exit(1), two), none}, {"3", 2 * minute, fs(exit(1), unread), none}, {"3", 2 * minute, fs(exit(1), one), none}}, []string{"app_exit/one: 2 (2)", "app_exit/two: 1 (1)"}},
		{"the first one, its log read later", []step{{"1", 0, fs(exit(1), unread), none}, {"1", 0, fs(exit(1), one), none}}, []string{"app_exit/one: 1 (1)"}},
		{"a log that says nothing", []step{{"1", 0, fs(exit(1), one), none}, {"2", minute, fs(exit(1), unread, read), none}}, []string{"app_exit/one: 1 (1)", "app_exit: 1 (1)"}},
		{"stays where it went", []step{{"1", 0, fs(exit(1), one), none}, {"2", minute, fs(exit(1), unread), none}, {"3", 2 * minute, fs(exit(1), two), none}, {"2", minute, fs(exit(1), cause("app_exit", record.Unknown)), none}}, []string{"app_exit/one: 2 (1)", "app_exit/two: 1 (1)"}},
		{"what showed the cause turns out to be a rollout", []step{{"1", 0, fs(probe), none}, {"2", minute, fs(killed), none}, {"1", 0, fs(cause("pod_deleted", record.Confirmed), category(record.Lifecycle)), none}}, []string{"liveness_probe: 1 (0)", "pod_deleted: 1 (1)"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := issue.NewMemory(0)
			for _, s := range tc.steps {
				if s.act.Status != "" {
					for _, i := range m.Issues(t0) {
						if _, err := m.Amend(i.ID, s.act); err != nil {
							t.Fatal(err)
						}
					}
				}
				if _, err := m.Post(stop(s.id, t0.Add(s.at), s.f...)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, counts(m)); diff != "" {
				t.Errorf("issues (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWeakStalls: what keeps a pod from going on is not explained by what else did so.
func TestWeakStalls(t *testing.T) {
	m := issue.NewMemory(0)
	for _, r := range []record.Record{stall("1", t0, t0.Add(minute)), stall("2", t0.Add(hour), time.Time{}, cause("unknown", record.Unknown)), stall("3", t0.Add(2*hour), time.Time{})} {
		if _, err := m.Post(r); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"image_not_found: 2 (2)", "unknown: 1 (1)"}, counts(m)); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
}

// TestSameID: what is absorbed again and again has one ID, and is found by it.
func TestSameID(t *testing.T) {
	l := newLedger()
	for n := range 30 {
		r := stop(fmt.Sprint(n), t0.Add(time.Duration(n)*2*day), cause("sigkill_unattributed", record.Unknown))
		first, err := l.post(r)
		if err != nil {
			t.Fatal(err)
		}
		cause("oom_killed", record.Confirmed)(&r)
		then, err := l.post(r)
		if err != nil {
			t.Fatal(err)
		}
		i, err := l.ByID(first.Issue)
		if err != nil || i.ID != then.Issue || len(first.Issue) != len("WR-123456") {
			t.Fatalf("%d: first in %s, then in %s: %v, %v", n, first.Issue, then.Issue, i, err)
		}
	}
	if len(l.aliases) != 1 || len(l.issues) != 1 {
		t.Errorf("aliases %v, %d issues", l.aliases, len(l.issues))
	}
}

// TestAbsorbedID: a person who saw the first ID still finds the issue by it.
func TestAbsorbedID(t *testing.T) {
	m := issue.NewMemory(0)
	first, err := m.Post(stop("1", t0, cause("sigkill_unattributed", record.Unknown)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Post(stop("2", t0.Add(minute)))
	if err != nil {
		t.Fatal(err)
	}
	i, ok := m.Issue(first.Issue, t0)
	if !ok || i.ID != second.Issue || first.Issue == second.Issue || m.Place("1").Issue != second.Issue {
		t.Errorf("%s was absorbed by %s: found %v, place %v", first.Issue, second.Issue, i.ID, m.Place("1"))
	}
	if i.Cause != "oom_killed" || i.Summary != "The kernel killed it." || !i.First.Equal(t0) || i.Oldest != "1" || i.Newest != "2" {
		t.Errorf("%+v", i)
	}
}

// TestSayings bounds the issues of a container that ends with other words each time.
func TestSayings(t *testing.T) {
	m := issue.NewMemory(0)
	post := func(n int) {
		t.Helper()
		if _, err := m.Post(stop(fmt.Sprint(n), t0.Add(time.Duration(n)*time.Second), exit(1), said("panic", fmt.Sprint("key", n)))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 500 {
		post(n)
		post(n)
	}
	all := m.Issues(t0)
	if len(all) != 51 {
		t.Fatalf("%d issues", len(all))
	}
	var total int64
	for _, i := range all {
		total += i.Count
		if (i.Signature == "*") != (i.Count == 450) {
			t.Errorf("%s: %d", i.Signature, i.Count)
		}
	}
	if total != 500 {
		t.Errorf("%d stops in all", total)
	}
}

// TestSayingsOfYears: what a container said long ago does not hide what it says now, until that is
// too much to look through.
func TestSayingsOfYears(t *testing.T) {
	m := issue.NewMemory(0)
	for n := range 320 {
		if _, err := m.Post(stop(fmt.Sprint(n), t0.Add(time.Duration(n)*2*day), exit(1), said("panic", fmt.Sprint("key", n)))); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Issues(t0)
	if len(all) != 301 {
		t.Errorf("%d issues", len(all))
	}
}

// TestIDs: an ID is as long as it takes to be the only one.
func TestIDs(t *testing.T) {
	l := newLedger()
	r := stop("1", t0)
	k := issue.KeyOf(&r)
	f := k.Fingerprint()
	for _, n := range []int{6, 7} {
		id := "WR-" + strings.ToUpper(f[:n])
		if err := l.Put(&issue.Issue{ID: id, Fingerprint: fmt.Sprint("another ", n)}); err != nil {
			t.Fatal(err)
		}
	}
	place, err := l.post(r)
	if want := "WR-" + strings.ToUpper(f[:8]); err != nil || place.Issue != want {
		t.Errorf("%v, %v; want %s", place, err, want)
	}
}

// TestHours: where stops are counted that nobody saw.
func TestHours(t *testing.T) {
	hourOf := func(d time.Duration) int64 { return t0.Add(d).Unix() / 3600 }
	missed := func(n int, after, until time.Duration) func(*record.Record) {
		return func(r *record.Record) {
			r.MissedBefore = n
			if after != 0 {
				r.MissedAfter = t0.Add(after)
			}
			if until != 0 {
				r.MissedUntil = t0.Add(until)
			}
		}
	}
	before := func(r *record.Record) { r.BeforeWatch = true }
	for _, tc := range []struct {
		name string
		f    []func(*record.Record)
		want []issue.Hour
	}{
		{"none", nil, []issue.Hour{{Hour: hourOf(0), Count: 1}}},
		{"no window", []func(*record.Record){missed(5, 0, 0)}, []issue.Hour{{Hour: hourOf(0), Count: 6}}},
		{"before the watch", []func(*record.Record){missed(5, 0, 0), before}, []issue.Hour{{Hour: hourOf(0), Count: 1}}},
		{"spread", []func(*record.Record){missed(5, -2*hour, -minute)}, []issue.Hour{{Hour: hourOf(-2 * hour), Count: 2}, {Hour: hourOf(-hour), Count: 3}, {Hour: hourOf(0), Count: 1}}},
		{"only until", []func(*record.Record){missed(5, 0, -2*hour)}, []issue.Hour{{Hour: hourOf(-2 * hour), Count: 5}, {Hour: hourOf(0), Count: 1}}},
		{"a window that ends before it begins", []func(*record.Record){missed(5, 5*hour, -2*hour)}, []issue.Hour{{Hour: hourOf(-2 * hour), Count: 5}, {Hour: hourOf(0), Count: 1}}},
		{"a clock that is a year ahead", []func(*record.Record){func(r *record.Record) { r.FinishedAt = t0.Add(365 * day) }}, []issue.Hour{{Hour: hourOf(0), Count: 1}}},
		{"no time", []func(*record.Record){func(r *record.Record) { r.FinishedAt, r.ObservedAt = time.Time{}, time.Time{} }}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := keep(t, issue.NewMemory(0), stop("1", t0, tc.f...))
			if diff := cmp.Diff(tc.want, i.Hours); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
		})
	}
	// A window of years is that of two weeks.
	i := keep(t, issue.NewMemory(0), stop("1", t0, missed(1e6, -1e5*hour, -minute)))
	if len(i.Hours) != 14*24 || i.Missed != 1e6 {
		t.Errorf("%d hours, %d missed", len(i.Hours), i.Missed)
	}
}

// TestChanges: an issue shows what was changed before it began, or before it came back, also
// where that is known a moment after the stop.
func TestChanges(t *testing.T) {
	change := func(text string) func(*record.Record) {
		return func(r *record.Record) {
			r.Changes = []record.Change{{Kind: record.ChangeRollout, Object: "Deployment shop/checkout", Time: r.FinishedAt.Add(-6 * minute), From: "40", To: "41", Text: text,
				Fields: []record.FieldChange{{Field: "limits.memory", Old: "512Mi", New: "256Mi"}}}}
		}
	}
	m := issue.NewMemory(0)
	text := func() string {
		i := keep(t, m)
		if len(i.Changes) == 0 {
			return ""
		}
		return i.Changes[0].Text
	}
	for n, s := range []struct {
		r    record.Record
		want string
	}{
		{stop("1", t0), ""},
		{stop("1", t0, change("the first")), "the first"},
		{stop("2", t0.Add(minute), change("not that")), "the first"},
		{stop("0", t0.Add(-minute), change("an earlier one")), "an earlier one"},
		{stop("3", t0.Add(5*day)), ""}, // it was silent
		{stop("4", t0.Add(5*day+minute), change("not that")), ""},
		{stop("3", t0.Add(5*day), change("what brought it back")), "what brought it back"},
		{stop("00", t0.Add(-2*minute), change("too late")), "what brought it back"},
	} {
		keep(t, m, s.r)
		if got := text(); got != s.want {
			t.Errorf("step %d: %q, want %q", n, got, s.want)
		}
	}
}

// TestNewestTells: an issue says what its newest record says, of those whose cause is known, and
// where it is confirmed of one, of those of which it is.
func TestNewestTells(t *testing.T) {
	says := func(s string) func(*record.Record) {
		return func(r *record.Record) { r.Diagnosis.Summary = s }
	}
	m := issue.NewMemory(0)
	for n, s := range []struct {
		r    record.Record
		want string
	}{
		{stop("1", t0, cause("sigkill_unattributed", record.Unknown), says("unknown")), "unknown"},
		{stop("2", t0.Add(-minute), says("known")), "known"},
		{stop("3", t0.Add(hour), says("newer")), "newer"},
		{stop("4", t0.Add(minute), says("late")), "newer"},
		{stop("5", t0.Add(2*hour), cause("sigkill_unattributed", record.Unknown), says("unknown")), "newer"},
		{stop("3", t0.Add(hour), says("refined")), "refined"},
		{stop("2", t0.Add(-minute), says("refined too late")), "refined"},
		{stop("6", t0.Add(3*hour), cause("oom_killed", record.Likely), says("supposed")), "refined"},
		{stop("7", t0.Add(4*hour), says("confirmed again")), "confirmed again"},
	} {
		if i := keep(t, m, s.r); i.Summary != s.want {
			t.Errorf("step %d: %q, want %q", n, i.Summary, s.want)
		}
	}
}

// TestMemoryForgets: what is forgotten stays counted.
func TestMemoryForgets(t *testing.T) {
	m := issue.NewMemory(10)
	i := keep(t, m, every(0, minute, 1000)...)
	if i.Count != 1000 || !i.First.Equal(t0) || !i.Last.Equal(t0.Add(999*minute)) {
		t.Errorf("%+v", i)
	}
	if r := m.Ref("999m0s-999", t0); r != nil {
		t.Errorf("a record that never was: %+v", r)
	}
}

func TestGroup(t *testing.T) {
	var records []record.Record
	for n := range 40 {
		r := stop(fmt.Sprint(n), t0.Add(time.Duration(n%7)*hour), func(r *record.Record) {
			r.Workload = &record.Workload{Kind: "Deployment", Name: fmt.Sprint("w", n%5)}
			r.Pod = fmt.Sprint("p", n)
		})
		switch n % 4 {
		case 1:
			cause("sigkill_unattributed", record.Unknown)(&r)
		case 2:
			cause("runtime_restarted", record.Confirmed)(&r)
			r.Category, r.Node = record.Disruption, fmt.Sprint("node-", n%2)
		}
		records = append(records, r)
	}
	records = append(records, record.Record{}, record.Record{})
	now := t0.Add(8 * hour)
	issues, incidents := issue.Group(records, now)
	var total int64
	for _, i := range issues {
		total += i.Count
		if i.State == "" {
			t.Errorf("%s has no state", i.ID)
		}
	}
	if total != 42 || len(incidents) == 0 {
		t.Errorf("%d records in %d issues, %d incidents", total, len(issues), len(incidents))
	}
	for _, r := range records {
		if r.Issue == nil || r.Issue.State == "" || r.Issue.Count == 0 {
			t.Errorf("record %q: %+v", r.ID, r.Issue)
		}
	}
	// In whatever order they come. Those without an ID are told apart by their place alone.
	records = records[:40]
	issues, incidents = issue.Group(records, now)
	slices.Reverse(records)
	again, incidentsAgain := issue.Group(records, now)
	if diff := cmp.Diff(issues, again); diff != "" {
		t.Errorf("issues in another order:\n%s", diff)
	}
	if diff := cmp.Diff(incidents, incidentsAgain); diff != "" {
		t.Errorf("incidents in another order:\n%s", diff)
	}
}
