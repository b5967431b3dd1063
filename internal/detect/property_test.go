package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/detect/kubelettest"
)

// ledger adds up what a detector returned, per container.
type ledger struct {
	total map[string]int
	seen  map[string]Stop
}

func newLedger() *ledger { return &ledger{total: map[string]int{}, seen: map[string]Stop{}} }

func (l *ledger) add(t interface{ Fatalf(string, ...any) }, stops []Stop) {
	for _, s := range stops {
		key := fmt.Sprintf("%s/%s/%d.%d", s.PodUID, s.Name, s.Epoch, s.Ordinal)
		old, again := l.seen[key]
		if again != s.Refined {
			t.Fatalf("stop %s: returned before %v, refined %v", key, again, s.Refined)
		}
		if s.MissedBefore < 0 || s.Ordinal < 0 {
			t.Fatalf("negative stop %s: %+v", key, s)
		}
		if again && (old.MissedBefore != s.MissedBefore || old.BeforeWatch != s.BeforeWatch) {
			t.Fatalf("stop %s was refined to another count: %+v, then %+v", key, old, s)
		}
		if again && old.Terminated != nil && !old.Terminated.synthetic() && s.Terminated.synthetic() {
			t.Fatalf("stop %s lost what the runtime said: %+v, then %+v", key, old, s)
		}
		l.seen[key] = s
		if !again {
			l.total[s.Name] += 1 + s.MissedBefore
		}
	}
}

var (
	counted = []string{"start", "start", "start", "create", "run", "exit0", "exit1", "exit1", "relabel", "backoff", "backoff", "pull", "gc", "runtimeRestart", "startError"}
	// murky operations make the kubelet invent states.
	murky = append([]string{"lost", "settle", "settle", "vanish"}, counted...)
	// falling ones make the count start again. ("lost" is left out: the kubelet of 1.36 and
	// later counts it twice, which only somebody who saw every update can know.)
	falling = append([]string{"wipe", "vanish"}, counted...)
)

// TestEveryStopOnce plays random histories and compares the detector's sums with what
// really ended. Where updates are dropped, only the count can tell, so the operations
// that destroy the count are left out there, and bounded in TestNeverTooMany.
func TestEveryStopOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		ops  []string
		drop bool
	}{
		{"every update is seen", murky, false},
		{"updates are dropped, repeated and late", counted, true},
	} {
		for _, monotone := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/monotone=%v", tc.name, monotone), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					k := kubelettest.New("u1", monotone, "init", "sidecar", "a", "b")
					w := &watcher{t: t, d: New(), l: newLedger()}
					w.show(k.Sync())
					var shown []*corev1.Pod
					for range rapid.IntRange(1, 60).Draw(t, "steps") {
						c := k.Containers[rapid.IntRange(0, 3).Draw(t, "container")]
						k.Step(c, rapid.SampledFrom(tc.ops).Draw(t, "op"))
						p := k.Sync()
						if tc.drop && rapid.Bool().Draw(t, "dropped") {
							continue
						}
						w.show(p)
						shown = append(shown, p)
						switch rapid.IntRange(0, 9).Draw(t, "noise") {
						case 0: // repeated
							w.expectNothing(p)
						case 1: // an old update arrives late
							w.expectNothing(rapid.SampledFrom(shown).Draw(t, "late"))
						case 2: // the watcher is restarted from its marks
							w.restart("u1", p)
						}
					}
					switch rapid.IntRange(0, 2).Draw(t, "end") {
					case 0:
						w.show(k.Sync())
					case 1:
						k.Step(k.Containers[0], "delete")
						for _, c := range k.Containers {
							if rapid.Bool().Draw(t, "observed") {
								k.Step(c, "exit1")
							}
						}
						w.remove(k.Sync())
					case 2:
						k.Terminate()
						w.show(k.Publish())
						w.remove(k.Publish())
					}
					w.compare(k)
				})
			})
		}
	}
}

// TestNeverTooMany adds the operations that make a count fall, and drops updates: the
// sums may then fall short of the truth, never exceed it.
func TestNeverTooMany(t *testing.T) {
	for _, monotone := range []bool{true, false} {
		t.Run(fmt.Sprintf("monotone=%v", monotone), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				k := kubelettest.New("u1", monotone, "init", "sidecar", "a")
				w := &watcher{t: t, d: New(), l: newLedger()}
				w.show(k.Sync())
				for range rapid.IntRange(1, 60).Draw(t, "steps") {
					k.Step(k.Containers[rapid.IntRange(0, 2).Draw(t, "container")], rapid.SampledFrom(falling).Draw(t, "op"))
					if p := k.Sync(); !rapid.Bool().Draw(t, "dropped") {
						w.show(p)
						w.expectNothing(p)
					}
				}
				w.show(k.Sync())
				for _, c := range k.Containers {
					if got := w.l.total[c.Name]; got > c.Ended {
						t.Fatalf("container %s: %d stops, and only %d instances ended%s", c.Name, got, c.Ended, w.history(c.Name))
					}
				}
			})
		})
	}
}

