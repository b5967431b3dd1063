package model

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

var (
	seeds = flag.Int("seeds", 4, "runs of each plan")
	first = flag.Int("first", 0, "the first seed")
	steps = flag.Int("steps", 120, "what happens in the cluster in one run")
)

// plan says what goes wrong in a run. Where not told otherwise, a number n means once in n times.
type plan struct {
	name string
	// what the table says of it
	fault string
	// resets tells that the runtime forgets containers and their counts.
	resets bool
	// Of the watch: what is told late, told again, a connection that is cut and resumed, and one that
	// cannot be resumed.
	late, repeat, cut, gone int
	// kill kills the process, at a step; killAppend before and after an append, killTell after a
	// delivery and around its acknowledgement; stop ends it as it should be.
	kill, killAppend, killTell, stop int
	// down is how long it then stays down at most.
	down time.Duration
	// Of the store: it takes nothing for a while, says that it took nothing although it did, and is slow.
	full, unknown, slow int
	// pending bounds what waits to be stored, in records.
	pending int
	// clock steps whyrestart's clock, by at most jump; drift is how much faster it goes.
	clock int
	jump  time.Duration
	drift float64
	// burst lets that many things happen at once.
	burst int
}

var plans = []plan{
	{name: "calm", fault: "none"},
	{name: "late", fault: "events told up to 20 s late", late: 5},
	{name: "repeat", fault: "events told again", repeat: 5},
	{name: "cut", fault: "connection cut for up to a minute, then resumed", cut: 15},
	{name: "gone", fault: "watch lost for up to two minutes, 410 and a new list", gone: 15},
	{name: "resets", fault: "containers and counts forgotten by the runtime", resets: true},
	{name: "resetsgone", fault: "the same, and the watch lost", resets: true, gone: 15},
	{name: "kill", fault: "killed at any moment, down for up to two minutes", kill: 20, down: 2 * time.Minute},
	{name: "killfast", fault: "killed at any moment, back at once", kill: 10, down: 0},
	{name: "killappend", fault: "killed just before or after an append", killAppend: 20, down: 20 * time.Second},
	{name: "killtell", fault: "killed between a delivery and its acknowledgement", killTell: 20, down: 20 * time.Second},
	{name: "stop", fault: "stopped and started again", stop: 20, down: 30 * time.Second},
	{name: "full", fault: "the disk takes nothing for up to two minutes", full: 15},
	{name: "fullburst", fault: "the same, with more than may wait in memory", full: 15, pending: 10, burst: 8},
	{name: "unknown", fault: "an append that fails after it was committed", unknown: 6},
	{name: "slow", fault: "appends that take up to 90 s", slow: 10, pending: 20, burst: 4},
	{name: "clock", fault: "the clock steps by up to a day", clock: 15, jump: 24 * time.Hour},
	{name: "clockkill", fault: "the same, and killed", clock: 15, jump: 24 * time.Hour, kill: 20, down: 2 * time.Minute},
	{name: "drift", fault: "the clock goes 10 % too fast", drift: 0.1, kill: 40, down: time.Minute},
	{
		name: "all", fault: "all of these but the clock", late: 20, repeat: 20, cut: 40, gone: 40, kill: 60, killAppend: 80, killTell: 80, stop: 80, down: time.Minute,
		full: 60, unknown: 40, slow: 60, pending: 50, burst: 3,
	},
	{
		name: "allresets", fault: "the same, with counts forgotten", resets: true, late: 20, repeat: 20, cut: 40, gone: 40, kill: 60, killAppend: 80, killTell: 80, stop: 80,
		down: time.Minute, full: 60, unknown: 40, slow: 60, pending: 50, burst: 3,
	},
}

// template is an empty store, made once.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "history.db")
	db, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// folder is where stores are quick, if the machine has such a place.
