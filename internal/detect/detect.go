// Package detect turns what a watch shows of pods into container stops: each end of
// a container instance once, whatever the order, number and completeness of the
// updates that show it.
//
// The detector compares every status with its own high-water mark of that container,
// never with the previous object of a cache: caches collapse updates and relists skip
// them. It promises that the stops it returns plus the ones they count as missed equal
// the instances that ended, as far as any status it was shown can tell; that showing it
// a status again returns nothing; and that two pods, two containers, or a reused name
// never share memory.
//
// It also tells what keeps a pod from going on: Symptoms of one state of a pod, and Stalls,
// which follows them from begin to end. Symptoms are read from the pod alone, so that a
// dump shows what a watch does; each has to last for its grace before it is due for a
// diagnosis, since every start goes through most of them. An episode that a diagnosis
// opened ends exactly once, has the same key after a restart of the watcher, and another one
// when the same pod stalls again.
//
// The package has no clock and does no I/O.
package detect

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Stop is one ended container instance, or a new label for one that was returned before.
type Stop struct {
	record.ContainerKey
	Namespace, Pod string
	Epoch, Ordinal int
	// RestartCount is the count that the status showed.
	RestartCount int
	// MissedBefore instances ended since the previous recorded stop, of which only the count is known.
	MissedBefore int
	// PreviousFinished is when the previous recorded stop ended, zero where unknown: the
	// missed ones lie between it and this one.
	PreviousFinished time.Time
	// Terminated is the state that proves the stop; nil where only a count or the
	// disappearance of the pod does.
	Terminated *Terminated
	// InLast tells that Terminated stood in lastState: the instance was followed by another one.
	InLast bool
	// ContainerID is that of the instance, where it is known although Terminated has none.
	ContainerID string
	// ExitObserved is false where the pod was gone before the API reported the end.
	ExitObserved bool
	// BeforeWatch tells that the stop was part of a pod's history at its first sight.
	BeforeWatch bool
	// Refined tells that this stop was returned before, with a state that since changed.
	Refined bool
}

// Result is what one update of a pod means.
type Result struct {
	Stops []Stop
	// Resets counts restart counts that fell or repeated in this update.
	Resets int
	// Stale tells that the update was older than what the detector had seen, and was not used.
	Stale bool
	// Gone are the UIDs of pods of the same namespace and name that this pod replaces.
	Gone []string
	// Rejected tells that the kubelet refused to admit the pod, the first time that this is seen.
	Rejected bool
}

// Detector holds the memory of all pods that exist. It is not safe for concurrent use.
type Detector struct {
	pods  map[string]*podState     // by UID
	names map[podName]string       // UID by name, to notice a name that is reused
	marks map[string][]record.Mark // seeds of pods that were not seen yet
	// buried holds, by UID, the version at which a pod was known to be gone; graves the newest
	// of them in a ring.
	buried map[string]uint64
	graves []string
	grave  int
}

// gravesKept bounds the pods that are remembered to be gone.
const gravesKept = 4096

type podName struct{ namespace, name string }

type podState struct {
	podName
	version    uint64
	rejected   bool
	containers []containerState
}

// New returns a Detector that knows no pod.
func New() *Detector {
	return &Detector{
		pods:  make(map[string]*podState),
		names: make(map[podName]string),
		marks: make(map[string][]record.Mark),

		buried: make(map[string]uint64),
	}
}

// Seed gives the detector the mark of a container from an earlier run. It must be
// called before the container's pod is first observed.
func (d *Detector) Seed(m record.Mark) {
	d.marks[m.PodUID] = append(d.marks[m.PodUID], m)
}

// Len returns the number of pods that the detector remembers.
func (d *Detector) Len() int { return len(d.pods) }

// Observe takes a pod as a list or watch shows it. History tells that the pod, if it
// is new to the detector, may have stopped before anybody watched.
func (d *Detector) Observe(p *Pod, history bool) Result {
	var r Result
	ps, known := d.pods[p.UID]
	if !known {
		if d.Buried(p) {
			r.Stale = true
			return r
		}
		ps, known = d.admit(p)
		name := podName{p.Namespace, p.Name}
		if old, taken := d.names[name]; taken && old != p.UID {
			r.Gone = append(r.Gone, old)
			r.Stops = append(r.Stops, d.Gone(old)...)
		}
		d.names[name] = p.UID
	}
	if p.ResourceVersion != 0 && p.ResourceVersion < ps.version {
		r.Stale = true
		return r
	}
	ps.version = max(ps.version, p.ResourceVersion)
	r.Rejected = p.Rejected && !ps.rejected
	ps.rejected = p.Rejected
	for i := range p.Containers {
		c := &p.Containers[i]
		cs := ps.container(c.Type, c.Name)
		o := observation{state: cs, pod: p, c: c, history: history && !known}
		o.run()
		r.Stops = append(r.Stops, o.stops...)
		r.Resets += o.resets
	}
	return r
}

// Delete takes the last state of a pod that is gone from the API: what it still shows
// is observed, and what was still running ends unobserved.
func (d *Detector) Delete(p *Pod, history bool) Result {
	r := d.Observe(p, history)
	r.Stops = append(r.Stops, d.Gone(p.UID)...)
	d.Bury(p.UID, p.ResourceVersion)
	return r
}

// Bury tells that a pod was gone at a version: what shows it as it was up to then is late, and
// would be counted anew, as nothing is remembered of the pod.
func (d *Detector) Bury(uid string, version uint64) {
	if version == 0 || version <= d.buried[uid] {
		return
	}
	if _, again := d.buried[uid]; !again {
		if len(d.graves) < gravesKept {
			d.graves = append(d.graves, uid)
		} else {
			delete(d.buried, d.graves[d.grave])
			d.graves[d.grave] = uid
			d.grave = (d.grave + 1) % gravesKept
		}
	}
	d.buried[uid] = version
}

// Buried tells that a pod was gone at a later version than that of p.
func (d *Detector) Buried(p *Pod) bool {
	return p.ResourceVersion != 0 && p.ResourceVersion <= d.buried[p.UID]
}

// Gone forgets a pod of which no last state can be had: whatever was running in it
// ended unobserved.
func (d *Detector) Gone(uid string) []Stop {
	delete(d.marks, uid)
	ps, ok := d.pods[uid]
	if !ok {
		return nil
	}
	delete(d.pods, uid)
	if d.names[ps.podName] == uid {
		delete(d.names, ps.podName)
	}
	var stops []Stop
	for i := range ps.containers {
		cs := &ps.containers[i]
		if !cs.running {
			continue
		}
		stops = append(stops, Stop{
			ContainerKey:     record.ContainerKey{PodUID: uid, Type: cs.kind, Name: cs.name},
			Namespace:        ps.namespace,
			Pod:              ps.name,
			Epoch:            int(cs.epoch),
			Ordinal:          int(cs.accounted),
			RestartCount:     int(cs.count),
			PreviousFinished: cs.finished(),
		})
	}
	return stops
}

// Pods calls yield with the UID, namespace and name of every pod that is remembered,
// in no order.
func (d *Detector) Pods(yield func(uid, namespace, name string) bool) {
	for uid, ps := range d.pods {
		if !yield(uid, ps.namespace, ps.name) {
			return
		}
	}
}

// Marks returns the marks of those containers of a pod that have stopped at least once.
func (d *Detector) Marks(uid string) []record.Mark {
	ps, ok := d.pods[uid]
	if !ok {
		return nil
	}
	var marks []record.Mark
	for i := range ps.containers {
		if cs := &ps.containers[i]; cs.accounted > 0 || cs.epoch > 0 {
			marks = append(marks, cs.mark(uid, ps))
		}
	}
	return marks
}

