package extract_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

var update = flag.Bool("update", false, "write the wanted results of testdata")

var observed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))

// TestPods reads pods and compares the records and the evidence of their stops.
func TestPods(t *testing.T) {
	goldens(t, "testdata/*.txtar", func(pod *corev1.Pod, add func(name string, v any)) {
		view := detect.FromPod(pod)
		for i, s := range detect.New().Observe(&view, false).Stops {
			add(fmt.Sprint("record ", i+1), extract.Stop("prod", &s, pod, observed))
			add(fmt.Sprint("evidence ", i+1), extract.Evidence(&s, pod))
		}
	})
}

// TestStalledPods does so for what stalls in them.
func TestStalledPods(t *testing.T) {
	goldens(t, "testdata/stalls/*.txtar", func(pod *corev1.Pod, add func(name string, v any)) {
		view := detect.FromPod(pod)
		stalls := detect.NewSnapshotStalls("prod")
		stalls.Observe(&view, observed)
		for i, ep := range stalls.Due(observed) {
			add(fmt.Sprint("record ", i+1), extract.StallRecord(&ep, pod, observed))
			if i == 0 {
				add("evidence", extract.Stall(&ep, pod))
			}
		}
	})
}

// goldens reads pods, and compares what results from each with what its file has after it.
func goldens(t *testing.T, pattern string, results func(pod *corev1.Pod, add func(name string, v any))) {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.Pod
			if err := yaml.UnmarshalStrict(a.Files[0].Data, &pod); err != nil {
				t.Fatal(err)
			}
			before := pod.DeepCopy()
			got := []txtar.File{a.Files[0]}
			results(&pod, func(name string, v any) {
				b, err := json.MarshalIndent(v, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(b, []byte("1970-")) || bytes.Contains(b, []byte("0001-")) {
					t.Errorf("an unknown time was not left out:\n%s", b)
				}
				got = append(got, txtar.File{Name: name, Data: append(b, '\n')})
			})
			if diff := cmp.Diff(before, &pod); diff != "" {
				t.Errorf("the pod was written to:\n%s", diff)
			}
			want := a.Files
			a.Files = got
			if *update {
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(&txtar.Archive{Files: want})), string(txtar.Format(&txtar.Archive{Files: got}))); diff != "" {
				t.Errorf("result (-want +got), write it with -update:\n%s", diff)
			}
		})
	}
}

func stop(change func(*detect.Stop)) *detect.Stop {
	s := &detect.Stop{
		ContainerKey: record.ContainerKey{PodUID: "u1", Type: record.App, Name: "api"}, Namespace: "shop", Pod: "checkout-1",
		Ordinal: 4, RestartCount: 5, ExitObserved: true, ContainerID: "containerd://a",
		Terminated: &detect.Terminated{ContainerID: "containerd://a", ExitCode: 1, Reason: "Error", StartedAt: observed.Add(-time.Hour), FinishedAt: observed.Add(-time.Minute)},
	}
	change(s)
	return s
}

