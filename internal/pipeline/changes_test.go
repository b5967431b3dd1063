package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
	"github.com/whyrestart/whyrestart/internal/store"
)

// shop is a ClusterReader of one workload, with its revisions and ConfigMaps. It counts what is asked.
type shop struct {
	cluster
	owner     metav1.Object
	sets      []*appsv1.ReplicaSet
	revisions []*appsv1.ControllerRevision
	configs   map[string]*metav1.PartialObjectMetadata
	refused   error
	asked     map[string]int
}

func (s *shop) ask(what string) error {
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	s.asked[what]++
	return s.refused
}

func (s *shop) Controllers(_ context.Context, of metav1.Object) ([]metav1.Object, error) {
	if err := s.ask("controllers"); err != nil {
		return nil, err
	}
	ref := metav1.GetControllerOf(of)
	if s.owner == nil || ref == nil {
		return nil, nil
	}
	for _, rs := range s.sets {
		if rs.UID == ref.UID {
			return []metav1.Object{rs, s.owner}, nil
		}
	}
	return []metav1.Object{s.owner}, nil
}

func (s *shop) Revisions(_ context.Context, of metav1.Object) ([]Revision, error) {
	if err := s.ask("revisions"); err != nil {
		return nil, err
	}
	if len(s.sets) > 0 {
		return ReplicaSetRevisions(of, s.sets), nil
	}
	return ControllerRevisions(of, s.revisions), nil
}

func (s *shop) ConfigMap(_ context.Context, _, name string) (*metav1.PartialObjectMetadata, error) {
	if err := s.ask("config maps"); err != nil {
		return nil, err
	}
	if m := s.configs[name]; m != nil {
		return m, nil
	}
	return nil, missingObject
}

// recorded is a history, and what nodes were seen to be.
type recorded struct {
	records  []record.Record
	observed []record.Observation
	lists    int
}

func (h *recorded) List(_ context.Context, q store.Query) ([]record.Record, string, error) {
	if q.PodUID != "" || len(q.Categories) == 0 && q.Pod == "" {
		return nil, "", nil // asked for another reason
	}
	h.lists++
	return h.records, "", nil
}

func (h *recorded) Observations(context.Context, string, string, time.Time) ([]record.Observation, error) {
	return h.observed, nil
}

// failedAt is the time of the failure that the tests are about; minutes are counted from it.
var failedAt = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return failedAt.Add(time.Duration(n) * time.Minute) }

func template(image, memory string) corev1.PodTemplateSpec {
	c := corev1.Container{Name: "app", Image: image}
	if memory != "" {
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}
	}
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}
}

func controlledBy(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID("uid-" + name), Controller: &yes}}
}

var web = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "uid-web", ManagedFields: []metav1.ManagedFieldsEntry{
	{Manager: "helm", Time: &metav1.Time{Time: minute(-6)}}, {Manager: "kubectl-edit", Time: &metav1.Time{Time: minute(-600)}},
}}}

func replicaSet(hash, revision string, created int, t corev1.PodTemplateSpec) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "web-" + hash, UID: types.UID("uid-web-" + hash), OwnerReferences: controlledBy("Deployment", "web"), CreationTimestamp: metav1.NewTime(minute(created)),
			Labels: map[string]string{"pod-template-hash": hash}, Annotations: map[string]string{annotationRevision: revision},
		},
		Spec: appsv1.ReplicaSetSpec{Template: t},
	}
}

// oomed is a pod of a revision of web that was killed for lack of memory.
func oomed(uid, hash string, created int) *corev1.Pod {
	s := killed(0)
	s.State.Terminated.Reason = "OOMKilled"
	s.State.Terminated.StartedAt, s.State.Terminated.FinishedAt = metav1.NewTime(minute(-2)), metav1.NewTime(failedAt)
	p := pod(uid, 1, s)
	p.CreationTimestamp = metav1.NewTime(minute(created))
	p.Labels, p.OwnerReferences = map[string]string{"pod-template-hash": hash}, controlledBy("ReplicaSet", "web-"+hash)
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}
	return p
}

// failures are earlier records of web, so many minutes before.
func failures(revision, cause string, minutes ...int) (out []record.Record) {
	for _, n := range minutes {
		out = append(out, record.Record{
			Kind: record.KindStop, ID: fmt.Sprint(revision, cause, n), Namespace: "ns", Container: "app", Category: record.Failure, Revision: revision,
			Workload: &record.Workload{Kind: "Deployment", Name: "web"}, Stop: &record.Stop{FinishedAt: minute(n)}, Diagnosis: record.Diagnosis{Cause: cause},
		})
	}
	return out
}

