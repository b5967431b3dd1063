package detect

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Episode is one symptom of one pod from its begin to its end.
type Episode struct {
	record.StallKey // Cause is the class, with the begin where a pod can have several; see causeKey
	Namespace, Pod  string
	Class           evidence.Class
	// Begin is Since, or when it was first seen; End is zero while it lasts.
	Begin, End time.Time
	// Opened tells that it was found to be a stall, and is recorded.
	Opened bool
}

// Times of the tracker.
const (
	// lease is how long an episode that Due returned is not returned again without a judgement.
	lease = 30 * time.Second
	// settle is the least time between two diagnoses of one episode that says something else each time.
	settle = 10 * time.Second
	// An episode that is not found to be a stall comes again after againFirst, then after
	// twice that, up to againMost: what explains it may be an event that is still to come.
	againFirst, againMost = 15 * time.Second, 2 * time.Minute
	// One that was found comes again now and then as well, since its explanation may change
	// in events alone.
	refreshFirst, refreshMost = 2 * time.Minute, 32 * time.Minute
	// never is when what cannot change is diagnosed again.
	never = 100 * 365 * 24 * time.Hour
)

// Stalls follows the symptoms of pods over time. It has no clock: every call says what
// time it is. It is not safe for concurrent use.
//
// It holds memory for pods that have symptoms and for no others. An episode lasts for as
// long as its pod shows the symptom, whatever the symptom says; one that was opened is
// returned once more when it ends, with End.
type Stalls struct {
	cluster string
	// snapshot tells that every pod is seen once, and the time is that of the snapshot.
	snapshot bool
	pods     map[string]*sickPod // by UID
	seeds    map[string][]Episode
	// next is not after the first time at which an episode is due; zero for none.
	next time.Time
}

// sickPod is a pod that has symptoms.
type sickPod struct {
	namespace, name string
	version         uint64
	episodes        []*episode
}

// episode is an Episode and what is needed to tell when it is to be diagnosed.
type episode struct {
	Episode
	// sum is what the symptom says now, handed what it said when Due returned it.
	sum, handed uint64
	spell       Seconds
	// due is when Due returns it next; judged when it was judged last, zero if never. Frozen is
	// when it would be due in a snapshot.
	due, judged, frozen time.Time
	// sight is when it was seen first.
	sight time.Time
	// wait is how long the last judgement put it off.
	wait time.Duration
	out  bool // Due returned it, and it was not judged since
	here bool // used within Observe
}

// NewStalls returns Stalls that know no pod; cluster names the keys.
func NewStalls(cluster string) *Stalls {
	return &Stalls{cluster: cluster, pods: make(map[string]*sickPod), seeds: make(map[string][]Episode)}
}

// NewSnapshotStalls returns Stalls for pods that are seen once, as in a dump: Observe each
// of them, and then ask Due, with the time of the snapshot. The graces of snapshots hold,
// and an error is due at once.
func NewSnapshotStalls(cluster string) *Stalls {
	s := NewStalls(cluster)
	s.snapshot = true
	return s
}

// causeKey is the Cause of an episode's key. A second episode of a class in the same pod
// has another one, and after a restart of the watcher the same episode has the same. That of
// a rejected pod was given out before there were episodes.
func causeKey(class evidence.Class, spell Seconds) string {
	switch {
	case class == evidence.Rejected:
		return "admission_rejected"
	case spell == 0:
		return string(class)
	default:
		return string(class) + "@" + strconv.FormatUint(uint64(spell), 10)
	}
}

// spellOf is the spell in the Cause of a key.
func spellOf(cause string) Seconds {
	_, s, _ := strings.Cut(cause, "@")
	n, _ := strconv.ParseUint(s, 10, 32)
	return Seconds(n)
}

// strict tells classes of which a new spell is always a new episode, although the symptom
// was there at every sight: their spell is the transition of a condition. That of the
// others may be lost while the episode lasts.
func strict(c evidence.Class) bool { return c == evidence.Unready || c == evidence.Initializing }

