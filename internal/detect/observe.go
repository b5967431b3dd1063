package detect

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// observation holds one status against the memory of its container.
type observation struct {
	state   *containerState
	pod     *Pod
	c       *Container
	history bool
	stops   []Stop
	resets  int
}

func (o *observation) run() {
	cs := o.state
	s := read(o.c, o.pod, cs)
	n := restartCount(o.c)
	// The kubelet of 1.36 and later raises the count of a lost instance twice: with the
	// stand-in, and again when the next one runs. No instance had the number between.
	last := o.c.Last
	skip := cs.raised && s.live != 0 && n == int64(cs.accounted)+1 && (last == nil || last.synthetic() || cs.knows(Sum64(last.ContainerID)))
	for _, d := range s.deaths[:s.n] {
		if skip && d.id == 0 {
			continue // the stand-in again
		}
		o.death(d)
	}
	if skip {
		cs.accounted, cs.raised = int32(n), false
	}
	if s.live != 0 && !cs.knows(s.live) && cs.repeats(n, s.live) {
		o.reset(n)
	}
	if s.ended > int64(cs.accounted) {
		// The count moved on, and nothing shows how the newest of them ended.
		o.emit(death{ordinal: s.ended - 1})
	}
	if s.live != 0 && !cs.knows(s.live) {
		cs.running = s.running || cs.running && cs.currentID == s.live
		cs.currentID = s.live
	}
	cs.count = int32(n)
}

// death takes one ended instance that the status shows.
func (o *observation) death(d death) {
	cs := o.state
	if d.id != 0 && d.id == cs.currentID {
		// Identity is stronger than any count.
		d.ordinal = int64(cs.accounted)
		o.emit(d)
		return
	}
	switch {
	case d.id != 0 && d.id == cs.lastID:
		o.refine(d)
	case d.id != 0 && cs.knows(d.id):
		// Recorded before the last one.
	case d.id == 0:
		if d.ordinal >= int64(cs.accounted) {
			o.emit(d)
		}
	case d.ordinal == int64(cs.accounted)-1 && d.ordinal == int64(cs.lastOrdinal) && cs.epoch == cs.lastEpoch && cs.lastID == 0:
		// It was recorded by its count alone, or by a stand-in.
		cs.lastID = d.id
		o.refine(d)
	case cs.repeats(d.ordinal, d.id):
		if newest := Sum64(o.c.ContainerID); newest != 0 && (newest == cs.currentID || cs.knows(newest)) {
			return // no instance is newer than what is known: this is one before it, and counted
		}
		if f := d.t.FinishedAt; !f.IsZero() && f.Unix() < cs.lastFinished {
			return // older than the last recorded one: counted then
		}
		o.reset(max(d.ordinal, 0))
		d.ordinal = max(d.ordinal, 0)
		o.emit(d)
	default:
		o.emit(d)
	}
}

// repeats tells that an unknown instance has an ordinal that is taken: the restart
// count fell back, or stayed although the instance changed.
func (cs *containerState) repeats(ordinal int64, id uint64) bool {
	if ordinal < int64(cs.accounted) {
		return true
	}
	return ordinal == int64(cs.accounted) && cs.currentID != 0 && cs.currentID != id
}

// reset begins a new epoch whose first unaccounted ordinal is base. The instance that
// was live, if any, has ended: another one took its place.
func (o *observation) reset(base int64) {
	cs := o.state
	if cs.running {
		o.emit(death{ordinal: int64(cs.accounted)})
	}
	o.resets++
	cs.epoch++
	cs.accounted = int32(base)
	cs.currentID, cs.running = 0, false
}

// emit records the end of the instance with the death's ordinal, and counts as missed
// those between it and the last recorded one.
func (o *observation) emit(d death) {
	cs := o.state
	missed := d.ordinal - int64(cs.accounted)
	previous := cs.finished()
	if d.id == 0 && missed == 0 {
		d.id = cs.currentID
	}
	cs.prevID, cs.lastID = cs.lastID, d.id
	cs.accounted = int32(d.ordinal) + 1
	cs.currentID, cs.running = 0, false
	cs.missed, cs.beforeWatch = int32(missed), o.history
	cs.lastEpoch, cs.lastOrdinal = cs.epoch, int32(d.ordinal)
	cs.lastSum, cs.synthetic, cs.raised = 0, false, false
	o.describe(d, previous, false)
}

// refine returns the last recorded stop again if its state now says more or something else.
func (o *observation) refine(d death) {
	cs := o.state
	if d.t.synthetic() && !cs.synthetic && cs.lastSum != 0 {
		return // a stand-in never replaces what the runtime reported
	}
	if d.t.sum() == cs.lastSum || cs.lastOrdinal < 0 {
		return
	}
	o.describe(d, time.Time{}, true)
}

// describe appends the stop that is the last recorded one of the container now.
func (o *observation) describe(d death, previous time.Time, refined bool) {
	cs := o.state
	if d.t != nil {
		cs.lastSum, cs.synthetic = d.t.sum(), d.t.synthetic()
		if !cs.synthetic {
			cs.realID = cs.lastID
		}
		cs.raised = !d.last && restartCount(o.c) == int64(cs.accounted)
		if !d.t.FinishedAt.IsZero() {
			cs.lastFinished = d.t.FinishedAt.Unix()
		}
	}
	o.stops = append(o.stops, Stop{
		ContainerKey:     record.ContainerKey{PodUID: o.pod.UID, Type: cs.kind, Name: cs.name},
		Namespace:        o.pod.Namespace,
		Pod:              o.pod.Name,
		Epoch:            int(cs.lastEpoch),
		Ordinal:          int(cs.lastOrdinal),
		RestartCount:     int(o.c.RestartCount),
		MissedBefore:     int(cs.missed),
		PreviousFinished: previous,
		Terminated:       d.t,
		InLast:           d.last,
		ContainerID:      d.rawID,
		ExitObserved:     true,
		BeforeWatch:      cs.beforeWatch,
		Refined:          refined,
	})
}

// knows tells that the instance is one of those recorded last. A status that shows it
// alive is older than its end, or the runtime found it again; one that shows its end
// may do so for long, where the kubelet finds nothing newer.
func (cs *containerState) knows(id uint64) bool {
	return id == cs.lastID || id == cs.prevID || id == cs.realID
}