// watching returns a collector that has watched for some minutes.
func watching(s *shop, h *recorded, minutes int) *collector {
	r, err := redact.New(redact.Options{})
	if err != nil {
		panic(err)
	}
	c := newCollector(NewEngine("", r), Readers{Owners: owners{}, Cluster: s}, func() time.Time { return minute(1) })
	c.live = true
	if h != nil {
		c.History = h
		c.watched = func(string) time.Time { return minute(-minutes) }
	}
	return c
}

// stopOf collects for the stop that a pod shows.
func stopOf(t *testing.T, c *collector, p *corev1.Pod) *Finding {
	t.Helper()
	o := object(p)
	found := NewEngine("", c.engine.redactor).Observe(&o, false, minute(0))
	if len(found) != 1 {
		t.Fatalf("%d stops", len(found))
	}
	c.stop(t.Context(), &found[0])
	return &found[0]
}

func texts(list []record.Change) (out []string) {
	for _, c := range list {
		out = append(out, c.Text)
	}
	return out
}

func TestRolloutBeforeFailure(t *testing.T) {
	small, large := template("web:1", "256Mi"), template("web:1", "512Mi")
	first := replicaSet("old", "41", -90, large)
	tests := []struct {
		name    string
		shop    shop
		past    *recorded
		watched int
		pod     *corev1.Pod
		want    []string
		// summary is what the summary ends with, evidence a value that is quoted.
		summary, evidence string
	}{
		{
			"the rollout that the failure began with", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, &recorded{}, 600, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 6 minutes before the first stop."},
			"it began with revision 42 of Deployment ns/web, 6m after that was rolled out.", "256Mi (512Mi until revision 42, 6m before the first stop)",
		},
		{
			"others failed before", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, &recorded{records: failures("old", "app_exit", -30)}, 600, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 6 minutes before the first stop."},
			"", "256Mi (512Mi until revision 42, 6m before the first stop)",
		},
		{
			"nobody watched before", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, &recorded{}, 10, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 6 minutes before the first stop."},
			"", "256Mi (512Mi until revision 42, 6m before the first stop)",
		},
		{
			"nobody watched since", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, &recorded{}, 2, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 6 minutes before this stop."},
			"", "256Mi (512Mi until revision 42, 6m before this stop)",
		},
		{
			"nothing is recorded", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, nil, 0, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 6 minutes before this stop."},
			"", "256Mi (512Mi until revision 42, 6m before this stop)",
		},
		{
			"one of a row", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -80, small)}}, &recorded{records: failures("new", "oom_killed", -5, -40, -70)}, 6000, oomed("u", "new", -78),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 10 minutes before the first stop."},
			"it began with revision 42 of Deployment ns/web, 10m after that was rolled out.", "256Mi (512Mi until revision 42, 10m before the first stop)",
		},
		{
			"long after", shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -60*24*60, large), replicaSet("new", "42", -3*24*60, small)}}, &recorded{}, 60 * 24 * 90, oomed("u", "new", -3*24*60),
			[]string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 3 days before the first stop."},
			"", "256Mi (512Mi until revision 42, 3d before the first stop)",
		},
		{
			"too long after", shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90*24*60, large), replicaSet("new", "42", -60*24*60, small)}}, &recorded{}, 60 * 24 * 90, oomed("u", "new", -60*24*60),
			nil, "", "",
		},
		{
			"a pod of the revision before", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, small)}}, &recorded{}, 6000, oomed("u", "old", -80),
			nil, "", "", // what there was before revision 41 is not kept
		},
		{
			"the first revision", shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("only", "1", -6, small)}}, &recorded{}, 600, oomed("u", "only", -5),
			[]string{"Deployment ns/web was created with revision 1, 6 minutes before the first stop."}, "", "",
		},
		{
			"no change that is known", shop{owner: web, sets: []*appsv1.ReplicaSet{first, replicaSet("new", "42", -6, large)}}, &recorded{}, 600, oomed("u", "new", -5),
			[]string{"Revision 42 of Deployment ns/web was rolled out without a change that is known, 6 minutes before the first stop."},
			"it began with revision 42 of Deployment ns/web, 6m after that was rolled out.", "42 (41 before), rolled out 6m before the first stop",
		},
		{"a pod of nobody", shop{}, &recorded{}, 600, bare(oomed("u", "", -5)), nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := stopOf(t, watching(&tt.shop, tt.past, tt.watched), tt.pod)
			if d := cmp.Diff(tt.want, texts(f.Record.Changes)); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(f.Record.Changes, f.Evidence.Changes); d != "" || !f.Evidence.ChangesRead {
				t.Errorf("the record and its evidence differ, or they were not read (%v):\n%s", f.Evidence.ChangesRead, d)
			}
			d := f.Record.Diagnosis
			if d.Cause != "oom_killed" || d.Confidence != record.Confirmed {
				t.Errorf("a change decides: %s, %s", d.Cause, d.Confidence)
			}
			if got := strings.Contains(d.Summary, "it began with"); got != (tt.summary != "") || !strings.HasSuffix(d.Summary, tt.summary) {
				t.Errorf("summary %q, want it to end with %q", d.Summary, tt.summary)
			}
			var quoted []string
			for _, q := range d.Evidence {
				if q.Source == "owner" {
					quoted = append(quoted, q.Value)
				}
			}
			if strings.Join(quoted, "|") != tt.evidence {
				t.Errorf("quoted %q, want %q", quoted, tt.evidence)
			}
		})
	}
}

