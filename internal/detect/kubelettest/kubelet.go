// Package kubelettest plays pods as a kubelet and its container runtime do, as far as container
// statuses depend on it, and knows what really ended. It is what tests hold a detector against; it
// keeps no clock of its own but the one that it is given.
package kubelettest

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reasonStatusUnknown is what a state has that the kubelet made up.
const reasonStatusUnknown = "ContainerStatusUnknown"

// Pod is one pod. See package detect's status.go for the sources.
type Pod struct {
	// Monotone is the behaviour of 1.36 and later: the count never falls while the
	// kubelet has the old status.
	Monotone   bool
	Containers []*Container
	// Clock is the node's, and moves on by Tick with every step.
	Clock time.Time
	Tick  time.Duration
	// Version returns the next resource version.
	Version func() int

	pod *corev1.Pod
	ids int
}

// Container is one container of it.
type Container struct {
	Name string
	// Ended is how many of its instances have ended, All every one that was ever created.
	Ended int
	All   []*Instance

	init  bool
	again bool // is restarted after any exit
	// runtime lists the instances that the runtime knows, oldest first.
	runtime []*Instance
	waiting string // the reason cache
	old     *corev1.ContainerStatus
	maxLog  int // newest attempt in the log directory, -1 for none
}

// Instance is one run of a container.
type Instance struct {
	ID string
	// State is what the runtime says: created, running, exited, unknown.
	State    string
	Exit     int32
	Reason   string
	From, To time.Time
	// EndedAt is when it really ended, zero where it has not.
	EndedAt time.Time

	attempt int
}

// New returns a pod with containers of these names: "init" is an init container, "sidecar" one that
// goes on running, and any other a regular one.
func New(uid string, monotone bool, names ...string) *Pod {
	version := 0
	k := &Pod{
		Version:  func() int { version++; return version },
		Monotone: monotone,
		Tick:     7 * time.Second,
		Clock:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "pod-" + uid, Namespace: "ns", UID: types.UID(uid)},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		},
	}
	always := corev1.ContainerRestartPolicyAlways
	for _, name := range names {
		c := &Container{Name: name, maxLog: -1, again: true}
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
		k.Containers = append(k.Containers, c)
	}
	return k
}

func (c *Container) newest() *Instance {
	if len(c.runtime) == 0 {
		return nil
	}
	return c.runtime[len(c.runtime)-1]
}

// Step moves the model by one of its operations; operations that do not apply do nothing.
func (k *Pod) Step(c *Container, op string) {
	k.Clock = k.Clock.Add(k.Tick)
	n := c.newest()
	alive := n != nil && (n.State == "running" || n.State == "created")
	switch op {
	case "start", "create", "startError":
		if alive || k.pod.DeletionTimestamp != nil || k.finished() || n != nil && !c.again && n.Exit == 0 && n.State == "exited" {
			return
		}
		k.ids++
		i := &Instance{ID: fmt.Sprintf("containerd://%s-%s-%d", k.pod.UID, c.Name, k.ids), From: k.Clock, State: "running", attempt: c.maxLog + 1}
		if n != nil {
			i.attempt = n.attempt + 1
		}
		c.maxLog = max(c.maxLog, i.attempt)
		c.runtime, c.All, c.waiting = append(c.runtime, i), append(c.All, i), ""
		switch op {
		case "create":
			i.State = "created" // does not run yet
		case "startError":
			i.State, i.Exit, i.Reason, i.From, i.To = "exited", 128, "StartError", time.Unix(0, 0), k.Clock
			k.ended(c, i)
		}
	case "run": // a created instance starts after all
		if n != nil && n.State == "created" {
			n.State, n.From = "running", k.Clock
		}
	case "exit0", "exit1", "oom":
		if n == nil || n.State != "running" {
			return
		}
		n.State, n.To, n.Reason, n.Exit = "exited", k.Clock, "Error", 1
		if op == "exit0" {
			n.Exit, n.Reason = 0, "Completed"
		}
		k.ended(c, n)
	case "relabel": // the OOM event arrives late
		if n != nil && n.State == "exited" && n.Reason == "Error" {
			n.Reason = "OOMKilled"
		}
	case "backoff":
		if n != nil && n.State == "exited" && (c.again || n.Exit != 0) {
			c.waiting = "CrashLoopBackOff"
		}
	case "pull": // the image of the next instance cannot be pulled
		if !alive && (c.again || n != nil && n.Exit != 0) {
			c.waiting = "ImagePullBackOff"
		}
	case "gc": // all but the newest and one dead instance go
		if len(c.runtime) > 2 {
			c.runtime = c.runtime[len(c.runtime)-2:]
		}
	case "runtimeRestart":
		if n != nil && n.State == "running" {
			n.State, n.To, n.Reason, n.Exit = "exited", k.Clock, "Unknown", 255
			k.ended(c, n)
		}
	case "lost": // the runtime lists it, but cannot say what became of it
		if n != nil && n.State == "running" {
			n.State = "unknown"
			k.ended(c, n)
		}
	case "settle": // it was killed for that, and the runtime wrote an end for it
		if n != nil && n.State == "unknown" {
			n.State, n.To, n.Reason, n.Exit = "exited", k.Clock, "Unknown", 255
		}
	case "vanish", "wipe": // the runtime forgot everything; wipe: and the logs are gone
		if n != nil && n.State == "created" {
			return // its number is gone, although it never ran
		}
		if n != nil && n.State == "running" {
			k.ended(c, n)
		}
		c.runtime = nil
		if op == "wipe" {
			c.maxLog = -1
		}
	case "delete":
		if k.pod.DeletionTimestamp == nil {
			k.pod.DeletionTimestamp = &metav1.Time{Time: k.Clock}
		}
	}
}

