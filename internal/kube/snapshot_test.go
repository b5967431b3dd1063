package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// summarize words a snapshot, an object or log a line.
func summarize(s *Snapshot) []string {
	var out []string
	for _, o := range s.Objects {
		out = append(out, strings.Trim(fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName()), "*"))
	}
	return out
}

// snapshotServer has one object of each kind in two namespaces, and a crashing pod.
func snapshotServer(t *testing.T) *objectServer {
	server := newObjectServer(t, &corev1.Node{ObjectMeta: named("", "node-1")}, testEvent("default", "n", "v1", "Node", 1), testEvent("default", "p", "v1", "Pod", 1))
	for _, ns := range []string{"shop", "test"} {
		crashing := restarted(testPod("crashing"))
		crashing.Namespace, crashing.Status.ContainerStatuses[0].Ready = ns, false
		well := testPod("well")
		well.Namespace, well.Status.ContainerStatuses[0].Ready = ns, true
		server.set(crashing)
		server.set(well)
		server.set(testEvent(ns, "e", "v1", "Pod", 1))
		server.set(&corev1.Namespace{ObjectMeta: named("", ns)})
		server.set(&corev1.PersistentVolumeClaim{ObjectMeta: named(ns, "data")})
		server.set(&appsv1.Deployment{ObjectMeta: named(ns, "web")})
		server.set(&appsv1.ReplicaSet{ObjectMeta: named(ns, "web-1")})
		server.set(&appsv1.StatefulSet{ObjectMeta: named(ns, "db")})
		server.set(&appsv1.DaemonSet{ObjectMeta: named(ns, "agent")})
		server.set(&appsv1.ControllerRevision{ObjectMeta: named(ns, "db-1")})
		server.set(&batchv1.Job{ObjectMeta: named(ns, "job")})
		server.set(&batchv1.CronJob{ObjectMeta: named(ns, "cron")})
	}
	return server
}

// answerLogs gives the previous log, and none for the current one.
func answerLogs(s *objectServer, w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/log") {
		return false
	}
	if r.URL.Query().Get("previous") == "true" {
		_, _ = fmt.Fprintf(w, "2026-11-21T03:00:00.000000001Z last words of %s\n", r.URL.Query().Get("container"))
		return true
	}
	s.status(w, r, forbidden("get"))
	return true
}

func TestSnapshot(t *testing.T) {
	server := snapshotServer(t)
	for _, tt := range []struct {
		name string
		o    SnapshotOptions
		want []string
	}{
		{"a namespace", SnapshotOptions{Namespaces: []string{"shop"}}, []string{
			"v1.Node /node-1", "v1.Namespace /shop", "v1.Pod shop/crashing", "v1.Pod shop/well", "v1.Event shop/e", "v1.PersistentVolumeClaim shop/data",
			"v1.Deployment shop/web", "v1.ReplicaSet shop/web-1", "v1.StatefulSet shop/db", "v1.DaemonSet shop/agent", "v1.ControllerRevision shop/db-1",
			"v1.PartialObjectMetadata shop/app", "v1.PartialObjectMetadata shop/other", "v1.Job shop/job", "v1.CronJob shop/cron", "v1.Event default/n",
		}},
		{"all but one", SnapshotOptions{ExcludeNamespaces: []string{"test"}}, []string{
			"v1.Node /node-1", "v1.Namespace /shop", "v1.Pod shop/crashing", "v1.Pod shop/well", "v1.Event default/n", "v1.Event default/p", "v1.Event shop/e", "v1.PersistentVolumeClaim shop/data",
			"v1.Deployment shop/web", "v1.ReplicaSet shop/web-1", "v1.StatefulSet shop/db", "v1.DaemonSet shop/agent", "v1.ControllerRevision shop/db-1",
			"v1.PartialObjectMetadata shop/app", "v1.PartialObjectMetadata shop/other", "v1.Job shop/job", "v1.CronJob shop/cron",
		}},
	} {
		got, err := newCluster(t, server.config()).Snapshot(t.Context(), tt.o)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, summarize(got)); d != "" || len(got.Missing) != 0 {
			t.Errorf("%s (-want +got):\n%s\nmissing %v", tt.name, d, got.Missing)
		}
	}
}

// What must not be read is named, and the rest is there; without pods there is nothing.
func TestSnapshotRefused(t *testing.T) {
	server := snapshotServer(t)
	server.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/v1/nodes") || strings.HasPrefix(r.URL.Path, "/apis/batch") || strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/default") {
			server.status(w, r, forbidden("list"))
			return true
		}
		return false
	})
	got, err := newCluster(t, server.config()).Snapshot(t.Context(), SnapshotOptions{Namespaces: []string{"shop", "test"}})
	if err != nil {
		t.Fatal(err)
	}
	why := `forbidden: pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "shop"`
	want := []record.Missing{
		{What: "nodes", Why: why}, {What: "jobs of shop", Why: why}, {What: "cronjobs of shop", Why: why},
		{What: "jobs of test", Why: why}, {What: "cronjobs of test", Why: why}, {What: "events of default (nodes)", Why: why},
	}
	if d := cmp.Diff(want, got.Missing); d != "" || len(got.Objects) != 24 {
		t.Errorf("%d objects; missing (-want +got):\n%s", len(got.Objects), d)
	}
	server.refuse("/api/v1/namespaces/shop/pods")
	if _, err := newCluster(t, server.config()).Snapshot(t.Context(), SnapshotOptions{Namespaces: []string{"shop"}}); problemOf(err) != Forbidden {
		t.Errorf("without pods: %v", err)
	}
}

// Of each pod the logs are read that tell of a problem, up to a number.
func TestContainerLogs(t *testing.T) {
	server := snapshotServer(t)
	server.answer(func(w http.ResponseWriter, r *http.Request) bool { return answerLogs(server, w, r) })
	c := newCluster(t, server.config())
	var pods []*corev1.Pod
	for _, ns := range []string{"shop", "test"} {
		for _, name := range []string{"well", "crashing"} {
			p, err := c.Pod(t.Context(), ns, name)
			if err != nil {
				t.Fatal(err)
			}
			pods = append(pods, p)
		}
	}
	got, left, err := c.ContainerLogs(t.Context(), pods, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused := `forbidden: pods is forbidden: User "dev" cannot get resource "pods" in API group "" in the namespace "shop"`
	want := []ContainerLog{
		{Namespace: "shop", Pod: "crashing", Container: "api", Previous: true, Lines: []string{"last words of api"}},
		{Namespace: "shop", Pod: "crashing", Container: "api", Missing: refused},
		{Namespace: "test", Pod: "crashing", Container: "api", Previous: true, Lines: []string{"last words of api"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("logs (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]record.Missing{{What: "logs", Why: "1 more were not read"}}, left); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
}

func TestSnapshotIsBounded(t *testing.T) {
	server := newObjectServer(t)
	for i := range 1100 {
		server.set(testEvent("shop", fmt.Sprintf("e%04d", i), "v1", "Pod", 1))
	}
	got, err := newCluster(t, server.config()).Snapshot(t.Context(), SnapshotOptions{MaxObjects: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Missing{{What: "events", Why: "too many to read: more than 1000"}}
	if d := cmp.Diff(want, got.Missing); d != "" || len(got.Objects) != 1002 { // with two ConfigMaps
		t.Errorf("%d objects; missing (-want +got):\n%s", len(got.Objects), d)
	}
}