func bare(p *corev1.Pod) *corev1.Pod {
	p.OwnerReferences, p.Labels = nil, nil
	return p
}

// scaled are the events of a Deployment.
type scaled []*corev1.Event

func (s scaled) Events(_ context.Context, _, uid string) ([]*corev1.Event, error) {
	if uid != "uid-web" {
		return nil, nil
	}
	return s, nil
}

// A rollback gives an old ReplicaSet the newest number: what it changed is the way back, and that it was
// made long ago says nothing.
func TestRollback(t *testing.T) {
	back := replicaSet("old", "43", -9000, template("web:1", "256Mi"))
	back.Annotations[annotationRevisionHistory] = "41"
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{back, replicaSet("new", "42", -600, template("web:2", "256Mi")), replicaSet("ancient", "40", -9999, template("web:0", "256Mi"))}}
	up := func(message string, n int) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{UID: types.UID(message)}, Reason: "ScalingReplicaSet", Message: message, LastTimestamp: metav1.NewTime(minute(n)),
			InvolvedObject: corev1.ObjectReference{Kind: "Deployment", Name: "web", UID: "uid-web"}}
	}
	for _, tt := range []struct {
		events scaled
		want   string
	}{
		{nil, "Revision 43 of Deployment ns/web changed image from web:2 to web:1."},
		{scaled{up("Scaled up replica set web-old from 0 to 1", -4), up("Scaled up replica set web-old from 1 to 3", -3), up("Scaled up replica set web-new from 0 to 1", -600)},
			"Revision 43 of Deployment ns/web changed image from web:2 to web:1, 4 minutes before the first stop."},
		{scaled{up("Scaled up replica set web-old to 1 from 0", -5)}, "Revision 43 of Deployment ns/web changed image from web:2 to web:1, 5 minutes before the first stop."},
	} {
		c := watching(s, &recorded{records: failures("old", "oom_killed", -700)}, 60*24*30)
		c.Events = tt.events
		f := stopOf(t, c, oomed("u", "old", -3))
		if d := cmp.Diff([]string{tt.want}, texts(f.Record.Changes)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	// The revision in between came after the number that the other one had then.
	f := stopOf(t, watching(s, &recorded{}, 6000), oomed("u", "new", -500))
	if d := cmp.Diff([]string{"Revision 42 of Deployment ns/web changed image from web:1 to web:2, 10 hours before the first stop."}, texts(f.Record.Changes)); d != "" || f.Record.Changes[0].From != "41" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A StatefulSet rolled back gives its old ControllerRevision the newest number as well.
func TestControllerRevisionsReused(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", UID: "uid-db"}}
	cr := func(hash string, n int64, created int, raw string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "db-" + hash, OwnerReferences: controlledBy("StatefulSet", "db"), CreationTimestamp: metav1.NewTime(minute(created))},
			Revision: n, Data: runtime.RawExtension{Raw: []byte(raw)}}
	}
	const raw = `{"spec":{"template":{"$patch":"replace","spec":{"containers":[{"name":"app","image":"%s"}]}}}}`
	s := &shop{owner: set, revisions: []*appsv1.ControllerRevision{
		cr("a", 3, -500, fmt.Sprintf(raw, "db:1")), cr("b", 2, -50, fmt.Sprintf(raw, "db:2")), cr("broken", 1, -900, `{"spec":`),
	}}
	p := oomed("u", "", -3)
	p.Labels, p.OwnerReferences = map[string]string{"controller-revision-hash": "db-a"}, controlledBy("StatefulSet", "db")
	f := stopOf(t, watching(s, &recorded{}, 6000), p)
	if d := cmp.Diff([]string{"Revision 3 of StatefulSet ns/db changed image from db:2 to db:1."}, texts(f.Record.Changes)); d != "" || !f.Record.Changes[0].Time.IsZero() {
		t.Errorf("(-want +got):\n%s", d)
	}
	p.Labels["controller-revision-hash"] = "db-b"
	f = stopOf(t, watching(s, &recorded{}, 6000), p)
	if len(f.Record.Changes) != 0 {
		t.Errorf("a revision before it is not kept: %q", texts(f.Record.Changes))
	}
}

