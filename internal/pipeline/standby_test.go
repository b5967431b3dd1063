package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// happening is one event of a watch.
type happening struct {
	pod  *corev1.Pod
	gone bool
}

// happenings is a random story of a few pods: what a watch shows, and how many instances of each ended.
func happenings(t *rapid.T) (events []happening, ended map[string]int) {
	type life struct {
		uid   string
		n     int
		phase int // 0 waits for its first start, 1 runs, 2 crashed, 3 backs off
	}
	ended = make(map[string]int)
	var alive []*life
	made := 0
	for range rapid.IntRange(5, 60).Draw(t, "events") {
		if len(alive) == 0 || len(alive) < 4 && rapid.IntRange(0, 9).Draw(t, "create") == 0 {
			made++
			alive = append(alive, &life{uid: fmt.Sprintf("p%d", made)})
			l := alive[len(alive)-1]
			events = append(events, happening{pod: lifePod(l.uid, versionAfter(len(events)+1), l.n, l.phase)})
			continue
		}
		i := rapid.IntRange(0, len(alive)-1).Draw(t, "pod")
		l := alive[i]
		gone := false
		switch op := rapid.IntRange(0, 11).Draw(t, "op"); {
		case op == 11:
			gone = true
			if l.phase == 1 {
				ended[l.uid]++
			}
			alive = slices.Delete(alive, i, i+1)
		case l.phase == 0:
			l.phase = 1
		case l.phase == 1 && op < 5:
			l.phase = 2
			ended[l.uid]++
		case l.phase == 1 && op < 8: // the watch shows nothing between
			l.n++
			ended[l.uid]++
		case l.phase == 1 && op < 9: // nor of the one after it
			l.n += 2
			ended[l.uid] += 2
		case l.phase == 1: // something else of it changed
		case l.phase == 2 && op < 4:
			l.phase = 3
		default:
			l.phase = 1
			l.n++
		}
		events = append(events, happening{pod: lifePod(l.uid, versionAfter(len(events)+1), l.n, l.phase), gone: gone})
	}
	return events, ended
}

// versionAfter is the resource version after some events: no list has 0, which stands for any.
func versionAfter(events int) int { return events + 1 }

func lifePod(uid string, version, n, phase int) *corev1.Pod {
	id := func(n int) string { return fmt.Sprintf("containerd://%s-%d", uid, n) }
	end := func(n int) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{ContainerID: id(n), ExitCode: int32(1 + n%3), Reason: "Error", StartedAt: metav1.Unix(int64(1000+10*n), 0), FinishedAt: metav1.Unix(int64(1005+10*n), 0)}
	}
	s := corev1.ContainerStatus{RestartCount: int32(n)}
	if phase > 0 {
		s.ContainerID = id(n)
	}
	if n > 0 && phase < 3 {
		s.LastTerminationState.Terminated = end(n - 1)
	}
	switch phase {
	case 0:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case 1:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Unix(int64(1000+10*n), 0)}
	case 2:
		s.State.Terminated = end(n)
	case 3:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
		s.LastTerminationState.Terminated = end(n)
	}
	return pod(uid, version, s)
}

// proc is a replica by hand: it sees as much of the story as it is shown, and stores when it is told to.
type proc struct {
	t       *rapid.T
	db      store.Store
	cluster string
	events  []happening
	cursor  int
	standby *Standby
	listed  bool
	runtime *Runtime // while it believes that it leads
}

// GoString keeps the story out of what is told of a failure.
func (p *proc) GoString() string {
	return fmt.Sprintf("at %d, listed %t, leads %t", p.cursor, p.listed, p.runtime != nil)
}

