package app

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestParseSubject(t *testing.T) {
	for arg, want := range map[string]string{
		"web-1": "pod/web-1", "pod/web-1": "pod/web-1", "pods/web-1": "pod/web-1", "po/web-1": "pod/web-1",
		"deploy/web": "deployment/web", "Deployment/web": "deployment/web", "deployments.apps/web": "deployment/web", "deployment.v1.apps/web": "deployment/web",
		"sts/db": "statefulset/db", "ds/log": "daemonset/log", "rs/web-7": "replicaset/web-7", "rc/old": "replicationcontroller/old",
		"job/x": "job/x", "jobs/x": "job/x", "cj/x": "cronjob/x", "cronjobs.batch/x": "cronjob/x",
		"rollouts.argoproj.io/web": "rollout/web", "rayclass/x": "rayclass/x",
		"": "", "/": "", "deploy/": "", "/web": "", "a/b/c": "",
	} {
		s, err := ParseSubject(arg)
		got := s.String()
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q is %q (%v), want %q", arg, got, err, want)
		}
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stopOf returns the stop of a container of pod web-7-x of the Deployment web.
func stopOf(container string, ordinal int, cause string, category record.Category, minutesAgo int, change ...func(*pipeline.Finding)) pipeline.Finding {
	f := pipeline.Finding{
		Record: record.Record{
			Kind: record.KindStop, ID: fmt.Sprintf("%s%d", container, ordinal), Namespace: "shop", Pod: "web-7-x", PodUID: "u1",
			Container: container, ContainerType: record.App, Workload: &record.Workload{Kind: "Deployment", Name: "web"},
			Stop:      &record.Stop{Ordinal: ordinal, ExitObserved: true, FinishedAt: noon.Add(-time.Duration(minutesAgo) * time.Minute)},
			Category:  category,
			Diagnosis: record.Diagnosis{Cause: cause},
		},
		Evidence: evidence.Evidence{
			Version: evidence.Version, Pod: evidence.Pod{Labels: map[string]string{"pod-template-hash": "7"}, Owner: &record.Workload{Kind: "ReplicaSet", Name: "web-7"}},
			Container: evidence.Container{Name: container, State: "running", Ready: true},
		},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func stallOf(id, container, cause string, over bool) pipeline.Finding {
	f := stopOf(container, 0, cause, record.Failure, 0)
	f.Record.Kind, f.Record.ID, f.Record.Stop, f.Record.Stall = record.KindStall, id, nil, &record.Stall{Begin: noon.Add(-5 * time.Minute)}
	if over {
		f.Record.End = noon.Add(-time.Minute)
	}
	return f
}

func well1(f *pipeline.Finding) {
	f.Record = record.Record{Namespace: "shop", Pod: "web-7-x", PodUID: "u1"}
}

func TestSubjectHas(t *testing.T) {
	f := stopOf("app", 0, "app_exit", record.Failure, 1)
	f.Evidence.Owner = &evidence.Owner{Chain: []evidence.Controller{{Kind: "ReplicaSet", Name: "web-7"}, {Kind: "Deployment", Name: "web"}, {Kind: "Shop", Name: "front"}}}
	for arg, want := range map[string]bool{
		"web-7-x": true, "web-7": false, "deploy/web": true, "rs/web-7": true, "shops.example.com/front": true, "sts/web": false, "deploy/we": false, "pod/web": false,
	} {
		s, err := ParseSubject(arg)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Has(&f); got != want {
			t.Errorf("%s has it: %t, want %t", arg, got, want)
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: f.Record.Pod, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-7"}}}}
		if want && !s.Wants(pod) {
			t.Errorf("%s does not want the pod that it has", arg)
		}
		s.Container = "other"
		if s.Has(&f) {
			t.Errorf("%s has another container's", arg)
		}
	}
	s := Subject{Kind: "deployment", Name: "web"}
	about, quiet := s.Of([]pipeline.Finding{f, stopOf("app", 0, "", "", 0, well1)})
	if len(about) != 1 || len(quiet) != 1 {
		t.Errorf("%d findings and %d pods without, want one each", len(about), len(quiet))
	}
}

func ids(found []pipeline.Finding) string {
	var out []string
	for i := range found {
		out = append(out, found[i].Record.ID)
	}
	return strings.Join(out, " ")
}

func TestNewest(t *testing.T) {
	initDone := stopOf("init", 0, "completed", record.Lifecycle, 9, func(f *pipeline.Finding) { f.Record.ContainerType = record.Init })
	refined := stopOf("app", 1, "oom_killed", record.Failure, 2)
	for _, tc := range []struct {
		name  string
		found []pipeline.Finding
		want  string
	}{
		{"nothing", nil, ""},
		{"the last of each container, failures first", []pipeline.Finding{
			stopOf("side", 0, "pod_deleted", record.Lifecycle, 1), stopOf("app", 0, "app_exit", record.Failure, 3), stopOf("app", 1, "app_exit", record.Failure, 2),
		}, "app1 side0"},
		{"the ordinal counts, as clocks are set back", []pipeline.Finding{stopOf("app", 3, "app_exit", record.Failure, 9), stopOf("app", 2, "app_exit", record.Failure, 1)}, "app3"},
		{"an init container that completed is nothing", []pipeline.Finding{initDone}, ""},
		{"stalls that go on", []pipeline.Finding{stallOf("s1", "app", "readiness_probe", false), stallOf("s2", "", "unschedulable", false)}, "s1 s2"},
		{"a stall that is over", []pipeline.Finding{stallOf("s1", "app", "readiness_probe", true)}, "s1"},
		{"a stall that was over before the stop", []pipeline.Finding{stallOf("s1", "app", "image_not_found", true), stopOf("app", 0, "app_exit", record.Failure, 1)}, "app0"},
		{"one that comes again replaces itself", []pipeline.Finding{stopOf("app", 1, "unknown", record.Failure, 2), refined}, "app1"},
		{"a pod with nothing", []pipeline.Finding{stopOf("app", 0, "", "", 0, well1)}, ""},
	} {
		got := Newest(tc.found)
		if ids(got) != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, ids(got), tc.want)
		}
		if strings.HasPrefix(tc.name, "one that comes again") && got[0].Record.Diagnosis.Cause != "oom_killed" {
			t.Errorf("%s: the older one stays", tc.name)
		}
	}
}

func TestMatters(t *testing.T) {
	after := noon.Add(-time.Hour)
	state := func(change func(*evidence.Container)) func(*pipeline.Finding) {
		return func(f *pipeline.Finding) { change(&f.Evidence.Container) }
	}
	for _, tc := range []struct {
		name  string
		found pipeline.Finding
		want  bool
	}{
		{"well again, and it stopped lately", stopOf("app", 0, "app_exit", record.Failure, 10), true},
		{"well again for long", stopOf("app", 0, "app_exit", record.Failure, 100), false},
		{"it runs and is not ready", stopOf("app", 0, "app_exit", record.Failure, 100, state(func(c *evidence.Container) { c.Ready = false })), true},
		{"it waits", stopOf("app", 0, "app_exit", record.Failure, 100, state(func(c *evidence.Container) { c.State = "waiting" })), true},
		{"it ended badly", stopOf("app", 0, "app_exit", record.Failure, 100, state(func(c *evidence.Container) { c.State, c.Ended = "terminated", &evidence.Ended{ExitCode: 1} })), true},
		{"it ended well", stopOf("app", 0, "completed", record.Lifecycle, 100, state(func(c *evidence.Container) { c.State, c.Ended = "terminated", &evidence.Ended{} })), false},
		{"of which nothing is known", stopOf("app", 0, "app_exit", record.Failure, 100, state(func(c *evidence.Container) { *c = evidence.Container{} })), true},
		{"a stall", stallOf("s", "app", "readiness_probe", false), true},
		{"a stall that is over", stallOf("s", "app", "readiness_probe", true), false},
	} {
		if got := Matters([]pipeline.Finding{tc.found}, after); (len(got) == 1) != tc.want {
			t.Errorf("%s: matters %t, want %t", tc.name, len(got) == 1, tc.want)
		}
	}
}

func TestRestart(t *testing.T) {
	found := []pipeline.Finding{stopOf("app", 0, "app_exit", record.Failure, 9), stopOf("app", 4, "oom_killed", record.Failure, 1), stallOf("s", "app", "readiness_probe", false)}
	for n, want := range map[int]string{1: "app0", 5: "app4"} {
		if f, err := Restart(found, n); err != nil || f.Record.ID != want {
			t.Errorf("before restart %d: %s (%v), want %s", n, f.Record.ID, err, want)
		}
	}
	if _, err := Restart(found, 3); err == nil || !strings.Contains(err.Error(), "but before 1, 5") {
		t.Errorf("before restart 3: %v", err)
	}
	if _, err := Restart(found[2:], 1); err == nil {
		t.Error("a stall is no stop")
	}
}

func TestForemost(t *testing.T) {
	one := func(pod string, c record.Category) printer.Explanation {
		return printer.Explanation{Record: record.Record{Pod: pod, Category: c}}
	}
	for _, tc := range []struct {
		name       string
		all        []printer.Explanation
		full, also int
	}{
		{"nothing", nil, 0, 0},
		{"one pod", []printer.Explanation{one("a", record.Failure), one("a", record.Failure), one("a", record.Failure), one("a", record.Failure), one("a", record.Lifecycle)}, 5, 0},
		{"several pods", []printer.Explanation{one("a", record.Failure), one("b", record.Failure), one("c", record.Disruption), one("a", record.Disruption), one("d", record.Lifecycle)}, 3, 2},
		{"what was wanted of several pods", []printer.Explanation{one("a", record.Lifecycle), one("b", record.Lifecycle)}, 1, 1},
	} {
		if full, also := Foremost(tc.all); len(full) != tc.full || len(also) != tc.also {
			t.Errorf("%s: %d in full and %d named, want %d and %d", tc.name, len(full), len(also), tc.full, tc.also)
		}
	}
}

func TestRanges(t *testing.T) {
	for want, all := range map[string][]int{"": nil, "3": {3}, "1-3, 7, 9-10": {10, 2, 3, 1, 1, 9, 7}} {
		if got := ranges(all); got != want {
			t.Errorf("%v: %s, want %s", all, got, want)
		}
	}
}

func TestExplanations(t *testing.T) {
	other := stopOf("app", 0, "app_exit", record.Failure, 5, func(f *pipeline.Finding) { f.Record.ID, f.Record.Pod, f.Record.PodUID = "other", "web-7-y", "u2" })
	counted := stopOf("app", 8, "app_exit", record.Failure, 1, func(f *pipeline.Finding) {
		f.Record.RanSeconds = new(int64(7))
		f.Evidence.History = &evidence.History{Stops: 3, First: noon.Add(-time.Hour), RanSeconds: []int64{5, 6, 8}, Causes: []string{"app_exit", "oom_killed", "app_exit"}}
	})
	got := Explanations([]pipeline.Finding{other, counted})
	if len(got) != 1 || got[0].Record.ID != "app8" || len(got[0].Like) != 1 || got[0].Like[0].Pod != "web-7-y" {
		t.Fatalf("got %+v", got)
	}
	want := &printer.History{
		Of: "this container", Stops: 4, Missed: 5, First: noon.Add(-time.Hour), Last: noon.Add(-time.Minute), RanSeconds: []int64{5, 6, 8, 7},
		Causes: []printer.CauseCount{{Cause: "app_exit", Stops: 3}, {Cause: "oom_killed", Stops: 1}},
	}
	if diff := cmp.Diff(want, got[0].History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// TestExplainEveryRecording holds that what is found can be read in a terminal: it names
// the cause, fits into 80 columns, and shows nothing that acts on it.
func TestExplainEveryRecording(t *testing.T) {
	eachRecording(t, func(t *testing.T, dir string, w want) {
		found, _, err := LookInto(t.Context(), "", filepath.Join(dir, "dump.tar.gz"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		AddLife(found)
		var text bytes.Buffer
		for _, x := range Explanations(found) {
			if err := printer.Explain(&text, x, printer.ExplainOptions{Now: noon}); err != nil {
				t.Fatal(err)
			}
		}
		commands := make(map[string]bool)
		for i := range found {
			for _, n := range found[i].Record.Diagnosis.Next {
				commands[printer.Escape(n.Command)] = true
			}
			if len(found[i].Record.Life) == 0 {
				t.Errorf("%s: no life", found[i].Record.Pod)
			}
		}
		for _, f := range w.Final {
			if !slices.ContainsFunc(strings.Split(f.Cause, "|"), func(c string) bool { return strings.Contains(text.String(), "CAUSE      "+c) }) {
				t.Errorf("no cause %s in\n%s", f.Cause, text.String())
			}
		}
		for line := range strings.Lines(text.String()) {
			line = strings.TrimSuffix(line, "\n")
			if printer.Columns(line) > printer.DefaultWidth && !commands[strings.TrimSpace(strings.TrimPrefix(line, "NEXT"))] {
				t.Errorf("longer than the terminal: %s", line)
			}
			if printer.Escape(line) != line {
				t.Errorf("not safe: %q", line)
			}
		}
	})
}
