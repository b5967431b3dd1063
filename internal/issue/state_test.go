package issue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

// at makes stops at times after t0.
func at(times ...time.Duration) []record.Record {
	var out []record.Record
	for n, d := range times {
		out = append(out, stop(fmt.Sprintf("%s-%d", d, n), t0.Add(d)))
	}
	return out
}

// every makes n stops, one each d from a time on.
func every(from, d time.Duration, n int) []record.Record {
	var out []time.Duration
	for k := range n {
		out = append(out, from+time.Duration(k)*d)
	}
	return at(out...)
}

// keep posts records, and returns the only issue that there is then.
func keep(t *testing.T, m *issue.Memory, records ...record.Record) issue.Issue {
	t.Helper()
	for _, r := range records {
		if _, err := m.Post(r); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Issues(t0)
	if len(all) != 1 {
		t.Fatalf("%d issues, want one: %+v", len(all), all)
	}
	return all[0]
}

func TestState(t *testing.T) {
	eve := func(s issue.Status, d time.Duration) issue.Action {
		return issue.Action{Status: s, At: t0.Add(d), By: "eve"}
	}
	mute := func(d, until time.Duration) issue.Action {
		a := eve(issue.StatusMuted, d)
		a.Until = t0.Add(until)
		return a
	}
	type step struct {
		records []record.Record
		act     issue.Action
		at      time.Duration
		want    issue.State
	}
	open := func(id string, begin, end time.Duration) record.Record {
		r := stall(id, t0.Add(begin), time.Time{})
		if end != 0 {
			r.End = t0.Add(end)
		}
		return r
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"new for a day", []step{{records: at(0), want: issue.New}, {at: day - 1, want: issue.New}, {at: day, want: issue.Ongoing}}},
		{"one stop is over after two days", []step{{records: at(0), at: 2 * day, want: issue.Ongoing}, {at: 2*day + 1, want: issue.Resolved}}},
		{"a crash loop is over after a day", []step{{records: every(0, 5*minute, 300), at: 25 * hour, want: issue.Ongoing}, {at: 2*day + hour, want: issue.Resolved}}},
		{"once a day is over after four days", []step{{records: every(0, day, 5), at: 7*day + 23*hour, want: issue.Ongoing}, {at: 8*day + 1, want: issue.Resolved}}},
		{"once a month is over after two weeks", []step{{records: at(0, 30*day), at: 44 * day, want: issue.Ongoing}, {at: 44*day + 1, want: issue.Resolved}}},
		{"back after silence", []step{{records: at(0), at: 3 * day, want: issue.Resolved}, {records: at(3 * day), at: 3*day + hour, want: issue.Regressed}, {at: 4 * day, want: issue.Ongoing}}},
		{"escalating for an hour", []step{
			{records: every(0, hour, 24), at: 24 * hour, want: issue.Ongoing},
			{records: every(24*hour, 5*minute, 10), at: 25*hour + 44*minute, want: issue.Escalating},
			{at: 25*hour + 45*minute, want: issue.Ongoing},
		}},
		{"a steady crash loop does not escalate", []step{{records: every(0, 5*minute, 36), at: 3 * hour, want: issue.New}}},
		{"nor does its beginning", []step{{records: every(0, minute, 50), at: 50 * minute, want: issue.New}}},
		{"nine in an hour do not escalate", []step{{records: every(0, 12*hour, 3), at: 24 * hour, want: issue.Ongoing}, {records: every(25*hour, minute, 8), at: 26 * hour, want: issue.Ongoing}}},
		{"resolved by a person, and no stop", []step{{records: at(0)}, {act: eve(issue.StatusResolved, hour), at: 10 * day, want: issue.Resolved}}},
		{"resolved, and back", []step{{records: at(0)}, {act: eve(issue.StatusResolved, hour)}, {records: at(2 * hour), at: 3 * hour, want: issue.Regressed}, {at: 26 * hour, want: issue.Ongoing}}},
		{"a stop of before the resolve that comes late", []step{{records: at(0)}, {act: eve(issue.StatusResolved, hour)}, {records: at(30 * minute), at: 3 * hour, want: issue.Resolved}}},
		{"muted for ever", []step{{records: at(0)}, {act: eve(issue.StatusMuted, hour)}, {records: at(2*hour, 20*day), at: 20 * day, want: issue.Muted}}},
		{"muted until", []step{
			{records: at(0)},
			{act: mute(hour, 5*hour), at: 5*hour - 1, want: issue.Muted},
			{at: 5 * hour, want: issue.New},
			{records: at(6 * hour), at: 6 * hour, want: issue.New},
			{at: 4 * hour, want: issue.New},
		}},
		{"a burst of before it was archived, told late", []step{
			{records: every(0, hour, 24), at: 23 * hour, want: issue.New},
			{act: eve(issue.StatusArchived, 27*hour), at: 27 * hour, want: issue.Archived},
			{records: every(24*hour, minute, 20), at: 27*hour + minute, want: issue.Archived},
		}},
		{"archived until it escalates", []step{
			{records: every(0, hour, 24)},
			{act: eve(issue.StatusArchived, 23*hour+1), at: 24 * hour, want: issue.Archived},
			{records: every(24*hour, 10*minute, 3), at: 25 * hour, want: issue.Archived},
			{records: every(25*hour, minute, 12), at: 26 * hour, want: issue.Escalating},
			{at: 28 * hour, want: issue.Ongoing},
		}},
		{"opened again by a person, it is not silent at once", []step{{records: at(0)}, {act: eve(issue.StatusResolved, hour)}, {act: eve(issue.Open, 10*day), at: 10*day + hour, want: issue.Ongoing}, {at: 13 * day, want: issue.Resolved}}},
		{"a stall that lasts", []step{{records: []record.Record{open("a", 0, 0)}, at: 30 * day, want: issue.Ongoing}}},
		{"a stall that ended", []step{{records: []record.Record{open("a", 0, 5*hour)}, at: 6 * hour, want: issue.New}, {at: 6*hour + 1, want: issue.Resolved}}},
		{"another stall an hour later is no regression", []step{{records: []record.Record{open("a", 0, hour), open("b", 4*hour, 5*hour)}, at: 5 * hour, want: issue.New}}},
		{"a stall of another day is", []step{{records: []record.Record{open("a", 0, hour), open("b", 4*day, 0)}, at: 4 * day, want: issue.Regressed}}},
		{"a stall that is resolved while it lasts", []step{{records: []record.Record{open("a", 0, 0)}}, {act: eve(issue.StatusResolved, hour), at: 2 * hour, want: issue.Resolved},
			{records: []record.Record{open("a", 0, 3*hour)}, at: 3 * hour, want: issue.Resolved}}},
		{"and goes on again", []step{{records: []record.Record{open("a", 0, 3*hour)}}, {act: eve(issue.StatusResolved, 4*hour)},
			{records: []record.Record{open("a", 0, 0)}, at: 5 * hour, want: issue.Regressed}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := issue.NewMemory(0)
			for n, s := range tc.steps {
				for _, r := range s.records {
					if _, err := m.Post(r); err != nil {
						t.Fatal(err)
					}
				}
				all := m.Issues(t0.Add(s.at))
				if len(all) != 1 {
					t.Fatalf("step %d: %d issues", n, len(all))
				}
				if s.act.Status != "" {
					if _, err := m.Amend(all[0].ID, s.act); err != nil {
						t.Fatal(err)
					}
				}
				i, _ := m.Issue(all[0].ID, t0.Add(s.at))
				if s.want != "" && i.State != s.want {
					t.Errorf("step %d: %s, want %s (%+v)", n, i.State, s.want, i)
				}
			}
		})
	}
}