func (p *proc) restart() {
	p.standby = NewStandby(StandbyOptions{Cluster: p.cluster, Scopes: []string{""}, Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	p.listed, p.runtime = false, nil
}

// see shows it the next event; what came before its first one is listed.
func (p *proc) see() {
	if !p.listed {
		p.listed = true
		var names []string
		newest := make(map[string]happening)
		for _, e := range p.events[:p.cursor] {
			if _, ok := newest[string(e.pod.UID)]; !ok {
				names = append(names, string(e.pod.UID))
			}
			newest[string(e.pod.UID)] = e
		}
		var pods []Object
		for _, uid := range names {
			if e := newest[uid]; !e.gone {
				pods = append(pods, object(e.pod))
			}
		}
		p.standby.Replace("", pods, fmt.Sprint(versionAfter(p.cursor)))
		p.standby.Trouble("", nil)
		return
	}
	if p.cursor == len(p.events) {
		return
	}
	e := p.events[p.cursor]
	p.cursor++
	if e.gone {
		p.standby.Delete("", object(e.pod))
	} else {
		p.standby.Apply("", object(e.pod))
	}
}

// lead lets it lead. One that was not listed could not be: its list is asked for afterwards, and shows
// everything that the others have seen.
func (p *proc) lead(others ...*proc) {
	for _, o := range others {
		if !p.standby.Warm() {
			p.cursor = max(p.cursor, o.cursor)
		}
	}
	if !p.listed {
		p.standby.Trouble("", errors.New("the API server is away"))
	}
	ctx := context.Background()
	term, err := p.db.Claim(ctx, p.cluster, shard.Shard{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.runtime, err = NewRuntime(ctx, Options{Cluster: p.cluster, Scopes: []string{""}, Term: term, Ledger: p.db, Archive: p.db, Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.standby.Lead(ctx, p.runtime); err != nil {
		p.t.Fatal(err)
	}
}

// store stores what it has found; one that was taken over from follows.
func (p *proc) store() {
	if p.runtime == nil {
		return
	}
	err := p.runtime.flush(context.Background())
	if errors.Is(err, store.ErrFenced) {
		p.standby.Follow()
		p.runtime = nil
	} else if err != nil {
		p.t.Fatal(err)
	}
}

func (p *proc) trim() {
	coverage, err := p.db.Scopes(context.Background(), p.cluster)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.runtime != nil {
		coverage = p.runtime.storedScopes()
	}
	p.standby.trim(coverage)
}

// found is what matters of a stop.
type found struct {
	Missed       int
	Code         int32
	Observed     bool
	FinishedAt   time.Time
	BeforeWatch  bool
	RestartCount int
}

func stored(t *rapid.T, db store.Store, cluster string) (stops map[string]found, counts map[string]int, gaps []record.Gap) {
	ctx := context.Background()
	stops, counts = make(map[string]found), make(map[string]int)
	records, _, err := db.List(ctx, store.Query{Cluster: cluster, Kind: record.KindStop, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		key := fmt.Sprintf("%s %d", r.PodUID, r.Ordinal)
		if _, twice := stops[key]; twice {
			t.Fatalf("%s is there twice", key)
		}
		f := found{Missed: r.MissedBefore, Observed: r.ExitObserved, FinishedAt: r.FinishedAt, BeforeWatch: r.BeforeWatch}
		if r.ExitCode != nil {
			f.Code = *r.ExitCode
		}
		stops[key] = f
		counts[r.PodUID] += 1 + r.MissedBefore
	}
	if gaps, err = db.Gaps(ctx, cluster, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return stops, counts, gaps
}

// TestTakeover lets replicas see a random story, each at its own pace, and lead one after the other:
// the one before is killed, frozen or stopped with some of what it found not stored. Where no gap is
// told, exactly that is stored which one process would have that saw everything; where one is, every
// instance that ended is recorded or counted once.
func TestTakeover(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "replicas.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	clusters := 0
	cluster := func() string { // one history for all: a new one for each story takes most of the time
		clusters++
		return fmt.Sprint(clusters)
	}
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		events, ended := happenings(t)
		name := cluster()
		procs := make([]*proc, 3)
		for i := range procs {
			procs[i] = &proc{t: t, db: db, cluster: name, events: events}
			procs[i].restart()
		}
		begin := rapid.IntRange(0, len(events)/2).Draw(t, "begin")
		leader := procs[0]
		leader.cursor = begin
		leader.lead()
		leader.see()
		leader.store()
		for range rapid.IntRange(10, 120).Draw(t, "steps") {
			p := rapid.SampledFrom(procs).Draw(t, "proc")
			if !p.listed && p.cursor < begin {
				p.cursor = begin
			}
			switch op := rapid.IntRange(0, 19).Draw(t, "what"); {
			case op < 12:
				p.see()
			case op < 15:
				p.store()
			case op < 17:
				p.trim()
			case op < 18 && p != leader:
				if rapid.Bool().Draw(t, "clean") {
					leader.store()
					leader.standby.Follow()
					leader.runtime = nil
				}
				leader = p
				p.lead(procs...)
			case op == 19 && p != leader:
				p.restart() // a follower is killed, and begins with a list of its own
			case op == 18: // the leader is killed
				leader.restart()
				leader = rapid.SampledFrom(procs).Draw(t, "next")
				if !leader.listed && leader.cursor < begin {
					leader.cursor = begin
				}
				leader.lead(procs...)
			}
		}
		for leader.cursor < len(events) || !leader.listed {
			leader.see()
		}
		leader.store()
		stops, counts, gaps := stored(t, db, name)
		if len(gaps) > 0 {
			for uid, n := range counts {
				if n > ended[uid] {
					t.Fatalf("%s: %d recorded or counted, %d ended", uid, n, ended[uid])
				}
			}
			return
		}
		plain++
		alone := &proc{t: t, db: db, cluster: cluster(), events: events, cursor: begin}
		alone.restart()
		alone.lead()
		for alone.cursor < len(events) || !alone.listed {
			alone.see()
		}
		alone.store()
		want, _, _ := stored(t, db, alone.cluster)
		if diff := cmp.Diff(want, stops); diff != "" {
			t.Fatalf("(-one process that saw everything, +replicas)\n%s", diff)
		}
	})
	t.Logf("%d without a gap", plain)
	if plain == 0 {
		t.Error("no run was without a gap: the test says nothing of what is promised")
	}
}

// A replica whose watch is behind what was stored does not take that back: the next one would count anew
// what is recorded of pods that it still sees.
func TestCoverageGoesForward(t *testing.T) {
	g := start(t, new(ledger), nil)
	g.Replace("", []Object{object(pod("u", 20, running(0)))}, "27")
	g.Apply("", object(pod("u", 21, running(0))))
	g.Progress("", "22")
	g.Delete("", object(pod("u", 23, running(0))))
	stored := func() string {
		g.Runtime.mu.Lock()
		defer g.Runtime.mu.Unlock()
		return g.scope("").ResourceVersion
	}
	if v := stored(); v != "27" {
		t.Errorf("the coverage went back to version %s", v)
	}
	g.Progress("", "30")
	if v := stored(); v != "30" {
		t.Errorf("the coverage is at version %s, want 30", v)
	}
	g.Replace("", nil, "5") // the cluster was restored from a backup
	if v := stored(); v != "5" {
		t.Errorf("after a list, the coverage is at version %s, want 5", v)
	}
	g.end(t)
}