// watcher feeds a detector and keeps its ledger.
type watcher struct {
	t *rapid.T
	d *Detector
	l *ledger
	// trace tells, in a failure, what was shown and what was made of it.
	trace []string
}

func (w *watcher) note(p *Pod, stops []Stop) {
	for _, c := range p.Containers {
		line := fmt.Sprintf("%-7s %d id=%s running=%v", c.Name, c.RestartCount, c.ContainerID, c.Running)
		if t := c.State; t != nil {
			line += fmt.Sprintf(" state=%s(%s)", t.Reason, t.ContainerID)
		}
		if t := c.Last; t != nil {
			line += fmt.Sprintf(" last=%s(%s)", t.Reason, t.ContainerID)
		}
		if !slices.Contains(w.trace, line) {
			w.trace = append(w.trace, line)
		}
	}
	for _, s := range stops {
		w.trace = append(w.trace, fmt.Sprintf("   -> %s %d.%d missed %d refined %v", s.Name, s.Epoch, s.Ordinal, s.MissedBefore, s.Refined))
	}
}

func (w *watcher) history(name string) string {
	var b strings.Builder
	for _, line := range w.trace {
		if strings.Contains(line, name+" ") {
			b.WriteString("\n" + line)
		}
	}
	return b.String()
}

func (w *watcher) show(p *corev1.Pod) {
	v := FromPod(p)
	r := w.d.Observe(&v, false)
	w.note(&v, r.Stops)
	w.l.add(w.t, r.Stops)
}

func (w *watcher) remove(p *corev1.Pod) {
	v := FromPod(p)
	r := w.d.Delete(&v, false)
	w.note(&v, r.Stops)
	w.l.add(w.t, r.Stops)
}

func (w *watcher) expectNothing(p *corev1.Pod) {
	v := FromPod(p)
	if r := w.d.Observe(&v, false); len(r.Stops) > 0 {
		w.t.Fatalf("a status that was seen gave %+v%s", r.Stops, w.history(r.Stops[0].Name))
	}
}

func (w *watcher) restart(uid string, p *corev1.Pod) {
	marks := w.d.Marks(uid)
	w.d = New()
	for _, m := range marks {
		w.d.Seed(m)
	}
	w.show(p)
}

// compare holds the ledger against the truth: every instance that ended, and at the
// deletion also those that were still running then.
func (w *watcher) compare(k *kubelettest.Pod) {
	for _, c := range k.Containers {
		want := c.Ended
		if c.Running() && w.d.Len() == 0 {
			want++
		}
		if got := w.l.total[c.Name]; got != want {
			w.t.Fatalf("container %s: %d stops recorded or counted, %d ended%s", c.Name, got, want, w.history(c.Name))
		}
	}
}

// A watch that is resumed from an earlier version shows pods again that are gone: they are, and
// nothing of them is counted twice. What comes later under the same UID, as a pod does whose labels
// fit again, is new.
func TestBuried(t *testing.T) {
	k := kubelettest.New("u1", true, "a")
	d := New()
	observe := func(p *corev1.Pod) Result {
		v := FromPod(p)
		return d.Observe(&v, false)
	}
	observe(k.Sync())
	var shown []*corev1.Pod
	for range 3 {
		for _, op := range []string{"start", "exit1"} {
			k.Step(k.Containers[0], op)
			shown = append(shown, k.Sync())
			observe(shown[len(shown)-1])
		}
	}
	gone := FromPod(k.Publish())
	d.Delete(&gone, false)
	for _, p := range shown {
		if r := observe(p); len(r.Stops) > 0 || !r.Stale {
			t.Errorf("version %s of a pod that is gone gave %+v", p.ResourceVersion, r)
		}
	}
	if d.Len() != 0 {
		t.Errorf("%d pods are remembered", d.Len())
	}
	if r := observe(k.Publish()); r.Stale || d.Len() != 1 {
		t.Errorf("a later version gave %+v", r)
	}
	for n := range 3 * gravesKept {
		d.Bury(fmt.Sprint(n), 7)
	}
	if len(d.buried) > gravesKept {
		t.Errorf("%d graves are kept", len(d.buried))
	}
}
