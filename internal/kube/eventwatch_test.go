package kube

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// heard is an EventSink that writes down what it is called with.
type heard struct {
	t     testing.TB
	mu    sync.Mutex
	calls []string
	last  *corev1.Event
	more  chan struct{}
}

func (h *heard) say(text string) {
	h.calls = append(h.calls, text)
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *heard) Event(ev *corev1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = ev
	h.say(fmt.Sprintf("%s of %s %s x%d", ev.Reason, ev.InvolvedObject.Kind, ev.Name, ev.Count))
}

func (h *heard) EventTrouble(scope string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := "fine"
	if err != nil {
		text = string(problemOf(err))
	}
	h.say(fmt.Sprintf("%q is %s", scope, text))
}

// want waits until exactly these calls came.
func (h *heard) want(want ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for {
		h.mu.Lock()
		got := slices.Clone(h.calls)
		h.mu.Unlock()
		if len(got) >= len(want) {
			if d := cmp.Diff(want, got); d != "" {
				h.t.Fatalf("calls (-want +got):\n%s", d)
			}
			return
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			h.t.Fatalf("no more calls after\n%s", strings.Join(got, "\n"))
		}
	}
}

// listen watches events until the test ends, or stop is called.
func listen(t testing.TB, o EventWatchOptions) (h *heard, stop func()) {
	t.Helper()
	o.backoff = &wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 1}
	w, err := NewEventWatcher(o)
	if err != nil {
		t.Fatal(err)
	}
	h = &heard{t: t, more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx, h); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return h, stop
}

func testEvent(namespace, name, apiVersion, kind string, count int32) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}},
		InvolvedObject: corev1.ObjectReference{APIVersion: apiVersion, Kind: kind, Name: "x", UID: "uid-x"},
		Reason:         "Killing", Count: count,
	}
}

func TestEventWatch(t *testing.T) {
	server := newObjectServer(t,
		testEvent("shop", "a", "v1", "Pod", 1),
		testEvent("shop", "b", "v1", "Service", 1),
		testEvent("shop", "c", "batch.volcano.sh/v1alpha1", "Job", 1),
		testEvent("default", "n", "", "Node", 1),
		testEvent("kube-system", "k", "v1", "Pod", 1),
	)
	h, stop := listen(t, EventWatchOptions{Config: server.config(), ExcludeNamespaces: []string{"kube-system"}})
	h.want("Killing of Node n x1", "Killing of Pod a x1", `"" is fine`)
	server.set(testEvent("shop", "a", "v1", "Pod", 2))
	server.set(testEvent("shop", "d", "v1", "Service", 1))
	server.remove(testEvent("default", "n", "", "Node", 1))
	server.set(testEvent("shop", "e", "apps/v1", "ReplicaSet", 1))
	h.want("Killing of Node n x1", "Killing of Pod a x1", `"" is fine`, "Killing of Pod a x2", "Killing of ReplicaSet e x1")
	if h.last.ManagedFields != nil || h.last.InvolvedObject.UID != "uid-x" {
		t.Errorf("the event was not trimmed as it should be: %+v", h.last)
	}
	stop()
	want := []string{"/api/v1/events fieldSelector=metadata.namespace!=kube-system", "/api/v1/events watch=true fieldSelector=metadata.namespace!=kube-system"}
	if d := cmp.Diff(want, server.asked()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// A list of many events is asked for page by page.
func TestEventWatchPages(t *testing.T) {
	server := newObjectServer(t)
	for i := range pageSize + 3 {
		server.set(testEvent("shop", fmt.Sprintf("e%04d", i), "v1", "Pod", 1))
	}
	var want []string
	for i := range pageSize + 3 {
		want = append(want, fmt.Sprintf("Killing of Pod e%04d x1", i))
	}
	h, _ := listen(t, EventWatchOptions{Config: server.config()})
	h.want(append(want, `"" is fine`)...)
}

// After an expired watch the list shows what was missed, and not the rest again.
func TestEventWatchExpired(t *testing.T) {
	server := newObjectServer(t, testEvent("shop", "a", "v1", "Pod", 1))
	h, _ := listen(t, EventWatchOptions{Config: server.config(), Namespaces: []string{"shop", "default"}})
	h.wantAnyOrder("Killing of Pod a x1", `"default" is fine`, `"shop" is fine`)
	server.do(func() {
		s := testEvent("shop", "b", "v1", "Pod", 1)
		server.version++
		s.ResourceVersion = fmt.Sprint(server.version)
		server.objects["/api/v1/namespaces/shop/events/b"] = s // which no watch tells
		server.version++
		server.oldest = server.version
	})
	h.wantAnyOrder("Killing of Pod a x1", `"default" is fine`, `"shop" is fine`, "Killing of Pod b x1")
	server.set(testEvent("shop", "c", "v1", "Pod", 1))
	h.wantAnyOrder("Killing of Pod a x1", `"default" is fine`, `"shop" is fine`, "Killing of Pod b x1", "Killing of Pod c x1")
}

// wantAnyOrder is want for several scopes.
func (h *heard) wantAnyOrder(want ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	slices.Sort(want)
	for {
		h.mu.Lock()
		got := slices.Sorted(slices.Values(h.calls))
		h.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			h.t.Fatalf("calls (-want +got):\n%s", cmp.Diff(want, got))
		}
	}
}

// Of a scope that is refused every attempt is told, until it works; of the events about
// nodes that only a namespace's Role does not give, nothing is.
func TestEventWatchRefused(t *testing.T) {
	server := newObjectServer(t, testEvent("shop", "a", "v1", "Pod", 1))
	attempts := make(chan string, 1000)
	server.answer(func(w http.ResponseWriter, r *http.Request) bool {
		server.status(w, r, forbidden("list"))
		select {
		case attempts <- r.URL.Path:
		default:
		}
		return true
	})
	h, _ := listen(t, EventWatchOptions{Config: server.config(), Namespaces: []string{"shop"}})
	for nodes := 0; nodes < 3; {
		if <-attempts == "/api/v1/namespaces/default/events" {
			nodes++
		}
	}
	for shop := 0; shop < 3; {
		if <-attempts == "/api/v1/namespaces/shop/events" {
			shop++
		}
	}
	server.refuse("/api/v1/namespaces/default/")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		h.mu.Lock()
		got := slices.Clone(h.calls)
		h.mu.Unlock()
		if n := len(got); n > 0 && got[n-1] == `"shop" is fine` {
			for _, call := range got[:n-2] {
				if call != `"shop" is forbidden` {
					t.Errorf("heard %s before", call)
				}
			}
			break
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			t.Fatalf("no more calls after\n%s", strings.Join(got, "\n"))
		}
	}
	server.answer(nil)
	server.set(testEvent("default", "n", "v1", "Node", 1))
	server.set(testEvent("default", "p", "v1", "Pod", 1))
	for {
		h.mu.Lock()
		got := slices.Clone(h.calls)
		h.mu.Unlock()
		if slices.Contains(got, "Killing of Pod p x1") {
			t.Fatal("a pod of a namespace that is not watched")
		}
		if slices.Contains(got, "Killing of Node n x1") && slices.Contains(got, `"default (nodes)" is fine`) {
			return
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			t.Fatalf("no more calls after\n%s", strings.Join(got, "\n"))
		}
	}
}

