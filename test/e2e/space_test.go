//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// space is the namespace of one scenario, and what is known about it.
type space struct {
	*suite
	t   *testing.T
	ctx context.Context
	ns  string
	// startFails holds the containers of which no process ever runs.
	startFails map[string]bool
	// hidden tells the instances that the API never told of, by the scenario's own doing.
	hidden func(containerKey, instance) bool
	// downtime tells that whyrestart was away for a while.
	downtime bool
	// compared holds the records that were held against the truth.
	compared map[string]bool
	// again tells that the scenario is played for the second time, doubtful that it has to be.
	again, doubtful bool
	// ending undoes what would keep the namespace from going away; it may be nil.
	ending func()
}

func newSpace(t *testing.T, s *suite, name string) *space {
	sp := &space{suite: s, t: t, ctx: t.Context(), ns: name, startFails: map[string]bool{}, compared: map[string]bool{}, hidden: func(containerKey, instance) bool { return false }}
	key, value, _ := strings.Cut(suiteLabel, "=")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{key: value}}}
	sp.until("the namespace is created", func() (bool, string) { // the API server may just be coming back
		_, err := s.kube.CoreV1().Namespaces().Create(sp.ctx, ns, metav1.CreateOptions{})
		return err == nil, fmt.Sprint(err)
	})
	return sp
}

func (s *space) own(namespace string) bool { return namespace == s.ns }

// must ends the scenario unless err is nil.
func (s *space) must(err error, doing string) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", doing, err)
	}
}

// until waits for a condition of the API, the accounts or the records. It is asked
// when one of them changes, and every second for what no watch tells of; what it
// answers besides is what it still waits for.
func (s *space) until(what string, condition func() (done bool, still string)) {
	s.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		rung := s.changed.rung()
		done, still := condition()
		if done {
			return
		}
		// No more than 20 times a second: the whole cluster rings this bell.
		pause := time.After(50 * time.Millisecond)
		select {
		case <-rung:
		case <-time.After(time.Second):
		case <-deadline.C:
			s.t.Fatalf("waited %s until %s; still: %s", patience, what, still)
		case <-s.ctx.Done():
			s.t.Fatalf("stopped waiting until %s: %v", what, s.ctx.Err())
		}
		<-pause
	}
}

// create creates pods.
func (s *space) create(pods ...*corev1.Pod) {
	s.t.Helper()
	for _, p := range pods {
		_, err := s.kube.CoreV1().Pods(s.ns).Create(s.ctx, p, metav1.CreateOptions{})
		s.must(err, "create pod "+p.Name)
	}
}

// pods returns the pods of the scenario that exist.
func (s *space) pods() []*corev1.Pod { return s.recorder.in(s.ns) }

// pod returns the pod of a name, nil if there is none.
func (s *space) pod(name string) *corev1.Pod {
	for _, p := range s.pods() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// untilPod waits until the pod of a name fulfils a condition, and returns it.
func (s *space) untilPod(name, what string, condition func(*corev1.Pod) bool) *corev1.Pod {
	s.t.Helper()
	var p *corev1.Pod
	s.until("pod "+name+" "+what, func() (bool, string) {
		p = s.pod(name)
		return p != nil && condition(p), describe(p)
	})
	return p
}

// untilRunning waits until all regular containers of a pod run.
func (s *space) untilRunning(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.untilPod(name, "runs", allRunning)
	}
}

// untilRestarts waits until containers of a pod were restarted n times each.
func (s *space) untilRestarts(pod string, n int, containers ...string) {
	s.t.Helper()
	s.untilPod(pod, fmt.Sprintf("has %d restarts of %s", n, containers), func(p *corev1.Pod) bool {
		for _, c := range containers {
			if st := statusOf(p, c); st == nil || int(st.RestartCount) < n {
				return false
			}
		}
		return true
	})
}

// untilGone waits until no pod of a name exists, or no pod at all.
func (s *space) untilGone(names ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("the pods %v are gone", names), func() (bool, string) {
		left := slices.DeleteFunc(s.pods(), func(p *corev1.Pod) bool { return len(names) > 0 && !slices.Contains(names, p.Name) })
		return len(left) == 0, describe(left...)
	})
}

