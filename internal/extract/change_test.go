package extract_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// hide replaces the word after --password.
func hide(words []string) []string {
	out := slices.Clone(words)
	for i := 1; i < len(out); i++ {
		if out[i-1] == "--password" {
			out[i] = "[redacted]"
		}
	}
	return out
}

// TestTemplateChanges compares two templates of each file.
func TestTemplateChanges(t *testing.T) {
	paths, err := filepath.Glob("testdata/changes/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var templates [2]corev1.PodTemplateSpec
			for i := range templates {
				if err := yaml.UnmarshalStrict(a.Files[i].Data, &templates[i]); err != nil {
					t.Fatal(err)
				}
			}
			var got strings.Builder
			changes := extract.TemplateChanges(&templates[0], &templates[1], hide)
			for _, c := range changes {
				fmt.Fprintf(&got, "%s: %q -> %q", c.Field, c.Old, c.New)
				if c.Hidden {
					got.WriteString(" hidden")
				}
				got.WriteString("\n")
			}
			if strings.Contains(got.String(), "hunter2") {
				t.Errorf("a secret is shown:\n%s", &got)
			}
			if *update {
				a.Files = append(a.Files[:2], txtar.File{Name: "changes", Data: []byte(got.String())})
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[2].Data), got.String()); diff != "" {
				t.Errorf("changes (-want +got), write them with -update:\n%s", diff)
			}
			if same := extract.TemplateChanges(&templates[1], templates[1].DeepCopy(), hide); len(same) != 0 {
				t.Errorf("a template differs from itself: %+v", same)
			}
		})
	}
}

// TestTemplateChangesAlways holds for any two templates: there is no order but one, what is
// there and back are the same fields, the bounds hold, and no value of a variable is shown.
func TestTemplateChangesAlways(t *testing.T) {
	const secret = "hunter2"
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Int64().Draw(t, "seed")
		template := func(seed int64) *corev1.PodTemplateSpec {
			var p corev1.PodTemplateSpec
			randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 3).MaxDepth(14).Funcs(
				func(v *corev1.EnvVar, c randfill.Continue) {
					*v = corev1.EnvVar{Name: string(rune('A' + c.Intn(3))), Value: secret + fmt.Sprint(c.Intn(3))}
				},
				func(h *corev1.HTTPHeader, _ randfill.Continue) { *h = corev1.HTTPHeader{Name: "X", Value: secret} },
				func(m *map[string]string, c randfill.Continue) { *m = map[string]string{"a": fmt.Sprint(c.Intn(2))} },
				func(f *metav1.FieldsV1, _ randfill.Continue) {},
				func(s *string, c randfill.Continue) { *s = strings.Repeat(string(rune('a'+c.Intn(26))), c.Intn(3)) },
			).Fill(&p)
			// The API takes no two of one name.
			for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
				for i := range list {
					list[i].Name = fmt.Sprint("c", i)
					for j := range list[i].VolumeMounts {
						list[i].VolumeMounts[j].MountPath = fmt.Sprint("/", j)
					}
				}
			}
			for i := range p.Spec.Volumes {
				p.Spec.Volumes[i].Name = fmt.Sprint("v", i)
			}
			return &p
		}
		a, b := template(seed), template(seed+1)
		there := extract.TemplateChanges(a, b, nil)
		back := extract.TemplateChanges(b, a, nil)
		if diff := cmp.Diff(there, extract.TemplateChanges(a.DeepCopy(), b.DeepCopy(), nil)); diff != "" {
			t.Fatalf("another answer the second time:\n%s", diff)
		}
		// A probe that asks in another way is named for the new one.
		if len(there) != len(back) {
			t.Fatalf("%d fields, and %d on the way back", len(there), len(back))
		}
		out, err := json.Marshal(there)
		if err != nil || strings.Contains(string(out), secret) || len(there) > 64 {
			t.Fatalf("%d changes, %v: %s", len(there), err, out)
		}
		for _, c := range there {
			if len(c.Old) > 400 || len(c.New) > 400 || c.Old == c.New && !c.Hidden || c.Hidden && c.Old+c.New != "" {
				t.Fatalf("not bounded, or no change: %+v", c)
			}
		}
		if same := extract.TemplateChanges(a, a.DeepCopy(), nil); len(same) != 0 {
			t.Fatalf("a template differs from itself: %+v", same)
		}
	})
}

func TestForemost(t *testing.T) {
	var all []record.FieldChange
	for _, f := range []string{"containers[proxy].image", "containers[api].image", "initContainers[api].args", "volumes[x]", "metadata.labels[a]", "containers[api].env[A]"} {
		all = append(all, record.FieldChange{Field: f})
	}
	var got []string
	for _, c := range extract.Foremost(all, "api", 5) {
		got = append(got, c.Field)
	}
	want := []string{"containers[api].image", "initContainers[api].args", "containers[api].env[A]", "volumes[x]", "containers[proxy].image"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all[0].Field != "containers[proxy].image" {
		t.Error("the list that was given was written to")
	}
}

func managed(manager, subresource string, at time.Time, fields string) metav1.ManagedFieldsEntry {
	f := new(metav1.FieldsV1)
	f.SetRawString(fields)
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: subresource, Time: &metav1.Time{Time: at}, FieldsType: "FieldsV1", FieldsV1: f}
}

