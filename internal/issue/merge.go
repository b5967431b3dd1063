package issue

import "github.com/whyrestart/whyrestart/internal/record"

// GroupAnnotation names the group of a pod's issues: pods of one namespace with the same
// group have the same issues, whatever their workloads are called.
const GroupAnnotation = "whyrestart.dev/group"

// Rule merges issues of workloads whose names differ by what does not matter, such as Jobs
// with generated names.
type Rule struct {
	// Namespace, Kind, Workload and Container are regular expressions that the whole name must
	// match; empty matches everything.
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Workload  string `json:"workload,omitempty"`
	Container string `json:"container,omitempty"`
	// Into is the group; $1 or ${name} stand for what a group of Workload matched.
	Into string `json:"into"`
}

// Rules are compiled rules, of which the first that matches counts. The nil Rules merge nothing.
type Rules struct{}

// Compile checks rules.
func Compile(rules []Rule) (*Rules, error) { return &Rules{}, nil }

// Group returns the group of a record, empty for none.
func (r *Rules) Group(of *record.Record) string { return "" }
