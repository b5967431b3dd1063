package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// replicaSet is one of the Deployment web as its controller makes it.
func replicaSet(name, revision, history string, minutes int) *appsv1.ReplicaSet {
	m := ownedBy(named("shop", "web-"+name), "apps/v1", "Deployment", "web")
	m.Labels = map[string]string{"app": "web", "pod-template-hash": name}
	m.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision, "deployment.kubernetes.io/revision-history": history}
	m.CreationTimestamp = metav1.NewTime(made.Add(time.Duration(minutes) * time.Minute))
	return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Template: template("web:" + name)}}
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}
}

// controllerRevision is one with the data that the StatefulSet controller writes (stateful_set_utils.go getPatch).
func controllerRevision(kind, of, hash string, revision int64, raw string) *appsv1.ControllerRevision {
	m := ownedBy(named("shop", of+"-"+hash), "apps/v1", kind, of)
	m.Labels = map[string]string{"app": of, "controller.kubernetes.io/hash": hash}
	if kind == "DaemonSet" {
		m.Labels = map[string]string{"app": of, "controller-revision-hash": hash}
	}
	m.CreationTimestamp = metav1.NewTime(made.Add(time.Duration(revision) * time.Minute))
	return &appsv1.ControllerRevision{ObjectMeta: m, Revision: revision, Data: runtime.RawExtension{Raw: []byte(raw)}}
}

const rawRevision = `{"spec":{"template":{"$patch":"replace","metadata":{"creationTimestamp":null,"labels":{"app":"db"}},"spec":{"containers":[{"image":"db:%d","name":"app","resources":{"limits":{"memory":"64Mi"}},"terminationMessagePath":"/dev/termination-log"}],"restartPolicy":"Always"}}}}`

func selecting(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// told says of revisions what there is to compare.
func told(list []pipeline.Revision) (out []string) {
	for _, r := range list {
		out = append(out, fmt.Sprintf("%d %s %v %s %s", r.Number, r.Name, r.Before, r.CreatedAt.Format(time.TimeOnly), r.Template.Spec.Containers[0].Image))
	}
	return out
}

func TestRevisions(t *testing.T) {
	foreign := replicaSet("foreign", "9", "", 0)
	foreign.OwnerReferences[0].UID = "uid-other"
	fresh := replicaSet("fresh", "", "", 0) // its annotation is still to come
	web := &appsv1.Deployment{ObjectMeta: named("shop", "web"), Spec: appsv1.DeploymentSpec{Selector: selecting("web")}}
	db := &appsv1.StatefulSet{ObjectMeta: named("shop", "db"), Spec: appsv1.StatefulSetSpec{Selector: selecting("db")}}
	agent := &appsv1.DaemonSet{ObjectMeta: named("shop", "agent"), Spec: appsv1.DaemonSetSpec{Selector: selecting("agent")}}
	server := newObjectServer(t, web, db, agent, foreign, fresh,
		replicaSet("5f6", "41", "", 1), replicaSet("7c8", "43", "40, 42", 0), replicaSet("9d1", "39", "", 0),
		controllerRevision("StatefulSet", "db", "aaa", 1, fmt.Sprintf(rawRevision, 1)), controllerRevision("StatefulSet", "db", "bbb", 2, fmt.Sprintf(rawRevision, 2)),
		controllerRevision("StatefulSet", "db", "odd", 3, `{"spec":{}}`),
		controllerRevision("DaemonSet", "agent", "ccc", 5, fmt.Sprintf(rawRevision, 5)),
	)
	c := newCluster(t, server.config())
	for _, tt := range []struct {
		of   metav1.Object
		want []string
	}{
		{web, []string{"43 7c8 [40 42] 12:00:00 web:7c8", "41 5f6 [] 12:01:00 web:5f6", "39 9d1 [] 12:00:00 web:9d1"}},
		{db, []string{"2 db-bbb [] 12:02:00 db:2", "1 db-aaa [] 12:01:00 db:1"}},
		{agent, []string{"5 ccc [] 12:05:00 db:5"}},
		{&appsv1.ReplicaSet{}, nil},
		{&appsv1.Deployment{ObjectMeta: named("shop", "web"), Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{}}}, nil},
	} {
		got, err := c.Revisions(t.Context(), tt.of)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, told(got)); d != "" {
			t.Errorf("revisions of %T %s (-want +got):\n%s", tt.of, tt.of.GetName(), d)
		}
	}
	before := len(server.asked())
	if _, err := c.Revisions(t.Context(), web); err != nil || len(server.asked()) != before {
		t.Errorf("asked again at once: %v, %v", server.asked()[before:], err)
	}
	for _, path := range server.asked() {
		if !strings.Contains(path, "labelSelector=app=") {
			t.Errorf("asked for more than the selector finds: %s", path)
		}
	}
}

func TestRevisionsRefused(t *testing.T) {
	server := newObjectServer(t)
	server.refuse("/apis/apps/v1/namespaces/shop/replicasets")
	c := newCluster(t, server.config())
	for range 3 {
		for _, name := range []string{"web", "api"} {
			_, err := c.Revisions(t.Context(), &appsv1.Deployment{ObjectMeta: named("shop", name), Spec: appsv1.DeploymentSpec{Selector: selecting(name)}})
			if problemOf(err) != Forbidden || !strings.HasPrefix(err.Error(), `not allowed to list replicasets in namespace "shop"`) {
				t.Errorf("%v", err)
			}
		}
	}
	if n := len(server.asked()); n != 1 {
		t.Errorf("asked %d times for what is refused", n)
	}
}

// A ConfigMap's data is never asked for, and what kubectl keeps of it is not kept.
func TestConfigMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fields := new(metav1.FieldsV1)
		fields.SetRawString(`{"f:data":{".":{},"f:level":{}}}`)
		s := &metadataServer{objects: map[string]*metav1.PartialObjectMetadata{"/api/v1/namespaces/shop/configmaps/app": {
			TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":{"password":"hunter2"}}`},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl-edit", Operation: "Update", Time: &metav1.Time{Time: made}, FieldsType: "FieldsV1", FieldsV1: fields}}},
		}}}
		c := newCluster(t, &rest.Config{Host: "http://cluster.example:6443", Transport: s})
		m, err := c.ConfigMap(t.Context(), "shop", "app")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]extract.Write{{By: "kubectl-edit", Time: made}}, extract.Writes(m)); d != "" {
			t.Errorf("writes (-want +got):\n%s", d)
		}
		if b, err := json.Marshal(m); err != nil || strings.Contains(string(b), "hunter2") {
			t.Errorf("its data is kept: %s, %v", b, err)
		}
		s.status = forbidden("get")
		time.Sleep(configMapTTL + time.Second)
		if _, err := c.ConfigMap(t.Context(), "shop", "app"); problemOf(err) != Forbidden || !strings.HasPrefix(err.Error(), `not allowed to get configmaps in namespace "shop"`) {
			t.Errorf("refused: %v", err)
		}
		if _, err := c.ConfigMap(t.Context(), "shop", "other"); problemOf(err) != Forbidden || len(s.reads) != 2 {
			t.Errorf("another one: %v, asked for %v", err, s.reads)
		}
		gone := apierrors.NewNotFound(corev1.Resource("configmaps"), "gone").Status()
		gone.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		s.status = &gone
		if _, err := c.ConfigMap(t.Context(), "kube-system", "gone"); !apierrors.IsNotFound(err) {
			t.Errorf("gone: %v", err)
		}
	})
}
