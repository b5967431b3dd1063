package extract

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

// podsResource is the number of pods of a node, which every pod takes one of.
const podsResource = string(corev1.ResourcePods)

// Scheduling compares what a pod asks for with the nodes. PodsOnNodes are the pods that
// have a node and did not finish; nil where they were not read, empty where there are none.
//
// The free amounts are those of the nodes that the pod could use otherwise: neither
// cordoned nor tainted against it, and matched by its selector; of all nodes, where
// there is none of these.
func Scheduling(pod *corev1.Pod, nodes []*corev1.Node, podsOnNodes []*corev1.Pod) *evidence.Scheduling {
	s := &evidence.Scheduling{Nodes: len(nodes), UsageKnown: podsOnNodes != nil}
	selects := len(pod.Spec.NodeSelector) > 0 || requiredTerms(pod) != nil
	matches := 0
	var usable []*corev1.Node
	taints := map[evidence.Taint]int{}
	for _, n := range nodes {
		ok := true
		if selects {
			if ok = selected(pod, n); ok {
				matches++
			}
		}
		if n.Spec.Unschedulable {
			s.Cordoned++
			ok = ok && tolerated(pod, &corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
		}
		seen := map[evidence.Taint]bool{}
		for i := range n.Spec.Taints {
			t := &n.Spec.Taints[i]
			if t.Effect == corev1.TaintEffectPreferNoSchedule || tolerated(pod, t) {
				continue
			}
			ok = false
			k := taint(t)
			k.Time = time.Time{} // nodes got it at different times
			if !seen[k] {
				seen[k] = true
				taints[k]++
			}
		}
		if ok {
			usable = append(usable, n)
		}
	}
	if selects {
		s.SelectorMatches = &matches
	}
	for t, n := range taints {
		s.Taints = append(s.Taints, evidence.TaintCount{Taint: t, Nodes: n})
	}
	slices.SortFunc(s.Taints, func(a, b evidence.TaintCount) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Effect, b.Effect))
	})
	s.Taints = bounded(s.Taints)
	if len(usable) == 0 {
		usable = nodes
	}
	s.Resources = fits(pod, usable, podsOnNodes)
	return s
}

// fits finds, for each resource that the pod asks for, the node that has most of it left.
func fits(pod *corev1.Pod, nodes []*corev1.Node, podsOnNodes []*corev1.Pod) []evidence.ResourceFit {
	asked := requests(pod)
	if asked == nil {
		asked = evidence.Resources{}
	}
	asked[podsResource] = 1000
	names := firstKeys(asked, maxResources+1)
	used := make(map[string][]evidence.Amount, len(nodes)) // by node, in the order of names
	for _, n := range nodes {
		used[n.Name] = make([]evidence.Amount, len(names))
	}
	for _, p := range podsOnNodes {
		u := used[p.Spec.NodeName]
		if u == nil || p.UID == pod.UID || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for i, name := range names {
			n := evidence.Amount(1000)
			if name != podsResource {
				n = requested(p, corev1.ResourceName(name))
			}
			u[i] = plus(u[i], n)
		}
	}
	var out []evidence.ResourceFit
	for i, name := range names {
		f := evidence.ResourceFit{Name: name, Asked: asked[name]}
		for _, n := range nodes {
			all := amountOf(n.Status.Allocatable, corev1.ResourceName(name))
			free := plus(all, -used[n.Name][i])
			f.LargestAllocatable = max(f.LargestAllocatable, all)
			if podsOnNodes != nil && (f.LargestNode == "" || free > f.LargestFree || free == f.LargestFree && n.Name < f.LargestNode) {
				f.LargestFree, f.LargestNode = free, n.Name
			}
		}
		out = append(out, f)
	}
	return out
}

// tolerated tells whether one of the pod's tolerations matches the taint (core/v1 ToleratesTaint).
func tolerated(pod *corev1.Pod, t *corev1.Taint) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(o corev1.Toleration) bool {
		if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
			return false
		}
		switch o.Operator {
		case "", corev1.TolerationOpEqual:
			return o.Value == t.Value
		case corev1.TolerationOpExists:
			return true
		case corev1.TolerationOpGt, corev1.TolerationOpLt:
			than, err := strconv.ParseInt(o.Value, 10, 64)
			have, err2 := strconv.ParseInt(t.Value, 10, 64)
			if err != nil || err2 != nil {
				return false
			}
			return o.Operator == corev1.TolerationOpGt && have > than || o.Operator == corev1.TolerationOpLt && have < than
		}
		return false
	})
}

func requiredTerms(pod *corev1.Pod) []corev1.NodeSelectorTerm {
	a := pod.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// selected tells whether the node fits the pod's node selector and its required node
// affinity: one of the terms, of which an empty one matches nothing.
func selected(pod *corev1.Pod, n *corev1.Node) bool {
	for k, v := range pod.Spec.NodeSelector {
		if have, ok := n.Labels[k]; !ok || have != v {
			return false
		}
	}
	terms := requiredTerms(pod)
	if terms == nil {
		return true
	}
	return slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool {
		if len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0 {
			return false
		}
		return all(t.MatchExpressions, n.Labels) && all(t.MatchFields, apilabels.Set{"metadata.name": n.Name})
	})
}

func all(requirements []corev1.NodeSelectorRequirement, of apilabels.Set) bool {
	for _, r := range requirements {
		op, ok := operator(r.Operator)
		if !ok {
			return false
		}
		q, err := apilabels.NewRequirement(r.Key, op, r.Values)
		if err != nil || !q.Matches(of) {
			return false
		}
	}
	return true
}

func operator(op corev1.NodeSelectorOperator) (selection.Operator, bool) {
	switch op {
	case corev1.NodeSelectorOpIn:
		return selection.In, true
	case corev1.NodeSelectorOpNotIn:
		return selection.NotIn, true
	case corev1.NodeSelectorOpExists:
		return selection.Exists, true
	case corev1.NodeSelectorOpDoesNotExist:
		return selection.DoesNotExist, true
	case corev1.NodeSelectorOpGt:
		return selection.GreaterThan, true
	case corev1.NodeSelectorOpLt:
		return selection.LessThan, true
	}
	return "", false
}
