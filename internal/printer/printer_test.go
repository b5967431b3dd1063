package printer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

var update = flag.Bool("update", false, "write the wanted results of testdata")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) time.Time { return now.Add(-ago) }

// records are one of each kind that a table shows in its own way.
func records() []record.Record {
	stop := func(change func(*record.Record)) record.Record {
		r := record.Record{
			Kind: record.KindStop, ID: "4b8b7da0e98f7106d997c42a", Cluster: "prod", Namespace: "shop", Pod: "checkout-6f7c9-x2x4q", PodUID: "u1", Node: "node-1",
			Container: "api", ContainerType: record.App, Workload: &record.Workload{Kind: "Deployment", Name: "checkout"},
			Stop: &record.Stop{
				Ordinal: 6, RestartCount: 7, ExitObserved: true, ExitCode: new(int32(137)), Signal: "SIGKILL", Reason: "OOMKilled", Image: "registry.example/checkout:1.4",
				StartedAt: at(6 * time.Minute), FinishedAt: at(3 * time.Minute), RanSeconds: new(int64(192)),
			},
			ObservedAt: at(2 * time.Minute), Category: record.Failure,
			Diagnosis: record.Diagnosis{Cause: "oom_killed", Detail: "container_limit", Confidence: record.Confirmed, Summary: "It used more memory than its limit of 128Mi."},
		}
		change(&r)
		return r
	}
	return []record.Record{
		stop(func(*record.Record) {}),
		stop(func(r *record.Record) {
			r.Workload, r.Category = nil, record.Lifecycle
			r.Diagnosis = record.Diagnosis{Cause: "pod_deleted", Confidence: record.Likely}
			r.Stop = &record.Stop{Ordinal: 0}
		}),
		stop(func(r *record.Record) {
			r.Workload, r.Category = &record.Workload{Kind: "StatefulSet", Name: "db"}, record.Disruption
			r.Diagnosis = record.Diagnosis{Cause: "unknown", Confidence: record.Unknown}
			r.Stop = &record.Stop{Ordinal: 11, MissedBefore: 4, ExitObserved: true, BeforeWatch: true}
			r.ObservedAt = time.Time{}
		}),
		stop(func(r *record.Record) {
			r.Container, r.ContainerType, r.Workload = "setup", record.Init, &record.Workload{Kind: "Job", Name: "a-job-with-quite-a-long-name-28473920"}
			r.Diagnosis = record.Diagnosis{Cause: "app_exit", Confidence: record.Confirmed}
			r.ExitCode, r.Signal, r.Reason, r.RanSeconds, r.FinishedAt = new(int32(1)), "", "Error", new(int64(0)), at(50*time.Hour)
		}),
		stop(func(r *record.Record) {
			r.Kind, r.Stop, r.Stall, r.Container, r.Node = record.KindStall, nil, &record.Stall{Begin: at(30 * time.Minute)}, "", ""
			r.Diagnosis = record.Diagnosis{Cause: "unschedulable", Detail: "insufficient_cpu", Confidence: record.Confirmed}
		}),
	}
}

func document() record.Document {
	return record.Document{Schema: record.Schema, Findings: records(), Coverage: record.Coverage{Pods: 5, Stops: 4, Missed: 4, Missing: []record.Missing{{What: "events", Why: "forbidden"}}}}
}