// TestRegression: after a resolve, stops of pods that were there before it with an older image lag
// behind, and all others bring the issue back.
func TestRegression(t *testing.T) {
	on := func(image, id string, created time.Duration) func(*record.Record) {
		return func(r *record.Record) { r.Image, r.ImageID, r.PodCreatedAt = image, id, t0.Add(created) }
	}
	for _, tc := range []struct {
		name      string
		kept      issue.Action // its image
		later     func(*record.Record)
		regressed bool
	}{
		{"a pod of before with an older image", issue.Action{Image: "app:v2", ImageID: "sha256:2"}, on("app:v1", "sha256:1", -hour), false},
		{"the same image", issue.Action{Image: "app:v1", ImageID: "sha256:1"}, on("app:v1", "sha256:1", -hour), true},
		{"the same tag with another content", issue.Action{Image: "app:v1", ImageID: "sha256:2"}, on("app:v1", "sha256:1", -hour), false},
		{"the same content with another tag", issue.Action{Image: "app:v2", ImageID: "sha256:1"}, on("app:v1", "sha256:1", -hour), true},
		{"by the tag alone", issue.Action{Image: "app:v2"}, on("app:v1", "", -hour), false},
		{"a newer image, which the issue does not know", issue.Action{Image: "app:v2", ImageID: "sha256:2"}, on("app:v3", "sha256:3", -hour), true},
		{"a rollback makes new pods", issue.Action{Image: "app:v2", ImageID: "sha256:2"}, on("app:v1", "sha256:1", 2*hour), true},
		{"nobody knows since when the pod is there", issue.Action{Image: "app:v2", ImageID: "sha256:2"}, func(r *record.Record) { r.PodCreatedAt = time.Time{} }, true},
		{"no image was kept: the one seen last is", issue.Action{}, on("app:v1", "sha256:1", -hour), true},
		{"nothing is known of the image", issue.Action{Image: "app:v2", ImageID: "sha256:2"}, on("", "", -hour), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := issue.NewMemory(0)
			i := keep(t, m, stop("1", t0, on("app:v1", "sha256:1", -hour)))
			a := tc.kept
			a.Status, a.At, a.Resolution = issue.StatusResolved, t0.Add(hour), issue.ByImage
			if _, err := m.Amend(i.ID, a); err != nil {
				t.Fatal(err)
			}
			keep(t, m, stop("2", t0.Add(3*hour), tc.later))
			i, _ = m.Issue(i.ID, t0.Add(3*hour))
			want := issue.Resolved
			if tc.regressed {
				want = issue.Regressed
			}
			if i.State != want || i.Count != 2 {
				t.Errorf("%s with %d stops, want %s", i.State, i.Count, want)
			}
			if tc.regressed != (i.Resolution == "" && i.RegressedAt.Equal(t0.Add(3*hour)) && i.Began == "2") {
				t.Errorf("resolution %q, regressed at %v by %s", i.Resolution, i.RegressedAt, i.Began)
			}
		})
	}
}