// ended notes the truth.
func (k *Pod) ended(c *Container, i *Instance) {
	c.Ended++
	i.EndedAt = k.Clock
}

// Running tells whether an instance of c runs.
func (c *Container) Running() bool {
	n := c.newest()
	return n != nil && n.State == "running"
}

// Kill ends what still runs with nobody left to tell of it, as where a pod is deleted by force.
func (k *Pod) Kill() {
	for _, c := range k.Containers {
		if c.Running() {
			k.ended(c, c.newest())
		}
	}
}

// Object is the pod to be changed before it is published: its name, its spec.
func (k *Pod) Object() *corev1.Pod { return k.pod }

func (k *Pod) finished() bool { return k.pod.Status.Phase == corev1.PodFailed }

// Terminate is TerminatePod: everything is stopped, and what has no terminated state
// gets the stand-in. (A created instance that never starts is a case of its own in TestObserve.)
func (k *Pod) Terminate() {
	for _, c := range k.Containers {
		k.Step(c, "run")
		if n := c.newest(); n != nil && n.State == "running" {
			k.Step(c, "exit1")
		}
	}
	k.Sync()
	for _, c := range k.Containers {
		if c.old.State.Terminated == nil && (!c.init || c.old.LastTerminationState.Terminated != nil || c.old.ContainerID != "") {
			c.old.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reasonStatusUnknown, ExitCode: 137, Message: "The container could not be located when the pod was terminated"}}
		}
	}
	k.pod.Status.Phase = corev1.PodFailed
	k.Publish()
}

// Sync computes the pod's status from the runtime and returns what the API then shows.
func (k *Pod) Sync() *corev1.Pod {
	if !k.finished() {
		for _, c := range k.Containers {
			c.old = k.status(c)
		}
	}
	return k.Publish()
}

// Publish returns what the API shows, in another version.
func (k *Pod) Publish() *corev1.Pod {
	p := k.pod
	p.ResourceVersion = strconv.Itoa(k.Version())
	p.Status.InitContainerStatuses, p.Status.ContainerStatuses = nil, nil
	for _, c := range k.Containers {
		if c.init {
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, *c.old)
		} else {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, *c.old)
		}
	}
	return p.DeepCopy()
}

func (k *Pod) status(c *Container) *corev1.ContainerStatus {
	old := c.old
	if old == nil {
		old = &corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
	}
	s := &corev1.ContainerStatus{Name: c.Name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
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

func (k *Pod) convert(c *Container, i *Instance, old *corev1.ContainerStatus) *corev1.ContainerStatus {
	s := &corev1.ContainerStatus{Name: c.Name, RestartCount: int32(i.attempt), ContainerID: i.ID}
	if k.Monotone {
		s.RestartCount = max(s.RestartCount, old.RestartCount)
		if old.ContainerID != s.ContainerID && old.State.Terminated != nil {
			s.LastTerminationState.Terminated = old.State.Terminated
		} else if old.LastTerminationState.Terminated != nil {
			s.LastTerminationState.Terminated = old.LastTerminationState.Terminated
		}
	}
	switch {
	case i.State == "running":
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(i.From)}
		if k.Monotone && old.State.Terminated != nil && old.RestartCount >= int32(i.attempt) {
			s.RestartCount = old.RestartCount + 1
		}
	case i.State == "exited":
		s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: i.Exit, Reason: i.Reason, ContainerID: i.ID, StartedAt: metav1.NewTime(i.From), FinishedAt: metav1.NewTime(i.To)}
	case i.State == "unknown" && old.State.Running != nil:
		s.State.Terminated = &corev1.ContainerStateTerminated{Reason: reasonStatusUnknown, ExitCode: 137, Message: "The container could not be located when the pod was terminated"}
		s.RestartCount = old.RestartCount + 1
	default:
		s.State.Waiting = &corev1.ContainerStateWaiting{}
	}
	return s
}
