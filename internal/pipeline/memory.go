package pipeline

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// remembered is how many records a Memory keeps after they were acknowledged, so that
// late evidence for them does not lose what was collected before.
const remembered = 2000

// Memory is a Ledger for one consumer of a process that keeps no history, such as a
// watch in a terminal.
type Memory struct {
	mu      sync.Mutex
	changes []store.Change
	seq     int64
	known   map[string]record.Record
	order   []string // of known, oldest first
	// evidence is that of known ones.
	evidence map[string]evidence.Evidence
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
	for _, r := range b.Records {
		old, known := m.known[r.ID]
		if r = m.remember(r); known && reflect.DeepEqual(old, r) {
			continue
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
func (m *Memory) Changes(_ context.Context, _ string, limit int) ([]store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(limit, len(m.changes))
	return append([]store.Change(nil), m.changes[:n]...), nil
}

// Acknowledge implements Ledger.
func (m *Memory) Acknowledge(_ context.Context, _ string, seq int64) error {
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

// Scope implements Ledger: nothing was watched before.
func (m *Memory) Scope(context.Context, string, string) (store.Scope, error) {
	return store.Scope{}, nil
}

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
		return r.Clone(), nil
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
