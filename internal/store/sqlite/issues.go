package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

var errTODO = errors.New("not written yet")

// Issues implements store.Reader.
func (s *Store) Issues(context.Context, store.IssueQuery) ([]issue.Issue, string, error) {
	return nil, "", errTODO
}

// Issue implements store.Reader.
func (s *Store) Issue(context.Context, string) (issue.Issue, error) { return issue.Issue{}, errTODO }

// Incidents implements store.Reader.
func (s *Store) Incidents(context.Context, store.IncidentQuery) ([]issue.Incident, error) {
	return nil, errTODO
}

// Incident implements store.Reader.
func (s *Store) Incident(context.Context, string) (issue.Incident, error) {
	return issue.Incident{}, errTODO
}

// Observations implements store.Reader.
func (s *Store) Observations(context.Context, string, string, time.Time) ([]record.Observation, error) {
	return nil, errTODO
}

// Amend implements store.Writer.
func (s *Store) Amend(context.Context, string, issue.Action) (issue.Issue, error) {
	return issue.Issue{}, errTODO
}
