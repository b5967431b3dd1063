package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/record"
)

// metadataServer answers reads of metadata, without a connection so that time can
// stand still around it.
type metadataServer struct {
	mu      sync.Mutex
	objects map[string]*metav1.PartialObjectMetadata
	status  *metav1.Status
	reads   []string
	slow    time.Duration
}

func (s *metadataServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		return nil, fmt.Errorf("asks for more than metadata: %s", r.Header.Get("Accept"))
	}
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, r.URL.Path)
	code, body := http.StatusOK, any(s.objects[r.URL.Path])
	if s.status != nil {
		code, body = int(s.status.Code), s.status
	} else if s.objects[r.URL.Path] == nil {
		code, body = 404, &metav1.Status{Status: "Failure", Code: 404, Reason: metav1.StatusReasonNotFound, Message: "not found"}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(bytes.NewReader(b)), ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

func (s *metadataServer) owners(t testing.TB) *Owners {
	t.Helper()
	o, err := NewOwners(OwnersOptions{Config: &rest.Config{Host: "http://cluster.example:6443", Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func controlledBy(apiVersion, kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Something", Name: "beside"},
		{APIVersion: apiVersion, Kind: kind, Name: name, UID: "uid-owner", Controller: &yes}}
}

func object(owners []metav1.OwnerReference) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{UID: "uid-owner", OwnerReferences: owners},
	}
}

func ownedPod(owners []metav1.OwnerReference, labels map[string]string) *corev1.Pod {
	p := testPod("web-5f6-x7k2p")
	p.OwnerReferences, p.Labels = owners, labels
	p.CreationTimestamp = metav1.Unix(28333333*60+70, 0)
	return p
}

const (
	replicaSetPath = "/apis/apps/v1/namespaces/shop/replicasets/web-5f6"
	jobPath        = "/apis/batch/v1/namespaces/shop/jobs/report-28333333"
)

func TestWorkload(t *testing.T) {
	replicaSet := controlledBy("apps/v1", "ReplicaSet", "web-5f6")
	job := controlledBy("batch/v1", "Job", "report-28333333")
	hash := map[string]string{"pod-template-hash": "5f6"}
	recreated := object(nil)
	recreated.UID = "uid-other"
	refused := forbidden("get")
	for _, c := range []struct {
		name    string
		pod     *corev1.Pod
		objects map[string]*metav1.PartialObjectMetadata
		status  *metav1.Status
		want    record.Workload
		problem Problem
	}{
		{name: "none", pod: ownedPod(nil, nil), want: record.Workload{Kind: "Pod", Name: "web-5f6-x7k2p"}},
		{name: "static pod", pod: ownedPod(controlledBy("v1", "Node", "node-1"), nil), want: record.Workload{Kind: "Pod", Name: "web-5f6-x7k2p"}},
		{name: "stateful set", pod: ownedPod(controlledBy("apps/v1", "StatefulSet", "db"), nil), want: record.Workload{Kind: "StatefulSet", Name: "db"}},
		{name: "custom kind", pod: ownedPod(controlledBy("example.com/v1", "Job", "x"), nil), want: record.Workload{Kind: "Job", Name: "x"}},
		{name: "deployment", pod: ownedPod(replicaSet, hash), objects: map[string]*metav1.PartialObjectMetadata{
			replicaSetPath: object(controlledBy("apps/v1", "Deployment", "web"))}, want: record.Workload{Kind: "Deployment", Name: "web"}},
		{name: "rollout", pod: ownedPod(replicaSet, nil), objects: map[string]*metav1.PartialObjectMetadata{
			replicaSetPath: object(controlledBy("argoproj.io/v1alpha1", "Rollout", "web"))}, want: record.Workload{Kind: "Rollout", Name: "web"}},
		{name: "replica set of its own", pod: ownedPod(replicaSet, hash), objects: map[string]*metav1.PartialObjectMetadata{
			replicaSetPath: object(nil)}, want: record.Workload{Kind: "ReplicaSet", Name: "web-5f6"}},
		{name: "cron job", pod: ownedPod(job, nil), objects: map[string]*metav1.PartialObjectMetadata{
			jobPath: object(controlledBy("batch/v1", "CronJob", "report"))}, want: record.Workload{Kind: "CronJob", Name: "report"}},
		{name: "job", pod: ownedPod(job, nil), objects: map[string]*metav1.PartialObjectMetadata{
			jobPath: object(nil)}, want: record.Workload{Kind: "Job", Name: "report-28333333"}},

		{name: "forbidden, by label", pod: ownedPod(replicaSet, hash), status: refused,
			want: record.Workload{Kind: "Deployment", Name: "web"}, problem: Forbidden},
		{name: "forbidden, rollout by label", pod: ownedPod(replicaSet, map[string]string{"rollouts-pod-template-hash": "5f6"}), status: refused,
			want: record.Workload{Kind: "Rollout", Name: "web"}, problem: Forbidden},
		{name: "forbidden, other label", pod: ownedPod(replicaSet, map[string]string{"pod-template-hash": "x"}), status: refused,
			want: record.Workload{Kind: "ReplicaSet", Name: "web-5f6"}, problem: Forbidden},
		{name: "forbidden, no label", pod: ownedPod(replicaSet, nil), status: refused,
			want: record.Workload{Kind: "ReplicaSet", Name: "web-5f6"}, problem: Forbidden},
		{name: "gone", pod: ownedPod(replicaSet, hash), want: record.Workload{Kind: "Deployment", Name: "web"}, problem: NotFound},
		{name: "recreated", pod: ownedPod(replicaSet, hash), objects: map[string]*metav1.PartialObjectMetadata{replicaSetPath: recreated},
			want: record.Workload{Kind: "Deployment", Name: "web"}, problem: NotFound},
		{name: "forbidden, cron job by name", pod: ownedPod(job, nil), status: refused,
			want: record.Workload{Kind: "CronJob", Name: "report"}, problem: Forbidden},
		{name: "forbidden, a job with another number", pod: ownedPod(controlledBy("batch/v1", "Job", "report-12345678"), nil), status: refused,
			want: record.Workload{Kind: "Job", Name: "report-12345678"}, problem: Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &metadataServer{objects: c.objects, status: c.status}
			got, err := s.owners(t).Workload(t.Context(), c.pod)
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			var access *AccessError
			switch {
			case c.problem == "" && err != nil:
				t.Error(err)
			case c.problem != "" && (!errors.As(err, &access) || access.Problem != c.problem):
				t.Errorf("error %v, want %s", err, c.problem)
			}
		})
	}
}

func TestWorkloadIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &metadataServer{slow: time.Second, objects: map[string]*metav1.PartialObjectMetadata{
			replicaSetPath: object(controlledBy("apps/v1", "Deployment", "web"))}}
		o := s.owners(t)
		p := ownedPod(controlledBy("apps/v1", "ReplicaSet", "web-5f6"), nil)
		ask := func() {
			got, err := o.Workload(t.Context(), p)
			if err != nil || got.Name != "web" {
				t.Errorf("got %v, %v", got, err)
			}
			if got != nil {
				got.Name = "written to"
			}
		}
		var asking sync.WaitGroup
		for range 10 {
			asking.Go(ask)
		}
		asking.Wait()
		ask()
		if len(s.reads) != 1 {
			t.Errorf("%d reads, want 1", len(s.reads))
		}
		time.Sleep(ownerTTL + time.Second)
		ask()
		if len(s.reads) != 2 {
			t.Errorf("%d reads after the time to live, want 2", len(s.reads))
		}
	})
}

func TestWorkloadRefusalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &metadataServer{status: forbidden("get")}
		o := s.owners(t)
		p := ownedPod(controlledBy("apps/v1", "ReplicaSet", "web-5f6"), nil)
		for range 5 {
			if _, err := o.Workload(t.Context(), p); err == nil {
				t.Error("no error")
			}
		}
		if len(s.reads) != 1 {
			t.Errorf("%d reads, want 1", len(s.reads))
		}
		s.status = nil
		s.objects = map[string]*metav1.PartialObjectMetadata{replicaSetPath: object(controlledBy("apps/v1", "Deployment", "web"))}
		time.Sleep(refusedTTL + time.Second)
		if got, err := o.Workload(t.Context(), p); err != nil || got.Kind != "Deployment" {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestWorkloadLeavesWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &metadataServer{slow: time.Hour}
		o := s.owners(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		got, err := o.Workload(ctx, ownedPod(controlledBy("apps/v1", "ReplicaSet", "web-5f6"), map[string]string{"pod-template-hash": "5f6"}))
		if err == nil || got.Name != "web" {
			t.Errorf("got %v, %v", got, err)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("waited %v", d)
		}
		time.Sleep(ownerTimeout) // the read ends by itself
	})
}

func TestWorkloadsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &metadataServer{}
		o := s.owners(t)
		begin := time.Now()
		for i := range defaultBurst + 2*defaultQPS {
			name := fmt.Sprint("web-", i)
			if _, err := o.Workload(t.Context(), ownedPod(controlledBy("apps/v1", "ReplicaSet", name), nil)); err == nil {
				t.Error("no error")
			}
		}
		if d := time.Since(begin); d < 1900*time.Millisecond || d > 2100*time.Millisecond {
			t.Errorf("took %v, want 2 s", d)
		}
	})
}
