//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/whyrestart/whyrestart/internal/record"
)

// report collects what the scenarios found.
type report struct {
	mu   sync.Mutex
	rows []row
}

// row is one scenario of the report.
type row struct {
	scenario string
	verdict
	failed bool
	rules  rules
}

func (r *report) add(w row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, w)
}

// table returns the report as text, and the sums of it.
func (r *report) table() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.rows, func(a, b row) int { return cmp.Compare(a.scenario, b.scenario) })
	var sum verdict
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "scenario\tended\trecorded\tmissed\thidden\tdoubled\tfalse\t\t")
	for _, row := range r.rows {
		sum.add(row.verdict)
		failed := ""
		if row.failed {
			failed = "FAILED"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", strings.TrimPrefix(row.scenario, prefix), row.Ended, row.Recorded, row.Missed, row.Hidden, row.Doubled, row.False, failed)
	}
	fmt.Fprintf(w, "%d scenarios\t%d\t%d\t%d\t%d\t%d\t%d\t\t\n", len(r.rows), sum.Ended, sum.Recorded, sum.Missed, sum.Hidden, sum.Doubled, sum.False)
	_ = w.Flush() // to memory
	return out.String()
}

// rules returns those of all scenarios together.
func (r *report) rules() rules {
	r.mu.Lock()
	defer r.mu.Unlock()
	byNamespace := map[string]rules{}
	for _, row := range r.rows {
		byNamespace[row.scenario] = row.rules
	}
	return rules{
		startFails: func(k containerKey) bool {
			own, ok := byNamespace[k.Namespace]
			return ok && own.startFails(k)
		},
		hidden: func(k containerKey, i instance) bool {
			own, ok := byNamespace[k.Namespace]
			return ok && own.hidden(k, i)
		},
	}
}

// total compares once more over all scenarios, what was printed and what was stored: what
// was right when a scenario ended may have been spoilt since.
func (s *suite) total(t *testing.T) {
	for _, c := range s.records.complaints() {
		t.Error(c)
	}
	if err := s.program.terminate(t.Context()); err != nil {
		t.Error(err)
	}
	ours := func(namespace string) bool { return strings.HasPrefix(namespace, prefix) }
	known := s.truth.instances(ours)
	rules := s.report.rules()
	var deaths []death
	if s.node != nil {
		var err error
		if deaths, err = s.node.deaths(t.Context(), ours); err != nil {
			t.Error(err)
		}
	}
	printed := judge(known, s.records.of(record.KindStop, ours), deaths, rules)
	doc, err := s.program.list(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, p := range s.program.untold(doc.Coverage.Gaps) {
		t.Error(p)
	}
	findings := slices.DeleteFunc(doc.Findings, func(r record.Record) bool { return r.Kind != record.KindStop || !ours(r.Namespace) })
	sortRecords(findings)
	stored := judge(known, findings, deaths, rules)
	for where, v := range map[string]verdict{"printed": printed, "stored": stored} {
		if n := v.Recorded + v.Missed; n != v.Ended {
			t.Errorf("%d instances ended, %d stops are %s as recorded or missed", v.Ended, n, where)
		}
		for _, p := range v.problems {
			t.Errorf("%s: %s", where, p)
		}
	}

	table := s.report.table()
	table += fmt.Sprintf("in all: %d ended; printed %d + %d missed; stored %d + %d missed\n", printed.Ended, printed.Recorded, printed.Missed, stored.Recorded, stored.Missed)
	table += s.accuracy.summary() + "\n"
	if err := s.accuracy.write(); err != nil {
		t.Error(err)
	}
	fmt.Print(table)
	if file := os.Getenv("WHYRESTART_E2E_REPORT"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Errorf("write the report: %v", err)
		}
	}
}
