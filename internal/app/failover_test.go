package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// faulted is a store in a database that something is done to while a writer appends to it
// and a relay tells what was stored, as serve does.
type faulted struct {
	t       *testing.T
	db      store.Store
	cluster string
	// writing and telling are what runs beside the test, and what ends it.
	writing, telling sync.WaitGroup
	stopTelling      context.CancelFunc
	// enough ends the writing after the batch that is under way: of one that is cut off nobody knows
	// when the server has done with it.
	enough atomic.Bool
	abort  context.CancelFunc

	mu sync.Mutex
	// acked are the IDs of batches that Append returned without an error, told how often each
	// record was delivered.
	acked map[string]bool
	told  map[string]int
	// foreign is how many records of another cluster were delivered.
	foreign int
	batches int
	failed  error
	// trouble are the errors of Append that were tried again.
	trouble []error
	news    chan struct{}
}

// perBatch is how many records a batch has.
const perBatch = 3

// write opens a history and begins to write to it.
func write(t *testing.T, location, cluster string) *faulted {
	t.Helper()
	db, err := OpenStore(t.Context(), StoreOptions{Location: location, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	h := &faulted{t: t, db: db, cluster: cluster, acked: make(map[string]bool), told: make(map[string]int), news: make(chan struct{}, 1)}
	var writing, telling context.Context
	writing, h.abort = context.WithCancel(ctx)
	telling, h.stopTelling = context.WithCancel(ctx)
	told := make(chan struct{}, 1)
	h.writing.Go(func() { h.fail(h.append(writing, told)) })
	relay := &pipeline.Relay{
		Ledger: db, Outbox: store.Outbox{Cluster: cluster, Consumer: "test"}, Now: time.Now,
		Deliver: func(r record.Record) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.told[r.ID]++
			if r.Cluster != cluster {
				h.foreign++
			}
			h.signal()
			return nil
		},
	}
	h.telling.Go(func() { h.fail(relay.Run(telling, told)) })
	t.Cleanup(func() {
		h.abort()
		h.stopTelling()
		h.writing.Wait()
		h.telling.Wait()
		db.Close()
	})
	return h
}

func (h *faulted) fail(err error) {
	if err == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
	h.signal()
}

func (h *faulted) signal() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// append appends batch after batch until it is enough, each until it is stored.
func (h *faulted) append(ctx context.Context, told chan<- struct{}) error {
	for n := 0; !h.enough.Load(); n++ {
		b := store.Batch{Cluster: h.cluster}
		for i := range perBatch {
			r := storetest.Sample(n*perBatch + i)
			key := record.ContainerKey{PodUID: r.PodUID, Type: r.ContainerType, Name: r.Container}
			r.Cluster, r.ID = h.cluster, record.StopKey{Cluster: h.cluster, ContainerKey: key, Ordinal: r.Ordinal}.ID()
			b.Records = append(b.Records, r)
			b.Marks = append(b.Marks, record.Mark{ContainerKey: key, Namespace: r.Namespace, Pod: r.Pod})
		}
		for {
			err := h.db.Append(ctx, b)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return nil
			}
			if !errors.Is(err, store.ErrUnavailable) {
				return fmt.Errorf("append batch %d: %w", n, err)
			}
			h.mu.Lock()
			h.trouble = append(h.trouble, err)
			h.signal()
			h.mu.Unlock()
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
		}
		h.mu.Lock()
		for i := range b.Records {
			h.acked[b.Records[i].ID] = true
		}
		h.batches++
		h.signal()
		h.mu.Unlock()
		select {
		case told <- struct{}{}:
		default:
		}
	}
	return nil
}

// until waits until done says so, which is asked whenever something has changed.
func (h *faulted) until(what string, done func() bool) {
	h.t.Helper()
	began := time.Now()
	deadline := time.After(time.Minute)
	for {
		h.mu.Lock()
		ok, err := done(), h.failed
		h.mu.Unlock()
		switch {
		case err != nil:
			h.t.Fatalf("while waiting until %s: %v", what, err)
		case ok:
			h.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return
		}
		select {
		case <-h.news:
		case <-deadline:
			h.mu.Lock()
			defer h.mu.Unlock()
			h.t.Fatalf("not within a minute: %s; %d batches, the last errors: %v", what, h.batches, h.trouble[max(0, len(h.trouble)-3):])
		}
	}
}

// more waits until so many more batches are stored.
func (h *faulted) more(n int) {
	h.t.Helper()
	h.mu.Lock()
	want := h.batches + n
	h.mu.Unlock()
	h.until(fmt.Sprintf("%d more batches are stored", n), func() bool { return h.batches >= want })
}

// inTrouble waits until an Append has failed.
func (h *faulted) inTrouble() {
	h.t.Helper()
	h.until("an append fails", func() bool { return len(h.trouble) > 0 })
}

