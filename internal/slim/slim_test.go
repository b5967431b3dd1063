package slim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/slim"
)

// randomPods fills pods so that what the view looks at is met often: the reasons,
// policies and phases that mean something, and init containers that have a status.
func randomPods(seed int64) *randfill.Filler {
	return randfill.NewWithSeed(seed).NilChance(0.4).NumElements(0, 3).MaxDepth(12).Funcs(
		func(t *metav1.Time, c randfill.Continue) {
			switch c.Intn(6) {
			case 5:
				*t = metav1.Unix(oneOf[int64](c, 253402300799, 1<<32-1)+c.Int63n(2), 0)
			case 0:
				*t = metav1.Time{}
			case 1:
				*t = metav1.Unix(0, 0)
			case 2:
				*t = metav1.Unix(-c.Int63n(1e10), 0)
			default:
				*t = metav1.Unix(c.Int63n(4e9), 0)
			}
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(c.Int63n(1e9), resource.DecimalSI)
		},
		func(f *metav1.FieldsV1, c randfill.Continue) { f.SetRawString(`{"f:x":{}}`) },
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			m.ResourceVersion = oneOf(c, m.ResourceVersion, fmt.Sprint(c.Uint64()), "0", "007", "18446744073709551616")
		},
		func(p *corev1.PodStatus, c randfill.Continue) {
			c.FillNoCustom(p)
			p.Phase = oneOf(c, p.Phase, corev1.PodFailed, corev1.PodSucceeded, corev1.PodRunning)
			p.Message = oneOf(c, p.Message, "Pod was rejected: Node didn't have enough resource: cpu", "Pod was rejected")
		},
		func(p *corev1.PodSpec, c randfill.Continue) {
			c.FillNoCustom(p)
			p.RestartPolicy = oneOf(c, p.RestartPolicy, corev1.RestartPolicyAlways, corev1.RestartPolicyNever)
		},
		func(p *corev1.PodCondition, c randfill.Continue) {
			c.FillNoCustom(p)
			p.Type = oneOf(c, p.Type, corev1.PodScheduled, corev1.PodInitialized, corev1.PodReady)
			p.Status = oneOf(c, p.Status, corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown)
		},
		func(r *corev1.Container, c randfill.Continue) {
			c.FillNoCustom(r)
			r.Name = oneOf(c, r.Name, "a", "b", "")
			if r.RestartPolicy != nil {
				*r.RestartPolicy = oneOf(c, *r.RestartPolicy, corev1.ContainerRestartPolicyAlways, "Never")
			}
		},
		func(s *corev1.ContainerStatus, c randfill.Continue) {
			c.FillNoCustom(s)
			s.Name = oneOf(c, s.Name, "a", "b", "")
		},
		func(w *corev1.ContainerStateWaiting, c randfill.Continue) {
			c.FillNoCustom(w)
			w.Reason = oneOf(c, w.Reason, "CrashLoopBackOff", "ContainerCreating", "PodInitializing", "ImagePullBackOff", "ErrImagePull")
			w.Message = oneOf(c, w.Message, "Back-off pulling image \"a\"", "Back-off pulling image \"a\": ErrImagePull: not found")
		},
	)
}

func oneOf[T any](c randfill.Continue, v ...T) T { return v[c.Intn(len(v))] }

func randomPod(t *rapid.T, label string) *corev1.Pod {
	var p corev1.Pod
	randomPods(rapid.Int64().Draw(t, label)).Fill(&p)
	return &p
}

func marshal(t testing.TB, p *corev1.Pod) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full is the reference: the decoder that client-go uses.
func full(data []byte) (*slim.Pod, error) {
	var p corev1.Pod
	if err := p.Unmarshal(data); err != nil {
		return nil, err
	}
	return &slim.Pod{View: detect.FromPod(&p), ResourceVersion: p.ResourceVersion}, nil
}

func same(t rapid.TB, data []byte) {
	t.Helper()
	want, err := full(data)
	if err != nil {
		t.Fatalf("reference: %v", err)
	}
	got := new(slim.Pod)
	if err := got.Unmarshal(data); err != nil {
		t.Fatalf("slim: %v", err)
	}
	got.InitialEventsEnd = false
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("differs from the full decoder (-full +slim):\n%s", d)
	}
}

func TestEqualsFullDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := randomPod(t, "seed").Marshal()
		if err != nil {
			t.Fatal(err)
		}
		same(t, data)
	})
}

