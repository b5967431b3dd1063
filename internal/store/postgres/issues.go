package postgres

import (
	"context"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Issues implements store.Reader.
func (s *Store) Issues(ctx context.Context, q store.IssueQuery) ([]issue.Issue, string, error) {
	attempt := "list the issues of store " + s.location
	if q.Limit <= 0 {
		q.Limit = store.DefaultLimit
	}
	after, err := sqlstore.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", attempt, err)
	}
	// First which, then these: what is sorted has no documents.
	text, args := dialect().Issues(q, after, q.Limit+1)
	text = fmt.Sprintf("SELECT i.seq, i.at, i.doc FROM (%s) AS page JOIN whyrestart.issues i ON i.seq = page.seq ORDER BY i.at DESC, i.seq DESC", numbered(text))
	var issues []issue.Issue
	next := ""
	var last sqlstore.Position
	err = s.one(ctx, attempt, text, spelled(args), func(scan func(...any) error) error {
		if len(issues) == q.Limit {
			next = last.Cursor()
			return nil
		}
		var doc []byte
		if err := scan(&last.Seq, &last.At, &doc); err != nil {
			return err
		}
		i, err := s.codec.Issue(doc)
		issues = append(issues, i)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return issues, next, nil
}

// The ID, or the alias, of an issue.
const issueStatement = `
	SELECT doc FROM whyrestart.issues WHERE id = $1
	UNION ALL SELECT i.doc FROM whyrestart.issue_aliases a JOIN whyrestart.issues i ON i.seq = a.issue WHERE a.alias = $1
	LIMIT 1`

// Issue implements store.Reader.
func (s *Store) Issue(ctx context.Context, id string) (issue.Issue, error) {
	return s.findIssue(ctx, fmt.Sprintf("get issue %q of store %s", id, s.location), id)
}

func (s *Store) findIssue(ctx context.Context, attempt, id string) (out issue.Issue, err error) {
	found := false
	err = s.one(ctx, attempt, issueStatement, []any{spell(sqlstore.IssueID(id))}, func(scan func(...any) error) error {
		found = true
		var doc []byte
		if err := scan(&doc); err != nil {
			return err
		}
		var err error
		out, err = s.codec.Issue(doc)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", attempt, store.ErrNotFound)
	}
	return out, err
}

// Amend implements store.Writer.
func (s *Store) Amend(ctx context.Context, id string, action issue.Action) (issue.Issue, error) {
	attempt := fmt.Sprintf("change issue %q of store %s", id, s.location)
	if s.readOnly {
		return issue.Issue{}, fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	was, err := s.findIssue(ctx, attempt, id)
	if err != nil {
		return issue.Issue{}, err
	}
	var out issue.Issue
	err = s.write(ctx, attempt, nil, func(ctx context.Context, tx *transaction) error {
		clusters := map[string]*lockedCluster{was.Cluster: new(lockedCluster)}
		tx.lock(clusters)
		if err := tx.flush(); err != nil {
			return err
		}
		if err := holds(clusters); err != nil {
			return err
		}
		var err error
		out, err = sqlstore.NewGroup(ctx, tx, s.codec, s.logger).Amend(id, action)
		return err
	})
	if err != nil {
		return issue.Issue{}, err
	}
	return out, nil
}

// Incidents implements store.Reader.
func (s *Store) Incidents(ctx context.Context, q store.IncidentQuery) ([]issue.Incident, error) {
	text, args := dialect().Incidents(q)
	var out []issue.Incident
	err := s.one(ctx, "list the incidents of store "+s.location, numbered(text), spelled(args), func(scan func(...any) error) error {
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
		return nil, err
	}
	return out, nil
}

// Incident implements store.Reader.
func (s *Store) Incident(ctx context.Context, id string) (issue.Incident, error) {
	attempt := fmt.Sprintf("get incident %q of store %s", id, s.location)
	var out issue.Incident
	found := false
	err := s.one(ctx, attempt, "SELECT doc FROM whyrestart.incidents WHERE id = $1", []any{spell(sqlstore.IncidentID(id))}, func(scan func(...any) error) error {
		found = true
		var doc []byte
		if err := scan(&doc); err != nil {
			return err
		}
		var err error
		out, err = s.codec.Incident(doc)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", attempt, store.ErrNotFound)
	}
	return out, err
}
