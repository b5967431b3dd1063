package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// A wire is what the connections of a store have in common: it counts how often the server was
// waited for, and cuts a connection where it is told to.
type wire struct {
	waits atomic.Int64
	// before and after cut when a commit is sent: before it is, or once it arrived.
	before, after atomic.Bool
}

// open opens a store whose connections are of the wire.
func (w *wire) open(t testing.TB, url string) *Store {
	t.Helper()
	s := openTest(t, Options{URL: url, Now: storetest.Epoch})
	config := s.pool.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return &wireConn{Conn: c, wire: w}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.pool.Close()
	s.pool = pool
	return s
}

type wireConn struct {
	net.Conn
	wire  *wire
	wrote atomic.Bool
}

var errCut = errors.New("the wire is cut")

func (c *wireConn) Write(b []byte) (int, error) {
	commit := bytes.Contains(b, []byte("commit"))
	if commit && c.wire.before.CompareAndSwap(true, false) {
		return 0, &net.OpError{Op: "write", Err: errors.Join(errCut, c.Close())}
	}
	c.wrote.Store(true)
	n, err := c.Conn.Write(b)
	if commit && c.wire.after.CompareAndSwap(true, false) {
		// The answer says that the server has it.
		answer := make([]byte, 1)
		if _, err := c.Conn.Read(answer); err != nil {
			return n, err
		}
		return n, &net.OpError{Op: "write", Err: errors.Join(errCut, c.Close())}
	}
	return n, err
}

func (c *wireConn) Read(b []byte) (int, error) {
	if c.wrote.CompareAndSwap(true, false) {
		c.wire.waits.Add(1)
	}
	return c.Conn.Read(b)
}

// TestCutAtCommit: where the connection breaks at the very end, the batch is stored or not, the
// error says that trying again may help, and to append it again is right.
func TestCutAtCommit(t *testing.T) {
	w := new(wire)
	s := w.open(t, pgtest.NewDatabase(t))
	var want int64
	for n := range 6 {
		batch := store.Batch{Cluster: "prod", Records: []record.Record{storetest.Sample(2 * n), storetest.Sample(2*n + 1)}}
		if n == 0 {
			if err := s.Append(t.Context(), batch); err != nil { // makes what is made once
				t.Fatal(err)
			}
			want += 2
			continue
		}
		cut, there := &w.before, int64(0)
		if n%2 == 1 {
			cut, there = &w.after, 2
		}
		cut.Store(true)
		err := s.Append(t.Context(), batch)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("an append whose commit was cut: %v", err)
		}
		// Whoever asks after this one, by the lock of the cluster, sees how it ended.
		if _, err := s.Claim(t.Context(), "prod", store.Batch{}.Shard); err != nil {
			t.Fatal(err)
		}
		if got := stops(t, s); got != want+there {
			t.Fatalf("after a cut, %d stops are stored, want %d", got, want+there)
		}
		if err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		want += 2
		if got := stops(t, s); got != want {
			t.Fatalf("%d stops are stored, want %d", got, want)
		}
	}
	changes, err := s.Changes(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 0)
	if err != nil || int64(len(changes)) != want {
		t.Errorf("%d changes, want %d; error %v", len(changes), want, err)
	}
}

func stops(t testing.TB, s *Store) int64 {
	t.Helper()
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Stops
}

// TestWaits holds how often an append waits for the server: it must not grow with the batch.
func TestWaits(t *testing.T) {
	w := new(wire)
	s := w.open(t, pgtest.NewDatabase(t))
	batch := func(from, n int) store.Batch {
		b := store.Batch{Cluster: "prod"}
		for i := range n {
			b.Records = append(b.Records, storetest.Sample(from+i))
			b.Marks = append(b.Marks, record.Mark{ContainerKey: record.ContainerKey{PodUID: fmt.Sprint(from + i), Name: "api"}})
		}
		return b
	}
	again := func(b store.Batch) store.Batch {
		for i := range b.Records {
			b.Records[i].Reason = "late"
		}
		return b
	}
	// The first of each sort also asks for the types of its statements.
	for n, c := range []struct {
		name  string
		batch store.Batch
		most  int64
	}{
		{"first", batch(0, 1), 100},
		{"first again", again(batch(0, 1)), 100},
		{"one", batch(1, 1), 5},
		{"many", batch(1000, 500), 5},
		{"one refined", again(batch(1, 1)), 6},
		{"many refined", again(batch(1000, 500)), 8},
		{"nothing new", again(batch(1000, 500)), 6},
	} {
		before := w.waits.Load()
		if err := s.Append(t.Context(), c.batch); err != nil {
			t.Fatal(err)
		}
		waits := w.waits.Load() - before
		t.Logf("%s: %d records, %d waits", c.name, len(c.batch.Records), waits)
		if waits > c.most || waits < 4 && n > 1 {
			t.Errorf("%s waited %d times, want 4 to %d", c.name, waits, c.most)
		}
	}
}

// BenchmarkAppend compares the two stores in one run: new stops with their marks.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100, 500} {
		for name, open := range map[string]func(b *testing.B) store.Store{
			"postgres": func(b *testing.B) store.Store {
				return openTest(b, Options{URL: pgtest.Start(b, pgtest.Options{Durable: true}).NewDatabase(b), Now: storetest.Epoch})
			},
			"sqlite": func(b *testing.B) store.Store {
				s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "history.db"), Now: storetest.Epoch})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = s.Close() })
				return s
			},
		} {
			b.Run(fmt.Sprintf("batch=%d/%s", size, name), func(b *testing.B) {
				s := open(b)
				n := 0
				var spent time.Duration
				for b.Loop() {
					b.StopTimer()
					batch := store.Batch{Cluster: "prod"}
					for range size {
						r := storetest.Sample(n)
						n++
						batch.Records = append(batch.Records, r)
						batch.Marks = append(batch.Marks, record.Mark{
							ContainerKey: record.ContainerKey{PodUID: r.PodUID, Type: r.ContainerType, Name: r.Container}, Namespace: r.Namespace, Pod: r.Pod, Accounted: 1,
						})
					}
					began := time.Now()
					b.StartTimer()
					if err := s.Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					spent += time.Since(began)
				}
				b.ReportMetric(float64(n)/spent.Seconds(), "stops/s")
			})
		}
	}
}