// TestWithoutPod holds what the detector's memory alone gives.
func TestWithoutPod(t *testing.T) {
	s := stop(func(s *detect.Stop) { s.Terminated, s.ExitObserved, s.ContainerID = nil, false, "" })
	r := extract.Stop("prod", s, nil, observed)
	want := record.Record{
		Kind: record.KindStop, ID: record.StopKey{Cluster: "prod", ContainerKey: s.ContainerKey, Ordinal: 4}.ID(), Cluster: "prod",
		Namespace: "shop", Pod: "checkout-1", PodUID: "u1", Container: "api", ContainerType: record.App, ObservedAt: observed.UTC(),
		Stop: &record.Stop{Ordinal: 4, RestartCount: 5},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	e := extract.Evidence(s, nil)
	if len(e.Missing) != 1 || e.Missing[0].What != "pod" || e.Stop == nil || e.Stop.HasExitCode || e.Pod.UID != "u1" {
		t.Errorf("evidence %+v", e)
	}

	// A terminated state is proof enough.
	seen := stop(func(*detect.Stop) {})
	r = extract.Stop("prod", seen, nil, observed)
	if r.ExitCode == nil || *r.ExitCode != 1 || r.RanSeconds == nil || *r.RanSeconds != 59*60 {
		t.Errorf("record %+v", r.Stop)
	}

	// A pod that does not have the container tells nothing of it.
	other := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}}
	for _, kind := range []record.ContainerType{record.App, record.Init, record.Sidecar, record.Ephemeral} {
		s := stop(func(s *detect.Stop) { s.Type = kind })
		if r := extract.Stop("prod", s, other, observed); r.Node != "n1" || r.Image != "" || r.Message != "" {
			t.Errorf("%s: record %+v %+v", kind, r, r.Stop)
		}
		if e := extract.Evidence(s, other); e.Stop.Message != "" || e.Container.Name != "api" {
			t.Errorf("%s: evidence %+v", kind, e)
		}
	}
}

// TestMissedWindow holds between which times the missed ones ended.
func TestMissedWindow(t *testing.T) {
	start, previous := observed.Add(-time.Hour).UTC(), observed.Add(-2*time.Hour).UTC()
	for _, tc := range []struct {
		name         string
		stop         func(*detect.Stop)
		after, until time.Time
	}{
		{"none missed", func(s *detect.Stop) { s.PreviousFinished = previous }, time.Time{}, time.Time{}},
		{"before the start of the one that is seen", func(s *detect.Stop) { s.MissedBefore, s.PreviousFinished = 2, previous }, previous, observed.Add(-time.Hour)},
		{"since nobody knows when", func(s *detect.Stop) { s.MissedBefore = 2 }, time.Time{}, start},
		{"the start is unknown", func(s *detect.Stop) { s.MissedBefore, s.Terminated.StartedAt = 2, time.Time{} }, time.Time{}, observed.Add(-time.Minute).UTC()},
		{"counted by a clock that was set back", func(s *detect.Stop) {
			s.MissedBefore, s.PreviousFinished, s.Terminated = 2, observed.Add(time.Hour).UTC(), nil
		}, observed.Add(time.Hour).UTC(), time.Time{}},
		{"only counted", func(s *detect.Stop) { s.MissedBefore, s.Terminated = 2, nil }, time.Time{}, observed.UTC()},
	} {
		r := extract.Stop("", stop(tc.stop), nil, observed)
		if !r.MissedAfter.Equal(tc.after) || !r.MissedUntil.Equal(tc.until) {
			t.Errorf("%s: between %v and %v, want %v and %v", tc.name, r.MissedAfter, r.MissedUntil, tc.after, tc.until)
		}
	}
}

// TestLongMessages holds that no text of the API is kept whole whatever its size, and
// that what is cut stays text.
func TestLongMessages(t *testing.T) {
	const most = 4 << 10
	for _, tc := range []struct{ name, message string }{
		{"as long as it may be", strings.Repeat("x", most)},
		{"one more", strings.Repeat("x", most+1)},
		{"two bytes across the border", strings.Repeat("x", most-1) + "é" + "y"},
		{"three bytes across the border", strings.Repeat("x", most-2) + "€" + "y"},
		{"four bytes across the border", strings.Repeat("x", most-1) + "🙂" + "y"},
		{"four bytes that end at the border", strings.Repeat("x", most-4) + "🙂" + "y"},
		{"large", strings.Repeat("größe ", 1<<20)},
		{"no text at all", strings.Repeat("\x80", 2*most)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			state := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: tc.message}}
			waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Message: tc.message}}
			pod := &corev1.Pod{Status: corev1.PodStatus{Message: tc.message, ContainerStatuses: []corev1.ContainerStatus{{Name: "api", State: waiting, LastTerminationState: state}}}}
			s := stop(func(s *detect.Stop) { s.InLast = true })
			e := extract.Evidence(s, pod)
			for _, got := range []string{extract.Stop("", s, pod, observed).Message, e.Stop.Message, e.Container.WaitingMessage, e.Pod.Message} {
				kept, cut := strings.CutSuffix(got, "…")
				if cut != (len(tc.message) > most) || len(kept) > most || !strings.HasPrefix(tc.message, kept) {
					t.Fatalf("%d bytes became %d, cut: %v", len(tc.message), len(got), cut)
				}
				if utf8.ValidString(tc.message) && (!utf8.ValidString(got) || cut && len(kept) < most-3) {
					t.Fatalf("cut to %d bytes, which end in %q", len(kept), kept[len(kept)-4:])
				}
			}
		})
	}
}

