package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// TestAsked holds that requests are named as RBAC names them.
func TestAsked(t *testing.T) {
	for target, want := range map[string]pipeline.Asked{
		"/api/v1/pods?watch=true&allowWatchBookmarks=true":  {Verb: "watch", Resource: "pods"},
		"/api/v1/pods?limit=500":                            {Verb: "list", Resource: "pods"},
		"/api/v1/namespaces/shop/pods":                      {Verb: "list", Resource: "pods", Namespace: "shop"},
		"/api/v1/namespaces/shop/pods/a/log?container=c":    {Verb: "get", Resource: "pods/log", Namespace: "shop"},
		"/api/v1/namespaces/shop/pods/a":                    {Verb: "get", Resource: "pods", Namespace: "shop"},
		"/api/v1/namespaces/shop":                           {Verb: "get", Resource: "namespaces"},
		"/api/v1/namespaces":                                {Verb: "list", Resource: "namespaces"},
		"/api/v1/nodes/n1":                                  {Verb: "get", Resource: "nodes"},
		"/apis/apps/v1/namespaces/shop/deployments/web":     {Verb: "get", Resource: "deployments.apps", Namespace: "shop"},
		"/apis/batch/v1/namespaces/shop/jobs":               {Verb: "list", Resource: "jobs.batch", Namespace: "shop"},
		"/k8s/clusters/c-1/api/v1/namespaces/api/events":    {Verb: "list", Resource: "events", Namespace: "api"},
		"/k8s/apis/argoproj.io/v1/namespaces/a/rollouts/x":  {Verb: "get", Resource: "rollouts.argoproj.io", Namespace: "a"},
		"/apis/apps/v1/namespaces/shop/deployments/a/scale": {Verb: "get", Resource: "deployments.apps/scale", Namespace: "shop"},
	} {
		got, ok := asked(httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	for _, target := range []string{"/", "/healthz", "/version", "/api", "/api/v1", "/apis/apps/v1", "/apis"} {
		if a, ok := asked(httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)); ok {
			t.Errorf("%s asks for %+v", target, a)
		}
	}
	if _, ok := asked(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/pods", http.NoBody)); ok {
		t.Error("a write is told")
	}
}

type overheard struct {
	mu  sync.Mutex
	all []string
}

func (o *overheard) hear(a pipeline.Asked, r pipeline.Refusal) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, fmt.Sprintf("%s %s %s %q", a.Verb, a.Resource, a.Namespace, r))
}

// TestOverheard holds that refusals and answers are told, and what says nothing of either is not.
func TestOverheard(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	var o overheard
	original := &rest.Config{Host: server.URL}
	client, err := rest.HTTPClientFor(Overheard(original, o.hear))
	if err != nil {
		t.Fatal(err)
	}
	if original.WrapTransport != nil {
		t.Error("the configuration was changed")
	}
	for _, status = range []int{200, 403, 401, 404, 410, 429, 500, 503} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces/shop/pods/a/log", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	want := []string{
		`get pods/log shop ""`, `get pods/log shop "not allowed to"`,
		`get pods/log shop "the credentials are not accepted to"`, `get pods/log shop ""`,
	}
	if diff := cmp.Diff(want, o.all); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestReviewer holds that it is asked for exactly what was refused.
func TestReviewer(t *testing.T) {
	var got authorizationv1.SelfSubjectAccessReview
	answer := `"status":{"allowed":true}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		got = authorizationv1.SelfSubjectAccessReview{}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1",%s}`, answer)
	}))
	t.Cleanup(server.Close)
	v, err := NewReviewer(&rest.Config{Host: server.URL, Timeout: time.Minute}, "whyrestart/test")
	if err != nil {
		t.Fatal(err)
	}
	a := pipeline.Asked{Verb: "get", Resource: "deployments.apps/scale", Namespace: "shop"}
	if ok, err := v.Allowed(t.Context(), a); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	want := &authorizationv1.ResourceAttributes{Namespace: "shop", Verb: "get", Group: "apps", Resource: "deployments", Subresource: "scale"}
	if diff := cmp.Diff(want, got.Spec.ResourceAttributes); diff != "" || got.Kind != "SelfSubjectAccessReview" || got.APIVersion != "authorization.k8s.io/v1" {
		t.Errorf("asked as %s %s (-want +got):\n%s", got.APIVersion, got.Kind, diff)
	}
	answer = `"status":{"allowed":false}`
	if ok, err := v.Allowed(t.Context(), a); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	answer = `"status":{"allowed":false,"evaluationError":"webhook away"}`
	if ok, err := v.Allowed(t.Context(), a); ok || err == nil || !strings.Contains(err.Error(), "webhook away") {
		t.Errorf("%v, %v", ok, err)
	}
}
