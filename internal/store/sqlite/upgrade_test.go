package sqlite

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// testdata/schemaN.db.gz are histories that the last version with schema N wrote itself, with its
// own code: of 1, commit 5403fae, of 2, 217a4d0, of 3, d1e4bcd. schemaN.json.gz is what that version
// read from them. They are never written again. (Schema 1 knew no end of a stall.)

// released are the sums of the migrations that histories in the field were made with. One that
// is changed would leave two kinds of files with the same number of a schema: what is to
// be changed goes into a new one, whose sum is added here when it is released.
var released = map[string]string{
	"0001_init.sql":     "19b0d657b6d07138f17bfcac9d5c123e204b927b4fd5fe9926533109eb26506e",
	"0002_evidence.sql": "4cf58e8c2f8743b308ed339737a95c2214fbeb5a48410efe4d1f235e9d4c73b5",
	"0003_issues.sql":   "5ef879a423c2279c50130d668567f2bd1ad85fddec4702c766b613bb747ca38e",
}

func TestReleasedMigrationsStay(t *testing.T) {
	for name, want := range released {
		content, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s was released and is changed: its sum is %s, want %s", name, got, want)
		}
	}
}

// wrote is what the older version read from the history that it had written.
type wrote struct {
	Schema         int
	Records        []record.Record
	Evidence       map[string]evidence.Evidence
	Marks          []record.Mark
	Gaps           []record.Gap
	Scopes         map[string]store.Scope
	Pending        map[string][]string // by consumer
	Open           []string
	Missed, Pruned int64
	Issues         []issue.Issue
	Incidents      []issue.Incident
	Observations   []record.Observation
}

func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// eachSchema runs a test for each released schema.
func eachSchema(t *testing.T, do func(t *testing.T, history []byte, w wrote)) {
	for schema := 1; schema <= 3; schema++ {
		t.Run(fmt.Sprintf("schema %d", schema), func(t *testing.T) {
			var w wrote
			if err := json.Unmarshal(unpacked(t, fmt.Sprintf("schema%d.json.gz", schema)), &w); err != nil {
				t.Fatal(err)
			}
			if w.Schema != schema || len(w.Records) == 0 || len(w.Open) == 0 || len(w.Marks) == 0 || len(w.Gaps) == 0 || len(w.Pending) == 0 {
				t.Fatalf("the file says too little: schema %d, %d records", w.Schema, len(w.Records))
			}
			do(t, unpacked(t, fmt.Sprintf("schema%d.db.gz", schema)), w)
		})
	}
}

func old(t *testing.T, history []byte) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "history.db"), history)
}