func TestSignal(t *testing.T) {
	for _, tc := range []struct {
		code int32
		want string
	}{
		{0, ""}, {1, ""}, {127, ""}, {128, ""}, {129, "SIGHUP"}, {130, "SIGINT"}, {134, "SIGABRT"}, {137, "SIGKILL"}, {139, "SIGSEGV"},
		{143, "SIGTERM"}, {159, "SIGSYS"}, {160, ""}, {255, ""}, {-1, ""}, {-1073741510, ""}, {math.MaxInt32, ""}, {math.MinInt32, ""},
	} {
		if got := record.Signal(tc.code); got != tc.want {
			t.Errorf("Signal(%d) = %q, want %q", tc.code, got, tc.want)
		}
	}
}

func TestBackOff(t *testing.T) {
	for _, tc := range []struct {
		message string
		want    int64
	}{
		{"back-off 10s restarting failed container=api pod=a_b(c)", 10},
		{"back-off 1m20s restarting failed container=api pod=a_b(c)", 80},
		{"back-off 5m0s restarting failed container=api pod=a_b(c)", 300},
		{"back-off 1.5s restarting failed container=api pod=a_b(c)", 1},
		{"", 0},
		{`Back-off pulling image "x"`, 0},
		{"back-off restarting failed container", 0},
		{"back-off soon restarting failed container=api", 0},
		{"back-off -10s restarting failed container=api", 0},
		{"back-off 99999999999999h restarting failed container=api", 0},
		{"it said: back-off 10s restarting failed container=api", 0},
	} {
		if got := extract.BackOff(tc.message); got != tc.want {
			t.Errorf("BackOff(%q) = %d, want %d", tc.message, got, tc.want)
		}
	}
}

