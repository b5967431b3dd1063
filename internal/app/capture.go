package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/dump"
	"github.com/whyrestart/whyrestart/internal/kube"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// CaptureOptions say what a capture holds.
type CaptureOptions struct {
	Source
	// Subject narrows it down to a pod or the pods of a workload, and what is around them;
	// nil for everything in the source's namespaces.
	Subject *Subject
}

// Captured counts what a capture holds.
type Captured struct {
	Pods, Events, Nodes, Others int
	// Logs are those that hold lines, NoLogs those that were not to be had.
	Logs, NoLogs int
	// Missing says what could not be read.
	Missing []record.Missing
}

// Capture reads the present state of a cluster and writes it to w as an archive without
// secrets that LookInto reads. Nothing is written before everything is read.
func Capture(ctx context.Context, o CaptureOptions, w io.Writer) (Captured, error) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return Captured{}, err
	}
	selector, err := labels.Parse(o.Selector)
	if err != nil {
		return Captured{}, fmt.Errorf("read the label selector: %w", err)
	}
	cluster, err := kube.NewCluster(kube.ClusterOptions{Config: o.Config, UserAgent: userAgent(o.Source)})
	if err != nil {
		return Captured{}, err
	}
	snap, err := cluster.Snapshot(ctx, kube.SnapshotOptions{Namespaces: o.Namespaces, ExcludeNamespaces: o.ExcludeNamespaces})
	if err != nil {
		return Captured{}, fmt.Errorf("read the cluster: %w", err)
	}
	contents := contentsOf(snap)
	if o.Subject != nil || !selector.Empty() {
		if contents, err = around(contents, o.Subject, selector); err != nil {
			return Captured{}, err
		}
	}
	if o.Logs {
		if err := addLogs(ctx, cluster, &contents); err != nil {
			return Captured{}, err
		}
	}
	if err := dump.WriteBundle(w, contents, redactor, time.Now()); err != nil {
		return Captured{}, err
	}
	return countOf(contents), nil
}

func contentsOf(s *kube.Snapshot) dump.Contents {
	return dump.Contents{Objects: s.Objects, Missing: s.Missing}
}

