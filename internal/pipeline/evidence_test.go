package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// cluster is a ClusterReader of one node.
type cluster struct {
	node  *corev1.Node
	chain []metav1.Object
	err   error
	gate  chan struct{}
}

var missingObject = apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, "x")

func (c *cluster) Node(ctx context.Context, name string) (*corev1.Node, error) {
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	if c.node == nil || c.node.Name != name {
		return nil, missingObject
	}
	return c.node, nil
}

func (c *cluster) Nodes(context.Context) ([]*corev1.Node, error) {
	if c.node == nil {
		return nil, c.err
	}
	return []*corev1.Node{c.node}, c.err
}
func (c *cluster) PodsOnNodes(context.Context) ([]*corev1.Pod, error) { return nil, c.err }
func (*cluster) Claim(context.Context, string, string) (*corev1.PersistentVolumeClaim, error) {
	return nil, missingObject
}
func (*cluster) Namespace(context.Context, string) (*corev1.Namespace, error) {
	return &corev1.Namespace{}, nil
}
func (c *cluster) Revisions(context.Context, metav1.Object) ([]Revision, error) { return nil, c.err }

func (c *cluster) ConfigMap(context.Context, string, string) (*metav1.PartialObjectMetadata, error) {
	return &metav1.PartialObjectMetadata{}, c.err
}

func (c *cluster) Controllers(context.Context, metav1.Object) ([]metav1.Object, error) {
	return c.chain, nil
}
func (*cluster) Pod(context.Context, string, string) (*corev1.Pod, error) {
	return nil, missingObject
}

func killed(n int) corev1.ContainerStatus {
	s := crashed(n)
	s.State.Terminated.ExitCode = 137
	s.State.Terminated.StartedAt, s.State.Terminated.FinishedAt = metav1.NewTime(noon.Add(-time.Minute)), metav1.NewTime(noon)
	return s
}

// watched starts a rig with an index of events that are watched.
func watched(t *testing.T, l *ledger, change func(*Options)) *rig {
	g := start(t, l, func(o *Options) {
		o.EventIndex = NewEventIndex(nil, time.Now)
		o.Readers.Events = o.EventIndex
		o.Archive, o.Readers.History = l, l
		if change != nil {
			change(o)
		}
	})
	g.EventTrouble("", nil)
	return g
}

// causes are those of what was told, in order, "+" where a stall has ended.
func (g *rig) causes() (out []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.told {
		s := r.Diagnosis.Cause
		if r.Stall != nil && !r.End.IsZero() {
			s += "+"
		}
		out = append(out, s)
	}
	return out
}

func (g *rig) end(t *testing.T) {
	t.Helper()
	if err := g.stop(); err != nil {
		t.Error(err)
	}
}

func (g *rig) evidence(t *testing.T, id string) evidence.Evidence {
	t.Helper()
	e, err := g.ledger.Evidence(t.Context(), id)
	if err != nil {
		t.Fatalf("evidence of %s: %v", id, err)
	}
	return e
}

// probeKill is what the kubelet writes before it kills a container for its probe.
func probeKill(uid string, second int) *corev1.Event {
	ev := event("Pod", uid, "Killing", "Container app failed liveness probe, will be restarted", second)
	ev.InvolvedObject.Name, ev.InvolvedObject.FieldPath = "pod-"+uid, "spec.containers{app}"
	return ev
}

func probed(p *corev1.Pod) *corev1.Pod {
	p.Spec.Containers[0].LivenessProbe = &corev1.Probe{}
	return p
}

func TestLateEventDiagnosesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), nil)
		g.Replace("", []Object{object(probed(pod("u", 1, running(0))))}, "1")
		g.Apply("", object(probed(pod("u", 2, killed(0)))))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		g.Event(probeKill("u", -30))
		synctest.Wait()
		if diff := cmp.Diff([]string{"sigkill_unattributed", "liveness_probe"}, g.causes()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		if g.told[0].ID != g.told[1].ID || g.told[1].Log == nil || g.told[1].Workload == nil {
			t.Errorf("the late diagnosis is another stop, or lost what was collected: %+v", g.told[1])
		}
		e := g.evidence(t, g.told[0].ID)
		if len(e.Events) != 1 || e.Log == nil || e.Log.Lines != nil || !e.AsOf.Equal(noon.Add(5*time.Second)) {
			t.Errorf("kept evidence: events %+v, log %+v, as of %v", e.Events, e.Log, e.AsOf)
		}
		// An event that says nothing new, and one that comes when nobody waits for it any more.
		g.Event(probeKill("u", -29))
		time.Sleep(recentFor + time.Second)
		g.Event(event("Pod", "u", "SandboxChanged", "", 0))
		synctest.Wait()
		if n := len(g.causes()); n != 2 {
			t.Errorf("%d told, want 2", n)
		}
		g.end(t)
		if len(g.meter.completed) != 1 {
			t.Errorf("counted %d times", len(g.meter.completed))
		}
	})
}

func TestRelabelledKeepsItsEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), nil)
		g.Replace("", []Object{object(pod("u", 1, running(0)))}, "1")
		g.Event(event("Pod", "u", "Scheduled", "", -100))
		g.Apply("", object(pod("u", 2, killed(0))))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s := killed(0)
		s.State.Terminated.Reason = "OOMKilled"
		g.Apply("", object(pod("u", 3, s)))
		synctest.Wait()
		if diff := cmp.Diff([]string{"sigkill_unattributed", "oom_killed"}, g.causes()); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		e := g.evidence(t, g.told[0].ID)
		if e.Stop.Reason != "OOMKilled" || e.Log == nil || len(e.Events) != 1 || !e.EventsRead {
			t.Errorf("evidence after the new label: %+v, log %+v, events %+v", e.Stop, e.Log, e.Events)
		}
		g.end(t)
	})
}

func TestWhatCannotBeReadIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), func(o *Options) {
			o.Readers.Cluster = &cluster{err: errors.New("nodes is forbidden")}
			o.Readers.Logs = logs{make(chan struct{})} // which never answers
		})
		g.EventTrouble("", errors.New("events is forbidden"))
		g.Replace("", nil, "1")
		g.Apply("", object(pod("u", 2, killed(0))))
		time.Sleep(collectTimeout + time.Second)
		synctest.Wait()
		last := g.told[len(g.told)-1]
		want := []record.Missing{
			{What: "events of the pod", Why: "events are not watched: events is forbidden"},
			{What: "log", Why: "context deadline exceeded"},
			{What: "node", Why: "nodes is forbidden"},
			{What: "node events", Why: "events are not watched: events is forbidden"},
		}
		for _, m := range want {
			if !slices.Contains(last.Diagnosis.Missing, m) {
				t.Errorf("%+v is not among what is missing: %+v", m, last.Diagnosis.Missing)
			}
		}
		g.end(t)
	})
}

func TestStormIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster = &cluster{gate: make(chan struct{})} })
		g.Replace("", nil, "1")
		const n = 5_000
		for i := range n {
			g.Apply("", object(pod(fmt.Sprint("u", i), 2, killed(0))))
		}
		synctest.Wait()
		if waiting := len(g.stops) + len(g.late) + len(g.stalls); waiting > 3*queued {
			t.Errorf("%d wait", waiting)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(g.recents.byID) > recentsKept || len(g.recents.order) > recentsKept || len(g.collector.near.ring) > neighboursKept {
			t.Errorf("%d recent ones, %d neighbours are kept", len(g.recents.order), len(g.collector.near.ring))
		}
		g.end(t)
		ids := make(map[string]bool)
		for _, r := range g.told {
			ids[r.ID] = true
		}
		if len(ids) != n {
			t.Errorf("%d stops told, want %d", len(ids), n)
		}
	})
}

func TestNeighbours(t *testing.T) {
	h := new(neighbourhood)
	found := func(id, uid, node, owner, image, reason string, second int) *Finding {
		f := &Finding{Record: record.Record{
			ID: id, Namespace: "ns", PodUID: uid, Node: node, Category: record.Disruption,
			Stop: &record.Stop{ExitObserved: true, Image: image, Reason: reason, FinishedAt: noon.Add(time.Duration(second) * time.Second)},
		}}
		f.Evidence.Pod.Owner = &record.Workload{Kind: "ReplicaSet", Name: owner}
		return f
	}
	this := found("1", "u1", "n1", "web", "img", "Unknown", 0)
	meant := found("9", "u9", "n1", "web", "img", "Completed", 0)
	meant.Record.Category = record.Lifecycle
	for _, f := range []*Finding{
		this, meant,
		found("2", "u2", "n1", "web", "img", "Unknown", 0),
		found("3", "u3", "n1", "db", "other", "Unknown", 0),
		found("4", "u3", "n1", "db", "other", "Error", 59),
		found("5", "u5", "n2", "web", "img", "Error", -60),
		found("6", "u6", "n2", "web", "img", "Error", 61),
	} {
		h.add(f)
	}
	want := &evidence.Neighbours{
		Seconds:      60,
		SameWorkload: evidence.Crowd{Stops: 2, Pods: 2, Nodes: 2, SameInstant: 1},
		SameNode:     evidence.Crowd{Stops: 3, Pods: 2, Nodes: 1, SameInstant: 2},
		SameImage:    evidence.Crowd{Stops: 2, Pods: 2, Nodes: 2, SameInstant: 1},
	}
	if diff := cmp.Diff(want, h.around(this)); diff != "" {
		t.Errorf("neighbours (-want +got):\n%s", diff)
	}
	if got := h.around(meant); got != nil {
		t.Errorf("a stop that was meant to happen has neighbours: %+v", got)
	}
	for i := range 2 * neighboursKept {
		h.add(found(fmt.Sprint("x", i), "u", "n", "o", "i", "Error", 1000))
	}
	if len(h.ring) != neighboursKept {
		t.Errorf("%d are kept", len(h.ring))
	}
}

