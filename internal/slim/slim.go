// Package slim reads the protobuf wire bytes of a Kubernetes v1.Pod straight
// into the detector's view of it, and skips everything else.
//
// It promises to give what the full decoder followed by detect.FromPod gives,
// for every message that the full decoder accepts: fields that occur twice,
// embedded messages in pieces, a status before its spec, fields of a newer API.
// Bytes that are no message give an error, never a panic, and never an
// allocation larger than the bytes themselves could justify. What it returns
// shares no memory with the bytes.
//
// The field numbers are those of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto; Kubernetes never reuses
// a number.
package slim

import (
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Pod is the detector's view of a pod with what a reflector needs of it.
type Pod struct {
	View detect.Pod
	// ResourceVersion is the server's own text of it.
	ResourceVersion string
	// InitialEventsEnd tells that the object is the bookmark that ends the initial
	// events of a streaming list (metav1.InitialEventsAnnotationKey).
	InitialEventsEnd bool
}

// Field numbers.
const (
	podMetadata = 1
	podSpec     = 2
	podStatus   = 3

	metaName            = 1
	metaNamespace       = 3
	metaUID             = 5
	metaResourceVersion = 6
	metaCreation        = 8
	metaDeletion        = 9
	metaAnnotations     = 12

	specRestartPolicy   = 3
	specNodeName        = 10
	specInitContainers  = 20
	specSchedulingGates = 38

	containerName          = 1
	containerRestartPolicy = 24

	statusPhase      = 1
	statusConditions = 2
	statusMessage    = 3
	statusContainers = 8
	statusInit       = 10
	statusEphemeral  = 13

	csName         = 1
	csState        = 2
	csLastState    = 3
	csReady        = 4
	csRestartCount = 5
	csContainerID  = 8
	csStarted      = 9

	conditionType       = 1
	conditionStatus     = 2
	conditionTransition = 4
	conditionReason     = 5
	conditionMessage    = 6

	stateWaiting    = 1
	stateRunning    = 2
	stateTerminated = 3

	waitingReason    = 1
	waitingMessage   = 2
	runningStartedAt = 1

	termExitCode    = 1
	termReason      = 3
	termMessage     = 4
	termStartedAt   = 5
	termFinishedAt  = 6
	termContainerID = 7

	timeSeconds = 1
)

const (
	policyAlways   = "Always"
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"

	// initialEventsEnd is the map entry "k8s.io/initial-events-end": "true" as every
	// protobuf encoder writes it, key before value.
	initialEventsEnd = "\x0a\x19k8s.io/initial-events-end\x12\x04true"
)

// Decode reads the wire bytes of a v1.Pod, without the Kubernetes envelope, into
// p, of which nothing remains.
func Decode(data []byte, p *detect.Pod) error {
	var s Pod
	err := s.Unmarshal(data)
	*p = s.View
	return err
}

// Unmarshal reads the wire bytes of a v1.Pod, without the Kubernetes envelope,
// into p, of which nothing remains.
func (p *Pod) Unmarshal(data []byte) error {
	*p = Pod{}
	var d decoder
	if err := d.pod(data, p); err != nil {
		return fmt.Errorf("decode pod: %w", err)
	}
	return nil
}

// decoder holds what is known of a pod before all of it is read.
type decoder struct {
	phase, message []byte
	policy         []byte
	// assigned and gated are those of the view; of conditions, only the conditions are used.
	assigned, gated bool
	conditions      detect.Pod
	// sidecars are the names of the init containers that run as sidecars.
	sidecars [][]byte
	// n counts the statuses of each list.
	n [lists]int
}

// The container statuses' lists in the order of the view.
const (
	listInit = iota
	listApp
	listEphemeral
	lists
)

// pod reads in two turns, because the view wants the init containers first and
// the wire has them after the regular ones: the first counts, the second fills.
func (d *decoder) pod(data []byte, p *Pod) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case podMetadata:
			err = f.message(p.metadata)
		case podSpec:
			err = f.message(d.spec)
		case podStatus:
			err = f.message(d.status)
		}
		if err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.err
	}
	p.View.Assigned, p.View.Gated = d.assigned, d.gated
	p.View.Scheduled, p.View.Initialized, p.View.Ready = d.conditions.Scheduled, d.conditions.Initialized, d.conditions.Ready
	p.View.Restarts = string(d.policy) == policyAlways
	p.View.ResourceVersion = detect.ParseResourceVersion(p.ResourceVersion)
	p.View.Finished = string(d.phase) == phaseSucceeded || string(d.phase) == phaseFailed
	p.View.Rejected = len(d.message) > 0 && detect.Rejected(string(d.phase), string(d.message))

	total := d.n[listInit] + d.n[listApp] + d.n[listEphemeral]
	if total == 0 {
		return nil
	}
	all := make([]detect.Container, total)
	at := [lists]int{0, d.n[listInit], d.n[listInit] + d.n[listApp]}
	f = fields{b: data}
	for f.next() {
		if f.num != podStatus {
			continue
		}
		if err := d.containers(f.data(), all, &at); err != nil {
			return err
		}
	}
	p.View.Containers = all
	return nil
}

func (p *Pod) metadata(data []byte) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case metaName:
			err = f.string(&p.View.Name)
		case metaNamespace:
			err = f.string(&p.View.Namespace)
		case metaUID:
			err = f.string(&p.View.UID)
		case metaResourceVersion:
			err = f.string(&p.ResourceVersion)
		case metaCreation:
			err = f.seconds(&p.View.CreatedAt)
		case metaDeletion:
			p.View.Deleting = true
			err = f.seconds(&p.View.DeletionTimestamp)
		case metaAnnotations:
			if string(f.data()) == initialEventsEnd {
				p.InitialEventsEnd = true
			}
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// spec collects the names of the sidecars, and what concerns the pod as a whole.
func (d *decoder) spec(data []byte) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case specRestartPolicy:
			err = f.bytes(&d.policy)
		case specNodeName:
			d.assigned = f.lo < f.hi
			err = f.expect(typeBytes)
		case specInitContainers:
			err = f.message(d.initContainer)
		case specSchedulingGates:
			d.gated = true
			err = f.expect(typeBytes)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (d *decoder) initContainer(data []byte) error {
	var name, policy []byte
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case containerName:
			err = f.bytes(&name)
		case containerRestartPolicy:
			err = f.bytes(&policy)
		}
		if err != nil {
			return err
		}
	}
	if string(policy) == policyAlways {
		d.sidecars = append(d.sidecars, name)
	}
	return f.err
}

// status counts the container statuses and reads what concerns the pod as a whole.
func (d *decoder) status(data []byte) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case statusPhase:
			err = f.bytes(&d.phase)
		case statusConditions:
			err = f.message(d.condition)
		case statusMessage:
			err = f.bytes(&d.message)
		case statusInit, statusContainers, statusEphemeral:
			d.n[list(f.num)]++
			err = f.expect(typeBytes)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// condition reads one condition into the view, if it is of a type that the view holds.
func (d *decoder) condition(data []byte) error {
	var typ, status, reason, message []byte
	var transition time.Time
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case conditionType:
			err = f.bytes(&typ)
		case conditionStatus:
			err = f.bytes(&status)
		case conditionTransition:
			err = f.time(&transition)
		case conditionReason:
			err = f.bytes(&reason)
		case conditionMessage:
			err = f.bytes(&message)
		}
		if err != nil {
			return err
		}
	}
	if to := d.conditions.Condition(string(typ)); to != nil {
		*to = detect.NewCondition(status, reason, message, transition)
	}
	return f.err
}

func list(num int32) int {
	switch num {
	case statusInit:
		return listInit
	case statusContainers:
		return listApp
	default:
		return listEphemeral
	}
}

// containers fills in the container statuses of one piece of the pod's status.
// What this reads again was found sound by the first turn.
func (d *decoder) containers(data []byte, all []detect.Container, at *[lists]int) error {
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case statusInit, statusContainers, statusEphemeral:
		default:
			continue
		}
		l := list(f.num)
		c := &all[at[l]]
		at[l]++
		if err := container(f.data(), c); err != nil {
			return err
		}
		switch l {
		case listApp:
			c.Type = record.App
		case listEphemeral:
			c.Type = record.Ephemeral
		default:
			c.Type = d.initType(c.Name)
		}
	}
	return f.err
}

