package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// dialect spells lists; the planner has statistics, and chooses the index.
func dialect() sqlstore.Dialect { return sqlstore.Dialect{Schema: "whyrestart."} }

// List implements store.Reader.
func (s *Store) List(ctx context.Context, q store.Query) ([]record.Record, string, error) {
	attempt := "list the records of store " + s.location
	if q.Limit <= 0 {
		q.Limit = store.DefaultLimit
	}
	after, err := sqlstore.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", attempt, err)
	}
	// One more than a page tells whether there is a next one.
	text, args := dialect().Records(q, ", doc, issue, incident", after, q.Limit+1)
	var records []record.Record
	next := ""
	err = s.read(ctx, attempt, func(ctx context.Context, tx *transaction) error {
		var places []place
		var last sqlstore.Position
		err := query(ctx, tx.tx, numbered(text), spelled(args), func(scan func(...any) error) error {
			if len(records) == q.Limit {
				next = last.Cursor()
				return nil
			}
			var doc []byte
			var p place
			if err := scan(&last.Seq, &last.At, &doc, &p.issue, &p.incident); err != nil {
				return err
			}
			r, err := s.codec.Record(doc)
			records, places = append(records, r), append(places, p)
			return err
		})
		if err != nil {
			return err
		}
		return s.refer(tx, records, places)
	})
	if err != nil {
		return nil, "", err
	}
	return records, next, nil
}

// A place is where the row of a record says that it belongs.
type place struct{ issue, incident *string }

// refer fills in the issues of records. places are theirs, in the same order.
func (s *Store) refer(tx *transaction, records []record.Record, places []place) error {
	var issues, incidents []string
	for _, p := range places {
		if id := deref(p.issue); id != "" {
			issues = append(issues, id)
		}
		if id := deref(p.incident); id != "" {
			incidents = append(incidents, id)
		}
	}
	if len(issues) == 0 {
		return nil
	}
	refs, shown := make(map[string]record.IssueRef), make(map[string]bool)
	now := s.now()
	tx.ask("SELECT doc FROM whyrestart.issues WHERE id = ANY($1)", []any{sorted(issues)}, func(scan func(...any) error) error {
		var doc []byte
		if err := scan(&doc); err != nil {
			return err
		}
		ref, err := s.codec.Ref(doc, now)
		refs[ref.ID] = ref
		return err
	})
	if len(incidents) > 0 {
		tx.ask("SELECT id FROM whyrestart.incidents WHERE shown = 1 AND id = ANY($1)", []any{sorted(incidents)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			shown[id] = true
			return err
		})
	}
	if err := tx.flush(); err != nil {
		return fmt.Errorf("read the issues of records: %w", err)
	}
	for n, p := range places {
		ref, ok := refs[deref(p.issue)]
		if !ok {
			continue
		}
		if id := deref(p.incident); shown[id] {
			ref.Incident = id
		}
		records[n].Issue = &ref
	}
	return nil
}

// Evidence implements store.Reader.
func (s *Store) Evidence(ctx context.Context, id string) (evidence.Evidence, error) {
	attempt := fmt.Sprintf("get the evidence of record %q of store %s", id, s.location)
	var packed []byte
	err := s.read(ctx, attempt, func(ctx context.Context, tx *transaction) error {
		var at rowsAt
		err := query(ctx, tx.tx, "SELECT week, seq FROM whyrestart.keys WHERE id = $1", []any{spell(id)}, at.scan)
		if err != nil || len(at.seqs) == 0 {
			return err
		}
		return query(ctx, tx.tx, `SELECT e.doc FROM whyrestart.evidence e
			WHERE e.week = $1 AND e.record = $2 AND EXISTS (SELECT FROM whyrestart.records r WHERE r.week = $1 AND r.seq = $2)`,
			[]any{at.weeks[0], at.seqs[0]}, func(scan func(...any) error) error { return scan(&packed) })
	})
	if err != nil {
		return evidence.Evidence{}, err
	}
	if packed == nil {
		return evidence.Evidence{}, fmt.Errorf("%s: %w", attempt, store.ErrNotFound)
	}
	var e evidence.Evidence
	if err := s.codec.Into(packed, &e); err != nil {
		return evidence.Evidence{}, fmt.Errorf("%s: %w", attempt, err)
	}
	return e, nil
}

func (at *rowsAt) scan(scan func(...any) error) error {
	var w int32
	var seq int64
	err := scan(&w, &seq)
	at.add(w, seq)
	return err
}

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, id string) (record.Record, error) {
	var r record.Record
	err := s.read(ctx, fmt.Sprintf("get record %q of store %s", id, s.location), func(ctx context.Context, tx *transaction) error {
		found, at, err := s.find(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case len(found) == 0 && len(id) < store.MinPrefix:
			return fmt.Errorf("%w; at least %d characters of an ID are needed", store.ErrNotFound, store.MinPrefix)
		case len(found) == 0:
			return store.ErrNotFound
		case len(found) == 2 && found[0] != spell(id):
			return fmt.Errorf("%w: it fits %s, %s and perhaps more", store.ErrAmbiguous, unspell(found[0]), unspell(found[1]))
		}
		records, err := s.recordsAt(tx, rowsAt{weeks: at.weeks[:1], seqs: at.seqs[:1]})
		if err != nil {
			return err
		}
		if records[0] == nil {
			return store.ErrNotFound // retention has it
		}
		r = *records[0]
		return nil
	})
	return r, err
}

// find returns up to two keys that begin with an ID, and where their rows are. One that is the
// beginning of others sorts first.
func (s *Store) find(ctx context.Context, tx *transaction, id string) (found []string, at rowsAt, err error) {
	key := spell(id)
	err = query(ctx, tx.tx, "SELECT id, week, seq FROM whyrestart.keys WHERE id >= $1 ORDER BY id LIMIT 2", []any{key}, func(scan func(...any) error) error {
		var name string
		var w int32
		var seq int64
		if err := scan(&name, &w, &seq); err != nil {
			return err
		}
		if name == key || len(id) >= store.MinPrefix && strings.HasPrefix(name, key) {
			found = append(found, name)
			at.add(w, seq)
		}
		return nil
	})
	return found, at, err
}
