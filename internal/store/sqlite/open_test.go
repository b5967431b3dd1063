package sqlite

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// stored returns the path of a closed store with n records.
func stored(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, samples(0, n)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every refusal is one sentence that names the file and says what is wrong or what to do,
// and leaves the file as it was.
func TestOpenRefuses(t *testing.T) {
	damage := func(at, length int) func(t *testing.T) string {
		return func(t *testing.T) string {
			path := stored(t, 200)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range length {
				content[at+i] = 0xA5
			}
			return write(t, path, content)
		}
	}
	for _, c := range []struct {
		name     string
		path     func(t *testing.T) string
		readOnly bool
		want     string
	}{
		{name: "no path", path: func(*testing.T) string { return "" }, want: "no path"},
		{name: "folder", path: func(t *testing.T) string { return t.TempDir() }, want: "it is a folder"},
		{name: "folder, reading", path: func(t *testing.T) string { return t.TempDir() }, readOnly: true, want: "it is a folder"},
		{name: "missing, reading", path: func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "x.db") }, readOnly: true, want: "no such file"},
		{name: "empty, reading", path: func(t *testing.T) string { return write(t, filepath.Join(t.TempDir(), "x.db"), nil) }, readOnly: true, want: "nothing was recorded"},
		// Nobody can make a folder there, not even root.
		{name: "folder below a file", path: func(t *testing.T) string {
			return filepath.Join(write(t, filepath.Join(t.TempDir(), "file"), nil), "sub", "x.db")
		}, want: "make its folder"},
		{name: "device", path: func(*testing.T) string { return os.DevNull }, want: "not a regular file"},
		{name: "text", path: func(t *testing.T) string {
			return write(t, filepath.Join(t.TempDir(), "x.db"), []byte("apiVersion: v1\nkind: ConfigMap\n"))
		}, want: "it is not a whyrestart history"},
		{name: "short text", path: func(t *testing.T) string {
			return write(t, filepath.Join(t.TempDir(), "x.db"), []byte("SQLite"))
		}, want: "it is not a whyrestart history"},
		{name: "database of another program", path: func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "x.db")
			execute(t, path, "CREATE TABLE bookmarks (url TEXT)")
			return path
		}, want: "another program"},
		{name: "database of another program, reading", path: func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "x.db")
			execute(t, path, "CREATE TABLE bookmarks (url TEXT)")
			return path
		}, readOnly: true, want: "another program"},
		{name: "newer schema", path: func(t *testing.T) string {
			path := stored(t, 1)
			execute(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
			return path
		}, want: "newer version of whyrestart (schema 99,"},
		{name: "newer schema, reading", path: func(t *testing.T) string {
			path := stored(t, 1)
			execute(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
			return path
		}, readOnly: true, want: "newer version of whyrestart (schema 99,"},
		{name: "older schema, reading", path: func(t *testing.T) string {
			path := stored(t, 1)
			execute(t, path, "DELETE FROM goose_db_version WHERE version_id > 0")
			return path
		}, readOnly: true, want: "older schema 0"},
		{name: "overwritten beginning", path: damage(0, 50), want: "its beginning is overwritten"},
		{name: "overwritten schema", path: damage(110, 3000), want: "the file is damaged"},
		{name: "overwritten page", path: damage(3*4096, 4096), want: "the file is damaged"},
		{name: "overwritten page, reading", path: damage(3*4096, 4096), readOnly: true, want: "the file is damaged"},
		{name: "missing end", path: func(t *testing.T) string {
			path := stored(t, 200)
			if err := os.Truncate(path, 20*4096); err != nil {
				t.Fatal(err)
			}
			return path
		}, want: "the file is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path(t)
			before := listing(t, path)
			s, err := Open(t.Context(), Options{Path: path, ReadOnly: c.readOnly})
			if err == nil {
				t.Fatal(s.Close(), "it was opened")
			}
			t.Log(err)
			text := err.Error()
			if !strings.HasPrefix(text, "open store "+path+": ") || !strings.Contains(text, c.want) {
				t.Errorf("%q does not begin with the path or lacks %q", text, c.want)
			}
			if strings.ContainsAny(text, "\n") {
				t.Errorf("%q has several lines", text)
			}
			if diff := cmp.Diff(before, listing(t, path)); diff != "" {
				t.Errorf("opening changed the folder (-before +after):\n%s", diff)
			}
		})
	}
}

