package dump

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

func meta(name string, by ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("u-" + name)}
	for i := 0; i+1 < len(by); i += 2 {
		yes := true
		versions := map[string]string{"ReplicaSet": "apps/v1", "Job": "batch/v1", "VolcanoJob": "batch.volcano.sh/v1"}
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{
			APIVersion: versions[by[i]], Kind: strings.TrimPrefix(by[i], "Volcano"), Name: by[i+1], Controller: &yes,
		})
	}
	return m
}

func TestWorkload(t *testing.T) {
	o := NewObjects()
	o.Put(&appsv1.ReplicaSet{ObjectMeta: meta("web-5d", "Deployment", "web")})
	o.Put(&appsv1.ReplicaSet{ObjectMeta: meta("alone-7c")})
	o.Put(&appsv1.ReplicaSet{ObjectMeta: meta("canary-9f", "Rollout", "canary")})
	o.Put(&batchv1.Job{ObjectMeta: meta("nightly-1", "CronJob", "nightly")})
	o.Put(&batchv1.Job{ObjectMeta: meta("once")})
	o.Remove(&appsv1.ReplicaSet{ObjectMeta: meta("web-5d")})

	hash := map[string]string{"pod-template-hash": "77aa"}
	tests := []struct {
		name   string
		by     []string
		labels map[string]string
		want   record.Workload
		err    string
	}{
		{"a Deployment, its ReplicaSet gone meanwhile", []string{"ReplicaSet", "web-5d"}, nil, record.Workload{Kind: "Deployment", Name: "web"}, ""},
		{"a ReplicaSet of nobody", []string{"ReplicaSet", "alone-7c"}, nil, record.Workload{Kind: "ReplicaSet", Name: "alone-7c"}, ""},
		{"a custom owner of a ReplicaSet", []string{"ReplicaSet", "canary-9f"}, nil, record.Workload{Kind: "Rollout", Name: "canary"}, ""},
		{"a ReplicaSet that was not recorded", []string{"ReplicaSet", "api-77aa"}, hash, record.Workload{Kind: "Deployment", Name: "api"}, "its Deployment is inferred from its name"},
		{"and that of an Argo Rollout", []string{"ReplicaSet", "api-77aa"}, map[string]string{"rollouts-pod-template-hash": "77aa"}, record.Workload{Kind: "Rollout", Name: "api"}, "its Rollout is inferred"},
		{"a Job of a CronJob that was not recorded", []string{"Job", "nightly-29393280"}, nil, record.Workload{Kind: "CronJob", Name: "nightly"}, "its CronJob is inferred"},
		{"a Job with another number", []string{"Job", "load-20251121"}, nil, record.Workload{Kind: "Job", Name: "load-20251121"}, "was not recorded"},
		{"a Job of another API", []string{"VolcanoJob", "train"}, nil, record.Workload{Kind: "Job", Name: "train"}, ""},
		{"and whose name does not fit the hash", []string{"ReplicaSet", "api-88"}, hash, record.Workload{Kind: "ReplicaSet", Name: "api-88"}, "was not recorded"},
		{"a CronJob", []string{"Job", "nightly-1"}, nil, record.Workload{Kind: "CronJob", Name: "nightly"}, ""},
		{"a Job", []string{"Job", "once"}, nil, record.Workload{Kind: "Job", Name: "once"}, ""},
		{"a Job that was not recorded", []string{"Job", "gone"}, nil, record.Workload{Kind: "Job", Name: "gone"}, "was not recorded"},
		{"a StatefulSet", []string{"StatefulSet", "db"}, nil, record.Workload{Kind: "StatefulSet", Name: "db"}, ""},
		{"a custom owner", []string{"Cluster", "pg"}, nil, record.Workload{Kind: "Cluster", Name: "pg"}, ""},
		{"a static pod", []string{"Node", "n"}, nil, record.Workload{Kind: "Pod", Name: "p"}, ""},
		{"a bare pod", nil, nil, record.Workload{Kind: "Pod", Name: "p"}, ""},
	}
	for _, tt := range tests {
		p := &corev1.Pod{ObjectMeta: meta("p", tt.by...)}
		p.Labels = tt.labels
		p.CreationTimestamp = metav1.Unix(29393280*60+2, 0)
		got, err := o.Workload(t.Context(), p)
		if *got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, error %v", tt.name, *got, err)
		}
	}
}