func folder(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "model"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// play is one run of a plan.
func play(t *testing.T, p plan, seed uint64) (result tally) {
	t.Helper()
	path := filepath.Join(folder(t), "history.db")
	empty, err := template()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := &world{t: t, plan: p, seed: seed, rng: rng, path: path, cluster: newCluster(rng, p), faults: &faults{tries: make(map[string]int)}, drift: p.drift}
		w.steps = []step{{}}
		w.run()
		db, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var problems []string
		if result, problems = w.judged(db); len(problems) > 0 {
			t.Errorf("plan %s, seed %d:\n%s", p.name, seed, strings.Join(problems, "\n"))
		}
	})
	return result
}

// hit tells, with a probability of one in n, that a fault happens; never for 0.
func (w *world) hit(n int) bool { return n > 0 && w.rng.IntN(n) == 0 }

// run lets things happen, with whyrestart watching, until all is calm and told.
func (w *world) run() {
	var supervisor sync.WaitGroup
	kill, stop, end := make(chan struct{}), make(chan struct{}), make(chan struct{})
	supervisor.Go(func() { w.supervise(kill, stop, end) })
	for range *steps {
		time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		for range 1 + w.plan.burst {
			w.cluster.step()
		}
		if w.hit(w.plan.clock) {
			w.faults.count("clock")
			w.skew(time.Duration(w.rng.Int64N(2*int64(w.plan.jump))) - w.plan.jump)
		}
		if w.hit(w.plan.kill) {
			w.signal(kill)
		}
		if w.hit(w.plan.stop) {
			w.signal(stop)
		}
	}
	w.faults.end()
	w.cluster.settle()
	time.Sleep(10 * time.Minute)
	w.calm = time.Now()
	close(end)
	supervisor.Wait()
}

func (w *world) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is down already
	}
}

// supervise keeps one process running, as a kubelet would.
func (w *world) supervise(kill, stop, end <-chan struct{}) {
	rng := rand.New(rand.NewPCG(w.seed, 4))
	for n := uint64(1); ; n++ {
		stopping, killing, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			w.live(stopping, killing, w.seed<<16+n)
		}()
		last := false
		select {
		case <-ended:
		case <-kill:
			w.faults.count("killed")
			close(killing)
		case <-stop:
			w.faults.count("stopped")
			close(stopping)
		case <-end:
			last = true
			close(stopping)
		}
		<-ended
		if last {
			return
		}
		died := time.Now()
		if w.plan.down > 0 {
			select {
			case <-end: // never: the calm at the end is longer
				return
			case <-time.After(time.Duration(rng.Int64N(int64(w.plan.down)))):
			}
		}
		w.blind(stretch{died, time.Now()})
	}
}

func TestModel(t *testing.T) {
	for _, p := range plans {
		t.Run(p.name, func(t *testing.T) {
			for seed := *first; seed < *first+*seeds; seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					play(t, p, uint64(seed))
				})
			}
		})
	}
}

// TestTable prints what became of every fault, as docs/reliability.md shows it.
func TestTable(t *testing.T) {
	if !testing.Verbose() {
		t.Skip("it prints a table: run it with -v")
	}
	lines := []string{"| fault | runs | tries | stops that happened | recorded | missed | unseen, in a gap that is stated | doubled | told | not told |", "|---|---|---|---|---|---|---|---|---|---|"}
	for _, p := range plans {
		var sum tally
		for seed := *first; seed < *first+*seeds; seed++ {
			one := play(t, p, uint64(seed))
			sum.happened, sum.recorded, sum.missed, sum.unseen = sum.happened+one.happened, sum.recorded+one.recorded, sum.missed+one.missed, sum.unseen+one.unseen
			sum.doubled, sum.told, sum.untold = sum.doubled+one.doubled, sum.told+one.told, sum.untold+one.untold
			for _, what := range slices.Sorted(maps.Keys(one.tries)) {
				if sum.tries == nil {
					sum.tries = make(map[string]int)
				}
				sum.tries[what] += one.tries[what]
			}
		}
		tries := 0
		for _, n := range sum.tries {
			tries += n
		}
		lines = append(lines, fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |",
			p.fault, *seeds, tries, sum.happened, sum.recorded, sum.missed, sum.unseen, sum.doubled, sum.told, sum.untold))
	}
	fmt.Println(strings.Join(lines, "\n"))
}