// listing returns the content of what lies beside a path.
func listing(t *testing.T, path string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	if path == "" || path == os.DevNull {
		return out
	}
	err := filepath.WalkDir(filepath.Dir(path), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a folder that is not there
		}
		content, err := os.ReadFile(p)
		out[p] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpenCreates(t *testing.T) {
	// A path with what means something in the URL of a connection.
	path := filepath.Join(t.TempDir(), "new", "a b?mode=memory&x=%41#%", "history.db")
	var log bytes.Buffer
	s := openTest(t, Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mustAppend(t, s, storetest.Sample(1))
	for p, want := range map[string]fs.FileMode{path: 0o600, path + "-wal": 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, want %s", filepath.Base(p), info.Mode(), want)
		}
	}
	if !strings.Contains(log.String(), "upgraded") {
		t.Errorf("the log %q does not tell of the migration", log.String())
	}
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "auto_vacuum": "2", "busy_timeout": "5000", "application_id": "1465013076",
	} {
		var got string
		if err := s.writer.db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s; error %v", pragma, got, want, err)
		}
	}
}

// A process that died between the parts of a migration left a file that is no history yet.
func TestOpenAfterInterruptedMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	execute(t, path, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)")
	s := openTest(t, Options{Path: path})
	mustAppend(t, s, storetest.Sample(1))
}

// A history that an older version wrote is upgraded with everything in it.
func TestOpenOlderSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	first, err := migrations.ReadFile("migrations/0001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	c, err := sqlstore.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := record.Record{Kind: record.KindStall, ID: "0123456789", Cluster: "prod", Pod: "a", Stall: &record.Stall{Begin: storetest.Epoch()}}
	doc, err := sqlstore.MarshalRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, path, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1)", string(first),
		fmt.Sprintf(`INSERT INTO records VALUES (1, '%s', %d, 'stall', '', '', 'prod', '', 'a', '', '', '', '', '', x'%x')`,
			r.ID, storetest.Epoch().UnixNano(), c.PackRecord(doc)),
		"UPDATE totals SET stalls = 1")
	s := openTest(t, Options{Path: path})
	found, _, err := s.List(t.Context(), store.Query{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 1 && found[0].Issue != nil {
		found[0].Issue = nil
	}
	if diff := cmp.Diff([]record.Record{r}, found); diff != "" {
		t.Errorf("the open stalls of the older history (-want +got):\n%s", diff)
	}
	mustAppend(t, s, storetest.Sample(1))
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"3.51.3": true, "3.51.10": true, "3.52.0": true, "4.0.0": true,
		"3.51.2": false, "3.9.99": false, "2.99.99": false, "": false, "x": false, "3.51": false,
	} {
		if got := atLeast(version, [3]int{3, 51, 3}); got != want {
			t.Errorf("atLeast(%q) = %v", version, got)
		}
	}
}

func TestReadOnlyRefusesToWrite(t *testing.T) {
	s := openTest(t, Options{Path: stored(t, 1), ReadOnly: true})
	_, prune := s.Prune(t.Context(), store.Retention{MaxBytes: 1})
	issues := allIssues(t, s)
	if len(issues) != 1 {
		t.Fatalf("there are %d issues", len(issues))
	}
	_, amend := s.Amend(t.Context(), issues[0].ID, issue.Action{Status: issue.StatusMuted, At: storetest.Epoch()})
	for _, err := range []error{
		s.Append(t.Context(), store.Batch{Records: samples(1, 1)}),
		prune,
		amend,
		s.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), "open for reading only") {
			t.Errorf("writing ended with %v", err)
		}
	}
	if n := count(t, s); n != 1 {
		t.Errorf("there are %d records", n)
	}
}