// addLogs reads the logs of the pods that are left.
func addLogs(ctx context.Context, cluster *kube.Cluster, c *dump.Contents) error {
	var pods []*corev1.Pod
	for _, obj := range c.Objects {
		if pod, ok := obj.(*corev1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	logs, missing, err := cluster.ContainerLogs(ctx, pods, 0, 0)
	if err != nil {
		return fmt.Errorf("read logs: %w", err)
	}
	for _, l := range logs {
		c.Logs = append(c.Logs, dump.ContainerLog(l))
	}
	c.Missing = append(c.Missing, missing...)
	return nil
}

func countOf(c dump.Contents) Captured {
	out := Captured{Missing: c.Missing}
	for _, obj := range c.Objects {
		switch obj.(type) {
		case *corev1.Pod:
			out.Pods++
		case *corev1.Event:
			out.Events++
		case *corev1.Node:
			out.Nodes++
		default:
			out.Others++
		}
	}
	for _, l := range c.Logs {
		if l.Missing == "" {
			out.Logs++
		} else {
			out.NoLogs++
		}
	}
	return out
}

// around narrows contents down to some pods and what their explanation may rest on: their
// controllers, claims, namespaces and all nodes, and the events about any of these.
func around(all dump.Contents, s *Subject, selector labels.Selector) (dump.Contents, error) {
	family := familyOf(all.Objects)
	kept := make(map[types.UID]bool)
	type named struct{ namespace, name string }
	claims, configs := make(map[named]bool), make(map[named]bool)
	namespaces := make(map[string]bool)
	for _, obj := range all.Objects {
		pod, ok := obj.(*corev1.Pod)
		if !ok || !selector.Matches(labels.Set(pod.Labels)) || s != nil && !family.has(s, pod) {
			continue
		}
		kept[pod.UID] = true
		namespaces[pod.Namespace] = true
		for _, c := range family.above(pod) {
			kept[c.GetUID()] = true
		}
		for _, name := range configMapsOf(&pod.Spec) {
			configs[named{pod.Namespace, name}] = true
		}
		for _, v := range pod.Spec.Volumes {
			if c := v.PersistentVolumeClaim; c != nil {
				claims[named{pod.Namespace, c.ClaimName}] = true
			}
		}
	}
	if s != nil && !s.IsPod() { // also where it has no pod: that may be what is wrong
		for _, obj := range all.Objects {
			if family.is(s, obj) {
				kept[obj.GetUID()] = true
				namespaces[obj.GetNamespace()] = true
			} else if slices.ContainsFunc(family.above(obj), func(o dump.Object) bool { return family.is(s, o) }) {
				kept[obj.GetUID()] = true
			}
		}
	}
	if len(kept) == 0 {
		if s != nil {
			return dump.Contents{}, fmt.Errorf("%s: %w", s, ErrNoSubject)
		}
		return dump.Contents{}, fmt.Errorf("no pod has the labels %s", selector)
	}
	out := dump.Contents{Missing: all.Missing}
	for _, obj := range all.Objects {
		of := obj
		if _, ok := obj.(*corev1.Event); ok {
			continue
		}
		switch obj := obj.(type) {
		case *corev1.Node:
			kept[obj.UID] = true
			kept[types.UID(obj.Name)] = true // the kubelet's events about a node have its name for a UID
		case *corev1.Namespace:
			kept[obj.UID] = namespaces[obj.Name]
		case *corev1.PersistentVolumeClaim:
			kept[obj.UID] = claims[named{obj.Namespace, obj.Name}]
		case *metav1.PartialObjectMetadata: // of a ConfigMap
			kept[obj.UID] = configs[named{obj.Namespace, obj.Name}]
		case *appsv1.ReplicaSet, *appsv1.ControllerRevision: // what a workload was before
			if by := metav1.GetControllerOf(of); by != nil && kept[by.UID] {
				kept[of.GetUID()] = true
			}
		}
		if kept[of.GetUID()] {
			out.Objects = append(out.Objects, of)
		}
	}
	for _, obj := range all.Objects {
		if ev, ok := obj.(*corev1.Event); ok && kept[ev.InvolvedObject.UID] {
			out.Objects = append(out.Objects, ev)
		}
	}
	return out, nil
}

// family knows the controllers of objects.
type family map[types.UID]dump.Object

func familyOf(all []dump.Object) family {
	f := make(family)
	for _, obj := range all {
		f[obj.GetUID()] = obj
	}
	return f
}

// configMapsOf returns the names of the ConfigMaps that a pod uses.
func configMapsOf(spec *corev1.PodSpec) []string {
	var out []string
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.ConfigMap != nil {
			out = append(out, v.ConfigMap.Name)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					out = append(out, s.ConfigMap.Name)
				}
			}
		}
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for _, f := range list[i].EnvFrom {
				if f.ConfigMapRef != nil {
					out = append(out, f.ConfigMapRef.Name)
				}
			}
			for _, v := range list[i].Env {
				if v.ValueFrom != nil && v.ValueFrom.ConfigMapKeyRef != nil {
					out = append(out, v.ValueFrom.ConfigMapKeyRef.Name)
				}
			}
		}
	}
	return out
}

// tallest is how many controllers an object has above it at most.
const tallest = 5

// above returns the controllers above an object, as far as they are known.
func (f family) above(obj dump.Object) []dump.Object {
	var out []dump.Object
	for range tallest {
		owner := metav1.GetControllerOf(obj)
		if owner == nil || f[owner.UID] == nil {
			break
		}
		obj = f[owner.UID]
		out = append(out, obj)
	}
	return out
}

// has tells whether a pod is the subject or one of its pods.
func (f family) has(s *Subject, pod *corev1.Pod) bool {
	if s.IsPod() {
		return pod.Name == s.Name
	}
	var of dump.Object = pod
	for _, next := range append(f.above(pod), nil) {
		if o := metav1.GetControllerOf(of); o != nil && canonical(strings.ToLower(o.Kind)) == s.Kind && o.Name == s.Name {
			return true
		}
		of = next
	}
	return false
}

// is tells whether an object is the subject itself.
func (f family) is(s *Subject, obj dump.Object) bool {
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", obj), ".") // *v1.ReplicaSet: a list leaves an object's kind empty
	return strings.EqualFold(kind, s.Kind) && obj.GetName() == s.Name
}
