package sqlite

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := newTest(b)
			n := 0
			for b.Loop() {
				b.StopTimer()
				batch := store.Batch{Records: samples(n, size), Cluster: "prod"}
				for _, r := range batch.Records {
					batch.Marks = append(batch.Marks, record.Mark{
						ContainerKey: record.ContainerKey{PodUID: r.PodUID, Type: r.ContainerType, Name: r.Container},
						Namespace:    r.Namespace, Pod: r.Pod, Accounted: 1,
					})
				}
				n += size
				b.StartTimer()
				if err := s.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "stops/s")
		})
	}
}

// BenchmarkAppendStorm is of what a storm is: many stops of few issues, which have as many pods,
// nodes and hours as an issue keeps.
func BenchmarkAppendStorm(b *testing.B) {
	for _, size := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := newTest(b)
			n := 0
			next := func(size int) []record.Record {
				records := samples(n, size)
				for i := range records {
					r := &records[i]
					r.Workload.Name = fmt.Sprintf("service-%d", (n+i)%4)
					r.Namespace = "team"
					r.ExitCode = new(int32(1))
					at := storetest.Epoch().Add(time.Duration(n+i) * 7 * time.Minute)
					r.FinishedAt, r.ObservedAt = at, at
				}
				n += size
				return records
			}
			for range 5 {
				mustAppend(b, s, next(1000)...)
			}
			began := n
			for b.Loop() {
				b.StopTimer()
				batch := next(size)
				b.StartTimer()
				mustAppend(b, s, batch...)
			}
			b.ReportMetric(float64(n-began)/b.Elapsed().Seconds(), "stops/s")
		})
	}
}

// withIssues makes a store with n issues, each with as much as an issue of that many stops has.
func withIssues(b *testing.B, n, stops int) *Store {
	b.Helper()
	s := newTest(b)
	for from := 0; from < n; from += 1000 {
		err := s.writer.transact(b.Context(), func(tx *sql.Tx) error {
			g := newGroup(b.Context(), tx, s.writer)
			for k := from; k < from+1000; k++ {
				r := storetest.Sample(k)
				r.Diagnosis.Signature = fmt.Sprintf("panic: %d", k)
				key := issue.KeyOf(&r)
				print := key.Fingerprint()
				i := &issue.Issue{
					ID: "WR-" + strings.ToUpper(print[:12]), Fingerprint: print, Key: key, Category: r.Category, Status: issue.Open,
					Count: int64(stops), First: r.When(), Last: r.When().Add(time.Duration(stops) * time.Hour), Summary: r.Diagnosis.Summary,
				}
				for at := range stops {
					seen := i.First.Add(time.Duration(at) * time.Hour)
					i.Pods.Add(fmt.Sprintf("%s-%d", r.Pod, at), seen, 1, 100)
					i.Nodes.Add(fmt.Sprintf("node-%03d", (k+at)%50), seen, 1, 50)
					i.Images.Add(fmt.Sprintf("%s%d", r.Image, at/30), seen, 1, 20)
					i.ImageIDs.Add(fmt.Sprintf("%s%d", r.ImageID, at/30), seen, 1, 20)
					i.Hours = append(i.Hours, issue.Hour{Hour: seen.Unix() / 3600, Count: 1})
				}
				if err := g.Put(i); err != nil {
					return err
				}
			}
			return g.Flush()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func BenchmarkIssues(b *testing.B) {
	// Of three stops each, and of as much as an issue remembers.
	for stops, n := range map[int]int{3: 10_000, 300: 2000} {
		s := withIssues(b, n, stops)
		last := storetest.Epoch().Add(time.Duration(stops) * time.Hour)
		for name, q := range map[string]store.IssueQuery{
			"day":       {Since: last.Add(time.Duration(n-500) * time.Second)},
			"all":       {Limit: 10_000},
			"namespace": {Namespaces: []string{"team-23"}},
			"workload":  {Workload: &record.Workload{Kind: "Deployment", Name: "service-123"}},
			"node":      {Node: "node-007", Limit: 100},
		} {
			b.Run(fmt.Sprintf("stops=%d/%s", stops, name), func(b *testing.B) {
				found := 0
				for b.Loop() {
					issues, _, err := s.Issues(b.Context(), q)
					if err != nil || len(issues) == 0 {
						b.Fatal(len(issues), err)
					}
					found = len(issues)
				}
				b.ReportMetric(float64(found), "issues")
			})
		}
		stats, err := s.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d stops each: %d bytes an issue", stops, stats.Bytes/int64(n))
	}
}

// BenchmarkBackfill is the first opening of a history that a version without issues wrote.
func BenchmarkBackfill(b *testing.B) {
	const n = 10_000
	records := samples(0, n)
	for b.Loop() {
		b.StopTimer()
		path := schema2(b, records)
		b.StartTimer()
		s, err := Open(b.Context(), Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func filled(b *testing.B, n int) *Store {
	b.Helper()
	s := newTest(b)
	for from := 0; from < n; from += 1000 {
		mustAppend(b, s, samples(from, 1000)...)
	}
	return s
}

func BenchmarkList(b *testing.B) {
	s := filled(b, 100_000)
	for name, q := range map[string]store.Query{
		"workload":   {Workload: &record.Workload{Kind: "Deployment", Name: "service-123"}, Namespaces: []string{"team-23"}},
		"namespace":  {Namespaces: []string{"team-23"}},
		"namespaces": {Namespaces: []string{"team-01", "team-23", "team-42"}},
		"time":       {},
	} {
		q.Limit = 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				records, _, err := s.List(b.Context(), q)
				if err != nil || len(records) != 50 {
					b.Fatal(len(records), err)
				}
			}
		})
	}
}

// BenchmarkBytesPerStop tells what a stop takes on the disk, with and without a log of 40
// lines, and what its document has as JSON and compressed.
func BenchmarkBytesPerStop(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		s := filled(b, n)
		before, err := s.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		batch := samples(0, 1000)
		plain, packed := 0, 0
		for i := range batch {
			doc, err := sqlstore.MarshalRecord(batch[i])
			if err != nil {
				b.Fatal(err)
			}
			plain += len(doc)
			packed += len(s.codec.PackRecord(doc))
			batch[i].Log = storetest.SampleLog(i)
		}
		mustAppend(b, s, batch...)
		after, err := s.Stats(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(before.Bytes)/n, "bytes/stop")
		b.ReportMetric(float64(after.Bytes-before.Bytes)/1000, "bytes/log")
		b.ReportMetric(float64(plain)/1000, "bytes/json")
		b.ReportMetric(float64(packed)/1000, "bytes/compressed")
	}
}

func BenchmarkOpen(b *testing.B) {
	s := filled(b, 30_000)
	stats, err := s.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(stats.Bytes), "bytes")
	for b.Loop() {
		again, err := Open(b.Context(), Options{Path: s.path})
		if err != nil {
			b.Fatal(err)
		}
		if err := again.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
