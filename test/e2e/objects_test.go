//go:build e2e

package e2e

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	misbehaveImage = "whyrestart.test/misbehave:1"
	busyboxImage   = "whyrestart.test/busybox:1"
	pauseImage     = "whyrestart.test/pause:1"
	// strangerImage is that of misbehave with a user that its passwd file does not have.
	strangerImage = "whyrestart.test/stranger:1"

	// closingTaint keeps the pods of one scenario from the node, clearingTaint evicts those
	// of another.
	closingTaint  = "whyrestart.test/closed"
	clearingTaint = "whyrestart.test/cleared"

	// scratch is an emptyDir that every container of newPod has; it outlives restarts.
	scratch = "/scratch"
	// attemptPrefix begins the line by which an instance says which one it is.
	attemptPrefix = "attempt="
)

// attempt is the line that the instance with an ordinal prints, see counted.
func attempt(ordinal int) string { return fmt.Sprintf("%s%d", attemptPrefix, ordinal) }

// newPod returns a pod that ends fast and needs no DNS.
func newPod(name string, containers ...corev1.Container) *corev1.Pod {
	grace := int64(1)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			DNSPolicy:                     corev1.DNSDefault,
			Volumes:                       []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Containers:                    containers,
			// One scenario closes the node or clears it by a taint; that is to be no concern of others.
			Tolerations: []corev1.Toleration{
				{Key: closingTaint, Operator: corev1.TolerationOpExists},
				{Key: clearingTaint, Operator: corev1.TolerationOpExists},
				{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists},
			},
		},
	}
	return p
}

// withInit adds init containers to a pod.
func withInit(p *corev1.Pod, init ...corev1.Container) *corev1.Pod {
	p.Spec.InitContainers = append(p.Spec.InitContainers, init...)
	return p
}

// intolerant makes a pod one that tolerates no taint of the node.
func intolerant(p *corev1.Pod) *corev1.Pod {
	p.Spec.Tolerations = nil
	return p
}

// policy sets the restart policy of a pod.
func policy(p *corev1.Pod, restart corev1.RestartPolicy) *corev1.Pod {
	p.Spec.RestartPolicy = restart
	return p
}

// graceful sets the grace period of a pod.
func graceful(p *corev1.Pod, seconds int64) *corev1.Pod {
	p.Spec.TerminationGracePeriodSeconds = &seconds
	return p
}

// misbehave returns a container that runs the verbs of the image of that name.
func misbehave(name string, verbs ...string) corev1.Container {
	return corev1.Container{
		Name: name, Image: misbehaveImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: verbs,
		VolumeMounts: []corev1.VolumeMount{{Name: "scratch", MountPath: scratch}},
	}
}

// steady returns a container that runs until it is told to end, and then ends as well-behaved
// programs do.
func steady(name string) corev1.Container { return misbehave(name, "term-exit", "0", "forever") }

// shell returns a container that runs a script.
func shell(name, script string) corev1.Container {
	c := misbehave(name)
	c.Image, c.Args, c.Command = busyboxImage, nil, []string{"sh", "-c", script}
	return c
}

// counted returns a container that prints which of its instances it is, see attempt, and
// goes on with a script.
func counted(name, script string) corev1.Container {
	file := scratch + "/" + name
	return shell(name, fmt.Sprintf(`n=$(cat %[1]s 2>/dev/null || echo 0); echo $((n+1)) >%[1]s; echo "%[2]s$n"; %[3]s`, file, attemptPrefix, script))
}

// sidecar makes a container one that starts before the regular ones and is restarted.
func sidecar(c corev1.Container) corev1.Container {
	always := corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

// limited gives a container a memory limit.
func limited(c corev1.Container, memory string) corev1.Container {
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: quantity(memory)}
	return c
}

// httpProbe asks /healthz each second and fails at once.
func httpProbe(port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(port)}},
		PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2,
	}
}

func template(p *corev1.Pod) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}
}

func selector(p *corev1.Pod) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: p.Labels}
}

func deployment(p *corev1.Pod, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector(p), Template: template(p)},
	}
}

func statefulSet(p *corev1.Pod, replicas int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selector(p), Template: template(p), ServiceName: p.Name},
	}
}

func job(p *corev1.Pod, backoffLimit int32) *batchv1.Job {
	p = policy(p, corev1.RestartPolicyNever)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       batchv1.JobSpec{BackoffLimit: &backoffLimit, Template: corev1.PodTemplateSpec{Spec: p.Spec}},
	}
}
