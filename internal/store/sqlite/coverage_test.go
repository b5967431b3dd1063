package sqlite

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/store"
)

// TestMissedOfOlderRecords holds that stops which an earlier version stored are selected for
// what they missed, at once or while the others are still looked at, and that Stats tells which.
func TestMissedOfOlderRecords(t *testing.T) {
	records := older(700)
	want := 0
	for i := range records {
		if s := records[i].Stop; s != nil {
			stop := *s
			if stop.MissedBefore = i % 3; stop.MissedBefore > 0 {
				want++
			}
			records[i].Stop = &stop
		}
	}
	path := schema2(t, records)
	execute(t, path, "UPDATE totals SET missed = 100")
	s, err := Open(t.Context(), Options{Path: path, groupAtStart: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Path: path, groupAtStart: 10_000})
	for {
		n, err := s.fillSome(t.Context(), 50)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	got, _, err := s.List(t.Context(), store.Query{Missed: true, Limit: 1000})
	if err != nil || len(got) != want || want == 0 {
		t.Errorf("%d records missed others, want %d; error %v", len(got), want, err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Unlooked != 0 {
		t.Errorf("%+v, error %v", stats, err)
	}
	checkIntegrity(t, s)
}

// TestUnlooked holds that what nobody has looked at is counted, and that where nothing was ever
// missed nobody has to.
func TestUnlooked(t *testing.T) {
	for _, c := range []struct {
		total string
		want  int64
	}{{"0", 0}, {"1", 40}} {
		path := schema2(t, older(40))
		execute(t, path, "UPDATE totals SET missed = "+c.total)
		s := openTest(t, Options{Path: path, groupAtStart: 1})
		s.stopGrouping()
		s.stopGrouping = nil
		execute(t, path, "UPDATE records SET missed = -1 WHERE "+c.total)
		stats, err := s.Stats(t.Context())
		if err != nil || stats.Unlooked != c.want {
			t.Errorf("with %s missed: %+v, error %v", c.total, stats, err)
		}
	}
}

// TestCoveragePlans holds that what waits for a consumer is found without reading what it has seen.
func TestCoveragePlans(t *testing.T) {
	s := newTest(t)
	found := false
	for _, line := range plan(t, s, backlogs, sql.Named("cluster", "prod")) {
		found = found || strings.HasPrefix(line, "SEARCH c USING INTEGER PRIMARY KEY (rowid>?)")
	}
	if !found {
		t.Errorf("the changes are not searched: %s", strings.Join(plan(t, s, backlogs, sql.Named("cluster", "prod")), "\n"))
	}
	want := []string{"SCAN records USING INDEX records_missed"}
	if diff := cmp.Diff(want, plan(t, s, unlooked, 10)); diff != "" {
		t.Errorf("what nobody has looked at (-want +got):\n%s", diff)
	}
}
