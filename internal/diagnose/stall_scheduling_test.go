package diagnose

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestParseFitError(t *testing.T) {
	type reason struct {
		Nodes int
		Text  string
	}
	type parsed struct {
		Nodes      int
		Reasons    []reason
		Preemption []reason
		Cut        bool
	}
	for _, c := range []struct {
		name, message string
		want          parsed
	}{
		{
			"1.37, one reason", "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
			parsed{Nodes: 1, Reasons: []reason{{1, "Insufficient cpu"}}, Preemption: []reason{{1, "Preemption is not helpful for scheduling"}}},
		},
		{
			"several reasons that sum up to more than the nodes",
			"0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory, 2 node(s) had untolerated taint {dedicated: gpu}. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling..",
			parsed{
				Nodes:      3,
				Reasons:    []reason{{1, "Insufficient cpu"}, {2, "Insufficient memory"}, {2, "node(s) had untolerated taint {dedicated: gpu}"}},
				Preemption: []reason{{1, "No preemption victims found for incoming pod"}, {2, "Preemption is not helpful for scheduling."}},
			},
		},
		{
			"1.37, a PreFilter plugin, and what PostFilter says without a prefix", `0/1 nodes are available: persistentvolumeclaim "data-missing" not found. not found`,
			parsed{Nodes: 1, Reasons: []reason{{0, `persistentvolumeclaim "data-missing" not found. not found`}}},
		},
		{
			"1.28, a PreFilter plugin", `0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling..`,
			parsed{Nodes: 4, Reasons: []reason{{0, "pod has unbound immediate PersistentVolumeClaims"}}, Preemption: []reason{{4, "Preemption is not helpful for scheduling."}}},
		},
		{
			"a comma within a reason splits nothing", "0/5 nodes are available: 2 node(s) had x, y and z, 3 Too many pods.",
			parsed{Nodes: 5, Reasons: []reason{{2, "node(s) had x, y and z"}, {3, "Too many pods"}}},
		},
		{
			"an event that was cut", "0/900 nodes are available: 1 Insufficient cpu, 2 node(s) had untol ...",
			parsed{Nodes: 900, Reasons: []reason{{1, "Insufficient cpu"}, {2, "node(s) had untol"}}, Cut: true},
		},
		{"not eligible for preemption", "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.", parsed{Nodes: 2, Reasons: []reason{{2, "Insufficient cpu"}}, Preemption: []reason{{0, "not eligible due to preemptionPolicy=Never"}}}},
		{"no reason at all", "0/2 nodes are available: .", parsed{Nodes: 2}},
		{"no node at all", "no nodes available to schedule pods", parsed{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := parseFitError(c.message)
			if !f.parsed {
				t.Fatal("not parsed")
			}
			got := parsed{Nodes: f.nodes, Cut: f.cut}
			for _, r := range f.reasons {
				got.Reasons = append(got.Reasons, reason{r.nodes, r.text})
			}
			for _, r := range f.preemption {
				got.Preemption = append(got.Preemption, reason{r.nodes, r.text})
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	for _, other := range []string{"", "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded", "0/x nodes are available: 1 y."} {
		if f := parseFitError(other); f.parsed {
			t.Errorf("%q is no message of that grammar: %+v", other, f)
		}
	}
}

// FuzzParseFitError: no message panics, and no reason is invented or lost.
func FuzzParseFitError(f *testing.F) {
	f.Add("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
	f.Add("0/3 nodes are available: 1 a, b, 2 c.")
	f.Add("0/3 nodes are available: , 2 c, . preemption: 3 ")
	f.Add("0/99999999999999999999 nodes are available: 99999999999999999999 x.")
	f.Fuzz(func(t *testing.T, message string) {
		p := parseFitError(message)
		for _, list := range [][]fitReason{p.reasons, p.preemption} {
			for _, r := range list {
				if !strings.Contains(message, r.text) || r.nodes < 0 {
					t.Fatalf("%q gives %+v", message, r)
				}
				classifyReason(r.text)
			}
		}
		if len(p.reasons) > 0 && !p.parsed {
			t.Fatalf("%q: reasons of what was not parsed", message)
		}
	})
}

func BenchmarkParseFitError(b *testing.B) {
	message := "0/100 nodes are available: 1 Insufficient cpu, 12 Insufficient memory, 3 Too many pods, 20 node(s) didn't match Pod's node affinity/selector, " +
		"40 node(s) had untolerated taint(s), 5 node(s) were unschedulable, 7 node(s) didn't have free ports for the requested pod ports. preemption: 0/100 nodes are available: 60 Preemption is not helpful for scheduling, 40 No preemption victims found for incoming pod."
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range parseFitError(message).reasons {
			classifyReason(r.text)
		}
	}
}

func FuzzClassifyPull(f *testing.F) {
	f.Add(`failed to pull and unpack image "x/y:z": failed to resolve reference "x/y:z": x/y:z: not found`, "x/y:z")
	f.Add("toomanyrequests", "")
	f.Fuzz(func(t *testing.T, text, image string) {
		p := classifyPull(text, image)
		if p.cause == "" || p.confidence == "" {
			t.Fatalf("%q: %+v", text, p)
		}
		if p.confidence == record.Likely && len(p.alternatives) == 0 {
			t.Fatalf("%q: likely, and nothing competes", text)
		}
	})
}

// fits is what the nodes have of a resource.
func fits(name string, asked, free, allocatable evidence.Amount) change {
	return func(e *evidence.Evidence) {
		if e.Scheduling == nil {
			e.Scheduling = &evidence.Scheduling{Nodes: 3, UsageKnown: true}
		}
		e.Scheduling.Resources = append(e.Scheduling.Resources, evidence.ResourceFit{Name: name, Asked: asked, LargestFree: free, LargestNode: "n1", LargestAllocatable: allocatable})
	}
}

// tainted is a taint that nodes have.
func tainted(key, value string, nodes int) change {
	return func(e *evidence.Evidence) {
		if e.Scheduling == nil {
			e.Scheduling = &evidence.Scheduling{Nodes: 3, UsageKnown: true}
		}
		e.Scheduling.Taints = append(e.Scheduling.Taints, evidence.TaintCount{Taint: evidence.Taint{Key: key, Value: value, Effect: "NoSchedule"}, Nodes: nodes})
	}
}

func claims(c evidence.Claim) change {
	return func(e *evidence.Evidence) { e.Claims = append(e.Claims, c) }
}

func TestUnscheduled(t *testing.T) {
	one := func(reason string) *evidence.Evidence {
		return stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 "+reason+". preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."))
	}
	whole := func(reason string) *evidence.Evidence {
		return stalling(evidence.Unscheduled, unfound("0/1 nodes are available: "+reason+". preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."))
	}
	unfit := func(detail string) outcome { return confirmed("unschedulable", detail) }
	var cases []stallCase
	for reason, detail := range map[string]string{
		"Insufficient cpu":                                                                             "insufficient_cpu",
		"Insufficient memory":                                                                          "insufficient_memory",
		"Insufficient ephemeral-storage":                                                               "insufficient_ephemeral-storage",
		"Insufficient nvidia.com/gpu":                                                                  "insufficient_nvidia.com/gpu",
		"Too many pods":                                                                                "too_many_pods",
		"node(s) had untolerated taint {dedicated: gpu}":                                               "taint", // up to 1.33
		"node(s) had untolerated taint {dedicated: }":                                                  "taint",
		"node(s) had untolerated taint(s)":                                                             "taint", // from 1.34 on
		"node(s) had untolerated taint {node.kubernetes.io/unschedulable: }":                           "cordoned",
		"node(s) were unschedulable":                                                                   "cordoned",
		"node(s) didn't match Pod's node affinity/selector":                                            "node_selector",
		"node(s) didn't match scheduler-enforced node affinity":                                        "node_selector",
		"node(s) didn't match the requested node name":                                                 "node_name",
		"node(s) didn't have free ports for the requested pod ports":                                   "host_port",
		"node(s) didn't match pod affinity rules":                                                      "pod_affinity",
		"node(s) didn't match pod anti-affinity rules":                                                 "pod_anti_affinity",
		"node(s) didn't satisfy existing pods anti-affinity rules":                                     "pod_anti_affinity",
		"node(s) didn't match pod topology spread constraints":                                         "topology_spread",
		"node(s) didn't match pod topology spread constraints (missing required label)":                "topology_spread",
		"node(s) didn't find available persistent volumes to bind":                                     "pvc_unbound",
		"node(s) did not have enough free storage":                                                     "insufficient_storage",
		"node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)":                    "pvc_bound_to_missing_pv",
		"node(s) had volume node affinity conflict":                                                    "volume_node_affinity", // up to 1.32
		"node(s) didn't match PersistentVolume's node affinity":                                        "volume_node_affinity", // from 1.33 on
		"node(s) had no available disk":                                                                "volume_in_use",
		"node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode": "volume_in_use", // up to 1.33
		"node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod": "volume_in_use",
		"node(s) exceed max volume count":                         "max_volume_count",
		"ebs.csi.aws.com CSI driver is not installed on the node": "csi_driver",
		"node(s) had no available volume zone":                    "volume_zone",
		"cannot allocate all claims":                              "resource_claim",
		"resourceclaim in use":                                    "resource_claim",
		"node(s) had unknown conditions":                          "node_conditions",
		"something that a scheduler of somebody's own says":       "other",
	} {
		cases = append(cases, stallCase{reason, one(reason), unfit(detail)})
	}
	for reason, detail := range map[string]string{
		"pod has unbound immediate PersistentVolumeClaims":                                      "pvc_unbound", // truth 47
		`persistentvolumeclaim "data" not found`:                                                "pvc_not_found",
		`persistentvolumeclaim "data" is being deleted`:                                         "pvc_deleted",
		`persistentvolumeclaim "data" bound to non-existent persistentvolume "pv1"`:             "pvc_bound_to_missing_pv",
		`waiting for ephemeral volume controller to create the persistentvolumeclaim "api-tmp"`: "pvc_not_created",
		"request gpu: device class gpu.example.com does not exist":                              "resource_claim",
		"waiting for minCount pods from a gang to appear in scheduling queue":                   "gang",
	} {
		cases = append(cases, stallCase{reason, whole(reason), unfit(detail)})
	}
	gate := changed(func(e *evidence.Evidence) {
		e.Pod.Node, e.Pod.SchedulingGates = "", []string{"example.com/hold"}
		e.Pod.Conditions = []evidence.Condition{{Type: "PodScheduled", Status: "False", Reason: "SchedulingGated", Message: "Scheduling is blocked due to non-empty scheduling gates"}}
	})
	ignored := changed(func(e *evidence.Evidence) { e.Pod.Node, e.Pod.Conditions = "", nil })
	matching := func(n int) change {
		return changed(func(e *evidence.Evidence) { e.Scheduling.SelectorMatches = &n })
	}
	cases = append(cases, []stallCase{
		{"no nodes", stalling(evidence.Unscheduled, unfound("no nodes available to schedule pods")), unfit("no_nodes")},
		{"a selector that no node fits goes before the taints that hide it", stalling(evidence.Unscheduled, unfound("0/21 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 20 node(s) had untolerated taint(s)."), tainted("kwok", "fake", 20), matching(0)), unfit("node_selector")},
		{"near miss: tainted nodes fit it", stalling(evidence.Unscheduled, unfound("0/21 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 20 node(s) had untolerated taint(s)."), tainted("kwok", "fake", 20), matching(3)), unfit("taint")},
		{"more nodes go first", stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {dedicated: gpu}.")), unfit("taint")},
		{"what excludes all and no room cures goes first", stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient cpu, 3 node(s) didn't match Pod's node affinity/selector.")), unfit("node_selector")},
		{"near miss: it does not exclude all", stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 2 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector.")), unfit("insufficient_cpu")},
		{"among equals, room goes before placement", stalling(evidence.Unscheduled, unfound("0/2 nodes are available: 1 node(s) were unschedulable, 1 Insufficient memory.")), unfit("insufficient_memory")},
		{"control planes are nothing to act on", stalling(evidence.Unscheduled, unfound("0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.")), unfit("insufficient_cpu")},
		{"1.34: control planes by the nodes' taints", stalling(evidence.Unscheduled, unfound("0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint(s)."), tainted("node-role.kubernetes.io/control-plane", "", 3)), unfit("insufficient_cpu")},
		{"near miss: there are control planes alone", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.")), unfit("taint")},
		{"the event, where the condition has no message", stalling(evidence.Unscheduled, unfound(""), warns("FailedScheduling", "0/1 nodes are available: 1 Too many pods.", at(500))), unfit("too_many_pods")},
		{"truth 44: the event is old and the pod has a node", stalling(evidence.Unscheduled, warns("FailedScheduling", "0/1 nodes are available: 1 Too many pods.", at(10))), nothing},
		{"truth 45: an autoscaler brings a node", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu."), event("TriggeredScaleUp", "pod triggered scale-up: [{g 1->2 (max: 5)}]", at(500))), nothing},
		{"truth 45: it has been bringing it for too long", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu."), event("TriggeredScaleUp", "pod triggered scale-up", at(500)), changed(func(e *evidence.Evidence) { e.AsOf = at(500 + 3600) })), unfit("insufficient_cpu")},
		{"truth 45: an autoscaler refuses", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu."), event("TriggeredScaleUp", "x", at(100)), event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached", at(500))), unfit("insufficient_cpu")},
		{"a volume is not made in time", stalling(evidence.Unscheduled, unfound(`running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded`)), unfit("pvc_unbound")},
		{"the scheduler fails", stalling(evidence.Unscheduled, unfound("pod is unknown to the scheduler cache")), confirmed("not_scheduled", "scheduler_error")},
		{"gated", stalling(evidence.Unscheduled, gate), confirmed("scheduling_gated", "example.com/hold")},
		{"no scheduler", stalling(evidence.Unscheduled, ignored), likely("not_scheduled", "")},
		{"a scheduler of another name", stalling(evidence.Unscheduled, ignored, changed(func(e *evidence.Evidence) { e.Pod.SchedulerName = "volcano" })), likely("not_scheduled", "scheduler_name")},
		{"truth 47: the scheduler waits for the first volume", stalling(evidence.Unscheduled, ignored, claims(evidence.Claim{Name: "data", Phase: "Pending", Events: []evidence.Event{{Reason: "ExternalProvisioning", Message: "Waiting for a volume to be created", Last: at(20)}}}), changed(func(e *evidence.Evidence) { e.AsOf = at(60) })), nothing},
		{"the provisioner says that it fails", stalling(evidence.Unscheduled, ignored, claims(evidence.Claim{Name: "data", Phase: "Pending", Events: []evidence.Event{{Reason: "ProvisioningFailed", Message: "no quota", Last: at(20)}}}), asOfAt(60)), likely("unschedulable", "pvc_unbound")},
		{"preempting", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu."), changed(func(e *evidence.Evidence) { e.Pod.NominatedNode = "n1" }), asOfAt(60)), nothing},
		{"preempting, by the message", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node."), asOfAt(60)), nothing},
		{"preempting for too long", stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node.")), unfit("insufficient_cpu")},
		{"for longer than it waits", stalling(evidence.Unscheduled, ignored, claims(evidence.Claim{Name: "data", Phase: "Pending", Events: []evidence.Event{{Reason: "ExternalProvisioning", Message: "Waiting for a volume to be created", Last: at(20)}}}), changed(func(e *evidence.Evidence) { e.AsOf = at(900) })), likely("unschedulable", "pvc_unbound")},
	}...)
	runStalls(t, cases)
}

// TestUnscheduledSummary: the numbers stand in the sentence, and in the evidence.
func TestUnscheduledSummary(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *evidence.Evidence
		want string
	}{
		{
			"truth 45: can never fit",
			stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient cpu."), fits("cpu", 64000, 1800, 4000)),
			"None of the 3 nodes can take the pod: all have too little cpu (asked for 64, the largest free amount is 1800m on node n1; it can never fit, as the largest node has 4 for pods).",
		},
		{
			"would fit on an empty node",
			stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient memory."), fits("memory", 2<<30*1000, 512<<20*1000, 16<<30*1000)),
			"None of the 3 nodes can take the pod: all have too little memory (asked for 2Gi, the largest free amount is 512Mi on node n1; the largest node has 16Gi for pods).",
		},
		{
			"nobody could make room",
			stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")),
			"The only node cannot take the pod: it has as many pods as it takes already; no pod of a lower priority could make room.",
		},
		{
			"there is room by now",
			stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient cpu."), fits("cpu", 2000, 3000, 4000)),
			"None of the 3 nodes can take the pod: all have too little cpu (asked for 2; by now 3 on node n1 are free, so that another reason weighs there, or the scheduler has not tried again).",
		},
		{
			"truth 46: the taints by name",
			stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."), fits("cpu", 2000, 1800, 4000), tainted("dedicated", "gpu", 2)),
			"None of the 3 nodes can take the pod: 2 have a taint that the pod does not tolerate (dedicated=gpu:NoSchedule); 1 has too little cpu (asked for 2, the largest free amount is 1800m on node n1; the largest node has 4 for pods).",
		},
		{
			"1.33: the taint in the message",
			stalling(evidence.Unscheduled, unfound("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.")),
			"The only node cannot take the pod: it has a taint that the pod does not tolerate (dedicated=gpu).",
		},
		{
			"an unbound claim and why",
			stalling(evidence.Unscheduled, unfound("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."), claims(evidence.Claim{Name: "data", Phase: "Pending", Events: []evidence.Event{{Reason: "FailedBinding", Message: "no persistent volumes available for this claim and no storage class is set", Last: at(20)}}}), claims(evidence.Claim{Name: "other", Phase: "Bound"})),
			"The pod cannot be scheduled: its claim data (no persistent volumes available for this claim and no storage class is set) is not bound to a volume.",
		},
		{
			"labels",
			stalling(evidence.Unscheduled, unfound("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."), changed(func(e *evidence.Evidence) { e.Pod.NodeSelector = map[string]string{"b": "2", "a": "1"} })),
			"None of the 2 nodes can take the pod: none matches the pod's node selector (a=1,b=2) or affinity.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ok := Stalled(c.e)
			if !ok {
				t.Fatal("no finding")
			}
			if d := cmp.Diff(c.want, f.Diagnosis.Summary); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestNeverFits: what a person is told to do follows from whether a node is large enough.
func TestNeverFits(t *testing.T) {
	next := func(asked evidence.Amount) string {
		f, _ := Stalled(stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient cpu."), fits("cpu", asked, 1800, 4000)))
		return fmt.Sprint(f.Diagnosis.Next)
	}
	if got := next(64000); !strings.Contains(got, "no node of today can ever take this pod") {
		t.Error(got)
	}
	if got := next(4000); strings.Contains(got, "no node of today") || !strings.Contains(got, "add nodes") {
		t.Error(got)
	}
}

func TestLasted(t *testing.T) {
	e := stalling(evidence.Preparing)
	e.AsOf = time.Time{}
	if _, known := lasted(e, t0); known {
		t.Error("now is not known, and neither is an age")
	}
	warns("FailedMount", "x", at(90))(e)
	if d, known := lasted(e, t0); !known || d != 90*time.Second {
		t.Errorf("now is the newest event: %v %v", d, known)
	}
}
