package sqlite

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

func plan(t *testing.T, s *Store, text string, args ...any) []string {
	t.Helper()
	rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// A page of a list reads its index from where the page begins, in the order of the page:
// no full scan of the records, and no sorting of them.
func TestListPlans(t *testing.T) {
	s := newTest(t)
	mustAppend(t, s, samples(0, 100)...)
	after := sqlstore.Position{At: storetest.Epoch().UnixNano(), Seq: 7}
	for _, c := range []struct {
		name string
		q    store.Query
		want string
	}{
		{"all", store.Query{}, "records_time (at<?)"},
		{"in a time", store.Query{Since: storetest.Epoch(), Until: storetest.Epoch().Add(time.Hour)}, "records_time (at>? AND at<?)"},
		{"of categories", store.Query{Categories: []record.Category{record.Failure, record.Disruption}}, "records_time (at<?)"},
		{"of a namespace since", store.Query{Namespaces: []string{"shop"}, Since: storetest.Epoch()}, "records_namespace (namespace=? AND at>? AND at<?)"},
		{"of a workload", store.Query{Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}}, "records_workload (workload_name=? AND workload_kind=? AND at<?)"},
		{
			"of a workload in a namespace", store.Query{Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}, Namespaces: []string{"shop"}, Cluster: "prod"},
			"records_workload (workload_name=? AND workload_kind=? AND at<?)",
		},
		{"of a pod", store.Query{Pod: "checkout-1", Namespaces: []string{"shop"}}, "records_pod (pod=? AND at<?)"},
		{"of a pod's life", store.Query{PodUID: "x", Container: "api"}, "records_pod_uid (pod_uid=? AND at<?)"},
		{"that are open", store.Query{Open: true, Kind: record.KindStall, Cluster: "prod"}, "records_open (at<?)"},
		{"that missed others", store.Query{Missed: true, Namespaces: []string{"shop"}, Since: storetest.Epoch()}, "records_missed (at>? AND at<?)"},
		{"of an incident", store.Query{Incident: "WI-000000", Since: storetest.Epoch()}, "records_incident (incident=? AND at>? AND at<?)"},
		{"of a node", store.Query{Node: "x", Since: storetest.Epoch()}, "records_node (node=? AND at>? AND at<?)"},
	} {
		for _, p := range []sqlstore.Position{{At: sqlstore.MaxNanos, Seq: sqlstore.MaxNanos}, after} {
			text, args := listStatement(c.q, p, 51)
			want := []string{"SEARCH records USING INDEX " + c.want}
			if diff := cmp.Diff(want, plan(t, s, text, args...)); diff != "" {
				t.Errorf("records %s after %v (-want +got):\n%s", c.name, p, diff)
			}
		}
	}

	text, args := listStatement(store.Query{Issue: "WR-000000", Kind: record.KindStop}, after, 51)
	want := []string{
		"SEARCH records USING INDEX records_issue (issue=? AND at<?)", "SCALAR SUBQUERY 1",
		"SEARCH a USING PRIMARY KEY (alias=?)", "SEARCH i USING INTEGER PRIMARY KEY (rowid=?)",
	}
	if diff := cmp.Diff(want, plan(t, s, text, args...)); diff != "" {
		t.Errorf("records of an issue (-want +got):\n%s", diff)
	}
	text, args = listStatement(store.Query{Namespaces: []string{"a", "b", "c"}, Since: storetest.Epoch()}, after, 51)
	searches := 0
	for _, line := range plan(t, s, text, args...) {
		if strings.HasPrefix(line, "SCAN records") {
			t.Errorf("records of three namespaces: %s", line)
		}
		if strings.HasPrefix(line, "SEARCH records USING INDEX records_namespace (namespace=?") {
			searches++
		}
	}
	if searches != 3 {
		t.Errorf("records of three namespaces are searched %d times", searches)
	}
}

