package pipeline

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// Gaps in the events that killed shards left open are ended by those that have their namespaces now,
// and by no others.
func TestGapsOfShards(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// begin is a shard whose events can be watched or not; end stores what it has to say.
	begin := func(s shard.Shard, events error) (end func()) {
		r, err := NewRuntime(ctx, Options{
			Cluster: "prod", Shard: s, Scopes: []string{""}, Ledger: db, Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		r.EventTrouble("", events)
		return func() {
			if err := db.Append(ctx, store.Batch{Cluster: "prod", Gaps: r.opts.Witness.due(true)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// open returns the scopes of the gaps that last.
	open := func() (scopes []string) {
		gaps, err := db.Gaps(ctx, "prod", time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gaps {
			if g.Kind == record.GapEvents && g.To.IsZero() {
				scopes = append(scopes, g.Scope)
			}
		}
		slices.Sort(scopes)
		return scopes
	}
	want := func(scopes ...string) {
		t.Helper()
		if d := cmp.Diff(scopes, open()); d != "" {
			t.Fatalf("events that are not watched (-want +got):\n%s", d)
		}
	}
	refused := errors.New("no")
	for i := range 4 {
		begin(shard.Shard{Index: i, Of: 4}, refused)()
	}
	want("slots 0-3", "slots 12-15", "slots 4-7", "slots 8-11")
	now = now.Add(time.Hour)
	first := begin(shard.Shard{Index: 0, Of: 4}, nil) // it has only ever seen its own
	now = now.Add(lapseJoins + time.Second)
	first()
	want("slots 12-15", "slots 4-7", "slots 8-11")
	second := begin(shard.Shard{Index: 0, Of: 3}, nil) // slots 0-4: the others' begin with the fifth
	now = now.Add(lapseJoins + time.Second)
	second()
	want("slots 12-15", "slots 8-11")
	all := begin(shard.Shard{}, nil)
	now = now.Add(lapseJoins + time.Second)
	all()
	want()
}

func TestOwnsGap(t *testing.T) {
	s := shard.Shard{Index: 0, Of: 2}
	r := &Runtime{opts: Options{Shard: s}}
	names := []string{"shop", "cart"} // one in each half
	if !s.Contains(names[0]) || s.Contains(names[1]) {
		t.Fatal("the namespaces of this test are not in the shards that they are meant to be in")
	}
	for scope, want := range map[string]bool{
		"": true, names[0]: true, names[1]: false, NodeEventScope: true, "slots 0-7": true, "slots 8-15": false, "slots 7-8": true, "slot 9": false,
	} {
		if got := r.owns(&record.Gap{Kind: record.GapEvents, Scope: scope}); got != want {
			t.Errorf("events of %q: %t, want %t", scope, got, want)
		}
	}
	for scope, want := range map[string]bool{
		"nodes": true, "pods/log in " + names[0]: true, "pods/log in " + names[1]: false, "pods/log in " + inMany: true,
	} {
		g := record.Gap{Kind: record.GapPermission, Scope: scope, Why: "may not get"}
		if got := r.owns(&g); got != want {
			t.Errorf("permission for %q: %t, want %t", scope, got, want)
		}
	}
}
