package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

func newCluster(t testing.TB, c *rest.Config) *Cluster {
	t.Helper()
	cluster, err := NewCluster(ClusterOptions{Config: c, UserAgent: "whyrestart/test", maxPods: 1200})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// RoundTrip answers without a connection, so that time can stand still around it.
func (s *objectServer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.handle(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// still returns a server without a connection.
func still(t testing.TB) (*objectServer, *Cluster) {
	s := &objectServer{objects: nil, version: 100, changed: make(chan struct{})}
	s.objects = newObjectServer(t).objects
	return s, newCluster(t, &rest.Config{Host: "http://cluster.example:6443", Transport: s})
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID("uid-" + name),
		Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "deployment.kubernetes.io/revision": "3"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}
}

func ownedBy(m metav1.ObjectMeta, apiVersion, kind, name string) metav1.ObjectMeta {
	yes := true
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID("uid-" + name), Controller: &yes}}
	return m
}

func chainOf(objects []metav1.Object) []string {
	var out []string
	for _, o := range objects {
		out = append(out, fmt.Sprintf("%T %s", o, o.GetName()))
	}
	return out
}

func TestClusterReads(t *testing.T) {
	node := &corev1.Node{ObjectMeta: named("", "node-1"), Status: corev1.NodeStatus{
		Images: []corev1.ContainerImage{{Names: []string{"a"}}}, NodeInfo: corev1.NodeSystemInfo{BootID: "boot"},
	}}
	server := newObjectServer(t, node,
		&corev1.Node{ObjectMeta: named("", "node-2")},
		&corev1.Namespace{ObjectMeta: named("", "shop")},
		&corev1.PersistentVolumeClaim{ObjectMeta: named("shop", "data"), Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}},
		testPod("a"),
	)
	c := newCluster(t, server.config())
	got, err := c.Node(t.Context(), "node-1")
	if err != nil {
		t.Fatal(err)
	}
	want := node.DeepCopy()
	want.ResourceVersion, want.ManagedFields, want.Status.Images = "101", nil, nil
	delete(want.Annotations, corev1.LastAppliedConfigAnnotation)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("node (-want +got):\n%s", d)
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[1].Name != "node-2" {
		t.Errorf("nodes: %v, %v", nodes, err)
	}
	if ns, err := c.Namespace(t.Context(), "shop"); err != nil || ns.Name != "shop" {
		t.Errorf("namespace: %v, %v", ns, err)
	}
	if claim, err := c.Claim(t.Context(), "shop", "data"); err != nil || claim.Status.Phase != corev1.ClaimPending {
		t.Errorf("claim: %v, %v", claim, err)
	}
	if pod, err := c.Pod(t.Context(), "shop", "a"); err != nil || pod.Spec.NodeName != "node-1" {
		t.Errorf("pod: %v, %v", pod, err)
	}
	for what, read := range map[string]func() error{
		"node":      func() error { _, err := c.Node(t.Context(), "gone"); return err },
		"claim":     func() error { _, err := c.Claim(t.Context(), "shop", "gone"); return err },
		"namespace": func() error { _, err := c.Namespace(t.Context(), "gone"); return err },
		"pod":       func() error { _, err := c.Pod(t.Context(), "shop", "gone"); return err },
	} {
		err := read()
		if !apierrors.IsNotFound(err) || problemOf(err) != NotFound {
			t.Errorf("a %s that is gone: %v", what, err)
		}
	}
}