// TestNoLag: that another image was seen last does not make one older.
func TestNoLag(t *testing.T) {
	on := func(image string, created time.Duration) func(*record.Record) {
		return func(r *record.Record) {
			r.Image, r.ImageID, r.PodCreatedAt = image, "sha256:"+image, t0.Add(created)
		}
	}
	for _, tc := range []struct {
		name      string
		group     string
		created   time.Duration // of the pod with the other image
		regressed bool
	}{
		{"an older image", "", -hour, false},
		{"a canary beside it", "", minute, true},
		{"another workload of a group", "shops", -hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := issue.NewMemory(0)
			grouped := func(r *record.Record) { r.Group = tc.group }
			i := keep(t, m,
				stop("1", t0, on("app:main", -hour), grouped),
				stop("2", t0.Add(2*minute), on("app:other", tc.created), grouped),
				stop("3", t0.Add(3*minute), on("app:main", -hour), grouped))
			if _, err := m.Amend(i.ID, issue.Action{Status: issue.StatusResolved, At: t0.Add(hour), By: "eve"}); err != nil {
				t.Fatal(err)
			}
			keep(t, m, stop("4", t0.Add(2*hour), on("app:other", tc.created), grouped))
			i, _ = m.Issue(i.ID, t0.Add(2*hour))
			if got := i.State == issue.Regressed; got != tc.regressed {
				t.Errorf("it is %s", i.State)
			}
		})
	}
}

