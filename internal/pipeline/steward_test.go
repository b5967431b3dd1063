package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// keeper is an IssueKeeper that survives the Steward.
type keeper struct {
	mu       sync.Mutex
	issues   map[string]issue.Issue
	observed []record.Observation
	// amended are the actions, by issue.
	amended map[string][]issue.Action
	failing error
	reads   int
	// final are the newest records that nothing is started after.
	final map[string]bool
}

func (k *keeper) Get(_ context.Context, id string) (record.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id == "" {
		return record.Record{}, store.ErrNotFound
	}
	return record.Record{Kind: record.KindStop, ID: id, WillRestart: new(!k.final[id])}, nil
}

func (k *keeper) Issues(_ context.Context, q store.IssueQuery) ([]issue.Issue, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failing != nil {
		return nil, "", k.failing
	}
	var out []issue.Issue
	for _, id := range slices.Sorted(maps.Keys(k.issues)) {
		if i := k.issues[id]; !i.Last.Before(q.Since) && id > q.Cursor {
			if out = append(out, i); len(out) == 100 {
				return out, id, nil
			}
		}
	}
	return out, "", nil
}

func (k *keeper) Issue(_ context.Context, id string) (issue.Issue, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i, ok := k.issues[id]; ok {
		return i, nil
	}
	return issue.Issue{}, store.ErrNotFound
}

func (k *keeper) Amend(_ context.Context, id string, a issue.Action) (issue.Issue, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.amended == nil {
		k.amended = make(map[string][]issue.Action)
	}
	k.amended[id] = append(k.amended[id], a)
	i := k.issues[id]
	err := i.Amend(a)
	k.issues[id] = i
	return i, err
}

func (k *keeper) Observations(_ context.Context, _, object string, _ time.Time) (out []record.Observation, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	for _, o := range k.observed {
		if o.Object == object {
			out = append(out, o)
		}
	}
	return out, nil
}

func (k *keeper) Append(_ context.Context, b store.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.observed = append(k.observed, b.Observed...)
	return nil
}

func (k *keeper) put(i issue.Issue) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.issues == nil {
		k.issues = make(map[string]issue.Issue)
	}
	k.issues[i.ID] = i
}

// workloads is a WorkloadReader.
type workloads struct {
	mu      sync.Mutex
	objects map[record.Workload]metav1.Object
	err     error
	asked   []string
}

func (w *workloads) Workload(_ context.Context, namespace string, of record.Workload) (metav1.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, namespace+"/"+of.Name)
	if w.err != nil {
		return nil, w.err
	}
	if o, ok := w.objects[of]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: "apps", Resource: "deployments"}, of.Name)
}

func (w *workloads) set(of record.Workload, o metav1.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects == nil {
		w.objects = make(map[record.Workload]metav1.Object)
	}
	if w.objects[of] = o; o == nil {
		delete(w.objects, of)
	}
}

var checkout = record.Workload{Kind: "Deployment", Name: "checkout"}

// crashing is an issue of a container that crashes every minute, the last time now.
func crashing(id string, w record.Workload, now time.Time) issue.Issue {
	return issue.Issue{
		ID: id, Key: issue.Key{Namespace: "shop", Workload: w, Container: "api", Kind: record.KindStop, Cause: "app_exit"},
		Category: record.Failure, Status: issue.Open, Newest: "newest of " + id, First: now.Add(-10 * time.Minute), Last: now, Seen: now, Count: 11,
		Images: issue.Tally{Values: []issue.Count{{Value: "docker.io/shop/api:1", Count: 11, Last: now}}},
		Ran:    issue.Spread{Count: 11, Max: 30},
	}
}

// deployment is one of which all pods run an image.
func deployment(image string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{UID: "uid-1", Generation: 2},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(3)), Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "checkout"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "proxy"}, {Name: "api", Image: image}}},
		}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3},
	}
}

