//go:build e2e

package e2e

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// provocation is a scenario of pods that are created and then watched.
type provocation struct {
	name  string
	truth []claim
	pods  []*corev1.Pod
	// stops is how many stops to wait for of each container of which the truth speaks, 1 unless set.
	stops int
	// neverRuns names the containers of which no process ever runs.
	neverRuns []string
	// before makes what the pods need; it may be nil.
	before func(*space)
	// needsNode is that of the scenario.
	needsNode bool
}

func (p provocation) scenario() scenario {
	return scenario{name: p.name, truth: p.truth, needsNode: p.needsNode, run: func(s *space) {
		for _, c := range p.neverRuns {
			s.startFails[c] = true
		}
		if p.before != nil {
			p.before(s)
		}
		s.create(p.pods...)
		for _, c := range p.truth {
			if pod, container, _ := strings.Cut(c.of, "/"); !c.stall && !c.optional {
				s.untilStops(pod, container, max(p.stops, 1))
			}
		}
	}}
}

func provocations(list ...provocation) []scenario {
	all := make([]scenario, len(list))
	for i, p := range list {
		all[i] = p.scenario()
	}
	return all
}

// one is a single pod with the name and the containers.
func one(name string, containers ...corev1.Container) []*corev1.Pod {
	return []*corev1.Pod{newPod(name, containers...)}
}

// with changes a copy of something.
func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// changed changes a pod in place.
func changed(p *corev1.Pod, change func(*corev1.PodSpec)) *corev1.Pod {
	change(&p.Spec)
	return p
}

// mounted adds a volume to a pod and mounts it into its first container.
func mounted(p *corev1.Pod, source corev1.VolumeSource, mount corev1.VolumeMount) *corev1.Pod {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: mount.Name, VolumeSource: source})
	p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, mount)
	return p
}

// requesting gives a container requests.
func requesting(c corev1.Container, what corev1.ResourceName, much string) corev1.Container {
	c.Resources.Requests = corev1.ResourceList{what: quantity(much)}
	if what != corev1.ResourceCPU && what != corev1.ResourceMemory {
		c.Resources.Limits = corev1.ResourceList{what: quantity(much)}
	}
	return c
}

// configMap creates one.
func (s *space) configMap(name string, data map[string]string) {
	s.t.Helper()
	_, err := s.kube.CoreV1().ConfigMaps(s.ns).Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
	s.must(err, "create a config map")
}

// secret creates one.
func (s *space) secret(name string, data map[string]string) {
	s.t.Helper()
	_, err := s.kube.CoreV1().Secrets(s.ns).Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}, metav1.CreateOptions{})
	s.must(err, "create a secret")
}

func size(text string) *resource.Quantity {
	q := quantity(text)
	return &q
}
