package issue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// near is how far from the times of an issue a stop may be to be taken for one of it although
// its own cause is not known.
const near = 24 * time.Hour

const (
	// A container that has maxKin issues of its kin from one day, or maxKinEver in all, has one more
	// for everything else, whose signature is others.
	maxKin     = 50
	maxKinEver = 300
	others     = "*"

	maxChanges = 10
	maxFields  = 40 // of all changes together
)

// Post counts a record that is stored, or stored anew, and returns where it belongs. old is
// what was stored of it, with its log, nil for the first time, and was where that was
// counted. The caller stores the place with the record before it posts the next one, so
// that Span knows it.
//
// A record is counted once, in one issue: posting it again changes nothing, and where it says
// something else, what it added is taken back first, also from another issue. An issue that is
// left with no records is deleted unless somebody acted on it. What a record did to the state of
// an issue is not taken back with it: a regression has been.
//
// A record belongs to the issue of its own fingerprint. One whose cause is not known as well as
// that of its siblings (no confidence; or app_exit, its log not read) goes to the newest issue of
// its kin whose cause is known, if that has its exit code and was seen within a day of it. So a
// crash loop whose events get lost now and then is one issue, in which such a record stays
// until something better is known of it. The record keeps its own diagnosis, and Known tells
// how many of an issue are not of this sort. Where the one with the known cause comes second,
// its issue absorbs the other one, unless somebody acted on that.
func Post(tx Tx, old *record.Record, was Place, next *record.Record) (Place, error) {
	key := KeyOf(next)
	p := poster{tx: tx, next: next, key: key, part: partOf(next, &key), fingerprint: key.Fingerprint()}
	if err := p.load(old, was); err != nil {
		return Place{}, fmt.Errorf("what it was counted in: %w", err)
	}
	into, err := p.target()
	if err != nil {
		return Place{}, fmt.Errorf("find its issue: %w", err)
	}
	incident, err := p.around()
	if err != nil {
		return Place{}, fmt.Errorf("find its incident: %w", err)
	}
	if err := p.move(into, incident); err != nil {
		return Place{}, err
	}
	out := Place{Issue: into.ID}
	if incident != nil {
		out.Incident = incident.ID
	}
	return out, nil
}

// poster is one Post.
type poster struct {
	tx          Tx
	next        *record.Record
	key         Key
	part        part
	fingerprint string

	// What was counted before, and in what: nil where it was not.
	old      *part
	from     *Issue
	was      string // the ID of from
	fromInc  *Incident
	isNew    bool // the issue that it goes to
	joining  bool // it goes to the issue of another fingerprint
	reopened bool
	settled  bool // there is nothing to absorb
}

// load finds what the record was counted in.
func (p *poster) load(old *record.Record, was Place) error {
	if old == nil {
		return nil
	}
	var err error
	if was.Issue != "" {
		if p.from, err = p.tx.ByID(was.Issue); err != nil {
			return err
		}
	}
	if p.from != nil {
		p.was = p.from.ID
	}
	if was.Incident != "" {
		if p.fromInc, err = p.tx.Incident(was.Incident); err != nil {
			return err
		}
	}
	if p.from == nil && p.fromInc == nil {
		return nil
	}
	k := KeyOf(old)
	o := partOf(old, &k)
	o.id = p.part.id
	p.old = &o
	p.reopened = !o.open && p.part.open
	return nil
}

// target returns the issue that the record goes to; it may be a new one.
func (p *poster) target() (*Issue, error) {
	own := p.from
	if own == nil || own.Fingerprint != p.fingerprint {
		var err error
		if own, err = p.tx.ByFingerprint(p.fingerprint); err != nil {
			return nil, err
		}
	}
	if p.part.weak {
		j, err := p.join(own)
		if err != nil {
			return nil, err
		}
		if j != nil {
			p.joining = j.Fingerprint != p.fingerprint
			return j, nil
		}
	}
	if own != nil {
		return own, nil
	}
	if own, err := p.others(); own != nil || err != nil {
		return own, err
	}
	id, err := idOf("WR-", p.fingerprint, func(id string) (bool, error) {
		i, err := p.tx.ByID(id)
		// One that was absorbed by its kin, and comes back, has the ID that it had.
		return i != nil && (i.ID == id || i.Kin() != p.key.kin(p.next.Category)), err
	})
	p.isNew = true
	return &Issue{ID: id, Fingerprint: p.fingerprint, Key: p.key, Category: p.next.Category, Status: Open}, err
}

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
		// A stop of which so little is known does not bring back what was resolved.
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

// acted tells that somebody decided something about the issue.
func (i *Issue) acted() bool { return i.By != "" || i.Status != Open && i.Status != "" }

