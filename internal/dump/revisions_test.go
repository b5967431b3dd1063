package dump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/extract"
)

// history is what "kubectl get deployments,replicasets,statefulsets,controllerrevisions,configmaps,pods
// -o json --show-managed-fields" prints, shortened.
const history = `{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u-web","managedFields":[
  {"manager":"kubectl-set","operation":"Update","apiVersion":"apps/v1","time":"2026-03-01T10:01:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:template":{"f:spec":{}}}}},
  {"manager":"kube-controller-manager","operation":"Update","apiVersion":"apps/v1","time":"2026-03-01T10:09:00Z","fieldsType":"FieldsV1","subresource":"status","fieldsV1":{"f:status":{}}}]}},
{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-5f6","namespace":"shop","uid":"u-5f6","creationTimestamp":"2026-03-01T10:01:00Z",
  "labels":{"pod-template-hash":"5f6"},"annotations":{"deployment.kubernetes.io/revision":"2"},
  "ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u-web","controller":true}]},
  "spec":{"template":{"spec":{"containers":[{"name":"app","image":"web:2"}]}}}},
{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-4e5","namespace":"shop","uid":"u-4e5","creationTimestamp":"2026-02-01T10:01:00Z",
  "labels":{"pod-template-hash":"4e5"},"annotations":{"deployment.kubernetes.io/revision":"1"},
  "ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u-web","controller":true}]},
  "spec":{"template":{"spec":{"containers":[{"name":"app","image":"web:1"}]}}}},
{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"agent","namespace":"shop","uid":"u-agent"}},
{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"agent-abc","namespace":"shop","uid":"u-abc","creationTimestamp":"2026-03-01T10:02:00Z",
  "labels":{"controller-revision-hash":"abc","app":"agent"},
  "ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"agent","uid":"u-agent","controller":true}]},"revision":7,
  "data":{"spec":{"template":{"$patch":"replace","metadata":{"creationTimestamp":null},"spec":{"containers":[{"name":"app","image":"agent:7"}]}}}}},
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"app","namespace":"shop","uid":"u-app","creationTimestamp":"2026-01-01T10:00:00Z",
  "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"password\":\"hunter2\"}}"},
  "managedFields":[{"manager":"kubectl-edit","operation":"Update","apiVersion":"v1","time":"2026-03-01T10:03:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:password":{}}}}]},
  "data":{"password":"hunter2"}},
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bare","namespace":"shop","uid":"u-bare","creationTimestamp":"2026-03-01T09:00:00Z","managedFields":[
  {"manager":"kubectl-run","operation":"Update","apiVersion":"v1","time":"2026-03-01T09:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}}}}}},
  {"manager":"kubectl-set","operation":"Update","apiVersion":"v1","time":"2026-03-01T10:04:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:image":{}}}}}}]}}
]}`

func recorded(t *testing.T, text string) *Objects {
	t.Helper()
	o := NewObjects()
	missing, err := ReadWatch(t.Context(), "list.json", strings.NewReader(text), Limits{}, func(e Event) error {
		o.Apply(e)
		return nil
	})
	if err != nil || len(missing) > 0 {
		t.Fatalf("%v, %+v", err, missing)
	}
	return o
}

func TestRevisions(t *testing.T) {
	o := recorded(t, history)
	ask := func(name string, of metav1.Object) (out []string) {
		list, err := o.Revisions(t.Context(), of)
		if err != nil {
			return []string{err.Error()}
		}
		for _, r := range list {
			out = append(out, fmt.Sprintf("%s %d %s %s %s", name, r.Number, r.Name, r.CreatedAt.Format(time.DateTime), r.Template.Spec.Containers[0].Image))
		}
		return out
	}
	web, _ := ByName[*appsv1.Deployment](o, "shop", "web")
	agent, _ := ByName[*appsv1.DaemonSet](o, "shop", "agent")
	got := append(ask("web", web), ask("agent", agent)...)
	got = append(got, ask("", &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "other"}})...)
	got = append(got, ask("", &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}})...)
	got = append(got, ask("", &appsv1.ReplicaSet{})...)
	o.Remove(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web-4e5", Namespace: "shop", UID: "u-4e5", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(web, appsv1.SchemeGroupVersion.WithKind("Deployment"))}}})
	got = append(got, ask("later", web)...)
	want := []string{
		"web 2 5f6 2026-03-01 10:01:00 web:2", "web 1 4e5 2026-02-01 10:01:00 web:1",
		"agent 7 abc 2026-03-01 10:02:00 agent:7",
		`no controllerrevisions of namespace "other" were recorded`,
		"later 2 5f6 2026-03-01 10:01:00 web:2",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }
	if d := cmp.Diff([]extract.Write{{By: "kubectl-set", Time: at(1)}}, extract.Writes(web)); d != "" {
		t.Errorf("who wrote the template (-want +got):\n%s", d)
	}
	bare, _ := ByName[*corev1.Pod](o, "shop", "bare")
	if d := cmp.Diff([]extract.Edit{{Write: extract.Write{By: "kubectl-set", Time: at(4)}, Container: "app", Field: "image"}}, extract.Edits(bare)); d != "" {
		t.Errorf("edits of the pod (-want +got):\n%s", d)
	}
	if !o.latest.Equal(at(9)) {
		t.Errorf("the newest time is %v", o.latest)
	}
}

// Of a ConfigMap nothing is kept but who wrote it and when.
func TestConfigMap(t *testing.T) {
	o := recorded(t, history)
	m, err := o.ConfigMap(t.Context(), "shop", "app")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(m); err != nil || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "password") {
		t.Errorf("kept: %s, %v", b, err)
	}
	if d := cmp.Diff([]extract.Write{{By: "kubectl-edit", Time: time.Date(2026, 3, 1, 10, 3, 0, 0, time.UTC)}}, extract.Writes(m)); d != "" {
		t.Errorf("writes (-want +got):\n%s", d)
	}
	if _, err := o.ConfigMap(t.Context(), "shop", "gone"); !apierrors.IsNotFound(err) {
		t.Errorf("one that is gone: %v", err)
	}
	if _, err := o.ConfigMap(t.Context(), "other", "app"); err == nil || err.Error() != `no configmaps of namespace "other" were recorded` {
		t.Errorf("one that was not recorded: %v", err)
	}
}

// A bundle keeps what revisions and ConfigMaps tell.
func TestBundleKeepsChanges(t *testing.T) {
	before := recorded(t, history)
	d, err := ReadDump(t.Context(), "-", bytes.NewReader(bundled(t, Contents{Objects: All[Object](before)})), Limits{})
	if err != nil || len(d.Missing) != 0 {
		t.Fatalf("%v, %+v", err, d.Missing)
	}
	tell := func(o *Objects) (out []string) {
		web, _ := ByName[*appsv1.Deployment](o, "shop", "web")
		agent, _ := ByName[*appsv1.DaemonSet](o, "shop", "agent")
		for _, of := range []metav1.Object{web, agent} {
			list, err := o.Revisions(t.Context(), of)
			out = append(out, fmt.Sprint(err, extract.Writes(of)))
			for _, r := range list {
				out = append(out, fmt.Sprint(r.Number, r.Name, r.CreatedAt, r.Template.Spec.Containers[0].Image))
			}
		}
		m, err := o.ConfigMap(t.Context(), "shop", "app")
		bare, _ := ByName[*corev1.Pod](o, "shop", "bare")
		return append(out, fmt.Sprint(err, extract.Writes(m), extract.Edits(bare)))
	}
	if d := cmp.Diff(tell(before), tell(d.Objects)); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
}
