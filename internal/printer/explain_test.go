package printer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// oom is a stop of which everything is known.
func oom() printer.Explanation {
	r := records()[0]
	again := true
	r.WillRestart, r.BackOffSeconds = &again, 80
	pod := "Pod shop/checkout-6f7c9-x2x4q"
	quote := func(source, object, field, value string, ago time.Duration) record.Evidence {
		e := record.Evidence{Source: source, Object: object, Field: field, Value: value}
		if ago > 0 {
			e.Time = at(ago)
		}
		return e
	}
	r.Diagnosis = record.Diagnosis{
		Cause: "oom_killed", Detail: "container_limit", Confidence: record.Confirmed,
		Summary: "The kernel killed the container's main process, as the container used more memory than its limit of 256Mi.",
		Evidence: []record.Evidence{
			quote("pod-status", pod, "status.containerStatuses[api].lastState.terminated.reason", "OOMKilled", 3*time.Minute),
			quote("pod-status", pod, "status.containerStatuses[api].lastState.terminated.exitCode", "137", 3*time.Minute),
			quote("pod-spec", pod, "spec.containers[api].resources.limits.memory", "268435456", 0),
			quote("pod-status", pod, "status.containerStatuses[proxy].state.waiting.reason", "CrashLoopBackOff", 0),
			quote("event", pod, "Unhealthy", `Readiness probe failed: Get "http://10.0.0.7:8080/ready": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, 26*time.Hour),
			quote("node", "Node node-1", "status.conditions[MemoryPressure].status", "False", 20*time.Minute),
			quote("owner", "Deployment shop/checkout", "spec.replicas", "3", 0),
			quote("log", "", "", "GC overhead: heap 241M/245M", 0),
			quote("history", "", "memory limit", "512Mi until revision 41", 0),
		},
		RuledOut: []record.Alternative{
			{Cause: "liveness_probe", Why: "no Killing event in the instance's lifetime"},
			{Cause: "runtime_restarted", Why: "the node's boot id did not change"},
			{Cause: "definition_changed", Why: "no Killing event in the instance's lifetime"},
		},
		Alternatives: []record.Alternative{{Cause: "unknown", Why: "somebody on the node may have sent the signal"}},
		Missing:      []record.Missing{{What: "node events", Why: "forbidden"}, {What: "node events", Why: "forbidden"}},
		Next: []record.NextStep{
			{Text: "Raise the limit, or find out what the program needs it for.", Command: "kubectl set resources deployment/checkout --namespace shop --containers=api --limits=memory=512Mi"},
			{Text: "Look at its memory over time."},
		},
		Advice: []record.Advice{{Code: "requests_below_limits", Text: "It asks for much less memory than it may use.", Evidence: []record.Evidence{
			quote("pod-spec", pod, "spec.containers[api].resources.requests.memory", "67108864", 0),
		}}},
	}
	r.Log = &record.Log{Instance: record.LogProbable, Truncated: true, Redactions: 2, Lines: []string{
		"1", "2", "3", "4", "5", "6", "7", "goroutine 1 [running]:", "\tmain.go:13 +0x705", strings.Repeat("all work and no play ", 8), "  indented", "", "",
	}}
	r.Life = []record.LifeStep{
		{Step: "created", Time: at(30 * time.Minute), Text: "by ReplicaSet checkout-6f7c9", Source: "pod-metadata"},
		{Step: "scheduled", Time: at(30 * time.Minute), Text: "to node-1"},
		{Step: "image_pulled", Container: "api", Time: at(29 * time.Minute), Seconds: new(2.14), UsualSeconds: new(1.0), Text: "registry.example/checkout:1.4"},
		{Step: "started", Container: "api"},
		{Step: "stopped", Container: "api", Time: at(3 * time.Minute), Seconds: new(192.0), Text: "exit 137 (SIGKILL) OOMKilled, for which the kernel log would have the sizes of all processes of the container"},
	}
	return printer.Explanation{
		Record: r,
		History: &printer.History{
			Of: "deploy/checkout:api", Stops: 12, Missed: 3, Pods: 2, First: at(72 * time.Hour), Last: at(3 * time.Minute), RanSeconds: []int64{180, 540, 192},
			Causes: []printer.CauseCount{{Cause: "oom_killed", Stops: 11}, {Cause: "app_exit", Stops: 1}},
		},
	}
}

// nasty is a record of which every text that the cluster chose is one.
func nasty(text string) printer.Explanation {
	x := oom()
	r := &x.Record
	r.Namespace, r.Pod, r.Node, r.Container, r.Workload.Name = text, text, text, text, text
	r.Reason = text
	d := &r.Diagnosis
	d.Cause, d.Detail, d.Summary = text, text, text
	for i := range d.Evidence {
		d.Evidence[i].Value, d.Evidence[i].Field, d.Evidence[i].Object = text, "status.containerStatuses["+text+"]."+text, "Pod "+text
	}
	d.RuledOut = []record.Alternative{{Cause: text, Why: text}}
	d.Missing = []record.Missing{{What: text, Why: text}}
	d.Next = []record.NextStep{{Text: text, Command: text}}
	d.Advice = []record.Advice{{Code: text, Text: text, Evidence: d.Evidence[:1]}}
	r.Log.Lines = []string{text, text + text}
	for i := range r.Life {
		r.Life[i].Step, r.Life[i].Container, r.Life[i].Text = text, text, text
	}
	x.History.Of, x.History.Causes[0].Cause = text, text
	x.Like = []record.Record{{Pod: text}}
	return x
}

func explain(t interface{ Fatal(...any) }, x printer.Explanation, o printer.ExplainOptions) string {
	o.Now = now
	var b bytes.Buffer
	if err := printer.Explain(&b, x, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExplain compares the layout with what testdata holds.
func TestExplain(t *testing.T) {
	inCET(t)
	stall := printer.Explanation{Record: records()[4]}
	stall.Record.Diagnosis.Summary = "No node has 64 CPUs left; the largest has 1.8."
	stall.Like = []record.Record{{Pod: "a"}, {Pod: "b"}, {Pod: "c"}, {Pod: "d"}}
	over := printer.Explanation{Record: stall.Record.Clone()}
	over.Record.End = at(10 * time.Minute)
	over.Record.Begin = at(36 * time.Hour)
	over.Record.Category = record.Disruption
	once := printer.Explanation{Record: records()[1], History: &printer.History{Of: "this container", Stops: 1, Missed: 1}}
	once.Record.Log = &record.Log{Missing: "unable to retrieve container logs for containerd://4b8b"}
	once.Like = []record.Record{{Pod: once.Record.Pod}}
	sections := []txtar.File{
		{Name: "80 columns", Data: []byte(explain(t, oom(), printer.ExplainOptions{}))},
		{Name: "100 columns, absolute", Data: []byte(explain(t, oom(), printer.ExplainOptions{Width: 100, Absolute: true}))},
		{Name: "50 columns", Data: []byte(explain(t, oom(), printer.ExplainOptions{Width: 50}))},
		{Name: "color", Data: []byte(strings.ReplaceAll(explain(t, oom(), printer.ExplainOptions{Color: true}), "\x1b", "ESC"))},
		{Name: "a stall of several pods", Data: []byte(explain(t, stall, printer.ExplainOptions{}))},
		{Name: "a stall that is over", Data: []byte(explain(t, over, printer.ExplainOptions{}))},
		{Name: "of which little is known", Data: []byte(explain(t, once, printer.ExplainOptions{}))},
		{Name: "hostile", Data: []byte(explain(t, nasty("\x1b[31m\u202egpj.exe\u2069 世界"), printer.ExplainOptions{}))},
	}
	var also bytes.Buffer
	if err := printer.Also(&also, []printer.Explanation{stall, once, nasty("\x1b[31m")}, printer.ExplainOptions{Now: now}); err != nil {
		t.Fatal(err)
	}
	sections = append(sections, txtar.File{Name: "also", Data: also.Bytes()})
	golden(t, "explain.txtar", sections)
}

// TestGroups compares the table of groups with what testdata holds.
func TestGroups(t *testing.T) {
	rs := records()
	same := rs[0].Clone()
	same.Pod, same.PodUID, same.FinishedAt = "checkout-6f7c9-aaaaa", "u2", at(time.Minute)
	older := rs[0].Clone()
	older.FinishedAt, older.Ordinal = at(time.Hour), 2
	rs = append(rs, same, older)
	table := func(width int, o printer.TableOptions) []byte {
		o.Now = now
		var b bytes.Buffer
		if err := (printer.GroupTable{TableOptions: o, Width: width}).Write(&b, printer.GroupBy(rs)); err != nil {
			t.Fatal(err)
		}
		return []byte(strings.ReplaceAll(b.String(), "\x1b", "ESC"))
	}
	golden(t, "groups.txtar", []txtar.File{
		{Name: "a file", Data: table(0, printer.TableOptions{})},
		{Name: "a terminal", Data: table(120, printer.TableOptions{Namespace: true})},
		{Name: "wide, absolute, color", Data: table(0, printer.TableOptions{Wide: true, Absolute: true, Color: true})},
	})
}

func golden(t *testing.T, file string, sections []txtar.File) {
	t.Helper()
	path := filepath.Join("testdata", file)
	got := txtar.Format(&txtar.Archive{Files: sections})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), write it with -update:\n%s", file, diff)
	}
}

// TestExplainIsSafe holds that nothing of the cluster acts on a terminal.
func TestExplainIsSafe(t *testing.T) {
	for _, text := range hostile {
		checkSafe(t, explain(t, nasty(text), printer.ExplainOptions{}), true)
		r := nasty(text).Record
		var b bytes.Buffer
		if err := (printer.GroupTable{Width: 80}).Write(&b, printer.GroupBy([]record.Record{r})); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, b.String(), true)
	}
}

// TestExplainFits holds that no line is longer than the terminal, except commands.
func TestExplainFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(rapid.StringN(0, 300, 600).Draw(t, "text"), "")
		width := rapid.IntRange(0, 160).Draw(t, "width")
		x := nasty(text)
		x.Record.Diagnosis.Next = nil
		limit := max(width, 40)
		if width == 0 {
			limit = printer.DefaultWidth
		}
		for _, line := range strings.Split(explain(t, x, printer.ExplainOptions{Width: width}), "\n") {
			if n := printer.Columns(line); n > limit {
				t.Fatalf("%d columns of %d: %s", n, limit, line)
			}
		}
	})
}

// TestExplainColor holds that colour changes no word.
func TestExplainColor(t *testing.T) {
	plain, colored := explain(t, oom(), printer.ExplainOptions{}), explain(t, oom(), printer.ExplainOptions{Color: true})
	if strings.Contains(plain, "\x1b") || plain == colored {
		t.Errorf("colour where none was asked for, or none where it was:\n%q", plain)
	}
	if diff := cmp.Diff(plain, colors.ReplaceAllString(colored, "")); diff != "" {
		t.Errorf("colour changes the words (-plain +coloured):\n%s", diff)
	}
}

func TestColumnsOfATerminal(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "größe": 5, "世界": 4, "e\u0301": 1, "🙂": 2, "ｱ": 1, "한글": 4, "…": 1} {
		if got := printer.Columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, tc := range []struct {
		text  string
		width int
		want  string
	}{
		{"short", 5, "short"}, {"longer", 5, "long…"}, {"to be or", 4, "to…"}, {"世界世界", 5, "世界…"},
	} {
		if got := printer.Shorten(tc.text, tc.width); got != tc.want {
			t.Errorf("%q to %d: %q, want %q", tc.text, tc.width, got, tc.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1000: "1000", 1 << 10: "1Ki", 256 << 20: "256Mi", 3 << 29: "1536Mi", 1 << 62: "4Ei"} {
		if got := printer.Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func ExampleGroupBy() {
	rs := records()
	for _, g := range printer.GroupBy(rs[:2]) {
		fmt.Println(g.Newest.Diagnosis.Cause, g.Pods)
	}
	// Output:
	// oom_killed 1
	// pod_deleted 1
}

// TestDetail holds that the last column says what tells one finding from another.
func TestDetail(t *testing.T) {
	stop, stall := records()[0], records()[4]
	for _, tc := range []struct {
		name   string
		of     record.Record
		change func(*record.Record)
		want   string
	}{
		{"the limit", oom().Record, func(*record.Record) {}, "exit 137 (SIGKILL) OOMKilled, container_limit: limit 256Mi"},
		{"what a probe asked for", stop, func(r *record.Record) {
			r.Diagnosis = record.Diagnosis{Cause: "liveness_probe", Detail: "http_500", Evidence: []record.Evidence{
				{Source: "event", Field: "Killing", Value: "Container api failed liveness probe"},
				{Source: "pod-spec", Field: "spec.containers[api].livenessProbe", Value: "httpGet GET :8080/healthz delay=0s timeout=1s period=2s #failure=2"},
			}}
		}, "exit 137 (SIGKILL) OOMKilled, http_500: GET :8080/healthz"},
		{"the last words", stop, func(r *record.Record) {
			r.ExitCode, r.Signal, r.Reason = new(int32(1)), "", "Error"
			r.Diagnosis = record.Diagnosis{Cause: "app_exit", Detail: "port_in_use", Evidence: []record.Evidence{{Source: "log", Value: "listen tcp :8080:\n bind: address already in use"}}}
		}, "exit 1 Error, port_in_use: listen tcp :8080: bind: address already in use"},
		{"what a node lacks", stall, func(r *record.Record) {
			r.Diagnosis.Summary = "The only node cannot take the pod: it has 1.8 cpu free of 64."
		},
			"insufficient_cpu: it has 1.8 cpu free of 64"},
		{"a stall in its own words", stall, func(r *record.Record) {
			r.Diagnosis = record.Diagnosis{Cause: "terminating_stuck", Detail: "finalizer", Summary: strings.Repeat("It is still there. ", 9)}
		}, "finalizer: It is still there. It is still there. It is still there. It is still…"},
		{"a stall that is over", stall, func(r *record.Record) {
			r.End = at(0)
			r.Diagnosis = record.Diagnosis{Cause: "admission_rejected", Detail: "OutOfcpu", Summary: "The kubelet refused it."}
		}, "OutOfcpu, over"},
		{"of which only the time is known", stall, func(r *record.Record) {
			r.End, r.Diagnosis = at(0), record.Diagnosis{Cause: "unknown"}
		}, "over"},
	} {
		r := tc.of.Clone()
		tc.change(&r)
		var b bytes.Buffer
		if err := printer.NewTable(&b, printer.TableOptions{Now: now}).Rows([]record.Record{r}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if got := lines[1][strings.Index(lines[0], "DETAIL"):]; got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
