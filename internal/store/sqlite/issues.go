package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Issues implements store.Reader.
func (s *Store) Issues(ctx context.Context, q store.IssueQuery) ([]issue.Issue, string, error) {
	attempt := "list the issues of store " + s.path
	if q.Limit <= 0 {
		q.Limit = store.DefaultLimit
	}
	after, err := sqlstore.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", attempt, err)
	}
	var issues []issue.Issue
	next := ""
	err = s.view(ctx, func(tx *sql.Tx) error {
		// First which, then these: what is sorted has no documents.
		text, args := dialect().Issues(q, after, q.Limit+1)
		var page []sqlstore.Position
		err := query(ctx, tx, text, args, func(scan func(...any) error) error {
			var p sqlstore.Position
			err := scan(&p.Seq, &p.At)
			page = append(page, p)
			return err
		})
		if err != nil {
			return err
		}
		if len(page) > q.Limit {
			page = page[:q.Limit]
			next = page[q.Limit-1].Cursor()
		}
		issues, err = s.issuesAt(ctx, tx, page)
		return err
	})
	if err != nil {
		return nil, "", readError(attempt, err)
	}
	return issues, next, nil
}

// issuesAt reads the issues of a page, in its order.
func (s *Store) issuesAt(ctx context.Context, tx querier, page []sqlstore.Position) ([]issue.Issue, error) {
	issues := make([]issue.Issue, len(page))
	row := make(map[int64]int, len(page))
	for n, p := range page {
		row[p.Seq] = n
	}
	err := each(ctx, tx, "SELECT seq, doc FROM issues WHERE seq IN ", page, func(p sqlstore.Position) any { return p.Seq }, func(scan func(...any) error) error {
		var seq int64
		var doc sql.RawBytes
		if err := scan(&seq, &doc); err != nil {
			return err
		}
		i, err := s.codec.Issue(doc)
		issues[row[seq]] = i
		return err
	})
	return issues, err
}

// The ID, or the alias, of an issue.
const issueStatement = `
	SELECT doc FROM issues WHERE id = ?
	UNION ALL SELECT i.doc FROM issue_aliases a JOIN issues i ON i.seq = a.issue WHERE a.alias = ?
	LIMIT 1`

// Issue implements store.Reader.
func (s *Store) Issue(ctx context.Context, id string) (issue.Issue, error) {
	attempt := fmt.Sprintf("get issue %q of store %s", id, s.path)
	id = sqlstore.IssueID(id)
	var doc []byte
	err := s.reader.QueryRowContext(ctx, issueStatement, id, id).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return issue.Issue{}, readError(attempt, err)
	}
	i, err := s.codec.Issue(doc)
	if err != nil {
		return issue.Issue{}, fmt.Errorf("%s: %w", attempt, err)
	}
	return i, nil
}

// Amend implements store.Writer.
func (s *Store) Amend(ctx context.Context, id string, action issue.Action) (issue.Issue, error) {
	attempt := fmt.Sprintf("change issue %q of store %s", id, s.path)
	if s.writer == nil {
		return issue.Issue{}, fmt.Errorf("%s: %w", attempt, errReadOnly)
	}
	var out issue.Issue
	err := s.writer.transact(ctx, func(tx *sql.Tx) error {
		var err error
		out, err = newGroup(ctx, tx, s.writer).Amend(id, action)
		return err
	})
	if err != nil {
		return issue.Issue{}, writeError(attempt, err)
	}
	return out, nil
}

// refer fills in the issues of records. places are theirs, in the same order.
func (s *Store) refer(ctx context.Context, db querier, records []record.Record, places []place) error {
	shown, err := s.shown(ctx, db, places)
	if err != nil {
		return err
	}
	refs := make(map[string]record.IssueRef)
	now := s.now()
	err = each(ctx, db, "SELECT doc FROM issues WHERE id IN ", places, func(p place) any { return text(p.issue) }, func(scan func(...any) error) error {
		var doc sql.RawBytes
		if err := scan(&doc); err != nil {
			return err
		}
		ref, err := s.codec.Ref(doc, now)
		refs[ref.ID] = ref
		return err
	})
	if err != nil {
		return fmt.Errorf("read the issues of records: %w", err)
	}
	for n, p := range places {
		ref, ok := refs[p.issue.V]
		if !ok {
			continue
		}
		if shown[p.incident.V] {
			ref.Incident = p.incident.V
		}
		records[n].Issue = &ref
	}
	return nil
}

// shown tells which of the incidents have enough members to be told of.
func (s *Store) shown(ctx context.Context, db querier, places []place) (map[string]bool, error) {
	out := make(map[string]bool)
	err := each(ctx, db, "SELECT id FROM incidents WHERE shown = 1 AND id IN ", places, func(p place) any { return text(p.incident) }, func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		out[id] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the incidents of records: %w", err)
	}
	return out, nil
}

// A place is where the row of a record says that it belongs.
type place struct{ issue, incident sql.Null[string] }

// text is the text of a column, nil for none and for an empty one.
func text(s sql.Null[string]) any {
	if s.V == "" {
		return nil
	}
	return s.V
}

// idsAtOnce is how many IDs one statement asks for.
const idsAtOnce = 500

// each asks for the rows of the IDs that elements of a list have, each once; an ID of nil is
// none.
func each[T any](ctx context.Context, db querier, text string, list []T, of func(T) any, row func(scan func(...any) error) error) error {
	seen := make(map[any]bool)
	var ids []any
	for n, e := range list {
		if id := of(e); id != nil && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
		if len(ids) < idsAtOnce && n < len(list)-1 || len(ids) == 0 {
			continue
		}
		if err := query(ctx, db, text+"(?"+strings.Repeat(", ?", len(ids)-1)+")", ids, row); err != nil {
			return err
		}
		ids = nil
	}
	return nil
}

func query(ctx context.Context, db querier, text string, args []any, row func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, row)
}

// scanAll calls row for each of the rows, with what scans it, and closes them.
func scanAll(rows *sql.Rows, row func(scan func(...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// view runs f in one transaction that reads, so that all that it sees is of one moment.
func (s *Store) view(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = f(tx)
	// Nothing was written; to end it cannot lose anything.
	_ = tx.Rollback()
	return err
}
