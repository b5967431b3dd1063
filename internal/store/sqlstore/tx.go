// Package sqlstore is what the stores over SQL databases share: how records, issues and
// incidents become bytes and back, how issues are kept in a transaction, and the places at
// which pages begin.
//
// It knows no database. What differs between them, the statements, stays with each store,
// which gives a Group its own text for each Statement.
package sqlstore

// A Statement is one of those by which a Group keeps issues and incidents. Its comment has
// its arguments, in order, and the columns of its rows.
type Statement int

// The statements of issues: an issue row is (seq, id, doc).
const (
	// FindIssue (id), FindAlias (alias), FindPrint (fingerprint) and FindKin (kin) find issue rows.
	FindIssue Statement = iota
	FindAlias
	FindPrint
	FindKin
	// AddIssue (id, fingerprint, kin, cluster, namespace, workload kind, workload name, container, kind,
	// category, cause, status, at, total, open, doc) is the one that inserts.
	AddIssue
	// ChangeIssue (status, at, total, open, doc, seq).
	ChangeIssue
	// IdentifyIssue (fingerprint, kin, cluster, namespace, workload kind, workload name, container,
	// kind, category, cause, seq).
	IdentifyIssue
	// DropIssue (seq) also drops its nodes and aliases.
	DropIssue
	// AddIssueNode and DropIssueNode (node, seq).
	AddIssueNode
	DropIssueNode
	// MoveRecords (to id, from id), ReleaseRecords (id) of what belongs to no issue until it is counted anew.
	MoveRecords
	ReleaseRecords
	// MoveAliases (to seq, from seq), AddAlias (alias, seq), DropAlias (alias).
	MoveAliases
	AddAlias
	DropAlias
	// FirstOfIssue and LastOfIssue (id, without record id) find (record id, at). Of records of one time,
	// the ID decides which is the first.
	FirstOfIssue
	LastOfIssue
)

// The statements of incidents: an incident row is (seq, id, doc).
const (
	// FindIncident (id), FindAround (kind, subject, at, cluster) find incident rows.
	FindIncident Statement = iota + 100
	FindAround
	// AddIncident (id, cluster, kind, subject, at, shown, doc) inserts.
	AddIncident
	// ChangeIncident (at, shown, doc, seq).
	ChangeIncident
	// DropIncident (seq) also drops its nodes.
	DropIncident
	// AddIncidentNode and DropIncidentNode (node, seq).
	AddIncidentNode
	DropIncidentNode
	// FirstOfIncident and LastOfIncident are those of an incident.
	FirstOfIncident
	LastOfIncident
)

// A Tx runs statements in one transaction. It may write later than it is told to, but in that
// order, and before it returns anything of records.
type Tx interface {
	// Query calls row for each row, with what scans it.
	Query(s Statement, args []any, row func(scan func(into ...any) error) error) error
	// Exec runs a statement without a result.
	Exec(s Statement, args ...any) error
	// Insert adds a row, and returns its number, which is not 0.
	Insert(s Statement, args ...any) (seq int64, err error)
}