// TestUndo: what looked like the issue coming back was a rollout, as evidence says that comes a
// moment later.
func TestUndo(t *testing.T) {
	killed := cause("sigterm_unattributed", record.Unknown)
	rollout := func(r *record.Record) {
		r.Diagnosis = record.Diagnosis{Cause: "pod_deleted", Detail: "rollout", Confidence: record.Confirmed}
		r.Category = record.Lifecycle
	}
	fill := func(t *testing.T, s issue.Status) (*issue.Memory, issue.Issue) {
		m := issue.NewMemory(0)
		for _, r := range every(0, hour, 24) {
			killed(&r)
			r.Changes = []record.Change{{Kind: record.ChangeRollout, Text: "the first"}}
			keep(t, m, r)
		}
		i := m.Issues(t0)[0]
		if _, err := m.Amend(i.ID, issue.Action{Status: s, At: t0.Add(24 * hour), By: "eve", Note: "was a test"}); err != nil {
			t.Fatal(err)
		}
		i, _ = m.Issue(i.ID, t0.Add(25*hour))
		return m, i
	}
	post := func(t *testing.T, m *issue.Memory, n int, f ...func(*record.Record)) {
		t.Helper()
		for k := range n {
			if _, err := m.Post(stop(fmt.Sprint("r", k), t0.Add(25*hour+time.Duration(k)*time.Second), f...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		status      issue.Status
		during, was issue.State
	}{
		{issue.StatusResolved, issue.Escalating, issue.Resolved},
		{issue.StatusArchived, issue.Escalating, issue.Archived},
		{issue.StatusMuted, issue.Muted, issue.Muted},
		{issue.Open, issue.Escalating, issue.Ongoing},
	} {
		t.Run(string(tc.status), func(t *testing.T) {
			m, before := fill(t, tc.status)
			post(t, m, 30, killed)
			if i, _ := m.Issue(before.ID, t0.Add(25*hour+minute)); i.State != tc.during || i.Count != 54 {
				t.Errorf("%s with %d meanwhile, want %s", i.State, i.Count, tc.during)
			}
			post(t, m, 30, rollout)
			after, _ := m.Issue(before.ID, t0.Add(25*hour))
			for _, i := range []*issue.Issue{&before, &after} { // times of what was seen are not taken back
				i.Seen, i.Best, i.BestAt = time.Time{}, "", time.Time{}
				for _, t := range []*issue.Tally{&i.Pods, &i.Nodes, &i.Images, &i.ImageIDs, &i.Revisions, &i.ExitCodes} {
					t.Values[0].Last = time.Time{}
				}
			}
			if diff := cmp.Diff(before, after); diff != "" || after.State != tc.was {
				t.Errorf("%s; before and after (-before +after):\n%s", after.State, diff)
			}
		})
	}
	t.Run("one of them was real", func(t *testing.T) {
		m, i := fill(t, issue.StatusResolved)
		post(t, m, 30, killed)
		post(t, m, 29, rollout)
		if i, _ = m.Issue(i.ID, t0.Add(25*hour)); i.State != issue.Regressed || i.Count != 25 {
			t.Errorf("%s with %d", i.State, i.Count)
		}
	})
}

func TestAmendOfWhatChanged(t *testing.T) {
	m := issue.NewMemory(0)
	i := keep(t, m, at(0, minute)...)
	a := issue.Action{Status: issue.StatusResolved, At: t0.Add(hour), Count: 1}
	if _, err := m.Amend(i.ID, a); !errors.Is(err, issue.ErrChanged) {
		t.Errorf("with another record: %v", err)
	}
	if i, _ := m.Issue(i.ID, t0.Add(hour)); i.State != issue.New {
		t.Errorf("it is %s", i.State)
	}
	a.Count = 2
	if i, err := m.Amend(i.ID, a); err != nil || i.Status != issue.StatusResolved {
		t.Errorf("%s, %v", i.Status, err)
	}
}

func TestAmend(t *testing.T) {
	for _, tc := range []struct {
		name   string
		action issue.Action
		err    string
	}{
		{"no status", issue.Action{At: t0}, `"" is not a status`},
		{"a state that is none", issue.Action{Status: "ongoing", At: t0}, `"ongoing" is not a status: open, resolved, muted or archived`},
		{"no time", issue.Action{Status: issue.Open}, "no time"},
		{"resolved until", issue.Action{Status: issue.StatusResolved, At: t0, Until: t0.Add(hour)}, "only a mute has an end"},
		{"muted until before", issue.Action{Status: issue.StatusMuted, At: t0, Until: t0}, "over already"},
		{"muted with a resolution", issue.Action{Status: issue.StatusMuted, At: t0, Resolution: issue.ByPerson}, "only what is resolved"},
		{"open with an image", issue.Action{Status: issue.Open, At: t0, Image: "app:v2"}, "only what is resolved"},
		{"by silence", issue.Action{Status: issue.StatusResolved, At: t0, Resolution: issue.BySilence}, "not decided"},
		{"by magic", issue.Action{Status: issue.StatusResolved, At: t0, Resolution: "magic"}, `"magic" is not a resolution`},
		{"a book", issue.Action{Status: issue.Open, At: t0, Note: strings.Repeat("x", 2001)}, "2001 bytes"},
		{"a long name", issue.Action{Status: issue.Open, At: t0, By: strings.Repeat("x", 257)}, "257 bytes"},
		{"not text", issue.Action{Status: issue.Open, At: t0, Note: "\xff"}, "UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := keep(t, issue.NewMemory(0), at(0)...)
			was := i.Clone()
			if err := i.Amend(tc.action); err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), i.ID) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if diff := cmp.Diff(was, i); diff != "" {
				t.Errorf("it changed:\n%s", diff)
			}
		})
	}
	i := keep(t, issue.NewMemory(0), at(0)...)
	if err := i.Amend(issue.Action{Status: issue.StatusResolved, At: t0.Add(hour), By: "eve", Note: "fixed in v2"}); err != nil {
		t.Fatal(err)
	}
	if i.Resolution != issue.ByPerson || i.Image != "app:v1" || i.ImageID != "sha256:1" || i.By != "eve" || i.Note != "fixed in v2" {
		t.Errorf("resolved: %+v", i)
	}
	if err := i.Amend(issue.Action{Status: issue.StatusArchived, At: t0.Add(2 * hour), By: "adam"}); err != nil {
		t.Fatal(err)
	}
	if i.Resolution != "" || i.Image != "" || i.By != "adam" || i.Note != "" || !i.Since.Equal(t0.Add(2*hour)) {
		t.Errorf("archived: %+v", i)
	}
}

func TestSilenceIsDerived(t *testing.T) {
	i := keep(t, issue.NewMemory(0), at(0)...)
	if s := i.At(t0.Add(5 * day)); s != issue.Resolved || i.Resolution != issue.BySilence || !i.Since.Equal(t0.Add(2*day)) || i.Status != issue.Open {
		t.Errorf("%s, %+v", s, i)
	}
}