// initType tells a sidecar from an init container that runs to completion.
func (d *decoder) initType(name string) record.ContainerType {
	for _, s := range d.sidecars {
		if string(s) == name {
			return record.Sidecar
		}
	}
	return record.Init
}

// container reads a ContainerStatus.
func container(data []byte, c *detect.Container) error {
	var now, last state
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case csName:
			err = f.string(&c.Name)
		case csState:
			err = f.message(now.read)
		case csLastState:
			err = f.message(last.read)
		case csReady:
			err = f.bool(&c.Ready)
		case csStarted:
			err = f.bool(&c.Started)
		case csRestartCount:
			err = f.int32(&c.RestartCount)
		case csContainerID:
			err = f.string(&c.ContainerID)
		}
		if err != nil {
			return err
		}
	}
	c.Running, c.StartedAt = now.running, now.startedAt
	if now.isWaiting {
		c.Waiting = reason(now.waiting)
		c.WaitingSum = detect.WaitingSum(c.Waiting, now.message)
		c.BackOff = c.Waiting == reasonBackOff
	}
	c.State, c.Last = now.terminated, last.terminated
	return f.err
}

// state is a ContainerState that may come in pieces.
type state struct {
	running          bool
	startedAt        detect.Seconds
	isWaiting        bool
	waiting, message []byte
	terminated       *detect.Terminated
}

// Reasons that many pods wait with; see reason.
const (
	reasonBackOff      = "CrashLoopBackOff"
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
)

// reason returns a text of the bytes, without a copy for those that are common.
func reason(b []byte) string {
	switch string(b) {
	case reasonBackOff:
		return reasonBackOff
	case reasonCreating:
		return reasonCreating
	case reasonInitializing:
		return reasonInitializing
	}
	return string(b)
}

func (s *state) read(data []byte) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case stateWaiting:
			s.isWaiting = true
			err = f.message(s.readWaiting)
		case stateRunning:
			s.running = true
			err = f.message(s.readRunning)
		case stateTerminated:
			if s.terminated == nil {
				s.terminated = new(detect.Terminated)
			}
			if err = f.expect(typeBytes); err == nil {
				err = terminated(f.data(), s.terminated)
			}
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (s *state) readWaiting(data []byte) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case waitingReason:
			err = f.bytes(&s.waiting)
		case waitingMessage:
			err = f.bytes(&s.message)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (s *state) readRunning(data []byte) error {
	f := fields{b: data}
	for f.next() {
		if f.num != runningStartedAt {
			continue
		}
		if err := f.seconds(&s.startedAt); err != nil {
			return err
		}
	}
	return f.err
}

func terminated(data []byte, t *detect.Terminated) error {
	f := fields{b: data}
	for f.next() {
		var err error
		switch f.num {
		case termExitCode:
			err = f.int32(&t.ExitCode)
		case termReason:
			err = f.string(&t.Reason)
		case termMessage:
			var m []byte
			err = f.bytes(&m)
			t.MessageSum = detect.Sum64(m)
		case termStartedAt:
			err = f.time(&t.StartedAt)
		case termFinishedAt:
			err = f.time(&t.FinishedAt)
		case termContainerID:
			err = f.string(&t.ContainerID)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// seconds reads a metav1.Time.
func (f *fields) seconds(s *detect.Seconds) error {
	var t time.Time
	err := f.time(&t)
	*s = detect.ToSeconds(t)
	return err
}

// time reads a metav1.Time. One that occurs twice is replaced, not merged, an
// empty one is null, and nanoseconds are ignored, all as in metav1.Time.Unmarshal
// (apimachinery pkg/apis/meta/v1/time_proto.go).
func (f *fields) time(t *time.Time) error {
	if err := f.expect(typeBytes); err != nil {
		return err
	}
	*t = time.Time{}
	if f.lo == f.hi {
		return nil
	}
	var sec int64
	g := fields{b: f.data()}
	for g.next() {
		if g.num != timeSeconds {
			continue
		}
		if err := g.expect(typeVarint); err != nil {
			return err
		}
		sec = int64(g.v)
	}
	*t = detect.KnownTime(time.Unix(sec, 0))
	return g.err
}