// stewarded runs a Steward.
type stewarded struct {
	*keeper
	*workloads
	log    bytes.Buffer
	ready  error
	counts map[IssueClass]int
	stop   func()
	change func(*Steward)
}

func (s *stewarded) start(ctx context.Context, t *testing.T) {
	t.Helper()
	st := &Steward{
		Store: s.keeper, Workloads: s.workloads,
		Watches: func(namespace string) bool { return namespace != "hidden" },
		Ready:   func() error { return s.ready },
		Count:   func(c map[IssueClass]int) { s.counts = c },
		Logger:  slog.New(slog.NewTextHandler(&s.log, nil)), Now: time.Now,
	}
	if s.change != nil {
		s.change(st)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := st.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	s.stop = func() { cancel(); <-done }
}

// after lets time pass, and returns how the issue was resolved, if it was.
func (s *stewarded) after(d time.Duration, id string) string {
	time.Sleep(d)
	synctest.Wait()
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	var out []string
	for _, a := range s.amended[id] {
		out = append(out, fmt.Sprintf("%s %s", a.Resolution, a.Image))
	}
	return strings.Join(out, ", ")
}

// action is the first one on an issue.
func (s *stewarded) action(id string) issue.Action {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	return s.amended[id][0]
}

func steward(t *testing.T, test func(t *testing.T, s *stewarded)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stewarded{keeper: new(keeper), workloads: new(workloads)}
		test(t, s)
		if s.stop != nil {
			s.stop()
		}
	})
}

func TestStewardResolvesByImage(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.set(checkout, deployment("shop/api:1"))
		s.start(t.Context(), t)
		if got := s.after(time.Hour, "WR-1"); got != "" {
			t.Fatalf("with the same image: %s", got)
		}
		going := deployment("shop/api:2")
		going.Status.UpdatedReplicas = 1
		s.workloads.set(checkout, going)
		if got := s.after(time.Hour, "WR-1"); got != "" {
			t.Fatalf("during the rollout: %s", got)
		}
		s.workloads.set(checkout, deployment("shop/api:2"))
		if got := s.after(10*time.Minute, "WR-1"); got != "" {
			t.Fatalf("at once: %s", got)
		}
		if got := s.after(2*time.Minute, "WR-1"); got != "image shop/api:2" {
			t.Fatalf("got %q", got)
		}
		a := s.action("WR-1")
		if a.Status != issue.StatusResolved || a.By != "" || a.At.IsZero() ||
			!strings.HasPrefix(a.Note, "all pods of Deployment shop/checkout run shop/api:2 since 2000-01-01T02:") {
			t.Errorf("got %+v", a)
		}
		if got := s.after(time.Hour, "WR-1"); got != "image shop/api:2" {
			t.Errorf("again: %q", got)
		}
		s.stop()
		if !strings.Contains(s.log.String(), `msg="resolved an issue" issue=WR-1 by=image`) {
			t.Errorf("log: %s", &s.log)
		}
	})
}

func TestStewardWaits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*issue.Issue)
		// before and after are when it must not have, and must have been resolved.
		before, after time.Duration
	}{
		{"crashes often", func(*issue.Issue) {}, 9 * time.Minute, 13 * time.Minute},
		{"ran long once", func(i *issue.Issue) { i.Ran.Max = 3600 }, 119 * time.Minute, 123 * time.Minute},
		{"ran for ages", func(i *issue.Issue) { i.Ran.Max, i.First = 1<<62, i.Last.Add(-100*time.Hour) }, 1439 * time.Minute, 1443 * time.Minute},
		{"crashes rarely", func(i *issue.Issue) { i.First = i.Last.Add(-10 * time.Hour) }, 119 * time.Minute, 123 * time.Minute},
		{"once", func(i *issue.Issue) { i.Count, i.First = 1, i.Last }, 9 * time.Minute, 13 * time.Minute},
		{"some were missed", func(i *issue.Issue) { i.Missed, i.First = 90, i.Last.Add(-10*time.Hour) }, 11 * time.Minute, 16 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steward(t, func(t *testing.T, s *stewarded) {
				i := crashing("WR-1", checkout, time.Now().Add(-time.Second))
				tt.change(&i)
				s.put(i)
				s.workloads.set(checkout, deployment("shop/api:2"))
				s.start(t.Context(), t)
				if got := s.after(tt.before, "WR-1"); got != "" {
					t.Fatalf("too early: %s", got)
				}
				if got := s.after(tt.after-tt.before, "WR-1"); got == "" {
					t.Fatal("not in time")
				}
			})
		})
	}
}

