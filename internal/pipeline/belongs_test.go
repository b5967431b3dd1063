package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// imports merges the Jobs that are called import-N, and gives the Deployment web another name.
func imports(t *testing.T) *issue.Rules {
	t.Helper()
	rules, err := issue.Compile([]issue.Rule{
		{Kind: "Job", Workload: "(import)-[0-9]+", Into: "${1}s"},
		{Kind: "Deployment", Workload: "web", Into: "frontend"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// ofReplicaSet makes a pod one of the ReplicaSet web-5f6.
func ofReplicaSet(p *corev1.Pod) *corev1.Pod {
	p.Labels = map[string]string{"pod-template-hash": "5f6"}
	p.CreationTimestamp = metav1.NewTime(noon)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5f6", UID: "rs", Controller: new(true)}}
	return p
}

// ownersAre answers with one workload, once it is let to.
type ownersAre struct {
	workload record.Workload
	err      error
	gate     chan struct{}
}

func (o *ownersAre) Workload(ctx context.Context, _ *corev1.Pod) (*record.Workload, error) {
	if o.gate != nil {
		select {
		case <-o.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w := o.workload
	return &w, o.err
}

func belonging(r *record.Record) string {
	if r.Workload == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s/%s in %q, revision %q", r.Workload.Kind, r.Workload.Name, r.Group, r.Revision)
}

// What is stored before anything is read says already whose it is: it would be counted as something else
// otherwise, and moved afterwards.
func TestBelongsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := &ownersAre{workload: record.Workload{Kind: "Job", Name: "import-7"}, gate: make(chan struct{})}
		g := start(t, new(ledger), func(o *Options) { o.Readers.Owners, o.Merge = who, imports(t) })
		g.Replace("", []Object{object(ofReplicaSet(pod("u", 1, running(0))))}, "1")
		g.Apply("", object(ofReplicaSet(pod("u", 2, crashed(0)))))
		synctest.Wait()
		stored := g.ledger.appends[len(g.ledger.appends)-1].Records
		if got, want := belonging(&stored[0]), `Deployment/web in "frontend", revision "5f6"`; got != want {
			t.Errorf("stored %s, want %s", got, want)
		}
		close(who.gate) // and what is read goes before what was inferred
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := belonging(&g.told[0]), `Job/import-7 in "imports", revision "5f6"`; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		if !g.told[0].PodCreatedAt.Equal(noon) {
			t.Errorf("created at %s", g.told[0].PodCreatedAt)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A storm in which nothing can be read of most stops is one issue all the same.
func TestBelongsInAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		g := start(t, new(ledger), func(o *Options) { o.Readers.Owners, o.Readers.Logs = &ownersAre{gate: gate}, logs{gate} })
		var before, after []Object
		for i := range queued + 100 {
			uid := fmt.Sprintf("u%d", i)
			before = append(before, object(ofReplicaSet(pod(uid, 1, running(0)))))
			after = append(after, object(ofReplicaSet(pod(uid, 2, crashed(0)))))
		}
		g.Replace("", before, "1")
		for i := range after {
			g.Apply("", after[i])
		}
		synctest.Wait()
		keys := make(map[issue.Key]int)
		records := 0
		for _, b := range g.ledger.appends {
			for i := range b.Records {
				records++
				k := issue.KeyOf(&b.Records[i])
				k.ExitCode = nil // a pointer
				keys[k]++
			}
		}
		if records != queued+100 || len(keys) != 1 {
			t.Errorf("%d records with %d keys", records, len(keys))
		}
		close(gate)
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestBelongs(t *testing.T) {
	annotated := func(p *corev1.Pod) *corev1.Pod {
		p.Annotations = map[string]string{issue.GroupAnnotation: "checkout", "other": "x"}
		return p
	}
	deployment := record.Workload{Kind: "Deployment", Name: "web"}
	for _, tt := range []struct {
		name   string
		pod    func(*corev1.Pod) *corev1.Pod
		owners *ownersAre
		want   string
	}{
		{"a rule", ofReplicaSet, &ownersAre{workload: deployment}, `Deployment/web in "frontend", revision "5f6"`},
		{"the pod before the rule", func(p *corev1.Pod) *corev1.Pod { return annotated(ofReplicaSet(p)) }, &ownersAre{workload: deployment}, `Deployment/web in "checkout", revision "5f6"`},
		{"no rule", ofReplicaSet, &ownersAre{workload: record.Workload{Kind: "Deployment", Name: "cart"}}, `Deployment/cart in "", revision "5f6"`},
		{"the owner cannot be read", ofReplicaSet, &ownersAre{workload: deployment, err: errors.New("forbidden")}, `Deployment/web in "frontend", revision "5f6"`},
		{"bare", func(p *corev1.Pod) *corev1.Pod { return p }, &ownersAre{workload: record.Workload{Kind: "Pod", Name: "pod-u"}}, `Pod/pod-u in "", revision ""`},
	} {
		var got []string
		off := &Offline{
			Context: t.Context(), Snapshot: true, Merge: imports(t), Readers: Readers{Owners: tt.owners}, AsOf: func() time.Time { return noon.Add(time.Hour) },
			Emit: func(f Finding) { got = append(got, belonging(&f.Record)) },
		}
		stalled := tt.pod(pending("u", 1))
		stalled.UID = "v"
		off.Replace("", []Object{object(tt.pod(pod("u", 1, crashed(0)))), object(stalled)}, "1")
		off.Finish()
		if d := cmp.Diff([]string{tt.want, tt.want}, got); d != "" {
			t.Errorf("%s: the stop and the stall (-want +got):\n%s", tt.name, d)
		}
		if kept := named(tt.pod(pod("u", 1, crashed(0)))); groupOf(kept) != groupOf(tt.pod(pod("u", 1, crashed(0)))) || len(kept.Annotations) > 1 {
			t.Errorf("%s: of the pod is kept %+v", tt.name, kept)
		}
	}
}

// groupOf is what the pod says itself.
func groupOf(p *corev1.Pod) string { return p.Annotations[issue.GroupAnnotation] }

// A pod that was not created would have had the group of its template.
func TestPodsThatAreNeverCreatedBelong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web-5d4f", UID: types.UID("ReplicaSet-web-5d4f")}}
		rs.Spec.Template.Annotations = map[string]string{issue.GroupAnnotation: "checkout"}
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster, o.Merge = &cluster{chain: []metav1.Object{rs}}, imports(t) })
		g.Replace("", nil, "1")
		ev := event("ReplicaSet", "web-5d4f", "FailedCreate", `Error creating: pods "web-5d4f-x2x4z" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2`, 0)
		ev.Type = corev1.EventTypeWarning
		g.Event(ev)
		time.Sleep(absentGrace + 2*time.Second)
		synctest.Wait()
		if len(g.told) != 1 {
			t.Fatalf("told %v", g.causes())
		}
		if got, want := belonging(&g.told[0]), `Deployment/web in "checkout", revision ""`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		g.end(t)
	})
}