// Neither does anything else that is asked while stops come in read over the tables.
func TestOtherPlans(t *testing.T) {
	s := newTest(t)
	for text, args := range map[string][]any{
		getStatement:                        {"a", "b"},
		changesStatement:                    outboxArguments(store.Outbox{Cluster: "prod", Consumer: "log"}, 10),
		findRecord:                          {"a"},
		evidenceStatement:                   {"a"},
		forgetMarks:                         {"prod", "a"},
		"DELETE FROM records WHERE seq = ?": {1},
		issueStatement:                      {"a", "a"},
		incidentStatement:                   {"a"},
		observationsStatement:               {"prod", "a"},
		ungrouped:                           {10},
		oldestEnded:                         {1, 10},
		oldestOfIssue:                       {"a", "a", 10, 10},
		dropIssues:                          {1, 10},
		dropIncidents:                       {1, 10},
	} {
		for _, line := range plan(t, s, text, args...) {
			if strings.HasPrefix(line, "SCAN") || strings.Contains(line, "TEMP B-TREE") {
				t.Errorf("%s: %s", text, line)
			}
		}
	}
	for _, text := range groupStatements() {
		for _, line := range plan(t, s, text, make([]any, strings.Count(text, "?"))...) {
			if strings.HasPrefix(line, "SCAN") || strings.Contains(line, "TEMP B-TREE") && !strings.Contains(line, "LAST TERM OF ORDER BY") {
				t.Errorf("%s: %s", text, line)
			}
		}
	}
	want := []string{"SEARCH marks USING PRIMARY KEY (cluster=? AND (pod_uid,type,name)>(?,?,?))"}
	if diff := cmp.Diff(want, plan(t, s, marksAfterStatement, "prod", "a", "b", "c", 10)); diff != "" {
		t.Errorf("a page of marks (-want +got):\n%s", diff)
	}
}

// A page of issues is read in order, or from the few of a workload or node, which are sorted.
func TestIssuePlans(t *testing.T) {
	s := newTest(t)
	mustAppend(t, s, samples(0, 100)...)
	const sorted = "USE TEMP B-TREE FOR ORDER BY"
	for _, c := range []struct {
		name string
		q    store.IssueQuery
		want []string
	}{
		{"all", store.IssueQuery{}, []string{"SEARCH issues USING COVERING INDEX issues_time (at<?)"}},
		{"muted", store.IssueQuery{Statuses: []issue.Status{issue.StatusMuted}}, []string{"SEARCH issues USING INDEX issues_time (at<?)"}},
		{"of a namespace", store.IssueQuery{Namespaces: []string{"shop"}}, []string{"SEARCH issues USING COVERING INDEX issues_namespace (namespace=? AND at<?)"}},
		{"of namespaces", store.IssueQuery{Namespaces: []string{"shop", "x"}}, []string{"SEARCH issues USING INDEX issues_time (at<?)"}},
		{
			"of a workload", store.IssueQuery{Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}, Namespaces: []string{"shop"}},
			[]string{"SEARCH issues USING INDEX issues_workload (workload_name=? AND workload_kind=?)", sorted},
		},
	} {
		for _, p := range []sqlstore.Position{{At: sqlstore.MaxNanos, Seq: sqlstore.MaxNanos}, {At: 7, Seq: 7}} {
			text, args := dialect().Issues(c.q, p, 51)
			if diff := cmp.Diff(c.want, plan(t, s, text, args...)); diff != "" {
				t.Errorf("issues %s after %v (-want +got):\n%s", c.name, p, diff)
			}
		}
	}
	for _, q := range []store.IssueQuery{
		{Since: storetest.Epoch()},
		{Since: storetest.Epoch(), Categories: []record.Category{record.Failure}},
		{Since: storetest.Epoch(), Namespaces: []string{"shop"}},
		{Since: storetest.Epoch(), Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}},
		{Node: "node-1"},
		{Node: "node-1", Since: storetest.Epoch()},
	} {
		text, args := dialect().Issues(q, sqlstore.Position{At: 7, Seq: 7}, 51)
		lines := plan(t, s, text, args...)
		for _, line := range lines {
			if strings.HasPrefix(line, "SCAN issue") {
				t.Errorf("issues of %+v: %s", q, strings.Join(lines, "\n"))
			}
		}
	}
	for name, c := range map[string]struct {
		q    store.IncidentQuery
		want []string
	}{
		"all":          {store.IncidentQuery{}, []string{"SCAN incidents USING INDEX incidents_time"}},
		"of a day":     {store.IncidentQuery{Since: storetest.Epoch()}, []string{"SEARCH incidents USING INDEX incidents_time (at>?)"}},
		"of a subject": {store.IncidentQuery{Kind: issue.OnNode, Subject: "a"}, []string{"SEARCH incidents USING INDEX incidents_subject (kind=? AND subject=?)"}},
	} {
		text, args := dialect().Incidents(c.q)
		if diff := cmp.Diff(c.want, plan(t, s, text, args...)); diff != "" {
			t.Errorf("incidents %s (-want +got):\n%s", name, diff)
		}
	}
}