// A 404 that is not about the object proves nothing.
func TestClusterNotCertain(t *testing.T) {
	server := newObjectServer(t)
	server.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return true
	})
	_, err := newCluster(t, server.config()).Node(t.Context(), "node-1")
	if err == nil || apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestClusterControllers(t *testing.T) {
	server := newObjectServer(t,
		&appsv1.ReplicaSet{ObjectMeta: ownedBy(named("shop", "web-5f6"), "apps/v1", "Deployment", "web")},
		&appsv1.Deployment{ObjectMeta: named("shop", "web")},
		&appsv1.StatefulSet{ObjectMeta: ownedBy(named("shop", "db"), "example.com/v1", "Database", "db")},
		&appsv1.DaemonSet{ObjectMeta: named("shop", "agent")},
		&batchv1.Job{ObjectMeta: ownedBy(named("shop", "report-1"), "batch/v1", "CronJob", "report")},
		&batchv1.CronJob{ObjectMeta: named("shop", "report")},
		&batchv1.Job{ObjectMeta: ownedBy(named("shop", "orphan"), "batch/v1", "CronJob", "gone")},
	)
	c := newCluster(t, server.config())
	recreated := ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-5f6")
	recreated.OwnerReferences[0].UID = "uid-other"
	for _, tt := range []struct {
		name    string
		of      metav1.ObjectMeta
		want    []string
		problem Problem
	}{
		{"nobody", named("shop", "p"), nil, ""},
		{"deployment", ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-5f6"), []string{"*v1.ReplicaSet web-5f6", "*v1.Deployment web"}, ""},
		{"stateful set of an operator", ownedBy(named("shop", "p"), "apps/v1", "StatefulSet", "db"), []string{"*v1.StatefulSet db"}, ""},
		{"daemon set", ownedBy(named("shop", "p"), "apps/v1", "DaemonSet", "agent"), []string{"*v1.DaemonSet agent"}, ""},
		{"cron job", ownedBy(named("shop", "p"), "batch/v1", "Job", "report-1"), []string{"*v1.Job report-1", "*v1.CronJob report"}, ""},
		{"its owner gone", ownedBy(named("shop", "p"), "batch/v1", "Job", "orphan"), []string{"*v1.Job orphan"}, NotFound},
		{"gone", ownedBy(named("shop", "p"), "apps/v1", "ReplicaSet", "web-4e5"), nil, NotFound},
		{"another of its name", recreated, nil, NotFound},
		{"unknown kind", ownedBy(named("shop", "p"), "example.com/v1", "Job", "x"), nil, ""},
		{"unknown version", ownedBy(named("shop", "p"), "a/b/c", "Job", "x"), nil, ""},
	} {
		chain, err := c.Controllers(t.Context(), &tt.of)
		if d := cmp.Diff(tt.want, chainOf(chain)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if (err != nil) != (tt.problem != "") || err != nil && problemOf(err) != tt.problem {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.problem)
		}
		if tt.problem == NotFound && !apierrors.IsNotFound(err) {
			t.Errorf("%s: IsNotFound does not hold for %v", tt.name, err)
		}
	}
}

func TestClusterPodsOnNodes(t *testing.T) {
	server := newObjectServer(t)
	for i := range 1100 {
		p := testPod(fmt.Sprintf("p%04d", i))
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TOKEN", Value: "hunter2"}}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("250m")}
		switch i {
		case 3:
			p.Status.Phase = corev1.PodSucceeded
		case 4:
			p.Spec.NodeName = ""
		}
		server.set(p)
	}
	c := newCluster(t, server.config())
	pods, err := c.PodsOnNodes(t.Context())
	if err != nil || len(pods) != 1098 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	want := usage(pods[0])
	want.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("250m")}
	if d := cmp.Diff(want.Spec.Containers, pods[0].Spec.Containers); d != "" || pods[0].Spec.NodeName != "node-1" || pods[0].Spec.Containers[0].Env != nil {
		t.Errorf("the first: %+v\n%s", pods[0], d)
	}
	for i := range 200 {
		server.set(testPod(fmt.Sprintf("q%04d", i)))
	}
	before := len(server.asked())
	c = newCluster(t, server.config())
	for range 2 {
		_, err = c.PodsOnNodes(t.Context())
		if want := "cannot list pods in all namespaces: too many to read: more than 1200"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if n := len(server.asked()) - before; n != 1 {
		t.Errorf("%d requests to learn that there are too many", n)
	}
}

// A long list does not stay in memory once it is too old to be believed.
func TestClusterForgetsLists(t *testing.T) {
	server, c := still(t)
	synctest.Test(t, func(t *testing.T) {
		server.objects["/api/v1/nodes/node-1"] = &corev1.Node{ObjectMeta: named("", "node-1")}
		if _, err := c.Nodes(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := len(c.cache.Keys())
		time.Sleep(objectTTL + time.Second)
		synctest.Wait()
		if left := len(c.cache.Keys()); kept != 1 || left != 0 {
			t.Errorf("%d kept, %d left", kept, left)
		}
	})
}

// What is asked again within the time that an answer is believed costs no request.
func TestClusterCache(t *testing.T) {
	server, c := still(t)
	synctest.Test(t, func(t *testing.T) {
		read := func() error { _, err := c.Node(t.Context(), "node-1"); return err }
		reads := func(want int) {
			t.Helper()
			if got := len(server.asked()); got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		}
		server.objects["/api/v1/nodes/node-1"] = &corev1.Node{ObjectMeta: named("", "node-1")}
		for range 3 {
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		reads(1)
		time.Sleep(2 * time.Second)
		since := time.Now()
		for _, notBefore := range []time.Time{since.Add(-time.Minute), since, since} {
			if _, err := c.Node(pipeline.NotBefore(t.Context(), notBefore), "node-1"); err != nil {
				t.Fatal(err)
			}
		}
		reads(2) // one that was from before the time, and then the one that is not
		delete(server.objects, "/api/v1/nodes/node-1")
		time.Sleep(objectTTL + time.Second)
		for range 3 {
			if err := read(); !apierrors.IsNotFound(err) {
				t.Fatalf("got %v", err)
			}
		}
		reads(3)
		time.Sleep(objectTTL + time.Second)
		server.before = func(w http.ResponseWriter, r *http.Request) bool {
			server.status(w, r, forbidden("get"))
			return true
		}
		for i := range 3 {
			_, err := c.Node(t.Context(), fmt.Sprintf("node-%d", i)) // the refusal is for all of them
			if problemOf(err) != Forbidden {
				t.Fatalf("got %v", err)
			}
		}
		reads(4)
		time.Sleep(refusedTTL + time.Second)
		server.before = nil
		if err := read(); !apierrors.IsNotFound(err) {
			t.Fatalf("got %v", err)
		}
		reads(5)
	})
}

// A server that does not answer costs a caller no more than the time-out, and one that
// leaves earlier only its own patience.
func TestClusterSlow(t *testing.T) {
	server, c := still(t)
	synctest.Test(t, func(t *testing.T) {
		server.before = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}
		began := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Claim(short, "shop", "data"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the impatient one waited for %s", took)
		}
		_, err := c.Claim(t.Context(), "shop", "data")
		if problemOf(err) != Unreachable || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != clusterTimeout {
			t.Errorf("the patient one waited for %s", took)
		}
		if n := len(server.asked()); n != 1 {
			t.Errorf("%d requests, want one for both", n)
		}
	})
}

// However many ask, the server hears no more than the bound a second, and whoever would
// wait for too long is told.
func TestClusterRate(t *testing.T) {
	server, c := still(t)
	synctest.Test(t, func(t *testing.T) {
		var g errgroup.Group
		errs := make(chan error, 1000)
		for i := range cap(errs) {
			g.Go(func() error {
				_, err := c.Node(t.Context(), fmt.Sprintf("node-%d", i))
				errs <- err
				return nil
			})
		}
		_ = g.Wait()
		close(errs)
		answered, refused := 0, 0
		for err := range errs {
			switch {
			case apierrors.IsNotFound(err):
				answered++
			case err.Error() == "cannot get nodes: too many requests at the same time":
				refused++
			}
		}
		// One may have its turn at the very moment at which its time is over.
		const most = clusterBurst + clusterQPS*int(clusterTimeout/time.Second)
		asked := len(server.asked())
		if asked > most || answered < most-1 || answered+refused < cap(errs)-1 {
			t.Errorf("%d requests, %d answered and %d refused, want at most %d requests", asked, answered, refused, most)
		}
	})
}
