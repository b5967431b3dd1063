package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// The instance "containerd://1" of these tests ran for a minute from started on.
var (
	started  = time.Unix(1700000000, 0).UTC()
	finished = started.Add(time.Minute)
)

// at returns a log line that was written some time after started.
func at(d time.Duration, text string) string {
	return started.Add(d).Format(time.RFC3339Nano) + " " + text + "\n"
}

func wanted(previous bool) pipeline.LogRequest {
	return pipeline.LogRequest{
		Namespace: "shop", Pod: "a", PodUID: "uid-x", Container: "api", ContainerID: "containerd://1",
		StartedAt: started, FinishedAt: finished, Previous: previous,
	}
}

func terminated(id string, start time.Time, code int32) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ContainerID: id, ExitCode: code, Reason: "Error",
		StartedAt: metav1.NewTime(start), FinishedAt: metav1.NewTime(start.Add(time.Minute)),
	}
}

// Pods as the API shows them.
func ended(p *corev1.Pod) {
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: terminated("containerd://1", started, 1)}
}

func backedOff(p *corev1.Pod) {
	s := &p.Status.ContainerStatuses[0]
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	s.LastTerminationState.Terminated = terminated("containerd://1", started, 1)
}

func startedAgain(after time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := &p.Status.ContainerStatuses[0]
		s.ContainerID = "containerd://2"
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(finished.Add(after))}}
		s.LastTerminationState.Terminated = terminated("containerd://1", started, 1)
	}
}

func startedTwice(p *corev1.Pod) {
	s := &p.Status.ContainerStatuses[0]
	s.ContainerID = "containerd://3"
	s.LastTerminationState.Terminated = terminated("containerd://2", finished, 1)
}

func with(f ...func(*corev1.Pod)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, f := range f {
			f(p)
		}
	}
}

func policy(v corev1.RestartPolicy) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.RestartPolicy = v }
}