// TestEqualsFullDecoderInPieces gives the same fields in other orders, twice, and
// with fields between them that no version knows. One message after another is, in
// protobuf, the two merged.
func TestEqualsFullDecoderInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for i := range rapid.IntRange(1, 3).Draw(t, "messages") {
			b, err := randomPod(t, fmt.Sprint("seed", i)).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, b...)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 0))
		same(t, shuffle(r, data, podShape()))
	})
}

// shape tells which fields of a message are messages to be taken apart as well.
type shape map[protowire.Number]shape

func podShape() shape {
	state := shape{1: {}, 2: {1: {}}, 3: {5: {}, 6: {}}}
	status := shape{2: state, 3: state}
	return shape{1: {}, 2: {20: {}}, 3: {2: {}, 8: status, 10: status, 13: status}}
}

// shuffle reorders the fields of a message, splits some embedded messages in two,
// repeats some fields and adds unknown ones.
func shuffle(r *rand.Rand, data []byte, s shape) []byte {
	var parts [][]byte
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		m := protowire.ConsumeFieldValue(num, typ, data[n:])
		value := data[n : n+m]
		data = data[n+m:]
		sub, ok := s[num]
		if !ok || typ != protowire.BytesType {
			parts = append(parts, protowire.AppendVarint(nil, protowire.EncodeTag(num, typ)))
			parts[len(parts)-1] = append(parts[len(parts)-1], value...)
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		inner = shuffle(r, inner, sub)
		for _, piece := range split(r, inner) {
			b := protowire.AppendTag(nil, num, protowire.BytesType)
			parts = append(parts, protowire.AppendBytes(b, piece))
		}
	}
	for range r.IntN(3) {
		parts = append(parts, unknown(r))
	}
	if len(parts) > 0 && r.IntN(3) == 0 {
		parts = append(parts, parts[r.IntN(len(parts))])
	}
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return bytes.Join(parts, nil)
}

// split cuts a message between two of its fields, now and then.
func split(r *rand.Rand, data []byte) [][]byte {
	if r.IntN(3) != 0 {
		return [][]byte{data}
	}
	cut := 0
	for rest := data; len(rest) > 0 && r.IntN(3) != 0; rest = data[cut:] {
		_, _, n := protowire.ConsumeField(rest)
		cut += n
	}
	return [][]byte{data[:cut], data[cut:]}
}

func unknown(r *rand.Rand) []byte {
	num := protowire.Number(2000 + r.IntN(1000))
	switch r.IntN(5) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), r.Uint64())
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), r.Uint32())
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), r.Uint64())
	case 3:
		b := protowire.AppendTag(nil, num, protowire.StartGroupType)
		b = append(b, unknown(r)...)
		return protowire.AppendTag(b, num, protowire.EndGroupType)
	default:
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), make([]byte, r.IntN(300)))
	}
}