func TestEvents(t *testing.T) {
	at := func(second int) metav1.Time {
		return metav1.NewTime(time.Date(2026, 3, 1, 10, 0, second, 0, time.UTC))
	}
	event := func(reason, field string, last metav1.Time, change ...func(*corev1.Event)) *corev1.Event {
		e := &corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", UID: "u1", FieldPath: field},
			Reason:         reason, Type: "Normal", Message: "m", FirstTimestamp: at(1), LastTimestamp: last, Count: 2,
		}
		for _, c := range change {
			c(e)
		}
		return e
	}
	e := evidence.Evidence{Pod: evidence.Pod{UID: "u1"}, Container: evidence.Container{Name: "api"}}
	extract.AddEvents(&e, []*corev1.Event{
		event("Newest", "spec.containers{api}", at(9)),
		event("OfThePod", "", at(3)),
		event("OfAnother", "spec.containers{other}", at(4)),
		event("OfALongerName", "spec.containers{api-2}", at(4)),
		event("OfAnEarlierPod", "", at(4), func(e *corev1.Event) { e.InvolvedObject.UID = "u0" }),
		event("OfANode", "", at(4), func(e *corev1.Event) { e.InvolvedObject.Kind = "Node" }),
		event("Combined", "spec.containers{api}", at(5), func(e *corev1.Event) {
			e.Message, e.Source.Component = "(combined from similar events): late", "kubelet"
		}),
		event("NewStyle", "", metav1.Time{}, func(e *corev1.Event) {
			e.FirstTimestamp, e.EventTime, e.Count = metav1.Time{}, metav1.NewMicroTime(at(2).Time), 0
			e.ReportingController = "default-scheduler"
			e.Series = &corev1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(at(6).Time)}
		}),
		event("NoTime", "", metav1.Unix(0, 0), func(e *corev1.Event) { e.FirstTimestamp = metav1.Time{} }),
	}, time.Time{})
	type line struct {
		Reason, Message string
		Container       bool
		First, Last     int
		Count           int
		Other, Source   string
		Combined        bool
	}
	var got []line
	for _, ev := range e.Events {
		l := line{ev.Reason, ev.Message, ev.Container, ev.First.Second(), ev.Last.Second(), ev.Count, ev.Other, ev.Source, ev.Combined}
		if ev.First.IsZero() {
			l.First = -1
		}
		if ev.Last.IsZero() {
			l.Last = -1
		}
		got = append(got, l)
	}
	want := []line{
		{"NoTime", "m", false, -1, -1, 2, "", "", false},
		{"OfThePod", "m", false, 1, 3, 2, "", "", false},
		{"OfAnother", "m", false, 1, 4, 2, "other", "", false},
		{"OfALongerName", "m", false, 1, 4, 2, "api-2", "", false},
		{"Combined", "late", true, 1, 5, 2, "", "kubelet", true},
		{"NewStyle", "m", false, 2, 6, 7, "", "default-scheduler", false},
		{"Newest", "m", true, 1, 9, 2, "", "", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !e.EventsRead || e.Missing != nil {
		t.Errorf("read %v, missing %+v", e.EventsRead, e.Missing)
	}

	var flood []*corev1.Event
	for i := range 100 {
		flood = append(flood, event(fmt.Sprint("E", i), "", at(i%60), func(e *corev1.Event) { e.LastTimestamp = metav1.NewTime(at(0).Add(time.Duration(i) * time.Minute)) }))
	}
	extract.AddEvents(&e, flood, time.Time{})
	if len(e.Events) != 64 || e.Events[0].Reason != "E36" || e.Events[63].Reason != "E99" || len(e.Missing) != 1 {
		t.Errorf("%d events from %s to %s, missing %+v", len(e.Events), e.Events[0].Reason, e.Events[len(e.Events)-1].Reason, e.Missing)
	}
}

// The kubelet's events about a static pod have the hash of its file as the UID, which the
// mirror has in an annotation; and what was cut off is not known.
func TestEventsOfStaticPods(t *testing.T) {
	e := evidence.Evidence{Pod: evidence.Pod{UID: "mirror", EventUID: "hash"}, Container: evidence.Container{Name: "etcd"}}
	at := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	of := func(uid string) *corev1.Event {
		return &corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", UID: types.UID(uid), FieldPath: "spec.containers{etcd}"},
			Reason:         "Killing", FirstTimestamp: at, LastTimestamp: at,
		}
	}
	extract.AddEvents(&e, []*corev1.Event{of("hash"), of("mirror"), of("other"), of("")}, at.Time)
	if len(e.Events) != 2 {
		t.Errorf("%d events, want 2: %v", len(e.Events), e.Events)
	}
	e.Pod.EventUID = ""
	extract.AddEvents(&e, []*corev1.Event{of("hash"), of("mirror"), of("other"), of("")}, at.Time)
	if len(e.Events) != 1 {
		t.Errorf("%d events, want 1: %v", len(e.Events), e.Events)
	}
	var many []*corev1.Event
	for i := range 65 {
		ev := of("mirror")
		ev.LastTimestamp = metav1.NewTime(at.Add(time.Duration(i) * time.Second))
		many = append(many, ev)
	}
	extract.AddEvents(&e, many, at.Add(time.Minute))
	if want := at.Add(time.Second).UTC(); !e.EventsSince.Equal(want) {
		t.Errorf("events since %v, want %v: the first was cut off", e.EventsSince, want)
	}
}