func TestWhoRolledOut(t *testing.T) {
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, template("web:1", "")), replicaSet("new", "42", -6, template("web:2", ""))}}
	f := stopOf(t, watching(s, &recorded{}, 600), oomed("u", "new", -5))
	want := []record.Change{{
		Kind: record.ChangeRollout, Object: "Deployment ns/web", Time: minute(-6), From: "41", To: "42", By: "helm",
		Fields: []record.FieldChange{{Field: "containers[app].image", Old: "web:1", New: "web:2"}},
		Text:   "Revision 42 of Deployment ns/web changed image from web:1 to web:2, 6 minutes before the first stop.",
	}}
	if d := cmp.Diff(want, f.Record.Changes); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Secrets are not in what a rollout changed.
func TestRolloutShowsNoSecret(t *testing.T) {
	before, after := template("web:1", ""), template("web:1", "")
	before.Spec.Containers[0].Command = []string{"/app", "--password", "hunter2hunter2"}
	after.Spec.Containers[0].Command = []string{"/app", "--password", "hunter3hunter3", "-v"}
	after.Spec.Containers[0].Args = []string{"--api-key=hunter4hunter4"}
	after.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "TOKEN", Value: "hunter5"}, {Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password"}}},
	}
	after.Labels = map[string]string{"password": "hunter6hunter6"}
	// So long that of its value only the part around the difference is kept.
	for n, t := range []*corev1.PodTemplateSpec{&before, &after} {
		path := "/health?" + strings.Repeat("x", 150) + "&api_key=" + strings.Repeat("k", 32) + fmt.Sprint("hunter", n)
		t.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(80)}}}
	}
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, before), replicaSet("new", "42", -6, after)}}
	f := stopOf(t, watching(s, &recorded{}, 600), oomed("u", "new", -5))
	if text := fmt.Sprint(f.Record, f.Evidence); strings.Contains(text, "hunter") {
		t.Errorf("a secret is shown: %s", text)
	}
	want := []record.FieldChange{
		{Field: "containers[app].command", Old: "/app --password [redacted]", New: "/app --password [redacted] -v"},
		{Field: "containers[app].args", New: "--api-key=[redacted]"},
		{Field: "containers[app].env[TOKEN]", New: "literal value"},
		{Field: "containers[app].env[PASSWORD]", New: "secretKeyRef db/password"},
		{Field: "containers[app].livenessProbe.httpGet", Hidden: true},
		{Field: "metadata.labels[password]", New: "[redacted]"},
	}
	if d := cmp.Diff(want, f.Record.Changes[0].Fields); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

func TestRefusedIsMissing(t *testing.T) {
	s := &shop{owner: web, refused: errors.New("not allowed to list replicasets")}
	p := oomed("u", "new", -5)
	p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}}
	f := stopOf(t, watching(s, &recorded{}, 600), p)
	want := []record.Missing{{What: whatRevisions, Why: "not allowed to list replicasets"}, {What: whatConfigMaps, Why: "not allowed to list replicasets"}}
	if d := cmp.Diff(want, f.Evidence.Missing); d != "" || f.Evidence.ChangesRead || f.Record.Diagnosis.Cause != "oom_killed" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
}

