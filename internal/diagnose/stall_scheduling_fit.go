package diagnose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family goes on: what keeps each of the nodes out, with the numbers behind it.

// barrier is a reason that keeps nodes out, with what is known of it.
type barrier struct {
	fitReason
	fitClass
}

// unfit explains why none of the nodes will do.
func unfit(e *evidence.Evidence, f fitError, from []record.Evidence) *answer {
	a := &answer{cause: "unschedulable", confidence: record.Confirmed, evidence: from}
	if f.nodes == 0 {
		a.detail = "no_nodes"
		a.summary = "There is no node that the pod could run on: the cluster has none."
		a.next = []record.NextStep{{Text: "See which nodes there are", Command: kubectl("get", "nodes")}}
		return a
	}
	barriers := rank(e, f)
	if len(barriers) == 0 {
		a.detail, a.confidence = "other", record.Likely
		a.summary = fmt.Sprintf("None of the %s can take the pod; the scheduler gives no reason.", count(f.nodes, "node", "nodes"))
		a.alternatives = []record.Alternative{{Cause: "not_scheduled", Why: "the scheduler names no reason"}}
		a.missing = []record.Missing{{What: "the scheduler's reasons", Why: "its message has none"}}
		return a
	}
	a.detail = barriers[0].detail
	var parts []string
	for _, b := range barriers {
		words, ev := describe(e, b, f.nodes)
		parts = append(parts, words)
		a.evidence = append(a.evidence, ev...)
		a.next = append(a.next, fitSteps(e, b)...)
	}
	a.summary = fmt.Sprintf("None of the %d nodes can take the pod: %s.", f.nodes, strings.Join(parts, "; "))
	switch {
	case barriers[0].nodes == 0:
		a.summary = fmt.Sprintf("The pod cannot be scheduled: %s.", strings.Join(parts, "; "))
	case f.nodes == 1:
		a.summary = fmt.Sprintf("The only node cannot take the pod: %s.", strings.Join(parts, "; "))
	}
	if barriers[0].kind == ofCapacity && f.outranked() {
		a.summary = strings.TrimSuffix(a.summary, ".") + "; no pod of a lower priority could make room."
	}
	if f.cut {
		a.missing = append(a.missing, record.Missing{What: "the whole of the scheduler's message", Why: "the event is cut at 1024 bytes"})
	}
	if ev := scaleUpRefused(e); ev != nil {
		a.evidence = append(a.evidence, quoteEvent(e, ev))
		a.summary = strings.TrimSuffix(a.summary, ".") + "; the cluster autoscaler says that a new node would not help, or cannot be had."
	}
	a.next = slices.CompactFunc(a.next, func(x, y record.NextStep) bool { return x.Command == y.Command })
	return a
}

