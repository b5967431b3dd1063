package issue

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Times that states rest on.
const (
	// fresh is how long an issue is new, and regressed.
	fresh = 24 * time.Hour
	// An issue is silent after fourTimes the mean between its records, within these bounds; one
	// of which a single record is known, after once. Stalls say themselves when they are over.
	fourTimes   = 4
	leastSilent = 24 * time.Hour
	mostSilent  = 14 * 24 * time.Hour
	onceSilent  = 48 * time.Hour
	stallSilent = time.Hour
	// An issue escalates with leastBurst in the last hour, if those are fourTimes as many as in the
	// mean hour of the day before.
	leastBurst = 10
	escalated  = time.Hour
)

// At returns the state at a time, and fills it in together with what follows from it, such as
// the resolution of an issue that has fallen silent. What it fills in is for who reads the
// issue, and is not to be stored.
//
// A state is never written: it follows from what is stored and from the time. Muted, until
// Until, goes before archived, that before resolved, and then come escalating (for an hour),
// regressed (for a day), new (for a day) and ongoing.
func (i *Issue) At(now time.Time) State {
	i.State = i.state(now)
	if i.State == Resolved && i.Status != StatusResolved {
		i.Resolution, i.Since = BySilence, i.silentAt(i.limit())
	}
	return i.State
}

func (i *Issue) state(now time.Time) State {
	switch i.status(now) {
	case StatusMuted:
		return Muted
	case StatusArchived:
		return Archived
	case StatusResolved:
		return Resolved
	case Open:
	}
	switch {
	case i.Count == 0, i.Open == 0 && !i.Last.IsZero() && now.After(i.silentAt(i.limit())):
		return Resolved
	case within(i.EscalatedAt, now, escalated):
		return Escalating
	case within(i.RegressedAt, now, fresh):
		return Regressed
	case within(i.first(), now, fresh):
		return New
	}
	return Ongoing
}

// status is what holds of what was decided: a mute can be over.
func (i *Issue) status(now time.Time) Status {
	switch {
	case i.Status == StatusMuted && !i.Until.IsZero() && !now.Before(i.Until), i.Status == "":
		return Open
	}
	return i.Status
}

// within tells that a time is less than d ago. One that is still to come, by another clock, is.
func within(t, now time.Time, d time.Duration) bool { return !t.IsZero() && now.Sub(t) < d }

// silentAt is when an issue has been silent for a while.
func (i *Issue) silentAt(d time.Duration) time.Time {
	t := i.last()
	for _, u := range []time.Time{i.Ended, i.Since} {
		if u.After(t) {
			t = u
		}
	}
	return t.Add(d)
}

// first and last are no later than the issue was seen: by the clock of a node they may be to come.
func (i *Issue) first() time.Time {
	if i.First.After(i.Seen) {
		return i.Seen
	}
	return i.First
}

func (i *Issue) last() time.Time {
	if i.Last.After(i.Seen) {
		return i.Seen
	}
	return i.Last
}

// limit is how long it may be silent until it is over.
func (i *Issue) limit() time.Duration {
	if i.Kind == record.KindStall {
		return stallSilent
	}
	return i.rhythm()
}

func (i *Issue) rhythm() time.Duration {
	if i.Count < 2 || i.First.IsZero() {
		return onceSilent
	}
	mean := i.Last.Sub(i.First) / time.Duration(i.Count-1)
	return min(max(fourTimes*min(mean, mostSilent), leastSilent), mostSilent)
}

