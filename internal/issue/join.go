package issue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// near is how far from the times of an issue a stop may be to be taken for one of it although
// its own cause is not known.
const near = 24 * time.Hour

// A container that has maxKin issues of its kin from one day, or maxKinEver in all, has one more
// for everything else, whose signature is others.
const (
	maxKin     = 50
	maxKinEver = 300
	others     = "*"
)

// others is where the ends of a container go that says something else each time it ends, or
// ends with another code: its issues are bounded. It is nil as long as there are few.
func (p *poster) others() (*Issue, error) {
	if p.key.Cause != "app_exit" || p.key.ExitCode == nil && p.key.Signature == "" {
		return nil, nil //nolint:nilnil // Most have an issue of their own.
	}
	if p.from == nil || p.from.Signature != others { // else it stays there
		kin, err := p.tx.ByKin(p.key.kin(p.next.Category))
		if err != nil {
			return nil, err
		}
		lately := 0
		for _, i := range kin {
			if i.near(p.part.at) {
				lately++
			}
		}
		if lately < maxKin && len(kin) < maxKinEver {
			return nil, nil //nolint:nilnil // As above.
		}
	}
	p.key.ExitCode, p.key.Signature = nil, others
	p.fingerprint = p.key.Fingerprint()
	return p.tx.ByFingerprint(p.fingerprint)
}

// join returns the issue that a record belongs to whose own cause is not known well, nil for its
// own.
func (p *poster) join(own *Issue) (*Issue, error) {
	if f := p.from; f != nil {
		others := f.Known // that would be left
		if !p.old.weak {
			others--
		}
		if f.Fingerprint == p.fingerprint || others > 0 && f.Kin() == p.key.kin(p.next.Category) && f.fits(&p.part) {
			return f, nil
		}
	}
	if own != nil && own.acted() {
		return own, nil
	}
	kin, err := p.tx.ByKin(p.key.kin(p.next.Category))
	if err != nil {
		return nil, err
	}
	var best *Issue
	for _, i := range kin {
		if i.Known == 0 || i.Fingerprint == p.fingerprint || p.from != nil && i.ID == p.from.ID || !i.near(p.part.at) || !i.fits(&p.part) {
			continue
		}
		// A stop of which so little is known does not vanish, with another image, in what somebody
		// wants to hear nothing of.
		if i.silenced() && p.part.image != "" && i.Images.of(p.part.image) == 0 {
			continue
		}
		// Nor does it bring back what was resolved.
		if i.Status == StatusResolved && (p.part.at.After(i.Since) && !i.lags(&p.part)) {
			continue
		}
		if best == nil || cmp.Or(i.Last.Compare(best.Last), strings.Compare(best.ID, i.ID)) > 0 {
			best = i
		}
	}
	return best, nil
}

// near tells that a time is within a day of the issue's.
func (i *Issue) near(t time.Time) bool {
	return !t.IsZero() && !t.Before(i.First.Add(-near)) && !t.After(i.Last.Add(near))
}

// fits tells that a part may be one of this issue: it has an exit code that the issue has. One
// without an exit code fits everything that nobody silenced.
func (i *Issue) fits(p *part) bool {
	if p.code == "" {
		return i.Status == Open || i.Status == ""
	}
	return i.ExitCodes.of(p.code) > 0
}

// silenced tells that somebody wants to hear nothing of the issue.
func (i *Issue) silenced() bool { return i.Status == StatusMuted || i.Status == StatusArchived }

// ran tells that an issue was seen with all images of another.
func (i *Issue) ran(w *Issue) bool {
	for _, c := range w.Images.Values {
		if i.Images.of(c.Value) == 0 {
			return false
		}
	}
	return true
}

// acted tells that somebody decided something about the issue.
func (i *Issue) acted() bool { return i.By != "" || i.Status != Open && i.Status != "" }

// absorb takes in the issues of the kin whose cause is not known well, of which the record
// shows what they are.
func (p *poster) absorb(into *Issue, incident *Incident, arrives bool) error {
	if p.part.weak || into.Status == StatusResolved || p.settled || !arrives && !p.old.weak {
		return nil
	}
	kin, err := p.tx.ByKin(into.Kin())
	if err != nil {
		return err
	}
	slices.SortFunc(kin, func(a, b *Issue) int { return strings.Compare(a.ID, b.ID) })
	for _, w := range kin {
		if p.from != nil && w.ID == p.from.ID {
			w = p.from // as it is without the record; with none left, its ID lives on
		}
		if w.ID == into.ID || w.Known > 0 || w.acted() || w.Count > 0 && !w.near(p.part.at) || !into.covers(w) ||
			into.silenced() && !into.ran(w) {
			continue
		}
		into.merge(w)
		if err := p.tx.Put(into); err != nil {
			return err
		}
		if err := p.rename(w, into, incident); err != nil {
			return err
		}
		if err := p.tx.Absorb(w, into); err != nil {
			return err
		}
		if p.from != nil && w.ID == p.from.ID {
			p.from = nil
		}
	}
	return nil
}

// covers tells that an issue has all exit codes of another.
func (i *Issue) covers(w *Issue) bool {
	for _, c := range w.ExitCodes.Values {
		if i.ExitCodes.of(c.Value) == 0 {
			return false
		}
	}
	return len(w.ExitCodes.Values) > 0 || i.Status == Open
}

// merge adds what another issue counted.
func (i *Issue) merge(w *Issue) {
	i.Count += w.Count
	i.Missed += w.Missed
	i.Open += w.Open
	i.Pods.merge(w.Pods, maxPods)
	i.Nodes.merge(w.Nodes, maxNodes)
	i.Images.merge(w.Images, maxImages)
	i.ImageIDs.merge(w.ImageIDs, maxImages)
	i.Revisions.merge(w.Revisions, maxRevisions)
	i.ExitCodes.merge(w.ExitCodes, maxCodes)
	i.Incidents.merge(w.Incidents, maxIncidents)
	for _, h := range w.Hours {
		i.Hours = addHour(i.Hours, h.Hour, h.Count)
	}
	i.Ran.merge(w.Ran)
	if !w.First.IsZero() && (i.First.IsZero() || w.First.Before(i.First)) {
		i.First, i.Oldest = w.First, w.Oldest
		if i.RegressedAt.IsZero() && w.Began != "" {
			i.Began, i.Changes = w.Began, w.Changes
		}
	}
	if w.Last.After(i.Last) {
		i.Last, i.Newest = w.Last, w.Newest
	}
	if w.Seen.After(i.Seen) {
		i.Seen = w.Seen
	}
	if w.Ended.After(i.Ended) {
		i.Ended = w.Ended
	}
}
