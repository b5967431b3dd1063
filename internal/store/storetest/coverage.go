package storetest

import (
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func allScopes(t *testing.T, f *fixture) {
	one := store.Scope{Since: Epoch(), Seen: Epoch().Add(time.Nanosecond), ResourceVersion: "0812"}
	two := store.Scope{Since: Epoch().Add(time.Hour)}
	f.append(t, store.Batch{Cluster: "prod", Scopes: map[string]store.Scope{"shop|": {Since: Epoch()}, "|": two}})
	f.append(t, store.Batch{Cluster: "prod", Scopes: map[string]store.Scope{"shop|": one}})
	f.append(t, store.Batch{Cluster: "dev", Scopes: map[string]store.Scope{"|": one}})
	for cluster, want := range map[string]map[string]store.Scope{
		"prod": {"shop|": one, "|": two}, "dev": {"|": one}, "nowhere": {},
	} {
		got, err := f.Scopes(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the scopes of "+cluster, want, got)
	}
}

// clusters: whatever is kept of one makes it known.
func clusters(t *testing.T, f *fixture) {
	got, err := f.Clusters(t.Context())
	if err != nil || len(got) > 0 {
		t.Fatalf("an empty store has clusters %q, error %v", got, err)
	}
	f.records(t, with(stop(1), func(r *record.Record) { r.Cluster = "of-records" }))
	f.append(t, store.Batch{Cluster: "of-scopes", Scopes: map[string]store.Scope{"": {Since: Epoch()}}})
	f.append(t, store.Batch{Cluster: "of-gaps", Gaps: []record.Gap{{From: Epoch(), Why: "x"}}})
	if err := f.Acknowledge(t.Context(), store.Outbox{Consumer: "log"}, 0); err != nil {
		t.Fatal(err)
	}
	if got, err = f.Clusters(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "the clusters", []string{"", "of-gaps", "of-records", "of-scopes"}, got)
}

// backlogs: what waits is what Changes would return, whatever shards acknowledged.
func backlogs(t *testing.T, f *fixture) {
	backlog := func(cluster string) []store.Backlog {
		t.Helper()
		got, err := f.Backlogs(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	of := func(cluster string) func(*record.Record) {
		return func(r *record.Record) { r.Cluster = cluster }
	}
	f.records(t, with(stop(1), of("prod")), with(stop(2), of("prod")), with(stop(3), of("dev")))
	if got := backlog("prod"); len(got) > 0 {
		t.Errorf("nobody is known, and %v wait", got)
	}
	box := store.Outbox{Cluster: "prod", Consumer: "log"}
	if err := f.Acknowledge(t.Context(), box, 0); err != nil {
		t.Fatal(err)
	}
	equal(t, "what waits", []store.Backlog{{Consumer: "log", Changes: 2, Oldest: f.now()}}, backlog("prod"))
	if got := backlog("dev"); len(got) > 0 {
		t.Errorf("nobody is known in dev, and %v wait", got)
	}

	// A shard has seen everything, the others nothing yet.
	changes, err := f.Changes(t.Context(), box, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		index int
		waits int64
	}{{0, 0}, {1, 0}} {
		box.Shard.Index, box.Shard.Of = c.index, 2
		if err := f.Acknowledge(t.Context(), box, changes[1].Seq); err != nil {
			t.Fatal(err)
		}
		var left int64
		for i := c.index + 1; i < 2; i++ {
			rest := box
			rest.Shard.Index = i
			more, err := f.Changes(t.Context(), rest, 0)
			if err != nil {
				t.Fatal(err)
			}
			left += int64(len(more))
		}
		if got := backlog("prod"); len(got) != 1 || got[0].Changes != left {
			t.Errorf("after shard %d/2: %v, want %d to wait", c.index, got, left)
		}
	}
	equal(t, "what waits", []store.Backlog{{Consumer: "log"}}, backlog("prod"))

	// What changes again waits again.
	f.at = Epoch().Add(2 * time.Hour)
	f.records(t, with(refined(1, "later"), of("prod")))
	equal(t, "what waits", []store.Backlog{{Consumer: "log", Changes: 1, Oldest: f.at}}, backlog("prod"))
	f.records(t, with(stop(9), of("prod")))
	f.prune(t, store.Retention{Before: Epoch().Add(24 * time.Hour)})
	equal(t, "what waits after retention", []store.Backlog{{Consumer: "log"}}, backlog("prod"))
}

// missedChanges: late evidence may change how many were missed.
func missedChanges(t *testing.T, f *fixture) {
	f.records(t, stop(1), stop(2))
	if got := f.list(t, store.Query{Missed: true}); len(got) > 0 {
		t.Errorf("%d missed others", len(got))
	}
	f.records(t, with(stop(2), func(r *record.Record) { r.MissedBefore = 3 }))
	equal(t, "those that missed others", []string{stop(2).ID}, ids(f.list(t, store.Query{Missed: true})))
	f.reopen(t)
	equal(t, "those that missed others", []string{stop(2).ID}, ids(f.list(t, store.Query{Missed: true})))
}