func TestStewardKeepsOpen(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second)
	mixed := deployment("shop/api:2")
	mixed.Status.Replicas = 4
	unready := deployment("shop/api:2")
	unready.Status.AvailableReplicas = 2
	unseen := deployment("shop/api:2")
	unseen.Status.ObservedGeneration = 1
	none := deployment("shop/api:2")
	none.Spec.Replicas = new(int32)
	none.Status = appsv1.DeploymentStatus{ObservedGeneration: 2}
	renamed := deployment("shop/api:2")
	renamed.Spec.Template.Spec.Containers[1].Name = "server"
	for _, tt := range []struct {
		name   string
		object metav1.Object
		change func(*issue.Issue)
	}{
		{"old pods", mixed, nil},
		{"pods that are not available", unready, nil},
		{"a change that the controller has not seen", unseen, nil},
		{"scaled to zero", none, nil},
		{"a container of another name", renamed, nil},
		{"an image that is known", deployment("shop/api:2"), func(i *issue.Issue) {
			i.Images.Values = append(i.Images.Values, issue.Count{Value: "docker.io/shop/api:2"})
		}},
		{"more images than are kept", deployment("shop/api:2"), func(i *issue.Issue) { i.Images.More = true }},
		{"images that are not known", deployment("shop/api:2"), func(i *issue.Issue) { i.Images = issue.Tally{} }},
		{"an image without a name", deployment("shop/api:2"), func(i *issue.Issue) { i.Images.Values[0].Value = "sha256:0123" }},
		{"a digest that is known", deployment("shop/api@sha256:0123"), func(i *issue.Issue) {
			i.ImageIDs.Values = []issue.Count{{Value: "docker.io/shop/api@sha256:0123"}}
		}},
		{"a stall that lasts", deployment("shop/api:2"), func(i *issue.Issue) { i.Open = 1 }},
		{"stalls", deployment("shop/api:2"), func(i *issue.Issue) { i.Kind = record.KindStall }},
		{"a group of workloads", deployment("shop/api:2"), func(i *issue.Issue) { i.Group = "shops" }},
		{"muted", deployment("shop/api:2"), func(i *issue.Issue) { i.Status = issue.StatusMuted }},
		{"a disruption", deployment("shop/api:2"), func(i *issue.Issue) { i.Category = record.Disruption }},
		{"another cluster", deployment("shop/api:2"), func(i *issue.Issue) { i.Cluster = "west" }},
		{"not watched", deployment("shop/api:2"), func(i *issue.Issue) { i.Namespace = "hidden" }},
		{"no workload", deployment("shop/api:2"), func(i *issue.Issue) { i.Workload = record.Workload{} }},
		{"a ReplicaSet", &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: deployment("shop/api:2").Spec.Template}}, nil},
		{"a Job", &batchv1.Job{Spec: batchv1.JobSpec{Template: deployment("shop/api:2").Spec.Template}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steward(t, func(t *testing.T, s *stewarded) {
				i := crashing("WR-1", checkout, now)
				if tt.change != nil {
					tt.change(&i)
				}
				s.put(i)
				s.workloads.set(i.Workload, tt.object)
				s.start(t.Context(), t)
				if got := s.after(30*time.Hour, "WR-1"); got != "" {
					t.Errorf("resolved by %s", got)
				}
			})
		})
	}
}

