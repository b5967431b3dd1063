package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Incidents implements store.Reader.
func (s *Store) Incidents(ctx context.Context, q store.IncidentQuery) ([]issue.Incident, error) {
	attempt := "list the incidents of store " + s.path
	text, args := dialect().Incidents(q)
	var out []issue.Incident
	err := query(ctx, s.reader, text, args, func(scan func(...any) error) error {
		var seq, at int64
		var doc []byte
		if err := scan(&seq, &at, &doc); err != nil {
			return err
		}
		i, err := s.codec.Incident(doc)
		out = append(out, i)
		return err
	})
	if err != nil {
		return nil, readError(attempt, err)
	}
	return out, nil
}

const incidentStatement = `SELECT doc FROM incidents WHERE id = ?`

// Incident implements store.Reader.
func (s *Store) Incident(ctx context.Context, id string) (issue.Incident, error) {
	attempt := fmt.Sprintf("get incident %q of store %s", id, s.path)
	var doc []byte
	err := s.reader.QueryRowContext(ctx, incidentStatement, sqlstore.IncidentID(id)).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return issue.Incident{}, readError(attempt, err)
	}
	i, err := s.codec.Incident(doc)
	if err != nil {
		return issue.Incident{}, fmt.Errorf("%s: %w", attempt, err)
	}
	return i, nil
}
