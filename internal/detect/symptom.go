package detect

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Symptom is something in a pod that keeps it or one of its containers from going on.
type Symptom struct {
	// Type and Name are those of the container, empty for a symptom of the pod.
	Type  record.ContainerType
	Name  string
	Class evidence.Class
	// Since is when it began as the API tells it, zero where the API does not.
	Since time.Time
	// Grace is how long it may last before it counts: every pod that starts has symptoms.
	// It is counted from Since, or from the first sight where FromSight is set: the kubelet
	// writes no time with what a container waits for, which it has waited since before. (A
	// kubelet that restarts also shows ContainerCreating for one that has failed for hours.)
	Grace     time.Duration
	FromSight bool
	// Snapshot is the grace that holds where the pod is seen only once, as in a dump. What
	// is an error at first sight needs none there.
	Snapshot time.Duration
	// Sum changes whenever the symptom says something else; 0 where it says nothing.
	Sum uint64
	// Spell tells one episode of a class from a later one of the same pod and container, in
	// the API's own times; 0 for the first of a class that has no such time.
	Spell Seconds
}

// maxSymptoms bounds those of one pod, which has as many containers as it likes.
const maxSymptoms = 32

// Graces. What the kubelet tries again within seconds by itself, and what every start goes
// through, is no finding at once.
const (
	graceImage        = 10 * time.Second // the first retry of a pull comes after 10 s
	graceConfig       = 10 * time.Second // a ConfigMap that is applied with its pod, a cache that syncs
	graceCreate       = 15 * time.Second // a StartError becomes a stop within seconds
	graceOdd          = time.Minute      // a container that is created and not started, or a reason of a later kubelet
	graceGated        = time.Minute
	graceUnscheduled  = 15 * time.Second // as in kstatus: preemption and binding take seconds
	graceIgnored      = 30 * time.Second // no scheduler has looked at the pod
	gracePreparing    = 30 * time.Second
	graceNext         = time.Minute // one container of several is not tried: most often its image is pulled
	graceInitializing = 2 * time.Minute
	graceInitFails    = time.Minute
	graceUnready      = 30 * time.Second
	graceStarting     = 2 * time.Minute // the startup probe has not passed, or the container was restarted
	graceTerminating  = time.Minute     // the kubelet unmounts and tells the API after the grace period

	// soft is the grace of a snapshot for what is an error only if it lasts.
	soft            = 10 * time.Second
	softRestarted   = time.Minute
	softTerminating = 30 * time.Second
)

// Symptoms returns what the pod shows, the pod's own first. A pod that runs and is ready
// has none. A container in CrashLoopBackOff is none of it: its stops are the finding.
func Symptoms(p *Pod) []Symptom {
	if p.Ready.Status == True && p.Assigned && !p.Deleting && !p.Finished && allRun(p) {
		return nil
	}
	d := doctor{p: p}
	if p.Rejected {
		d.add(Symptom{Class: evidence.Rejected, Since: at(p.CreatedAt), Sum: 1})
	}
	switch {
	case p.Deleting:
		// The kubelet starts nothing in a pod that is being deleted.
		d.add(Symptom{
			Class: evidence.Terminating, Since: at(p.DeletionTimestamp), FromSight: p.DeletionTimestamp == 0,
			Grace: graceTerminating, Snapshot: softTerminating, Sum: d.liveSum(),
		})
	case p.Finished:
	case !p.Assigned:
		d.unscheduled()
	default:
		d.containers()
	}
	return d.found
}

// allRun tells that nothing of the pod waits or is not ready.
func allRun(p *Pod) bool {
	for i := range p.Containers {
		c := &p.Containers[i]
		switch {
		case c.Type == record.Init && c.State != nil:
		case c.Type == record.Ephemeral && c.Waiting == "":
		case !c.Running || !c.Ready:
			return false
		}
	}
	return true
}

// doctor collects the symptoms of a pod.
type doctor struct {
	p     *Pod
	found []Symptom
}

func (d *doctor) add(s Symptom) {
	if len(d.found) < maxSymptoms {
		d.found = append(d.found, s)
	}
}

// at is a time, zero for an unknown one.
func at(s Seconds) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// sum makes a checksum that is not 0.
func sum(parts ...uint64) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(b[:], p)
		_, _ = h.Write(b[:]) // never fails
	}
	return max(h.Sum64(), 1)
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// liveSum changes whenever another container ends.
func (d *doctor) liveSum() uint64 {
	n := uint64(0)
	for i := range d.p.Containers {
		n += flag(d.p.Containers[i].Running)
	}
	return sum(n, flag(d.p.Finished), uint64(d.p.DeletionTimestamp))
}

// unscheduled: a pod without a node has been without one since it was created. The
// condition's own time is no begin: it is null where the API server wrote it for a gate, and
// stays as it is when the gate is gone (podutil.UpdatePodCondition).
func (d *doctor) unscheduled() {
	s := Symptom{Class: evidence.Unscheduled, Since: at(d.p.CreatedAt), FromSight: d.p.CreatedAt == 0, Snapshot: soft}
	switch {
	case d.p.Gated:
		s.Grace, s.Snapshot, s.Sum = graceGated, 0, sum(1, uint64(d.p.Scheduled.Sum))
	case d.p.Scheduled.Status == False:
		s.Grace, s.Snapshot, s.Sum = graceUnscheduled, 0, sum(2, uint64(d.p.Scheduled.Sum))
	default:
		s.Grace, s.Sum = graceIgnored, 3
	}
	d.add(s)
}

// begins tells that a container waits with the words that the kubelet has for one that it
// did not try yet. What keeps it from trying, volumes and the sandbox, is never a waiting
// reason (pkg/kubelet/reason_cache.go).
func begins(c *Container) bool {
	return !c.Running && c.State == nil && (c.Waiting == reasonCreating || c.Waiting == reasonInitializing)
}

// tried tells that there is or was an instance of the container, or that one was tried.
func tried(c *Container) bool {
	return c.Running || c.State != nil || c.Last != nil || c.ContainerID != "" || c.Waiting != "" && !begins(c)
}

// done tells that an init container lets the next one begin: it succeeded (a success with
// reason OOMKilled is none, see isInitContainerFailed of the kubelet), or it is a sidecar that has started.
func done(c *Container) bool {
	if c.Type == record.Sidecar {
		return c.Running && c.Started
	}
	return c.State != nil && c.State.ExitCode == 0 && c.State.Reason != "OOMKilled"
}

func (d *doctor) containers() {
	p := d.p
	scheduled := p.CreatedAt
	if p.Scheduled.Status == True {
		scheduled = max(scheduled, p.Scheduled.Since)
	}
	if d.untouched(scheduled) {
		return
	}
	current, since := -1, scheduled
	if !d.initialized() {
		current, since = d.currentInit(scheduled)
	} else if p.Initialized.Status == True {
		since = max(since, p.Initialized.Since)
	}
	d.notReady(since)
	waiting := false // one untried container is named, those after it wait for it
	for i := range p.Containers {
		c := &p.Containers[i]
		from := since
		switch c.Type {
		case record.Ephemeral:
			from = 0 // added at any time
		case record.Init:
			if current < 0 {
				continue
			}
		case record.App, record.Sidecar:
		}
		if d.failing(c, from) {
			continue
		}
		switch {
		case i == current:
			d.init(c, since)
		case current >= 0 && c.Type != record.Ephemeral:
			// It waits for the init container, or is an earlier one that is restarted.
		case c.Type == record.App || c.Type == record.Sidecar:
			if begins(c) && !waiting {
				waiting = true
				d.next(c, since)
			}
			d.unready(c, since)
		}
	}
}

// untouched: a node was chosen, and no container was tried, or not again since the sandbox
// was lost. Any of them that is tried proves that volumes and sandbox are there.
func (d *doctor) untouched(scheduled Seconds) bool {
	if d.p.Ready.Status == True {
		return false
	}
	since := scheduled
	for i := range d.p.Containers {
		c := &d.p.Containers[i]
		if c.Type == record.Ephemeral {
			continue
		}
		if !begins(c) {
			return false
		}
		if c.Last != nil {
			since = max(since, ToSeconds(c.Last.FinishedAt))
		}
	}
	d.add(Symptom{
		Class: evidence.Preparing, Since: at(since), FromSight: true, Grace: gracePreparing, Snapshot: soft, Sum: 1,
		Spell: spell(since, scheduled),
	})
	return true
}

// spell is 0 for the first episode after the pod was scheduled.
func spell(since, scheduled Seconds) Seconds {
	if since == scheduled {
		return 0
	}
	return since
}

// initialized tells whether the init containers are through.
func (d *doctor) initialized() bool {
	if d.p.Initialized.Status == True {
		return true
	}
	for i := range d.p.Containers {
		switch c := &d.p.Containers[i]; c.Type {
		case record.App:
			if tried(c) && d.p.Initialized.Status == NoStatus {
				return true
			}
		case record.Init, record.Sidecar:
			if !done(c) {
				return false
			}
		case record.Ephemeral:
		}
	}
	return true
}

// currentInit returns the init container that the kubelet is at, which is the last one that
// it tried (pkg/kubelet/kuberuntime computeInitContainerActions), or the next if that one is
// done; and since when.
func (d *doctor) currentInit(scheduled Seconds) (index int, since Seconds) {
	index, since = -1, scheduled
	for i := range d.p.Containers {
		c := &d.p.Containers[i]
		if c.Type != record.Init && c.Type != record.Sidecar {
			break
		}
		if index < 0 || tried(c) {
			index = i
		}
		if done(&d.p.Containers[index]) {
			index = -1
		}
	}
	for i := range max(index, 0) {
		c := &d.p.Containers[i]
		switch {
		case c.State != nil:
			since = max(since, ToSeconds(c.State.FinishedAt))
		case c.Running && c.Type == record.Sidecar:
			since = max(since, c.StartedAt)
		}
	}
	return index, since
}

