package issue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// drawn makes records that are alike enough to meet: few workloads, codes, causes and days.
func drawn(t *rapid.T, id string) record.Record {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	at := t0.Add(time.Duration(rapid.IntRange(0, 5*24*6).Draw(t, "at")) * 10 * time.Minute)
	r := record.Record{
		ID: id, Cluster: "prod", Namespace: "shop", Pod: pick("pod", "a", "b", "c"), Node: pick("node", "", "n1", "n2"), Container: "api",
		Workload: &record.Workload{Kind: "Deployment", Name: pick("workload", "x", "y")}, Group: pick("group", "", "", "", "g"),
		ObservedAt: at.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "ahead")) * time.Second),
		Category:   record.Failure, Revision: pick("revision", "", "r1", "r2"),
		PodCreatedAt: t0.Add(time.Duration(rapid.IntRange(-1, 2).Draw(t, "created")) * 24 * time.Hour),
	}
	if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
		r.Kind, r.Stall = record.KindStall, &record.Stall{Begin: at}
		if rapid.Bool().Draw(t, "over") {
			r.End = at.Add(time.Hour)
		}
	} else {
		r.Kind, r.Stop = record.KindStop, &record.Stop{FinishedAt: at, Image: pick("image", "", "v1", "v2"), ImageID: pick("imageID", "", "s1", "s2"), BeforeWatch: rapid.Bool().Draw(t, "before")}
		if c := rapid.Int32Range(-1, 1).Draw(t, "code"); c >= 0 {
			r.ExitCode = &c
		}
		if s := rapid.Int64Range(-1, 100).Draw(t, "ran"); s >= 0 {
			r.RanSeconds = &s
		}
		if r.MissedBefore = rapid.IntRange(-3, 5).Draw(t, "missed"); r.MissedBefore <= 0 {
			r.MissedBefore = 0
		} else if rapid.Bool().Draw(t, "window") {
			r.MissedAfter, r.MissedUntil = at.Add(-3*time.Hour), at.Add(-time.Minute)
		}
	}
	switch rapid.IntRange(0, 20).Draw(t, "clock") {
	case 1: // nothing is known of the time
		if r.ObservedAt = (time.Time{}); r.Stop != nil {
			r.FinishedAt = time.Time{}
		} else {
			r.Begin = time.Time{}
		}
	case 2:
		r.ObservedAt = time.Unix(1, 0)
	case 3:
		if r.Stop != nil {
			r.FinishedAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		}
	case 4:
		if r.Stop != nil {
			r.FinishedAt = time.Unix(1, 0)
		}
	}
	d := &r.Diagnosis
	d.Cause = pick("cause", "app_exit", "app_exit", "unknown", "liveness_probe", "runtime_restarted", "status_unknown")
	d.Confidence = record.Confidence(pick("confidence", "confirmed", "likely", "unknown"))
	d.Summary = pick("summary", "one", "two")
	if d.Cause == "app_exit" {
		d.Signature = pick("signature", "", "s", "t")
		d.Target = pick("target", "", "db:5432")
		if rapid.Bool().Draw(t, "log") {
			r.Log = &record.Log{Lines: []string{"panic"}}
		}
	}
	if d.Cause == "runtime_restarted" {
		r.Category = record.Disruption
	}
	return r
}

