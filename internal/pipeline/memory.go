package pipeline

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// remembered is how many records a Memory keeps after they were acknowledged, so that
// late evidence for them does not lose what was collected before.
const remembered = 2000

// counted is of how many records a Memory remembers in which issue they are counted, so that
// one that comes again is not counted twice. That takes little of each.
const counted = 5 * remembered

// Memory is a Ledger for one consumer of a process that keeps no history, such as a
// watch in a terminal. It counts what it is given in issues, as a store does, and tells each
// record its own.
type Memory struct {
	// Now is the clock by which issues have a state; nil for time.Now.
	Now func() time.Time

	mu      sync.Mutex
	changes []store.Change
	seq     int64
	known   map[string]record.Record
	order   []string // of known, oldest first
	// evidence is that of known ones.
	evidence map[string]evidence.Evidence
	issues   *issue.Memory
}

// Append implements Ledger.
func (m *Memory) Append(_ context.Context, b store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range b.Evidence {
		if m.evidence == nil {
			m.evidence = make(map[string]evidence.Evidence)
		}
		m.evidence[id] = e
	}
	if m.issues == nil {
		m.issues = issue.NewMemory(counted)
	}
	for _, r := range b.Records {
		r.Issue = nil
		old, known := m.known[r.ID]
		if r = m.remember(r); known && reflect.DeepEqual(old, r) {
			continue
		}
		if _, err := m.issues.Post(r); err != nil {
			return fmt.Errorf("count record %s in its issue: %w", r.ID, err)
		}
		if c := m.waiting(r.ID); c != nil {
			c.Record = r
			continue
		}
		m.seq++
		m.changes = append(m.changes, store.Change{Seq: m.seq, Record: r})
	}
	return nil
}

func (m *Memory) remember(r record.Record) record.Record {
	if m.known == nil {
		m.known = make(map[string]record.Record)
	}
	if old, ok := m.known[r.ID]; ok {
		r = record.Refine(old, r)
	} else if m.order = append(m.order, r.ID); len(m.order) > remembered {
		delete(m.known, m.order[0])
		delete(m.evidence, m.order[0])
		m.order = m.order[1:]
	}
	m.known[r.ID] = r
	return r
}

// waiting finds the change of a record that was not acknowledged yet: a record that
// changes again keeps its place.
func (m *Memory) waiting(id string) *store.Change {
	for i := range m.changes {
		if m.changes[i].Record.ID == id {
			return &m.changes[i]
		}
	}
	return nil
}

// Changes implements Ledger.
func (m *Memory) Changes(_ context.Context, _ store.Outbox, limit int) ([]store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.changes[:min(limit, len(m.changes))])
	for i := range out {
		m.refer(&out[i].Record)
	}
	return out, nil
}

// refer tells a record its issue.
func (m *Memory) refer(r *record.Record) {
	if m.issues == nil {
		return
	}
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	r.Issue = m.issues.Ref(r.ID, now())
}

// Incident returns an incident that has enough members to be told of.
func (m *Memory) Incident(id string) (issue.Incident, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.issues == nil {
		return issue.Incident{}, false
	}
	i, err := m.issues.Incident(id)
	if err != nil || i == nil || !i.Shown() {
		return issue.Incident{}, false
	}
	return i.Clone(), true
}

// Acknowledge implements Ledger.
func (m *Memory) Acknowledge(_ context.Context, _ store.Outbox, seq int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(m.changes) && m.changes[n].Seq <= seq {
		n++
	}
	m.changes = append([]store.Change(nil), m.changes[n:]...)
	return nil
}

// Marks implements Ledger: there was no earlier run.
func (m *Memory) Marks(context.Context, string, func(record.Mark) bool) error { return nil }

// Scopes implements Ledger: nothing was watched before.
func (m *Memory) Scopes(context.Context, string) (map[string]store.Scope, error) { return nil, nil }

// List implements HistoryReader, for what a collector asks: the newest of a container of a
// pod, or nothing of earlier runs.
func (m *Memory) List(_ context.Context, q store.Query) ([]record.Record, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []record.Record
	for _, id := range slices.Backward(m.order) {
		r := m.known[id]
		if q.PodUID != "" && r.PodUID != q.PodUID || q.Container != "" && r.Container != q.Container ||
			q.Kind != "" && r.Kind != q.Kind || q.Open && (r.Stall == nil || !r.End.IsZero()) {
			continue
		}
		r.Log = nil
		m.refer(&r)
		if out = append(out, r); q.Limit > 0 && len(out) == q.Limit {
			break
		}
	}
	return out, "", nil
}

// Get implements Archive.
func (m *Memory) Get(_ context.Context, id string) (record.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.known[id]; ok {
		r = r.Clone()
		m.refer(&r)
		return r, nil
	}
	return record.Record{}, store.ErrNotFound
}

// Evidence implements Archive.
func (m *Memory) Evidence(_ context.Context, id string) (evidence.Evidence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.evidence[id]; ok {
		return e, nil
	}
	return evidence.Evidence{}, store.ErrNotFound
}

var (
	_ Ledger  = (*Memory)(nil)
	_ Archive = (*Memory)(nil)
)