// TestFormats compares each format with what testdata holds.
func TestFormats(t *testing.T) {
	inCET(t)

	table := func(o printer.TableOptions, stream bool) string {
		o.Now = now
		var b bytes.Buffer
		table := printer.NewTable(&b, o)
		if !stream {
			if err := table.Rows(records()); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		for _, r := range records() {
			if err := table.Row(&r); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	}
	var jsonDoc, yamlDoc, lines, names bytes.Buffer
	if err := errors.Join(printer.JSON(&jsonDoc, document()), printer.YAML(&yamlDoc, document())); err != nil {
		t.Fatal(err)
	}
	for _, r := range records() {
		if err := errors.Join(printer.JSONLine(&lines, r), printer.Name(&names, r)); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{
		"table.txtar/list":      table(printer.TableOptions{}, false),
		"table.txtar/namespace": table(printer.TableOptions{Namespace: true}, false),
		"table.txtar/wide":      table(printer.TableOptions{Wide: true, Namespace: true}, false),
		"table.txtar/absolute":  table(printer.TableOptions{Absolute: true}, false),
		"table.txtar/stream":    table(printer.TableOptions{Clock: true}, true),
		"table.txtar/color":     strings.ReplaceAll(table(printer.TableOptions{Color: true}, false), "\x1b", "ESC"),
		"document.txtar/json":   jsonDoc.String(),
		"document.txtar/yaml":   yamlDoc.String(),
		"lines.txtar/jsonl":     lines.String(),
		"lines.txtar/name":      names.String(),
	}
	for file, sections := range map[string][]string{
		"table.txtar":    {"list", "namespace", "wide", "absolute", "stream", "color"},
		"document.txtar": {"json", "yaml"},
		"lines.txtar":    {"jsonl", "name"},
	} {
		a := &txtar.Archive{}
		for _, s := range sections {
			a.Files = append(a.Files, txtar.File{Name: s, Data: []byte(got[file+"/"+s])})
		}
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(txtar.Format(a))); diff != "" {
			t.Errorf("%s (-want +got), write it with -update:\n%s", file, diff)
		}
	}
}

var colors = regexp.MustCompile("\x1b\\[[0-9]+m")

// TestColor holds that colour is an addition to the same words, and only where asked for.
func TestColor(t *testing.T) {
	print := func(color bool) string {
		var b bytes.Buffer
		if err := printer.NewTable(&b, printer.TableOptions{Color: color, Wide: true, Now: now}).Rows(records()); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	plain, colored := print(false), print(true)
	if strings.Contains(plain, "\x1b") {
		t.Errorf("colour that nobody asked for:\n%q", plain)
	}
	if diff := cmp.Diff(plain, colors.ReplaceAllString(colored, "")); diff != "" {
		t.Errorf("colour changes the words (-plain +coloured):\n%s", diff)
	}
	if n := strings.Count(colored, "\x1b"); n != 2*len(records()) {
		t.Errorf("%d escapes, want a begin and an end a row:\n%q", n, colored)
	}
}

// TestColorOfOneCell holds that another cell with the cause's text is left alone.
func TestColorOfOneCell(t *testing.T) {
	r := records()[0]
	r.Pod, r.Namespace, r.Diagnosis.Cause = "unknown", "unknown", "unknown"
	r.Diagnosis.Confidence = record.Unknown
	var b bytes.Buffer
	if err := printer.NewTable(&b, printer.TableOptions{Color: true, Namespace: true, Now: now}).Rows([]record.Record{r}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\x1b[31m"); n != 1 {
		t.Errorf("%d coloured cells:\n%q", n, b.String())
	}
}

// TestColumns holds that a column begins in one place in all lines, whatever the width.
func TestColumns(t *testing.T) {
	rs := records()
	rs[2].Pod = strings.Repeat("größe-", 12)
	var b bytes.Buffer
	if err := printer.NewTable(&b, printer.TableOptions{Wide: true, Namespace: true, Now: now}).Rows(rs); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != len(rs)+1 {
		t.Fatalf("%d lines for %d records:\n%s", len(lines), len(rs), b.String())
	}
	head := []rune(lines[0])
	for _, column := range []string{"NAMESPACE", "WORKLOAD:CONTAINER", "POD", "CAUSE", "CATEGORY", "DETAIL", "TYPE", "ID"} {
		at := len([]rune(lines[0][:strings.Index(lines[0], " "+column)])) + 1
		for i, l := range lines {
			r := []rune(l)
			if len(r) > at && (r[at] == ' ' && head[at] == ' ' || r[at-1] != ' ' || r[at-2] != ' ') {
				t.Errorf("line %d: column %s does not begin at %d:\n%s", i, column, at, b.String())
			}
		}
	}
	for i, l := range lines {
		if strings.TrimRight(l, " ") != l {
			t.Errorf("line %d ends in blanks: %q", i, l)
		}
	}
}

func TestStreamColumnsGrow(t *testing.T) {
	rs := records()[:1]
	long := rs[0]
	long.Pod = strings.Repeat("x", 60)
	var b bytes.Buffer
	table := printer.NewTable(&b, printer.TableOptions{Now: now})
	for _, r := range []record.Record{rs[0], long, rs[0]} {
		if err := table.Row(&r); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(b.String(), "\n")
	cause := func(i int) int { return strings.Index(lines[i], "oom_killed") }
	if strings.Count(b.String(), "POD") != 1 || cause(1) == cause(2) || cause(2) != cause(3) {
		t.Errorf("stream:\n%s", b.String())
	}
}

func TestNothing(t *testing.T) {
	var b bytes.Buffer
	if err := printer.NewTable(&b, printer.TableOptions{}).Rows(nil); err != nil || b.Len() != 0 {
		t.Errorf("no records gave %q, %v", b.String(), err)
	}
	if err := printer.JSON(&b, record.Document{Schema: record.Schema, Findings: []record.Record{}}); err != nil || !strings.Contains(b.String(), `"findings": []`) {
		t.Errorf("no findings gave %q, %v", b.String(), err)
	}
}

// hostileRecord has a text wherever the cluster may choose one.
func hostileRecord(text string) record.Record {
	return record.Record{
		Kind: record.KindStop, ID: text, Cluster: text, Namespace: text, Pod: text, PodUID: text, Node: text, Container: text, ContainerType: record.ContainerType(text),
		Workload:   &record.Workload{Kind: text, Name: text},
		Stop:       &record.Stop{ExitObserved: true, ExitCode: new(int32(1)), Signal: text, Reason: text, Message: text, ContainerID: text, Image: text, ImageID: text},
		ObservedAt: now, Category: record.Category(text),
		Diagnosis: record.Diagnosis{
			Cause: text, Detail: text, Confidence: record.Confidence(text), Summary: text,
			Evidence: []record.Evidence{{Source: text, Object: text, Field: text, Value: text}}, Next: []record.NextStep{{Text: text, Command: text}},
		},
		Log: &record.Log{Lines: []string{text, text}, Missing: text},
	}
}

// formats writes a record in every way there is.
func formats(t *testing.T, r record.Record) map[string]string {
	t.Helper()
	out := map[string]string{}
	write := func(name string, f func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	doc := record.Document{Schema: record.Schema, Findings: []record.Record{r}}
	write("json", func(b *bytes.Buffer) error { return printer.JSON(b, doc) })
	write("yaml", func(b *bytes.Buffer) error { return printer.YAML(b, doc) })
	write("jsonl", func(b *bytes.Buffer) error { return printer.JSONLine(b, r) })
	write("name", func(b *bytes.Buffer) error { return printer.Name(b, r) })
	write("table", func(b *bytes.Buffer) error {
		return printer.NewTable(b, printer.TableOptions{Wide: true, Namespace: true, Now: now}).Rows([]record.Record{r})
	})
	write("stream", func(b *bytes.Buffer) error {
		return printer.NewTable(b, printer.TableOptions{Clock: true}).Row(&r)
	})
	write("color", func(b *bytes.Buffer) error {
		return printer.NewTable(b, printer.TableOptions{Wide: true, Color: true, Now: now}).Rows([]record.Record{r})
	})
	return out
}

func checkHostile(t *testing.T, text string) {
	t.Helper()
	r := hostileRecord(text)
	want := asJSON(t, record.Document{Schema: record.Schema, Findings: []record.Record{r}})
	for name, got := range formats(t, r) {
		if name == "color" {
			got = colors.ReplaceAllString(got, "")
		}
		checkSafe(t, got, true)
		lines := strings.Count(got, "\n")
		switch name {
		case "json":
			if diff := cmp.Diff(want, decode(t, []byte(got))); diff != "" {
				t.Errorf("json means something else (-want +got):\n%.2000s", diff)
			}
		case "yaml":
			b, err := yaml.YAMLToJSON([]byte(got))
			if err != nil {
				t.Fatalf("no YAML: %v\n%.500s", err, got)
			}
			if diff := cmp.Diff(want, decode(t, b)); diff != "" {
				t.Errorf("yaml means something else (-want +got):\n%.2000s", diff)
			}
		case "jsonl", "name":
			if lines > 1 {
				t.Errorf("%s: %d lines: %.500q", name, lines, got)
			}
		default:
			if lines != 2 {
				t.Errorf("%s: %d lines, want the head and one:\n%.500s", name, lines, got)
			}
		}
	}
}

func asJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, b)
}

func decode(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return v
}

func TestHostileText(t *testing.T) {
	for _, text := range append(hostile, strings.Repeat("\u202e", 3000), strings.Repeat("long ", 2000), "- a: b\n# c", "yes", "1e3", "~", "{{", "key: 'x", strings.Join(hostile, " ")) {
		checkHostile(t, text)
	}
}

func FuzzFormats(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(checkHostile)
}

func TestDuration(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Hour, "0s"}, {0, "0s"}, {999 * time.Millisecond, "0s"}, {41 * time.Second, "41s"}, {119 * time.Second, "119s"},
		{2 * time.Minute, "2m"}, {192 * time.Second, "3m12s"}, {599 * time.Second, "9m59s"}, {10 * time.Minute, "10m"}, {179 * time.Minute, "179m"},
		{3 * time.Hour, "3h"}, {6*time.Hour + 4*time.Minute, "6h4m"}, {8 * time.Hour, "8h"}, {47 * time.Hour, "47h"},
		{48 * time.Hour, "2d"}, {50 * time.Hour, "2d2h"}, {8 * 24 * time.Hour, "8d"}, {12*24*time.Hour + time.Hour, "12d"}, {1<<63 - 1, "106751d"},
	} {
		if got := printer.Duration(tc.d); got != tc.want {
			t.Errorf("Duration(%v) = %q, want %q", tc.d, got, tc.want)
		}
	}
}

func TestWorkload(t *testing.T) {
	for _, tc := range []struct{ kind, want string }{
		{"Deployment", "deploy/x"}, {"StatefulSet", "sts/x"}, {"DaemonSet", "ds/x"}, {"ReplicaSet", "rs/x"}, {"ReplicationController", "rc/x"},
		{"CronJob", "cj/x"}, {"Job", "job/x"}, {"Rollout", "rollout/x"}, {"", "/x"},
	} {
		if got := printer.Workload(&record.Record{Workload: &record.Workload{Kind: tc.kind, Name: "x"}}); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.kind, got, tc.want)
		}
	}
	if got := printer.Workload(&record.Record{Pod: "p"}); got != "pod/p" {
		t.Errorf("no workload: %q", got)
	}
}

// failing fails at its first write.
type failing struct{}

var errFull = errors.New("the pipe is closed")

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestErrorsOfTheWriter(t *testing.T) {
	r := records()[0]
	for name, err := range map[string]error{
		"json":  printer.JSON(failing{}, document()),
		"yaml":  printer.YAML(failing{}, document()),
		"jsonl": printer.JSONLine(failing{}, r),
		"name":  printer.Name(failing{}, r),
		"row":   printer.NewTable(failing{}, printer.TableOptions{}).Row(&r),
		"rows":  printer.NewTable(failing{}, printer.TableOptions{}).Rows(records()),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestWriteAtOnce holds that a line of a stream is one write, as others may write too.
func TestWriteAtOnce(t *testing.T) {
	var writes [][]byte
	w := writerFunc(func(b []byte) { writes = append(writes, bytes.Clone(b)) })
	for _, r := range records() {
		if err := printer.JSONLine(w, r); err != nil {
			t.Fatal(err)
		}
	}
	if len(writes) != len(records()) {
		t.Errorf("%d writes for %d records", len(writes), len(records()))
	}
	for _, b := range writes {
		if !utf8.Valid(b) || bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
			t.Errorf("no line: %q", b)
		}
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }
