package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// schema2 makes a history as the version before issues left it, with its own migrations and
// its own statements.
func schema2(t testing.TB, records []record.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.db")
	db, err := openPool(path, url2())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	c, err := sqlstore.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := &writer{db: db, codec: c}
	for len(records) > 0 {
		step := records[:min(1000, len(records))]
		records = records[len(step):]
		if err := w.transact(t.Context(), func(tx *sql.Tx) error { return store2(t.Context(), tx, c, step) }); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func url2() map[string][]string {
	p := writerParameters(true)
	p.Set("mode", "rwc")
	return p
}

func store2(ctx context.Context, tx *sql.Tx, c *sqlstore.Codec, records []record.Record) error {
	for _, r := range records {
		doc, err := sqlstore.MarshalRecord(r)
		if err != nil {
			return err
		}
		open := r.Stall != nil && r.End.IsZero()
		done, err := tx.ExecContext(ctx, `INSERT INTO records (id, at, kind, category, cause, cluster, namespace, pod, pod_uid, container,
			workload_kind, workload_name, node, open, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, sqlstore.Nanos(r.When()), string(r.Kind), string(r.Category), r.Diagnosis.Cause, r.Cluster, r.Namespace, r.Pod, r.PodUID, r.Container,
			r.Workload.Kind, r.Workload.Name, r.Node, open, c.PackRecord(doc))
		if err != nil {
			return err
		}
		seq, err := done.LastInsertId()
		if err != nil {
			return err
		}
		if r.Log != nil {
			log, err := sqlstore.Marshal(r.Log)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO logs (record, doc) VALUES (?, ?)", seq, c.PackLog(log)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO changes (record) VALUES (?)", seq); err != nil {
			return err
		}
		stops, stalls := 1, 0
		if r.Stall != nil {
			stops, stalls = 0, 1
		}
		if _, err := tx.ExecContext(ctx, "UPDATE totals SET stops = stops + ?, stalls = stalls + ?", stops, stalls); err != nil {
			return err
		}
	}
	return nil
}

// older are records of all sorts, in the order of time.
func older(n int) []record.Record {
	records := samples(0, n)
	for i := range records {
		r := &records[i]
		r.Workload.Name = fmt.Sprintf("service-%d", i%20)
		r.Namespace = "team"
		r.ExitCode = records[0].ExitCode
		switch i % 7 {
		case 1:
			r.Log = storetest.SampleLog(i)
		case 2:
			r.Diagnosis.Detail = "" // the same without its log: the cause is not known well
		case 3:
			r.Kind, r.Stop, r.Stall = record.KindStall, nil, &record.Stall{Begin: r.FinishedAt}
			r.Diagnosis.Cause = "unschedulable"
		case 4:
			r.Category, r.Diagnosis.Cause, r.Node = record.Disruption, "node_lost", "node-1"
		}
	}
	return records
}

func allIssues(t testing.TB, s *Store) []issue.Issue {
	t.Helper()
	issues, next, err := s.Issues(t.Context(), store.IssueQuery{Limit: 1 << 20})
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	return issues
}

// A history that a version without issues wrote has them after it was opened, as if this
// version had written it.
func TestBackfill(t *testing.T) {
	records := older(600)
	path := schema2(t, records)
	_, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	if err == nil || !strings.Contains(err.Error(), "older schema 2") {
		t.Fatalf("opened for reading: %v", err)
	}
	upgraded := openTest(t, Options{Path: path})
	fresh := newTest(t)
	mustAppend(t, fresh, records...)
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(allIssues(t, fresh), allIssues(t, upgraded)); diff != "" {
			t.Errorf("%s: the issues (-want +got):\n%s", what, diff)
		}
		for _, q := range []store.IncidentQuery{{}, {Node: "node-1"}} {
			want, errWant := fresh.Incidents(t.Context(), q)
			got, err := upgraded.Incidents(t.Context(), q)
			if diff := cmp.Diff(want, got); err != nil || errWant != nil || diff != "" || len(got) == 0 {
				t.Errorf("%s: the incidents (-want +got):\n%s", what, diff)
			}
		}
		want, _, errWant := fresh.List(t.Context(), store.Query{Limit: 1000})
		got, _, err := upgraded.List(t.Context(), store.Query{Limit: 1000})
		if diff := cmp.Diff(want, got); err != nil || errWant != nil || diff != "" {
			t.Errorf("%s: the records (-want +got):\n%s", what, diff)
		}
		s, err := upgraded.Stats(t.Context())
		if err != nil || s.Ungrouped != 0 || s.Issues == 0 {
			t.Errorf("%s: %+v, error %v", what, s, err)
		}
	}
	check("after opening")
	for _, s := range []*Store{upgraded, fresh} {
		again := records[7]
		again.Diagnosis.Cause = "oom_killed"
		mustAppend(t, s, again)
		mustAppend(t, s, samples(5000, 50)...)
	}
	check("after further appends")
	checkIntegrity(t, upgraded)
}

// More than is counted at the start is counted beside appends, refinements and retention;
// and where the process ends meanwhile, the next one goes on.
func TestBackfillInTheBackground(t *testing.T) {
	records := older(1500)
	path := schema2(t, records)
	var log bytes.Buffer
	s, err := Open(t.Context(), Options{Path: path, groupAtStart: 300})
	if err != nil {
		t.Fatal(err)
	}
	// One that is not counted yet, under another cause, and one that nobody has seen.
	late := records[len(records)-1]
	late.Diagnosis.Cause, late.Workload = "oom_killed", &record.Workload{Kind: "Deployment", Name: "late"}
	mustAppend(t, s, late, storetest.Sample(100_000))
	if _, err := s.Prune(t.Context(), store.Retention{Before: storetest.Epoch().Add(100 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil)), groupAtStart: 100})
	if err := s.groupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Ungrouped != 0 {
		t.Fatalf("%+v, error %v", stats, err)
	}
	// Every record is counted once: those that were removed too, whose issues are left.
	var counted int64
	for _, i := range allIssues(t, s) {
		counted += i.Count
	}
	if want := int64(len(records) + 1); counted != want || stats.Stops+stats.Stalls+stats.Pruned != want {
		t.Errorf("%d records are counted, %d stored and %d removed, want %d", counted, stats.Stops+stats.Stalls, stats.Pruned, want)
	}
	r, err := s.Get(t.Context(), late.ID)
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Issue(t.Context(), r.Issue.ID)
	if err != nil || i.Cause != "oom_killed" || i.Count != 1 {
		t.Errorf("the refined record is in %+v, error %v", i, err)
	}
	checkIntegrity(t, s)
}

// A record that cannot be read belongs to no issue, and does not hold up the others.
func TestBackfillOfABrokenRecord(t *testing.T) {
	path := schema2(t, older(10))
	execute(t, path, "UPDATE records SET doc = x'00' WHERE seq = 5")
	var log bytes.Buffer
	s := openTest(t, Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var counted int64
	for _, i := range allIssues(t, s) {
		counted += i.Count
	}
	if counted != 9 || !strings.Contains(log.String(), "cannot be counted") {
		t.Errorf("%d records are counted, and the log says %q", counted, log.String())
	}
	// The next sighting heals it, and is counted.
	mustAppend(t, s, older(10)[4])
	counted = 0
	for _, i := range allIssues(t, s) {
		counted += i.Count
	}
	if counted != 10 {
		t.Errorf("%d records are counted, want 10", counted)
	}
}

// An issue that cannot be read is made anew of the records that are stored.
func TestBrokenIssue(t *testing.T) {
	path := stored(t, 0)
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, older(100)...)
	want := allIssues(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, "UPDATE issues SET doc = x'00'", "UPDATE incidents SET doc = x'00'")
	var log bytes.Buffer
	s, err = Open(t.Context(), Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Issues(t.Context(), store.IssueQuery{}); err == nil || !strings.Contains(err.Error(), "read a stored issue") {
		t.Errorf("Issues of broken ones: %v", err)
	}
	again := older(100)
	for i := range again {
		again[i].Diagnosis.RulesVersion = "newer"
	}
	mustAppend(t, s, again...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Path: path})
	if got := allIssues(t, s); len(got) != len(want) {
		t.Errorf("there are %d issues, want %d", len(got), len(want))
	}
	var counted int64
	for _, i := range allIssues(t, s) {
		counted += i.Count
	}
	if counted != 100 {
		t.Errorf("%d records are counted, want 100", counted)
	}
	if !strings.Contains(log.String(), "cannot be read") {
		t.Errorf("the log says %q", log.String())
	}
}

// groupAll counts what is left.
func (s *Store) groupAll(ctx context.Context) error {
	for {
		n, err := s.groupSome(ctx, groupStep)
		if err != nil || n == 0 {
			return err
		}
	}
}