func TestBoots(t *testing.T) {
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	var b boots
	b.saw("n1", "first", at(0))
	b.saw("n1", "first", at(20))
	b.saw("n1", "second", at(40))
	b.saw("n1", "", at(50))
	for _, tc := range []struct {
		name     string
		from, to time.Time
		want     string
	}{
		{"it ran while the first boot was seen", at(10), at(45), "first"},
		{"it started between the two, after nobody knows which", at(30), at(35), ""},
		{"it started between the two and ran on", at(30), at(45), "second"},
		{"it began later", at(60), at(70), ""},
		{"nobody knows when it began", time.Time{}, at(70), ""},
	} {
		if got := b.during("n1", tc.from, tc.to); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := b.during("n2", at(0), at(50)); got != "" {
		t.Errorf("another node: %q", got)
	}
}

// shout redacts by a rule that leaves nothing of a secret, and is as good once as twice.
type shout struct{}

func (shout) Lines(lines []string) ([]string, int) {
	out := slices.Clone(lines)
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], "s3cret", "[redacted]")
		if flag, _, ok := strings.Cut(out[i], "--password="); ok {
			out[i] = flag + "--password=[redacted]"
		}
	}
	return out, 0
}

// fill sets every string of a value to a text with a secret, and makes lists and pointers of one.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				fill(field, text)
			}
		}
	}
}

func TestEvidenceHasNoSecret(t *testing.T) {
	var e evidence.Evidence
	fill(reflect.ValueOf(&e).Elem(), "a s3cret")
	e.Container.Args = []string{"--password", "open sesame", "--other", "value"}
	NewEngine("", shout{}).hide(&e)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	var left []string
	walk(tree, "", func(path, s string) {
		if strings.Contains(s, "s3cret") || strings.Contains(s, "sesame") {
			left = append(left, path)
		}
	})
	for _, path := range left {
		// What the API itself or a name says cannot be a secret that a program wrote.
		key := path[strings.LastIndexByte(path, '.')+1:]
		if slices.Contains([]string{"message", "lines", "command", "args", "target", "waitingMessage"}, key) {
			t.Errorf("%s was not redacted", path)
		}
	}
	if diff := cmp.Diff([]string{"--password", "[redacted]", "--other", "value"}, e.Container.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func walk(v any, path string, leaf func(path, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			walk(x, path+"."+k, leaf)
		}
	case []any:
		for _, x := range v {
			walk(x, path, leaf)
		}
	case string:
		leaf(path, v)
	}
}

// TestRepeatedEventKeepsWhatItSaid: the same event is one more time about the next instance,
// and keeps its first and last time alone.
func TestRepeatedEventKeepsWhatItSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), nil)
		g.Replace("", []Object{object(probed(pod("u", 1, running(0))))}, "1")
		kill := probeKill("u", -30)
		g.Event(kill)
		g.Apply("", object(probed(pod("u", 2, killed(0)))))
		synctest.Wait()
		time.Sleep(20 * time.Second)
		again := kill.DeepCopy()
		again.Count, again.LastTimestamp = 2, metav1.NewTime(noon.Add(20*time.Second))
		g.Event(again)
		g.Event(event("Pod", "u", "Killing", "Stopping container app", 21))
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"liveness_probe"}, g.causes()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		g.end(t)
	})
}

