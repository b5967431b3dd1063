package dump

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// named is the metadata of an object; its UID is "u-" and the name.
func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("u-" + name), ResourceVersion: "10"}
}

func ownedBy(m metav1.ObjectMeta, apiVersion, kind, name string) metav1.ObjectMeta {
	yes := true
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID("u-" + name), Controller: &yes}}
	return m
}

func objectsOf(list ...Object) *Objects {
	o := NewObjects()
	for _, obj := range list {
		o.Put(obj)
	}
	return o
}

// verdict words an answer.
func verdict(o metav1.Object, err error) string {
	switch {
	case apierrors.IsNotFound(err):
		return "not found"
	case err != nil:
		return err.Error()
	}
	return o.GetName()
}

// What is absent is gone only where its kind was recorded in its namespace.
func TestClusterReader(t *testing.T) {
	o := objectsOf(
		&corev1.Node{ObjectMeta: named("", "n1")}, &corev1.Namespace{ObjectMeta: named("", "shop")},
		&corev1.PersistentVolumeClaim{ObjectMeta: named("shop", "data")}, &corev1.Pod{ObjectMeta: named("shop", "p")},
	)
	ctx := t.Context()
	ask := func(o *Objects) []string {
		var got []string
		for _, name := range []string{"n1", "n2"} {
			n, err := o.Node(ctx, name)
			got = append(got, "node: "+verdict(n, err))
		}
		for _, name := range []string{"shop", "other"} {
			n, err := o.Namespace(ctx, name)
			got = append(got, "namespace: "+verdict(n, err))
			for _, claim := range []string{"data", "logs"} {
				c, err := o.Claim(ctx, name, claim)
				got = append(got, "claim: "+verdict(c, err))
			}
			p, err := o.Pod(ctx, name, "q")
			got = append(got, "pod: "+verdict(p, err))
		}
		return got
	}
	want := []string{
		"node: n1", "node: not found",
		"namespace: shop", "claim: data", "claim: not found", "pod: not found",
		"namespace: not found", `claim: no persistentvolumeclaims of namespace "other" were recorded`,
		`claim: no persistentvolumeclaims of namespace "other" were recorded`, `pod: no pods of namespace "other" were recorded`,
	}
	if d := cmp.Diff(want, ask(o)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := ask(NewObjects())[0]; got != "node: no nodes were recorded" {
		t.Errorf("of nothing: %s", got)
	}
	o.Remove(&corev1.Node{ObjectMeta: named("", "n1")})
	if got := ask(o)[0]; got != "node: not found" {
		t.Errorf("after its deletion: %s", got)
	}
	if _, err := o.Nodes(ctx); err == nil {
		t.Error("no nodes are left, and no error says so")
	}
}

func TestPodsOnNodes(t *testing.T) {
	at := func(namespace, name, node string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: named(namespace, name), Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
	}
	o := objectsOf(at("shop", "runs", "n1", corev1.PodRunning), at("shop", "pending", "", corev1.PodPending), at("shop", "done", "n1", corev1.PodSucceeded))
	if _, err := o.PodsOnNodes(t.Context()); err == nil || err.Error() != "only the pods of some namespaces were recorded, not those of kube-system" {
		t.Errorf("one namespace: %v", err)
	}
	o.Put(at("kube-system", "proxy", "n1", corev1.PodRunning))
	pods, err := o.PodsOnNodes(t.Context())
	if err != nil || len(pods) != 2 || pods[0].Name != "proxy" || pods[1].Name != "runs" {
		t.Errorf("got %v, %v", pods, err)
	}
}

func TestControllers(t *testing.T) {
	o := objectsOf(
		&appsv1.ReplicaSet{ObjectMeta: ownedBy(named("shop", "web-1"), "apps/v1", "Deployment", "web")},
		&appsv1.Deployment{ObjectMeta: named("shop", "web")},
		&appsv1.StatefulSet{ObjectMeta: named("shop", "db")},
		&appsv1.DaemonSet{ObjectMeta: named("shop", "agent")},
		&batchv1.Job{ObjectMeta: ownedBy(named("shop", "report-1"), "batch/v1", "CronJob", "report")},
		&batchv1.CronJob{ObjectMeta: named("shop", "report")},
	)
	other := ownedBy(named("shop", "p"), "apps/v1", "StatefulSet", "db")
	other.OwnerReferences[0].UID = "u-before"
	bare := ownedBy(named("shop", "p"), "apps/v1", "DaemonSet", "made")
	o.Put(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "made", UID: madeUID("DaemonSet", "shop", "made")}})
	for _, tt := range []struct {
		name string
		of   metav1.ObjectMeta
		want string
		err  string
	}{
		{"nobody", named("shop", "p"), "", ""},
		{"deployment", ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-1"), "web-1 web", ""},
		{"stateful set", ownedBy(named("shop", "p"), "apps/v1", "StatefulSet", "db"), "db", ""},
		{"daemon set", ownedBy(named("shop", "p"), "apps/v1", "DaemonSet", "agent"), "agent", ""},
		{"recorded without a UID", bare, "made", ""},
		{"cron job", ownedBy(named("shop", "p"), "batch/v1", "Job", "report-1"), "report-1 report", ""},
		{"gone", ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-0"), "", "not found"},
		{"another of its name", other, "", "not found"},
		{"not recorded", ownedBy(named("test", "p"), "apps/v1", "ReplicaSet", "web-9"), "", `no replicasets of namespace "test" were recorded`},
		{"unknown kind", ownedBy(named("shop", "p"), "example.com/v1", "Job", "x"), "", ""},
	} {
		chain, err := o.Controllers(t.Context(), &tt.of)
		var names []string
		for _, c := range chain {
			names = append(names, c.GetName())
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if (err != nil) != (tt.err != "") || err != nil && verdict(nil, err) != tt.err {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
	}
}

// A controller that was deleted is still known, and that it was.
func TestControllersAfterDeletion(t *testing.T) {
	zero := int32(0)
	old := &appsv1.ReplicaSet{ObjectMeta: ownedBy(named("shop", "web-1"), "apps/v1", "Deployment", "web"), Spec: appsv1.ReplicaSetSpec{
		Replicas: &zero, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{NodeName: "n"}},
	}}
	at := metav1.Unix(1700000000, 0)
	o := objectsOf(old, &appsv1.Deployment{ObjectMeta: named("shop", "web")},
		&corev1.Event{ObjectMeta: named("shop", "e"), LastTimestamp: at})
	o.Apply(Event{Type: Deleted, Object: old})
	of := ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-1")
	chain, err := o.Controllers(t.Context(), &of)
	if err != nil || len(chain) != 2 {
		t.Fatalf("got %v, %v", chain, err)
	}
	rs, ok := chain[0].(*appsv1.ReplicaSet)
	if !ok || *rs.Spec.Replicas != 0 || rs.Spec.Template.Spec.NodeName != "" || !rs.DeletionTimestamp.Equal(&at) {
		t.Errorf("got %+v", chain[0])
	}
	if old.DeletionTimestamp != nil || old.Spec.Template.Spec.NodeName == "" {
		t.Error("the recorded object was written to")
	}
	o.Apply(Event{Type: Added, Object: old})
	if chain, err := o.Controllers(t.Context(), &of); err != nil || chain[0].GetDeletionTimestamp() != nil {
		t.Errorf("after it came back: %v, %v", chain[0], err)
	}
	if len(o.gone.byUID) != 0 || len(o.gone.order) != 0 {
		t.Errorf("it is still remembered as gone: %v", o.gone)
	}
}

// However many controllers come and go, a bounded number is remembered.
func TestGraveyardIsBounded(t *testing.T) {
	var g graveyard
	for i := range maxGone + 10 {
		g.bury(&batchv1.Job{ObjectMeta: named("shop", fmt.Sprint("j", i))}, time.Unix(1700000000, 0))
	}
	_, first := g.byUID["u-j9"]
	_, kept := g.byUID["u-j10"]
	if len(g.byUID) != maxGone || len(g.order) != maxGone || first || !kept {
		t.Errorf("%d remembered, the oldest %v, the next %v", len(g.byUID), first, kept)
	}
}
