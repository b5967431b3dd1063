package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// readersDuringWrites: writers from several goroutines and readers at once. Whatever a
// reader sees is whole: the three records of a batch are all there or none is.
func readersDuringWrites(t *testing.T, f *fixture) {
	const writers, batches = 2, 40
	batch := func(writer, n int) store.Batch {
		var b store.Batch
		b.Cluster = "prod"
		for i := range 3 {
			b.Records = append(b.Records, with(stop(n), func(r *record.Record) {
				r.ID = fmt.Sprintf("record-%d-%d-%d", writer, n, i)
				r.PodUID = fmt.Sprintf("batch-%d-%d", writer, n)
			}))
		}
		b.Marks = []record.Mark{mark(fmt.Sprint(writer), "api", n+1)}
		return b
	}
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			for n := range batches {
				if err := f.Append(t.Context(), batch(w, n)); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	read := func(what string, once func() error) {
		reading.Go(func() {
			for {
				if err := once(); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	read("List", func() error {
		records, _, err := f.List(t.Context(), store.Query{Limit: 1000})
		perBatch := make(map[string]int)
		for _, r := range records {
			perBatch[r.PodUID]++
			// All are of one issue; what a record says of it is of the same moment.
			if r.Issue == nil || r.Issue.Count != int64(len(records)) {
				return fmt.Errorf("%d records are seen, which say that their issue is %+v", len(records), r.Issue)
			}
		}
		for uid, n := range perBatch {
			if n != 3 {
				return fmt.Errorf("%d records of %s are seen, want 3 or none", n, uid)
			}
		}
		return err
	})
	read("Stats", func() error {
		s, err := f.Stats(t.Context())
		if s.Stops%3 != 0 {
			return fmt.Errorf("%d stops are counted: a batch is seen in part", s.Stops)
		}
		return err
	})
	read("Issues", func() error {
		issues, _, err := f.Issues(t.Context(), store.IssueQuery{})
		for _, i := range issues {
			if i.Count%3 != 0 {
				return fmt.Errorf("an issue counts %d records: a batch is seen in part", i.Count)
			}
		}
		return err
	})
	read("Marks", func() error {
		return f.Marks(t.Context(), "prod", func(record.Mark) bool { return true })
	})
	read("Changes", func() error {
		got, err := f.Changes(t.Context(), outbox("log"), 30)
		if err != nil || len(got) == 0 {
			return err
		}
		return f.Acknowledge(t.Context(), outbox("log"), got[len(got)-1].Seq)
	})
	writing.Wait()
	close(done)
	reading.Wait()
	if s := f.stats(t); s.Stops != writers*batches*3 {
		t.Errorf("%d stops are stored, want %d", s.Stops, writers*batches*3)
	}
	equal(t, "the marks", byKey(mark("0", "api", batches), mark("1", "api", batches)), f.marks(t, "prod"))
}

// cancel: every method takes the end of its context for an answer, and the store works on.
func cancel(t *testing.T, f *fixture) {
	f.append(t, store.Batch{Records: []record.Record{stop(1)}, Cluster: "prod", Marks: []record.Mark{mark("a", "api", 1)}})
	before := f.stats(t)
	id := f.issueOf(t, stop(1).ID)
	ctx, stopIt := context.WithCancel(t.Context())
	stopIt()
	calls := map[string]func() error{
		"Append": func() error { return f.Append(ctx, store.Batch{Records: []record.Record{stop(2)}}) },
		"Prune": func() error {
			_, err := f.Prune(ctx, store.Retention{MaxBytes: 1})
			return err
		},
		"Acknowledge": func() error { return f.Acknowledge(ctx, outbox("log"), 1) },
		"Marks": func() error {
			return f.Marks(ctx, "prod", func(record.Mark) bool { return true })
		},
		"Scope": func() error {
			_, err := f.Scope(ctx, "prod", "")
			return err
		},
		"List": func() error {
			_, _, err := f.List(ctx, store.Query{})
			return err
		},
		"Get": func() error {
			_, err := f.Get(ctx, stop(1).ID)
			return err
		},
		"Gaps": func() error {
			_, err := f.Gaps(ctx, "prod", Epoch(), Epoch())
			return err
		},
		"Changes": func() error {
			_, err := f.Changes(ctx, outbox("log"), 0)
			return err
		},
		"Stats": func() error {
			_, err := f.Stats(ctx)
			return err
		},
		"Issues": func() error {
			_, _, err := f.Issues(ctx, store.IssueQuery{})
			return err
		},
		"Issue": func() error {
			_, err := f.Issue(ctx, id)
			return err
		},
		"Amend": func() error {
			_, err := f.Amend(ctx, id, issue.Action{Status: issue.StatusMuted, At: Epoch()})
			return err
		},
		"Incidents": func() error {
			_, err := f.Incidents(ctx, store.IncidentQuery{})
			return err
		},
		"Incident": func() error {
			_, err := f.Incident(ctx, "WI-000000")
			return err
		},
		"Observations": func() error {
			_, err := f.Observations(ctx, "prod", "Node node-1", Epoch())
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after its context ended: %v", name, err)
		}
	}
	equal(t, "the totals", before, f.stats(t))
	equal(t, "the issue", issue.Open, f.issue(t, id).Status)
	equal(t, "the changes", 1, len(f.changes(t, "log", 0)))

	// An append that is cancelled on its way happened whole or not at all.
	var records []record.Record
	for i := range 800 {
		records = append(records, with(stop(10+i), func(r *record.Record) { r.Message = "late" }))
	}
	ctx, stopIt = context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- f.Append(ctx, store.Batch{Records: records}) }()
	// Some work of its own lets the append get anywhere.
	for range 20 {
		f.stats(t)
	}
	stopIt()
	err := <-result
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("an append that was cancelled on its way: %v", err)
	}
	got := f.stats(t).Stops
	if err == nil && got != 801 || got != 1 && got != 801 {
		t.Errorf("%d stops are stored after an append that ended with %v", got, err)
	}
	f.records(t, records...)
	if got := f.stats(t).Stops; got != 801 {
		t.Errorf("%d stops are stored, want 801", got)
	}
}

// writersOfClusters: several processes write two clusters at once, some of them the same records.
// Whoever reads the outbox meanwhile, and
// acknowledges what it has read, misses nothing: no change comes behind one that was seen.
func writersOfClusters(t *testing.T, f *fixture) {
	const writers, batches = 2, 25
	clusters := []string{"prod", "test"}
	stopOf := func(cluster string, writer, n int) record.Record {
		if n%3 == 0 {
			writer = 0 // one that all of them write
		}
		return in(1000*writer+n, cluster, "shop")
	}
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for _, cluster := range clusters {
		for w := range writers {
			writing.Go(func() {
				for n := range batches {
					b := store.Batch{Cluster: cluster, Records: []record.Record{stopOf(cluster, w, n), stopOf(cluster, w, n+1)}, Marks: markOf(w, n)}
					if err := f.Append(t.Context(), b); err != nil {
						t.Errorf("Append: %v", err)
					}
				}
			})
		}
		reading.Go(func() {
			o := store.Outbox{Cluster: cluster, Consumer: "log"}
			told := make(map[string]bool)
			for last := false; ; {
				got, err := f.Changes(t.Context(), o, 7)
				if err != nil {
					t.Errorf("Changes: %v", err)
					return
				}
				for _, c := range got {
					told[c.Record.ID] = true
				}
				if len(got) > 0 {
					if err := f.Acknowledge(t.Context(), o, got[len(got)-1].Seq); err != nil {
						t.Errorf("Acknowledge: %v", err)
						return
					}
					continue
				}
				if last {
					break
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
			all := f.all(t, store.Query{Cluster: cluster})
			for _, r := range all {
				if !told[r.ID] {
					t.Errorf("record %s of %s was not told", r.ID, cluster)
				}
			}
			want := make(map[string]bool)
			for w := range writers {
				for n := range batches + 1 {
					want[stopOf(cluster, w, n).ID] = true
				}
			}
			if len(all) != len(want) {
				t.Errorf("%d records of %s are stored, want %d", len(all), cluster, len(want))
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	s := f.stats(t)
	if n := int64(len(f.all(t, store.Query{}))); s.Stops != n {
		t.Errorf("%d stops are counted, and %d are there", s.Stops, n)
	}
	var counted int64
	for _, i := range f.issues(t, store.IssueQuery{}) {
		counted += i.Count
	}
	if counted != s.Stops {
		t.Errorf("the issues count %d of %d stops", counted, s.Stops)
	}
}

func markOf(w, n int) []record.Mark { return []record.Mark{mark(fmt.Sprint(w), "api", n)} }
