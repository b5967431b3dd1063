package issue

import (
	"strconv"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	maxMissed = 1 << 31
	maxRan    = 100 * 365 * 24 * 3600 // seconds
)

// part is what one record adds to its issue and its incident. It is comparable: equal parts
// add the same.
type part struct {
	id string
	// at is when it was, by record.When; seen is that too, but no later than it was observed, as
	// the clock of a node can be ahead. Zero where no time is known.
	at, seen                  time.Time
	stall, open, weak, before bool
	ended                     time.Time
	missed                    int64
	missedAfter, missedUntil  time.Time
	pod, node, image, imageID string
	revision, code            string
	ran                       int64 // -1 for not known
	created                   time.Time
	workload, category, as    string
	fullPod                   string // with its namespace
	kind, subject             string // of the incident
}

func partOf(r *record.Record, k *Key) part {
	p := part{
		id: r.ID, at: utc(r.When()), stall: k.Kind == record.KindStall, weak: weak(r),
		pod: cut(r.Pod, maxName), node: cut(r.Node, maxName), revision: cut(r.Revision, maxName),
		created: utc(r.PodCreatedAt), ran: -1,
		workload: label(k), category: cut(string(r.Category), maxName), as: k.Cause,
	}
	if r.Diagnosis.Detail != "" {
		p.as = cut(k.Cause+"/"+r.Diagnosis.Detail, maxName)
	}
	if r.Pod != "" {
		p.fullPod = k.Namespace + "/" + p.pod
	}
	if p.seen = p.at; !r.ObservedAt.IsZero() && p.at.After(r.ObservedAt) {
		p.seen = utc(r.ObservedAt)
	}
	if s := r.Stop; s != nil {
		p.before = s.BeforeWatch
		p.image, p.imageID = cut(s.Image, maxName), cut(s.ImageID, maxName)
		p.missed = int64(min(max(s.MissedBefore, 0), maxMissed))
		if p.missed > 0 {
			p.missedAfter, p.missedUntil = utc(s.MissedAfter), utc(s.MissedUntil)
		}
		if s.ExitCode != nil {
			p.code = strconv.Itoa(int(*s.ExitCode))
		}
		if s.RanSeconds != nil && *s.RanSeconds >= 0 {
			p.ran = min(*s.RanSeconds, maxRan)
		}
	}
	if s := r.Stall; s != nil {
		p.open, p.ended = s.End.IsZero(), utc(s.End)
	}
	p.kind, p.subject = subjectOf(r, k)
	return p
}

// utc makes times comparable with ==.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// count adds a part n times, where n is 1 or -1, to everything but the times of the issue.
func (i *Issue) count(p *part, n int64) {
	i.Count = max(i.Count+n, 0)
	if !p.weak {
		i.Known = max(i.Known+n, 0)
	}
	i.Missed = max(i.Missed+n*p.missed, 0)
	if p.open {
		i.Open = max(i.Open+n, 0)
	}
	i.Pods.Add(p.pod, p.seen, n, maxPods)
	i.Nodes.Add(p.node, p.seen, n, maxNodes)
	i.Images.Add(p.image, p.seen, n, maxImages)
	i.ImageIDs.Add(p.imageID, p.seen, n, maxImages)
	i.Revisions.Add(p.revision, p.seen, n, maxRevisions)
	i.ExitCodes.Add(p.code, p.seen, n, maxCodes)
	i.hours(p, n)
	if p.ran >= 0 {
		i.Ran.add(p.ran, n)
	}
}

// hours counts a part by the hour: the record in its own, and those that it counts as missed
// spread over the time in which they ended. Where that is not known, they are counted in no
// hour if they may have ended long before the watch, else in that of the record.
func (i *Issue) hours(p *part, n int64) {
	if p.seen.IsZero() {
		return
	}
	last := hourOf(p.seen)
	i.Hours = addHour(i.Hours, last, n)
	if p.missed == 0 {
		return
	}
	to := last
	if until := p.missedUntil; !until.IsZero() && until.Before(p.seen) {
		to = hourOf(until)
	}
	from := to
	switch {
	case !p.missedAfter.IsZero():
		from = min(hourOf(p.missedAfter), to)
	case p.before:
		return
	}
	hours := to - from + 1
	first := max(from, last-maxHours+1)
	for h := first; h <= to; h++ {
		// Whole numbers whose sum is that of all hours.
		share := p.missed*(h-from+1)/hours - p.missed*(h-from)/hours
		i.Hours = addHour(i.Hours, h, n*share)
	}
}

func hourOf(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		return -1
	}
	return s / 3600
}

// widen takes the part's time into that of the issue.
func (i *Issue) widen(p *part) {
	if p.ended.After(i.Ended) {
		i.Ended = p.ended
	}
	if p.seen.After(i.Seen) {
		i.Seen = p.seen
	}
	if p.at.IsZero() {
		if i.Newest == "" {
			i.Newest, i.Oldest = p.id, p.id
		}
		return
	}
	i.First, i.Oldest = earliest(i.First, i.Oldest, p)
	i.Last, i.Newest = latest(i.Last, i.Newest, p)
}

func earliest(t time.Time, id string, p *part) (time.Time, string) {
	switch {
	case t.IsZero() || p.at.Before(t):
		return p.at, p.id
	case id == "":
		return t, p.id
	}
	return t, id
}

func latest(t time.Time, id string, p *part) (time.Time, string) {
	switch {
	case !p.at.Before(t):
		return p.at, p.id
	case id == "":
		return t, p.id
	}
	return t, id
}

// narrow makes the times those of what is left, after a part was taken out that may have been
// the first or the last. Records that retention removed are not known any more: a time that
// was not the part's own stays.
func narrow(first, last *time.Time, oldest, newest *string, p *part, left func() (Point, Point, error)) error {
	if *oldest != p.id && *newest != p.id {
		return nil
	}
	from, to, err := left()
	if err != nil {
		return err
	}
	if *oldest == p.id {
		if *oldest = from.ID; !from.Time.IsZero() && !p.at.After(*first) {
			*first = utc(from.Time)
		}
	}
	if *newest == p.id {
		if *newest = to.ID; !to.Time.IsZero() && !p.at.Before(*last) {
			*last = utc(to.Time)
		}
	}
	return nil
}
