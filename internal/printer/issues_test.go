package printer_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

func tallyOf(values ...string) issue.Tally {
	var t issue.Tally
	for n, v := range values {
		t.Values = append(t.Values, issue.Count{Value: v, Count: int64(n + 1), First: at(time.Duration(72-20*n) * time.Hour), Last: at(time.Duration(len(values)-n) * time.Minute)})
	}
	return t
}

// issues are one of each kind that a list shows in its own way.
func issues() []issue.Issue {
	hour := now.Unix() / 3600
	return []issue.Issue{
		{
			ID: "WR-4F2A1C", Key: issue.Key{Cluster: "prod", Namespace: "shop", Workload: record.Workload{Kind: "Deployment", Name: "checkout"}, Container: "api", Kind: record.KindStop, Cause: "oom_killed"},
			Category: record.Failure, Detail: "container_limit", Confidence: record.Confirmed, Summary: "It used more memory than its limit of 256Mi.",
			First: at(72 * time.Hour), Last: at(41 * time.Second), Count: 211, Known: 201, Missed: 3, State: issue.Escalating, EscalatedAt: at(20 * time.Minute),
			Pods: tallyOf("checkout-1", "checkout-2", "checkout-3", "checkout-4", "checkout-5", "checkout-6"), Nodes: tallyOf("node-1", "node-2"),
			Images: tallyOf("registry.example/checkout:1.4", "registry.example/checkout:1.5"), Revisions: tallyOf("6f7c9"),
			Incidents: tallyOf("WI-91C03B"), ExitCodes: tallyOf("1", "137"),
			Hours: []issue.Hour{{Hour: hour - 70, Count: 1}, {Hour: hour - 20, Count: 3}, {Hour: hour - 9, Count: 8}, {Hour: hour - 3, Count: 20}, {Hour: hour - 1, Count: 60}, {Hour: hour, Count: 122}},
			Ran:   issue.Spread{Count: 211, Min: 180, Max: 540, Sum: 211 * 200},
			Changes: []record.Change{
				{
					Kind: record.ChangeRollout, Object: "Deployment shop/checkout", Time: at(72*time.Hour + 6*time.Minute), From: "40", To: "41", By: "kubectl",
					Text:   "Revision 41 of Deployment checkout was rolled out 6m before the first stop.",
					Fields: []record.FieldChange{{Field: "containers[api].resources.limits.memory", Old: "512Mi", New: "256Mi"}, {Field: "containers[api].env[DB_PASSWORD]", Hidden: true}, {Field: "containers[api].command", New: "/bin/checkout"}},
				},
				{Kind: record.ChangeNode, Object: "Node node-1", Text: "The kubelet of node-1 is v1.36.1 since then: v1.35.3 -> v1.36.1.", Fields: []record.FieldChange{{Field: "kubeletVersion", Old: "v1.35.3", New: "v1.36.1"}}},
			},
		},
		{
			ID: "WR-91C03B", Key: issue.Key{Cluster: "prod", Namespace: "shop", Workload: record.Workload{Kind: "Deployment", Name: "web"}, Container: "nginx", Kind: record.KindStop, Cause: "liveness_probe"},
			Category: record.Failure, Detail: "timeout", Confidence: record.Likely, First: at(12 * time.Minute), Last: at(2 * time.Minute), Count: 3, State: issue.New,
			Pods: tallyOf("web-1"), Nodes: tallyOf("node-1"), Hours: []issue.Hour{{Hour: hour - 1, Count: 3}}, Ran: issue.Spread{Count: 3, Min: 30, Max: 30, Sum: 90},
		},
		{
			ID: "WR-0A1B2C", Key: issue.Key{Cluster: "prod", Namespace: "data", Workload: record.Workload{Kind: "StatefulSet", Name: "a-database-with-quite-a-long-name"}, Kind: record.KindStall, Cause: "unschedulable"},
			Category: record.Failure, Detail: "insufficient_memory", Confidence: record.Confirmed, First: at(30 * time.Minute), Last: at(30 * time.Minute), Count: 2, Open: 1, State: issue.Regressed, RegressedAt: at(30 * time.Minute),
			Pods: issue.Tally{Values: tallyOf("db-0", "db-1").Values, More: true},
		},
		{
			ID: "WR-77DE01", Key: issue.Key{Cluster: "prod", Namespace: "data", Workload: record.Workload{Kind: "DaemonSet", Name: "agent"}, Group: "agents", Container: "agent", Kind: record.KindStop, Cause: "eviction_api"},
			Category: record.Disruption, Confidence: record.Confirmed, First: at(80 * time.Hour), Last: at(26 * time.Hour), Count: 9, State: issue.Ongoing, Pods: tallyOf("agent-1"),
		},
		{
			ID: "WR-55AA55", Key: issue.Key{Cluster: "prod", Namespace: "shop", Workload: record.Workload{Kind: "Job", Name: "import"}, Container: "run", Kind: record.KindStop, Cause: "app_exit"},
			Category: record.Lifecycle, Confidence: record.Unknown, Count: 1, State: issue.Resolved, Status: issue.StatusResolved, Resolution: issue.ByPerson, By: "anna", Since: at(time.Hour), Note: "fixed in 1.6", Image: "registry.example/import:1.5",
		},
	}
}

