package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// limited is a pod whose container has a memory limit; its node has plenty.
func limited(p *corev1.Pod) *corev1.Pod {
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi")}
	return p
}

func calmNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(noon.AddDate(0, 0, -1)),
		}}},
	}
}

func outOfMemory(n int) corev1.ContainerStatus {
	s := killed(n)
	s.State.Terminated.Reason = "OOMKilled"
	return s
}

// last is what was told last of a record.
func (g *rig) last(t *testing.T) record.Record {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.told) == 0 {
		t.Fatal("nothing was told")
	}
	for _, r := range g.told[1:] {
		if r.ID != g.told[0].ID {
			t.Fatalf("told of two records: %s and %s", g.told[0].ID, r.ID)
		}
	}
	return g.told[len(g.told)-1]
}

// The kubelet may say only later that it was the memory: whenever that is, the stop is explained
// with everything that was collected for it, and the earlier label never comes back.
func TestRelabelledAtAnyTime(t *testing.T) {
	for _, tc := range []struct {
		name string
		// relabel is called with the stop shown, and calls oom once.
		relabel func(g *rig, l *ledger, gate chan struct{}, oom func())
	}{
		{"while the log is read", func(_ *rig, _ *ledger, gate chan struct{}, oom func()) {
			oom()
			close(gate)
		}},
		{"when all is collected and not yet stored", func(_ *rig, l *ledger, gate chan struct{}, oom func()) {
			l.fail(store.ErrUnavailable)
			close(gate)
			synctest.Wait()
			oom()
			synctest.Wait()
			l.fail(nil)
		}},
		{"when all is stored", func(_ *rig, _ *ledger, gate chan struct{}, oom func()) {
			close(gate)
			synctest.Wait()
			oom()
		}},
		{"when all was told", func(_ *rig, _ *ledger, gate chan struct{}, oom func()) {
			close(gate)
			time.Sleep(90 * time.Second)
			oom()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, gate := new(ledger), make(chan struct{})
				g := watched(t, l, func(o *Options) {
					o.Readers.Logs = logs{gate}
					o.Readers.Cluster = &cluster{node: calmNode()}
				})
				g.Replace("", []Object{object(limited(pod("u", 1, running(0))))}, "1")
				g.Apply("", object(limited(pod("u", 2, killed(0)))))
				synctest.Wait()
				tc.relabel(g, l, gate, func() { g.Apply("", object(limited(pod("u", 3, outOfMemory(0))))) })
				time.Sleep(3 * time.Minute)
				g.end(t)
				r := g.last(t)
				if r.Diagnosis.Cause != "oom_killed" || r.Diagnosis.Detail != "container_limit" || r.Reason != "OOMKilled" {
					t.Errorf("told at last: reason %s, %s/%s %s, missing %v", r.Reason, r.Diagnosis.Cause, r.Diagnosis.Detail, r.Diagnosis.Confidence, r.Diagnosis.Missing)
				}
				if r.Log == nil || len(r.Log.Lines) == 0 || r.Workload == nil || r.Workload.Kind != "Deployment" {
					t.Errorf("log %v, workload %v", r.Log, r.Workload)
				}
				if e := g.evidence(t, r.ID); e.Node == nil || e.Stop.Reason != "OOMKilled" {
					t.Errorf("the evidence has the node %v and the reason %s", e.Node, e.Stop.Reason)
				}
			})
		})
	}
}

// What was a lifecycle when it was seen had neither its log nor its node read: once it is a
// failure, both are.
func TestRelabelledToAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := watched(t, l, func(o *Options) { o.Readers.Cluster = &cluster{node: calmNode()} })
		ended := killed(0)
		ended.State.Terminated.ExitCode, ended.State.Terminated.Reason = 0, "Completed"
		job := func(v int, s corev1.ContainerStatus) Object {
			p := limited(pod("u", v, s))
			p.Spec.RestartPolicy = corev1.RestartPolicyNever
			return object(p)
		}
		g.Replace("", []Object{job(1, running(0))}, "1")
		g.Apply("", job(2, ended))
		time.Sleep(10 * time.Second)
		g.Apply("", job(3, outOfMemory(0)))
		time.Sleep(3 * time.Minute)
		g.end(t)
		r := g.last(t)
		if r.Diagnosis.Detail != "container_limit" || r.Log == nil || len(r.Log.Lines) == 0 {
			t.Errorf("told at last: %s/%s, log %v", r.Diagnosis.Cause, r.Diagnosis.Detail, r.Log)
		}
	})
}

// busyCluster is one whose nodes cannot be read while it is busy.
type busyCluster struct {
	*cluster
	busy atomic.Bool
}

func (c *busyCluster) Node(ctx context.Context, name string) (*corev1.Node, error) {
	if c.busy.Load() {
		return nil, errors.New("the server is busy")
	}
	return c.cluster.Node(ctx, name)
}

// A reading that failed is tried again even where the cause is certain, and what it gives is kept.
func TestFailedReadingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := new(ledger), &busyCluster{cluster: &cluster{node: calmNode()}}
		c.busy.Store(true)
		g := start(t, l, func(o *Options) { o.Readers.Cluster = c })
		g.Replace("", []Object{object(limited(pod("u", 1, running(0))))}, "1")
		g.Apply("", object(limited(pod("u", 2, outOfMemory(0)))))
		time.Sleep(time.Second)
		if e := g.evidence(t, g.last(t).ID); !slices.ContainsFunc(e.Missing, func(m record.Missing) bool { return m.What == whatNode }) {
			t.Errorf("the node is not told to be missing: %v", e.Missing)
		}
		if r := g.last(t); r.Diagnosis.Detail != "level_unknown" || r.Diagnosis.Confidence != record.Confirmed {
			t.Fatalf("told %s/%s %s", r.Diagnosis.Cause, r.Diagnosis.Detail, r.Diagnosis.Confidence)
		}
		c.busy.Store(false)
		time.Sleep(3 * time.Minute)
		g.end(t)
		if r := g.last(t); r.Diagnosis.Detail != "container_limit" {
			t.Errorf("told at last: %s/%s, missing %v", r.Diagnosis.Cause, r.Diagnosis.Detail, r.Diagnosis.Missing)
		}
	})
}

// absence answers whether a pod is there.
type absence struct {
	cluster
	pod *corev1.Pod
	err error
}

func (a *absence) Pod(context.Context, string, string) (*corev1.Pod, error) { return a.pod, a.err }

// A list with a selector lacks pods that are gone, and pods whose labels no longer fit: the ends of
// the first are recorded, and nothing is claimed of the others, nor where nobody can tell.
func TestAbsentFromSelection(t *testing.T) {
	there := pod("u", 3, running(0))
	other := pod("u", 3, running(0))
	other.UID = "another"
	for _, tc := range []struct {
		name string
		a    absence
		want int
	}{
		{"gone", absence{err: missingObject}, 1},
		{"replaced under its name", absence{pod: other}, 1},
		{"relabelled", absence{pod: there}, 0},
		{"unknown", absence{err: errors.New("the server is busy")}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := new(ledger)
				g := start(t, l, func(o *Options) { o.Selection, o.Readers.Cluster = "app=web", &tc.a })
				g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
				g.Replace("", nil, "9")
				time.Sleep(time.Minute)
				g.end(t)
				stops := 0
				for _, r := range g.told {
					if r.Stop != nil {
						stops++
					}
				}
				if stops != tc.want {
					t.Errorf("%d ends are recorded, want %d: %+v", stops, tc.want, g.told)
				}
			})
		})
	}
}