// Seed continues an episode that an earlier run recorded and that had not ended. It must
// be called before its pod is first observed.
func (s *Stalls) Seed(e Episode) {
	e.Opened = true
	s.seeds[e.PodUID] = append(s.seeds[e.PodUID], e)
}

// Observe takes what a pod shows, and returns the opened episodes that ended by it.
func (s *Stalls) Observe(p *Pod, now time.Time) (ended []Episode) {
	symptoms := Symptoms(p)
	sp := s.pods[p.UID]
	if sp == nil {
		seeds := s.seeds[p.UID]
		if len(symptoms) == 0 && len(seeds) == 0 {
			return nil
		}
		delete(s.seeds, p.UID)
		sp = &sickPod{namespace: p.Namespace, name: p.Name}
		s.pods[p.UID] = sp
		for _, e := range seeds {
			// What it said is forgotten: it is diagnosed again.
			sp.episodes = append(sp.episodes, &episode{Episode: e, spell: spellOf(e.Cause), sight: now, due: now})
			s.wake(now)
		}
	}
	if p.ResourceVersion != 0 && p.ResourceVersion < sp.version {
		return nil
	}
	sp.version = max(sp.version, p.ResourceVersion)
	for i := range symptoms {
		s.symptom(sp, p, &symptoms[i], now)
	}
	kept := sp.episodes[:0]
	for _, e := range sp.episodes {
		if e.here || e.Opened && held(p, e) {
			e.here = false
			kept = append(kept, e)
			continue
		}
		if e.Opened {
			ended = append(ended, e.end(over(p, e, now)))
		}
	}
	clear(sp.episodes[len(kept):])
	sp.episodes = kept
	if len(kept) == 0 {
		delete(s.pods, p.UID)
	}
	return ended
}

// symptom continues the episode of a symptom, or begins one.
func (s *Stalls) symptom(sp *sickPod, p *Pod, y *Symptom, now time.Time) {
	for _, e := range sp.episodes {
		if e.Type != y.Type || e.Name != y.Name || e.Class != y.Class || strict(y.Class) && e.spell != y.Spell {
			continue
		}
		if e.here {
			return // two statuses of one name
		}
		e.here = true
		if y.Sum != 0 && y.Sum != e.sum {
			e.sum = y.Sum
			s.changed(e, now)
		}
		e.frozen = dueAt(y, e.sight, true)
		if e.judged.IsZero() && !e.out && !e.Opened {
			e.due = dueAt(y, e.sight, s.snapshot)
			s.wake(e.due)
		}
		return
	}
	if y.Class == evidence.Preparing && slices.ContainsFunc(sp.episodes, func(e *episode) bool {
		return e.Opened && (y.Name == "" || y.Name == e.Name) && held(p, e)
	}) {
		return
	}
	e := &episode{
		Episode: Episode{
			StallKey: record.StallKey{
				Cluster:      s.cluster,
				ContainerKey: record.ContainerKey{PodUID: p.UID, Type: y.Type, Name: y.Name},
				Cause:        causeKey(y.Class, y.Spell),
			},
			Namespace: p.Namespace,
			Pod:       p.Name,
			Class:     y.Class,
			Begin:     y.Since,
		},
		sum: y.Sum, spell: y.Spell, sight: now, here: true,
	}
	if e.Begin.IsZero() && !s.snapshot {
		e.Begin = now.UTC()
	}
	e.due, e.frozen = dueAt(y, now, s.snapshot), dueAt(y, now, true)
	s.wake(e.due)
	sp.episodes = append(sp.episodes, e)
}