// A stop while the new image runs, which the issue did not have before, is the issue with that image.
func TestStewardNotWithAStopSince(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		i := crashing("WR-1", checkout, time.Now())
		s.put(i)
		s.workloads.set(checkout, deployment("shop/api:2"))
		s.start(t.Context(), t)
		s.after(5*time.Minute, "WR-1")
		i.Last, i.Seen = time.Now(), time.Now()
		i.Count++
		s.put(i)
		if got := s.after(20*time.Hour, "WR-1"); got != "" {
			t.Errorf("resolved by %s", got)
		}
		// The next image is another matter.
		s.workloads.set(checkout, deployment("shop/api:3"))
		if got := s.after(15*time.Minute, "WR-1"); got != "image shop/api:3" {
			t.Errorf("got %q", got)
		}
	})
}

func TestStewardSelector(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		s.change = func(st *Steward) { st.Selector = "app=cart" }
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.set(checkout, deployment("shop/api:2"))
		s.start(t.Context(), t)
		if got := s.after(time.Hour, "WR-1"); got != "" {
			t.Errorf("pods that are not watched: %s", got)
		}
		s.stop()
		s.change = func(st *Steward) { st.Selector = "app=checkout" }
		s.start(t.Context(), t)
		if got := s.after(time.Hour, "WR-1"); got != "image shop/api:2" {
			t.Errorf("got %q", got)
		}
	})
}

// Nothing is forgotten when the process ends, and nothing is claimed while it cannot see.
func TestStewardStartsAgain(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.set(checkout, deployment("shop/api:2"))
		s.start(t.Context(), t)
		s.after(8*time.Minute, "WR-1")
		s.stop()
		s.ready = errors.New("not listed yet")
		s.start(t.Context(), t)
		if got := s.after(5*time.Minute, "WR-1"); got != "" {
			t.Errorf("while it cannot see: %s", got)
		}
		s.stop()
		s.ready = nil
		s.start(t.Context(), t)
		if got := s.after(10*time.Second, "WR-1"); got != "image shop/api:2" {
			t.Errorf("got %q", got)
		}
	})
}

func TestStewardResolvesByDeletion(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.set(checkout, deployment("shop/api:1"))
		s.start(t.Context(), t)
		s.after(10*time.Minute, "WR-1")
		s.workloads.set(checkout, nil)
		if got := s.after(time.Minute, "WR-1"); got != "" {
			t.Fatalf("at first sight: %s", got)
		}
		s.workloads.set(checkout, deployment("shop/api:1")) // it was replaced
		s.after(time.Minute, "WR-1")
		s.workloads.set(checkout, nil)
		s.stop() // and it is known although this is another process now
		s.start(t.Context(), t)
		if got := s.after(30*time.Second, "WR-1"); got != "" {
			t.Fatalf("at first sight: %s", got)
		}
		if got := s.after(time.Minute, "WR-1"); got != "deletion " {
			t.Fatalf("got %q", got)
		}
		if a := s.action("WR-1"); !strings.HasPrefix(a.Note, "Deployment shop/checkout does not exist any more") {
			t.Errorf("got %+v", a)
		}
	})
}

// What has the name of one of Kubernetes' own kinds, and was never seen to be there, may be
// an operator's.
func TestStewardDeletionNeedsACorpse(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		kruise := record.Workload{Kind: "StatefulSet", Name: "db"}
		bare := record.Workload{Kind: "Pod", Name: "debug"}
		static := record.Workload{Kind: "Pod", Name: "etcd"}
		s.put(crashing("WR-1", kruise, time.Now()))
		i := crashing("WR-2", bare, time.Now())
		i.Pods.Values = []issue.Count{{Value: "debug", Count: 1}}
		s.put(i)
		i = crashing("WR-3", static, time.Now())
		i.Pods.Values = []issue.Count{{Value: "etcd-node-1", Count: 1}}
		s.put(i)
		s.start(t.Context(), t)
		if got := s.after(3*time.Minute, "WR-2"); got != "deletion " {
			t.Errorf("a bare pod: %q", got)
		}
		if got := s.after(time.Hour, "WR-1"); got != "" {
			t.Errorf("a kind of an operator: %s", got)
		}
		if got := s.after(0, "WR-3"); got != "" {
			t.Errorf("a static pod: %s", got)
		}
	})
}

