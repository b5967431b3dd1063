package issue

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
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
// left with no records is deleted unless somebody acted on it. With the last record that brought
// an issue back, or made it escalate, that is taken back as well. The times in tallies, the
// extremes of Ran and the text of an issue stay as they are.
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
	p.settled = !p.isNew && into.Known > 0 && into.Status != StatusResolved && !into.silenced() && into.near(p.part.at) && into.fits(&p.part) && (p.from == nil || same)
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