// rank orders the reasons, the one that blocks first. What keeps all nodes out and no
// free room would cure goes first; then those that keep out more nodes, and among equals what
// the pod's owner can do something about. Nodes that are not meant for pods at all come
// last: that a control plane does not take a pod is nothing to act on.
func rank(e *evidence.Evidence, f fitError) []barrier {
	var out []barrier
	for _, r := range f.reasons {
		c := classifyReason(r.text)
		if c.detail == "taint" && reserved(e) {
			c.kind = ofReserved
		}
		if i := slices.IndexFunc(out, func(b barrier) bool { return b.text == r.text }); i >= 0 {
			out[i].nodes += r.nodes
			continue
		}
		out = append(out, barrier{r, c})
	}
	all := func(b barrier) bool {
		return b.nodes == 0 || b.nodes >= f.nodes || b.detail == "node_selector" && matchesNone(e)
	}
	tier := func(b barrier) int {
		switch {
		case all(b) && b.kind != ofCapacity:
			return 0
		case b.kind == ofReserved:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(out, func(x, y barrier) int {
		if d := tier(x) - tier(y); d != 0 {
			return d
		}
		if tier(x) > 0 && x.nodes != y.nodes {
			return y.nodes - x.nodes
		}
		return int(x.kind) - int(y.kind)
	})
	return out
}

// matchesNone tells that no node at all fits the pod's selector and affinity. The scheduler names
// one reason for each node, taints before labels (the default order of its filters,
// pkg/scheduler/apis/config/v1/default_plugins.go), and so does not say it.
func matchesNone(e *evidence.Evidence) bool {
	return e.Scheduling != nil && e.Scheduling.SelectorMatches != nil && *e.Scheduling.SelectorMatches == 0
}

// reserved tells that the only taints that keep the pod off are those of control planes. From
// Kubernetes 1.34 on the scheduler's message does not name taints.
func reserved(e *evidence.Evidence) bool {
	if e.Scheduling == nil || len(e.Scheduling.Taints) == 0 {
		return false
	}
	return !slices.ContainsFunc(e.Scheduling.Taints, func(t evidence.TaintCount) bool {
		return t.Key != "node-role.kubernetes.io/control-plane" && t.Key != "node-role.kubernetes.io/master"
	})
}

// namedTaint matches the taint in the message up to Kubernetes 1.33.
var namedTaint = regexp.MustCompile(`untolerated taint \{([^:}]*): ?([^}]*)\}`)

// describe puts a reason into words with the numbers behind it, and quotes those.
func describe(e *evidence.Evidence, b barrier, nodes int) (string, []record.Evidence) {
	who := ""
	switch {
	case nodes == 1:
		who = "it "
	case b.nodes > 0:
		who = either(b.nodes >= nodes, "all ", fmt.Sprint(b.nodes)+" ")
	}
	singular := b.nodes == 1 || nodes == 1
	if resource, ok := strings.CutPrefix(b.detail, "insufficient_"); ok && b.kind == ofCapacity {
		return describeResource(e, resource, who, singular)
	}
	has, does, is := either(singular, "has", "have"), either(singular, "does", "do"), either(singular, "is", "are")
	switch b.detail {
	case "taint":
		names, ev := taintNames(e, b)
		return who + has + " a taint that the pod does not tolerate" + names, ev
	case "cordoned":
		return who + is + " cordoned (kubectl cordon or drain)", nil
	case "node_selector":
		none := who == "all " || nodes > 1 && matchesNone(e)
		return describeSelector(e, either(none, "none matches", who+does+" not match"))
	case "too_many_pods":
		return who + has + " as many pods as " + either(singular, "it takes", "they take") + " already", nil
	case "host_port":
		return who + has + " no free host port that the pod asks for", nil
	case "pod_affinity":
		return who + does + " not fit the pod's affinity to other pods", nil
	case "pod_anti_affinity":
		return who + either(singular, "runs", "run") + " pods that this one must not share a node with, by anti-affinity", nil
	case "topology_spread":
		return who + does + " not fit the pod's topology spread constraints", nil
	case "volume_node_affinity", "volume_zone":
		return who + is + " not where the pod's volume is", nil
	case "max_volume_count":
		return who + has + " as many volumes attached as " + either(singular, "it takes", "they take"), nil
	}
	if b.kind == ofPod && strings.HasPrefix(b.detail, "pvc_") {
		return describeClaim(e, b)
	}
	if who != "" {
		return who + is + " kept out by: " + brief(b.text), nil
	}
	return brief(b.text), nil
}

// describeResource compares what is asked for with what nodes have.
func describeResource(e *evidence.Evidence, resource, who string, singular bool) (string, []record.Evidence) {
	has := either(singular, "has", "have")
	words := fmt.Sprintf("%s%s too little %s", who, has, resource)
	s := e.Scheduling
	i := -1
	if s != nil {
		i = slices.IndexFunc(s.Resources, func(r evidence.ResourceFit) bool { return r.Name == resource })
	}
	if i < 0 {
		asked := e.Pod.Requests[resource]
		if asked <= 0 {
			return words, nil
		}
		return fmt.Sprintf("%s (asked for %s)", words, quantity(resource, asked)),
			[]record.Evidence{specEvidence(e, "spec requests "+resource, quantity(resource, asked))}
	}
	r := &s.Resources[i]
	asked, free, most := quantity(resource, r.Asked), quantity(resource, max(0, r.LargestFree)), quantity(resource, r.LargestAllocatable)
	ev := []record.Evidence{specEvidence(e, "spec requests "+resource, asked), nodesEvidence("largest allocatable "+resource, most)}
	if s.UsageKnown {
		ev = append(ev, nodesEvidence("largest free "+resource, strings.TrimSpace(free+" "+r.LargestNode)))
		if r.LargestNode != "" {
			free += " on node " + r.LargestNode
		}
	}
	numbers := "asked for " + asked
	switch {
	case r.Asked > r.LargestAllocatable:
		if s.UsageKnown {
			numbers += ", the largest free amount is " + free
		}
		numbers += fmt.Sprintf("; it can never fit, as the largest node has %s for pods", most)
	case !s.UsageKnown:
		numbers += fmt.Sprintf("; the largest node has %s for pods", most)
	case r.LargestFree >= r.Asked:
		numbers += fmt.Sprintf("; by now %s are free, so that another reason weighs there, or the scheduler has not tried again", free)
	default:
		numbers += fmt.Sprintf(", the largest free amount is %s; the largest node has %s for pods", free, most)
	}
	return words + " (" + numbers + ")", ev
}

func nodesEvidence(field, value string) record.Evidence {
	return record.Evidence{Source: "node", Object: "Nodes", Field: field, Value: value}
}

// taintNames names the taints: those in the message, or else those that the nodes have.
func taintNames(e *evidence.Evidence, b barrier) (string, []record.Evidence) {
	if m := namedTaint.FindStringSubmatch(b.text); m != nil {
		name := m[1]
		if m[2] != "" {
			name += "=" + m[2]
		}
		if s := e.Scheduling; s != nil {
			for i := range s.Taints {
				if t := &s.Taints[i]; t.Key == m[1] && t.Value == m[2] {
					return " (" + taintText(t) + ")", []record.Evidence{taintEvidence(t)}
				}
			}
		}
		return " (" + name + ")", nil
	}
	if e.Scheduling == nil {
		return "", nil
	}
	var names []string
	var ev []record.Evidence
	for i := range e.Scheduling.Taints {
		t := &e.Scheduling.Taints[i]
		if t.Effect == "PreferNoSchedule" {
			continue
		}
		names = append(names, taintText(t))
		ev = append(ev, taintEvidence(t))
	}
	if len(names) == 0 {
		return "", nil
	}
	return " (" + strings.Join(names, ", ") + ")", ev
}

func taintText(t *evidence.TaintCount) string {
	s := t.Key
	if t.Value != "" {
		s += "=" + t.Value
	}
	return s + ":" + t.Effect
}

func taintEvidence(t *evidence.TaintCount) record.Evidence {
	return nodesEvidence("spec.taints of "+count(t.Nodes, "node", "nodes"), taintText(t))
}

// describeSelector tells which labels are asked for; the required affinity is not in the evidence.
func describeSelector(e *evidence.Evidence, who string) (string, []record.Evidence) {
	var labels []string
	for _, k := range sortedKeys(e.Pod.NodeSelector) {
		labels = append(labels, k+"="+e.Pod.NodeSelector[k])
	}
	words := who + " the pod's node selector or affinity"
	var ev []record.Evidence
	if len(labels) > 0 {
		words = who + " the pod's node selector (" + brief(strings.Join(labels, ",")) + ") or affinity"
		ev = append(ev, specEvidence(e, "spec.nodeSelector", strings.Join(labels, ",")))
	}
	if s := e.Scheduling; s != nil && s.SelectorMatches != nil {
		ev = append(ev, nodesEvidence("nodes that match", fmt.Sprint(*s.SelectorMatches)))
	}
	return words, ev
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// claimName matches the claim that a message is about.
var claimName = regexp.MustCompile(`persistentvolumeclaim "([^"]+)"`)

// describeClaim tells what is wrong with the pod's claims.
func describeClaim(e *evidence.Evidence, b barrier) (string, []record.Evidence) {
	name := ""
	if m := claimName.FindStringSubmatch(b.text); m != nil {
		name = m[1]
	}
	var ev []record.Evidence
	var pending []string
	for i := range e.Claims {
		c := &e.Claims[i]
		if c.Name == name || name == "" && (c.Phase == "Pending" && !waitsForPod(c) || c.Phase == "Lost") {
			ev = append(ev, quoteClaimState(e, c)...)
			if name == "" {
				pending = append(pending, c.Name+claimWhy(c))
			}
		}
	}
	switch b.detail {
	case "pvc_not_found":
		return fmt.Sprintf("its claim %s does not exist in the namespace %s", name, e.Pod.Namespace), ev
	case "pvc_deleted":
		return fmt.Sprintf("its claim %s is being deleted", name), ev
	case "pvc_not_created":
		return fmt.Sprintf("its claim %s, of an ephemeral volume, has not been made yet", name), ev
	case "pvc_bound_to_missing_pv":
		return fmt.Sprintf("its claim %s is bound to a volume that does not exist", name), ev
	}
	if len(pending) == 0 {
		return either(b.nodes == 0, "a claim of the pod is not bound to a volume", "no volume can be bound to a claim of the pod there"), ev
	}
	return fmt.Sprintf("%s %s not bound to a volume", either(len(pending) == 1, "its claim", "its claims"), strings.Join(pending, ", ")+either(len(pending) == 1, " is", " are")), ev
}

// waitsForPod tells a claim that is to be bound once its pod has a node: it keeps no pod.
func waitsForPod(c *evidence.Claim) bool {
	ev := newest(c.Events, func(*evidence.Event) bool { return true })
	return ev != nil && (ev.Reason == "WaitForFirstConsumer" || ev.Reason == "WaitForPodScheduled")
}

// claimWhy is what the newest warning of a claim says, in parentheses.
func claimWhy(c *evidence.Claim) string {
	if ev := newest(c.Events, hasReason("FailedBinding", "ProvisioningFailed", "VolumeMismatch", "ClaimLost", "ExternalProvisioning")); ev != nil {
		return " (" + brief(ev.Message) + ")"
	}
	return ""
}

// quoteClaimState quotes the state of a claim and the newest event about it.
func quoteClaimState(e *evidence.Evidence, c *evidence.Claim) []record.Evidence {
	q := quoteClaim(e, c)
	out := []record.Evidence{q("status.phase", c.Phase), q("spec.storageClassName", c.StorageClass)}
	if c.Gone {
		out = []record.Evidence{q("metadata.name", "no such claim")}
	}
	if ev := newest(c.Events, func(*evidence.Event) bool { return true }); ev != nil {
		x := q(ev.Reason, ev.Message)
		x.Source, x.Time = "event", ev.Last
		out = append(out, x)
	}
	return out
}

func claimSteps(e *evidence.Evidence, name string) []record.NextStep {
	return []record.NextStep{
		step(e, "See the claim's state and events", "describe", "pvc", name),
		{Text: "See which storage classes and volumes there are", Command: kubectl("get", "storageclass,pv")},
	}
}

// fitSteps are the next steps for one reason.
func fitSteps(e *evidence.Evidence, b barrier) []record.NextStep {
	switch {
	case strings.HasPrefix(b.detail, "pvc_"):
		if m := claimName.FindStringSubmatch(b.text); m != nil {
			return claimSteps(e, m[1])[:1]
		}
		for i := range e.Claims {
			if e.Claims[i].Phase == "Pending" {
				return claimSteps(e, e.Claims[i].Name)
			}
		}
		return []record.NextStep{step(e, "See the claims' state", "get", "pvc")}
	case b.kind == ofReserved:
		return nil
	case b.detail == "taint":
		return []record.NextStep{
			{Text: "See the taints of the nodes", Command: kubectl("get", "nodes", "-o", `custom-columns=NAME:.metadata.name,TAINTS:.spec.taints`)},
			edit(e, "Give the pod a toleration, if it shall run there; new nodes with the same taint would not help"),
		}
	case b.detail == "cordoned":
		return []record.NextStep{{Text: "See which nodes are cordoned; uncordon them when their maintenance is done", Command: kubectl("get", "nodes")}}
	case b.detail == "node_selector":
		return []record.NextStep{
			{Text: "Compare the labels of the nodes with what the pod asks for", Command: kubectl("get", "nodes", "--show-labels")},
		}
	case strings.HasPrefix(b.detail, "insufficient_"):
		resource := strings.TrimPrefix(b.detail, "insufficient_")
		if s := e.Scheduling; s != nil && slices.ContainsFunc(s.Resources, func(r evidence.ResourceFit) bool {
			return r.Name == resource && r.Asked > r.LargestAllocatable
		}) {
			return []record.NextStep{edit(e, "Ask for less "+resource+", or add a larger kind of node: no node of today can ever take this pod")}
		}
		return []record.NextStep{
			{Text: "See what is asked for on each node", Command: kubectl("describe", "nodes")},
			edit(e, "Ask for less "+resource+", or add nodes"),
		}
	}
	return []record.NextStep{step(e, "See what the pod asks for", "get", "pod", e.Pod.Name, "-o", "yaml")}
}
