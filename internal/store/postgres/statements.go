package postgres

import "github.com/whyrestart/whyrestart/internal/store/sqlstore"

// groupTexts are the statements that keep issues and incidents.
func groupTexts() map[sqlstore.Statement]string {
	return map[sqlstore.Statement]string{
		sqlstore.FindIssue: `SELECT seq, id, doc FROM whyrestart.issues WHERE id = $1`,
		sqlstore.FindPrint: `SELECT seq, id, doc FROM whyrestart.issues WHERE fingerprint = $1`,
		sqlstore.FindKin:   `SELECT seq, id, doc FROM whyrestart.issues WHERE kin = $1`,
		sqlstore.FindAlias: `SELECT i.seq, i.id, i.doc FROM whyrestart.issue_aliases a JOIN whyrestart.issues i ON i.seq = a.issue WHERE a.alias = $1`,
		sqlstore.AddIssue: `INSERT INTO whyrestart.issues (seq, id, fingerprint, kin, cluster, namespace, workload_kind, workload_name, container, kind, category, cause,
			status, at, total, open, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		sqlstore.ChangeIssue: `UPDATE whyrestart.issues SET status = $1, at = $2, total = $3, open = $4, doc = $5 WHERE seq = $6`,
		sqlstore.IdentifyIssue: `UPDATE whyrestart.issues SET fingerprint = $1, kin = $2, cluster = $3, namespace = $4, workload_kind = $5, workload_name = $6,
			container = $7, kind = $8, category = $9, cause = $10 WHERE seq = $11`,
		sqlstore.DropIssue: `WITH nodes AS (DELETE FROM whyrestart.issue_nodes WHERE issue = $1), aliases AS (DELETE FROM whyrestart.issue_aliases WHERE issue = $1)
			DELETE FROM whyrestart.issues WHERE seq = $1`,
		sqlstore.AddIssueNode:   `INSERT INTO whyrestart.issue_nodes (node, issue) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		sqlstore.DropIssueNode:  `DELETE FROM whyrestart.issue_nodes WHERE node = $1 AND issue = $2`,
		sqlstore.MoveRecords:    `UPDATE whyrestart.records SET issue = $1 WHERE issue = $2`,
		sqlstore.ReleaseRecords: `UPDATE whyrestart.records SET issue = NULL WHERE issue = $1`,
		sqlstore.MoveAliases:    `UPDATE whyrestart.issue_aliases SET issue = $1 WHERE issue = $2`,
		sqlstore.AddAlias:       `INSERT INTO whyrestart.issue_aliases (alias, issue) VALUES ($1, $2) ON CONFLICT (alias) DO UPDATE SET issue = excluded.issue`,
		sqlstore.DropAlias:      `DELETE FROM whyrestart.issue_aliases WHERE alias = $1`,
		sqlstore.FirstOfIssue:   `SELECT id, at FROM whyrestart.records WHERE issue = $1 AND id <> $2 ORDER BY at, id LIMIT 1`,
		sqlstore.LastOfIssue:    `SELECT id, at FROM whyrestart.records WHERE issue = $1 AND id <> $2 ORDER BY at DESC, id DESC LIMIT 1`,

		sqlstore.FindIncident:   `SELECT seq, id, doc FROM whyrestart.incidents WHERE id = $1`,
		sqlstore.FindAround:     `SELECT seq, id, doc FROM whyrestart.incidents WHERE kind = $1 AND subject = $2 AND at >= $3 AND cluster = $4`,
		sqlstore.AddIncident:    `INSERT INTO whyrestart.incidents (seq, id, cluster, kind, subject, at, shown, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		sqlstore.ChangeIncident: `UPDATE whyrestart.incidents SET at = $1, shown = $2, doc = $3 WHERE seq = $4`,
		sqlstore.DropIncident: `WITH nodes AS (DELETE FROM whyrestart.incident_nodes WHERE incident = $1)
			DELETE FROM whyrestart.incidents WHERE seq = $1`,
		sqlstore.AddIncidentNode:  `INSERT INTO whyrestart.incident_nodes (node, incident) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		sqlstore.DropIncidentNode: `DELETE FROM whyrestart.incident_nodes WHERE node = $1 AND incident = $2`,
		sqlstore.FirstOfIncident:  `SELECT id, at FROM whyrestart.records WHERE incident = $1 AND id <> $2 ORDER BY at, id LIMIT 1`,
		sqlstore.LastOfIncident:   `SELECT id, at FROM whyrestart.records WHERE incident = $1 AND id <> $2 ORDER BY at DESC, id DESC LIMIT 1`,
	}
}
