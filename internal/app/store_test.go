package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func TestStoreNameHasNoSecrets(t *testing.T) {
	for _, c := range []struct{ location, want string }{
		{"/var/lib/whyrestart/whyrestart.db", "/var/lib/whyrestart/whyrestart.db"},
		{"postgres://me:hunter2@db.example:5433/history?sslmode=require", "PostgreSQL database history on db.example:5433"},
		{"PostgreSQL://me:hunter2@a,b:5433/history?password=hunter2", "PostgreSQL database history on a, b:5433"},
		{"postgres:///history?host=/run/postgresql&password=hunter2", "PostgreSQL database history on /run/postgresql"},
		{"postgres://", "PostgreSQL"},
		{"postgres://me:hunt%zzer2@db/history", "a database"},
		{"postgres://me:hunter2#x@db/history", "a database"},
		{"mysql://me:hunter2@db/history", "a database"},
		{"postgres:me:hunter2@db/history", "a database"},
		{"host=db user=me password=hunter2", "a database"},
	} {
		if got := StoreName(c.location); got != c.want {
			t.Errorf("StoreName(%q) = %q, want %q", c.location, got, c.want)
		}
	}
}

func TestHideURLs(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"open /tmp/postgres.db: no such file", "open /tmp/postgres.db: no such file"},
		{"--store: not a valid postgres:// URL; see postgres: what it is", "--store: not a valid postgres:// URL; see postgres: what it is"},
		{"cannot parse `postgres://me:hunter2@db/x`: no", "cannot parse `postgres:...`: no"},
		{"open postgres:///x?host=/run&password=hunter2: no", "open postgres:... no"},
		{`unknown shorthand flag: 's' in -store=postgresql://me:hunter2@db/x`, `unknown shorthand flag: 's' in -store=postgresql:...`},
		{"open store host=db password=hunter2: no such file", "open store host=db password=... no such file"},
		{"open store host=db password='hunter 2' x: no such file", "open store host=db password=... x: no such file"},
		{"FATAL: password authentication failed for user \"me\"", "FATAL: password authentication failed for user \"me\""},
	} {
		if got := HideURLs(c.text); got != c.want {
			t.Errorf("HideURLs(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

// What is no URL of PostgreSQL is not taken for the path of a file, which would be made and
// named by its password.
func TestOpenStoreRefusesWhatIsNoPath(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, location := range []string{
		"mysql://me:hunter2@db/x", "postgres:/me:hunter2@db/x", "postgres:me:hunter2@db", "host=db password=hunter2", "password = hunter2",
		"postgres://me:hunter2#x@db/x", "postgres://me:hunter2/x@db/x", "postgres://me:a@hunter2@db/x", "postgres://me:hunter2%zz@db/x", "postgres://me:hunter2@db:port/x", "POSTGRES://me:hunter2@[::1/x",
	} {
		db, err := OpenStore(t.Context(), StoreOptions{Location: location})
		if err == nil {
			t.Errorf("%s: it was opened", location)
			db.Close()
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || !strings.HasPrefix(text, "--store: ") {
			t.Errorf("%s: %s", location, text)
		}
	}
	if made, err := filepath.Glob("*"); err != nil || len(made) > 0 {
		t.Errorf("files were made: %q, %v", made, err)
	}
}

// stub is a history whose Append answers as it is told.
type stub struct {
	store.Store
	mu    sync.Mutex
	err   error
	asked int
}

func (s *stub) Append(context.Context, store.Batch) error { return s.err }

func (s *stub) Scope(context.Context, string, string) (store.Scope, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return store.Scope{}, s.err
}

func (s *stub) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *stub) Close() error { return nil }

// A history that is asked for notices an outage where nothing is written, and that it has passed; a disk
// that is full, and can be read, is not taken for one that has room.
func TestAHistoryIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		h := heed(s, slog.New(slog.DiscardHandler))
		if heed(h, nil) != h {
			t.Error("it is heeded twice")
		}
		h.inquire(t.Context(), "prod")
		state := func(after time.Duration, away bool) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := h.away(); (got != nil) != away {
				t.Errorf("away: %v", got)
			}
		}
		state(time.Minute, false)
		s.set(store.ErrUnavailable)
		state(askEvery, true)
		s.set(nil)
		state(askAgain, false)
		s.set(store.ErrUnavailable)
		if err := h.Append(t.Context(), store.Batch{}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Append: %v", err)
		}
		s.set(nil)
		state(time.Minute, true)
		if err := h.Append(t.Context(), store.Batch{}); err != nil {
			t.Errorf("Append: %v", err)
		}
		state(0, false)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		asked := s.asked
		if time.Sleep(time.Minute); asked == 0 || s.asked != asked {
			t.Errorf("asked %d times, and %d times after it was closed", asked, s.asked-asked)
		}
	})
}

// List hangs.
func (s *stub) List(ctx context.Context, _ store.Query) ([]record.Record, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

// A database that hangs costs one who reads of the past a while, and then nobody any more, until
// it answers again.
func TestAHistoryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := heed(&stub{}, slog.New(slog.NewTextHandler(&log, nil)))
		took := func() time.Duration {
			t.Helper()
			began := time.Now()
			if _, _, err := h.List(t.Context(), store.Query{}); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("List: %v", err)
			}
			return time.Since(began)
		}
		for range 2 {
			if d := took(); d != glancing {
				t.Errorf("the first took %v", d)
			}
			if d := took(); d != 0 {
				t.Errorf("the second took %v", d)
			}
			if err := h.Append(t.Context(), store.Batch{}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := h.List(ctx, store.Query{}); errors.Is(err, store.ErrUnavailable) {
			t.Errorf("that nobody waited is told as an outage: %v", err)
		}
		if n := strings.Count(log.String(), "is away"); n != 2 {
			t.Errorf("the log is\n%s", log.String())
		}
	})
}

func TestAnOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &stub{}
		h := heed(s, slog.New(slog.NewTextHandler(&log, nil)))
		try := func(err error) {
			s.err = err
			if got := h.Append(t.Context(), store.Batch{}); !errors.Is(got, err) {
				t.Errorf("Append returned %v, not %v", got, err)
			}
			time.Sleep(20 * time.Second)
		}
		away := fmt.Errorf("connect: %w", store.ErrUnavailable)
		try(nil)
		for range 4 {
			try(away)
		}
		try(context.Canceled) // tells nothing of the store
		try(nil)
		try(nil)
		try(away)
		try(nil)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[0], "is away") || !strings.Contains(lines[1], "after=1m40s") || !strings.Contains(lines[3], "after=20s") {
			t.Errorf("the log is\n%s", log.String())
		}
	})
}

func TestDoor(t *testing.T) {
	d, err := openDoor(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.listener.Addr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
	d.wait("waits for the history")
	if code, text := get("/healthz"); code != http.StatusOK || text != "ok" {
		t.Errorf("/healthz before: %d %s", code, text)
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "not ready: waits for the history" {
		t.Errorf("/readyz before: %d %s", code, text)
	}
	d.show(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "shown") }))
	if code, text := get("/readyz"); code != http.StatusOK || text != "shown" {
		t.Errorf("/readyz after: %d %s", code, text)
	}
	d.ask(func() error { return errors.New("the history is away") })
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "not ready: the history is away" {
		t.Errorf("/readyz while the history is away: %d %s", code, text)
	}
	if code, text := get("/healthz"); code != http.StatusOK || text != "shown" {
		t.Errorf("/healthz while the history is away: %d %s", code, text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if rec.Code != http.StatusOK {
		t.Errorf("the handler is %d", rec.Code)
	}
}
