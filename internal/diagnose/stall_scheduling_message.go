package diagnose

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The scheduler's message why no node was found (pkg/scheduler/framework/types.go
// FitError.Error): "0/N nodes are available: ", then either what a PreFilter plugin
// said of the pod as a whole, or how many nodes each reason kept out, sorted as text and
// joined by ", ", and after a full stop what preemption came to. A node may be kept out for several
// reasons, so that the numbers may sum up to more than N. An event's note is cut at
// 1024 bytes and then ends with " ..."; the condition PodScheduled has it whole.

// fitError is the scheduler's message, taken apart.
type fitError struct {
	// nodes is how many nodes there were; parsed is false where the message is another.
	nodes  int
	parsed bool
	// reasons are as they stand; a PreFilter's has the number 0.
	reasons []fitReason
	// preemption is what was tried to make room.
	preemption []fitReason
	cut        bool
}

// fitReason is a reason and how many nodes it keeps out, 0 for all.
type fitReason struct {
	nodes int
	text  string
}

// noneAvailable opens the message; it is not followed by reasons where all nodes were left out before.
var noneAvailable = regexp.MustCompile(`^0/(\d+) nodes are available:? ?`)

// parseFitError takes the scheduler's message apart.
func parseFitError(message string) fitError {
	var f fitError
	m := noneAvailable.FindStringSubmatch(message)
	if m == nil {
		if strings.HasPrefix(message, "no nodes available to schedule pods") {
			f.parsed = true
		}
		return f
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return f
	}
	f.nodes, f.parsed = n, true
	body := message[len(m[0]):]
	if cut, ok := strings.CutSuffix(body, " ..."); ok {
		body, f.cut = cut, true
	}
	body, preemption, _ := strings.Cut(body, " preemption: ")
	f.reasons = splitReasons(body)
	if m := noneAvailable.FindString(preemption); m != "" {
		preemption = preemption[len(m):]
	}
	f.preemption = splitReasons(preemption)
	return f
}

// preempts tells that other pods were preempted for this one, and are not gone yet.
func (f *fitError) preempts() bool {
	return slices.ContainsFunc(f.preemption, func(r fitReason) bool {
		return strings.Contains(r.text, "terminating pod on the nominated node")
	})
}

// outranked tells that on some node other pods are in the way, and none of them has a lower priority.
func (f *fitError) outranked() bool {
	return slices.ContainsFunc(f.preemption, func(r fitReason) bool {
		return strings.Contains(r.text, "No preemption victims found")
	})
}

// splitReasons splits "2 reason, 1 other reason." Commas within a reason do not split:
// each reason begins with its number, and the list ends with a full stop.
func splitReasons(s string) []fitReason {
	s = strings.TrimSpace(s)
	if s == "" || s == "." {
		return nil
	}
	if leadingNumber(s) == 0 {
		return []fitReason{{text: strings.TrimSuffix(s, ".")}}
	}
	var out []fitReason
	for start, i := 0, 0; ; {
		next := strings.Index(s[i:], ", ")
		if next >= 0 && leadingNumber(s[i+next+2:]) == 0 {
			i += next + 2
			continue
		}
		item := s[start:]
		if next >= 0 {
			item = s[start : i+next]
		}
		n := leadingNumber(item)
		_, text, _ := strings.Cut(item, " ")
		count, err := strconv.Atoi(item[:n])
		if err != nil {
			count = 0
		}
		if next < 0 {
			text = strings.TrimSuffix(text, ".")
		}
		out = append(out, fitReason{nodes: count, text: strings.TrimSpace(text)})
		if next < 0 {
			return out
		}
		start = i + next + 2
		i = start
	}
}

// leadingNumber is the length of a number that s begins with and a blank follows; 0 for none.
func leadingNumber(s string) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 || i >= len(s) || s[i] != ' ' {
		return 0
	}
	return i
}

// kind tells what can be done about a reason that keeps a node out.
type kind int

const (
	// ofPod: the pod or what it names has to change; no node matters.
	ofPod kind = iota
	// ofCapacity: a node with more room would do.
	ofCapacity
	// ofPlacement: the pod or the nodes keep each other off by rule.
	ofPlacement
	// ofReserved: the nodes are not meant for such pods at all, as control planes.
	ofReserved
)

