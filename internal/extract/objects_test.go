package extract_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// read reads an object from YAML.
func read[T any](t testing.TB, text string) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v
}

func asks(t testing.TB, spec string) *corev1.Pod {
	return read[corev1.Pod](t, "metadata: {name: big, uid: big}\nspec: "+spec)
}

func onNode(t testing.TB, name, node, cpu string) *corev1.Pod {
	return read[corev1.Pod](t, fmt.Sprintf("{metadata: {name: %s, uid: %s}, spec: {nodeName: %s, containers: [{name: c, resources: {requests: {cpu: %s}}}]}}", name, name, node, cpu))
}

func node(t testing.TB, name, more string) *corev1.Node {
	return read[corev1.Node](t, fmt.Sprintf("metadata: {name: %s, labels: {disk: ssd, size: \"8\"}}\nstatus: {allocatable: {cpu: \"4\", memory: 8Gi, pods: \"10\"}}\n%s", name, more))
}

func TestScheduling(t *testing.T) {
	n1, n2 := node(t, "n1", ""), node(t, "n2", "")
	tainted := node(t, "cp", `spec: {taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule, timeAdded: "2026-03-01T10:00:00Z"}, {key: soft, effect: PreferNoSchedule}]}`)
	tainted.Status.Allocatable["cpu"] = resource.MustParse("64")
	cordoned := node(t, "n3", "spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}")
	cordoned.Labels = nil
	finished := onNode(t, "done", "n1", `"4"`)
	finished.Status.Phase = corev1.PodSucceeded
	pods := []*corev1.Pod{onNode(t, "a", "n1", `"3"`), onNode(t, "b", "n2", "1500m"), onNode(t, "c", "n2", `"1"`), onNode(t, "big", "n1", `"1"`), onNode(t, "d", "gone", `"1"`), finished}
	matches := func(n int) *int { return &n }
	big := "{containers: [{name: c, resources: {requests: {cpu: 2, example.com/gpu: 1}}}]}"
	for _, tc := range []struct {
		name  string
		pod   string
		nodes []*corev1.Node
		pods  []*corev1.Pod
		want  *evidence.Scheduling
	}{
		{"amounts and taints", big, []*corev1.Node{n1, n2, tainted, cordoned}, pods, &evidence.Scheduling{
			Nodes: 4, Cordoned: 1, UsageKnown: true,
			Taints: []evidence.TaintCount{
				{Taint: evidence.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}, Nodes: 1},
				{Taint: evidence.Taint{Key: "node.kubernetes.io/unschedulable", Effect: "NoSchedule"}, Nodes: 1},
			},
			Resources: []evidence.ResourceFit{
				{Name: "cpu", Asked: 2000, LargestFree: 1500, LargestNode: "n2", LargestAllocatable: 4000},
				{Name: "example.com/gpu", Asked: 1000, LargestNode: "n1"},
				{Name: "pods", Asked: 1000, LargestFree: 9000, LargestNode: "n1", LargestAllocatable: 10000},
			},
		}},
		{"a node that is full", "{containers: [{name: c, resources: {requests: {cpu: 2}}}]}", []*corev1.Node{n1}, []*corev1.Pod{onNode(t, "a", "n1", `"5"`)}, &evidence.Scheduling{
			Nodes: 1, UsageKnown: true,
			Resources: []evidence.ResourceFit{
				{Name: "cpu", Asked: 2000, LargestFree: -1000, LargestNode: "n1", LargestAllocatable: 4000},
				{Name: "pods", Asked: 1000, LargestFree: 9000, LargestNode: "n1", LargestAllocatable: 10000},
			},
		}},
		{"usage is not known", "{}", []*corev1.Node{n1, n2}, nil, &evidence.Scheduling{
			Nodes: 2, Resources: []evidence.ResourceFit{{Name: "pods", Asked: 1000, LargestAllocatable: 10000}},
		}},
		{"tolerated", "{tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]}", []*corev1.Node{tainted}, []*corev1.Pod{}, &evidence.Scheduling{
			Nodes: 1, UsageKnown: true, Resources: []evidence.ResourceFit{{Name: "pods", Asked: 1000, LargestFree: 10000, LargestNode: "cp", LargestAllocatable: 10000}},
		}},
		{"selected", "{nodeSelector: {disk: ssd}}", []*corev1.Node{n1, n2, cordoned}, nil, &evidence.Scheduling{
			Nodes: 3, Cordoned: 1, SelectorMatches: matches(2),
			Taints:    []evidence.TaintCount{{Taint: evidence.Taint{Key: "node.kubernetes.io/unschedulable", Effect: "NoSchedule"}, Nodes: 1}},
			Resources: []evidence.ResourceFit{{Name: "pods", Asked: 1000, LargestAllocatable: 10000}},
		}},
		{"no nodes", "{nodeSelector: {disk: nvme}}", nil, []*corev1.Pod{}, &evidence.Scheduling{
			SelectorMatches: matches(0), UsageKnown: true, Resources: []evidence.ResourceFit{{Name: "pods", Asked: 1000}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := extract.Scheduling(asks(t, tc.pod), tc.nodes, tc.pods)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestNodeAffinity(t *testing.T) {
	term := func(s string) string {
		return "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + s + "]}}}}"
	}
	for _, tc := range []struct {
		spec string
		want int
	}{
		{term("{matchExpressions: [{key: disk, operator: In, values: [ssd, nvme]}]}"), 1},
		{term("{matchExpressions: [{key: disk, operator: NotIn, values: [ssd]}]}"), 0},
		{term("{matchExpressions: [{key: disk, operator: Exists}, {key: gpu, operator: DoesNotExist}]}"), 1},
		{term("{matchExpressions: [{key: gpu, operator: Exists}]}, {matchExpressions: [{key: size, operator: Gt, values: [\"7\"]}]}"), 1},
		{term("{matchExpressions: [{key: size, operator: Lt, values: [\"8\"]}]}"), 0},
		{term("{matchExpressions: [{key: disk, operator: Like, values: [ssd]}]}"), 0},
		{term("{matchExpressions: [{key: \"no key\", operator: Exists}]}"), 0},
		{term("{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}"), 1},
		{term("{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}"), 0},
		{term("{}"), 0},
		{"{nodeSelector: {disk: ssd, size: \"9\"}}", 0},
	} {
		got := extract.Scheduling(asks(t, tc.spec), []*corev1.Node{node(t, "n1", "")}, nil)
		if got.SelectorMatches == nil || *got.SelectorMatches != tc.want {
			t.Errorf("%s: %v, want %d", tc.spec, got.SelectorMatches, tc.want)
		}
	}
}

