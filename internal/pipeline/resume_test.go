package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// What a run was ended in the middle of is gone on with by the next one, as far as the API still
// shows it, and told once more, under the same ID.
func TestResume(t *testing.T) {
	gone := "not captured: whyrestart was ended before it was read, and the pod is gone"
	now := crashed(0)
	now.State.Terminated.FinishedAt.Time = noon
	for _, tc := range []struct {
		name string
		// pods is what the next run lists.
		pods []Object
		log  record.Log
	}{
		{"the pod is still there", []Object{object(pod("u", 2, now))}, record.Log{Lines: []string{"last words of containerd://0"}, Instance: record.LogProven}},
		{"it runs again", []Object{object(pod("u", 3, after(now)))}, record.Log{Lines: []string{"last words of containerd://0"}, Instance: record.LogProven}},
		{"it is gone", nil, record.Log{Missing: gone}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(noon))
				l := new(ledger)
				never := make(chan struct{})
				g := start(t, l, func(o *Options) { o.Readers.Logs, o.Archive = logs{never}, l })
				g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
				g.Apply("", object(pod("u", 2, now)))
				time.Sleep(5 * time.Second)
				g.end(t)
				first := g.last(t)
				if e := g.evidence(t, first.ID); first.Log != nil || !e.Partial {
					t.Fatalf("told with the log %+v; partial %v", first.Log, e.Partial)
				}

				var g2 *rig
				for n := range 3 {
					g2 = start(t, l, func(o *Options) { o.Archive = l })
					g2.Replace("", tc.pods, "5")
					time.Sleep(3 * time.Minute)
					g2.end(t)
					if want := []int{1, 0, 0}[n]; len(g2.told) != want {
						t.Fatalf("run %d told %d records, want %d", n, len(g2.told), want)
					}
					if n == 0 {
						second := g2.last(t)
						if diff := cmp.Diff(&tc.log, second.Log); diff != "" || second.ID != first.ID || second.Diagnosis.Cause != first.Diagnosis.Cause {
							t.Errorf("told as %s %s; its log (-want +got):\n%s", second.ID, second.Diagnosis.Cause, diff)
						}
					}
				}
				if e := g2.evidence(t, first.ID); e.Partial {
					t.Error("the evidence is still called partial")
				}
			})
		})
	}
}

// after is the status of the instance that follows.
func after(s corev1.ContainerStatus) corev1.ContainerStatus {
	n := running(1)
	n.Ready, n.Started = true, new(true)
	n.LastTerminationState = s.State
	return n
}

// A stop that whyrestart is ended with has no reading that failed because of that.
func TestEndedWhileCollecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := start(t, l, func(o *Options) {
			o.Readers.Logs, o.Readers.Cluster = logs{make(chan struct{})}, &cluster{node: calmNode(), gate: make(chan struct{})}
		})
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		g.Apply("", object(pod("u", 2, crashed(0))))
		synctest.Wait()
		g.end(t)
		r := g.last(t)
		if r.Log != nil {
			t.Errorf("the log is %+v", r.Log)
		}
		for _, m := range r.Diagnosis.Missing {
			if m.Why == context.Canceled.Error() {
				t.Errorf("missing: %+v", m)
			}
		}
	})
}