// Seeded returns the UIDs of the pods of a namespace (of all, if it is empty) that
// Seed was given and that were not observed since: they are gone, once everything
// that exists has been observed.
func (d *Detector) Seeded(namespace string) []string {
	uids := make([]string, 0, len(d.marks))
	for uid, marks := range d.marks {
		if namespace == "" || marks[0].Namespace == namespace {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return uids
}

// admit begins the memory of a pod, from its seeds if there are any.
func (d *Detector) admit(p *Pod) (ps *podState, known bool) {
	ps = &podState{podName: podName{p.Namespace, p.Name}, containers: make([]containerState, 0, len(p.Containers))}
	d.pods[p.UID] = ps
	seeds, known := d.marks[p.UID]
	delete(d.marks, p.UID)
	for _, m := range seeds {
		ps.version = max(ps.version, m.ResourceVersion)
		ps.containers = append(ps.containers, fromMark(m))
	}
	return ps, known
}

func (ps *podState) container(kind record.ContainerType, name string) *containerState {
	for i := range ps.containers {
		if cs := &ps.containers[i]; cs.kind == kind && cs.name == name {
			return cs
		}
	}
	ps.containers = append(ps.containers, containerState{kind: kind, name: name, lastOrdinal: -1})
	return &ps.containers[len(ps.containers)-1]
}

// containerState is the high-water mark of one container. IDs are checksums.
type containerState struct {
	name  string
	kind  record.ContainerType
	epoch int32
	// accounted is the number of this epoch's instances that are recorded or counted as
	// missed; the live instance, if any, has this ordinal.
	accounted int32
	// lastEpoch and lastOrdinal are those of the last recorded stop, which a new label for
	// it repeats: after a reset they are not those before accounted.
	lastEpoch, lastOrdinal int32
	// count is the newest restart count.
	count int32
	// running tells that instance `accounted` was reported running.
	running bool
	// synthetic tells that the last recorded state was the kubelet's stand-in, raised that
	// it came with a count already raised for the next instance, as stand-ins do.
	synthetic, raised bool
	// beforeWatch and missed are those of the last recorded stop.
	beforeWatch               bool
	missed                    int32
	currentID, lastID, prevID uint64
	// realID is that of the last recorded instance whose end the runtime reported.
	realID       uint64
	lastSum      uint64
	lastFinished int64 // Unix seconds, 0 unknown
}

func (cs *containerState) finished() time.Time {
	if cs.lastFinished == 0 {
		return time.Time{}
	}
	return time.Unix(cs.lastFinished, 0).UTC()
}

func (cs *containerState) mark(uid string, ps *podState) record.Mark {
	return record.Mark{
		ContainerKey:    record.ContainerKey{PodUID: uid, Type: cs.kind, Name: cs.name},
		Namespace:       ps.namespace,
		Pod:             ps.name,
		Epoch:           int(cs.epoch),
		Accounted:       int(cs.accounted),
		RestartCount:    int(cs.count),
		CurrentID:       cs.currentID,
		LastID:          cs.lastID,
		PrevID:          cs.prevID,
		RealID:          cs.realID,
		LastEpoch:       int(cs.lastEpoch),
		LastOrdinal:     int(cs.lastOrdinal),
		LastSum:         cs.lastSum,
		LastSynthetic:   cs.synthetic,
		LastFinished:    cs.finished(),
		LastMissed:      int(cs.missed),
		LastBeforeWatch: cs.beforeWatch,
		ResourceVersion: ps.version,
	}
}

func fromMark(m record.Mark) containerState {
	cs := containerState{
		name:      m.Name,
		kind:      m.Type,
		epoch:     int32(m.Epoch),
		accounted: int32(m.Accounted),
		count:     int32(m.RestartCount),
		synthetic: m.LastSynthetic,
		currentID: m.CurrentID,
		lastID:    m.LastID,
		prevID:    m.PrevID,
		realID:    m.RealID,
		lastSum:   m.LastSum,

		lastEpoch:   int32(m.LastEpoch),
		lastOrdinal: int32(m.LastOrdinal),

		missed:      int32(m.LastMissed),
		beforeWatch: m.LastBeforeWatch,
	}
	// Nothing that the runtime knows is live, and the count is ahead of the last recorded one.
	cs.raised = cs.count == cs.accounted && (cs.synthetic || cs.currentID == 0 && cs.lastID != 0 && cs.lastID == cs.realID)
	if !m.LastFinished.IsZero() {
		cs.lastFinished = m.LastFinished.Unix()
	}
	return cs
}

// sum is a checksum of everything that a relabelled state may differ in.
func (t *Terminated) sum() uint64 {
	h := fnv.New64a()
	var b []byte
	b = append(b, t.ContainerID...)
	b = append(b, 0)
	b = append(b, t.Reason...)
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(t.ExitCode), 10)
	b = append(b, 0)
	b = strconv.AppendInt(b, t.StartedAt.Unix(), 10)
	b = append(b, 0)
	b = strconv.AppendInt(b, t.FinishedAt.Unix(), 10)
	b = append(b, 0)
	b = strconv.AppendUint(b, t.MessageSum, 16)
	h.Write(b) // never fails
	return h.Sum64()
}

// synthetic tells a state that the kubelet made up for an instance it could not find
// from one that the runtime reported: it has no container ID.
func (t *Terminated) synthetic() bool { return t.ContainerID == "" }