func TestWrites(t *testing.T) {
	at := func(minutes int) time.Time { return observed.Add(time.Duration(minutes) * time.Minute).UTC() }
	for _, tt := range []struct {
		name   string
		object metav1.Object
		want   []extract.Write
	}{
		{"template", &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
			managed("helm", "", at(1), `{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{}}}}`),
			managed("kubectl-set", "", at(3), `{"f:spec":{"f:template":{"f:spec":{"f:containers":{}}}}}`),
			managed("kubectl", "scale", at(4), `{"f:spec":{"f:replicas":{}}}`),
			managed("kube-controller-manager", "status", at(5), `{"f:status":{}}`),
			managed("broken", "", at(6), `[`),
		}}}, []extract.Write{{By: "kubectl-set", Time: at(3)}, {By: "helm", Time: at(1)}}},
		{"config map", &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
			managed("kubectl-edit", "", at(2), `{"f:data":{"f:level":{}}}`), managed("labeller", "", at(3), `{"f:metadata":{"f:labels":{}}}`),
			managed("certs", "", at(2), `{"f:binaryData":{}}`), {Manager: "nobody"},
		}}}, []extract.Write{{By: "certs", Time: at(2)}, {By: "kubectl-edit", Time: at(2)}}},
		{"other", &corev1.Node{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{managed("kubelet", "", at(2), `{"f:data":{}}`)}}}, nil},
	} {
		extract.KeepWrites(tt.object)
		if diff := cmp.Diff(tt.want, extract.Writes(tt.object)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		before := len(tt.object.GetManagedFields())
		if extract.KeepWrites(tt.object); len(tt.object.GetManagedFields()) != before {
			t.Errorf("%s: less is kept the second time", tt.name)
		}
	}
}

// The entries are those of a pod of "kubectl run" that was edited by "kubectl set image" and resized.
func TestEdits(t *testing.T) {
	at := func(minutes int) time.Time { return observed.Add(time.Duration(minutes) * time.Minute).UTC() }
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(0)), ManagedFields: []metav1.ManagedFieldsEntry{
			managed("kubectl-run", "", at(0), `{"f:metadata":{},"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}`),
			managed("labeller", "", at(1), `{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{".":{},"f:image":{},"f:name":{}}}}}`),
			managed("kubectl-set", "", at(5), `{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}}}}`),
			managed("kubectl-patch", "resize", at(7), `{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:resources":{"f:limits":{"f:memory":{}}}}}}}`),
			managed("kubelet", "status", at(8), `{"f:status":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}}}}`),
			managed("odd", "", at(8), `{"f:spec":{"f:containers":{"k:{\"name\":1}":{"f:image":{}},"v:1":{"f:image":{}}}}}`),
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api:2"}}},
	}
	want := []extract.Edit{
		{Write: extract.Write{By: "kubectl-patch", Time: at(7)}, Container: "api", Field: "resources"},
		{Write: extract.Write{By: "kubectl-set", Time: at(5)}, Container: "api", Field: "image"},
	}
	if diff := cmp.Diff(want, extract.Edits(pod)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	extract.KeepWrites(pod)
	if diff := cmp.Diff(want, extract.Edits(pod)); diff != "" || len(pod.ManagedFields) != 2 {
		t.Errorf("after what is not needed was left out (-want +got):\n%s", diff)
	}
	template := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api:1"}}}}
	if diff := cmp.Diff([]record.FieldChange{{Field: "containers[api].image", Old: "api:1", New: "api:2"}}, extract.EditedFields(template, pod, want[1])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := extract.EditedFields(template, pod, want[0]); len(got) != 0 {
		t.Errorf("resources that are as in the template differ: %+v", got)
	}
}

// FuzzWrites reads managed fields as anybody may have written them.
func FuzzWrites(f *testing.F) {
	f.Add("kubectl-set", "", `{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}},"f:template":{}},"f:data":{}}`)
	f.Add("x", "resize", `{"f:spec":{"f:initContainers":{"k:{\"name\":\"\"}":{"f:resources":1},"k:[]":null}}}`)
	f.Add("", "status", `{"f:spec":[],"f:data":null}`)
	f.Fuzz(func(t *testing.T, manager, subresource, fields string) {
		m := metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(observed), ManagedFields: []metav1.ManagedFieldsEntry{
			managed(manager, subresource, observed.Add(time.Hour), fields), {Manager: manager}, managed(manager, subresource, observed, fields),
		}}
		pod := &corev1.Pod{ObjectMeta: *m.DeepCopy()}
		edits := extract.Edits(pod)
		for _, e := range edits {
			if e.Container == "" || e.Field != "image" && e.Field != "resources" || !e.Time.After(observed) {
				t.Errorf("edit %+v", e)
			}
		}
		for _, o := range []metav1.Object{pod, &appsv1.Deployment{ObjectMeta: *m.DeepCopy()}, &metav1.PartialObjectMetadata{ObjectMeta: *m.DeepCopy()}} {
			before := extract.Writes(o)
			extract.KeepWrites(o)
			once := extract.Writes(o)
			extract.KeepWrites(o)
			if diff := cmp.Diff(once, extract.Writes(o)); diff != "" || len(once) > len(before) {
				t.Errorf("%T: kept once and twice:\n%s", o, diff)
			}
		}
		if diff := cmp.Diff(edits, extract.Edits(pod)); diff != "" {
			t.Errorf("edits after what is not needed was left out:\n%s", diff)
		}
	})
}
