package pipeline

import (
	"context"
	"sync"

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
}

// Append implements Ledger.
func (m *Memory) Append(_ context.Context, b store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range b.Records {
		r = m.remember(r)
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

var _ Ledger = (*Memory)(nil)