// arrive takes what a record that comes anew does to the state, before it is counted. A stall
// that goes on again under its old begin is one that reopened.
func (i *Issue) arrive(p *part, reopened bool) {
	if i.Status == "" {
		i.Status = Open
	}
	at := p.seen
	if reopened {
		at = latestOf(at, i.Ended, i.Since)
	}
	if at.IsZero() {
		return
	}
	if i.Status == StatusMuted && i.status(at) == Open {
		i.decide(Open, i.Until)
	}
	switch i.Status {
	case StatusResolved:
		if reopened || at.After(i.Since) && !i.lags(p) {
			i.regress(p, at, i.Since)
		}
	case Open:
		// Stalls of a pod that is made now and then come and go within hours; that is no regression.
		if i.Open == 0 && !i.Last.IsZero() && at.After(i.silentAt(i.rhythm())) {
			i.regress(p, at, i.last())
		}
	case StatusMuted, StatusArchived:
	}
}

func latestOf(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if o.After(t) {
			t = o
		}
	}
	return t
}

func (i *Issue) regress(p *part, at, quiet time.Time) {
	i.overturn(at, quiet)
	i.RegressedAt, i.Began, i.Changes = at, p.id, nil
}

// overturn opens the issue, and remembers what held.
func (i *Issue) overturn(at, quiet time.Time) {
	i.Prior = &Prior{
		Status: i.Status, Since: i.Since, By: i.By, Note: i.Note, Resolution: i.Resolution, Image: i.Image, ImageID: i.ImageID,
		Quiet: quiet, RegressedAt: i.RegressedAt, Began: i.Began, Changes: i.Changes,
	}
	i.decide(Open, at)
}

// undo takes back what records did to the state that were taken out of the issue since: evidence
// that came late showed that they were something else, such as a rollout.
func (i *Issue) undo(p *part) {
	burst := true
	if !i.EscalatedAt.IsZero() && p.seen.After(i.EscalatedAt.Add(-2*time.Hour)) && !i.bursts(i.EscalatedAt) {
		i.EscalatedAt, burst = time.Time{}, false
	}
	o := i.Prior
	if o == nil || i.last().After(o.Quiet) && (o.Status != StatusArchived || burst) {
		return
	}
	i.decide(o.Status, o.Since)
	i.By, i.Note, i.Resolution, i.Image, i.ImageID = o.By, o.Note, o.Resolution, o.Image, o.ImageID
	i.RegressedAt, i.Began, i.Changes, i.Prior = o.RegressedAt, o.Began, o.Changes, nil
}

// decide sets what holds since a time.
func (i *Issue) decide(s Status, since time.Time) {
	i.Status, i.Since, i.Until, i.By, i.Note = s, since, time.Time{}, "", ""
	i.Resolution, i.Image, i.ImageID = "", "", ""
}

// lags tells that a stop after the resolve is one of before it: of a pod that was there then, with
// an image that the issue knows and that is no longer the one in use. A rollback makes new
// pods: their stops do not lag. Nor do those of a pod that was made when the image in use had
// been seen already: it has another beside it, as a canary does, and not an older one. What
// workloads of a group run says nothing of each other's age.
func (i *Issue) lags(p *part) bool {
	if p.stall || i.Group != "" || p.created.IsZero() || !p.created.Before(i.Since) {
		return false
	}
	if i.ImageID != "" && p.imageID != "" {
		return p.imageID != i.ImageID && i.ImageIDs.of(p.imageID) > 0 && i.ImageIDs.unseen(i.ImageID, p.created)
	}
	return i.Image != "" && p.image != "" && p.image != i.Image && i.Images.of(p.image) > 0 && i.Images.unseen(i.Image, p.created)
}

// escalate notes that the issue, with this record counted, comes much more often than it did.
func (i *Issue) escalate(p *part) {
	at := p.seen
	if p.before || at.IsZero() || !at.After(i.EscalatedAt) || !i.bursts(at) {
		return
	}
	i.EscalatedAt = at
	// One that was over when somebody decided, and is told late, is what that was decided of.
	if i.Status == StatusArchived && at.After(i.Since) {
		i.overturn(at, at)
	}
}

