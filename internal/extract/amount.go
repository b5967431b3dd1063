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

// add adds b to a, for each resource.
func add(a, b evidence.Resources) {
	for name, n := range b {
		a[name] = plus(a[name], n)
	}
}

// requests returns what a pod requests as a whole, as the scheduler counts it (PodRequests
// in k8s.io/component-helpers resource): the regular containers and the sidecars together,
// or an init container with the sidecars that start before it where that is more; what
// is requested at the level of the pod instead of that; and the overhead of its runtime class.
func requests(pod *corev1.Pod) evidence.Resources {
	sum, sidecars, most := evidence.Resources{}, evidence.Resources{}, evidence.Resources{}
	for i := range pod.Spec.Containers {
		add(sum, resources(pod.Spec.Containers[i].Resources.Requests))
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		r := resources(c.Resources.Requests)
		if initType(c) == record.Sidecar {
			add(sum, r)
			add(sidecars, r)
			r = sidecars
		} else {
			with := evidence.Resources{}
			add(with, r)
			add(with, sidecars)
			r = with
		}
		for name, n := range r {
			most[name] = max(most[name], n)
		}
	}
	for name, n := range most {
		sum[name] = max(sum[name], n)
	}
	if r := pod.Spec.Resources; r != nil {
		for name, n := range resources(r.Requests) {
			sum[name] = n
		}
	}
	add(sum, resources(pod.Spec.Overhead))
	for name, n := range sum {
		if n == 0 {
			delete(sum, name)
		}
	}
	if len(sum) == 0 {
		return nil
	}
	return sum
}

// initType tells a sidecar from an init container that runs to completion.
func initType(c *corev1.Container) record.ContainerType {
	if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
		return record.Sidecar
	}
	return record.Init
}
