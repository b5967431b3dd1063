package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// execute changes a database as another program would.
func execute(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Several processes that start at once make the schema once.
func TestOpenAtOnce(t *testing.T) {
	url := pgtest.NewDatabase(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := Open(t.Context(), Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(1)}}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stats, err := openTest(t, Options{URL: url, ReadOnly: true}).Stats(t.Context())
	if err != nil || stats.Stops != 1 {
		t.Errorf("%d stops, error %v", stats.Stops, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	server := pgtest.Shared(t)
	for name, c := range map[string]struct {
		before   []string
		readOnly bool
		want     string
	}{
		"an empty one to read": {readOnly: true, want: "nothing was recorded in this database yet"},
		"another program's":    {before: []string{"CREATE SCHEMA whyrestart", "CREATE TABLE whyrestart.users (x int)"}, want: "tables of another program"},
		"a newer one":          {before: []string{"", "INSERT INTO whyrestart.goose_db_version (version_id, is_applied) VALUES (1000, true)"}, want: "newer version of whyrestart (schema 1000"},
		"a newer one to read":  {before: []string{"", "INSERT INTO whyrestart.goose_db_version (version_id, is_applied) VALUES (1000, true)"}, readOnly: true, want: "newer version of whyrestart (schema 1000"},
		"an older one to read": {before: []string{"", "DELETE FROM whyrestart.goose_db_version WHERE version_id > 0", "INSERT INTO whyrestart.goose_db_version (version_id, is_applied) VALUES (0, true)"}, readOnly: true, want: "nothing was recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			url := server.NewDatabase(t)
			if len(c.before) > 0 && c.before[0] == "" {
				s, err := Open(t.Context(), Options{URL: url})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				c.before = c.before[1:]
			}
			execute(t, url, c.before...)
			s, err := Open(t.Context(), Options{URL: url, ReadOnly: c.readOnly})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "open store PostgreSQL database test_") || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v: want %q", err, c.want)
			}
		})
	}
}

// Nothing that is said has the password, or the connection string, in it.
func TestSecrets(t *testing.T) {
	const secret = "hunter2-%41"
	for _, url := range []string{
		"postgres://kim:hunter2-%2541@127.0.0.1:1/prod?connect_timeout=1",
		"postgres://kim:hunter2-%2541@127.0.0.1:1,127.0.0.1:2/prod?connect_timeout=1&sslmode=disable",
		"host=127.0.0.1 port=1 user=kim password=hunter2-%41 dbname=prod connect_timeout=1",
		"postgres://kim:hunter2-%41@127.0.0.1:x/prod",
		"postgres://kim:hunter2-%4@127.0.0.1/prod",
		"postgres://kim:hunter2-[@127.0.0.1/prod?sslmode=hunter2-%2541",
		"host=127.0.0.1 password=hunter2-%41 sslmode=none",
	} {
		s, err := Open(t.Context(), Options{URL: url})
		if err == nil {
			s.Close()
			t.Fatalf("%s was opened", url)
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
		if strings.Contains(url, ":1") || strings.Contains(url, "port=1") {
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
				t.Errorf("a server that is away: %v", err)
			}
		}
	}
}

// A role that may make no schema works in one that was made for it, and is told so otherwise; what a
// database has beside it stays as it is.
func TestRoleWithoutRights(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := server.NewDatabase(t)
	execute(t, url, "CREATE ROLE plain LOGIN", "CREATE TABLE public.others (x int)")
	plainURL := strings.Replace(url, pgtest.Superuser+"@", "plain@", 1)
	if _, err := Open(t.Context(), Options{URL: plainURL}); err == nil || !strings.Contains(err.Error(), "CREATE SCHEMA whyrestart AUTHORIZATION") {
		t.Errorf("%v: it does not say what is needed", err)
	}
	execute(t, url, "CREATE SCHEMA whyrestart AUTHORIZATION plain")
	s := openTest(t, Options{URL: plainURL})
	if err := s.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(1)}}); err != nil {
		t.Error(err)
	}
	if _, err := s.Prune(t.Context(), store.Retention{Before: time.Now()}); err != nil {
		t.Error(err)
	}
	if got := server.Exec(t, s.pool.Config().ConnConfig.Database, "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != "others" {
		t.Errorf("beside the schema there is %s", got)
	}
}

func TestReadOnly(t *testing.T) {
	url := pgtest.NewDatabase(t)
	w := openTest(t, Options{URL: url})
	s := openTest(t, Options{URL: url, ReadOnly: true})
	if err := w.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(1)}}); err != nil {
		t.Fatal(err)
	}
	if stats, err := s.Stats(t.Context()); err != nil || stats.Stops != 1 || stats.Location != w.location || strings.Contains(stats.Location, "@") {
		t.Errorf("%+v, error %v", stats, err)
	}
	_, pruned := s.Prune(t.Context(), store.Retention{})
	_, claimed := s.Claim(t.Context(), "prod", store.Outbox{}.Shard)
	for _, err := range []error{
		s.Append(t.Context(), store.Batch{Records: []record.Record{storetest.Sample(2)}}), pruned, claimed,
		s.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 1),
	} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("a store that is open to read: %v", err)
		}
	}
}