// TestCountsAreExact appends, refines, amends and prunes at random, and counts again.
func TestCountsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLedger(), issue.NewMemory(0)
		pruned := false
		steps := rapid.IntRange(1, 25).Draw(t, "steps")
		for n := range steps {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				l.prune(rapid.IntRange(1, 4).Draw(t, "prune"))
				pruned = true
			case 1:
				for _, i := range l.all() {
					if rapid.Bool().Draw(t, "amend") {
						a := issue.Action{Status: rapid.SampledFrom([]issue.Status{issue.Open, issue.StatusMuted, issue.StatusResolved, issue.StatusArchived}).Draw(t, "status"), At: i.Last.Add(time.Minute), By: "eve"}
						if err := i.Amend(a); err != nil {
							t.Fatal(err)
						}
						if err := l.Put(i); err != nil {
							t.Fatal(err)
						}
						if _, err := m.Amend(i.ID, a); err != nil && !pruned {
							t.Fatal(err)
						}
					}
				}
			default:
				r := drawn(t, fmt.Sprint(rapid.IntRange(0, n).Draw(t, "id")))
				if e, ok := l.records[r.ID]; ok {
					if e.pruned {
						continue
					}
					if (e.record.Stop == nil) != (r.Stop == nil) {
						continue
					}
				}
				place, err := l.post(r)
				if err != nil {
					t.Fatal(err)
				}
				if pruned {
					// A Memory forgets in another order.
				} else if p, err := m.Post(r); err != nil || p != place {
					t.Fatalf("record %s is in %v, and in memory in %v: %v", r.ID, place, p, err)
				}
				i, err := l.ByID(place.Issue)
				if err != nil || i == nil {
					t.Fatalf("issue %s of record %s: %v, %v", place.Issue, r.ID, i, err)
				}
				stored := l.records[r.ID].record
				if f := issue.KeyOf(&stored).Fingerprint(); f != i.Fingerprint && i.Known == 0 {
					t.Fatalf("record %s went to %s, which has none of its own", r.ID, i.ID)
				}
				before := l.dump()
				again, err := l.post(l.records[r.ID].record.Clone())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, l.dump()); diff != "" || again != place {
					t.Fatalf("posted again, in %v and then in %v:\n%s", place, again, diff)
				}
			}
			l.check(t, pruned)
			for _, i := range m.Issues(t0.Add(5 * day)) {
				if pruned {
					break
				}
				stored, err := l.ByID(i.ID)
				if err != nil || stored == nil {
					t.Fatalf("issue %s is in memory alone: %v", i.ID, err)
				}
				stored.At(t0.Add(5 * day))
				if diff := cmp.Diff(*stored, i); diff != "" {
					t.Fatalf("issue %s (-store +memory):\n%s", i.ID, diff)
				}
			}
		}
	})
}

// TestOneLoopIsOneIssue: a container that is killed again and again for one reason is one issue,
// whatever of it can be read, and in whatever order that comes.
func TestOneLoopIsOneIssue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		weak := []func(*record.Record){
			cause("sigkill_unattributed", record.Unknown), cause("unknown", record.Unknown),
			func(r *record.Record) { cause("unknown", record.Unknown)(r); noCode(r) },
		}
		probe := cause("liveness_probe", record.Confirmed)
		post := func(n int, f func(*record.Record)) issue.Place {
			place, err := l.post(stop(fmt.Sprint(n), t0.Add(time.Duration(n)*6*minute), f))
			if err != nil {
				t.Fatal(err)
			}
			return place
		}
		known := false
		n := rapid.IntRange(2, 30).Draw(t, "stops")
		places := make(map[int]issue.Place)
		for i := range n {
			places[i] = post(i, rapid.SampledFrom(weak).Draw(t, "first"))
			if rapid.Bool().Draw(t, "event") || i == n-1 && !known {
				late := i
				if rapid.Bool().Draw(t, "late") {
					late = rapid.IntRange(0, i).Draw(t, "which")
				}
				places[late] = post(late, probe)
				known = true
			}
			if !known {
				continue
			}
			if all := l.all(); len(all) != 1 || all[0].Cause != "liveness_probe" || all[0].Count != int64(i+1) {
				t.Fatalf("after stop %d: %s", i, l.dump())
			}
		}
		for i, p := range places {
			if now, err := l.ByID(p.Issue); err != nil || now == nil {
				t.Fatalf("stop %d was in %s, which is gone: %v", i, p.Issue, err)
			}
		}
	})
}
