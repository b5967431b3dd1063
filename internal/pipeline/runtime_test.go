package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// pod is a pod with one container.
func pod(uid string, version int, s corev1.ContainerStatus) *corev1.Pod {
	s.Name = "app"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod-" + uid, UID: types.UID(uid), ResourceVersion: fmt.Sprint(version)},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, NodeName: "n1", Containers: []corev1.Container{{Name: "app"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{s}},
	}
}

func object(p *corev1.Pod) Object {
	return Object{View: detect.FromPod(p), Full: func() (*corev1.Pod, error) { return p, nil }}
}

// running is instance n, running; crashed is instance n, ended with exit code 1.
func running(n int) corev1.ContainerStatus {
	s := corev1.ContainerStatus{RestartCount: int32(n), ContainerID: fmt.Sprintf("containerd://%d", n)}
	s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Unix(int64(1000+10*n), 0)}
	if n > 0 {
		s.LastTerminationState = crashed(n - 1).State
	}
	return s
}

func crashed(n int) corev1.ContainerStatus {
	s := corev1.ContainerStatus{RestartCount: int32(n), ContainerID: fmt.Sprintf("containerd://%d", n)}
	s.State.Terminated = &corev1.ContainerStateTerminated{
		ContainerID: s.ContainerID, ExitCode: 1, Reason: "Error", StartedAt: metav1.Unix(int64(1000+10*n), 0), FinishedAt: metav1.Unix(int64(1005+10*n), 0),
	}
	return s
}

// ledger is a Memory that can be out of order, and keeps what an earlier run left.
type ledger struct {
	Memory
	mu      sync.Mutex
	failing error
	appends []store.Batch
	marks   map[record.ContainerKey]record.Mark
	scopes  map[string]store.Scope
}

func (l *ledger) Append(ctx context.Context, b store.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing != nil {
		return l.failing
	}
	l.appends = append(l.appends, b)
	if l.marks == nil {
		l.marks, l.scopes = make(map[record.ContainerKey]record.Mark), make(map[string]store.Scope)
	}
	for _, m := range b.Marks {
		l.marks[m.ContainerKey] = m
	}
	for _, uid := range b.Forget {
		for k := range l.marks {
			if k.PodUID == uid {
				delete(l.marks, k)
			}
		}
	}
	maps.Copy(l.scopes, b.Scopes)
	return l.Memory.Append(ctx, b)
}

func (l *ledger) Marks(_ context.Context, _ string, yield func(record.Mark) bool) error {
	for _, m := range l.marks {
		if !yield(m) {
			break
		}
	}
	return nil
}

func (l *ledger) Scopes(context.Context, string) (map[string]store.Scope, error) {
	return maps.Clone(l.scopes), nil
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = err
}

func (l *ledger) gaps() (out []record.Gap) {
	for _, b := range l.appends {
		out = append(out, b.Gaps...)
	}
	return out
}

// meter counts completions, and ignores the rest.
type meter struct {
	mu        sync.Mutex
	completed []string
}

func (m *meter) Complete(r *record.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.completed = append(m.completed, r.ID)
}
func (*meter) Gap(record.Gap)                   {}
func (*meter) Pods(int)                         {}
func (*meter) Pending(int)                      {}
func (*meter) Stored(int, time.Duration, error) {}
func (*meter) Captured(string)                  {}
func (*meter) Trouble(string, error)            {}
func (*meter) Read(string, error)               {}
func (*meter) Late(string)                      {}
func (*meter) Stalling(string, int)             {}
func (*meter) Events(int, int)                  {}

// logs answers when it is let to.
type logs struct{ gate chan struct{} }

func (l logs) Tail(ctx context.Context, r LogRequest) record.Log {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return record.Log{Missing: ctx.Err().Error()}
		}
	}
	return record.Log{Lines: []string{"last words of " + r.ContainerID}, Instance: record.LogProven}
}

type owners struct{}

func (owners) Workload(context.Context, *corev1.Pod) (*record.Workload, error) {
	return &record.Workload{Kind: "Deployment", Name: "web"}, nil
}

// rig is a Runtime that runs, with everything it was told.
type rig struct {
	*Runtime
	ledger *ledger
	meter  *meter
	mu     sync.Mutex
	told   []record.Record
	stop   func() error
}

