package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	rows, err := s.writer.db.QueryContext(t.Context(), "PRAGMA "+text)
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk, as SQLite sees it when a file cannot grow: nothing of the batch is stored,
// what is stored can be read, and the same batch is taken once there is room.
func TestFullDisk(t *testing.T) {
	s := newTest(t)
	mustAppend(t, s, samples(0, 50)...)
	var pages int
	if err := s.writer.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	pragma(t, s, fmt.Sprintf("max_page_count = %d", pages+3))

	batch := store.Batch{
		Records: samples(50, 500), Cluster: "prod",
		Marks: []record.Mark{{ContainerKey: record.ContainerKey{PodUID: "a"}}},
	}
	for range 3 {
		err := s.Append(t.Context(), batch)
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
			t.Fatalf("append to a full disk: %v", err)
		}
		t.Log(err)
	}
	stats, err := s.Stats(t.Context())
	var counted int64
	for _, i := range allIssues(t, s) {
		counted += i.Count
	}
	if err != nil || stats.Stops != 50 || stats.Marks != 0 || counted != 50 {
		t.Errorf("after failed appends: %+v, error %v", stats, err)
	}
	if _, err := s.Prune(t.Context(), store.Retention{Before: storetest.Epoch()}); err != nil {
		t.Errorf("pruning a full store: %v", err)
	}

	pragma(t, s, "max_page_count = 1000000")
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatalf("append after the disk has room again: %v", err)
	}
	if n := count(t, s); n != 550 {
		t.Errorf("there are %d records, want 550", n)
	}
	checkIntegrity(t, s)
}

// A disk that became read-only, and another process that holds the lock.
func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		name      string
		from, to  string
		wantWords string
	}{
		{"read-only", "query_only = 1", "query_only = 0", "readonly"},
		{"locked", "busy_timeout = 1", "busy_timeout = 5000", "locked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTest(t)
			mustAppend(t, s, storetest.Sample(0))
			pragma(t, s, c.from)
			release := func() {}
			if c.name == "locked" {
				other := openTest(t, Options{Path: s.path})
				tx, err := other.writer.db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				release = func() {
					if err := tx.Rollback(); err != nil {
						t.Error(err)
					}
				}
			}
			_, prune := s.Prune(t.Context(), store.Retention{Before: storetest.Epoch().AddDate(1, 0, 0)})
			_, amend := s.Amend(t.Context(), allIssues(t, s)[0].ID, issue.Action{Status: issue.StatusMuted, At: storetest.Epoch()})
			for _, err := range []error{
				s.Append(t.Context(), store.Batch{Records: samples(1, 1)}),
				s.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 1),
				prune,
				amend,
			} {
				if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.wantWords) {
					t.Errorf("writing ended with %v", err)
				}
			}
			if n := count(t, s); n != 1 {
				t.Errorf("there are %d records, want 1", n)
			}
			release()
			pragma(t, s, c.to)
			mustAppend(t, s, storetest.Sample(1))
			if n := count(t, s); n != 2 {
				t.Errorf("there are %d records, want 2", n)
			}
		})
	}
}

// What cannot pass by itself is not called unavailable: trying again would go on for ever.
func TestDamageIsNotUnavailable(t *testing.T) {
	path := stored(t, 100)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[4096:])
	db, err := openPool(write(t, path, content), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, damage := db.ExecContext(t.Context(), "UPDATE records SET node = 'x'")
	if err := writeError("append", damage); err == nil || errors.Is(err, store.ErrUnavailable) || !errors.Is(err, errDamaged) {
		t.Errorf("writing to a damaged file: %v", err)
	}
}

// A record that cannot be read says so, and the next sighting of its stop heals it.
func TestBrokenRecord(t *testing.T) {
	var log bytes.Buffer
	s := openTest(t, Options{Path: stored(t, 10), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := s.writer.db.ExecContext(t.Context(), "UPDATE records SET doc = x'00' WHERE seq = 7"); err != nil {
		t.Fatal(err)
	}
	want := storetest.Sample(6)
	if _, err := s.Get(t.Context(), want.ID); err == nil || !strings.Contains(err.Error(), "read a stored record") {
		t.Errorf("Get of a broken record: %v", err)
	}
	if _, _, err := s.List(t.Context(), store.Query{}); err == nil || !strings.Contains(err.Error(), "read a stored record") {
		t.Errorf("List of a broken record: %v", err)
	}
	mustAppend(t, s, want)
	got, err := s.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Issue == nil || got.Issue.Count != 1 {
		t.Errorf("its issue is %+v", got.Issue)
	}
	got.Issue = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the healed record differs (-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), want.ID) {
		t.Errorf("the log %q does not name it", log.String())
	}
	if n := count(t, s); n != 10 {
		t.Errorf("there are %d records, want 10", n)
	}
}

func checkIntegrity(t testing.TB, s *Store) {
	t.Helper()
	var result string
	if err := s.writer.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity_check: %s, error %v", result, err)
	}
	rows, err := s.writer.db.QueryContext(t.Context(), "PRAGMA foreign_key_check")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if rows.Next() {
		t.Error("foreign_key_check found a row without its record")
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}