// A storm of one workload, and a container that crashes again and again, are asked for once.
func TestStormIsReadOnce(t *testing.T) {
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, template("web:1", "")), replicaSet("new", "42", -60, template("web:2", ""))},
		configs: map[string]*metav1.PartialObjectMetadata{"app": {}}}
	h := &recorded{}
	c := watching(s, h, 600)
	now := minute(1)
	c.now = func() time.Time { return now }
	const n = 2000
	for i := range n {
		p := oomed(fmt.Sprint("u", i%1000), "new", -5)
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}}
		p.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(failedAt.Add(time.Duration(i) * time.Second))
		if f := stopOf(t, c, p); len(f.Record.Changes) != 1 {
			t.Fatalf("%d: %q", i, texts(f.Record.Changes))
		}
		now = now.Add(time.Second)
	}
	s.asked["history"] = h.lists
	want := map[string]int{"controllers": 1, "revisions": 1, "config maps": 1, "history": 1}
	if d := cmp.Diff(want, s.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

// A revision that is rolled out again has another one before it: what was read for its older pods does not
// hold for the new ones.
func TestRolledOutAgainIsReadAgain(t *testing.T) {
	old, is := replicaSet("old", "41", -9000, template("web:1", "")), replicaSet("new", "42", -600, template("web:2", ""))
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{is, old, replicaSet("ancient", "40", -9999, template("web:0", ""))}}
	c := watching(s, &recorded{}, 60*24*30)
	now := minute(-60)
	c.now = func() time.Time { return now }
	before := oomed("u", "old", -8000)
	endedAt(before, -60)
	f := stopOf(t, c, before)
	if d := cmp.Diff([]string{"Revision 41 of Deployment ns/web changed image from web:0 to web:1, 6 days before the first stop."}, texts(f.Record.Changes)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	old.Annotations = map[string]string{annotationRevision: "43", annotationRevisionHistory: "41"}
	now = minute(1)
	f = stopOf(t, c, oomed("v", "old", -3))
	if d := cmp.Diff([]string{"Revision 43 of Deployment ns/web changed image from web:2 to web:1."}, texts(f.Record.Changes)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s.asked["revisions"] != 2 {
		t.Errorf("read %d times", s.asked["revisions"])
	}
}

// endedAt moves the end of a pod's container.
func endedAt(p *corev1.Pod, n int) {
	end := p.Status.ContainerStatuses[0].State.Terminated
	end.StartedAt, end.FinishedAt = metav1.NewTime(minute(n-2)), metav1.NewTime(minute(n))
}

// Pods that cannot be created have no pod that names their revision: their controller does.
func TestRolloutOfPodsThatCannotBeCreated(t *testing.T) {
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, template("web:1", "")), replicaSet("new", "42", -6, template("web:1", "64Gi"))}}
	for _, tt := range []struct {
		kind, name string
		want       []string
	}{
		{"ReplicaSet", "web-new", []string{"Revision 42 of Deployment ns/web changed limits.memory of container app to 64Gi, 6 minutes before the first stall."}},
		{"Job", "web-new", nil},
	} {
		f := &Finding{
			Record: record.Record{Kind: record.KindStall, Namespace: "ns", Category: record.Failure, Workload: &record.Workload{Kind: "Deployment", Name: "web"},
				Stall: &record.Stall{Begin: failedAt}, Diagnosis: record.Diagnosis{Cause: "pod_not_created"}},
			Evidence: evidence.Evidence{Pod: evidence.Pod{Namespace: "ns", UID: "uid-" + tt.name, Owner: &record.Workload{Kind: tt.kind, Name: tt.name}}, Stall: &evidence.Stall{Class: evidence.NotCreated, Begin: failedAt}},
		}
		watching(s, &recorded{}, 600).changed(t.Context(), f)
		if d := cmp.Diff(tt.want, texts(f.Record.Changes)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.kind, d)
		}
	}
}

func TestTableForgetsTheOldest(t *testing.T) {
	var tb table[int, string]
	for i := range remembers + 5 {
		tb.put(i, fmt.Sprint(i))
		tb.put(i, "again")
	}
	_, first := tb.get(4)
	last, ok := tb.get(5)
	if first || !ok || last != "again" || len(tb.of) != remembers || len(tb.order) != remembers {
		t.Errorf("%v, %v, %q, %d, %d", first, ok, last, len(tb.of), len(tb.order))
	}
}
