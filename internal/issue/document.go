package issue

import "github.com/whyrestart/whyrestart/internal/record"

// Document is the one JSON document that "list -o json" and its relatives print. It is of
// the public schema "whyrestart/v1".
type Document struct {
	Schema    string     `json:"schema"`
	Issues    []Issue    `json:"issues"`
	Incidents []Incident `json:"incidents"`
	// Findings are the newest records of the issues, where one was asked for by its ID.
	Findings []record.Record `json:"findings,omitempty"`
	Coverage record.Coverage `json:"coverage"`
}
