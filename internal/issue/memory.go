package issue

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Memory keeps issues and incidents of records that nobody stores: those of a dump, or of a
// watch in a terminal. The logic is that of a store.
//
// It is bounded: of the records it remembers the newest ones, as retention does, so that counts
// stay when records are forgotten; a record that comes again after that is counted again. Of
// issues and incidents it keeps those seen last. It is not safe for concurrent use.
type Memory struct {
	limit int
	// records are what Post needs of the records that are remembered; order is that in which
	// they came.
	records map[string]*remembered
	order   []string
	posting string

	issues  map[string]*Issue // by ID
	prints  map[string]string // fingerprint to ID
	aliases map[string]string // absorbed ID to ID
	// absorbed are the aliases of an issue.
	absorbed map[string][]string
	kin      map[string][]string
	kinOf    map[string]string              // by issue
	members  map[string]map[string]struct{} // records by issue or incident

	incidents map[string]*Incident
	subjects  map[string][]string // incidents by cluster, kind and subject
}

// Bounds of a Memory.
const (
	// DefaultRemembered is how many records a Memory remembers that was made with no limit.
	DefaultRemembered = 20000
	maxIssues         = 20000
)

type remembered struct {
	record record.Record
	place  Place
}

// NewMemory returns a Memory that remembers so many records; zero is DefaultRemembered.
func NewMemory(limit int) *Memory {
	if limit <= 0 {
		limit = DefaultRemembered
	}
	return &Memory{
		limit: limit, records: make(map[string]*remembered),
		issues: make(map[string]*Issue), prints: make(map[string]string), aliases: make(map[string]string), absorbed: make(map[string][]string),
		kin: make(map[string][]string), kinOf: make(map[string]string), members: make(map[string]map[string]struct{}),
		incidents: make(map[string]*Incident), subjects: make(map[string][]string),
	}
}

// Post counts a record, or counts it anew where it came before, as it is then by record.Refine.
// It returns where it belongs.
func (m *Memory) Post(r record.Record) (Place, error) {
	next := slim(&r)
	var old *record.Record
	var was Place
	known := m.records[r.ID]
	if known != nil {
		old, was = &known.record, known.place
		next = record.Refine(known.record, next)
	}
	m.posting = r.ID
	defer func() { m.posting = "" }()
	place, err := Post(m, old, was, &next)
	if err != nil {
		return Place{}, err
	}
	if known == nil {
		known = new(remembered)
		m.records[r.ID] = known
		m.order = append(m.order, r.ID)
	} else {
		m.leave(was.Issue, r.ID)
		m.leave(was.Incident, r.ID)
	}
	known.record, known.place = next, place
	m.enter(place.Issue, r.ID)
	m.enter(place.Incident, r.ID)
	m.bound()
	return place, nil
}

// slim is what Post needs of a record.
func slim(r *record.Record) record.Record {
	s := *r
	d := &r.Diagnosis
	s.Diagnosis = record.Diagnosis{Cause: d.Cause, Detail: d.Detail, Confidence: d.Confidence, Summary: d.Summary, Signature: d.Signature, Target: d.Target}
	s.Log = nil
	if r.Log != nil && len(r.Log.Lines) > 0 {
		s.Log = &record.Log{Lines: []string{""}} // that it was read
	}
	s.Life, s.Issue = nil, nil
	if s.Stop != nil && len(s.Message) > 0 {
		stop := *s.Stop
		stop.Message = "-"
		s.Stop = &stop
	}
	return s.Clone()
}

func (m *Memory) enter(of, id string) {
	if of == "" {
		return
	}
	if m.members[of] == nil {
		m.members[of] = make(map[string]struct{})
	}
	m.members[of][id] = struct{}{}
}

func (m *Memory) leave(of, id string) {
	if delete(m.members[of], id); len(m.members[of]) == 0 {
		delete(m.members, of)
	}
}

// bound forgets the oldest records, and the issues and incidents seen longest ago.
func (m *Memory) bound() {
	for len(m.order) > m.limit {
		id := m.order[0]
		m.order = m.order[1:]
		if r := m.records[id]; r != nil {
			place := m.Place(id)
			m.leave(place.Issue, id)
			m.leave(place.Incident, id)
			delete(m.records, id)
		}
	}
	if len(m.issues) > maxIssues {
		all := slices.Collect(maps.Values(m.issues))
		slices.SortFunc(all, func(a, b *Issue) int { return cmp.Or(a.Last.Compare(b.Last), strings.Compare(a.ID, b.ID)) })
		for _, i := range all[:maxIssues/10] {
			m.remove(i.ID)
		}
	}
	if len(m.aliases) > maxIssues {
		clear(m.aliases)
		clear(m.absorbed)
	}
	if len(m.incidents) > maxIssues {
		all := slices.Collect(maps.Values(m.incidents))
		slices.SortFunc(all, func(a, b *Incident) int { return cmp.Or(a.Last.Compare(b.Last), strings.Compare(a.ID, b.ID)) })
		for _, i := range all[:maxIssues/10] {
			m.removeIncident(i.ID)
		}
	}
}