// Of objects that nobody has seen for long, only so many are remembered.
func TestPruneUnseen(t *testing.T) {
	s := newTest(t)
	see := func(node string, hours int) record.Observation {
		return record.Observation{Object: "Node " + node, Field: "kernel", Value: "6.1", Time: storetest.Epoch().Add(time.Duration(hours) * time.Hour)}
	}
	batch := store.Batch{Cluster: "prod", Observed: []record.Observation{see("a", 0), see("b", 1), see("c", 2), see("d", 3), see("new", 60), see("a", 50)}}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	p := pruner{db: s.writer, observations: 3}
	if err := p.prune(t.Context(), store.Retention{Before: storetest.Epoch().Add(30 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]int{"a": 1, "b": 0, "c": 0, "d": 1, "new": 1} {
		got, err := s.Observations(t.Context(), "prod", "Node "+node, time.Time{})
		if err != nil || len(got) != want {
			t.Errorf("of node %s there is %v, error %v", node, got, err)
		}
	}
}

// What is left of a big history after pruning by size lies in a small file.
func TestPruneShrinksTheFile(t *testing.T) {
	s := newTest(t)
	for from := 0; from < 1200; from += 400 {
		batch := samples(from, 400)
		for i := range batch {
			batch[i].Log = storetest.SampleLog(from + i)
		}
		mustAppend(t, s, batch...)
	}
	files := func() (total int64) {
		t.Helper()
		for _, suffix := range []string{"", "-wal"} {
			info, err := os.Stat(s.path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		return total
	}
	before := files()
	const bound = 1 << 20
	removed, err := s.Prune(t.Context(), store.Retention{MaxBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of 1200 records removed; files before %d, after %d, of which the log %d", removed, before, files(), files()-info.Size())
	// The free pages that are kept, and what lies between two checkpoints.
	if max := int64(bound + vacuumStep*4096 + 1<<18); info.Size() > max {
		t.Errorf("the file has %d bytes for %d of content, want at most %d", info.Size(), bound, max)
	}
	checkIntegrity(t, s)
}

// A pod and its containers that nobody stopped for long keep their marks; the rest of the
// schema holds on to its records.
func TestNothingOutlivesItsRecord(t *testing.T) {
	s := newTest(t)
	batch := samples(0, 300)
	for i := range batch {
		batch[i].Log = storetest.SampleLog(i)
	}
	mustAppend(t, s, batch...)
	kept := make(map[string]evidence.Evidence)
	for _, r := range batch {
		kept[r.ID] = evidence.Evidence{Version: evidence.Version}
	}
	if err := s.Append(t.Context(), store.Batch{Records: batch, Evidence: kept}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), store.Retention{Before: storetest.Epoch().Add(290 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"records", "logs", "evidence", "changes"} {
		var n int
		if err := s.reader.QueryRowContext(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)).Scan(&n); err != nil || n != 10 {
			t.Errorf("%s has %d rows, want 10; error %v", table, n, err)
		}
	}
}