// deletePod deletes a pod with its own grace period, or another one.
func (s *space) deletePod(name string, grace ...int64) {
	s.t.Helper()
	o := metav1.DeleteOptions{}
	if len(grace) > 0 {
		o.GracePeriodSeconds = &grace[0]
	}
	s.must(s.kube.CoreV1().Pods(s.ns).Delete(s.ctx, name, o), "delete pod "+name)
}

// stops returns the recorded stops of a container in all pods whose name begins so.
func (s *space) stops(pod, container string) []record.Record {
	list := s.records.of(record.KindStop, s.own)
	return slices.DeleteFunc(list, func(r record.Record) bool {
		return !strings.HasPrefix(r.Pod, pod) || r.Container != container
	})
}

// untilStops waits until n stops of a container are recorded or counted, and returns
// the records.
func (s *space) untilStops(pod, container string, n int) []record.Record {
	s.t.Helper()
	var list []record.Record
	s.until(fmt.Sprintf("%d stops of %s in %s are recorded", n, container, pod), func() (bool, string) {
		list = s.stops(pod, container)
		sum := len(list)
		for _, r := range list {
			sum += r.MissedBefore
		}
		return sum >= n, fmt.Sprintf("%d are", sum)
	})
	return list
}

// stalls returns the recorded stalls of a container, or of pods, whose name begins so.
func (s *space) stalls(pod, container string) []record.Record {
	list := s.records.of(record.KindStall, s.own)
	return slices.DeleteFunc(list, func(r record.Record) bool {
		return !strings.HasPrefix(r.Pod, pod) || r.Container != container
	})
}

