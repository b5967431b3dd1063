package app

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

var sightNow = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func agoOf(d time.Duration) time.Time { return sightNow.Add(-d) }

func sightOf(t *testing.T, q SightQuery, batches ...store.Batch) record.Sight {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "h.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, b := range batches {
		if err := db.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	q.Now = sightNow
	s, err := StoredSight(t.Context(), db, q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func watchedScope(since, seen time.Duration) store.Scope {
	return store.Scope{Since: agoOf(since), Seen: agoOf(seen)}
}

// TestSightOfScopes holds that what is watched no more, or not yet, or not at all, is a gap that nobody
// has written, and that what others watch in its place is none.
func TestSightOfScopes(t *testing.T) {
	day := SightQuery{Since: agoOf(24 * time.Hour)}
	const hour = time.Hour
	for _, c := range []struct {
		name       string
		q          SightQuery
		scopes     map[string]store.Scope
		gaps       []record.Gap
		says       string
		unseen     time.Duration
		notWatched bool
	}{
		{name: "everything", q: day, scopes: map[string]store.Scope{"|": watchedScope(100*hour, time.Minute)}, says: "Everything that is watched was seen in the last 24h."},
		{
			name: "serve died", q: day, scopes: map[string]store.Scope{"|": watchedScope(100*hour, 3*hour)},
			gaps: []record.Gap{{Kind: record.GapWatch, From: agoOf(3 * hour)}}, says: "Everything that is watched was seen in the last 24h, but for 3h (1 gap).", unseen: 3 * hour,
		},
		{
			name: "serve died long ago", q: day, scopes: map[string]store.Scope{"|": watchedScope(100*hour, 50*hour)},
			gaps: []record.Gap{{Kind: record.GapWatch, From: agoOf(50 * hour)}}, says: "Nothing was seen in the last 24h.", unseen: 24 * hour,
		},
		{
			name: "began lately", q: day, scopes: map[string]store.Scope{"|": watchedScope(2*hour, 0)},
			gaps: []record.Gap{{Kind: record.GapWatch, To: agoOf(2 * hour)}}, says: "Everything that is watched was seen since the watch began 120m ago.",
		},
		{
			name: "of namespaces to all", q: day,
			scopes: map[string]store.Scope{"shop|": watchedScope(100*hour, 3*hour), "|": watchedScope(3*hour, 0)},
			gaps:   []record.Gap{{Kind: record.GapWatch, To: agoOf(3 * hour)}}, says: "since the watch began 3h ago",
		},
		{
			name: "from all to shards", q: day,
			scopes: map[string]store.Scope{
				"|": watchedScope(100*hour, 3*hour), "slots 0-7|": watchedScope(100*hour, 0), "slots 8-15|": watchedScope(100*hour, 0),
			},
			says: "Everything that is watched was seen in the last 24h.",
		},
		{
			name: "a shard died", q: day,
			scopes: map[string]store.Scope{
				"|": watchedScope(100*hour, 3*hour), "slots 0-7|": watchedScope(100*hour, 0), "slots 8-15|": watchedScope(100*hour, hour),
			},
			gaps:   []record.Gap{{Kind: record.GapWatch, From: agoOf(3 * hour)}, {Kind: record.GapWatch, From: agoOf(hour), Scope: "slots 8-15"}},
			unseen: 3 * hour, says: "but for 3h (2 gaps)",
		},
		{
			name: "a namespace that is not watched", q: SightQuery{Since: day.Since, Namespaces: []string{"shop", "pay"}},
			scopes: map[string]store.Scope{"shop|": watchedScope(100*hour, 0)},
			gaps:   []record.Gap{{Kind: record.GapWatch, Scope: "pay"}}, unseen: 24 * hour, says: "Not everything that is watched was seen",
		},
		{name: "nothing at all", q: day, gaps: nil, says: "Nothing", notWatched: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var batches []store.Batch
			if !c.notWatched {
				batches = []store.Batch{{Cluster: "prod", Scopes: c.scopes}}
			}
			s := sightOf(t, c.q, batches...)
			if c.notWatched {
				if len(s.Scopes) > 0 || s.Whole {
					t.Errorf("%+v", s)
				}
				return
			}
			ignore := cmpopts.IgnoreFields(record.Gap{}, "Why")
			if diff := cmp.Diff(c.gaps, s.Gaps, ignore, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if !strings.Contains(s.Summary, c.says) || s.UnseenSeconds != int64(c.unseen/time.Second) || s.Whole != (len(c.gaps) == 0) {
				t.Errorf("%q, %ds unseen, whole %v", s.Summary, s.UnseenSeconds, s.Whole)
			}
		})
	}
}

// TestSightOfMissedStops holds that the missed stops of a container are one row for each reason, that
// the counts are those of the records, and that those before the watch are told apart.
func TestSightOfMissedStops(t *testing.T) {
	const hour = time.Hour
	gap := record.Gap{Kind: record.GapWatch, From: agoOf(5 * hour), To: agoOf(4 * hour), Why: "whyrestart was not running"}
	of := func(n int, missed int, after, until time.Duration, edit func(*record.Record)) record.Record {
		r := storetest.Sample(n)
		r.Cluster, r.Namespace, r.Container, r.PodUID, r.Pod = "prod", "shop", "api", "uid", "web-1"
		r.Workload = &record.Workload{Kind: "Deployment", Name: "web"}
		r.MissedBefore, r.MissedAfter, r.MissedUntil = missed, agoOf(after), agoOf(until)
		r.FinishedAt = agoOf(until - time.Second)
		if edit != nil {
			edit(&r)
		}
		return r
	}
	batch := store.Batch{
		Cluster: "prod", Gaps: []record.Gap{gap}, Scopes: map[string]store.Scope{"|": watchedScope(100*hour, 0)},
		Records: []record.Record{
			of(1, 3, 6*hour, 3*hour, nil),
			of(2, 4, 5*hour, 4*hour, func(r *record.Record) { r.PodUID = "other" }),
			of(3, 2, 2*hour, hour, nil),
			of(4, 30, 2*hour, hour, func(r *record.Record) { r.BeforeWatch = true }),
			of(5, 9, 60*hour, 50*hour, nil),
			of(6, 0, 2*hour, hour, nil),
			of(7, 5, 2*hour, hour, func(r *record.Record) { r.Namespace = "pay" }),
		},
	}
	s := sightOf(t, SightQuery{Since: agoOf(24 * hour), Namespaces: []string{"shop"}}, batch)
	web := &record.Workload{Kind: "Deployment", Name: "web"}
	want := []record.MissedStops{
		{Namespace: "shop", Workload: web, Pods: 2, Container: "api", Count: 7, After: agoOf(6 * hour), Until: agoOf(3 * hour), Why: gap.Why},
		{Namespace: "shop", Workload: web, Pod: "web-1", Pods: 1, Container: "api", Count: 2, After: agoOf(2 * hour), Until: agoOf(hour), Why: "it restarted faster than its states came"},
		{Namespace: "shop", Workload: web, Pod: "web-1", Pods: 1, Container: "api", Count: 30, After: agoOf(2 * hour), Until: agoOf(hour), Why: "the watch had not begun", BeforeWatch: true},
	}
	if diff := cmp.Diff(want, s.MissedStops); diff != "" || s.Missed != 9 || s.MissedBeforeWatch != 30 {
		t.Errorf("%d missed and %d before the watch, (-want +got):\n%s", s.Missed, s.MissedBeforeWatch, diff)
	}
	if s := sightOf(t, SightQuery{Since: agoOf(24 * hour)}, batch); s.Missed != 14 || !strings.Contains(s.Summary, "14 stops are only counted") {
		t.Errorf("%d missed: %s", s.Missed, s.Summary)
	}
}

// TestSightOfClusters holds that each part says of which cluster it is where there are several, and
// that one of them can be asked for, also one without a name.
func TestSightOfClusters(t *testing.T) {
	batch := func(cluster string) store.Batch {
		return store.Batch{
			Cluster: cluster, Scopes: map[string]store.Scope{"|": watchedScope(100*time.Hour, 0)},
			Gaps: []record.Gap{{Kind: record.GapPermission, From: agoOf(time.Hour), Scope: "pods/log in shop", Why: "not allowed to get", Count: 2}},
		}
	}
	s := sightOf(t, SightQuery{}, batch("prod"), batch(""))
	if len(s.Denied) != 2 || s.Denied[0].Cluster+s.Denied[1].Cluster != "prod" || s.Gaps[0].Cluster+s.Gaps[1].Cluster != "prod" || len(s.Scopes) != 2 {
		t.Errorf("%+v", s)
	}
	none := ""
	s = sightOf(t, SightQuery{Cluster: &none, Namespaces: []string{"shop"}}, batch("prod"), batch(""))
	want := []record.Denial{{Verb: "get", Resource: "pods/log", Namespace: "shop", Since: agoOf(time.Hour), Refused: 2}}
	if diff := cmp.Diff(want, s.Denied, cmpopts.IgnoreFields(record.Denial{}, "Means")); diff != "" || s.Denied[0].Means == "" {
		t.Errorf("denied (-want +got):\n%s", diff)
	}
	if s := sightOf(t, SightQuery{Cluster: &none, Namespaces: []string{"pay"}}, batch("")); len(s.Denied) != 0 {
		t.Errorf("denied elsewhere: %+v", s.Denied)
	}
	if strings.Contains(shard.Scope(0, 8), "|") {
		t.Error("a scope has the character that ends it in the name of a coverage")
	}
}

// TestUnion holds that what overlaps counts once.
func TestUnion(t *testing.T) {
	at := func(s int) time.Time { return sightNow.Add(time.Duration(s) * time.Second) }
	gaps := []record.Gap{{From: at(0), To: at(10)}, {From: at(5), To: at(8)}, {From: at(9), To: at(20)}, {From: at(30)}, {To: at(3)}, {From: at(50), To: at(40)}}
	if d := union(gaps, at(2), at(100)); d != 88*time.Second {
		t.Errorf("%s, want 88s", d)
	}
	if d := union(nil, at(2), at(100)); d != 0 {
		t.Errorf("%s of nothing", d)
	}
}

// TestJoined holds that what is refused to several processes is one, as long as to any of them.
func TestJoined(t *testing.T) {
	at := func(s int) time.Time { return sightNow.Add(time.Duration(s) * time.Second) }
	of := func(verb string, since, until int, refused int64) record.Denial {
		d := record.Denial{Verb: verb, Resource: "nodes", Since: at(since), Refused: refused}
		if until > 0 {
			d.Until = at(until)
		}
		return d
	}
	got := joined([]record.Denial{of("get", 2, 9, 1), of("get", 1, 5, 2), of("list", 3, 4, 1), of("get", 20, 0, 1), of("get", 21, 25, 1), of("get", 9, 10, 1)})
	want := []record.Denial{of("get", 1, 10, 4), of("list", 3, 4, 1), of("get", 20, 0, 2)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