// What failed for good and is cleaned away is not solved.
func TestStewardDeletionOfWhatHasFailed(t *testing.T) {
	job := record.Workload{Kind: "Job", Name: "import"}
	pod := record.Workload{Kind: "Pod", Name: "build"}
	failed := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "j"}}
	failed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	limited := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "j"}}
	limited.Spec.TTLSecondsAfterFinished = new(int32(60))
	for _, tt := range []struct {
		name  string
		of    record.Workload
		was   metav1.Object
		final bool
		want  string
	}{
		{"a job that went on", job, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "j"}}, false, "deletion "},
		{"a job whose pods are not started again", job, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "j"}}, true, ""},
		{"a job that had failed", job, failed, false, ""},
		{"a job with a TTL", job, limited, false, ""},
		{"a pod that went on", pod, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "p"}}, false, "deletion "},
		{"a pod that is not started again", pod, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "p"}}, true, ""},
		{"a pod that had failed", pod, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "p"}, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, false, ""},
	} {
		steward(t, func(t *testing.T, s *stewarded) {
			i := crashing("WR-1", tt.of, time.Now())
			s.put(i)
			s.final = map[string]bool{i.Newest: tt.final}
			s.workloads.set(tt.of, tt.was)
			s.start(t.Context(), t)
			s.after(2*time.Minute, "WR-1")
			s.workloads.set(tt.of, nil)
			if got := s.after(time.Hour, "WR-1"); got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}

func TestStewardForbidden(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.err = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "checkout", errors.New("no"))
		s.start(t.Context(), t)
		if got := s.after(time.Hour, "WR-1"); got != "" {
			t.Errorf("resolved by %s", got)
		}
		s.stop()
		if n := strings.Count(s.log.String(), "cannot read workloads"); n != 1 {
			t.Errorf("said %d times: %s", n, &s.log)
		}
	})
}

// What fails is tried again, and said once; that the store is away is for others to say.
func TestStewardTrouble(t *testing.T) {
	stewardTrouble(t, errors.New("broken"), 1)
	stewardTrouble(t, store.ErrUnavailable, 0)
}

func stewardTrouble(t *testing.T, failing error, said int) {
	t.Helper()
	steward(t, func(t *testing.T, s *stewarded) {
		s.put(crashing("WR-1", checkout, time.Now()))
		s.workloads.set(checkout, deployment("shop/api:2"))
		s.failing = failing
		s.start(t.Context(), t)
		s.after(90*time.Second, "WR-1")
		s.keeper.mu.Lock()
		s.failing = nil
		s.keeper.mu.Unlock()
		if got := s.after(15*time.Minute, "WR-1"); got != "image shop/api:2" {
			t.Errorf("got %q", got)
		}
		s.stop()
		if n := strings.Count(s.log.String(), "cannot look after the issues"); n != said {
			t.Errorf("%v: said %d times: %s", failing, n, &s.log)
		}
	})
}

