package extract

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// container collects the facts of one container. Whole tells that it is the one that the
// evidence is about; of the others, what nobody asks for is left out.
func container(pod *corev1.Pod, t record.ContainerType, name string, whole bool) evidence.Container {
	e := evidence.Container{Name: name, Type: t}
	if c := spec(pod, t, name); c != nil {
		addSpec(&e, pod, c, whole)
	}
	if cs := status(pod, t, name); cs != nil {
		most := maxMessage
		if !whole {
			most = maxCommand
		}
		addStatus(&e, cs, most)
	}
	return e
}

func addSpec(e *evidence.Container, pod *corev1.Pod, c *corev1.Container, whole bool) {
	e.Image, e.ImagePullPolicy = clipTo(c.Image, maxCommand), string(c.ImagePullPolicy)
	if c.RestartPolicy != nil {
		e.RestartPolicy = string(*c.RestartPolicy)
	}
	for _, rule := range bounded(c.RestartPolicyRules) {
		e.RestartRules = append(e.RestartRules, restartRule(rule))
	}
	e.Liveness, e.Readiness, e.Startup = probe(c, c.LivenessProbe), probe(c, c.ReadinessProbe), probe(c, c.StartupProbe)
	if l := c.Lifecycle; l != nil {
		e.PostStart, e.PreStop = hook(c, l.PostStart), hook(c, l.PreStop)
	}
	e.MemoryLimit = c.Resources.Limits.Memory().Value()
	e.Requests, e.Limits = resources(c.Resources.Requests), resources(c.Resources.Limits)
	if !whole {
		return
	}
	e.Command, e.Args, e.WorkingDir = words(c.Command), words(c.Args), clipTo(c.WorkingDir, maxCommand)
	if s := pod.Spec.SecurityContext; s != nil {
		e.RunAsUser, e.RunAsNonRoot = s.RunAsUser, s.RunAsNonRoot
	}
	if s := c.SecurityContext; s != nil {
		e.RunAsUser, e.RunAsNonRoot = cmp.Or(s.RunAsUser, e.RunAsUser), cmp.Or(s.RunAsNonRoot, e.RunAsNonRoot)
	}
	e.References = references(c)
	for _, m := range bounded(c.VolumeMounts) {
		e.Mounts = append(e.Mounts, evidence.Mount{
			Volume: m.Name, Path: clipTo(m.MountPath, maxCommand), SubPath: clipTo(cmp.Or(m.SubPath, m.SubPathExpr), maxCommand), ReadOnly: m.ReadOnly,
		})
	}
}

// references returns the ConfigMaps and Secrets that the environment of a container names,
// first those of envFrom, as the kubelet reads them (kubelet_pods.go makeEnvironmentVariables).
func references(c *corev1.Container) []evidence.Reference {
	var out []evidence.Reference
	ref := func(kind, name, key, variable string, optional *bool) {
		if len(out) < maxList {
			out = append(out, evidence.Reference{
				Kind: kind, Name: clipTo(name, maxCommand), Key: clipTo(key, maxCommand), Variable: clipTo(variable, maxCommand), Optional: optional != nil && *optional,
			})
		}
	}
	for _, f := range c.EnvFrom {
		if r := f.ConfigMapRef; r != nil {
			ref("ConfigMap", r.Name, "", "", r.Optional)
		}
		if r := f.SecretRef; r != nil {
			ref("Secret", r.Name, "", "", r.Optional)
		}
	}
	for i := range c.Env {
		from := c.Env[i].ValueFrom
		if from == nil {
			continue
		}
		if r := from.ConfigMapKeyRef; r != nil {
			ref("ConfigMap", r.Name, r.Key, c.Env[i].Name, r.Optional)
		}
		if r := from.SecretKeyRef; r != nil {
			ref("Secret", r.Name, r.Key, c.Env[i].Name, r.Optional)
		}
	}
	return out
}

// addStatus adds a status, with messages of at most so many bytes.
func addStatus(e *evidence.Container, cs *corev1.ContainerStatus, most int) {
	e.RestartCount, e.Ready = int(cs.RestartCount), cs.Ready
	e.Started = cs.Started != nil && *cs.Started
	switch {
	case cs.State.Running != nil:
		e.State, e.RunningSince = "running", detect.KnownTime(cs.State.Running.StartedAt.Time)
	case cs.State.Terminated != nil:
		e.State = "terminated"
	default:
		e.State = "waiting" // which is what no state at all means
	}
	if w := cs.State.Waiting; w != nil {
		e.WaitingReason, e.WaitingMessage = clipTo(w.Reason, maxCommand), clipTo(w.Message, most)
	}
	e.Ended, e.LastEnded = ended(cs.State.Terminated, most), ended(cs.LastTerminationState.Terminated, most)
}