// move takes the record out of where it was and counts it where it belongs.
func (p *poster) move(into *Issue, incident *Incident) error {
	same := p.from != nil && p.from.ID == into.ID
	if same {
		into = p.from
	}
	arrives := !same || p.reopened
	changed := p.isNew || p.old == nil || *p.old != p.part || !same
	var moved bool // from one incident to another
	if a, b := p.fromInc, incident; a != nil && b != nil {
		moved = a.ID != b.ID
	} else {
		moved = a != b
	}

	if p.from != nil && (changed || moved) {
		if err := p.take(same); err != nil {
			return err
		}
	}
	// What came within a day of it, and with this exit code, has joined it already.
	p.settled = !p.isNew && into.Known > 0 && into.Status != StatusResolved && into.near(p.part.at) && into.fits(&p.part) && (p.from == nil || same)
	if arrives {
		into.arrive(&p.part, p.reopened)
	}
	if p.old == nil || changed || moved {
		into.count(&p.part, 1)
		if incident != nil {
			into.Incidents.Add(incident.ID, p.part.seen, 1, maxIncidents)
		}
		if !same || p.part.at != p.old.at {
			into.widen(&p.part)
		} else if p.part.ended.After(into.Ended) {
			into.Ended = p.part.ended
		}
	}
	told := into.tell(p.next, &p.part, p.joining)
	if arrives {
		into.escalate(&p.part)
	}
	if err := p.absorb(into, incident, arrives); err != nil {
		return fmt.Errorf("absorb what was not known well: %w", err)
	}
	if changed || moved || told {
		if err := p.tx.Put(into); err != nil {
			return fmt.Errorf("issue %s: %w", into.ID, err)
		}
	}
	if p.from != nil && !same {
		if err := p.leave(); err != nil {
			return fmt.Errorf("issue %s: %w", p.from.ID, err)
		}
	}
	if !changed && !moved {
		return nil
	}
	if err := p.incidents(into, incident); err != nil {
		return fmt.Errorf("incident: %w", err)
	}
	return nil
}

// take takes the record out of the issue that it was counted in.
func (p *poster) take(same bool) error {
	f := p.from
	f.count(p.old, -1)
	if p.fromInc != nil {
		f.Incidents.Add(p.fromInc.ID, p.old.at, -1, maxIncidents)
	}
	if same && p.old.at.Equal(p.part.at) {
		return nil
	}
	if !same && f.Best == p.part.id {
		f.Best, f.BestAt = "", time.Time{}
	}
	began := !same && f.Began == p.part.id
	if began {
		f.Began, f.Changes = "", nil
	}
	if f.Count == 0 {
		if !same {
			defer f.undo(p.old)
		}
		f.First, f.Last, f.Seen, f.Ended, f.Oldest, f.Newest = time.Time{}, time.Time{}, time.Time{}, time.Time{}, "", ""
		return nil
	}
	err := narrow(&f.First, &f.Last, &f.Oldest, &f.Newest, p.old, func() (Point, Point, error) { return p.tx.Span(f.ID, p.part.id) })
	if err != nil {
		return fmt.Errorf("what is left of issue %s: %w", f.ID, err)
	}
	if began {
		f.Began = f.Oldest
	}
	if !same {
		f.undo(p.old)
	}
	return nil
}

// leave stores the issue that the record was taken from, or deletes it.
func (p *poster) leave() error {
	if p.from.Count == 0 && !p.from.acted() {
		return p.tx.Delete(p.from.ID)
	}
	return p.tx.Put(p.from)
}

// tell takes over what the record says, and returns whether that is something else.
func (i *Issue) tell(r *record.Record, p *part, joining bool) bool {
	told := false
	if i.Oldest == p.id && i.RegressedAt.IsZero() && i.Began != p.id {
		i.Began, told = p.id, true
	}
	if i.Began == "" {
		i.Began, told = cmp.Or(i.Oldest, p.id), true
	}
	if i.Began == p.id {
		if c := changesOf(r); !slices.EqualFunc(c, i.Changes, sameChange) {
			i.Changes, told = c, true
		}
	}
	// A record whose own cause is not known well says nothing about an issue whose cause is.
	only := !p.weak && i.Known == 1
	if joining || p.weak && i.Known > 0 || i.Best != "" && i.Best != p.id && !only && i.knowsMore(r, p) {
		return told
	}
	if i.Best != p.id || i.BestAt != p.at {
		i.Best, i.BestAt, told = p.id, p.at, true
	}
	d := &r.Diagnosis
	detail, confidence, summary, category := cut(d.Detail, maxName), record.Confidence(cut(string(d.Confidence), maxName)), cut(d.Summary, maxText), record.Category(p.category)
	if i.Detail != detail || i.Confidence != confidence || i.Summary != summary || i.Category != category {
		i.Detail, i.Confidence, i.Summary, i.Category = detail, confidence, summary, category
		told = true
	}
	return told
}

// knowsMore tells that what the issue says by another record is surer than what r says, or as
// sure and newer. What is not confirmed comes after what is where the kubelet's events are
// dropped, as those of a pod that goes on and on are: it is then likely, as it was before.
func (i *Issue) knowsMore(r *record.Record, p *part) bool {
	was, is := i.Confidence == record.Confirmed, r.Diagnosis.Confidence == record.Confirmed
	if was != is {
		return was
	}
	return p.at.Before(i.BestAt)
}

func changesOf(r *record.Record) []record.Change {
	var out []record.Change
	left := maxFields
	for _, c := range r.Changes[:min(len(r.Changes), maxChanges)] {
		c.Kind, c.Object, c.From, c.To = cut(c.Kind, maxName), cut(c.Object, maxText), cut(c.From, maxName), cut(c.To, maxName)
		c.By, c.Text, c.Time = cut(c.By, maxName), cut(c.Text, maxText), utc(c.Time)
		c.Fields = slices.Clone(c.Fields[:min(len(c.Fields), left)])
		left -= len(c.Fields)
		for j := range c.Fields {
			f := &c.Fields[j]
			f.Field, f.Old, f.New = cut(f.Field, maxName), cut(f.Old, maxText), cut(f.New, maxText)
		}
		out = append(out, c)
	}
	return out
}

func sameChange(a, b record.Change) bool {
	return a.Kind == b.Kind && a.Object == b.Object && a.Time.Equal(b.Time) && a.From == b.From && a.To == b.To && a.By == b.By && a.Text == b.Text &&
		slices.Equal(a.Fields, b.Fields)
}

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
		if w.ID == into.ID || w.Known > 0 || w.acted() || w.Count > 0 && !w.near(p.part.at) || !into.covers(w) {
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