func TestDecode(t *testing.T) {
	at := metav1.Unix(1700000000, 0)
	always := corev1.ContainerRestartPolicyAlways
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1", UID: "u1", ResourceVersion: "42", DeletionTimestamp: &at, CreationTimestamp: metav1.Unix(1600000000, 0)},
		Spec: corev1.PodSpec{
			NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, SchedulingGates: []corev1.PodSchedulingGate{{Name: "quota"}},
			InitContainers: []corev1.Container{{Name: "migrate"}, {Name: "proxy", RestartPolicy: &always}},
			Containers:     []corev1.Container{{Name: "api"}},
		},
		Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at, Reason: "x"},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "r", Message: "m"},
				{Type: corev1.ContainersReady, Status: corev1.ConditionFalse},
			},
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "migrate"}, {Name: "proxy", Ready: true, Started: new(true)}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "api", RestartCount: 7, ContainerID: "containerd://new",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: -1, Reason: "Error", Message: "boom", StartedAt: metav1.Unix(0, 0), FinishedAt: at, ContainerID: "containerd://old",
				}},
			}},
			EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debug", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}}},
		},
	}
	want := detect.Pod{
		UID: "u1", Namespace: "shop", Name: "checkout-1", ResourceVersion: 42, Deleting: true,
		Assigned: true, Gated: true, Restarts: true, CreatedAt: 1600000000, DeletionTimestamp: 1700000000,
		Scheduled: detect.Condition{Status: detect.True, Since: 1700000000},
		Ready:     detect.NewCondition("False", "r", "m", time.Time{}),
		Containers: []detect.Container{
			{Name: "migrate", Type: record.Init},
			{Name: "proxy", Type: record.Sidecar, Ready: true, Started: true},
			{Name: "api", Type: record.App, RestartCount: 7, ContainerID: "containerd://new", BackOff: true, Waiting: "CrashLoopBackOff", WaitingSum: detect.WaitingSum("", "back-off"), Last: &detect.Terminated{
				ContainerID: "containerd://old", ExitCode: -1, Reason: "Error",
				FinishedAt: time.Unix(1700000000, 0).UTC(), MessageSum: detect.Sum64("boom"),
			}},
			{Name: "debug", Type: record.Ephemeral, Running: true, StartedAt: 1700000000},
		},
	}
	var got detect.Pod
	if err := slim.Decode(marshal(t, p), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestInitialEventsEnd(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9", Annotations: map[string]string{"a": "b"}}}
	for _, want := range []bool{false, true} {
		if want {
			p.Annotations[metav1.InitialEventsAnnotationKey] = "true"
		}
		var got slim.Pod
		if err := got.Unmarshal(marshal(t, p)); err != nil {
			t.Fatal(err)
		}
		if got.InitialEventsEnd != want || got.ResourceVersion != "9" {
			t.Errorf("got %+v, want InitialEventsEnd %v", got, want)
		}
	}
}

func TestDecodeReplaces(t *testing.T) {
	p := detect.Pod{Name: "old", Deleting: true, Containers: make([]detect.Container, 3)}
	if err := slim.Decode(nil, &p); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(detect.Pod{}, p); d != "" {
		t.Errorf("something of the old pod remains:\n%s", d)
	}
}

func TestDecodeKeepsNothingOfTheBytes(t *testing.T) {
	data := marshal(t, realisticPod())
	var p detect.Pod
	if err := slim.Decode(data, &p); err != nil {
		t.Fatal(err)
	}
	want, _ := full(data)
	clear(data)
	if d := cmp.Diff(want.View, p); d != "" {
		t.Errorf("changed with the bytes (-want +got):\n%s", d)
	}
}

func TestDecodeRefuses(t *testing.T) {
	huge := protowire.AppendVarint([]byte{0x0a}, 1<<62)
	for name, data := range map[string][]byte{
		"cut tag":            {0x80},
		"cut length":         {0x0a},
		"length past end":    {0x0a, 5, 1},
		"huge length":        huge,
		"negative length":    protowire.AppendVarint([]byte{0x0a}, 1<<63),
		"varint too long":    {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"field zero":         {0x02, 0},
		"end group":          {0x0c},
		"open group":         {0x0b, 0x08, 1},
		"unknown wire type":  {0x0e},
		"metadata as varint": {0x08, 1},
		"name as varint":     {0x0a, 2, 0x08, 1},
		"cut fixed64":        {0x79, 1, 2},
		"not protobuf":       []byte(`{"kind":"Pod"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var p detect.Pod
			if err := slim.Decode(data, &p); err == nil {
				t.Errorf("no error; got %+v", p)
			}
		})
	}
}

// TestDecodePrefixes cuts a pod everywhere: the slim decoder must see it wherever
// the full one does, unless the cut is inside something it skips.
func TestDecodePrefixes(t *testing.T) {
	data := marshal(t, realisticPod())
	for i := range data {
		if _, err := full(data[:i]); err == nil {
			same(t, data[:i])
			continue
		}
		var p detect.Pod
		if err := slim.Decode(data[:i], &p); err == nil {
			t.Fatalf("no error for the first %d bytes", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(marshal(f, realisticPod()))
	for seed := range int64(8) {
		var p corev1.Pod
		randomPods(seed).Fill(&p)
		data := marshal(f, &p)
		f.Add(data)
		f.Add(shuffle(rand.New(rand.NewPCG(uint64(seed), 0)), data, podShape()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got slim.Pod
		err := got.Unmarshal(data)
		want, fullErr := full(data)
		if fullErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("slim refuses what the full decoder takes: %v", err)
		}
		got.InitialEventsEnd = false
		if d := cmp.Diff(want, &got); d != "" {
			t.Errorf("differs from the full decoder (-full +slim):\n%s", d)
		}
	})
}

// realisticPod is about 8 KB on the wire, as a pod of a Deployment with a sidecar,
// probes, injected settings and managed fields is.
func realisticPod() *corev1.Pod {
	at := metav1.Unix(1700000000, 0)
	always := corev1.ContainerRestartPolicyAlways
	limits := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("512Mi")}
	container := func(name string) corev1.Container {
		c := corev1.Container{
			Name: name, Image: "registry.example.com/shop/" + name + ":v1.24.3", ImagePullPolicy: corev1.PullIfNotPresent,
			Resources:     corev1.ResourceRequirements{Limits: limits, Requests: limits},
			Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
			VolumeMounts:  []corev1.VolumeMount{{Name: "config", MountPath: "/etc/" + name}, {Name: "kube-api-access-x7k2p", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
			LivenessProbe: &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 3, TimeoutSeconds: 1, SuccessThreshold: 1},
		}
		for i := range 30 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SHOP_%s_SETTING_%d", strings.ToUpper(name), i), Value: strings.Repeat("v", 24)})
		}
		return c
	}
	status := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{
			Name: name, Ready: true, Image: "registry.example.com/shop/" + name + ":v1.24.3",
			ImageID:     "registry.example.com/shop/" + name + "@sha256:" + strings.Repeat("a", 64),
			ContainerID: "containerd://" + strings.Repeat("b", 64), RestartCount: 3,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
		}
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "checkout-6d4cf56db6-x7k2p", GenerateName: "checkout-6d4cf56db6-", UID: "0b8a7c66-2a3c-4e43-9a43-6f7f5d0d7c11",
			ResourceVersion: "184467440", CreationTimestamp: at,
			Labels:      map[string]string{"app": "checkout", "pod-template-hash": "6d4cf56db6", "app.kubernetes.io/part-of": "shop"},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "checksum/config": strings.Repeat("c", 64)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "checkout-6d4cf56db6",
				UID: "7d1c8c66-2a3c-4e43-9a43-6f7f5d0d7c12"}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-17", ServiceAccountName: "checkout", RestartPolicy: corev1.RestartPolicyAlways,
			InitContainers: []corev1.Container{container("proxy")},
			Containers:     []corev1.Container{container("api")},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
				{Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, HostIP: "10.0.0.17", PodIP: "10.1.7.23", StartTime: &at,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at},
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}},
			InitContainerStatuses: []corev1.ContainerStatus{status("proxy")},
			ContainerStatuses:     []corev1.ContainerStatus{status("api")},
		},
	}
	p.Spec.InitContainers[0].RestartPolicy = &always
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "OOMKilled", StartedAt: at, FinishedAt: at, ContainerID: "containerd://" + strings.Repeat("d", 64),
	}
	for _, manager := range []string{"kube-controller-manager", "kubelet"} {
		var fields metav1.FieldsV1
		fields.SetRawString("{" + strings.Repeat(`"f:metadata":{"f:annotations":{".":{},"f:checksum/config":{}}},`, 22) + `"f:x":{}}`)
		p.ManagedFields = append(p.ManagedFields, metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &at, FieldsType: "FieldsV1", FieldsV1: &fields,
		})
	}
	return p
}

func TestRealisticPodHasTheSizeItClaims(t *testing.T) {
	if n := len(marshal(t, realisticPod())); n < 7500 || n > 9000 {
		t.Errorf("%d bytes", n)
	}
}

// healthyPod is a realistic pod of which nothing ever stopped: most of the stream.
func healthyPod() *corev1.Pod {
	p := realisticPod()
	for _, s := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range s {
			s[i].LastTerminationState = corev1.ContainerState{}
		}
	}
	return p
}

func BenchmarkDecode(b *testing.B) {
	for _, pod := range []struct {
		name string
		pod  *corev1.Pod
	}{{"healthy", healthyPod()}, {"restarted", realisticPod()}} {
		data := marshal(b, pod.pod)
		text, err := json.Marshal(pod.pod)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("pod="+pod.name+"/decoder=slim", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var p slim.Pod
				if err := p.Unmarshal(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("pod="+pod.name+"/decoder=full", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := full(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("pod="+pod.name+"/decoder=json", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var p corev1.Pod
				if err := json.NewDecoder(bytes.NewReader(text)).Decode(&p); err != nil && err != io.EOF {
					b.Fatal(err)
				}
				_ = detect.FromPod(&p)
			}
		})
	}
}