// A server that goes away and comes back is asked again, and nothing comes twice.
func TestEventWatchRestart(t *testing.T) {
	server := newObjectServer(t, testEvent("shop", "a", "v1", "Pod", 1))
	h, _ := listen(t, EventWatchOptions{Config: server.config()})
	h.want("Killing of Pod a x1", `"" is fine`)
	down := make(chan struct{}, 1000)
	server.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		select {
		case down <- struct{}{}:
		default:
		}
		return true
	})
	server.CloseClientConnections()
	<-down
	server.set(testEvent("shop", "b", "v1", "Pod", 1))
	server.answer(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		h.mu.Lock()
		got := slices.Clone(h.calls)
		h.mu.Unlock()
		if n := len(got); got[n-1] == "Killing of Pod b x1" {
			if got[n-2] != `"" is fine` || n < 5 || got[2] != `"" is failed` {
				t.Errorf("calls:\n%s", strings.Join(got, "\n"))
			}
			if i := slices.Index(got[1:], "Killing of Pod a x1"); i >= 0 {
				t.Errorf("an event came twice:\n%s", strings.Join(got, "\n"))
			}
			return
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			t.Fatalf("no more calls after\n%s", strings.Join(got, "\n"))
		}
	}
}

func TestEventWatchScopes(t *testing.T) {
	server := newObjectServer(t)
	for _, c := range []struct {
		only, exclude, want []string
	}{
		{nil, nil, []string{""}},
		{nil, []string{"kube-system"}, []string{""}},
		{nil, []string{"default"}, []string{"", pipeline.NodeEventScope}},
		{[]string{"shop"}, nil, []string{"shop", pipeline.NodeEventScope}},
		{[]string{"shop", "default"}, nil, []string{"default", "shop"}},
	} {
		w, err := NewEventWatcher(EventWatchOptions{Config: server.config(), Namespaces: c.only, ExcludeNamespaces: c.exclude})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, w.Scopes()); d != "" {
			t.Errorf("%v without %v (-want +got):\n%s", c.only, c.exclude, d)
		}
	}
}