// check ends the writing, and compares what is stored and what was told with what was
// acknowledged: all of it, and each once.
func (h *faulted) check() {
	t := h.t
	t.Helper()
	h.enough.Store(true)
	h.writing.Wait()
	h.until("all is told", func() bool {
		for id := range h.acked {
			if h.told[id] == 0 {
				return false
			}
		}
		return true
	})
	h.stopTelling()
	h.telling.Wait()
	stored := make(map[string]int)
	q := store.Query{Cluster: h.cluster}
	for {
		page, next, err := h.db.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			stored[page[i].ID]++
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	for id := range h.acked {
		if stored[id] != 1 {
			t.Errorf("record %s is stored %d times", id, stored[id])
		}
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("record %s is stored %d times", id, n)
		}
	}
	if len(stored) != len(h.acked) {
		t.Errorf("%d records are stored, %d were acknowledged", len(stored), len(h.acked))
	}
	counted := 0
	iq := store.IssueQuery{Cluster: h.cluster}
	for {
		issues, next, err := h.db.Issues(t.Context(), iq)
		if err != nil {
			t.Fatal(err)
		}
		for i := range issues {
			counted += int(issues[i].Count)
		}
		if next == "" {
			break
		}
		iq.Cursor = next
	}
	if counted != len(stored) {
		t.Errorf("the issues count %d stops of %d", counted, len(stored))
	}
	again := 0
	for _, n := range h.told {
		again += n - 1
	}
	t.Logf("%d records in %d batches; %d appends were tried again; %d records were told again", len(stored), h.batches, len(h.trouble), again)
}

// bounded adds the setting that bounds how long a connection may take, so that a test need not wait
// for as long as a user would.
func bounded(location string) string { return location + "&connect_timeout=2" }

// pair is a primary and its synchronous standby, and the URL of a database of both.
func pair(t *testing.T) (primary, standby *pgtest.Server, location string) {
	t.Helper()
	primary = pgtest.Start(t, pgtest.Options{})
	primary.Exec(t, "postgres", "CREATE DATABASE history")
	standby = primary.Standby(t)
	return primary, standby, bounded(pgtest.URL("history", primary, standby))
}

func TestFailoverByKill(t *testing.T) {
	t.Parallel()
	primary, standby, location := pair(t)
	h := write(t, location, "prod")
	h.more(20)
	primary.Kill(t)
	h.inTrouble()
	standby.Promote(t)
	h.more(20)
	h.check()
}

// A primary that hangs is worse than one that is dead: connections stay open, new ones are
// accepted by the kernel, and nothing answers.
func TestFailoverByFreeze(t *testing.T) {
	t.Parallel()
	primary, standby, location := pair(t)
	h := write(t, location, "prod")
	h.more(20)
	primary.Freeze(t)
	h.inTrouble()
	standby.Promote(t)
	h.more(20)
	h.check()
	primary.Kill(t)
}

// What was frozen for less than anybody waits goes on as if nothing had been.
func TestThaw(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	h := write(t, bounded(server.NewDatabase(t)), "prod")
	for range 10 {
		h.more(3)
		server.Freeze(t)
		server.Thaw(t)
	}
	h.check()
	if len(h.trouble) > 0 {
		t.Errorf("appends failed: %v", h.trouble)
	}
}

func TestRestartOfTheServer(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	h := write(t, bounded(server.NewDatabase(t)), "prod")
	for range 2 {
		h.more(10)
		server.Stop(t)
		server.Start(t)
		h.more(10)
		server.Kill(t)
		server.Start(t)
	}
	h.more(10)
	h.check()
}

// Connections that are cut at any moment, commits among them.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	h := write(t, bounded(server.NewDatabase(t)), "prod")
	for range 30 {
		h.more(2)
		server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	}
	h.more(10)
	h.check()
}

// A server that has no connection left refuses, and is asked again.
func TestOutOfConnections(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	location := server.NewDatabase(t)
	server.Exec(t, "postgres", "CREATE ROLE app LOGIN")
	server.Exec(t, "postgres", "ALTER DATABASE "+databaseOf(t, location)+" OWNER TO app")
	h := write(t, bounded(strings.Replace(location, "postgres://"+pgtest.Superuser+"@", "postgres://app@", 1)), "prod")
	h.more(10)
	server.Exec(t, "postgres", "ALTER ROLE app CONNECTION LIMIT 0")
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
	h.inTrouble()
	server.Exec(t, "postgres", "ALTER ROLE app CONNECTION LIMIT 50")
	h.more(10)
	h.check()
}

// Several clusters write to one database at once, and each is told only its own.
func TestClustersInOneDatabase(t *testing.T) {
	t.Parallel()
	location := bounded(pgtest.NewDatabase(t))
	a, b := write(t, location, "a"), write(t, location, "b")
	a.more(30)
	b.more(30)
	for _, h := range []*faulted{a, b} {
		h.check()
		if h.foreign > 0 {
			t.Errorf("the relay of cluster %s was told %d records of the other", h.cluster, h.foreign)
		}
	}
}

// databaseOf returns the database of a URL.
func databaseOf(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