func TestTolerations(t *testing.T) {
	for _, tc := range []struct {
		toleration string
		want       bool
	}{
		{"{key: k, operator: Equal, value: \"5\", effect: NoSchedule}", true},
		{"{key: k, value: \"5\"}", true},
		{"{key: k, value: \"6\"}", false},
		{"{key: k, value: \"5\", effect: NoExecute}", false},
		{"{key: other, operator: Exists}", false},
		{"{operator: Exists}", true},
		{"{key: k, operator: Gt, value: \"4\"}", true},
		{"{key: k, operator: Gt, value: \"5\"}", false},
		{"{key: k, operator: Lt, value: \"6\"}", true},
		{"{key: k, operator: Lt, value: x}", false},
		{"{key: k, operator: Like, value: \"5\"}", false},
	} {
		n := node(t, "n1", "spec: {taints: [{key: k, value: \"5\", effect: NoSchedule}]}")
		got := extract.Scheduling(asks(t, "{tolerations: ["+tc.toleration+"]}"), []*corev1.Node{n}, nil)
		if (len(got.Taints) == 0) != tc.want {
			t.Errorf("%s: tolerated %v, want %v", tc.toleration, !tc.want, tc.want)
		}
	}
}

func TestAmountsThatDoNotFit(t *testing.T) {
	for _, tc := range []struct {
		quantity string
		want     evidence.Amount
	}{
		{"100m", 100}, {"1", 1000}, {"1500m", 1500}, {"1Ki", 1024000}, {"1u", 1}, {"9223372036854775", 9223372036854775000},
		{"9223372036854776", math.MaxInt64}, {"8Ei", math.MaxInt64}, {"1e30", math.MaxInt64}, {"-8Ei", math.MinInt64},
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"cpu": resource.MustParse(tc.quantity)}}}
		if got := extract.Pod(p).Requests["cpu"]; got != tc.want {
			t.Errorf("%s: %d, want %d", tc.quantity, got, tc.want)
		}
	}
}