func request(p *corev1.Pod, container, id string, previous bool) pipeline.LogRequest {
	return pipeline.LogRequest{Namespace: p.Namespace, Pod: p.Name, PodUID: string(p.UID), Container: container, ContainerID: id, Previous: previous}
}

func TestTail(t *testing.T) {
	ended := func(id string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	lines := func(s ...string) record.Log { return record.Log{Lines: s} }
	both := map[bool]record.Log{false: lines("current"), true: lines("previous")}
	onlyCurrent := map[bool]record.Log{false: lines("current")}
	tests := []struct {
		name        string
		state, last corev1.ContainerState
		phase       corev1.PodPhase
		logs        map[bool]record.Log
		id          string
		previous    bool
		want        record.Log
	}{
		{"still terminated", ended("b"), ended("a"), "", both, "b", false, record.Log{Lines: []string{"current"}, Instance: record.LogProbable}},
		{"terminated for good", ended("b"), ended("a"), corev1.PodFailed, both, "b", false, record.Log{Lines: []string{"current"}, Instance: record.LogProven}},
		{"the one before", ended("b"), ended("a"), "", both, "a", true, record.Log{Lines: []string{"previous"}, Instance: record.LogProbable}},
		{"restarted, asked as if it was not", running, ended("a"), "", both, "a", false, record.Log{Lines: []string{"previous"}, Instance: record.LogProbable}},
		{"waiting, both logs are its", waiting, ended("a"), "", onlyCurrent, "a", true, record.Log{Lines: []string{"current"}, Instance: record.LogProbable}},
		{"running again, only the new log", running, ended("a"), "", onlyCurrent, "a", true, record.Log{Missing: "no previous log of this container was recorded"}},
		{"an older instance", running, ended("b"), "", both, "a", true, record.Log{Missing: "the recorded logs of this container are those of other instances"}},
		{"no container ID", running, ended(""), "", both, "", true, record.Log{Lines: []string{"previous"}, Instance: record.LogProbable}},
		{"refused", waiting, ended("a"), "", map[bool]record.Log{false: {Missing: "no"}, true: {Missing: "unable"}}, "a", true, record.Log{Missing: "unable"}},
		{"refused, but the other is there", waiting, ended("a"), "", map[bool]record.Log{false: lines("x"), true: {Missing: "unable"}}, "a", true, record.Log{Lines: []string{"x"}, Instance: record.LogProbable}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := NewObjects()
			p := &corev1.Pod{ObjectMeta: meta("p")}
			p.Status.Phase = tt.phase
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: tt.state, LastTerminationState: tt.last}}
			o.Put(p)
			for previous, log := range tt.logs {
				o.putLog(logKey{"shop", "p", "app", previous}, log)
			}
			if d := cmp.Diff(tt.want, o.Tail(t.Context(), request(p, "app", tt.id, tt.previous))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	t.Run("a replay has no logs", func(t *testing.T) {
		got := NewObjects().Tail(t.Context(), pipeline.LogRequest{Namespace: "a", Pod: "b", Container: "c", FinishedAt: time.Now()})
		if len(got.Lines) > 0 || got.Missing != "no current log of this container was recorded" {
			t.Errorf("%+v", got)
		}
	})
}

func TestTailKeepsTheEnd(t *testing.T) {
	limits := Limits{LogLines: 3, LogBytes: 20}.withDefaults()
	tests := map[string]struct {
		in   []string
		want record.Log
	}{
		"few lines":          {[]string{"a\n", "b\r\n", "c"}, record.Log{Lines: []string{"a", "b", "c"}}},
		"many lines":         {[]string{"a\n", "b\n", "c\n", "d\n"}, record.Log{Lines: []string{"b", "c", "d"}, Truncated: true}},
		"many bytes":         {[]string{"aaaaaaaaaa\n", "bbbbbbbbbb\n"}, record.Log{Lines: []string{"bbbbbbbbbb"}, Truncated: true}},
		"a long line":        {[]string{strings.Repeat("x", 15), strings.Repeat("y", 15), "\n", "z\n"}, record.Log{Lines: []string{"z"}, Truncated: true}},
		"a long line alone":  {[]string{strings.Repeat("x", 50)}, record.Log{Lines: []string{strings.Repeat("x", 20)}, Truncated: true}},
		"an empty line":      {[]string{"\n"}, record.Log{Lines: []string{""}}},
		"nothing":            {nil, record.Log{Missing: "the recorded log is empty"}},
		"not UTF-8":          {[]string{"a\xffb\n"}, record.Log{Lines: []string{"a\ufffdb"}}},
		"a refusal":          {[]string{"unable to retrieve container logs for containerd://0"}, record.Log{Missing: "unable to retrieve co"[:20]}},
		"a refusal in a log": {[]string{"x\n", "unable to retr\n"}, record.Log{Lines: []string{"x", "unable to retr"}}},
	}
	for name, tt := range tests {
		if name == "a refusal" {
			limits.LogBytes, limits.LogLines = 100, 3
			tt.want.Missing = tt.in[0]
		} else {
			limits.LogBytes = 20
		}
		tail := newTail(limits)
		for _, piece := range tt.in {
			tail.add([]byte(piece))
		}
		if d := cmp.Diff(tt.want, tail.log()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestEventsAbout(t *testing.T) {
	o := NewObjects()
	put := func(name, version string, about types.UID) *corev1.Event {
		e := &corev1.Event{ObjectMeta: meta(name), InvolvedObject: corev1.ObjectReference{UID: about}}
		e.ResourceVersion = version
		o.Put(e)
		return e
	}
	put("a", "9", "pod")
	put("b", "10", "pod")
	put("a", "11", "pod") // the same event, counted up
	put("a", "3", "pod")  // late
	gone := put("c", "12", "pod")
	put("d", "13", "other")
	o.Remove(gone)
	var got []string
	for _, e := range o.EventsAbout("pod") {
		got = append(got, e.Name+e.ResourceVersion)
	}
	if !cmp.Equal(got, []string{"b10", "a11"}) || len(o.EventsAbout("other")) != 1 || o.EventsAbout("none") != nil {
		t.Error(got)
	}
}

func TestObjectsReplace(t *testing.T) {
	o := NewObjects()
	for name, version := range map[string]string{"b": "9", "a": "100"} {
		p := &corev1.Pod{ObjectMeta: meta(name)}
		p.ResourceVersion = version
		o.Put(p)
	}
	var s sink
	o.Replace(&s, "all")
	if !cmp.Equal(s, sink{"replace all 2 100"}) {
		t.Error(s)
	}
}

func TestObjectsFromSeveralGoroutines(t *testing.T) {
	o := NewObjects()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				p := &corev1.Pod{ObjectMeta: meta("p", "ReplicaSet", "web-5d")}
				o.Apply(Event{Type: Modified, Object: p})
				o.Apply(Event{Type: Added, Object: &appsv1.ReplicaSet{ObjectMeta: meta("web-5d", "Deployment", "web")}})
				o.Apply(Event{Type: Added, Object: &corev1.Event{ObjectMeta: meta("e"), InvolvedObject: corev1.ObjectReference{UID: p.UID}}})
				if _, err := o.Workload(t.Context(), p); err != nil {
					t.Error(err)
				}
				_ = o.Tail(t.Context(), request(p, "app", "x", true))
				_ = o.EventsAbout(p.UID)
				o.Apply(Event{Type: Deleted, Object: p})
			}
		})
	}
	wg.Wait()
}

// Of managed fields, the time of the last write is kept.
func TestLastWrite(t *testing.T) {
	in := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","managedFields":[{"manager":"a","time":"2026-11-21T03:00:05Z","fieldsV1":{"f:x":{}}},{"manager":"b"},{"manager":"c","time":"2026-11-21T03:00:01Z"}]}}`
	d, err := ReadDump(t.Context(), "-", strings.NewReader(in+`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q","managedFields":[{"manager":"a"}]}}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	at := metav1.Date(2026, 11, 21, 3, 0, 5, 0, time.UTC)
	p, _ := ByName[*corev1.Pod](d.Objects, "", "p")
	if diff := cmp.Diff([]metav1.ManagedFieldsEntry{{Time: &at}}, p.ManagedFields); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if q, _ := ByName[*corev1.Pod](d.Objects, "", "q"); q.ManagedFields != nil {
		t.Errorf("without a time: %v", q.ManagedFields)
	}
	if !d.Objects.latest.Equal(at.Time) {
		t.Errorf("the newest time is %s", d.Objects.latest)
	}
}
