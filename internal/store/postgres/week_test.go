package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// column returns what a statement finds in one column.
func column(t testing.TB, s *Store, text string) []string {
	t.Helper()
	var out []string
	err := s.one(t.Context(), "test", text, nil, func(scan func(...any) error) error {
		var v string
		err := scan(&v)
		out = append(out, v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// partitions are the weeks that records have partitions of, counted back from now.
func partitions(t testing.TB, s *Store) string {
	t.Helper()
	now := weekOf(s.now().UnixNano())
	var out []string
	for _, name := range column(t, s, "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'whyrestart.records'::regclass ORDER BY 1") {
		var w int64
		if _, err := fmt.Sscanf(name, "records_%d", &w); err != nil {
			t.Fatal(err)
		}
		if w > 0 {
			w -= now
		}
		out = append(out, fmt.Sprint(w))
	}
	return strings.Join(out, " ")
}

func weeksAgo(n int, id string, change func(r *record.Record)) record.Record {
	r := storetest.Sample(len(id))
	r.ID, r.PodCreatedAt = id, time.Time{}
	r.FinishedAt = storetest.Epoch().AddDate(0, 0, -7*n)
	r.ObservedAt = r.FinishedAt
	r.Log = storetest.SampleLog(n)
	if change != nil {
		change(&r)
	}
	return r
}

func stallOf(r *record.Record) {
	r.Kind, r.Stop, r.Stall = record.KindStall, nil, &record.Stall{Begin: r.FinishedAt}
}

// TestWeeks: retention drops the partitions of whole weeks, keeps what lasts, and a time that one
// would not believe makes no partition.
func TestWeeks(t *testing.T) {
	s := openTest(t, Options{URL: pgtest.NewDatabase(t), Now: storetest.Epoch})
	records := []record.Record{
		weeksAgo(0, "now", nil), weeksAgo(1, "one", nil), weeksAgo(5, "five", nil), weeksAgo(5, "five-lasts", stallOf),
		weeksAgo(6, "six", nil), weeksAgo(6, "six-late", nil),
		weeksAgo(2000, "long-ago", nil), weeksAgo(-500, "to-come", nil), weeksAgo(60, "before", nil),
	}
	if err := s.Append(t.Context(), store.Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
	// Its time was another one than was thought.
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{weeksAgo(1, "six-late", nil)}}); err != nil {
		t.Fatal(err)
	}
	if got := partitions(t, s); got != "0 -6 -5 -1 0 1" {
		t.Errorf("the partitions are those of %s", got)
	}
	before := storetest.Epoch().AddDate(0, 0, -21)
	n, err := s.Prune(t.Context(), store.Retention{Before: before})
	if err != nil || n != 4 {
		t.Errorf("%d records were removed, want 4; error %v", n, err)
	}
	if got := partitions(t, s); got != "0 -1 0 1" {
		t.Errorf("the partitions are those of %s", got)
	}
	for id, there := range map[string]bool{"now": true, "one": true, "five": false, "five-lasts": true, "six": false, "six-late": true, "long-ago": false, "to-come": true, "before": false} {
		r, err := s.Get(t.Context(), id)
		if there != (err == nil) || there && len(r.Log.Lines) == 0 {
			t.Errorf("record %s: %v", id, err)
		}
	}
	for _, text := range []string{
		"SELECT relname FROM pg_class WHERE relname LIKE 'gone%'",
		"SELECT id FROM whyrestart.keys k WHERE NOT EXISTS (SELECT FROM whyrestart.records r WHERE r.week = k.week AND r.seq = k.seq AND r.id = k.id)",
		"SELECT c.seq::text FROM whyrestart.changes c WHERE NOT EXISTS (SELECT FROM whyrestart.records r WHERE r.week = c.week AND r.seq = c.record)",
		"SELECT l.record::text FROM whyrestart.logs l WHERE NOT EXISTS (SELECT FROM whyrestart.records r WHERE r.week = l.week AND r.seq = l.record)",
	} {
		if left := column(t, s, text); len(left) > 0 {
			t.Errorf("%s: %v", text, left)
		}
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Stops+stats.Stalls != 5 || stats.Pruned != 4 {
		t.Errorf("the totals are %+v, error %v", stats, err)
	}
	// What comes again is a new record, also in the week that is gone.
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{weeksAgo(5, "five", nil)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "five"); err != nil {
		t.Error(err)
	}
}

// With some slack no row is removed one by one: nothing of the week of the bound goes.
func TestWeekOfTheBoundStays(t *testing.T) {
	s := openTest(t, Options{URL: pgtest.NewDatabase(t), Now: storetest.Epoch})
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{weeksAgo(2, "two", nil), weeksAgo(3, "three", nil), weeksAgo(4, "four", nil)}}); err != nil {
		t.Fatal(err)
	}
	// A moment after the one of three weeks ago, in its week.
	before := storetest.Epoch().AddDate(0, 0, -21).Add(time.Second)
	n, err := s.Prune(t.Context(), store.Retention{Before: before, Slack: 7 * 24 * time.Hour})
	if err != nil || n != 1 {
		t.Errorf("%d records were removed, want 1; error %v", n, err)
	}
	if got := partitions(t, s); got != "0 -3 -2 0 1" {
		t.Errorf("the partitions are those of %s", got)
	}
	if n, err = s.Prune(t.Context(), store.Retention{Before: before}); err != nil || n != 1 {
		t.Errorf("without slack %d records were removed, want 1; error %v", n, err)
	}
}

// A Prune that was killed between detaching a week and dropping it is gone on with; meanwhile its records
// are gone, and can come again.
func TestWeekHalfDropped(t *testing.T) {
	s := openTest(t, Options{URL: pgtest.NewDatabase(t), Now: storetest.Epoch})
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{weeksAgo(5, "five", nil), weeksAgo(5, "again", nil)}}); err != nil {
		t.Fatal(err)
	}
	before := storetest.Epoch().AddDate(0, 0, -21)
	p := pruner{store: s}
	w := s.choose(storetest.Epoch().AddDate(0, 0, -35).UnixNano())
	if err := p.detach(t.Context(), w, before.UnixNano()); err != nil || p.removed != 2 {
		t.Fatal(p.removed, err)
	}
	if r, err := s.Get(t.Context(), "five"); err == nil {
		t.Errorf("record %s is there", r.ID)
	}
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{weeksAgo(5, "again", nil)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	if got := column(t, s, "SELECT id FROM whyrestart.keys"); len(got) != 1 || got[0] != "again" {
		t.Errorf("the keys are %v", got)
	}
	if _, err := s.Get(t.Context(), "again"); err != nil {
		t.Error(err)
	}
	if left := column(t, s, "SELECT relname FROM pg_class WHERE relname LIKE 'gone%'"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestSpell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"", "a", "\x00", "\x01", "#", "00", "\xff", "\xc3", "é", "\U0010ffff", strings.Repeat("x", 300)})
		draw := func(name string) string { return strings.Join(rapid.SliceOfN(piece, 0, 5).Draw(t, name), "") }
		a, b := draw("a"), draw("b")
		if (a == b) != (spell(a) == spell(b)) {
			t.Fatalf("%q and %q are spelled %q and %q", a, b, spell(a), spell(b))
		}
		if len(a) <= longest && unspell(spell(a)) != a {
			t.Fatalf("%q is spelled %q, which is %q", a, spell(a), unspell(spell(a)))
		}
		if s := spell(a); len(s) > 3*longest || strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s {
			t.Fatalf("%q is spelled %q", a, s)
		}
	})
}

// An issue that cannot be read holds up nothing, and its records are counted anew.
func TestLostIssue(t *testing.T) {
	s := openTest(t, Options{URL: pgtest.NewDatabase(t), Now: storetest.Epoch})
	same := func(id string) record.Record {
		r := storetest.Sample(1)
		r.ID = id
		return r
	}
	put := func(ids ...string) {
		t.Helper()
		var b store.Batch
		for _, id := range ids {
			b.Records = append(b.Records, same(id))
		}
		if err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	put("one", "two", "three")
	execute(t, s.pool.Config().ConnString(), "UPDATE whyrestart.issues SET doc = 'x'")
	put("four")
	if stats, err := s.Stats(t.Context()); err != nil || stats.Ungrouped != 3 {
		t.Errorf("%+v, error %v", stats, err)
	}
	if _, err := s.Prune(t.Context(), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	issues, _, err := s.Issues(t.Context(), store.IssueQuery{})
	if err != nil || len(issues) != 1 || issues[0].Count != 4 {
		t.Errorf("the issues are %+v, error %v", issues, err)
	}
}