func start(t *testing.T, l *ledger, change func(*Options)) *rig {
	t.Helper()
	o := Options{Scopes: []string{""}, Ledger: l, Readers: Readers{Owners: owners{}, Logs: logs{}}, Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := NewRuntime(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{Runtime: r, ledger: l, meter: o.Meter.(*meter)}
	relay := &Relay{Ledger: l, Outbox: store.Outbox{Consumer: "test"}, Settle: 3 * time.Second, Settled: r.Settled, Now: time.Now, Deliver: func(rec record.Record) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.told = append(g.told, rec)
		return nil
	}}
	var wg sync.WaitGroup
	var ended error
	wg.Go(func() { ended = r.Run(ctx) })
	wg.Go(func() {
		if err := relay.Run(ctx, r.Told()); err != nil {
			t.Error(err)
		}
	})
	g.stop = func() error {
		cancel()
		wg.Wait()
		if err := relay.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		return ended
	}
	return g
}

// tellings are the ordinals of what was told, "+log" where it came with one.
func (g *rig) tellings() (out []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.told {
		s := fmt.Sprint(r.Ordinal)
		if r.Log != nil && len(r.Log.Lines) > 0 {
			s += "+log"
		}
		out = append(out, s)
	}
	return out
}

func TestStoredBeforeItsLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{gate} })
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		synctest.Wait()
		stored := g.ledger.appends[len(g.ledger.appends)-1].Records
		if len(stored) != 1 || stored[0].Log != nil {
			t.Fatalf("the stop is not stored while its log is being read: %+v", stored)
		}
		if got := g.tellings(); len(got) != 0 {
			t.Fatalf("told %v before it settled", got)
		}
		close(gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"0+log"}, g.tellings()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if len(g.meter.completed) != 1 {
			t.Errorf("counted %d times", len(g.meter.completed))
		}
	})
}

func TestToldInOrderAndAgainWithLateEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{}, 10)
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{gate}; o.Workers = 1 })
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		g.Apply("", object(pod("u", 3, crashed(1))))
		time.Sleep(2 * time.Second) // of the bubble's clock
		synctest.Wait()
		if got := g.tellings(); len(got) != 0 {
			t.Fatalf("told %v while they wait for their logs", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"0", "1"}, g.tellings()); diff != "" {
			t.Fatalf("told after the settle time (-want +got):\n%s", diff)
		}
		gate <- struct{}{}
		gate <- struct{}{}
		synctest.Wait()
		if diff := cmp.Diff([]string{"0", "1", "0+log", "1+log"}, g.tellings()); diff != "" {
			t.Errorf("told again (-want +got):\n%s", diff)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRelabelledWhileCollecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{gate} })
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		s := crashed(0)
		s.State.Terminated.ExitCode = 137
		g.Apply("", object(pod("u", 2, s)))
		s.State.Terminated = s.State.Terminated.DeepCopy()
		s.State.Terminated.Reason = "OOMKilled"
		g.Apply("", object(pod("u", 3, s)))
		close(gate)
		synctest.Wait()
		if len(g.told) != 1 || g.told[0].Diagnosis.Cause != "oom_killed" || g.told[0].Log == nil || g.told[0].Workload == nil {
			t.Errorf("told %+v", g.told)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestUnavailableStoreLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := start(t, l, func(o *Options) { o.MaxPending = 5; o.Readers.Logs = nil; o.Readers.Owners = nil })
		l.fail(fmt.Errorf("append: %w: disk full", store.ErrUnavailable))
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		shown := make(chan int, 100)
		go func() {
			for n := range 30 {
				g.Apply("", object(pod("u", 2+n, crashed(n))))
				shown <- n
			}
			close(shown)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(shown); n >= 30 {
			t.Errorf("the source was not held back: %d updates taken", n)
		}
		if g.Ready() == nil {
			t.Error("ready although nothing can be stored")
		}
		l.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := g.Ready(); err != nil {
			t.Error(err)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		total := 0
		for _, r := range g.told {
			total += 1 + r.MissedBefore
		}
		if total != 30 {
			t.Errorf("%d stops told, 30 happened", total)
		}
	})
}

func TestOtherStoreErrorEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := start(t, l, nil)
		broken := errors.New("no such table")
		l.fail(broken)
		g.Replace("", nil, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		synctest.Wait()
		if err := g.stop(); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatIsPendingIsStoredAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{make(chan struct{})} })
		g.Replace("", nil, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"0"}, g.tellings()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestHistoryAndGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := start(t, l, nil)
		g.Replace("", []Object{object(pod("u", 1, running(3)))}, "1")
		g.Apply("", object(pod("u", 2, crashed(3))))
		synctest.Wait()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"2+log", "3+log"}, g.tellings()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		first, second := g.told[0], g.told[1]
		if !first.BeforeWatch || first.MissedBefore != 2 || second.BeforeWatch || second.MissedBefore != 0 {
			t.Errorf("history: %+v, then %+v", first.Stop, second.Stop)
		}

		// The watcher is away for an hour; the pod restarts twice and another one comes and crashes.
		time.Sleep(time.Hour)
		g = start(t, l, nil)
		g.Replace("", []Object{object(pod("u", 9, crashed(5))), object(pod("v", 8, crashed(0)))}, "9")
		synctest.Wait()
		if diff := cmp.Diff([]string{"5+log", "0+log"}, g.tellings()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		if a, b := g.told[0], g.told[1]; a.MissedBefore != 1 || a.BeforeWatch || b.BeforeWatch {
			t.Errorf("after the absence: %+v, then %+v", a.Stop, b.Stop)
		}
		gaps := l.gaps()
		if len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) < time.Hour {
			t.Errorf("gaps: %+v", gaps)
		}

		// The same list again says nothing new, but is a gap.
		g.Replace("", []Object{object(pod("u", 9, crashed(5))), object(pod("v", 8, crashed(0)))}, "9")
		synctest.Wait()
		if n := len(g.told); n != 2 {
			t.Errorf("%d told, want 2", n)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if n := len(l.gaps()); n != 2 {
			t.Errorf("%d gaps, want 2", n)
		}
	})
}

func TestPodsThatVanish(t *testing.T) {
	for _, tc := range []struct {
		selection string
		want      int
	}{{"", 1}, {"app=web", 0}} {
		synctest.Test(t, func(t *testing.T) {
			l := new(ledger)
			g := start(t, l, func(o *Options) { o.Selection = tc.selection })
			g.Replace("", []Object{object(pod("u", 1, running(1)))}, "1")
			g.Replace("", nil, "5")
			synctest.Wait()
			if err := g.stop(); err != nil {
				t.Error(err)
			}
			unobserved := 0
			for _, r := range g.told {
				if !r.ExitObserved {
					unobserved++
				}
			}
			if unobserved != tc.want {
				t.Errorf("selection %q: %d ends of a pod that vanished, want %d", tc.selection, unobserved, tc.want)
			}
			if len(l.marks) != 0 {
				t.Errorf("marks of a pod that is gone: %v", l.marks)
			}
		})
	}
}

func TestMarksOfPodsThatWentWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := start(t, l, nil)
		g.Replace("", nil, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if len(l.marks) != 1 {
			t.Fatalf("marks: %v", l.marks)
		}
		g = start(t, l, nil)
		g.Replace("", nil, "9")
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if len(l.marks) != 0 {
			t.Errorf("marks of a pod that is gone: %v", l.marks)
		}
	})
}

func TestTooManyAtOnceAreStoredWithoutLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{make(chan struct{})} })
		g.Replace("", nil, "1")
		const n = 3000
		for i := range n {
			g.Apply("", object(pod(fmt.Sprint("u", i), 2, crashed(0))))
		}
		synctest.Wait()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		skipped := 0
		for _, r := range g.told {
			if r.Log != nil && r.Log.Missing != "" {
				skipped++
			}
		}
		if len(g.told) != n || skipped == 0 || skipped == n {
			t.Errorf("%d told, %d of them without a log for the crowd", len(g.told), skipped)
		}
	})
}

// An error of the store that does not pass ends Run at once, also where the source waits for room; what
// was stored before is told, and what was not is found again.
func TestPermanentErrorEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		broken := errors.New("the file is damaged")
		ended := make(chan error, 1)
		o := Options{
			Scopes: []string{""}, Ledger: l, Meter: new(meter), Logger: slog.New(slog.DiscardHandler), Now: time.Now, MaxPending: 2,
		}
		r, err := NewRuntime(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		r.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		r.Apply("", object(pod("u", 2, crashed(0))))
		shown := make(chan struct{})
		l.fail(fmt.Errorf("%w for now", store.ErrUnavailable))
		go func() { ended <- r.Run(t.Context()) }()
		go func() {
			defer close(shown)
			for n := range 20 {
				r.Apply("", object(pod("u", 3+n, crashed(1+n))))
			}
		}()
		time.Sleep(time.Minute)
		select {
		case <-shown:
			t.Fatal("the source did not have to wait")
		default:
		}
		l.fail(broken)
		if err := <-ended; !errors.Is(err, broken) {
			t.Errorf("Run ended with %v", err)
		}
		<-shown
	})
}
