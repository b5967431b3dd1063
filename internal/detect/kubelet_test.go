package detect

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// modelKubelet plays one pod as a kubelet and its runtime do, as far as container
// statuses depend on it, and knows what really ended. See status.go for the sources.
type modelKubelet struct {
	// monotone is the behaviour of 1.36 and later: the count never falls while the
	// kubelet has the old status.
	monotone   bool
	pod        *corev1.Pod
	containers []*modelContainer
	clock      time.Time
	version    int
	ids        int
}

type modelContainer struct {
	name  string
	init  bool
	again bool // is restarted after any exit
	// runtime lists the instances that the runtime knows, oldest first.
	runtime []*modelInstance
	waiting string // the reason cache
	old     *corev1.ContainerStatus
	maxLog  int // newest attempt in the log directory, -1 for none
	// started and ended are the truth.
	started, ended int
}

type modelInstance struct {
	id       string
	attempt  int
	state    string // created, running, exited, unknown
	exit     int32
	reason   string
	from, to time.Time
}

func newModel(uid string, monotone bool, names ...string) *modelKubelet {
	k := &modelKubelet{
		monotone: monotone,
		clock:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "pod-" + uid, Namespace: "ns", UID: types.UID(uid)},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		},
	}
	always := corev1.ContainerRestartPolicyAlways
	for _, name := range names {
		c := &modelContainer{name: name, maxLog: -1, again: true}
		switch name {
		case "sidecar":
			c.init = true
			k.pod.Spec.InitContainers = append(k.pod.Spec.InitContainers, corev1.Container{Name: name, RestartPolicy: &always})
		case "init":
			c.init, c.again = true, false
			k.pod.Spec.InitContainers = append(k.pod.Spec.InitContainers, corev1.Container{Name: name})
		default:
			k.pod.Spec.Containers = append(k.pod.Spec.Containers, corev1.Container{Name: name})
		}
		k.containers = append(k.containers, c)
	}
	return k
}

func (c *modelContainer) newest() *modelInstance {
	if len(c.runtime) == 0 {
		return nil
	}
	return c.runtime[len(c.runtime)-1]
}

// step moves the model by one of its operations; operations that do not apply do nothing.
func (k *modelKubelet) step(c *modelContainer, op string) {
	k.clock = k.clock.Add(7 * time.Second)
	n := c.newest()
	alive := n != nil && (n.state == "running" || n.state == "created")
	switch op {
	case "start", "create", "startError":
		if alive || k.pod.DeletionTimestamp != nil || k.finished() || n != nil && !c.again && n.exit == 0 && n.state == "exited" {
			return
		}
		k.ids++
		i := &modelInstance{id: fmt.Sprintf("containerd://%s-%d", c.name, k.ids), from: k.clock, state: "running", attempt: c.maxLog + 1}
		if n != nil {
			i.attempt = n.attempt + 1
		}
		c.maxLog = max(c.maxLog, i.attempt)
		c.runtime, c.waiting = append(c.runtime, i), ""
		c.started++
		switch op {
		case "create":
			i.state = "created"
			c.started-- // does not run yet
		case "startError":
			i.state, i.exit, i.reason, i.from, i.to = "exited", 128, "StartError", time.Unix(0, 0), k.clock
			c.ended++
		}
	case "run": // a created instance starts after all
		if n != nil && n.state == "created" {
			n.state, n.from = "running", k.clock
			c.started++
		}
	case "exit0", "exit1", "oom":
		if n == nil || n.state != "running" {
			return
		}
		n.state, n.to, n.reason, n.exit = "exited", k.clock, "Error", 1
		if op == "exit0" {
			n.exit, n.reason = 0, "Completed"
		}
		c.ended++
	case "relabel": // the OOM event arrives late
		if n != nil && n.state == "exited" && n.reason == "Error" {
			n.reason = "OOMKilled"
		}
	case "backoff":
		if n != nil && n.state == "exited" && (c.again || n.exit != 0) {
			c.waiting = "CrashLoopBackOff"
		}
	case "pull": // the image of the next instance cannot be pulled
		if !alive && (c.again || n != nil && n.exit != 0) {
			c.waiting = "ImagePullBackOff"
		}
	case "gc": // all but the newest and one dead instance go
		if len(c.runtime) > 2 {
			c.runtime = c.runtime[len(c.runtime)-2:]
		}
	case "runtimeRestart":
		if n != nil && n.state == "running" {
			n.state, n.to, n.reason, n.exit = "exited", k.clock, "Unknown", 255
			c.ended++
		}
	case "lost": // the runtime lists it, but cannot say what became of it
		if n != nil && n.state == "running" {
			n.state = "unknown"
			c.ended++
		}
	case "settle": // it was killed for that, and the runtime wrote an end for it
		if n != nil && n.state == "unknown" {
			n.state, n.to, n.reason, n.exit = "exited", k.clock, "Unknown", 255
		}
	case "vanish", "wipe": // the runtime forgot everything; wipe: and the logs are gone
		if n != nil && n.state == "created" {
			return // its number is gone, although it never ran
		}
		if n != nil && n.state == "running" {
			c.ended++
		}
		c.runtime = nil
		if op == "wipe" {
			c.maxLog = -1
		}
	case "delete":
		if k.pod.DeletionTimestamp == nil {
			k.pod.DeletionTimestamp = &metav1.Time{Time: k.clock}
		}
	}
}

