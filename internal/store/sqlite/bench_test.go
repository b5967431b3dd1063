package sqlite

import (
	"fmt"
	"testing"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
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
			doc, err := marshalRecord(batch[i])
			if err != nil {
				b.Fatal(err)
			}
			plain += len(doc)
			packed += len(s.codec.packRecord(doc))
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