// Many issues take turns, and are counted all.
func TestStewardTakesTurns(t *testing.T) {
	steward(t, func(t *testing.T, s *stewarded) {
		for i := range 120 {
			s.put(crashing(fmt.Sprintf("WR-%03d", i), record.Workload{Kind: "Deployment", Name: fmt.Sprintf("d%03d", i)}, time.Now()))
		}
		old := crashing("WR-old", checkout, time.Now().Add(-15*24*time.Hour))
		s.put(old)
		s.workloads.err = errors.New("no answer in time")
		s.start(t.Context(), t)
		s.after(30*time.Second, "")
		s.workloads.mu.Lock()
		n := len(s.asked)
		s.workloads.mu.Unlock()
		if n != 50 {
			t.Errorf("%d were read at once", n)
		}
		s.after(150*time.Second, "")
		s.stop()
		asked := slices.Compact(slices.Sorted(slices.Values(s.asked)))
		if len(asked) != 120 || len(s.asked) != 150 {
			t.Errorf("%d of 120 were read in %d reads", len(asked), len(s.asked))
		}
		total := 0
		for class, n := range s.counts {
			if class.Category != record.Failure {
				t.Errorf("counted %d of %+v", n, class)
			}
			total += n
		}
		if total != 120 {
			t.Errorf("counted %v", s.counts)
		}
	})
}

func TestImageOf(t *testing.T) {
	spec := corev1.PodSpec{
		Containers:     []corev1.Container{{Name: "api", Image: "shop/api:2"}},
		InitContainers: []corev1.Container{{Name: "migrate", Image: "shop/migrate:2"}},
	}
	template := corev1.PodTemplateSpec{Spec: spec}
	running := func(spec, status string, ready bool) *corev1.Pod {
		return &corev1.Pod{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: spec}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "api", Image: status, Ready: ready, State: corev1.ContainerState{Running: new(corev1.ContainerStateRunning)},
			}}},
		}
	}
	sets := func(change func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
		o := &appsv1.StatefulSet{
			Spec:   appsv1.StatefulSetSpec{Template: template},
			Status: appsv1.StatefulSetStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
		}
		change(o)
		return o
	}
	daemons := func(change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
		o := &appsv1.DaemonSet{
			Spec:   appsv1.DaemonSetSpec{Template: template},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2},
		}
		change(o)
		return o
	}
	for _, tt := range []struct {
		name      string
		o         metav1.Object
		container string
		want      string
		all       bool
	}{
		{"deployment", deployment("shop/api:2"), "api", "shop/api:2", true},
		{"init container", sets(func(*appsv1.StatefulSet) {}), "migrate", "shop/migrate:2", true},
		{"stateful set, one by default", sets(func(*appsv1.StatefulSet) {}), "api", "shop/api:2", true},
		{"stateful set with a partition", sets(func(o *appsv1.StatefulSet) {
			o.Spec.Replicas, o.Status.Replicas, o.Status.AvailableReplicas = new(int32(2)), 2, 2
		}), "api", "shop/api:2", false},
		{"daemon set", daemons(func(*appsv1.DaemonSet) {}), "api", "shop/api:2", true},
		{"daemon set on no node", daemons(func(o *appsv1.DaemonSet) { o.Status = appsv1.DaemonSetStatus{} }), "api", "shop/api:2", false},
		{"daemon set that goes on", daemons(func(o *appsv1.DaemonSet) { o.Status.UpdatedNumberScheduled = 1 }), "api", "shop/api:2", false},
		{"daemon set, not there yet", daemons(func(o *appsv1.DaemonSet) { o.Status.NumberAvailable = 1 }), "api", "shop/api:2", false},
		{"cron job", &batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}}, "api", "shop/api:2", true},
		{"pod", running("shop/api:2", "docker.io/shop/api:2", true), "api", "shop/api:2", true},
		{"pod that still runs the old one", running("shop/api:2", "docker.io/shop/api:1", true), "api", "", true},
		{"pod that is not ready", running("shop/api:2", "docker.io/shop/api:2", false), "api", "", true},
		{"pod without it", running("shop/api:2", "docker.io/shop/api:2", true), "web", "", true},
		{"node", &corev1.Node{}, "api", "", false},
	} {
		image, all := imageOf(tt.o, tt.container, func(map[string]string) bool { return true })
		if image != tt.want || all != tt.all {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, image, all, tt.want, tt.all)
		}
	}
}

