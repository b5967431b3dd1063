package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// The statements that keep issues and incidents. Of records of one time, the ID decides which
// is the first: only they are sorted.
const (
	findIssue        = `SELECT seq, doc FROM issues WHERE id = ?`
	findPrint        = `SELECT id FROM issues WHERE fingerprint = ?`
	findKin          = `SELECT id FROM issues WHERE kin = ? ORDER BY seq`
	findAlias        = `SELECT i.id FROM issue_aliases a JOIN issues i ON i.seq = a.issue WHERE a.alias = ?`
	addIssue         = `INSERT INTO issues (id, fingerprint, kin, cluster, namespace, workload_kind, workload_name, container, kind, category, cause, status, at, total, open, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	changeIssue      = `UPDATE issues SET status = ?, at = ?, total = ?, open = ?, doc = ? WHERE seq = ?`
	identifyIssue    = `UPDATE issues SET fingerprint = ?, kin = ?, cluster = ?, namespace = ?, workload_kind = ?, workload_name = ?, container = ?, kind = ?, category = ?, cause = ? WHERE seq = ?`
	dropIssue        = `DELETE FROM issues WHERE seq = ?`
	addIssueNode     = `INSERT INTO issue_nodes (node, issue) VALUES (?, ?) ON CONFLICT DO NOTHING`
	dropIssueNode    = `DELETE FROM issue_nodes WHERE node = ? AND issue = ?`
	moveRecords      = `UPDATE records SET issue = ? WHERE issue = ?`
	releaseRecords   = `UPDATE records SET issue = NULL WHERE issue = ?`
	moveAliases      = `UPDATE issue_aliases SET issue = ? WHERE issue = ?`
	addAlias         = `INSERT INTO issue_aliases (alias, issue) VALUES (?, ?) ON CONFLICT DO UPDATE SET issue = excluded.issue`
	dropAlias        = `DELETE FROM issue_aliases WHERE alias = ?`
	firstOfIssue     = `SELECT id, at FROM records INDEXED BY records_issue WHERE issue = ? AND id <> ? ORDER BY at, id LIMIT 1`
	lastOfIssue      = `SELECT id, at FROM records INDEXED BY records_issue WHERE issue = ? AND id <> ? ORDER BY at DESC, id DESC LIMIT 1`
	placeRecord      = `UPDATE records SET issue = ?, incident = ? WHERE seq = ?`
	findIncident     = `SELECT seq, doc FROM incidents WHERE id = ?`
	findAround       = `SELECT id FROM incidents WHERE kind = ? AND subject = ? AND at >= ? AND cluster = ?`
	addIncident      = `INSERT INTO incidents (id, cluster, kind, subject, at, shown, doc) VALUES (?, ?, ?, ?, ?, ?, ?)`
	changeIncident   = `UPDATE incidents SET at = ?, shown = ?, doc = ? WHERE seq = ?`
	dropIncident     = `DELETE FROM incidents WHERE seq = ?`
	addIncidentNode  = `INSERT INTO incident_nodes (node, incident) VALUES (?, ?) ON CONFLICT DO NOTHING`
	dropIncidentNode = `DELETE FROM incident_nodes WHERE node = ? AND incident = ?`
	firstOfIncident  = `SELECT id, at FROM records INDEXED BY records_incident WHERE incident = ? AND id <> ? ORDER BY at, id LIMIT 1`
	lastOfIncident   = `SELECT id, at FROM records INDEXED BY records_incident WHERE incident = ? AND id <> ? ORDER BY at DESC, id DESC LIMIT 1`
)

func groupStatements() []string {
	return []string{
		findIssue, findPrint, findKin, findAlias, addIssue, changeIssue, identifyIssue, dropIssue, addIssueNode, dropIssueNode,
		moveRecords, releaseRecords, moveAliases, dropAlias, addAlias, dropAlias, firstOfIssue, lastOfIssue, placeRecord,
		findIncident, findAround, addIncident, changeIncident, dropIncident, addIncidentNode, dropIncidentNode, firstOfIncident, lastOfIncident,
	}
}

// A group is issue.Tx in a transaction. What was read or put stays in memory until flush
// writes it, so that a batch of 500 stops of one issue reads and writes that once.
type group struct {
	//nolint:containedctx // It lives as long as the call that the context belongs to.
	ctx    context.Context
	tx     *sql.Tx
	writer *writer
	// By ID, and for issues also the IDs by fingerprint; an entry of nil is known not to be there.
	issues    map[string]*heldIssue
	prints    map[string]string
	incidents map[string]*heldIncident
}

var _ issue.Tx = (*group)(nil)

type heldIssue struct {
	seq   int64
	issue *issue.Issue
	// What the row has.
	identity identity
	nodes    []string
	dirty    bool
}

type heldIncident struct {
	seq      int64
	incident *issue.Incident
	nodes    []string
	dirty    bool
}

// An identity is what of an issue's row does not change from stop to stop.
type identity struct {
	fingerprint, kin, cluster, namespace string
	workload                             record.Workload
	container                            string
	kind                                 record.Kind
	category                             record.Category
	cause                                string
}

func identify(i *issue.Issue) identity {
	return identity{
		i.Fingerprint, i.Kin(), i.Cluster, i.Namespace, i.Workload, i.Container, i.Kind, i.Category, i.Cause,
	}
}

func (i identity) columns() []any {
	return []any{
		i.fingerprint, i.kin, i.cluster, i.namespace, i.workload.Kind, i.workload.Name,
		i.container, string(i.kind), string(i.category), i.cause,
	}
}

func newGroup(ctx context.Context, tx *sql.Tx, w *writer) *group {
	return &group{
		ctx: ctx, tx: tx, writer: w,
		issues: make(map[string]*heldIssue), prints: make(map[string]string), incidents: make(map[string]*heldIncident),
	}
}

func (g *group) exec(text string, args ...any) (sql.Result, error) {
	return g.tx.StmtContext(g.ctx, g.writer.stmts[text]).ExecContext(g.ctx, args...)
}

// one scans the first row, and tells whether there is one.
func (g *group) one(text string, args []any, into ...any) (bool, error) {
	err := g.tx.StmtContext(g.ctx, g.writer.stmts[text]).QueryRowContext(g.ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// ByID implements issue.Tx.
func (g *group) ByID(id string) (*issue.Issue, error) {
	held, err := g.hold(id)
	if held != nil || err != nil {
		return held.get(), err
	}
	var now string
	if found, err := g.one(findAlias, []any{id}, &now); !found || err != nil {
		return nil, err
	}
	held, err = g.hold(now)
	return held.get(), err
}

func (h *heldIssue) get() *issue.Issue {
	if h == nil {
		return nil
	}
	return h.issue
}

// hold returns the issue with exactly this ID, or nil.
func (g *group) hold(id string) (*heldIssue, error) {
	if held, ok := g.issues[id]; ok {
		return held, nil
	}
	var seq int64
	var doc []byte
	found, err := g.one(findIssue, []any{id}, &seq, &doc)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", id, err)
	}
	if !found {
		return nil, nil
	}
	i, err := g.writer.codec.issue(doc)
	if err != nil {
		return nil, g.lose(seq, id, err)
	}
	held := &heldIssue{seq: seq, issue: &i, identity: identify(&i), nodes: values(i.Nodes)}
	g.issues[id] = held
	g.prints[i.Fingerprint] = id
	return held, nil
}

// lose removes an issue that cannot be read. To fail here would hold up this batch, and so
// everything after it, for ever; the records of it that are stored are counted anew.
func (g *group) lose(seq int64, id string, why error) error {
	g.writer.logger.WarnContext(g.ctx, "removed a stored issue that cannot be read; its records are counted anew", "id", id, "error", why)
	if _, err := g.exec(releaseRecords, id); err != nil {
		return err
	}
	_, err := g.exec(dropIssue, seq)
	return err
}

// ByFingerprint implements issue.Tx.
func (g *group) ByFingerprint(fingerprint string) (*issue.Issue, error) {
	id, known := g.prints[fingerprint]
	if !known {
		if _, err := g.one(findPrint, []any{fingerprint}, &id); err != nil {
			return nil, fmt.Errorf("issue with the fingerprint %s: %w", fingerprint, err)
		}
		g.prints[fingerprint] = id
	}
	if id == "" {
		return nil, nil
	}
	held, err := g.hold(id)
	return held.get(), err
}

// ByKin implements issue.Tx.
func (g *group) ByKin(kin string) ([]*issue.Issue, error) {
	if kin == "" {
		return nil, nil
	}
	ids, err := g.ids(findKin, kin)
	if err != nil {
		return nil, fmt.Errorf("issues of one kin: %w", err)
	}
	var out []*issue.Issue
	for _, id := range ids {
		held, err := g.hold(id)
		if err != nil {
			return nil, err
		}
		if held != nil {
			out = append(out, held.issue)
		}
	}
	return out, nil
}

func (g *group) ids(text string, args ...any) ([]string, error) {
	rows, err := g.tx.StmtContext(g.ctx, g.writer.stmts[text]).QueryContext(g.ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Put implements issue.Tx. An issue that is new, or has become of another kin, is written at
// once, so that it can be searched for.
func (g *group) Put(i *issue.Issue) error {
	held, err := g.hold(i.ID)
	if err != nil {
		return err
	}
	now := identify(i)
	if held == nil {
		held = &heldIssue{issue: i, identity: now}
		if err := g.add(held); err != nil {
			return fmt.Errorf("add issue %s: %w", i.ID, err)
		}
		g.issues[i.ID] = held
		g.prints[i.Fingerprint] = i.ID
		return nil
	}
	held.issue, held.dirty = i, true
	if now == held.identity {
		return nil
	}
	if _, err := g.exec(identifyIssue, append(now.columns(), held.seq)...); err != nil {
		return fmt.Errorf("change issue %s: %w", i.ID, err)
	}
	delete(g.prints, held.identity.fingerprint)
	held.identity = now
	g.prints[i.Fingerprint] = i.ID
	return nil
}

func (g *group) add(held *heldIssue) error {
	// One that was absorbed is back, under its own ID.
	if _, err := g.exec(dropAlias, held.issue.ID); err != nil {
		return err
	}
	columns, err := g.columns(held.issue)
	if err != nil {
		return err
	}
	args := append([]any{held.issue.ID}, held.identity.columns()...)
	done, err := g.exec(addIssue, append(args, columns...)...)
	if err != nil {
		return err
	}
	if held.seq, err = done.LastInsertId(); err != nil {
		return err
	}
	if _, err := g.exec(dropAlias, held.issue.ID); err != nil { // it was absorbed, and is back
		return err
	}
	return g.writeNodes(held)
}

// columns are those of an issue that change from stop to stop.
func (g *group) columns(i *issue.Issue) ([]any, error) {
	packed, err := g.writer.codec.packIssue(i)
	if err != nil {
		return nil, err
	}
	return []any{string(statusOf(i)), nanos(i.Last), i.Count, i.Open, packed}, nil
}

func statusOf(i *issue.Issue) issue.Status {
	if i.Status == "" {
		return issue.Open
	}
	return i.Status
}

func (g *group) writeNodes(held *heldIssue) error {
	nodes := values(held.issue.Nodes)
	if err := g.difference(held.nodes, nodes, dropIssueNode, addIssueNode, held.seq); err != nil {
		return err
	}
	held.nodes = nodes
	return nil
}

// difference brings the rows for a list of values up to date.
func (g *group) difference(was, is []string, drop, add string, seq int64) error {
	for _, v := range was {
		if !slices.Contains(is, v) {
			if _, err := g.exec(drop, v, seq); err != nil {
				return err
			}
		}
	}
	for _, v := range is {
		if !slices.Contains(was, v) {
			if _, err := g.exec(add, v, seq); err != nil {
				return err
			}
		}
	}
	return nil
}

func values(t issue.Tally) []string {
	var out []string
	for _, c := range t.Values {
		out = append(out, c.Value)
	}
	return out
}

// Delete implements issue.Tx.
func (g *group) Delete(id string) error {
	held, err := g.hold(id)
	if held == nil || err != nil {
		return err
	}
	if _, err := g.exec(dropIssue, held.seq); err != nil {
		return fmt.Errorf("delete issue %s: %w", id, err)
	}
	g.forget(held)
	return nil
}

func (g *group) forget(held *heldIssue) {
	delete(g.issues, held.issue.ID)
	delete(g.prints, held.identity.fingerprint)
}

// Absorb implements issue.Tx.
func (g *group) Absorb(from, into *issue.Issue) error {
	attempt := fmt.Sprintf("give the records of issue %s to %s", from.ID, into.ID)
	if err := g.Put(into); err != nil {
		return err
	}
	source, err := g.hold(from.ID)
	if err != nil {
		return err
	}
	target := g.issues[into.ID]
	if source == nil || source == target {
		return fmt.Errorf("%s: there is no such issue, or it is the same", attempt)
	}
	for _, step := range []struct {
		text string
		args []any
	}{
		{moveRecords, []any{into.ID, from.ID}},
		{moveAliases, []any{target.seq, source.seq}},
		{addAlias, []any{from.ID, target.seq}},
		{dropIssue, []any{source.seq}},
	} {
		if _, err := g.exec(step.text, step.args...); err != nil {
			return fmt.Errorf("%s: %w", attempt, err)
		}
	}
	g.forget(source)
	return nil
}

// Span implements issue.Tx.
func (g *group) Span(id, without string) (first, last issue.Point, err error) {
	return g.span(firstOfIssue, lastOfIssue, id, without)
}

// SpanOfIncident implements issue.Tx.
func (g *group) SpanOfIncident(id, without string) (first, last issue.Point, err error) {
	return g.span(firstOfIncident, lastOfIncident, id, without)
}

func (g *group) span(firstText, lastText, id, without string) (first, last issue.Point, err error) {
	for _, end := range []struct {
		text string
		at   *issue.Point
	}{{firstText, &first}, {lastText, &last}} {
		var at int64
		if _, err := g.one(end.text, []any{id, without}, &end.at.ID, &at); err != nil {
			return first, last, fmt.Errorf("records of %s: %w", id, err)
		}
		end.at.Time = fromNanos(at)
	}
	return first, last, nil
}

// flush writes what was put.
func (g *group) flush() error {
	for _, id := range slices.Sorted(maps.Keys(g.issues)) {
		held := g.issues[id]
		if !held.dirty {
			continue
		}
		columns, err := g.columns(held.issue)
		if err != nil {
			return fmt.Errorf("encode issue %s: %w", id, err)
		}
		if _, err := g.exec(changeIssue, append(columns, held.seq)...); err != nil {
			return fmt.Errorf("change issue %s: %w", id, err)
		}
		if err := g.writeNodes(held); err != nil {
			return fmt.Errorf("change the nodes of issue %s: %w", id, err)
		}
		held.dirty = false
	}
	return g.flushIncidents()
}
