package storm

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// nodes is how many there are.
const nodes = 50

func node(name string) *corev1.Node {
	return &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: uidOf("node", name)},
		Status: corev1.NodeStatus{
			NodeInfo:   corev1.NodeSystemInfo{BootID: string(uidOf("boot", name)), KubeletVersion: "v1.34.0"},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}},
		},
	}
}

// uidOf is a UID of a kind of object and its name.
func uidOf(kind, name string) types.UID {
	h := fnv.New64a()
	_, _ = h.Write([]byte(kind + "/" + name))
	v := h.Sum64()
	return types.UID(fmt.Sprintf("%08x-%04x-4%03x-a000-%012x", uint32(v), uint16(v>>32), v>>52, v&0xffffffffffff))
}

// replica is one pod of a workload, with what its containers did so far.
type replica struct {
	n        int
	restarts []int32 // by container
	message  string
	extra    map[string]string // annotations
}

const perWorkload = 20

// pod returns the pod as the API has it, about 8 KiB: all containers of it terminated, or all running
// after their restarts.
func (r *replica) pod(terminated bool, at time.Time) *corev1.Pod {
	w := fmt.Sprintf("service-%d", r.n/perWorkload)
	name := fmt.Sprintf("%s-6c5d8f7b9d-%05d", w, r.n)
	uid := uidOf("pod", name)
	ready := corev1.ConditionTrue
	if terminated {
		ready = corev1.ConditionFalse
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("team-%d", r.n/perWorkload%25), Name: name, UID: uid, GenerateName: w + "-6c5d8f7b9d-",
			CreationTimestamp: metav1.NewTime(at.Add(-time.Hour)),
			Labels:            map[string]string{"app.kubernetes.io/name": w, "pod-template-hash": "6c5d8f7b9d", "team": "x"},
			Annotations:       r.extra,
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w + "-6c5d8f7b9d", UID: uidOf("rs", w), Controller: new(true)}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1", Time: &metav1.Time{Time: at}, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{` + strings.Repeat(`"f:labels":{".":{}},`, 80) + `"f:x":{}}}`)},
				{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Subresource: "status", FieldsType: "FieldsV1", Time: &metav1.Time{Time: at}, FieldsV1: metav1.NewFieldsV1(`{"f:status":{` + strings.Repeat(`"f:conditions":{".":{}},`, 80) + `"f:x":{}}}`)},
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, NodeName: fmt.Sprintf("node-%d", r.n%nodes), ServiceAccountName: "default",
			TerminationGracePeriodSeconds: new(int64(30)),
			Volumes:                       []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: w}}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", HostIP: "192.168.0.1", StartTime: &metav1.Time{Time: at.Add(-time.Hour)},
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Add(-time.Hour))},
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Add(-time.Hour))},
				{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.NewTime(at)},
			},
		},
	}
	for i, restarts := range r.restarts {
		c := fmt.Sprintf("c%d", i)
		spec := corev1.Container{
			Name: c, Image: "registry.example.com/shop/" + w + ":v1.24.3", ImagePullPolicy: corev1.PullIfNotPresent,
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}},
		}
		if len(r.restarts) < 100 {
			for e := range 20 {
				spec.Env = append(spec.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_NUMBER_%d", e), Value: "http://some-service.some-namespace.svc.cluster.local:8080/v1"})
			}
		}
		p.Spec.Containers = append(p.Spec.Containers, spec)
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, r.status(c, spec.Image, uid, restarts, terminated, at))
	}
	return p
}

func (r *replica) status(c, image string, uid types.UID, restarts int32, terminated bool, at time.Time) corev1.ContainerStatus {
	id := func(n int32) string {
		return fmt.Sprintf("containerd://%s%s%08x", strings.ReplaceAll(string(uid), "-", ""), c, n)
	}
	ended := func(n int32) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", Message: r.message, ContainerID: id(n),
			StartedAt: metav1.NewTime(at.Add(-2 * time.Second)), FinishedAt: metav1.NewTime(at.Add(-time.Second)),
		}
	}
	s := corev1.ContainerStatus{Name: c, Image: image, ImageID: image + "@sha256:0011", RestartCount: restarts, ContainerID: id(restarts)}
	if terminated {
		s.State.Terminated = ended(restarts)
	} else {
		s.State.Running, s.Ready = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}, true
	}
	if restarts > 0 {
		s.LastTerminationState.Terminated = ended(restarts - 1)
	}
	return s
}