// fitClass is a reason as a detail of the cause unschedulable.
type fitClass struct {
	detail string
	kind   kind
}

// classifyReason tells a reason by the plugins' texts of Kubernetes 1.28 to 1.37.
func classifyReason(text string) fitClass {
	if r, ok := strings.CutPrefix(text, "Insufficient "); ok {
		r, _, _ = strings.Cut(r, ". ")
		return fitClass{"insufficient_" + strings.TrimRight(r, "."), ofCapacity}
	}
	if strings.Contains(text, "untolerated taint") {
		switch {
		case strings.Contains(text, "{node.kubernetes.io/unschedulable:"):
			return fitClass{"cordoned", ofPlacement}
		case strings.Contains(text, "{node-role.kubernetes.io/control-plane:"), strings.Contains(text, "{node-role.kubernetes.io/master:"):
			return fitClass{"taint", ofReserved}
		}
		return fitClass{"taint", ofPlacement}
	}
	for _, c := range []struct {
		text string
		fitClass
	}{
		{"Too many pods", fitClass{"too_many_pods", ofCapacity}},
		{"unbound immediate PersistentVolumeClaims", fitClass{"pvc_unbound", ofPod}},
		{"persistentvolumeclaim", fitClass{"", ofPod}},
		{"bound to non-existent pv(s)", fitClass{"pvc_bound_to_missing_pv", ofPod}},
		{"didn't match PersistentVolume's node affinity", fitClass{"volume_node_affinity", ofPlacement}},
		{"volume node affinity conflict", fitClass{"volume_node_affinity", ofPlacement}},
		{"didn't find available persistent volumes to bind", fitClass{"pvc_unbound", ofPod}},
		{"did not have enough free storage", fitClass{"insufficient_storage", ofCapacity}},
		{"no available volume zone", fitClass{"volume_zone", ofPlacement}},
		{"exceed max volume count", fitClass{"max_volume_count", ofCapacity}},
		{"CSI driver is not installed", fitClass{"csi_driver", ofPlacement}},
		{"no available disk", fitClass{"volume_in_use", ofPlacement}},
		{"ReadWriteOncePod access mode", fitClass{"volume_in_use", ofPod}},
		{"pod anti-affinity rules", fitClass{"pod_anti_affinity", ofPlacement}},
		{"existing pods anti-affinity rules", fitClass{"pod_anti_affinity", ofPlacement}},
		{"pod affinity rules", fitClass{"pod_affinity", ofPlacement}},
		{"topology spread constraints", fitClass{"topology_spread", ofPlacement}},
		{"node affinity", fitClass{"node_selector", ofPlacement}},
		{"pod affinity terms conflict", fitClass{"node_selector", ofPlacement}},
		{"requested node name", fitClass{"node_name", ofPod}},
		{"were unschedulable", fitClass{"cordoned", ofPlacement}},
		{"unknown conditions", fitClass{"node_conditions", ofPlacement}},
		{"free ports", fitClass{"host_port", ofCapacity}},
		{"resourceclaim", fitClass{"resource_claim", ofPlacement}},
		{"cannot allocate all claims", fitClass{"resource_claim", ofCapacity}},
		{"device class", fitClass{"resource_claim", ofPod}},
		{"from a gang", fitClass{"gang", ofPod}},
		{"declared features", fitClass{"node_features", ofPlacement}},
	} {
		if !strings.Contains(text, c.text) {
			continue
		}
		if c.detail == "" {
			c.detail = claimDetail(text)
		}
		return c.fitClass
	}
	return fitClass{"other", ofPlacement}
}

// claimDetail tells what a PreFilter says of one claim (volumebinding, nodevolumelimits).
func claimDetail(text string) string {
	switch {
	case strings.Contains(text, "bound to non-existent persistentvolume"):
		return "pvc_bound_to_missing_pv"
	case strings.Contains(text, "is being deleted"):
		return "pvc_deleted"
	case strings.Contains(text, "ephemeral volume controller"):
		return "pvc_not_created"
	case strings.Contains(text, "not found"):
		return "pvc_not_found"
	}
	return "pvc_unbound"
}
