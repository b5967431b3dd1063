package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// fleet is a WorkloadReader of one Deployment.
type fleet struct{ image string }

func (f *fleet) Workload(context.Context, string, record.Workload) (metav1.Object, error) {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{UID: "uid-1"},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: f.image}}},
		}},
		Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
	}, nil
}

// crash is a stop of a pod that was created at a time.
func crash(n int, at, created time.Time, image string) record.Record {
	code := int32(1)
	return record.Record{
		Kind: record.KindStop, ID: fmt.Sprintf("%024x", n), Namespace: "shop", Pod: fmt.Sprintf("checkout-%d", n), PodUID: fmt.Sprint(n), Node: "n1",
		Container: "api", ContainerType: record.App, Workload: &record.Workload{Kind: "Deployment", Name: "checkout"},
		Stop:       &record.Stop{ExitObserved: true, ExitCode: &code, Image: image, FinishedAt: at, StartedAt: at.Add(-time.Minute)},
		ObservedAt: at, Category: record.Failure, PodCreatedAt: created,
		Diagnosis: record.Diagnosis{Cause: "app_exit", Detail: "panic", Signature: "panic|x", Confidence: record.Likely, Summary: "It crashed."},
	}
}

// A fix resolves its issue, a pod that lags behind does not bring it back, and a rollback does: with a
// real store, and with another Steward for each look, as if the process ended between them.
func TestStewardOnAStore(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	workloads := &fleet{image: "shop/api:1"}
	id := ""
	// at looks after the issues at a minute, and tells their state.
	at := func(minute int) issue.State {
		t.Helper()
		now := noon.Add(time.Duration(minute) * time.Minute)
		counted := make(map[IssueClass]int)
		s := &Steward{
			Store: db, Workloads: workloads, Watches: func(string) bool { return true },
			Ready: func() error { return nil }, Count: func(c map[IssueClass]int) { counted = c },
			Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		}
		if err := s.round(ctx); err != nil {
			t.Fatal(err)
		}
		if len(counted) != 1 {
			t.Errorf("counted %v", counted)
		}
		list, _, err := db.Issues(ctx, store.IssueQuery{})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d issues, %v", len(list), err)
		}
		id = list[0].ID
		return list[0].At(now)
	}
	post := func(n, minute, created int, image string) {
		t.Helper()
		r := crash(n, noon.Add(time.Duration(minute)*time.Minute), noon.Add(time.Duration(created)*time.Minute), image)
		if err := db.Append(ctx, store.Batch{Records: []record.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(minute int, want issue.State) {
		t.Helper()
		if got := at(minute); got != want {
			t.Fatalf("at minute %d it is %s, not %s", minute, got, want)
		}
	}

	for n := range 5 {
		post(n, n, -60, "docker.io/shop/api:1")
	}
	is(5, issue.New)
	workloads.image = "shop/api:2"
	is(6, issue.New) // where the new image is seen for the first time
	is(15, issue.New)
	is(16, issue.Resolved)
	got, err := db.Issue(ctx, id)
	if err != nil || got.Resolution != issue.ByImage || got.Image != "shop/api:2" || got.By != "" || got.Note == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	post(10, 17, -60, "docker.io/shop/api:1") // of a pod of before
	is(18, issue.Resolved)
	workloads.image = "shop/api:1"
	post(11, 30, 29, "docker.io/shop/api:1") // of one that a rollback made
	is(31, issue.Regressed)
	workloads.image = "shop/api:3"
	is(40, issue.Regressed)
	if got, err := db.Issue(ctx, id); err != nil || got.Count != 7 || got.Resolution != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	is(50, issue.Resolved)
	post(12, 48, 39, "docker.io/shop/api:3") // of the image that was taken for the fix, told late
	is(52, issue.Regressed)
}