// untilStalls waits until n stalls are recorded. It goes on without: that they are missing
// is found when the truth is compared.
func (s *space) untilStalls(pod, container string, n int) {
	s.t.Helper()
	for deadline := time.Now().Add(stallPatience); len(s.stalls(pod, container)) < n && time.Now().Before(deadline); {
		rung := s.changed.rung()
		select {
		case <-rung:
		case <-time.After(time.Second):
		case <-s.ctx.Done():
			s.t.Fatal(s.ctx.Err())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// expect is what a record must say; what is empty is not looked at.
type expect struct {
	exit     int32 // -1: not looked at
	reason   string
	typ      record.ContainerType
	category record.Category
	not      record.Category // any category but this
	restarts *bool
	workload string // Kind/name
	// line returns what the log of the instance with an ordinal must contain, and that
	// no other instance's log does.
	line func(ordinal int) string
	// hasLog tells that the log of one of the records at least must have been read: the
	// container runs long enough. Not of each: the kubelet may start the next instance
	// before its status tells of the end of this one.
	hasLog bool
	// says is a text that a line of the log must contain, message one that the message must.
	says, message string
	cause         string
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// check waits until the records say what is expected, since late evidence may replace
// them, and complains about what they say instead.
func (s *space) check(list []record.Record, want expect) {
	s.t.Helper()
	if len(list) == 0 {
		s.t.Error("there is no record to check")
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		rung := s.changed.rung()
		var wrong []string
		logs := 0
		for _, r := range list {
			if newest, ok := s.records.get(r.ID); ok {
				r = newest
			}
			if r.Log != nil && len(r.Log.Lines) > 0 {
				logs++
			}
			for _, w := range want.complain(r) {
				wrong = append(wrong, fmt.Sprintf("%s/%s ordinal %d (record %s): %s", r.Pod, r.Container, r.Ordinal, r.ID, w))
			}
		}
		if want.hasLog && logs == 0 {
			wrong = append(wrong, fmt.Sprintf("none of the %d records of %s/%s has a log", len(list), list[0].Pod, list[0].Container))
		}
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Error(strings.Join(wrong, "\n"))
			return
		}
		select {
		case <-rung:
		case <-time.After(time.Second):
		}
	}
}

// complain lists what a record says otherwise than expected.
func (want *expect) complain(r record.Record) []string {
	var wrong []string
	differ := func(field string, got, want any) {
		if d := cmp.Diff(want, got); d != "" {
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", field, got, want))
		}
	}
	switch {
	case want.exit < 0:
	case r.ExitCode == nil:
		wrong = append(wrong, fmt.Sprintf("it has no exit code, want %d", want.exit))
	default:
		differ("exitCode", *r.ExitCode, want.exit)
	}
	if want.reason != "" {
		differ("reason", r.Reason, want.reason)
	}
	if want.typ != "" {
		differ("containerType", r.ContainerType, want.typ)
	}
	if want.category != "" {
		differ("category", r.Category, want.category)
	}
	if want.not != "" && r.Category == want.not {
		wrong = append(wrong, fmt.Sprintf("category is %s (cause %s)", r.Category, r.Diagnosis.Cause))
	}
	if want.restarts != nil {
		if r.WillRestart == nil {
			wrong = append(wrong, "willRestart is not known")
		} else {
			differ("willRestart", *r.WillRestart, *want.restarts)
		}
	}
	if want.workload != "" {
		got := "none"
		if r.Workload != nil {
			got = r.Workload.Kind + "/" + r.Workload.Name
		}
		differ("workload", got, want.workload)
	}
	if want.message != "" && !strings.Contains(r.Message, want.message) {
		wrong = append(wrong, fmt.Sprintf("message %q does not contain %q", r.Message, want.message))
	}
	if want.cause != "" {
		differ("cause", r.Diagnosis.Cause, want.cause)
	}
	if want.says != "" && r.Log != nil && len(r.Log.Lines) > 0 && !strings.Contains(strings.Join(r.Log.Lines, "\n"), want.says) {
		wrong = append(wrong, fmt.Sprintf("no line of its log contains %q: %q", want.says, r.Log.Lines))
	}
	if want.line != nil {
		wrong = append(wrong, want.complainLog(r)...)
	}
	return wrong
}

func (want *expect) complainLog(r record.Record) []string {
	if r.Log == nil || len(r.Log.Lines) == 0 {
		return nil
	}
	var wrong []string
	if r.Log.Instance != record.LogProven && r.Log.Instance != record.LogProbable {
		wrong = append(wrong, fmt.Sprintf("log.instance is %q", r.Log.Instance))
	}
	own := want.line(r.Ordinal)
	if !slices.Contains(r.Log.Lines, own) {
		wrong = append(wrong, fmt.Sprintf("its log (%s) does not have the line %q, but %q", r.Log.Instance, own, r.Log.Lines))
	}
	for _, l := range r.Log.Lines {
		if l != own && strings.HasPrefix(l, attemptPrefix) {
			wrong = append(wrong, fmt.Sprintf("its log (%s) has a line of another instance: %q", r.Log.Instance, l))
		}
	}
	return wrong
}

// settle ends the scenario: it deletes what is left, waits until nothing can happen any
// more, and compares the records with the truth.
func (s *space) settle() {
	s.t.Helper()
	err := s.kube.CoreV1().Namespaces().Delete(s.ctx, s.ns, metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		s.must(err, "delete the namespace")
	}
	s.untilGone()
	s.until("every instance has ended", func() (bool, string) {
		var open []string
		for k, list := range s.truth.instances(s.own) {
			for _, i := range list {
				// The remains of a failed start may lie about for minutes.
				if i.open() && !(i.NeverRan && s.startFails[k.Container]) {
					open = append(open, fmt.Sprintf("%s attempt %d", k, i.Attempt))
				}
			}
		}
		return len(open) == 0, strings.Join(open, ", ")
	})
	known := s.truth.instances(s.own)
	var deaths []death
	if s.node != nil {
		var err error
		deaths, err = s.node.deaths(s.ctx, s.own)
		s.must(err, "read the kubelet's account")
	}

	var v verdict
	rules := rules{startFails: func(k containerKey) bool { return s.startFails[k.Container] }, hidden: s.hidden}
	deadline := time.Now().Add(30 * time.Second)
	for {
		rung := s.changed.rung()
		v = judge(known, s.records.of(record.KindStop, s.own), deaths, rules)
		if len(v.problems) == 0 || time.Now().After(deadline) {
			break
		}
		select {
		case <-rung:
		case <-time.After(time.Second):
		}
	}
	for _, p := range v.problems {
		s.t.Error(p)
	}
	if !s.downtime {
		for _, r := range s.records.of(record.KindStop, s.own) {
			if r.BeforeWatch {
				s.t.Errorf("record %s of %s/%s says that it happened before the watch", r.ID, r.Pod, r.Container)
			}
		}
	}
	s.blames()
	s.report.add(row{scenario: s.ns, verdict: v, failed: s.t.Failed(), rules: rules})
}

// clockSkew is by how much the clocks of a node and of the API server may differ, and
// times that are cut to the second; what lies further apart came one after the other.
const clockSkew = 4 * time.Second

// blames complains about records that blame a deletion which nobody had asked for yet
// when the container ended.
func (s *space) blames() {
	s.t.Helper()
	for _, r := range s.records.of(record.KindStop, s.own) {
		asked := s.recorder.deletionOf(r.PodUID)
		if r.Diagnosis.Cause != "pod_deleted" && r.Diagnosis.Cause != "grace_period_exceeded" || asked.IsZero() || r.FinishedAt.IsZero() {
			continue
		}
		if r.FinishedAt.Add(clockSkew).Before(asked) {
			s.t.Errorf("record %s of %s/%s ordinal %d says %s, %s; it ended at %s, and the deletion was asked for at %s",
				r.ID, r.Pod, r.Container, r.Ordinal, r.Diagnosis.Cause, r.Diagnosis.Confidence, r.FinishedAt.Format(time.TimeOnly), asked.UTC().Format(time.TimeOnly))
		}
	}
}

// beyondLastStatus tells the instances that began after the last status that the API had
// of their pod: those of a pod that is deleted by force.
func (s *space) beyondLastStatus(k containerKey, i instance) bool {
	return i.Attempt >= s.recorder.shown(k)
}

// explain prints, where a scenario failed, all that is known about it.
func (s *space) explain() {
	if !s.t.Failed() {
		return
	}
	dir := filepath.Join(s.dir, s.ns)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Error(err)
		return
	}
	for _, part := range []struct {
		name  string
		lines []string
	}{
		{"records.jsonl", s.records.printed(s.ns)},
		{"truth.jsonl", s.truth.lines(s.ns)},
		{"statuses.jsonl", s.recorder.lines(s.ns)},
	} {
		file := filepath.Join(dir, part.name)
		if err := os.WriteFile(file, []byte(strings.Join(part.lines, "\n")+"\n"), 0o644); err != nil {
			s.t.Error(err)
		}
		const shown = 30
		s.t.Logf("%s, %d lines, the last %d of them:\n%s", file, len(part.lines), min(shown, len(part.lines)),
			strings.Join(part.lines[max(0, len(part.lines)-shown):], "\n"))
	}
	var problems []string
	known := s.truth.instances(s.own)
	for k, list := range known {
		for _, i := range list {
			data, _ := json.Marshal(i)
			problems = append(problems, fmt.Sprintf("%s %s", k, data))
		}
	}
	slices.Sort(problems)
	s.t.Logf("the truth:\n%s", strings.Join(problems, "\n"))
}

func allRunning(p *corev1.Pod) bool {
	for i := range p.Spec.Containers {
		st := statusOf(p, p.Spec.Containers[i].Name)
		if st == nil || st.State.Running == nil {
			return false
		}
	}
	return true
}

// statusOf returns the status of a container, of whatever type.
func statusOf(p *corev1.Pod, container string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return &list[i]
			}
		}
	}
	return nil
}

// describe says in a line how pods are.
func describe(pods ...*corev1.Pod) string {
	var parts []string
	for _, p := range pods {
		if p == nil {
			parts = append(parts, "there is no such pod")
			continue
		}
		part := fmt.Sprintf("%s %s %s", p.Name, p.Status.Phase, p.Status.Reason)
		for _, st := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses) {
			state := "waiting"
			switch {
			case st.State.Running != nil:
				state = "running"
			case st.State.Terminated != nil:
				state = fmt.Sprintf("terminated %d %s", st.State.Terminated.ExitCode, st.State.Terminated.Reason)
			case st.State.Waiting != nil:
				state = "waiting " + st.State.Waiting.Reason
			}
			part += fmt.Sprintf(", %s %s x%d", st.Name, state, st.RestartCount)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