func incidents() []issue.Incident {
	return []issue.Incident{
		{
			ID: "WI-91C03B", Cluster: "prod", Kind: issue.OnNode, Subject: "node-17", Summary: "node-17 rebooted: 25 stops of 22 pods of 18 workloads.",
			First: at(9 * time.Minute), Last: at(4 * time.Minute), Count: 23, Missed: 2,
			Issues: tallyOf("WR-4F2A1C", "WR-91C03B"), Workloads: tallyOf("shop/deploy/checkout", "data/sts/pg"), Pods: issue.Tally{Values: tallyOf("a", "b", "c").Values, More: true},
			Causes: tallyOf("runtime_restarted"), Nodes: tallyOf("node-17"), Categories: tallyOf("disruption"),
		},
		{
			ID: "WI-00FF00", Kind: issue.OnDependency, Subject: "db.shop:5432", Summary: "2 workloads cannot reach db.shop:5432: connection refused.", First: at(time.Hour), Last: at(time.Minute), Count: 5,
			Issues: tallyOf("WR-91C03B"), Workloads: tallyOf("shop/deploy/checkout", "shop/deploy/web"), Pods: tallyOf("a", "b"), Nodes: tallyOf("node-1"), Categories: tallyOf("failure"),
		},
	}
}

func issueTable(t interface{ Fatal(...any) }, o printer.IssueTable, is []issue.Issue, ins []issue.Incident) string {
	o.Now = now
	var b bytes.Buffer
	if err := o.Write(&b, is, ins); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func explainIssue(t interface{ Fatal(...any) }, x printer.IssueExplanation, o printer.ExplainOptions) string {
	o.Now = now
	var b bytes.Buffer
	if err := printer.ExplainIssue(&b, x, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func explainIncident(t interface{ Fatal(...any) }, x printer.IncidentExplanation, o printer.ExplainOptions) string {
	o.Now = now
	var b bytes.Buffer
	if err := printer.ExplainIncident(&b, x, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func inCET(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("CET", 3600)
	t.Cleanup(func() { time.Local = local })
}

// TestIssues compares the tables with what testdata holds.
func TestIssues(t *testing.T) {
	inCET(t)
	table := func(o printer.IssueTable, ins []issue.Incident) []byte {
		return []byte(strings.ReplaceAll(issueTable(t, o, issues(), ins), "\x1b", "ESC"))
	}
	all := printer.TableOptions{Namespace: true}
	golden(t, "issues.txtar", []txtar.File{
		{Name: "one namespace", Data: table(printer.IssueTable{}, nil)},
		{Name: "all, with incidents", Data: table(printer.IssueTable{TableOptions: all}, incidents())},
		{Name: "120 columns", Data: table(printer.IssueTable{TableOptions: all, Width: 120}, incidents())},
		{Name: "100 columns", Data: table(printer.IssueTable{TableOptions: all, Width: 100}, incidents())},
		{Name: "80 columns", Data: table(printer.IssueTable{TableOptions: all, Width: 80}, incidents())},
		{Name: "40 columns", Data: table(printer.IssueTable{TableOptions: all, Width: 40}, incidents())},
		{Name: "wide, ascii, clusters", Data: table(printer.IssueTable{TableOptions: printer.TableOptions{Wide: true, Namespace: true}, Width: 80, ASCII: true, Cluster: true}, nil)},
		{Name: "absolute, color", Data: table(printer.IssueTable{TableOptions: printer.TableOptions{Absolute: true, Color: true}}, incidents())},
		{Name: "an hour", Data: table(printer.IssueTable{Window: 8 * time.Hour}, nil)},
		{Name: "incidents alone", Data: []byte(issueTable(t, printer.IssueTable{}, nil, incidents()))},
	})
}

// TestExplainIssue compares the layout with what testdata holds.
func TestExplainIssue(t *testing.T) {
	inCET(t)
	var sections []txtar.File
	add := func(name, text string) {
		sections = append(sections, txtar.File{Name: name, Data: []byte(strings.ReplaceAll(text, "\x1b", "ESC"))})
	}
	is := issues()
	add("80 columns", explainIssue(t, printer.IssueExplanation{Issue: is[0], Incidents: incidents()[:1], Explained: true}, printer.ExplainOptions{}))
	add("color, 100 columns, ascii", explainIssue(t, printer.IssueExplanation{Issue: is[0]}, printer.ExplainOptions{Color: true, Width: 100, ASCII: true}))
	add("absolute", explainIssue(t, printer.IssueExplanation{Issue: is[1]}, printer.ExplainOptions{Absolute: true}))
	for _, i := range is[1:] {
		add(string(i.State), explainIssue(t, printer.IssueExplanation{Issue: i}, printer.ExplainOptions{}))
	}
	decided := func(name string, change func(*issue.Issue)) {
		i := issues()[1]
		i.By, i.Since = "anna", at(time.Hour)
		change(&i)
		text := explainIssue(t, printer.IssueExplanation{Issue: i}, printer.ExplainOptions{})
		_, text, _ = strings.Cut(text, "STATE")
		text, _, _ = strings.Cut(text, "STOPS")
		add(name, "STATE"+text)
	}
	decided("silence", func(i *issue.Issue) { i.State, i.Resolution = issue.Resolved, issue.BySilence })
	decided("another image", func(i *issue.Issue) {
		i.State, i.Resolution, i.Image = issue.Resolved, issue.ByImage, "registry.example/web:1"
	})
	decided("gone", func(i *issue.Issue) { i.State, i.Resolution = issue.Resolved, issue.ByDeletion })
	decided("muted", func(i *issue.Issue) { i.State, i.Until, i.Note = issue.Muted, at(-24*time.Hour), "a migration" })
	decided("muted for good", func(i *issue.Issue) { i.State = issue.Muted })
	decided("archived", func(i *issue.Issue) { i.State = issue.Archived })
	facts := []record.Evidence{
		{Source: "node", Object: "Node node-17", Field: "status.nodeInfo.bootID", Value: "7b1f", Time: at(9 * time.Minute)},
		{Source: "event", Object: "Node node-17", Field: "Rebooted", Value: "Node node-17 has been rebooted, boot id: 7b1f", Time: at(9 * time.Minute)},
	}
	add("incident", explainIncident(t, printer.IncidentExplanation{Incident: incidents()[0], Members: is[:2], Facts: facts, Changes: is[0].Changes[1:]}, printer.ExplainOptions{}))
	add("dependency", explainIncident(t, printer.IncidentExplanation{Incident: incidents()[1]}, printer.ExplainOptions{}))
	x := oom()
	x.Record.Issue = &record.IssueRef{ID: "WR-4F2A1C", State: "escalating", Count: 214, Pods: 9, Incident: "WI-91C03B"}
	x.Record.Changes = is[0].Changes
	text := explain(t, x, printer.ExplainOptions{})
	_, text, _ = strings.Cut(text, "ISSUE")
	add("of a stop", "ISSUE"+text[:strings.Index(text, "EVIDENCE")]+text[strings.Index(text, "CHANGE"):strings.Index(text, "RULED OUT")])
	golden(t, "issue.txtar", sections)
}

func nastyIssue(text string) issue.Issue {
	i := issues()[0]
	i.ID, i.Cluster, i.Namespace, i.Container, i.Cause, i.Detail, i.Summary, i.Signature = text, text, text, text, text, text, text, text
	i.Workload, i.Group = record.Workload{Kind: text, Name: text}, text
	i.By, i.Note, i.Image, i.Confidence = text, text, text, record.Confidence(text)
	i.State, i.Resolution = issue.Resolved, issue.ByPerson
	i.Pods, i.Nodes, i.Images, i.Revisions = tallyOf(text, text+"2"), tallyOf(text), tallyOf(text, text+"2"), tallyOf(text)
	i.Changes = []record.Change{
		{Object: text, By: text, From: text, To: text, Time: at(time.Hour), Fields: []record.FieldChange{{Field: text, Old: text, New: text + "2"}, {Field: text}}},
		{Text: text, Fields: []record.FieldChange{{Field: text, Old: "1", New: text}}},
	}
	return i
}

func nastyIncident(text string) issue.Incident {
	in := incidents()[0]
	in.ID, in.Kind, in.Subject, in.Summary, in.Cluster = text, text, text, text, text
	in.Issues, in.Workloads, in.Pods, in.Causes, in.Nodes, in.Categories = tallyOf(text), tallyOf(text), tallyOf(text), tallyOf(text), tallyOf(text), tallyOf(text)
	return in
}

// TestIssuesAreSafe holds that nothing of the cluster acts on a terminal, and that a row is
// a line.
func TestIssuesAreSafe(t *testing.T) {
	for _, text := range hostile {
		is, ins := []issue.Issue{nastyIssue(text)}, []issue.Incident{nastyIncident(text)}
		for _, o := range []printer.IssueTable{{}, {Width: 80}, {TableOptions: printer.TableOptions{Wide: true, Namespace: true}, Cluster: true}} {
			got := issueTable(t, o, is, ins)
			checkSafe(t, got, true)
			if n := strings.Count(got, "\n"); n != 5 {
				t.Errorf("%d lines, want two heads, two rows and a blank:\n%s", n, got)
			}
		}
		checkSafe(t, explainIssue(t, printer.IssueExplanation{Issue: is[0], Incidents: ins}, printer.ExplainOptions{}), true)
		checkSafe(t, explainIncident(t, printer.IncidentExplanation{
			Incident: ins[0], Members: is, Facts: []record.Evidence{{Source: "node", Object: "Node " + text, Field: text, Value: text}},
		}, printer.ExplainOptions{}), true)
		var b bytes.Buffer
		if err := printer.IssueName(&b, is[0]); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, b.String(), true)
	}
}

// TestIssuesFit holds that no line is longer than the terminal, as long as that is no
// narrower than what a list cannot do without.
func TestIssuesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z世-]{1,60}`).Draw(t, "name")
		width := rapid.IntRange(80, 160).Draw(t, "width")
		is, ins := issues(), incidents()
		for i := range is {
			is[i].Namespace, is[i].Workload.Name, is[i].Container, is[i].Detail = name, name, name, name
		}
		ins[0].Subject, ins[0].Summary = name, name+" "+name
		got := issueTable(t, printer.IssueTable{TableOptions: printer.TableOptions{Namespace: true}, Width: width}, is, ins)
		got += explainIssue(t, printer.IssueExplanation{Issue: nastyIssue(name), Incidents: ins}, printer.ExplainOptions{Width: width})
		got += explainIncident(t, printer.IncidentExplanation{Incident: nastyIncident(name), Members: is}, printer.ExplainOptions{Width: width})
		for _, line := range strings.Split(got, "\n") {
			if n := printer.Columns(line); n > width {
				t.Fatalf("%d columns of %d: %s", n, width, line)
			}
		}
	})
}

func TestIssueColor(t *testing.T) {
	print := func(color bool) string {
		return issueTable(t, printer.IssueTable{TableOptions: printer.TableOptions{Color: color}}, issues(), incidents()) +
			explainIssue(t, printer.IssueExplanation{Issue: issues()[0]}, printer.ExplainOptions{Color: color})
	}
	plain, colored := print(false), print(true)
	if strings.Contains(plain, "\x1b") || plain == colored {
		t.Errorf("colour where none was asked for, or none where it was:\n%q", plain)
	}
	if diff := cmp.Diff(plain, colors.ReplaceAllString(colored, "")); diff != "" {
		t.Errorf("colour changes the words (-plain +coloured):\n%s", diff)
	}
}

func TestSpark(t *testing.T) {
	for _, tc := range []struct {
		counts      []int64
		want, ascii string
	}{
		{nil, "", ""},
		{[]int64{0, 0, -1}, "...", "..."},
		{[]int64{0, 1, 2, 3}, ".▁▂▃", ".:-="},
		{[]int64{1, 2, 3, 4, 5, 6, 7, 8}, "▁▂▃▄▅▆▇█", ":-=+*#%@"},
		{[]int64{1, 10_000, 5_000, 0}, "▁█▄.", ":@+."},
		{[]int64{1 << 62, 1}, "█▁", "@:"},
	} {
		if got := printer.Spark(tc.counts, false); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.counts, got, tc.want)
		}
		if got := printer.Spark(tc.counts, true); got != tc.ascii {
			t.Errorf("%v in ASCII: %s, want %s", tc.counts, got, tc.ascii)
		}
	}
}

func TestHidden(t *testing.T) {
	for _, tc := range []struct {
		hidden printer.Hidden
		want   string
	}{
		{printer.Hidden{}, ""},
		{printer.Hidden{States: map[issue.State]int{issue.Resolved: 1}}, "Issues not shown: 1 resolved (--state all)"},
		{
			printer.Hidden{States: map[issue.State]int{issue.Resolved: 3, issue.Muted: 1}, Categories: map[record.Category]int{record.Lifecycle: 12}},
			"Issues not shown: 1 muted, 3 resolved (--state all), 12 lifecycle (--category all)",
		},
		{printer.Hidden{Folded: 19, Beyond: 2}, "Issues not shown: 19 folded into the incidents (--unfold), 2 beyond the limit (--limit 0)"},
		{printer.Hidden{Incidents: 4}, "Incidents not shown: 4 of disruptions (--unfold)"},
		{printer.Hidden{Folded: 1, Incidents: 4}, "Issues not shown: 1 folded into the incidents (--unfold); Incidents not shown: 4 of disruptions (--unfold)"},
	} {
		if got := tc.hidden.String(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestNote holds that a note is a line of its stream, and escaped.
func TestNote(t *testing.T) {
	inCET(t)
	var b bytes.Buffer
	rows := printer.NewTable(&b, printer.TableOptions{Clock: true})
	r := records()[0]
	r.Issue = &record.IssueRef{ID: "WR-4F2A1C", Count: 214, Pods: 9, State: "escalating"}
	if err := rows.Row(&r); err != nil {
		t.Fatal(err)
	}
	r.Issue = &record.IssueRef{ID: "WR-91C03B", Count: 1, Pods: 1, State: "new"}
	if err := rows.Row(&r); err != nil {
		t.Fatal(err)
	}
	if err := rows.Note(now, "22 more folded into WI-1\x1b"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for n, want := range []string{"DETAIL", ", WR-4F2A1C (214x, 9 pods, escalating)", ", NEW WR-91C03B", `13:00:00  !  22 more folded into WI-1\x1b`} {
		if !strings.HasSuffix(lines[n], want) {
			t.Errorf("line %d: %q, want %q at its end", n, lines[n], want)
		}
	}
}
