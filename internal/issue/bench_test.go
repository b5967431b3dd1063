package issue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// BenchmarkPost counts stops of 200 workloads with 20 pods each, as a bad day of a cluster has
// them: each is stored at once, and again when its log was read.
func BenchmarkPost(b *testing.B) {
	b.ReportAllocs()
	m := issue.NewMemory(0)
	for n := 0; b.Loop(); n++ {
		at := t0.Add(time.Duration(n) * time.Second)
		r := stop(fmt.Sprint(n), at, exit(1), cause("app_exit", record.Likely), func(r *record.Record) {
			r.Workload = &record.Workload{Kind: "Deployment", Name: fmt.Sprint("w", n%200)}
			r.Pod = fmt.Sprintf("w%d-%d", n%200, n/200%20)
		})
		if _, err := m.Post(r); err != nil {
			b.Fatal(err)
		}
		said("panic", "panic||main.run")(&r)
		if _, err := m.Post(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPostFull is one stop of an issue whose tallies are all full.
func BenchmarkPostFull(b *testing.B) {
	m := issue.NewMemory(0)
	n := 0
	post := func() {
		n++
		at := t0.Add(time.Duration(n) * time.Minute)
		r := stop(fmt.Sprint(n), at, func(r *record.Record) {
			r.Pod, r.Node, r.Image, r.ImageID, r.Revision = fmt.Sprint("p", n), fmt.Sprint("n", n), fmt.Sprint("i", n), fmt.Sprint("s", n), fmt.Sprint("r", n)
		})
		if _, err := m.Post(r); err != nil {
			b.Fatal(err)
		}
	}
	for range 20000 {
		post()
	}
	b.ReportAllocs()
	for b.Loop() {
		post()
	}
}

func BenchmarkFingerprint(b *testing.B) {
	r := stop("1", t0, exit(1), said("panic", "panic||main.run"))
	b.ReportAllocs()
	for b.Loop() {
		k := issue.KeyOf(&r)
		_ = k.Fingerprint()
	}
}

func BenchmarkCompare(b *testing.B) {
	m := issue.NewMemory(0)
	for n := range 2000 {
		r := stop(fmt.Sprint(n), t0.Add(time.Duration(n)*time.Second), func(r *record.Record) {
			r.Workload = &record.Workload{Kind: "Deployment", Name: fmt.Sprint("w", n)}
		})
		if _, err := m.Post(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Issues(t0.Add(time.Hour))
	}
}