// dueAt is when the grace of a symptom is over that was first seen at sight.
func dueAt(y *Symptom, sight time.Time, snapshot bool) time.Time {
	since, grace := y.Since, y.Grace
	if snapshot {
		grace = y.Snapshot
	}
	switch {
	case grace == 0, snapshot && since.IsZero():
		return sight
	case since.IsZero(), y.FromSight && !snapshot, y.Class != evidence.Terminating && since.After(sight):
		since = sight // the clocks of a node and of the watcher differ
	}
	return since.Add(grace)
}

// held tells that an episode goes on although its symptom is not there for a while: a
// container that is between two instances is not ready either, and one whose error a
// restarted kubelet has forgotten has not been tried again.
func held(p *Pod, e *episode) bool {
	if p.Deleting || p.Finished {
		return false
	}
	for i := range p.Containers {
		c := &p.Containers[i]
		if c.Type != e.Type || c.Name != e.Name {
			continue
		}
		switch e.Class {
		case evidence.Unready:
			between := c.State == nil && c.Last != nil || c.State != nil && p.Restarts
			return !c.Running && between && p.Ready.Status != True && p.Ready.Since == e.spell
		case evidence.Image, evidence.Config, evidence.Create:
			return begins(c)
		case evidence.Unscheduled, evidence.Rejected, evidence.Preparing, evidence.Initializing, evidence.Terminating, evidence.NotCreated:
		}
	}
	return false
}

// changed makes an episode due again that was judged before.
func (s *Stalls) changed(e *episode, now time.Time) {
	if e.judged.IsZero() || e.out || e.final() {
		return // it is still to be judged; Judge looks at the sum
	}
	due := e.judged.Add(settle)
	if now.After(due) {
		due = now
	}
	if due.Before(e.due) {
		e.due = due
		s.wake(due)
	}
}

// Touch tells that something was learnt about a pod beside its status, such as an event:
// its episodes that were judged are due again.
func (s *Stalls) Touch(uid string, now time.Time) {
	sp := s.pods[uid]
	if sp == nil {
		return
	}
	for _, e := range sp.episodes {
		e.handed = ^e.sum // what Due returned before does not have it
		s.changed(e, now)
	}
}

func (s *Stalls) wake(t time.Time) {
	if s.next.IsZero() || t.Before(s.next) {
		s.next = t
	}
}

// Gone takes that a pod is no more.
func (s *Stalls) Gone(uid string, now time.Time) (ended []Episode) {
	for _, e := range s.seeds[uid] {
		e.End = notBefore(now.UTC(), e.Begin)
		ended = append(ended, e)
	}
	delete(s.seeds, uid)
	if sp := s.pods[uid]; sp != nil {
		for _, e := range sp.episodes {
			if e.Opened {
				ended = append(ended, e.end(now))
			}
		}
	}
	delete(s.pods, uid)
	return ended
}

func (e *episode) end(t time.Time) Episode {
	out := e.Episode
	out.End = notBefore(t.UTC(), out.Begin)
	return out
}

func notBefore(t, begin time.Time) time.Time {
	if t.Before(begin) {
		return begin
	}
	return t
}

// over is when an episode ended that a pod does not show any more: as the pod tells it, or
// now. A watcher that was away sees the end late.
func over(p *Pod, e *episode, now time.Time) time.Time {
	t := Seconds(0)
	switch e.Class {
	case evidence.Unscheduled:
		t = conditionTrue(p.Scheduled)
	case evidence.Unready:
		t = conditionTrue(p.Ready)
	case evidence.Preparing, evidence.Initializing, evidence.Image, evidence.Config, evidence.Create:
		if e.Class == evidence.Initializing {
			t = conditionTrue(p.Initialized)
		}
		for i := range p.Containers {
			c := &p.Containers[i]
			if c.Type == e.Type && c.Name == e.Name && t == 0 {
				switch {
				case c.Running:
					t = c.StartedAt
				case c.State != nil:
					t = ToSeconds(c.State.StartedAt)
				}
			}
		}
	case evidence.Rejected, evidence.Terminating, evidence.NotCreated:
	}
	if ended := at(t); t != 0 && ended.After(e.Begin) && ended.Before(now) {
		return ended
	}
	return now
}