// bursts tells that many more came in the hour before a time than in the mean hour of the day
// before that.
func (i *Issue) bursts(at time.Time) bool {
	if at.Sub(i.first()) < time.Hour {
		return false
	}
	now, minutes := hourOf(at), int64(at.Minute())
	var this, previous, day int64
	for n := len(i.Hours) - 1; n >= 0; n-- {
		h := i.Hours[n]
		age := now - h.Hour
		if age > 25 {
			break
		}
		switch {
		case age == 0:
			this = h.Count
		case age == 1:
			previous = h.Count
			day += h.Count
		case age > 1:
			day += h.Count
		}
	}
	share := previous * (60 - minutes) / 60 // of the hour before this one, what is less than an hour ago
	last, before := this+share, day-share
	// The mean is that of the time in which the issue was known.
	known := min(max(at.Add(-time.Hour).Sub(i.first()), 5*time.Minute), 24*time.Hour)
	return last >= leastBurst && float64(last)*known.Hours() >= fourTimes*float64(before)
}

// ErrChanged tells that an issue is not any more what an action was decided for.
var ErrChanged = errors.New("it has other records by now")

// Bounds of what a person says.
const maxNote = 2000

// Amend applies an action, or says why it makes no sense and changes nothing.
//
// A resolve keeps the image that the container ran: a later stop is a regression unless it is one
// of a pod of before, with an older image. Where the action does not name it, the image that
// was seen last is kept. An action on something that is as wanted already is fine; its time,
// author and note replace those of the earlier one.
func (i *Issue) Amend(a Action) error {
	if err := a.check(); err != nil {
		return fmt.Errorf("issue %s: %w", i.ID, err)
	}
	if a.Count != 0 && a.Count != i.Count {
		return fmt.Errorf("issue %s: %w", i.ID, ErrChanged)
	}
	i.decide(a.Status, utc(a.At))
	i.Prior = nil
	i.By, i.Note = a.By, a.Note
	switch a.Status {
	case StatusMuted:
		i.Until = utc(a.Until)
	case StatusResolved:
		i.Resolution, i.Image, i.ImageID = a.Resolution, cut(a.Image, maxName), cut(a.ImageID, maxName)
		if i.Resolution == "" {
			i.Resolution = ByPerson
		}
		if i.Image == "" && i.ImageID == "" {
			i.Image, i.ImageID = front(i.Images), front(i.ImageIDs)
		}
	case Open, StatusArchived:
	}
	return nil
}

func front(t Tally) string {
	if len(t.Values) == 0 {
		return ""
	}
	return t.Values[0].Value
}

func (a *Action) check() error {
	if !slices.Contains([]Status{Open, StatusResolved, StatusMuted, StatusArchived}, a.Status) {
		return fmt.Errorf("%q is not a status: %s, %s, %s or %s", a.Status, Open, StatusResolved, StatusMuted, StatusArchived)
	}
	switch {
	case a.At.IsZero():
		return errors.New("the action has no time")
	case !a.Until.IsZero() && a.Status != StatusMuted:
		return errors.New("only a mute has an end")
	case !a.Until.IsZero() && !a.Until.After(a.At):
		return fmt.Errorf("a mute until %s would be over already", a.Until.UTC().Format(time.RFC3339))
	case a.Status != StatusResolved && (a.Resolution != "" || a.Image != "" || a.ImageID != ""):
		return errors.New("only what is resolved has a resolution and an image")
	case !utf8.ValidString(a.By) || !utf8.ValidString(a.Note):
		return errors.New("the name or the note is not valid UTF-8")
	case len(a.By) > maxName:
		return fmt.Errorf("the name has %d bytes, at most %d are kept", len(a.By), maxName)
	case len(a.Note) > maxNote:
		return fmt.Errorf("the note has %d bytes, at most %d are kept", len(a.Note), maxNote)
	}
	switch a.Resolution {
	case "", ByPerson, ByImage, ByDeletion:
	case BySilence:
		return errors.New("silence follows from the time of the last stop, and is not decided")
	default:
		return fmt.Errorf("%q is not a resolution: %s, %s or %s", a.Resolution, ByPerson, ByImage, ByDeletion)
	}
	return nil
}