// Place returns where a record belongs that is remembered.
func (m *Memory) Place(id string) Place {
	if r := m.records[id]; r != nil {
		return r.place
	}
	return Place{}
}

// Ref returns what a record with this ID says of its issue, nil where nothing is known of it.
func (m *Memory) Ref(id string, now time.Time) *record.IssueRef {
	p := m.Place(id)
	i := m.get(p.Issue)
	if i == nil {
		return nil
	}
	ref := &record.IssueRef{ID: i.ID, State: string(i.state(now)), Count: i.Count, Pods: len(i.Pods.Values), MorePods: i.Pods.More}
	if inc := m.incidents[p.Incident]; inc != nil && inc.Shown() {
		ref.Incident = inc.ID
	}
	return ref
}

// Issues returns all issues as they are at a time, in the order of Compare.
func (m *Memory) Issues(now time.Time) []Issue {
	all := slices.Collect(maps.Values(m.issues))
	slices.SortFunc(all, Compare(now))
	out := make([]Issue, len(all))
	for n, i := range all {
		out[n] = i.Clone()
		out[n].At(now)
	}
	return out
}

// Issue returns the issue with an ID, or with that of one that it absorbed, as it is at a time.
func (m *Memory) Issue(id string, now time.Time) (Issue, bool) {
	i := m.get(id)
	if i == nil {
		return Issue{}, false
	}
	out := i.Clone()
	out.At(now)
	return out, true
}

// Amend applies an action to an issue.
func (m *Memory) Amend(id string, a Action) (Issue, error) {
	i := m.get(id)
	if i == nil {
		return Issue{}, fmt.Errorf("there is no issue %s", id)
	}
	if err := i.Amend(a); err != nil {
		return Issue{}, err
	}
	return i.Clone(), nil
}

// Incidents returns the incidents that are shown, the newest first.
func (m *Memory) Incidents() []Incident {
	var out []Incident
	for _, i := range m.incidents {
		if i.Shown() {
			out = append(out, i.Clone())
		}
	}
	slices.SortFunc(out, func(a, b Incident) int { return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.ID, b.ID)) })
	return out
}

// Clone returns a copy that shares no memory that either may write to.
func (i *Issue) Clone() Issue {
	c := *i
	if i.ExitCode != nil {
		code := *i.ExitCode
		c.ExitCode = &code
	}
	for _, t := range []*Tally{&c.Pods, &c.Nodes, &c.Images, &c.ImageIDs, &c.Revisions, &c.ExitCodes, &c.Incidents} {
		*t = t.clone()
	}
	c.Hours = slices.Clone(i.Hours)
	c.Changes = slices.Clone(i.Changes)
	for n := range c.Changes {
		c.Changes[n].Fields = slices.Clone(c.Changes[n].Fields)
	}
	if i.Prior != nil {
		prior := *i.Prior
		c.Prior = &prior
	}
	return c
}

// Clone returns a copy that shares no memory that either may write to.
func (i *Incident) Clone() Incident {
	c := *i
	for _, t := range []*Tally{&c.Issues, &c.Workloads, &c.Pods, &c.Causes, &c.Nodes, &c.Categories} {
		*t = t.clone()
	}
	return c
}

// Group makes issues and incidents of records that nobody keeps, and tells the records theirs.
// Issues are as they are at the time, in the order of Compare; incidents are those that are shown.
func Group(records []record.Record, now time.Time) ([]Issue, []Incident) {
	order := make([]int, len(records))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(records[a].When().Compare(records[b].When()), strings.Compare(records[a].ID, records[b].ID))
	})
	m := NewMemory(max(len(records), 1))
	ids := make([]string, len(records))
	for _, n := range order {
		r := records[n]
		if r.ID == "" {
			r.ID = fmt.Sprintf("record %d", n) // not one of those with an ID, and another than its like
		}
		ids[n] = r.ID
		if _, err := m.Post(r); err != nil {
			ids[n] = "" // a Memory gives no errors
		}
	}
	for n := range records {
		records[n].Issue = m.Ref(ids[n], now)
	}
	return m.Issues(now), m.Incidents()
}
