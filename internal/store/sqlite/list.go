package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// List implements store.Reader.
func (s *Store) List(ctx context.Context, q store.Query) ([]record.Record, string, error) {
	attempt := "list the records of store " + s.path
	if q.Limit <= 0 {
		q.Limit = store.DefaultLimit
	}
	after, err := sqlstore.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", attempt, err)
	}
	// One more than a page tells whether there is a next one.
	text, args := listStatement(q, after, q.Limit+1)
	var records []record.Record
	next := ""
	err = s.view(ctx, func(tx *sql.Tx) error {
		var places []place
		var last sqlstore.Position
		err := query(ctx, tx, text, args, func(scan func(...any) error) error {
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
		return s.refer(ctx, tx, records, places)
	})
	if err != nil {
		return nil, "", readError(attempt, err)
	}
	return records, next, nil
}

// dialect spells lists so that each statement names the index to read from: the planner has no
// statistics of the file to choose by, and an index that an edit of the schema made unusable shows as
// an error instead of as a full scan.
func dialect() sqlstore.Dialect { return sqlstore.Dialect{Indexed: true} }

// listStatement returns the SQL of a page.
func listStatement(q store.Query, after sqlstore.Position, limit int) (string, []any) {
	return dialect().Records(q, ", doc, issue, incident", after, limit)
}

const evidenceStatement = `
	SELECT e.doc FROM records r JOIN evidence e ON e.record = r.seq WHERE r.id = ?`

// Evidence implements store.Reader.
func (s *Store) Evidence(ctx context.Context, id string) (evidence.Evidence, error) {
	attempt := fmt.Sprintf("get the evidence of record %q of store %s", id, s.path)
	var packed []byte
	err := s.reader.QueryRowContext(ctx, evidenceStatement, id).Scan(&packed)
	if errors.Is(err, sql.ErrNoRows) {
		return evidence.Evidence{}, fmt.Errorf("%s: %w", attempt, store.ErrNotFound)
	}
	if err != nil {
		return evidence.Evidence{}, readError(attempt, err)
	}
	var e evidence.Evidence
	if err := s.codec.Into(packed, &e); err != nil {
		return evidence.Evidence{}, fmt.Errorf("%s: %w", attempt, err)
	}
	return e, nil
}

const getStatement = `
	SELECT r.id, r.doc, l.doc, r.issue, r.incident FROM records r LEFT JOIN logs l ON l.record = r.seq
	WHERE r.id >= ? AND r.id < ? ORDER BY r.id LIMIT 2`

// Get implements store.Reader.
func (s *Store) Get(ctx context.Context, id string) (record.Record, error) {
	r, err := s.get(ctx, id)
	if err != nil {
		return record.Record{}, readError(fmt.Sprintf("get record %q of store %s", id, s.path), err)
	}
	return r, nil
}

func (s *Store) get(ctx context.Context, id string) (record.Record, error) {
	// The upper bound sorts behind every text that begins with id. An ID that is itself the
	// beginning of others sorts first.
	upper := id + "\xff"
	if len(id) < store.MinPrefix {
		upper = id + "\x00"
	}
	var found []string
	var r record.Record
	err := s.view(ctx, func(tx *sql.Tx) error {
		var doc, log []byte
		var p place
		err := query(ctx, tx, getStatement, []any{id, upper}, func(scan func(...any) error) error {
			var name string
			if len(found) > 0 {
				var d, l []byte
				var other place
				err := scan(&name, &d, &l, &other.issue, &other.incident)
				found = append(found, name)
				return err
			}
			err := scan(&name, &doc, &log, &p.issue, &p.incident)
			found = append(found, name)
			return err
		})
		if err != nil {
			return err
		}
		switch {
		case len(found) == 0 && len(id) < store.MinPrefix:
			return fmt.Errorf("%w; at least %d characters of an ID are needed", store.ErrNotFound, store.MinPrefix)
		case len(found) == 0:
			return store.ErrNotFound
		case len(found) == 2 && found[0] != id:
			return fmt.Errorf("%w: it fits %s, %s and perhaps more", store.ErrAmbiguous, found[0], found[1])
		}
		if r, err = s.codec.Decode(doc, log); err != nil {
			return err
		}
		one := []record.Record{r}
		err = s.refer(ctx, tx, one, []place{p})
		r = one[0]
		return err
	})
	return r, err
}
