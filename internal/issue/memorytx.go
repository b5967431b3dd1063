package issue

import (
	"slices"
	"time"
)

var _ Tx = (*Memory)(nil)

func (m *Memory) get(id string) *Issue {
	if i := m.issues[id]; i != nil {
		return i
	}
	return m.issues[m.aliases[id]]
}

// ByFingerprint implements Tx.
func (m *Memory) ByFingerprint(fingerprint string) (*Issue, error) {
	return m.issues[m.prints[fingerprint]], nil
}

// ByID implements Tx.
func (m *Memory) ByID(id string) (*Issue, error) { return m.get(id), nil }

// ByKin implements Tx.
func (m *Memory) ByKin(kin string) ([]*Issue, error) {
	var out []*Issue
	for _, id := range m.kin[kin] {
		out = append(out, m.issues[id])
	}
	return out, nil
}

// Put implements Tx.
func (m *Memory) Put(i *Issue) error {
	m.issues[i.ID], m.prints[i.Fingerprint] = i, i.ID
	if into, ok := m.aliases[i.ID]; ok { // it was absorbed, and is back
		delete(m.aliases, i.ID)
		m.absorbed[into] = slices.DeleteFunc(m.absorbed[into], func(id string) bool { return id == i.ID })
	}
	kin := i.Kin()
	if m.kinOf[i.ID] == kin {
		return nil
	}
	m.dropKin(i.ID)
	m.kinOf[i.ID] = kin
	m.kin[kin] = append(m.kin[kin], i.ID)
	return nil
}

func (m *Memory) dropKin(id string) {
	kin, ok := m.kinOf[id]
	if !ok {
		return
	}
	delete(m.kinOf, id)
	m.kin[kin] = slices.DeleteFunc(m.kin[kin], func(other string) bool { return other == id })
	if len(m.kin[kin]) == 0 {
		delete(m.kin, kin)
	}
}

// Delete implements Tx.
func (m *Memory) Delete(id string) error {
	m.remove(id)
	return nil
}

func (m *Memory) remove(id string) {
	if i := m.issues[id]; i != nil {
		delete(m.prints, i.Fingerprint)
	}
	for _, alias := range m.absorbed[id] {
		if m.aliases[alias] == id {
			delete(m.aliases, alias)
		}
	}
	delete(m.absorbed, id)
	m.dropKin(id)
	delete(m.issues, id)
	delete(m.members, id)
}

// Absorb implements Tx.
func (m *Memory) Absorb(from, into *Issue) error {
	for id := range m.members[from.ID] {
		m.enter(into.ID, id)
		m.records[id].place.Issue = into.ID
	}
	for _, alias := range append(m.absorbed[from.ID], from.ID) {
		m.aliases[alias] = into.ID
		m.absorbed[into.ID] = append(m.absorbed[into.ID], alias)
	}
	m.remove(from.ID)
	return nil
}

// Span implements Tx.
func (m *Memory) Span(id, without string) (first, last Point, err error) {
	first, last = m.span(id, without)
	return first, last, nil
}

// SpanOfIncident implements Tx.
func (m *Memory) SpanOfIncident(id, without string) (first, last Point, err error) {
	first, last = m.span(id, without)
	return first, last, nil
}

func (m *Memory) span(of, without string) (first, last Point) {
	for id := range m.members[of] {
		if id == without {
			continue
		}
		r := &m.records[id].record
		p := Point{ID: id, Time: r.When()}
		if first.ID == "" || before(p, first) {
			first = p
		}
		if last.ID == "" || before(last, p) {
			last = p
		}
	}
	return first, last
}

func before(a, b Point) bool { return a.Time.Before(b.Time) || a.Time.Equal(b.Time) && a.ID < b.ID }

// Incident implements Tx.
func (m *Memory) Incident(id string) (*Incident, error) { return m.incidents[id], nil }

func subjectKey(cluster, kind, subject string) string {
	return cluster + "\x00" + kind + "\x00" + subject
}

// Around implements Tx.
func (m *Memory) Around(cluster, kind, subject string, since time.Time) (*Incident, error) {
	var best *Incident
	for _, id := range m.subjects[subjectKey(cluster, kind, subject)] {
		if i := m.incidents[id]; !i.Last.Before(since) && (best == nil || i.Last.After(best.Last)) {
			best = i
		}
	}
	return best, nil
}

// PutIncident implements Tx.
func (m *Memory) PutIncident(i *Incident) error {
	if m.incidents[i.ID] == nil {
		k := subjectKey(i.Cluster, i.Kind, i.Subject)
		m.subjects[k] = append(m.subjects[k], i.ID)
	}
	m.incidents[i.ID] = i
	return nil
}

// DeleteIncident implements Tx.
func (m *Memory) DeleteIncident(id string) error {
	m.removeIncident(id)
	return nil
}

func (m *Memory) removeIncident(id string) {
	i := m.incidents[id]
	if i == nil {
		return
	}
	k := subjectKey(i.Cluster, i.Kind, i.Subject)
	m.subjects[k] = slices.DeleteFunc(m.subjects[k], func(other string) bool { return other == id })
	if len(m.subjects[k]) == 0 {
		delete(m.subjects, k)
	}
	delete(m.incidents, id)
	delete(m.members, id)
}
