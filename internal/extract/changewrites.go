package extract

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Write is a write to an object, as its managed fields tell it. The API keeps for each writer
// only when it changed any of its fields last (KEP-555).
type Write struct {
	// By names the writer, as "kubectl-edit".
	By   string
	Time time.Time
}

// KeepWrites leaves of an object's managed fields what Writes and Edits read: of a workload who
// wrote its template, of a ConfigMap who wrote its data, of a pod who wrote to its containers; of
// other objects nothing. Whole, they are a third of an object.
func KeepWrites(o metav1.Object) { o.SetManagedFields(KeptWrites(o)) }

// KeptWrites returns what KeepWrites leaves.
func KeptWrites(o metav1.Object) []metav1.ManagedFieldsEntry {
	var kept []metav1.ManagedFieldsEntry
	all := o.GetManagedFields()
	for i := range all {
		e := &all[i]
		if fields, keep := keptFields(o, e); keep && len(kept) < maxList {
			kept = append(kept, metav1.ManagedFieldsEntry{
				Manager: clipTo(e.Manager, maxChanged), Operation: e.Operation, Subresource: e.Subresource, Time: e.Time, FieldsType: e.FieldsType, FieldsV1: fields,
			})
		}
	}
	return kept
}

// keptFields returns which fields of an entry are kept, and whether the entry is.
func keptFields(o metav1.Object, e *metav1.ManagedFieldsEntry) (*metav1.FieldsV1, bool) {
	switch o.(type) {
	case *appsv1.Deployment, *appsv1.StatefulSet, *appsv1.DaemonSet:
		return fieldsV1(`{"f:spec":{"f:template":{}}}`), has(owned(e), "f:spec", "f:template")
	case *metav1.PartialObjectMetadata:
		m := owned(e)
		return fieldsV1(`{"f:data":{}}`), has(m, "f:data") || has(m, "f:binaryData")
	case *corev1.Pod:
		return e.FieldsV1, len(edits(e, o.GetCreationTimestamp().Time)) > 0
	}
	return nil, false
}

func fieldsV1(raw string) *metav1.FieldsV1 {
	f := new(metav1.FieldsV1)
	f.SetRawString(raw)
	return f
}

// owned returns the fields of an entry as a tree of their names.
func owned(e *metav1.ManagedFieldsEntry) map[string]any {
	if e.FieldsV1 == nil {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(e.FieldsV1.GetRawBytes(), &m) != nil {
		return nil
	}
	return m
}

// has tells that a tree of fields has a path.
func has(m map[string]any, path ...string) bool {
	_, ok := below(m, path...)
	return ok
}

func below(m map[string]any, path ...string) (map[string]any, bool) {
	for _, p := range path {
		v, ok := m[p]
		if !ok {
			return nil, false
		}
		m, _ = v.(map[string]any) // the fields of a value are an empty object
	}
	return m, true
}

// Writes returns the writes that KeepWrites left of a workload or a ConfigMap, the newest first.
func Writes(o metav1.Object) []Write {
	var out []Write
	for _, e := range o.GetManagedFields() {
		if e.Time != nil && e.Manager != "" {
			out = append(out, Write{By: e.Manager, Time: detect.KnownTime(e.Time.Time)})
		}
	}
	slices.SortStableFunc(out, func(a, b Write) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.By, b.By)) })
	return out
}

// Edit is a write to a container of a pod after the pod was created.
type Edit struct {
	Write
	Container string
	// Field is "image" or "resources": nothing else of a container can be changed
	// (pkg/apis/core/validation ValidatePodUpdate, ValidatePodResize).
	Field string
}

// Edits returns the edits of a pod's containers, the newest first. Who made the pod is left out, as it
// owns every field: that it wrote again does not tell what.
func Edits(pod *corev1.Pod) []Edit {
	var out []Edit
	for i := range pod.ManagedFields {
		out = append(out, edits(&pod.ManagedFields[i], pod.CreationTimestamp.Time)...)
	}
	slices.SortFunc(out, func(a, b Edit) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Field, b.Field), cmp.Compare(a.By, b.By))
	})
	return out[:min(len(out), maxList)]
}

// edits returns those of one writer, in no order.
func edits(e *metav1.ManagedFieldsEntry, created time.Time) []Edit {
	if e.Time == nil || !e.Time.After(created) || e.Subresource != "" && e.Subresource != "resize" {
		return nil
	}
	var out []Edit
	m := owned(e)
	for _, list := range []string{"f:containers", "f:initContainers"} {
		of, _ := below(m, "f:spec", list)
		for key := range of {
			name, ok := containerKey(key)
			if !ok || has(of, key, ".") || has(of, key, "f:name") {
				continue
			}
			for _, field := range []string{"image", "resources"} {
				if has(of, key, "f:"+field) {
					out = append(out, Edit{Write{clipTo(e.Manager, maxChanged), detect.KnownTime(e.Time.Time)}, name, field})
				}
			}
		}
	}
	return out
}

// containerKey returns the name in the key of a list's element, as k:{"name":"app"}.
func containerKey(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, "k:")
	if !ok {
		return "", false
	}
	var k struct {
		Name string `json:"name"`
	}
	if json.Unmarshal([]byte(rest), &k) != nil || k.Name == "" {
		return "", false
	}
	return k.Name, true
}

// EditedFields returns how one container of a pod differs from that of the template that the pod
// was made of, in a field that an Edit names.
func EditedFields(before *corev1.PodTemplateSpec, pod *corev1.Pod, e Edit) []record.FieldChange {
	var d differ
	for _, l := range []struct {
		name          string
		before, after []corev1.Container
	}{{"containers", before.Spec.Containers, pod.Spec.Containers}, {"initContainers", before.Spec.InitContainers, pod.Spec.InitContainers}} {
		i := slices.IndexFunc(l.before, func(c corev1.Container) bool { return c.Name == e.Container })
		j := slices.IndexFunc(l.after, func(c corev1.Container) bool { return c.Name == e.Container })
		if i < 0 || j < 0 {
			continue
		}
		path := l.name + "[" + e.Container + "]." + e.Field
		if a, b := &l.before[i], &l.after[j]; e.Field == "image" {
			d.add(path, a.Image, b.Image)
		} else {
			d.value(path, fieldsOf(&a.Resources), fieldsOf(&b.Resources))
		}
	}
	return d.out
}