// failing: a container whose waiting reason is an error.
func (d *doctor) failing(c *Container, since Seconds) bool {
	if c.Running || c.State != nil || c.Waiting == "" && c.ContainerID == "" {
		return false
	}
	s := Symptom{Type: c.Type, Name: c.Name, FromSight: true, Sum: sum(Sum64(c.Waiting), uint64(c.WaitingSum), uint64(c.RestartCount))}
	switch c.Waiting {
	case reasonCreating, reasonInitializing, reasonBackOff:
		return false
	case "PostStartHookError", "RestartingAllContainers":
		return false // a stop, which tells
	case "ErrImagePull", reasonPullBackOff, "RegistryUnavailable", "SignatureValidationFailed", "ImageInspectError":
		s.Class, s.Grace = evidence.Image, graceImage
		s.Sum = uint64(c.WaitingSum)
	case "InvalidImageName", "ErrImageNeverPull":
		s.Class = evidence.Image
	case "CreateContainerConfigError":
		s.Class, s.Grace = evidence.Config, graceConfig
	case "CreateContainerError", "PreCreateHookError", "PreStartHookError":
		s.Class, s.Grace = evidence.Create, graceCreate
	case "RunContainerError":
		if c.Last != nil && (c.Last.Reason == "StartError" || c.Last.Reason == "ContainerCannotRun") {
			return false
		}
		s.Class, s.Grace = evidence.Create, graceCreate
	default:
		s.Class, s.Grace, s.Snapshot = evidence.Create, graceOdd, softRestarted
		if !strings.Contains(c.Waiting, "Err") {
			break
		}
		s.Snapshot = 0
	}
	if c.Last != nil {
		s.Spell = ToSeconds(c.Last.FinishedAt)
		since = max(since, s.Spell)
	}
	s.Since = at(since)
	d.add(s)
	return true
}

// init: the init container that the kubelet is at does not finish. The condition
// Initialized is false for as long as this goes on, over all its attempts.
func (d *doctor) init(c *Container, since Seconds) {
	s := Symptom{
		Type: c.Type, Name: c.Name, Class: evidence.Initializing, Since: at(since), FromSight: since == 0,
		Grace: graceInitializing, Snapshot: soft, Sum: sum(uint64(c.RestartCount)),
	}
	if d.p.Initialized.Status == False {
		s.Spell = d.p.Initialized.Since
	}
	switch {
	case begins(c):
		s.Class, s.Grace, s.FromSight, s.Sum = evidence.Preparing, graceNext, true, 1
	case c.State != nil || c.Last != nil || c.BackOff:
		s.Grace = graceInitFails
	}
	d.add(s)
}

// next: other containers were tried, and this one was not.
func (d *doctor) next(c *Container, since Seconds) {
	s := Symptom{Type: c.Type, Name: c.Name, Class: evidence.Preparing, Grace: graceNext, FromSight: true, Snapshot: soft, Sum: 1}
	if c.Last != nil {
		s.Spell = ToSeconds(c.Last.FinishedAt)
		since = max(since, s.Spell)
	}
	s.Since = at(since)
	d.add(s)
}

// unready: a container runs and is not ready. The condition Ready is false over all
// containers and attempts until all are ready.
func (d *doctor) unready(c *Container, since Seconds) {
	if !c.Running || c.Ready || d.p.Ready.Status == True {
		return
	}
	s := Symptom{
		Type: c.Type, Name: c.Name, Class: evidence.Unready, Grace: graceUnready, Snapshot: soft,
		Sum: sum(uint64(d.p.Ready.Sum), flag(c.Started), uint64(c.RestartCount)), Spell: d.p.Ready.Since,
	}
	since = max(since, d.p.Ready.Since, c.StartedAt)
	s.Since, s.FromSight = at(since), since == 0
	if !c.Started || c.Last != nil {
		s.Grace, s.Snapshot = graceStarting, softRestarted
	}
	d.add(s)
}

// notReady: all containers are ready and the pod is not, for a readiness gate or because
// its node is lost, when the node lifecycle controller turns the condition and nobody the
// containers' statuses.
func (d *doctor) notReady(since Seconds) {
	p := d.p
	if p.Ready.Status != False && p.Ready.Status != Unknown {
		return
	}
	apps := 0
	for i := range p.Containers {
		switch c := &p.Containers[i]; c.Type {
		case record.App:
			apps++
			if !c.Running || !c.Ready {
				return
			}
		case record.Sidecar:
			if !c.Running || !c.Ready {
				return
			}
		case record.Init, record.Ephemeral:
		}
	}
	if apps == 0 {
		return
	}
	since = max(since, p.Ready.Since)
	d.add(Symptom{
		Class: evidence.Unready, Since: at(since), FromSight: since == 0, Grace: graceUnready, Snapshot: soft,
		Sum: sum(uint64(p.Ready.Sum)), Spell: p.Ready.Since,
	})
}