func conditionTrue(c Condition) Seconds {
	if c.Status != True {
		return 0
	}
	return c.Since
}

// Due returns the episodes to diagnose now: whose grace is over and that were not judged
// since they last changed, or whose last judgement asked to come again. Each is to be
// judged; one that is not is returned again after a while.
func (s *Stalls) Due(now time.Time) []Episode {
	if s.next.IsZero() || now.Before(s.next) {
		return nil
	}
	var due []Episode
	s.next = time.Time{}
	for _, sp := range s.pods {
		for _, e := range sp.episodes {
			if !now.Before(e.due) {
				e.out, e.handed, e.due = true, e.sum, now.Add(lease)
				due = append(due, e.Episode)
			}
			s.wake(e.due)
		}
	}
	slices.SortFunc(due, func(a, b Episode) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.PodUID, b.PodUID),
			cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Cause, b.Cause))
	})
	return due
}

// Freeze tells that nothing more is to come, as at the end of a recording: what is still
// in its grace is due as it is in a snapshot.
func (s *Stalls) Freeze() {
	s.snapshot = true
	for _, sp := range s.pods {
		for _, e := range sp.episodes {
			if e.judged.IsZero() && !e.out && e.frozen.Before(e.due) {
				e.due = e.frozen
				s.wake(e.due)
			}
		}
	}
}

// Next returns a time before which Due returns nothing, unless more is observed; zero where
// nothing is waiting.
func (s *Stalls) Next() time.Time { return s.next }

// Judge takes what a diagnosis said: found opens the episode, else it comes again after a
// while. It returns false where the episode has ended meanwhile: then nothing is to be
// recorded, since nobody would record its end.
func (s *Stalls) Judge(key record.StallKey, found bool, now time.Time) bool {
	e := s.find(key)
	if e == nil {
		return false
	}
	first, most := againFirst, againMost
	if found {
		first, most = refreshFirst, refreshMost
		if !e.Opened {
			e.wait = 0
		}
		e.Opened = true
	}
	changed := e.out && e.handed != e.sum
	e.wait = min(max(first, 2*e.wait), most)
	e.judged, e.out = now, false
	e.due = now.Add(e.wait)
	if e.final() {
		e.due = now.Add(never)
	}
	if changed {
		s.changed(e, now)
	}
	s.wake(e.due)
	return true
}

func (s *Stalls) find(key record.StallKey) *episode {
	if sp := s.pods[key.PodUID]; sp != nil {
		for _, e := range sp.episodes {
			if e.StallKey == key {
				return e
			}
		}
	}
	return nil
}

// final tells that the last diagnosis of an episode holds for as long as it lasts: a pod
// that was rejected stays as it is.
func (e *episode) final() bool { return e.Class == evidence.Rejected && e.Opened && !e.judged.IsZero() }

// Wanted tells whether the whole of the pod has to be kept for a coming diagnosis.
func (s *Stalls) Wanted(uid string) bool {
	sp := s.pods[uid]
	return sp != nil && slices.ContainsFunc(sp.episodes, func(e *episode) bool { return !e.final() })
}

// Len returns the number of pods that have symptoms.
func (s *Stalls) Len() int { return len(s.pods) }

// Seeded returns the seeded episodes of a namespace (of all, if empty) whose pods were not
// observed: they are gone, once everything that exists has been observed. Gone ends them.
func (s *Stalls) Seeded(namespace string) []Episode {
	var out []Episode
	for _, es := range s.seeds {
		for _, e := range es {
			if namespace == "" || e.Namespace == namespace {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Episode) int { return cmp.Or(cmp.Compare(a.PodUID, b.PodUID), cmp.Compare(a.ID(), b.ID())) })
	return out
}