// A closed store is read without a trace, also where nothing could be written.
func TestReadOnlyLeavesNoTrace(t *testing.T) {
	path := stored(t, 20)
	before := listing(t, path)
	if len(before) != 1 {
		t.Fatalf("a closed store has %d files", len(before))
	}
	s := openTest(t, Options{Path: path, ReadOnly: true})
	records, _, err := s.List(t.Context(), store.Query{})
	if err != nil || len(records) != 20 {
		t.Errorf("%d records, error %v", len(records), err)
	}
	if diff := cmp.Diff(before, listing(t, path)); diff != "" {
		t.Errorf("reading changed the folder (-before +after):\n%s", diff)
	}
}

// A reader follows a writer in another pool of connections, as another process would: it
// sees what was committed last, whether it or the writer was first, and while the writer
// comes and goes.
func TestReadOnlyBesideAWriter(t *testing.T) {
	path := stored(t, 1)
	reader := openTest(t, Options{Path: path, ReadOnly: true})
	n := 1
	for range 3 {
		writer, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mustAppend(t, writer, storetest.Sample(n))
			n++
			if got := count(t, reader); got != int64(n) {
				t.Errorf("the reader sees %d records of %d", got, n)
			}
		}
		late := openTest(t, Options{Path: path, ReadOnly: true})
		if got := count(t, late); got != int64(n) {
			t.Errorf("a late reader sees %d records of %d", got, n)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		if got := count(t, reader); got != int64(n) {
			t.Errorf("after the writer left, the reader sees %d records of %d", got, n)
		}
	}
}

// A person decides about an issue while a server appends to the same file, each with a pool of
// connections of its own, as two processes have: what one wrote the other goes on from.
func TestAmendBesideAWriter(t *testing.T) {
	path := stored(t, 0)
	server := openTest(t, Options{Path: path})
	storm := func(n int) record.Record {
		r := storetest.Sample(n)
		r.Workload.Name, r.Namespace, r.ExitCode = "checkout", "shop", new(int32(1))
		return r
	}
	mustAppend(t, server, storm(0))
	id := allIssues(t, server)[0].ID
	const n = 60
	var appending sync.WaitGroup
	appending.Go(func() {
		for i := 1; i < n; i++ {
			if err := server.Append(t.Context(), store.Batch{Records: []record.Record{storm(i)}}); err != nil {
				t.Errorf("append: %v", err)
			}
		}
	})
	person := openTest(t, Options{Path: path})
	statuses := []issue.Status{issue.StatusMuted, issue.Open, issue.StatusArchived}
	for k := range 30 {
		got, err := person.Amend(t.Context(), id, issue.Action{Status: statuses[k%3], At: storetest.Epoch(), Note: fmt.Sprint(k)})
		if err != nil || got.Status != statuses[k%3] {
			t.Errorf("amend: %+v, %v", got.Status, err)
		}
	}
	appending.Wait()
	for _, s := range []*Store{server, person} {
		i, err := s.Issue(t.Context(), id)
		if err != nil || i.Count != n || i.Status != issue.StatusArchived || i.Note != "29" {
			t.Errorf("the issue has %d records and the status %s by %q, error %v", i.Count, i.Status, i.Note, err)
		}
	}
}

// What a killed server left, with its log, is readable too.
func TestReadOnlyAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	writer := openTest(t, Options{Path: path})
	mustAppend(t, writer, samples(0, 30)...)
	left := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		write(t, left+suffix, content)
	}
	reader := openTest(t, Options{Path: left, ReadOnly: true})
	if n := count(t, reader); n != 30 {
		t.Errorf("there are %d records, want 30", n)
	}
}
