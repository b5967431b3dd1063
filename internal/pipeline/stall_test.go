package pipeline

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

// pending is a pod that the scheduler finds no node for.
func pending(uid string, version int) *corev1.Pod {
	p := pod(uid, version, corev1.ContainerStatus{})
	p.CreationTimestamp = metav1.NewTime(noon)
	p.Spec.NodeName = ""
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", LastTransitionTime: metav1.NewTime(noon),
		Message: "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
	}}}
	return p
}

// ready is a pod that is well.
func ready(uid string, version int) *corev1.Pod {
	s := running(0)
	s.Ready, s.Started = true, new(true)
	p := pod(uid, version, s)
	at := metav1.NewTime(noon.Add(10 * time.Minute))
	for _, c := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: at})
	}
	return p
}

func TestStallBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		use := func(o *Options) { o.Readers.Cluster, o.Workers = &cluster{node: node}, 1 }
		g := watched(t, l, use)
		g.Replace("", []Object{object(ready("well", 1))}, "1")
		g.Apply("", object(pending("u", 2)))
		g.Apply("", object(pending("v", 2)))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := g.causes(); len(got) != 0 {
			t.Fatalf("told %v while the grace lasts", got)
		}
		time.Sleep(time.Hour) // it is diagnosed again now and then, and says nothing new
		synctest.Wait()
		if diff := cmp.Diff([]string{"unschedulable", "unschedulable"}, g.causes()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		first := g.told[0]
		if first.Pod != "pod-u" || !first.Begin.Equal(noon) || first.Diagnosis.Detail != "insufficient_cpu" || first.Workload == nil {
			t.Errorf("the stall: %+v %+v", first, first.Stall)
		}
		if e := g.evidence(t, first.ID); e.Scheduling == nil || e.Scheduling.Nodes != 1 || e.Stall.Class != evidence.Unscheduled {
			t.Errorf("its evidence: %+v", e)
		}
		g.Apply("", object(ready("u", 9)))
		synctest.Wait()
		ended := g.told[len(g.told)-1]
		if len(g.told) != 3 || ended.ID != first.ID || ended.End.IsZero() || ended.Diagnosis.Cause != "unschedulable" {
			t.Errorf("the end: %v, %+v", g.causes(), ended.Stall)
		}
		g.end(t)

		// The other one ends while nobody watches.
		time.Sleep(time.Hour)
		g = watched(t, l, use)
		g.Replace("", []Object{object(ready("u", 9)), object(ready("v", 12))}, "12")
		synctest.Wait()
		if diff := cmp.Diff([]string{"unschedulable+"}, g.causes()); diff != "" {
			t.Fatalf("after the absence, told (-want +got):\n%s", diff)
		}
		g.Replace("", nil, "20")
		synctest.Wait()
		if got := g.causes(); slices.Contains(got[1:], "unschedulable+") {
			t.Errorf("a stall ends twice: %v", got)
		}
		g.end(t)
		if n := len(g.meter.completed); n != 2 { // the ends of two running containers
			t.Errorf("counted %d", n)
		}
	})
}

func TestStallOfAPodThatIsGoneAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := watched(t, l, nil)
		g.Replace("", []Object{object(pending("u", 2))}, "1")
		time.Sleep(time.Minute)
		g.end(t)
		g = watched(t, l, nil)
		g.Replace("", nil, "9")
		synctest.Wait()
		if diff := cmp.Diff([]string{"unschedulable+"}, g.causes()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		g.end(t)
	})
}

func TestPodsThatAreNeverCreated(t *testing.T) {
	refused := func(second, count int) *corev1.Event {
		ev := event("ReplicaSet", "web-5d4f", "FailedCreate", `Error creating: pods "web-5d4f-x2x4z" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2`, 0)
		ev.Type, ev.Count, ev.LastTimestamp = corev1.EventTypeWarning, int32(count), metav1.NewTime(noon.Add(time.Duration(second)*time.Second))
		return ev
	}
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		g := watched(t, l, nil)
		g.Replace("", nil, "1")
		g.Event(event("ReplicaSet", "web-old", "SuccessfulCreate", "Created pod: web-old-1", -10))
		over := event("ReplicaSet", "web-old", "FailedCreate", `Error creating: pods "web-old-2" is forbidden: x`, -60)
		over.LastTimestamp = metav1.NewTime(noon.Add(-20 * time.Second))
		g.Event(over)
		g.Event(refused(0, 1))
		time.Sleep(5 * time.Second)
		g.Event(refused(5, 9))
		synctest.Wait()
		if got := g.causes(); len(got) != 0 {
			t.Fatalf("told %v at once", got)
		}
		time.Sleep(absentGrace)
		synctest.Wait()
		if diff := cmp.Diff([]string{"pod_not_created"}, g.causes()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		r := g.told[0]
		if r.Pod != "web-5d4f-x2x4z" || r.PodUID != "" || r.Namespace != "ns" || r.Workload == nil || !r.Begin.Equal(noon) {
			t.Errorf("the stall: %+v %+v", r, r.Stall)
		}
		g.end(t)

		g = watched(t, l, nil) // which goes on where the first one ended
		g.Replace("", nil, "1")
		g.Event(refused(5, 9))
		time.Sleep(time.Minute)
		g.Event(event("ReplicaSet", "web-5d4f", "SuccessfulCreate", "Created pod: web-5d4f-abcde", 80))
		synctest.Wait()
		if diff := cmp.Diff([]string{"pod_not_created+"}, g.causes()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		if g.told[0].ID != r.ID {
			t.Error("another stall ended")
		}
		g.end(t)
	})
}