// A history of each released schema is upgraded with everything in it, and is the same after it
// is opened again.
func TestUpgrade(t *testing.T) {
	eachSchema(t, func(t *testing.T, history []byte, w wrote) {
		path := old(t, history)
		for range 2 {
			s, err := Open(t.Context(), Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			w.check(t, s)
			checkIntegrity(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s := openTest(t, Options{Path: path, ReadOnly: true})
		w.check(t, s)
	})
}

// check compares a history with what the older version read from it.
func (w *wrote) check(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	for _, want := range w.Records {
		got, err := s.Get(ctx, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Issue == nil && got.Category == record.Failure {
			t.Errorf("%s belongs to no issue", got.ID)
		}
		if w.Schema >= 3 && want.Issue != nil && (got.Issue == nil || got.Issue.ID != want.Issue.ID) {
			t.Errorf("%s is in issue %+v, was in %+v", got.ID, got.Issue, want.Issue)
		}
		got.Issue, want.Issue = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a record with its log (-written +read):\n%s", diff)
		}
		e, err := s.Evidence(ctx, want.ID)
		was, had := w.Evidence[want.ID]
		if had != (err == nil) {
			t.Errorf("evidence of %s: %v, the older version had it: %v", want.ID, err, had)
		}
		if diff := cmp.Diff(was, e); diff != "" {
			t.Errorf("the evidence (-written +read):\n%s", diff)
		}
	}
	w.checkMarks(t, s)
	w.checkCoverage(t, s)
	w.checkOutboxes(t, s)
	w.checkIssues(t, s)
}

func (w *wrote) checkMarks(t *testing.T, s *Store) {
	t.Helper()
	var marks []record.Mark
	err := s.Marks(t.Context(), "prod", func(m record.Mark) bool {
		marks = append(marks, m)
		return true
	})
	byUID := cmpopts.SortSlices(func(a, b record.Mark) bool { return a.PodUID < b.PodUID })
	if diff := cmp.Diff(w.Marks, marks, byUID); diff != "" || err != nil {
		t.Errorf("the marks (-written +read), error %v:\n%s", err, diff)
	}
}

func (w *wrote) checkCoverage(t *testing.T, s *Store) {
	t.Helper()
	gaps, err := s.Gaps(t.Context(), "prod", time.Time{}, time.Time{})
	for i := range gaps {
		if k := gaps[i].Kind; k != "" && k != record.GapWatch {
			t.Errorf("an old gap is of kind %q", k)
		}
		gaps[i].Kind = ""
	}
	if diff := cmp.Diff(w.Gaps, gaps); diff != "" || err != nil {
		t.Errorf("the gaps (-written +read), error %v:\n%s", err, diff)
	}
	for name, want := range w.Scopes {
		got, err := s.Scope(t.Context(), "prod", name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("the scope %q (-written +read), error %v:\n%s", name, err, diff)
		}
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Stops+stats.Stalls != int64(len(w.Records)) || stats.Missed != w.Missed || stats.Pruned != w.Pruned ||
		stats.Marks != int64(len(w.Marks)) || stats.Ungrouped != 0 {
		t.Errorf("stats: %+v, error %v", stats, err)
	}
	open, _, err := s.List(t.Context(), store.Query{Open: true})
	var ids []string
	for _, r := range open {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(w.Open)), slices.Sorted(slices.Values(ids))); diff != "" || err != nil {
		t.Errorf("the stalls that last (-written +read), error %v:\n%s", err, diff)
	}
}

// checkOutboxes holds that each consumer gets what it had not acknowledged, in the same order and
// once, in whatever number of shards it is read, and nothing that it had.
func (w *wrote) checkOutboxes(t *testing.T, s *Store) {
	t.Helper()
	of := make(map[string]string)
	for _, r := range w.Records {
		of[r.ID] = r.Cluster
	}
	for _, cluster := range []string{"prod", "edge"} {
		for consumer, pending := range w.Pending {
			want := slices.DeleteFunc(slices.Clone(pending), func(id string) bool { return of[id] != cluster })
			for _, shards := range []int{1, 3} {
				var got []string
				for i := range shards {
					o := store.Outbox{Cluster: cluster, Consumer: consumer, Shard: shard.Shard{Index: i, Of: shards}}
					changes, err := s.Changes(t.Context(), o, 0)
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range changes {
						got = append(got, c.Record.ID)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("what waits for %s of %s in %d shards (-written +read):\n%s", consumer, cluster, shards, diff)
				}
			}
		}
	}
}

func (w *wrote) checkIssues(t *testing.T, s *Store) {
	t.Helper()
	issues := allIssues(t, s)
	var counted int64
	for _, i := range issues {
		counted += i.Count
	}
	if w.Schema < 3 { // they are made of the records
		if counted != int64(len(w.Records)) {
			t.Errorf("issues count %d of %d records", counted, len(w.Records))
		}
		return
	}
	// What an issue counted and retention removed it goes on counting.
	if want := int64(len(w.Records)) + w.Pruned; counted != want {
		t.Errorf("issues count %d of %d records", counted, want)
	}
	statuses := make(map[issue.Status]bool)
	byID := make(map[string]issue.Issue)
	for _, i := range issues {
		statuses[i.Status] = true
		byID[i.ID] = i
	}
	if !statuses[issue.StatusMuted] || !statuses[issue.StatusArchived] || !statuses[issue.StatusResolved] {
		t.Errorf("what people decided is not there: %v", statuses)
	}
	if len(issues) != len(w.Issues) {
		t.Errorf("%d issues, want %d", len(issues), len(w.Issues))
	}
	for _, want := range w.Issues {
		if diff := cmp.Diff(plain(t, want), plain(t, byID[want.ID])); diff != "" {
			t.Errorf("an issue (-written +read):\n%s", diff)
		}
	}
	incidents, err := s.Incidents(t.Context(), store.IncidentQuery{})
	if diff := cmp.Diff(plain(t, w.Incidents), plain(t, incidents)); diff != "" || err != nil {
		t.Errorf("the incidents (-written +read), error %v:\n%s", err, diff)
	}
	observed, err := s.Observations(t.Context(), "prod", "Node node-1", time.Time{})
	if diff := cmp.Diff(w.Observations, observed); diff != "" || err != nil {
		t.Errorf("what was observed (-written +read), error %v:\n%s", err, diff)
	}
}

// plain is what the JSON of a value says.
func plain(t *testing.T, v any) any {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(doc, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// An upgraded history goes on: what is acknowledged does not come again, what is stored anew comes
// once and after the rest, and a stop of before that is seen again is the same.
func TestUpgradedGoesOn(t *testing.T) {
	eachSchema(t, func(t *testing.T, history []byte, w wrote) {
		path := old(t, history)
		s := openTest(t, Options{Path: path})
		o := store.Outbox{Cluster: "prod", Consumer: "stdout"}
		last := int64(0)
		changes, err := s.Changes(t.Context(), o, 0)
		if err != nil || len(changes) == 0 {
			t.Fatalf("%d changes, error %v", len(changes), err)
		}
		for _, c := range changes {
			if c.Seq <= last {
				t.Errorf("change %d after %d", c.Seq, last)
			}
			last = c.Seq
		}
		if err := s.Acknowledge(t.Context(), o, last); err != nil {
			t.Fatal(err)
		}
		before, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again := w.Records[10]
		again.Issue = nil
		fresh := storetest.Sample(5000)
		mustAppend(t, s, again, fresh)
		after, err := s.Stats(t.Context())
		if err != nil || after.Stops != before.Stops+1 {
			t.Errorf("%d stops, then %d, error %v", before.Stops, after.Stops, err)
		}
		changes, err = s.Changes(t.Context(), o, 0)
		if err != nil || len(changes) != 1 || changes[0].Record.ID != fresh.ID || changes[0].Seq <= last {
			t.Errorf("%d changes after change %d, error %v", len(changes), last, err)
		}
	})
}

func TestUpgradeReadOnly(t *testing.T) {
	eachSchema(t, func(t *testing.T, history []byte, w wrote) {
		path := old(t, history)
		before := listing(t, path)
		s, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
		if err == nil {
			t.Fatal(s.Close(), "it was opened")
		}
		want, werr := sqlstore.LastMigration(migrations)
		if werr != nil {
			t.Fatal(werr)
		}
		for _, words := range []string{fmt.Sprintf("older schema %d ", w.Schema), fmt.Sprintf("reads %d;", want), "a server of this version upgrades it"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q lacks %q", err, words)
			}
		}
		if diff := cmp.Diff(before, listing(t, path)); diff != "" {
			t.Errorf("opening changed the folder (-before +after):\n%s", diff)
		}
	})
}

// A newer schema is refused, by a sentence that names both and says what to do.
func TestNewerSchemaIsRefused(t *testing.T) {
	path := stored(t, 1)
	want, err := sqlstore.LastMigration(migrations)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, path, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)", want+1))
	for _, readOnly := range []bool{false, true} {
		before := listing(t, path)
		s, err := Open(t.Context(), Options{Path: path, ReadOnly: readOnly})
		if err == nil {
			t.Fatal(s.Close(), "it was opened")
		}
		for _, words := range []string{"newer version", fmt.Sprintf("schema %d,", want+1), fmt.Sprintf("up to %d", want), "use that version"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q lacks %q", err, words)
			}
		}
		if diff := cmp.Diff(before, listing(t, path)); diff != "" {
			t.Errorf("opening changed the folder (-before +after):\n%s", diff)
		}
	}
}

// A kill during an upgrade leaves the file and some beginning of the write-ahead log, which every
// statement makes longer: each of these opens again, with everything in it.
func TestUpgradeKilled(t *testing.T) {
	eachSchema(t, func(t *testing.T, history []byte, w wrote) {
		path := old(t, history)
		p := writerParameters(false)
		p["_pragma"] = append(slices.Clone(p["_pragma"]), "wal_autocheckpoint(0)")
		db, err := openPool(path, p)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		if err := migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		ends, commits := cuts(log)
		if commits < 4-w.Schema {
			t.Fatalf("%d transactions upgraded schema %d", commits, w.Schema)
		}
		t.Logf("%d bytes of log, %d transactions, %d places of a kill", len(log), commits, len(ends))
		for _, end := range ends {
			left := old(t, file)
			write(t, left+"-wal", log[:end])
			s, err := Open(t.Context(), Options{Path: left})
			if err != nil {
				t.Fatalf("after a kill at byte %d of the log: %v", end, err)
			}
			w.check(t, s)
			checkIntegrity(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if t.Failed() {
				t.Fatalf("after a kill at byte %d of the log", end)
			}
		}
	})
}

// cuts returns where a log may end that a kill left: after its header, around each commit, and at
// a few places between them, also within a frame. https://www.sqlite.org/fileformat2.html#the_write_ahead_log
func cuts(log []byte) (ends []int, commits int) {
	const header, frame = 32, 24 + 4096
	at := map[int]bool{0: true, header: true, len(log): true}
	for n := 0; header+(n+1)*frame <= len(log); n++ {
		begin := header + n*frame
		end := begin + frame
		if binary.BigEndian.Uint32(log[begin+4:]) != 0 { // the size of the database: the last frame of a transaction
			commits++
			at[begin], at[end-100], at[end] = true, true, true
		}
		if n%29 == 0 {
			at[end], at[begin+500] = true, true
		}
	}
	return slices.Sorted(maps.Keys(at)), commits
}

// A disk that is full at any page of the upgrade: it is refused with words, and the same file
// is upgraded once there is room.
func TestUpgradeFullDisk(t *testing.T) {
	eachSchema(t, func(t *testing.T, history []byte, w wrote) {
		path := old(t, history)
		failed := 0
		for more := 0; ; more++ {
			err := migrateWithin(t.Context(), path, len(history)/4096+more)
			if err == nil {
				break
			}
			failed++
			if text := fmt.Errorf("open store: %w", explain(err)).Error(); !strings.Contains(text, "full") || strings.Contains(text, "\n") {
				t.Fatalf("with room for %d more pages: %q", more, text)
			}
		}
		if failed == 0 {
			t.Error("the disk was never full")
		}
		s := openTest(t, Options{Path: path})
		w.check(t, s)
		checkIntegrity(t, s)
	})
}

func migrateWithin(ctx context.Context, path string, pages int) error {
	p := writerParameters(false)
	p["_pragma"] = append(slices.Clone(p["_pragma"]), fmt.Sprintf("max_page_count(%d)", pages))
	db, err := openPool(path, p)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var log bytes.Buffer
	return migrate(ctx, db, slog.New(slog.NewTextHandler(&log, nil)))
}