func ended(t *corev1.ContainerStateTerminated, most int) *evidence.Ended {
	if t == nil {
		return nil
	}
	return &evidence.Ended{
		ExitCode: t.ExitCode, Reason: clipTo(t.Reason, maxCommand), Message: clipTo(t.Message, most), ContainerID: clipTo(t.ContainerID, maxCommand),
		StartedAt: detect.KnownTime(t.StartedAt.Time), FinishedAt: detect.KnownTime(t.FinishedAt.Time),
	}
}

func restartRule(r corev1.ContainerRestartRule) evidence.RestartRule {
	out := evidence.RestartRule{Action: string(r.Action)}
	if r.ExitCodes != nil {
		out.Operator, out.ExitCodes = string(r.ExitCodes.Operator), bounded(r.ExitCodes.Values)
	}
	return out
}

// probe returns a probe with the defaults of the API (pkg/apis/core/v1/defaults.go SetDefaults_Probe).
func probe(c *corev1.Container, p *corev1.Probe) *evidence.Probe {
	if p == nil {
		return nil
	}
	out := &evidence.Probe{
		InitialDelaySeconds: p.InitialDelaySeconds,
		PeriodSeconds:       cmp.Or(p.PeriodSeconds, 10),
		TimeoutSeconds:      cmp.Or(p.TimeoutSeconds, 1),
		FailureThreshold:    cmp.Or(p.FailureThreshold, 3),
	}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		out.GraceSeconds = *g
	}
	switch {
	case p.HTTPGet != nil:
		out.Kind, out.Target = "httpGet", httpTarget(c, p.HTTPGet)
	case p.TCPSocket != nil:
		out.Kind, out.Target = "tcpSocket", p.TCPSocket.Host+port(c, p.TCPSocket.Port)
	case p.GRPC != nil:
		out.Kind, out.Target = "grpc", fmt.Sprintf(":%d", p.GRPC.Port)
		if s := p.GRPC.Service; s != nil && *s != "" {
			out.Target += " " + *s
		}
	case p.Exec != nil:
		out.Kind, out.Target = "exec", strings.Join(words(p.Exec.Command), " ")
	}
	out.Target = clipTo(out.Target, maxCommand)
	return out
}

func hook(c *corev1.Container, h *corev1.LifecycleHandler) *evidence.Hook {
	if h == nil {
		return nil
	}
	out := &evidence.Hook{}
	switch {
	case h.Exec != nil:
		out.Kind, out.Target = "exec", strings.Join(words(h.Exec.Command), " ")
	case h.HTTPGet != nil:
		out.Kind, out.Target = "httpGet", httpTarget(c, h.HTTPGet)
	case h.TCPSocket != nil:
		out.Kind, out.Target = "tcpSocket", h.TCPSocket.Host+port(c, h.TCPSocket.Port)
	case h.Sleep != nil:
		out.Kind, out.Target = "sleep", fmt.Sprintf("%d s", h.Sleep.Seconds)
	}
	out.Target = clipTo(out.Target, maxCommand)
	return out
}

func httpTarget(c *corev1.Container, h *corev1.HTTPGetAction) string {
	scheme := ""
	if h.Scheme == corev1.URISchemeHTTPS {
		scheme = "https://"
	}
	path := cmp.Or(h.Path, "/")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return "GET " + scheme + h.Host + port(c, h.Port) + path
}

// port returns a port with a colon; that of a name is looked up in the container's ports.
func port(c *corev1.Container, p intstr.IntOrString) string {
	if p.Type == intstr.String {
		for i := range c.Ports {
			if c.Ports[i].Name == p.StrVal {
				return fmt.Sprintf(":%d", c.Ports[i].ContainerPort)
			}
		}
	}
	return ":" + p.String()
}

// others returns the pod's containers but for one, init ones first.
func others(pod *corev1.Pod, but record.ContainerType, name string) []evidence.Container {
	return containers(pod, but, name, false)
}

func containers(pod *corev1.Pod, but record.ContainerType, name string, whole bool) []evidence.Container {
	var out []evidence.Container
	most := othersOf(len(pod.Spec.InitContainers) + len(pod.Spec.Containers) + len(pod.Spec.EphemeralContainers))
	add := func(t record.ContainerType, n string) {
		if len(out) < most && (t != but || n != name) {
			out = append(out, container(pod, t, n, whole))
		}
	}
	for i := range pod.Spec.InitContainers {
		add(initType(&pod.Spec.InitContainers[i]), pod.Spec.InitContainers[i].Name)
	}
	for i := range pod.Spec.Containers {
		add(record.App, pod.Spec.Containers[i].Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		add(record.Ephemeral, pod.Spec.EphemeralContainers[i].Name)
	}
	return out
}
