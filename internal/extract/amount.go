package extract

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// maxResources bounds the resources of one list that are kept; the rest are extended ones
// whose names sort last.
const maxResources = 32

// amount returns a quantity in thousandths, the largest or smallest there is where it does not fit.
func amount(q resource.Quantity) evidence.Amount {
	switch {
	case q.CmpInt64(math.MaxInt64/1000) > 0:
		return math.MaxInt64
	case q.CmpInt64(math.MinInt64/1000) < 0:
		return math.MinInt64
	default:
		return evidence.Amount(q.MilliValue())
	}
}

// plus adds without running over.
func plus(a, b evidence.Amount) evidence.Amount {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	default:
		return a + b
	}
}

// resources returns the amounts of a list; nil for an empty one.
func resources(l corev1.ResourceList) evidence.Resources {
	if len(l) == 0 {
		return nil
	}
	out := make(evidence.Resources, min(len(l), maxResources))
	for _, name := range firstKeys(l, maxResources) {
		out[string(name)] = amount(l[name])
	}
	return out
}

// requests returns what a pod requests as a whole; nil where that is nothing.
func requests(pod *corev1.Pod) evidence.Resources {
	names := map[corev1.ResourceName]bool{}
	note := func(l corev1.ResourceList) {
		for name := range l {
			names[name] = true
		}
	}
	for i := range pod.Spec.Containers {
		note(pod.Spec.Containers[i].Resources.Requests)
	}
	for i := range pod.Spec.InitContainers {
		note(pod.Spec.InitContainers[i].Resources.Requests)
	}
	if r := pod.Spec.Resources; r != nil {
		note(r.Requests)
	}
	note(pod.Spec.Overhead)
	out := evidence.Resources{}
	for _, name := range firstKeys(names, maxResources) {
		if n := requested(pod, name); n != 0 {
			out[string(name)] = n
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// requested returns how much of one resource a pod requests, as the scheduler counts it
// (PodRequests in k8s.io/component-helpers resource): the regular containers and the sidecars
// together, or an init container with the sidecars that start before it where that is
// more; what is requested at the level of the pod instead of that; and the overhead of
// its runtime class.
func requested(pod *corev1.Pod, name corev1.ResourceName) evidence.Amount {
	var sum, sidecars, most evidence.Amount
	for i := range pod.Spec.Containers {
		sum = plus(sum, amountOf(pod.Spec.Containers[i].Resources.Requests, name))
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		n := amountOf(c.Resources.Requests, name)
		if initType(c) == record.Sidecar {
			sum, sidecars = plus(sum, n), plus(sidecars, n)
			n = 0
		}
		most = max(most, plus(sidecars, n))
	}
	sum = max(sum, most)
	if r := pod.Spec.Resources; r != nil {
		if _, ok := r.Requests[name]; ok {
			sum = amountOf(r.Requests, name)
		}
	}
	return plus(sum, amountOf(pod.Spec.Overhead, name))
}

// amountOf returns the amount of a resource in a list, 0 where it is not in it.
func amountOf(l corev1.ResourceList, name corev1.ResourceName) evidence.Amount {
	q, ok := l[name]
	if !ok {
		return 0
	}
	return amount(q)
}

// initType tells a sidecar from an init container that runs to completion.
func initType(c *corev1.Container) record.ContainerType {
	if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
		return record.Sidecar
	}
	return record.Init
}