func TestNode(t *testing.T) {
	n := read[corev1.Node](t, `
metadata: {name: n1, uid: u9, creationTimestamp: "2026-03-01T09:00:00Z"}
spec:
  unschedulable: true
  taints: [{key: dedicated, value: gpu, effect: NoSchedule}, {key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: "2026-03-01T10:00:00Z"}]
status:
  allocatable: {cpu: 3900m}
  nodeInfo: {bootID: b1, kubeletVersion: v1.37.1, containerRuntimeVersion: "containerd://2.4.2", operatingSystem: linux, architecture: arm64}
  conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: Kubelet stopped posting node status., lastTransitionTime: "2026-03-01T10:00:00Z"}]
`)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	want := &evidence.Node{
		Name: "n1", CreatedAt: at.Add(-time.Hour), Unschedulable: true, BootID: "b1", KubeletVersion: "v1.37.1", Runtime: "containerd://2.4.2", Platform: "linux/arm64",
		Allocatable: evidence.Resources{"cpu": 3900},
		Conditions:  []evidence.Condition{{Type: "Ready", Status: "Unknown", Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status.", Time: at}},
		Taints:      []evidence.Taint{{Key: "dedicated", Value: "gpu", Effect: "NoSchedule"}, {Key: "node.kubernetes.io/unreachable", Effect: "NoExecute", Time: at}},
	}
	if d := cmp.Diff(want, extract.Node(n, nil)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	want.EventsRead = true
	if d := cmp.Diff(want, extract.Node(n, []*corev1.Event{})); d != "" {
		t.Errorf("without events, -want +got:\n%s", d)
	}
	event := func(reason string, minute int) *corev1.Event {
		when := metav1.NewTime(at.Add(time.Duration(minute) * time.Minute))
		return &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: "n1"}, Type: "Warning", Reason: reason, Source: corev1.EventSource{Component: "kubelet"}, FirstTimestamp: when, LastTimestamp: when, Count: 1}
	}
	want.Events = []evidence.Event{
		{Type: "Warning", Reason: "Rebooted", Source: "kubelet", Object: "Node n1", First: at, Last: at, Count: 1},
		{Type: "Warning", Reason: "SystemOOM", Source: "kubelet", Object: "Node n1", First: at.Add(2 * time.Minute), Last: at.Add(2 * time.Minute), Count: 1},
	}
	if d := cmp.Diff(want, extract.Node(n, []*corev1.Event{event("SystemOOM", 2), event("Rebooted", 0)})); d != "" {
		t.Errorf("with events, -want +got:\n%s", d)
	}
}

func TestClaim(t *testing.T) {
	c := read[corev1.PersistentVolumeClaim](t, `
metadata: {name: data, deletionTimestamp: "2026-03-01T10:00:00Z"}
spec: {storageClassName: fast, volumeName: pv-1, resources: {requests: {storage: 1Gi}}}
status: {phase: Pending}
`)
	want := evidence.Claim{Name: "data", Phase: "Pending", StorageClass: "fast", Volume: "pv-1", Requested: 1 << 30 * 1000, DeletedAt: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	if d := cmp.Diff(want, extract.Claim(c, nil)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func owned(p *corev1.Pod, kind, name, uid string) *corev1.Pod {
	p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, UID: types.UID(uid), Controller: new(true)}}
	return p
}

func TestOwner(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	rs := read[appsv1.ReplicaSet](t, `
metadata:
  {name: web-1, uid: r1, deletionTimestamp: "2026-03-01T10:00:00Z", annotations: {deployment.kubernetes.io/revision: "3"}, ownerReferences: [{kind: Deployment, name: web, uid: d1, controller: true, apiVersion: apps/v1}]}
spec: {replicas: 0}
status: {replicas: 0, conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "exceeded quota", lastTransitionTime: "2026-03-01T10:00:00Z"}]}
`)
	revived := read[appsv1.ReplicaSet](t, `{metadata: {name: web-2, uid: r2, annotations: {deployment.kubernetes.io/revision: "3", deployment.kubernetes.io/revision-history: "1"}}}`)
	d := read[appsv1.Deployment](t, `
metadata: {name: web, uid: d1, annotations: {deployment.kubernetes.io/revision: "4"}}
spec: {replicas: 2}
status: {conditions: [{type: Progressing, status: "True", reason: ReplicaSetUpdated}]}
`)
	sts := read[appsv1.StatefulSet](t, `{metadata: {name: db, uid: s1}, spec: {replicas: 3}, status: {replicas: 3, updateRevision: db-7d}}`)
	ds := read[appsv1.DaemonSet](t, `{metadata: {name: agent, uid: a1, annotations: {deprecated.daemonset.template.generation: "2"}}}`)
	job := read[batchv1.Job](t, `
metadata: {name: nightly, uid: j1, ownerReferences: [{kind: CronJob, name: night, uid: c1, controller: true, apiVersion: batch/v1}]}
spec: {backoffLimit: 1, activeDeadlineSeconds: 60}
status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded}]}
`)
	labelled := func(p *corev1.Pod, k, v string) *corev1.Pod {
		p.Labels = map[string]string{k: v, "pod-template-generation": "1"}
		return p
	}
	for _, tc := range []struct {
		name        string
		pod         *corev1.Pod
		controllers []metav1.Object
		want        []evidence.Controller
	}{
		{"nobody", new(corev1.Pod), nil, nil},
		{"not read", owned(new(corev1.Pod), "ReplicaSet", "web-1", "r1"), nil, []evidence.Controller{{Kind: "ReplicaSet", Name: "web-1", UID: "r1"}}},
		{"another of its name", owned(new(corev1.Pod), "ReplicaSet", "web-1", "r0"), []metav1.Object{rs}, []evidence.Controller{{Kind: "ReplicaSet", Name: "web-1", UID: "r0"}}},
		{"rollout", owned(new(corev1.Pod), "ReplicaSet", "web-1", "r1"), []metav1.Object{rs, d}, []evidence.Controller{
			{
				Kind: "ReplicaSet", Name: "web-1", UID: "r1", Known: true, DeletedAt: at, Replicas: new(int32(0)), Revision: "3",
				Conditions: []evidence.Condition{{Type: "ReplicaFailure", Status: "True", Reason: "FailedCreate", Message: "exceeded quota", Time: at}},
			},
			{
				Kind: "Deployment", Name: "web", UID: "d1", Known: true, Replicas: new(int32(2)), Revision: "3", NewestRevision: "4",
				Conditions: []evidence.Condition{{Type: "Progressing", Status: "True", Reason: "ReplicaSetUpdated"}},
			},
		}},
		{"rolled back to", owned(new(corev1.Pod), "ReplicaSet", "web-2", "r2"), []metav1.Object{revived}, []evidence.Controller{
			{Kind: "ReplicaSet", Name: "web-2", UID: "r2", Known: true, Revision: "3", Revived: true},
		}},
		{"half read", owned(new(corev1.Pod), "Job", "nightly", "j1"), []metav1.Object{job}, []evidence.Controller{
			{
				Kind: "Job", Name: "nightly", UID: "j1", Known: true, BackoffLimit: new(int32(1)), DeadlineSeconds: new(int64(60)),
				Conditions: []evidence.Condition{{Type: "Failed", Status: "True", Reason: "BackoffLimitExceeded"}},
			},
			{Kind: "CronJob", Name: "night", UID: "c1"},
		}},
		{"stateful", labelled(owned(new(corev1.Pod), "StatefulSet", "db", "s1"), "controller-revision-hash", "db-6c"), []metav1.Object{sts}, []evidence.Controller{
			{Kind: "StatefulSet", Name: "db", UID: "s1", Known: true, Replicas: new(int32(3)), Revision: "db-6c", NewestRevision: "db-7d"},
		}},
		{"daemon", labelled(owned(new(corev1.Pod), "DaemonSet", "agent", "a1"), "controller-revision-hash", "6c"), []metav1.Object{ds}, []evidence.Controller{
			{Kind: "DaemonSet", Name: "agent", UID: "a1", Known: true, Revision: "1", NewestRevision: "2"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := extract.Owner(tc.controllers, nil, nil, tc.pod)
			if d := cmp.Diff(&evidence.Owner{Chain: tc.want}, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: at}}}
	if got := extract.Owner(nil, ns, []*corev1.Event{}, new(corev1.Pod)); !got.NamespaceDeleting.Equal(at) || !got.EventsRead {
		t.Errorf("%+v", got)
	}
}

// TestHostilePod gives a pod with as much of everything as anybody could write, and
// holds that its evidence stays small.
func TestHostilePod(t *testing.T) {
	long := strings.Repeat("größe ", 4000)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "u", Labels: map[string]string{}}}
	c := corev1.Container{Name: "api", Image: long, WorkingDir: long, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}}}
	for i := range 10_000 {
		name := fmt.Sprint("n", i)
		p.Labels[name] = long
		p.Finalizers = append(p.Finalizers, long)
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: name})
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: long}}})
		p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: long})
		c.Env = append(c.Env, corev1.EnvVar{Name: long, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: long}}})
		c.Args = append(c.Args, long)
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: long})
		c.Resources.Requests[corev1.ResourceName(name)] = resource.MustParse("1")
	}
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: c.Args}}}
	cs := corev1.ContainerStatus{Name: "api", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: long}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: long}}}
	p.Spec.Containers, p.Status.ContainerStatuses = []corev1.Container{c}, []corev1.ContainerStatus{cs}
	small := corev1.Container{Image: long, LivenessProbe: c.LivenessProbe, ReadinessProbe: c.LivenessProbe}
	for i := range 5_000 {
		small.Name, cs.Name = fmt.Sprint("c", i), fmt.Sprint("c", i)
		p.Spec.Containers, p.Status.ContainerStatuses = append(p.Spec.Containers, small), append(p.Status.ContainerStatuses, cs)
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Message: long})
	}
	ep := &detect.Episode{StallKey: record.StallKey{ContainerKey: record.ContainerKey{PodUID: "u", Type: record.App, Name: "api"}}}
	b, err := json.Marshal(extract.Stall(ep, p))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 1<<20 {
		t.Errorf("%d KiB of evidence", len(b)>>10)
	}
}

