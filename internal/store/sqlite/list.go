package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// maxMerged is for how many namespaces the page is merged from a page of each. For more
// of them, which then are a good part of all, the whole history is read and filtered.
const maxMerged = 64

// listStatement returns the SQL of a page. Each statement names the index to read from:
// the planner has no statistics of the file to choose by, and an index that an edit of
// the schema made unusable shows as an error instead of as a full scan.
func listStatement(q store.Query, after sqlstore.Position, limit int) (string, []any) {
	namespaces := slices.Compact(slices.Sorted(slices.Values(q.Namespaces)))
	index := ""
	switch {
	case q.Issue != "":
		index = "records_issue"
	case q.Incident != "":
		index = "records_incident"
	case q.PodUID != "":
		index = "records_pod_uid"
	case q.Pod != "":
		index = "records_pod"
	case q.Workload != nil:
		index = "records_workload"
	case q.Node != "":
		index = "records_node"
	case q.Open:
		index = "records_open"
	case q.Missed:
		index = "records_missed"
	case len(namespaces) > 0 && len(namespaces) <= maxMerged:
		index = "records_namespace"
	default:
		index = "records_time"
	}
	if index != "records_namespace" || len(namespaces) == 1 {
		c := conditions(q, namespaces, after)
		return c.page("records", ", doc, issue, incident", index, limit), c.args
	}
	// One index read cannot give two namespaces in the order of time.
	var parts []string
	var args []any
	for _, n := range namespaces {
		c := conditions(q, []string{n}, after)
		parts = append(parts, "SELECT * FROM ("+c.page("records", ", doc, issue, incident", index, limit)+")")
		args = append(args, c.args...)
	}
	return strings.Join(parts, " UNION ALL ") + fmt.Sprintf(" ORDER BY at DESC, seq DESC LIMIT %d", limit), args
}

type where struct {
	terms []string
	args  []any
}

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// page returns the statement of a page of a table, with further columns, read from the given
// index if there is one.
func (w *where) page(table, columns, index string, limit int) string {
	if index != "" {
		index = "INDEXED BY " + index
	}
	return fmt.Sprintf("SELECT seq, at%s FROM %s %s WHERE %s ORDER BY at DESC, seq DESC LIMIT %d",
		columns, table, index, strings.Join(w.terms, " AND "), limit)
}

func oneOf[T ~string](w *where, column string, values []T) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	w.add(column+" IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
}

func conditions(q store.Query, namespaces []string, after sqlstore.Position) *where {
	w := new(where)
	if q.Issue != "" {
		id := sqlstore.IssueID(q.Issue)
		w.add("issue = coalesce((SELECT i.id FROM issue_aliases a JOIN issues i ON i.seq = a.issue WHERE a.alias = ?), ?)", id, id)
	}
	if q.Incident != "" {
		w.add("incident = ?", sqlstore.IncidentID(q.Incident))
	}
	w.equal("pod_uid", q.PodUID)
	w.equal("pod", q.Pod)
	if q.Workload != nil {
		w.add("workload_name = ? AND workload_kind = ?", q.Workload.Name, q.Workload.Kind)
	}
	w.equal("node", q.Node)
	if len(namespaces) == 1 {
		w.add("namespace = ?", namespaces[0])
	} else {
		oneOf(w, "namespace", namespaces)
	}
	w.equal("cluster", q.Cluster)
	w.equal("container", q.Container)
	w.equal("kind", string(q.Kind))
	if q.Open {
		w.add("open = 1")
	}
	if q.Missed {
		w.add("missed <> 0 AND missed > 0") // the first of them is the index's own
	}
	oneOf(w, "category", q.Categories)
	oneOf(w, "cause", q.Causes)
	if !q.Since.IsZero() {
		w.add("at >= ?", sqlstore.Nanos(q.Since))
	}
	if !q.Until.IsZero() {
		w.add("at < ?", sqlstore.Nanos(q.Until))
	}
	// Also on the first page: it makes every page a search in its index.
	w.add("(at, seq) < (?, ?)", after.At, after.Seq)
	return w
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