func newLogs(t testing.TB, server *apiServer, o LogsOptions) *Logs {
	t.Helper()
	o.Config = server.config()
	l, err := NewLogs(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTail(t *testing.T) {
	long := at(59*time.Second, "boom")
	longLog := record.Log{Lines: []string{"boom"}, Instance: record.LogProven}
	lastSecond := at(60*time.Second+200*time.Millisecond, "boom")
	next := at(63*time.Second, "hello from the next")
	earlier := at(-time.Second, "hello from the one before")
	proven := record.Log{Lines: []string{"boom"}, Instance: record.LogProven}
	probable := record.Log{Lines: []string{"boom"}, Instance: record.LogProbable}
	none := func(why string) record.Log { return record.Log{Missing: why} }
	const twoLogs = "a later instance has replaced it: the cluster keeps only the last two logs of a container"
	always := policy(corev1.RestartPolicyAlways)

	for _, c := range []struct {
		name     string
		previous bool
		pod      func(*corev1.Pod)
		// current and before are the bodies of the two logs, of status 200 or what it begins with.
		current, before string
		want            record.Log
	}{
		{"current", false, with(always, ended), long, earlier, longLog},
		{"previous", true, startedAgain(10 * time.Second), next, long, proven},
		{"restarted before the read", false, startedAgain(10 * time.Second), next, long, proven},
		{"the current log of one in back-off", false, backedOff, long, long, proven},
		{"said to be previous but is current", true, ended, long, earlier, proven},
		{"the status lags behind the kubelet", false, with(always, ended), next, long, proven},
		{"the status lags and the next wrote nothing", false, with(always, ended), "", long, proven},
		{"it wrote nothing, and was not started again", false, with(always, ended), "", earlier, none("the log is empty, or it is already that of the next instance")},
		{"the status lags and neither wrote anything", false, with(always, ended), "", "", none("the log is empty, or it is already that of the next instance")},
		{"two instances later", false, startedTwice, next, next, none(twoLogs)},
		{"two instances later, but read before that", false, startedTwice, long, next, proven},
		{"previous read gives the one before", true, startedAgain(10 * time.Second), next, earlier, none("the log is that of another instance")},
		{"another pod of this name", false, func(p *corev1.Pod) { ended(p); p.UID = "uid-y" }, long, "", none("the pod is gone and another one has its name")},
		{"container not in the status", false, func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }, lastSecond, "", none(twoLogs)},

		{"last second, may run again", false, with(always, ended), lastSecond, "", probable},
		{"last second, never again", false, with(policy(corev1.RestartPolicyNever), ended), lastSecond, "", proven},
		{"last second, again after a failure", false, with(policy(corev1.RestartPolicyOnFailure), ended), lastSecond, "", probable},
		{"last second, a rule of the container's own", false, with(policy(corev1.RestartPolicyNever), ended, func(p *corev1.Pod) {
			always := corev1.ContainerRestartPolicyAlways
			p.Spec.Containers[0].RestartPolicy = &always
		}), lastSecond, "", probable},
		{"last second, in back-off", true, backedOff, lastSecond, lastSecond, proven},
		{"last second, the next came later", true, startedAgain(time.Second), next, lastSecond, proven},
		{"last second, the next came within it", true, startedAgain(0), lastSecond, lastSecond, probable},
		{"stamped late", false, with(always, ended), long + at(61*time.Second+time.Millisecond, "end"), "",
			record.Log{Lines: []string{"boom", "end"}, Instance: record.LogProbable}},

		{"kubelet's text in place of a log", false, with(always, ended), "unable to retrieve container logs for containerd://1", "",
			none("unable to retrieve container logs for containerd://1")},
		{"kubelet's text after the log", false, with(always, ended), long + "unable to retrieve container logs for containerd://1\n", "", proven},
		{"an unknown text in place of a log", false, with(always, ended), "no such thing\nat all\n", "", none("no such thing at all")},
		{"no previous", true, startedAgain(10 * time.Second), next, `400 previous terminated container "api" in pod "a" not found`,
			none(`previous terminated container "api" in pod "a" not found`)},
		{"forbidden", false, with(always, ended), `403 pods "a" is forbidden: User "dev" cannot get resource "pods/log"`, "",
			none(`forbidden: pods "a" is forbidden: User "dev" cannot get resource "pods/log"`)},
		{"node gone", false, with(always, ended), `500 Get "https://10.0.0.7:10250/containerLogs/shop/a/api": dial tcp 10.0.0.7:10250: i/o timeout`, "",
			none(`Get "https://10.0.0.7:10250/containerLogs/shop/a/api": dial tcp 10.0.0.7:10250: i/o timeout`)},
		{"pod gone", false, nil, `404 pods "a" not found`, "", none(`pods "a" not found`)},
		{"pod gone after the read", false, nil, long, "", probable},
		{"pod gone after the read, log of another time", false, nil, next, earlier, none("the log is that of another instance")},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newAPIServer(t)
			if c.pod != nil {
				p := testPod("a")
				c.pod(p)
				server.set(p)
			}
			server.log = func(container string, previous bool) (int, string) {
				body := c.current
				if previous {
					body = c.before
				}
				var code int
				if n, err := fmt.Sscanf(body, "%d ", &code); n == 1 && err == nil && code < 600 && !strings.HasPrefix(body, "2023") {
					return code, body[4:]
				}
				return http.StatusOK, body
			}
			got := newLogs(t, server, LogsOptions{}).Tail(t.Context(), wanted(c.previous))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestTailAsksFor(t *testing.T) {
	server := newAPIServer(t)
	p := testPod("a")
	ended(p)
	server.set(p)
	server.log = func(string, bool) (int, string) { return http.StatusOK, at(0, "x") }
	newLogs(t, server, LogsOptions{TailLines: 7, UserAgent: "whyrestart/test"}).Tail(t.Context(), wanted(false))
	r := server.seen()[0]
	if got, want := r.URL.Path, "/api/v1/namespaces/shop/pods/a/log"; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if got, want := r.URL.RawQuery, "container=api&limitBytes=1048576&previous=false&tailLines=8&timestamps=true"; got != want {
		t.Errorf("query %s, want %s", got, want)
	}
	if got := r.Header.Get("User-Agent"); got != "whyrestart/test" {
		t.Errorf("user agent %s", got)
	}
}

func TestTailForbiddenToReadThePod(t *testing.T) {
	server := newAPIServer(t)
	server.log = func(string, bool) (int, string) { return http.StatusOK, at(0, "x") }
	server.answer(func(r *http.Request) bool { return !strings.HasSuffix(r.URL.Path, "/log") }, forbidden("get"))
	got := newLogs(t, server, LogsOptions{}).Tail(t.Context(), wanted(false))
	if d := cmp.Diff(record.Log{Lines: []string{"x"}, Instance: record.LogProbable}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestTailGivesUp(t *testing.T) {
	server := newAPIServer(t)
	hang := make(chan struct{})
	defer close(hang)
	server.before = func(http.ResponseWriter, *http.Request) bool { <-hang; return true }
	got := newLogs(t, server, LogsOptions{Timeout: 50 * time.Millisecond}).Tail(t.Context(), wanted(false))
	if got.Missing != "no answer in time" {
		t.Errorf("got %+v", got)
	}
}

func TestTailUnreachable(t *testing.T) {
	l, err := NewLogs(LogsOptions{Config: unreachable(t)})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Tail(t.Context(), wanted(false)); !strings.Contains(got.Missing, "connection refused") || strings.Contains(got.Missing, "/api/") {
		t.Errorf("got %+v", got)
	}
}

func TestTailWithoutContainerID(t *testing.T) {
	server := newAPIServer(t)
	p := testPod("a")
	ended(p)
	p.Status.ContainerStatuses[0].State.Terminated.ContainerID = ""
	server.set(p)
	server.log = func(string, bool) (int, string) { return http.StatusOK, at(0, "x") }
	r := wanted(false)
	r.ContainerID = ""
	if got := newLogs(t, server, LogsOptions{}).Tail(t.Context(), r); got.Instance != record.LogProven {
		t.Errorf("got %+v", got)
	}
	r.FinishedAt = r.FinishedAt.Add(-time.Hour)
	if got := newLogs(t, server, LogsOptions{}).Tail(t.Context(), r); got.Missing == "" {
		t.Errorf("took the log of another instance: %+v", got)
	}
}

func TestTailBounds(t *testing.T) {
	server := newAPIServer(t)
	p := testPod("a")
	ended(p)
	server.set(p)
	var body strings.Builder
	for i := range 100 {
		body.WriteString(at(time.Duration(i)*time.Millisecond, fmt.Sprintf("line %d \xff%s", i, strings.Repeat("ä", 5000))))
	}
	server.log = func(string, bool) (int, string) { return http.StatusOK, body.String() }
	got := newLogs(t, server, LogsOptions{}).Tail(t.Context(), wanted(false))
	size := 0
	for _, l := range got.Lines {
		size += len(l) + 1
		if len(l) > maxLine || !utf8.ValidString(l) || !strings.HasSuffix(l, "…") {
			t.Errorf("line of %d bytes, valid UTF-8: %v", len(l), utf8.ValidString(l))
		}
	}
	if size > defaultLimitBytes || len(got.Lines) < 3 || !got.Truncated {
		t.Errorf("%d lines of %d bytes, truncated %v", len(got.Lines), size, got.Truncated)
	}
	if last := got.Lines[len(got.Lines)-1]; !strings.HasPrefix(last, "line 99 \uFFFD") {
		t.Errorf("the last line is %.20q", last)
	}
}

func TestClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.StringN(0, 20, -1)).Draw(t, "lines")
		n, limit := rapid.IntRange(1, 10).Draw(t, "n"), rapid.IntRange(10, 100).Draw(t, "limit")
		lines := make([]line, 0, len(in))
		for _, s := range in {
			lines = append(lines, line{text: s})
		}
		got, truncated := clip(lines, n, limit)
		size := 0
		for i, s := range got {
			size += len(s) + 1
			if orig := in[len(in)-len(got)+i]; s != orig && (len(orig) <= limit-1 || !strings.HasSuffix(s, "…")) {
				t.Errorf("line %q became %q", orig, s)
			}
		}
		if len(got) > n || size > limit {
			t.Errorf("%d lines of %d bytes, want at most %d of %d", len(got), size, n, limit)
		}
		if truncated != (len(got) < len(in)) {
			t.Errorf("truncated is %v: %d of %d lines", truncated, len(got), len(in))
		}
	})
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte(at(0, "hello") + at(time.Second, "world\r") + "goes on\n"))
	f.Add([]byte("unable to retrieve container logs for x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseLog(data)
		if err != nil && len(lines) > 0 {
			t.Error("lines beside an error")
		}
		for _, l := range lines {
			if !utf8.ValidString(l.text) || strings.Contains(l.text, "\n") {
				t.Errorf("line %q", l.text)
			}
		}
	})
}

func TestNewLogsRefuses(t *testing.T) {
	for _, o := range []LogsOptions{{}, {Config: &rest.Config{}, TailLines: -1}} {
		if _, err := NewLogs(o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}
