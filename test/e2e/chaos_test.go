//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// chaosSpace is the namespace of what restarts throughout.
	chaosSpace = "chaos-loop"
	// longChaos is from which CHAOS_FOR on each fault is tried in its long form.
	longChaos = 5 * time.Minute
	// killsAtLeast is how often whyrestart is killed in the long form.
	killsAtLeast = 200
)

// TestChaos does to one whyrestart what can happen to a program and to what it depends on,
// while containers restart every second. After each fault, what it recorded and what it
// counted as missed has to be what happened.
func TestChaos(t *testing.T) {
	if theSuite.node == nil {
		t.Skipf("it takes the API server and etcd away, and so the cluster of test/cluster: there is none in %s", stateDir())
	}
	k := newChaos(t, theSuite)
	k.start()
	k.makeLoop()
	for _, f := range k.faults() {
		if k.only != nil && !k.only.MatchString(f.name) {
			continue
		}
		if !t.Run(f.name, func(t *testing.T) { k.play(t, f) }) && t.Context().Err() != nil {
			return
		}
	}
	t.Run("in the end", k.last)
}

// fault is one kind of harm.
type fault struct {
	group, name string
	// long tells that it takes too long for the short form.
	long bool
	// run does the harm, undoes it, and leaves whyrestart running or stopped. It returns how
	// often it did, and what is to be said about it.
	run func() (tries int, note string)
}

// chaos is one run of the faults.
type chaos struct {
	*suite
	t       *testing.T // that of the fault
	ctx     context.Context
	dir     string
	store   string
	records *records
	program *victim
	loop    func(namespace string) bool

	random *rand.Rand
	lasts  time.Duration // 0 for the short form
	began  time.Time
	only   *regexp.Regexp
	// stopDeleting ends the deletion of pods.
	stopDeleting func()
}

func newChaos(t *testing.T, s *suite) *chaos {
	k := &chaos{suite: s, t: t, ctx: t.Context(), began: time.Now(), records: newRecords(s.changed), loop: func(ns string) bool { return ns == chaosSpace }}
	form, seed := "the short form", uint64(time.Now().UnixNano())
	if v := os.Getenv("CHAOS_FOR"); v != "" {
		d, err := time.ParseDuration(v)
		k.must(err, "read CHAOS_FOR")
		k.lasts, form = d, "at least "+d.String()
	}
	if v := os.Getenv("CHAOS_SEED"); v != "" {
		_, err := fmt.Sscan(v, &seed)
		k.must(err, "read CHAOS_SEED")
	}
	if v := os.Getenv("CHAOS_ONLY"); v != "" {
		var err error
		k.only, err = regexp.Compile(v)
		k.must(err, "read CHAOS_ONLY")
	}
	faults.Lock()
	faults.seed, faults.form = seed, form
	faults.Unlock()
	k.random = rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, %s; set CHAOS_SEED for the same choices", seed, form)

	k.dir = filepath.Join(s.dir, "chaos")
	disk := filepath.Join(k.dir, "disk")
	k.must(os.MkdirAll(disk, 0o755), "make the folder of the chaos")
	// A disk of its own, so that it can be full without anybody else's being so.
	k.must(syscall.Mount("tmpfs", disk, "tmpfs", 0, "mode=0755,size=256m"), "mount the disk of the store")
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the disk of the store: %v", err)
		}
	})
	k.store = filepath.Join(disk, "history", "whyrestart.db")
	var err error
	k.program, err = newVictim(k)
	k.must(err, "build whyrestart")
	t.Cleanup(k.clean)
	return k
}

func (k *chaos) must(err error, doing string) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%s: %v", doing, err)
	}
}

func (k *chaos) long() bool { return k.lasts >= longChaos }

// times is how often something is done in the short and in the long form.
func (k *chaos) times(short, long int) int {
	if k.long() {
		return long
	}
	return short
}

// during is how long something lasts in the short and in the long form.
func (k *chaos) during(short, long time.Duration) time.Duration {
	if k.long() {
		return long
	}
	return short
}

// moment returns a random duration below most.
func (k *chaos) moment(most time.Duration) time.Duration {
	return time.Duration(k.random.Int64N(int64(most)))
}

func (k *chaos) wait(d time.Duration) {
	k.t.Helper()
	select {
	case <-time.After(d):
	case <-k.ctx.Done():
		k.t.Fatal(k.ctx.Err())
	}
}

func (k *chaos) do(command string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	k.must(k.node.do(ctx, command), command)
}

// start starts whyrestart and waits until it watches.
func (k *chaos) start() {
	k.t.Helper()
	k.must(k.program.start(), "start whyrestart")
	k.must(k.program.untilReady(patience), "wait for whyrestart")
}

// restart ends whyrestart well where it runs, and starts it again.
func (k *chaos) restart() {
	k.t.Helper()
	k.terminate()
	k.start()
}

func (k *chaos) terminate() {
	k.t.Helper()
	if k.program.runs() {
		k.must(k.program.end(syscall.SIGTERM), "stop whyrestart")
	}
}

// play lets a fault happen, and compares.
func (k *chaos) play(t *testing.T, f fault) {
	if f.long && !k.long() {
		t.Skip("in the long form only")
	}
	outer := k.t
	k.t, k.ctx = t, t.Context()
	defer func() { k.t, k.ctx = outer, outer.Context() }()
	row := faultRow{Group: f.group, Fault: f.name}
	defer func() {
		row.Failed = t.Failed()
		reportFault(row)
	}()
	k.do("mend")
	before := k.judge(time.Now(), time.Now())
	from := time.Now()
	row.Tries, row.Note = f.run()
	if !k.program.runs() {
		k.must(k.program.start(), "start whyrestart again")
	}
	k.must(k.program.untilReady(patience), "wait until whyrestart is ready again")
	to := time.Now()
	v := k.settle(from, to)
	row.Happened, row.Recorded, row.Missed, row.Unseen = v.Happened, v.Recorded, v.Missed, v.Unseen
	row.Doubled, row.Lost, row.LongestGap = v.Doubled-before.Doubled, v.Lost, v.Longest
	if row.Happened == 0 && f.group != groupFile {
		t.Errorf("nothing happened meanwhile, so that the fault proves nothing")
	}
	if problem := integrity(k.store, k.dir); problem != "" {
		t.Errorf("the store is damaged: %s", problem)
	}
}

// last ends everything, and compares once more, the whole history.
func (k *chaos) last(t *testing.T) {
	k.t, k.ctx = t, t.Context()
	k.stopDeleting()
	k.do("mend")
	k.must(k.removeLoop(), "remove the pods that restart")
	v := k.settle(k.began, time.Now())
	k.terminate()
	t.Logf("in all: %d ended, %d recorded, %d missed, %d unseen in %d gaps", v.Happened, v.Recorded, v.Missed, v.Unseen, v.gaps)
	if problem := integrity(k.store, k.dir); problem != "" {
		t.Errorf("the store is damaged: %s", problem)
	}
	for _, c := range k.records.complaints() {
		t.Error(c)
	}
	doc, err := k.program.list(t.Context())
	k.must(err, "list")
	for _, a := range k.program.away {
		// Between two kills it may have watched for a moment and never been ready.
		if !a.to.IsZero() && !slices.ContainsFunc(doc.Coverage.Gaps, func(g record.Gap) bool { return g.From.Before(a.to) && g.To.After(a.from) }) {
			t.Errorf("whyrestart did not run from %s to %s, and none of its %d gaps says so", a.from.Format(time.TimeOnly), a.to.Format(time.TimeOnly), len(doc.Coverage.Gaps))
		}
	}
	for i := range doc.Findings {
		r := &doc.Findings[i]
		if r.Kind == record.KindStop && r.BeforeWatch {
			t.Errorf("record %s of %s/%s says that it happened before the watch, which began before the pod did", r.ID, r.Pod, r.Container)
		}
	}
}

func (k *chaos) clean() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), patience)
	defer cancel()
	if k.program.runs() {
		if err := k.program.end(syscall.SIGKILL); err != nil {
			k.t.Error(err)
		}
	}
	if err := k.node.do(ctx, "mend"); err != nil {
		k.t.Error(err)
	}
	if k.stopDeleting != nil {
		k.stopDeleting()
	}
	if err := k.removeNamespaces(ctx); err != nil {
		k.t.Error(err)
	}
}

// faults are all of them, in the order in which they happen.
func (k *chaos) faults() []fault {
	var all []fault
	for _, list := range [][]fault{k.processFaults(), k.serverFaults(), k.networkFaults(), k.diskFaults(), k.outputFaults(), k.killing()} {
		all = append(all, list...)
	}
	return all
}

// once returns a function that calls f the first time that it is called.
func once(f func()) func() {
	var o sync.Once
	return func() { o.Do(f) }
}