// randomPod fills a pod with anything.
func randomPod(seed int64) *corev1.Pod {
	var p corev1.Pod
	randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 4).MaxDepth(14).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(int64(c.Uint64()), resource.DecimalSI)
		},
		func(f *metav1.FieldsV1, c randfill.Continue) {},
		func(s *string, c randfill.Continue) {
			*s = []string{"", "a", "b", "é", c.String(8)}[c.Intn(5)]
		},
	).Fill(&p)
	return &p
}

// FuzzPod takes any pod that the API's decoder takes, and holds that its evidence has a
// JSON form that gives it back.
func FuzzPod(f *testing.F) {
	for seed := range int64(30) {
		b, err := randomPod(seed).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "a", byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte, name string, kind byte) {
		var p corev1.Pod
		if p.Unmarshal(data) != nil {
			return
		}
		types := []record.ContainerType{record.App, record.Init, record.Sidecar, record.Ephemeral, ""}
		key := record.ContainerKey{PodUID: string(p.UID), Type: types[int(kind)%len(types)], Name: name}
		s := &detect.Stop{ContainerKey: key, InLast: kind&8 != 0, Terminated: &detect.Terminated{}}
		ep := &detect.Episode{StallKey: record.StallKey{ContainerKey: key}, Class: evidence.Image}
		extract.Stop("c", s, &p, observed)
		extract.StallRecord(ep, &p, observed)
		extract.Scheduling(&p, []*corev1.Node{{ObjectMeta: p.ObjectMeta, Status: corev1.NodeStatus{Allocatable: p.Spec.Overhead}}}, []*corev1.Pod{&p})
		extract.Owner([]metav1.Object{&p}, nil, nil, &p)
		for _, e := range []evidence.Evidence{extract.Evidence(s, &p), extract.Stall(ep, &p), extract.Bare(&p)} {
			if _, err := json.Marshal(e); err != nil {
				t.Fatal(err)
			}
		}
	})
}