func TestEventsThatOccurred(t *testing.T) {
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	ev := func(reason, message string, first, last int) evidence.Event {
		return evidence.Event{Reason: reason, Message: message, First: at(first), Last: at(last)}
	}
	before := []evidence.Event{ev("Unhealthy", "a", -9, -1), ev("Killing", "b", -60, -1), ev("Pulled", "gone", -50, -50), ev("Started", "c", -40, -40)}
	e := &evidence.Evidence{Stop: &evidence.Stop{FinishedAt: noon}, Events: []evidence.Event{
		ev("Started", "c", -40, -40), ev("Killing", "b", -60, 90), ev("Unhealthy", "a", -9, 2), ev("Killing", "other", 80, 80),
	}}
	want := []evidence.Event{
		ev("Pulled", "gone", -50, -50), ev("Started", "c", -40, -40), ev("Killing", "b", -60, -1), ev("Unhealthy", "a", -9, 2), ev("Killing", "other", 80, 80),
	}
	if diff := cmp.Diff(want, occurred(before, e)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestSilenceOfAControllerCountsLater holds that nobody is said to have deleted a pod before
// its controller had the time to say that it did.
func TestSilenceOfAControllerCountsLater(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", UID: "db"}}
	set.Spec.Replicas = new(int32(3))
	deleted := func() *corev1.Pod {
		p := pod("u", 2, killed(0))
		p.Name = "db-0"
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "db", Controller: new(true)}}
		at := metav1.NewTime(noon)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, new(int64(1))
		return p
	}
	details := func(g *rig) (out []string) {
		for _, r := range g.told {
			if r.Stop != nil { // the pod is not removed either, which is a stall
				out = append(out, r.Diagnosis.Detail)
			}
		}
		return out
	}
	for _, tc := range []struct {
		name string
		late *corev1.Event
		want []string
	}{
		{"it says nothing", nil, []string{"", "direct"}},
		{"it says so late", event("StatefulSet", "db", "SuccessfulDelete", "delete Pod db-0 in StatefulSet db successful", 0), []string{"", "controller"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster = &cluster{chain: []metav1.Object{set}} })
			g.Replace("", nil, "1")
			g.Event(event("Pod", "u", "Killing", "Stopping container app", 0))
			g.Apply("", object(deleted()))
			time.Sleep(5 * time.Second)
			if tc.late != nil {
				g.Event(tc.late)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if diff := cmp.Diff(tc.want, details(g)); diff != "" {
				t.Errorf("%s: details told (-want +got):\n%s", tc.name, diff)
			}
			g.end(t)
		})
	}
}

// TestWhatIsAtHandIsUsedAtOnce holds that a stop is stored with what its events tell, however
// long the rest takes.
func TestWhatIsAtHandIsUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{make(chan struct{})} })
		g.Replace("", []Object{object(probed(pod("u", 1, running(0))))}, "1")
		g.Event(probeKill("u", -30))
		g.Apply("", object(probed(pod("u", 2, killed(0)))))
		synctest.Wait()
		stored := g.ledger.appends[len(g.ledger.appends)-1].Records
		if len(stored) != 1 || stored[0].Diagnosis.Cause != "liveness_probe" {
			t.Errorf("stored %+v", stored)
		}
		g.end(t)
	})
}

// TestEventThatComesWhileCollecting holds that an event is not lost that comes after the
// events were read and before that is stored.
func TestEventThatComesWhileCollecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster = &cluster{gate: gate} })
		g.Replace("", []Object{object(probed(pod("u", 1, running(0))))}, "1")
		g.Apply("", object(probed(pod("u", 2, killed(0)))))
		synctest.Wait() // it waits for its node, and has read the events
		g.Event(probeKill("u", -30))
		close(gate)
		time.Sleep(firstLook / 2)
		synctest.Wait()
		if got := g.causes(); len(got) == 0 || got[len(got)-1] != "liveness_probe" {
			t.Errorf("told %v", got)
		}
		g.end(t)
	})
}

func TestWeaker(t *testing.T) {
	says := func(cause, detail string, c record.Confidence) *record.Record {
		return &record.Record{Category: record.Failure, Diagnosis: record.Diagnosis{Cause: cause, Detail: detail, Confidence: c}}
	}
	for _, tc := range []struct {
		a, b *record.Record
		want bool
	}{
		{says("liveness_probe", "http_404", record.Confirmed), says("liveness_probe", "http_404", record.Likely), true},
		{says("liveness_probe", "http_404", record.Confirmed), says("liveness_probe", "refused", record.Confirmed), true},
		{says("liveness_probe", "", record.Confirmed), says("liveness_probe", "refused", record.Confirmed), false},
		{says("liveness_probe", "http_404", record.Likely), says("liveness_probe", "refused", record.Confirmed), false},
		{says("pod_deleted", "direct", record.Confirmed), says("pod_deleted", "rollout", record.Likely), false},
		{says("app_exit", "", record.Confirmed), says("oom_killed", "", record.Likely), false},
	} {
		if got := weaker(tc.a, tc.b); got != tc.want {
			t.Errorf("%+v, then %+v: %v", tc.a.Diagnosis, tc.b.Diagnosis, got)
		}
	}
}
