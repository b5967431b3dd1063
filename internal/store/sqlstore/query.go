package sqlstore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/store"
)

// A Dialect is how the statements of lists are spelled for one database. Their arguments are
// written as "?".
type Dialect struct {
	// Schema stands before the names of tables, with its dot.
	Schema string
	// Indexed names in each statement the index to read from.
	Indexed bool
}

// maxMerged is for how many namespaces the page is merged from a page of each. For more
// of them, which then are a good part of all, the whole history is read and filtered.
const maxMerged = 64

// Records returns the SQL of a page of records: seq, at and the given columns of each, behind a
// position.
func (d Dialect) Records(q store.Query, columns string, after Position, limit int) (string, []any) {
	namespaces := slices.Compact(slices.Sorted(slices.Values(q.Namespaces)))
	index := recordsIndex(q, namespaces)
	if index != "records_namespace" || len(namespaces) == 1 {
		w := d.conditions(q, namespaces, after)
		return w.page("records", columns, index, limit), w.args
	}
	// One index read cannot give two namespaces in the order of time.
	var parts []string
	var args []any
	for n, namespace := range namespaces {
		w := d.conditions(q, []string{namespace}, after)
		parts = append(parts, fmt.Sprintf("SELECT * FROM (%s) AS part%d", w.page("records", columns, index, limit), n))
		args = append(args, w.args...)
	}
	return strings.Join(parts, " UNION ALL ") + fmt.Sprintf(" ORDER BY at DESC, seq DESC LIMIT %d", limit), args
}

// recordsIndex is the index that a page is read from. A database without statistics of the
// content could not choose it by itself.
func recordsIndex(q store.Query, namespaces []string) string {
	switch {
	case q.Issue != "":
		return "records_issue"
	case q.Incident != "":
		return "records_incident"
	case q.PodUID != "":
		return "records_pod_uid"
	case q.Pod != "":
		return "records_pod"
	case q.Workload != nil:
		return "records_workload"
	case q.Node != "":
		return "records_node"
	case q.Open:
		return "records_open"
	case q.Missed:
		return "records_missed"
	case len(namespaces) > 0 && len(namespaces) <= maxMerged:
		return "records_namespace"
	}
	return "records_time"
}

func (d Dialect) conditions(q store.Query, namespaces []string, after Position) *where {
	w := &where{dialect: d}
	if q.Issue != "" {
		id := IssueID(q.Issue)
		w.add(fmt.Sprintf("issue = coalesce((SELECT i.id FROM %[1]sissue_aliases a JOIN %[1]sissues i ON i.seq = a.issue WHERE a.alias = ?), ?)", d.Schema), id, id)
	}
	if q.Incident != "" {
		w.add("incident = ?", IncidentID(q.Incident))
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
		if d.Indexed {
			w.add("missed <> 0") // the index's own
		}
		w.add("missed > 0")
	}
	oneOf(w, "category", q.Categories)
	oneOf(w, "cause", q.Causes)
	if !q.Since.IsZero() {
		w.add("at >= ?", Nanos(q.Since))
	}
	if !q.Until.IsZero() {
		w.add("at < ?", Nanos(q.Until))
	}
	// Also on the first page: it makes every page a search in its index.
	w.add("(at, seq) < (?, ?)", after.At, after.Seq)
	return w
}

// Issues returns the SQL of a page of issues: seq and at of each, behind a position.
func (d Dialect) Issues(q store.IssueQuery, after Position, limit int) (string, []any) {
	if q.Since.IsZero() {
		return d.issues(q, "", after, limit)
	}
	// Those with a stall that lasts were all seen before the others: each part is in order.
	since := Nanos(q.Since)
	text, args := d.issues(q, "at >= ?", after, limit, since)
	openText, openArgs := d.issues(q, "open > 0 AND at < ?", after, limit, since)
	return fmt.Sprintf("SELECT * FROM (%s) AS seen UNION ALL SELECT * FROM (%s) AS lasting ORDER BY at DESC, seq DESC LIMIT %d", text, openText, limit),
		append(args, openArgs...)
}

func (d Dialect) issues(q store.IssueQuery, term string, after Position, limit int, args ...any) (string, []any) {
	w := &where{dialect: d}
	index := "issues_time"
	switch {
	case q.Node != "":
		// Few of all were seen on one node, and these are sorted.
		w.add("seq IN (SELECT issue FROM "+d.Schema+"issue_nodes WHERE node = ?)", q.Node)
		index = ""
	case q.Workload != nil:
		index = "issues_workload"
	case strings.HasPrefix(term, "open"):
		index = "issues_open"
	case len(q.Namespaces) == 1:
		index = "issues_namespace"
	}
	if q.Workload != nil {
		w.add("workload_name = ? AND workload_kind = ?", q.Workload.Name, q.Workload.Kind)
	}
	oneOf(w, "namespace", q.Namespaces)
	w.equal("cluster", q.Cluster)
	w.equal("container", q.Container)
	w.equal("kind", string(q.Kind))
	oneOf(w, "category", q.Categories)
	oneOf(w, "cause", q.Causes)
	oneOf(w, "status", q.Statuses)
	if term != "" {
		w.add(term, args...)
	}
	w.add("(at, seq) < (?, ?)", after.At, after.Seq)
	return w.page("issues", "", index, limit), w.args
}

// Incidents returns the SQL of a list of incidents: seq, at and doc of each.
func (d Dialect) Incidents(q store.IncidentQuery) (string, []any) {
	if q.Limit <= 0 {
		q.Limit = store.DefaultLimit
	}
	w := &where{dialect: d}
	index := "incidents_time"
	switch {
	case q.Node != "":
		w.add("seq IN (SELECT incident FROM "+d.Schema+"incident_nodes WHERE node = ?)", q.Node)
		index = ""
	case q.Kind != "" && q.Subject != "":
		index = "incidents_subject"
	}
	w.equal("kind", q.Kind)
	w.equal("subject", q.Subject)
	w.equal("cluster", q.Cluster)
	w.add("shown = 1")
	if !q.Since.IsZero() {
		w.add("at >= ?", Nanos(q.Since))
	}
	return w.page("incidents", ", doc", index, q.Limit), w.args
}

type where struct {
	dialect Dialect
	terms   []string
	args    []any
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

// page returns the statement of a page of a table, with further columns, read from the given
// index if there is one.
func (w *where) page(table, columns, index string, limit int) string {
	from := w.dialect.Schema + table
	if index != "" && w.dialect.Indexed {
		from += " INDEXED BY " + index
	}
	return fmt.Sprintf("SELECT seq, at%s FROM %s WHERE %s ORDER BY at DESC, seq DESC LIMIT %d",
		columns, from, strings.Join(w.terms, " AND "), limit)
}
