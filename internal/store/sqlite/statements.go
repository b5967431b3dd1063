package sqlite

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// groupTexts are the statements that keep issues and incidents. The foreign keys remove the
// nodes and aliases of what is dropped.
func groupTexts() map[sqlstore.Statement]string {
	return map[sqlstore.Statement]string{
		sqlstore.FindIssue:      `SELECT seq, id, doc FROM issues WHERE id = ?`,
		sqlstore.FindPrint:      `SELECT seq, id, doc FROM issues WHERE fingerprint = ?`,
		sqlstore.FindKin:        `SELECT seq, id, doc FROM issues WHERE kin = ? ORDER BY seq`,
		sqlstore.FindAlias:      `SELECT i.seq, i.id, i.doc FROM issue_aliases a JOIN issues i ON i.seq = a.issue WHERE a.alias = ?`,
		sqlstore.AddIssue:       `INSERT INTO issues (id, fingerprint, kin, cluster, namespace, workload_kind, workload_name, container, kind, category, cause, status, at, total, open, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		sqlstore.ChangeIssue:    `UPDATE issues SET status = ?, at = ?, total = ?, open = ?, doc = ? WHERE seq = ?`,
		sqlstore.IdentifyIssue:  `UPDATE issues SET fingerprint = ?, kin = ?, cluster = ?, namespace = ?, workload_kind = ?, workload_name = ?, container = ?, kind = ?, category = ?, cause = ? WHERE seq = ?`,
		sqlstore.DropIssue:      `DELETE FROM issues WHERE seq = ?`,
		sqlstore.AddIssueNode:   `INSERT INTO issue_nodes (node, issue) VALUES (?, ?) ON CONFLICT DO NOTHING`,
		sqlstore.DropIssueNode:  `DELETE FROM issue_nodes WHERE node = ? AND issue = ?`,
		sqlstore.MoveRecords:    `UPDATE records SET issue = ? WHERE issue = ?`,
		sqlstore.ReleaseRecords: `UPDATE records SET issue = NULL WHERE issue = ?`,
		sqlstore.MoveAliases:    `UPDATE issue_aliases SET issue = ? WHERE issue = ?`,
		sqlstore.AddAlias:       `INSERT INTO issue_aliases (alias, issue) VALUES (?, ?) ON CONFLICT DO UPDATE SET issue = excluded.issue`,
		sqlstore.DropAlias:      `DELETE FROM issue_aliases WHERE alias = ?`,
		sqlstore.FirstOfIssue:   `SELECT id, at FROM records INDEXED BY records_issue WHERE issue = ? AND id <> ? ORDER BY at, id LIMIT 1`,
		sqlstore.LastOfIssue:    `SELECT id, at FROM records INDEXED BY records_issue WHERE issue = ? AND id <> ? ORDER BY at DESC, id DESC LIMIT 1`,

		sqlstore.FindIncident:     `SELECT seq, id, doc FROM incidents WHERE id = ?`,
		sqlstore.FindAround:       `SELECT seq, id, doc FROM incidents WHERE kind = ? AND subject = ? AND at >= ? AND cluster = ?`,
		sqlstore.AddIncident:      `INSERT INTO incidents (id, cluster, kind, subject, at, shown, doc) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		sqlstore.ChangeIncident:   `UPDATE incidents SET at = ?, shown = ?, doc = ? WHERE seq = ?`,
		sqlstore.DropIncident:     `DELETE FROM incidents WHERE seq = ?`,
		sqlstore.AddIncidentNode:  `INSERT INTO incident_nodes (node, incident) VALUES (?, ?) ON CONFLICT DO NOTHING`,
		sqlstore.DropIncidentNode: `DELETE FROM incident_nodes WHERE node = ? AND incident = ?`,
		sqlstore.FirstOfIncident:  `SELECT id, at FROM records INDEXED BY records_incident WHERE incident = ? AND id <> ? ORDER BY at, id LIMIT 1`,
		sqlstore.LastOfIncident:   `SELECT id, at FROM records INDEXED BY records_incident WHERE incident = ? AND id <> ? ORDER BY at DESC, id DESC LIMIT 1`,
	}
}

func groupStatements() []string { return slices.Sorted(maps.Values(groupTexts())) }

// A transaction runs the prepared statements of the writer. It is the sqlstore.Tx of a group.
type transaction struct {
	//nolint:containedctx // It lives as long as the call that the context belongs to.
	ctx    context.Context
	tx     *sql.Tx
	writer *writer
}

func newGroup(ctx context.Context, tx *sql.Tx, w *writer) *sqlstore.Group {
	return sqlstore.NewGroup(ctx, &transaction{ctx: ctx, tx: tx, writer: w}, w.codec, w.logger)
}

// Query implements sqlstore.Tx.
func (t *transaction) Query(s sqlstore.Statement, args []any, row func(scan func(...any) error) error) error {
	rows, err := t.tx.StmtContext(t.ctx, t.writer.stmts[t.writer.texts[s]]).QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	return scanAll(rows, row)
}

// Exec implements sqlstore.Tx.
func (t *transaction) Exec(s sqlstore.Statement, args ...any) error {
	_, err := t.exec(t.writer.texts[s], args...)
	return err
}

// Insert implements sqlstore.Tx.
func (t *transaction) Insert(s sqlstore.Statement, args ...any) (int64, error) {
	return t.insert(t.writer.texts[s], args...)
}

func (t *transaction) insert(text string, args ...any) (int64, error) {
	done, err := t.exec(text, args...)
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

func (t *transaction) exec(text string, args ...any) (sql.Result, error) {
	return t.tx.StmtContext(t.ctx, t.writer.stmts[text]).ExecContext(t.ctx, args...)
}