func (k *modelKubelet) finished() bool { return k.pod.Status.Phase == corev1.PodFailed }

// terminate is TerminatePod: everything is stopped, and what has no terminated state
// gets the stand-in. (A created instance that never starts is a case of its own in TestObserve.)
func (k *modelKubelet) terminate() {
	for _, c := range k.containers {
		k.step(c, "run")
		if n := c.newest(); n != nil && n.state == "running" {
			k.step(c, "exit1")
		}
	}
	k.sync()
	for _, c := range k.containers {
		if c.old.State.Terminated == nil && (!c.init || c.old.LastTerminationState.Terminated != nil || c.old.ContainerID != "") {
			c.old.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reasonStatusUnknown, ExitCode: 137, Message: "The container could not be located when the pod was terminated"}}
		}
	}
	k.pod.Status.Phase = corev1.PodFailed
	k.publish()
}

// sync computes the pod's status from the runtime and returns what the API then shows.
func (k *modelKubelet) sync() *corev1.Pod {
	if !k.finished() {
		for _, c := range k.containers {
			c.old = k.status(c)
		}
	}
	return k.publish()
}

func (k *modelKubelet) publish() *corev1.Pod {
	k.version++
	p := k.pod
	p.ResourceVersion = strconv.Itoa(k.version)
	p.Status.InitContainerStatuses, p.Status.ContainerStatuses = nil, nil
	for _, c := range k.containers {
		if c.init {
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, *c.old)
		} else {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, *c.old)
		}
	}
	return p.DeepCopy()
}

func (k *modelKubelet) status(c *modelContainer) *corev1.ContainerStatus {
	old := c.old
	if old == nil {
		old = &corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
	}
	s := &corev1.ContainerStatus{Name: c.name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
	if old.State.Terminated != nil {
		s = old.DeepCopy()
	} else {
		s.RestartCount, s.LastTerminationState = old.RestartCount, old.LastTerminationState
	}
	if n := c.newest(); n != nil {
		s = k.convert(c, n, old)
		if len(c.runtime) > 1 {
			s.LastTerminationState = k.convert(c, c.runtime[len(c.runtime)-2], old).State
		}
	} else if old.State.Running != nil && s.LastTerminationState.Terminated == nil {
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reasonStatusUnknown, ExitCode: 137,
			Message: "The container could not be located when the pod was deleted.  The container used to be Running"}
		if k.pod.DeletionTimestamp == nil {
			s.RestartCount++
		}
	}
	if c.waiting != "" && s.State.Running == nil && k.pod.DeletionTimestamp == nil {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: c.waiting}}
	}
	return s
}

func (k *modelKubelet) convert(c *modelContainer, i *modelInstance, old *corev1.ContainerStatus) *corev1.ContainerStatus {
	s := &corev1.ContainerStatus{Name: c.name, RestartCount: int32(i.attempt), ContainerID: i.id}
	if k.monotone {
		s.RestartCount = max(s.RestartCount, old.RestartCount)
		if old.ContainerID != s.ContainerID && old.State.Terminated != nil {
			s.LastTerminationState.Terminated = old.State.Terminated
		} else if old.LastTerminationState.Terminated != nil {
			s.LastTerminationState.Terminated = old.LastTerminationState.Terminated
		}
	}
	switch {
	case i.state == "running":
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(i.from)}
		if k.monotone && old.State.Terminated != nil && old.RestartCount >= int32(i.attempt) {
			s.RestartCount = old.RestartCount + 1
		}
	case i.state == "exited":
		s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: i.exit, Reason: i.reason, ContainerID: i.id, StartedAt: metav1.NewTime(i.from), FinishedAt: metav1.NewTime(i.to)}
	case i.state == "unknown" && old.State.Running != nil:
		s.State.Terminated = &corev1.ContainerStateTerminated{Reason: reasonStatusUnknown, ExitCode: 137, Message: "The container could not be located when the pod was terminated"}
		s.RestartCount = old.RestartCount + 1
	default:
		s.State.Waiting = &corev1.ContainerStateWaiting{}
	}
	return s
}