func TestSucceeded(t *testing.T) {
	at := func(minutes int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC)}
	}
	since := at(10).Time
	for _, tt := range []struct {
		name   string
		status batchv1.CronJobStatus
		want   bool
	}{
		{"never ran", batchv1.CronJobStatus{}, false},
		{"ran before", batchv1.CronJobStatus{LastScheduleTime: at(5), LastSuccessfulTime: at(6)}, false},
		{"began before", batchv1.CronJobStatus{LastScheduleTime: at(5), LastSuccessfulTime: at(16)}, false},
		{"failed since", batchv1.CronJobStatus{LastScheduleTime: at(15), LastSuccessfulTime: at(6)}, false},
		{"runs", batchv1.CronJobStatus{LastScheduleTime: at(15), LastSuccessfulTime: at(16), Active: make([]corev1.ObjectReference, 1)}, false},
		{"succeeded since", batchv1.CronJobStatus{LastScheduleTime: at(15), LastSuccessfulTime: at(16)}, true},
	} {
		if got := succeeded(&batchv1.CronJob{Status: tt.status}, since); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	if !succeeded(deployment("x"), since) {
		t.Error("a deployment does not end")
	}
}

func TestFullName(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                              "docker.io/library/nginx:latest",
		"nginx:1.25":                         "docker.io/library/nginx:1.25",
		"docker.io/library/nginx:1.25":       "docker.io/library/nginx:1.25",
		"index.docker.io/library/nginx:1.25": "docker.io/library/nginx:1.25",
		"index.docker.io/nginx":              "docker.io/library/nginx:latest",
		"docker.io/nginx":                    "docker.io/library/nginx:latest",
		"shop/api":                           "docker.io/shop/api:latest",
		"localhost/api":                      "localhost/api:latest",
		"localhost:5000/api":                 "localhost:5000/api:latest",
		"registry.k8s.io/pause:3.10":         "registry.k8s.io/pause:3.10",
		"shop/api:1@sha256:01":               "docker.io/shop/api@sha256:01",
		"quay.io/shop/api@sha256:01":         "quay.io/shop/api@sha256:01",
		"":                                   "docker.io/library/:latest",
	} {
		if got := fullName(image); got != want {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
		if again := fullName(want); again != want {
			t.Errorf("%q is not its own full name, but %q", want, again)
		}
	}
	if d := cmp.Diff("sha256:01", digestOf("a/b:1@sha256:01")); d != "" {
		t.Error(d)
	}
}

// fencedKeeper refuses what is written without the newest term of its shard.
type fencedKeeper struct {
	*keeper
	batches []store.Batch
}

func (k *fencedKeeper) Append(_ context.Context, b store.Batch) error {
	k.batches = append(k.batches, b)
	return fmt.Errorf("append: %w", store.ErrFenced)
}

// What a Steward observes is of the term of its process, which ends when another one has taken over.
func TestStewardIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fencedKeeper{keeper: new(keeper)}
		k.put(crashing("WR-1", checkout, time.Now()))
		w := new(workloads)
		w.set(checkout, deployment("shop/api:2"))
		of := shard.Shard{Index: 1, Of: 2}
		if !of.Contains("shop") {
			of.Index = 0
		}
		st := &Steward{
			Store: k, Workloads: w, Term: 7, Shard: of,
			Watches: func(string) bool { return true }, Ready: func() error { return nil }, Count: func(map[IssueClass]int) {},
			Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := st.Run(ctx); !errors.Is(err, store.ErrFenced) {
			t.Errorf("it ended with %v", err)
		}
		if len(k.batches) != 1 || k.batches[0].Term != 7 || k.batches[0].Shard != of {
			t.Errorf("it appended %+v", k.batches)
		}
	})
}
