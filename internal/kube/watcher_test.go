package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a Sink that writes down what it is called with.
type recorder struct {
	mu    sync.Mutex
	calls []string
	pods  map[string]detect.Pod
	full  map[string]*corev1.Pod
	more  chan struct{}
	busy  map[string]bool
	t     testing.TB
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, more: make(chan struct{}, 1), pods: make(map[string]detect.Pod), full: make(map[string]*corev1.Pod), busy: make(map[string]bool)}
}

func (r *recorder) call(scope, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if scope != "" {
		text = scope + ": " + text
	}
	r.calls = append(r.calls, text)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) object(o pipeline.Object) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := o.View.Namespace + "/" + o.View.Name
	r.pods[key] = o.View
	delete(r.full, key)
	if o.Full != nil {
		full, err := o.Full()
		if err != nil {
			r.t.Errorf("Full of %s: %v", key, err)
		}
		r.full[key] = full
	}
	return key
}

func (r *recorder) Replace(scope string, pods []pipeline.Object, version string) {
	var names []string
	for _, p := range pods {
		names = append(names, r.object(p))
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = []string{fmt.Sprint(len(names), " pods")}
	}
	r.call(scope, "replace %s at %s", strings.Join(names, " "), version)
}

func (r *recorder) Apply(scope string, p pipeline.Object) {
	r.call(scope, "apply %s %d", r.object(p), p.View.ResourceVersion)
}

func (r *recorder) Delete(scope string, p pipeline.Object) {
	r.call(scope, "delete %s %d", r.object(p), p.View.ResourceVersion)
}

func (r *recorder) Progress(scope, version string) { r.call(scope, "progress %s", version) }

func (r *recorder) Trouble(scope string, err error) { r.call(scope, "trouble %v", err) }

// wait returns the calls as soon as they are n or more.
func (r *recorder) wait(n int) []string {
	r.t.Helper()
	return r.until(func(calls []string) bool { return len(calls) >= n })
}

func (r *recorder) until(done func([]string) bool) []string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		calls := slices.Clone(r.calls)
		r.mu.Unlock()
		if done(calls) {
			return calls
		}
		select {
		case <-r.more:
		case <-ctx.Done():
			r.t.Fatalf("no more calls after\n%s", strings.Join(calls, "\n"))
		}
	}
}

func (r *recorder) want(want ...string) {
	r.t.Helper()
	if d := cmp.Diff(want, r.wait(len(want))); d != "" {
		r.t.Errorf("calls (-want +got):\n%s", d)
	}
}

func newWatcher(t testing.TB, o Options) *Watcher {
	t.Helper()
	o.backoff = &wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 1}
	w, err := NewWatcher(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs a watcher until the test ends, or stop is called.
func run(t testing.TB, w *Watcher) (sink *recorder, stop func()) {
	t.Helper()
	sink = newRecorder(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx, sink); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return sink, stop
}

func testPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-" + "x", Labels: map[string]string{"app": "shop"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "api", Image: "shop:1"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "api", Ready: true, ContainerID: "containerd://1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
}

func restarted(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	s := &p.Status.ContainerStatuses[0]
	s.RestartCount++
	s.ContainerID = "containerd://2"
	s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "OOMKilled", ContainerID: "containerd://1",
		StartedAt: metav1.Unix(1700000000, 0), FinishedAt: metav1.Unix(1700000060, 0),
	}
	return p
}

func TestWatch(t *testing.T) {
	for _, media := range []string{"protobuf", "json"} {
		for _, sync := range []string{"stream", "list"} {
			t.Run("media="+media+"/sync="+sync, func(t *testing.T) {
				server := newAPIServer(t)
				server.jsonOnly = media == "json"
				server.noStreaming = sync == "list"
				server.set(testPod("a"))                    // 101
				want := server.set(restarted(testPod("b"))) // 102
				sink, stop := run(t, newWatcher(t, Options{Config: server.config(), UserAgent: "whyrestart/test"}))
				sink.want("replace shop/a shop/b at 102")
				server.set(testPod("c"))                       // 103
				changed := server.set(restarted(testPod("a"))) // 104
				server.remove("shop", "b")                     // 105
				server.bookmark()                              // 106
				sink.want("replace shop/a shop/b at 102", "apply shop/c 103", "apply shop/a 104", "delete shop/b 105", "progress 106")
				stop()

				if d := cmp.Diff(detect.FromPod(changed), sink.pods["shop/a"]); d != "" {
					t.Errorf("view (-want +got):\n%s", d)
				}
				if d := cmp.Diff(changed, sink.full["shop/a"]); d != "" {
					t.Errorf("full pod (-want +got):\n%s", d)
				}
				want.ResourceVersion = "105"
				if d := cmp.Diff(want, sink.full["shop/b"]); d != "" {
					t.Errorf("full pod of the last state (-want +got):\n%s", d)
				}
				if sink.full["shop/c"] != nil {
					t.Error("the whole of a pod was kept although nothing in it stopped")
				}
				for _, r := range server.seen() {
					if got := r.Header.Get("User-Agent"); got != "whyrestart/test" {
						t.Errorf("user agent %q", got)
					}
				}
			})
		}
	}
}

func TestWatchKeepsDeletedPods(t *testing.T) {
	server := newAPIServer(t)
	p := testPod("a")
	now := metav1.Unix(1700000000, 0)
	p.DeletionTimestamp = &now
	p.Finalizers = []string{"x/y"}
	p = server.set(p)
	sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
	sink.wait(1)
	stop()
	if d := cmp.Diff(p, sink.full["shop/a"]); d != "" {
		t.Errorf("full pod (-want +got):\n%s", d)
	}
}

func TestListComesInPages(t *testing.T) {
	server := newAPIServer(t)
	server.noStreaming = true
	for i := range 1201 {
		server.set(testPod(fmt.Sprintf("pod-%04d", i)))
	}
	sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
	sink.want("replace 1201 pods at 1301")
	stop()
	var pages int
	for _, r := range server.seen() {
		q := r.URL.Query()
		if q.Get("watch") != "" {
			continue
		}
		pages++
		if q.Get("limit") != "500" || q.Get("resourceVersion") != "" {
			t.Errorf("list asks for %q", r.URL.RawQuery)
		}
	}
	if pages != 3 {
		t.Errorf("%d pages, want 3", pages)
	}
}

func TestScopes(t *testing.T) {
	server := newAPIServer(t)
	for _, ns := range []string{"shop", "bank", "other"} {
		p := testPod("a")
		p.Namespace = ns
		server.set(p)
	}
	w := newWatcher(t, Options{Config: server.config(), Namespaces: []string{"shop", "bank", "shop"}})
	if d := cmp.Diff([]string{"bank", "shop"}, w.Scopes()); d != "" {
		t.Errorf("scopes (-want +got):\n%s", d)
	}
	sink, stop := run(t, w)
	calls := sink.wait(2)
	stop()
	slices.Sort(calls)
	if d := cmp.Diff([]string{"bank: replace bank/a at 103", "shop: replace shop/a at 103"}, calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestSelectors(t *testing.T) {
	for _, noStreaming := range []bool{false, true} {
		server := newAPIServer(t)
		server.noStreaming = noStreaming
		for _, ns := range []string{"shop", "kube-system", "test"} {
			for _, app := range []string{"a", "b"} {
				p := testPod(app)
				p.Namespace, p.Labels = ns, map[string]string{"app": app}
				server.set(p)
			}
		}
		sink, _ := run(t, newWatcher(t, Options{Config: server.config(), ExcludeNamespaces: []string{"test", "kube-system"}, LabelSelector: "app=b"}))
		sink.want("replace shop/b at 106")
		server.set(testPod("c"))
		server.bookmark()
		sink.want("replace shop/b at 106", "progress 108")

		// What ceases to fit is not gone; what is deleted is.
		server.leave("shop", "b")
		p := testPod("d")
		p.Labels = map[string]string{"app": "b"}
		now := metav1.Unix(1700000000, 0)
		p.DeletionTimestamp = &now
		server.set(p)
		server.remove("shop", "d")
		sink.want("replace shop/b at 106", "progress 108", "apply shop/d 110", "delete shop/d 111")
	}
}

func TestNewWatcherRefuses(t *testing.T) {
	config := &rest.Config{Host: "http://cluster.example"}
	for name, o := range map[string]Options{
		"no config":          {},
		"label selector":     {Config: config, LabelSelector: "a=b=c"},
		"namespace":          {Config: config, Namespaces: []string{"a/b"}},
		"excluded namespace": {Config: config, ExcludeNamespaces: []string{"A,b"}},
		"nothing left":       {Config: config, Namespaces: []string{"a"}, ExcludeNamespaces: []string{"a"}},
		"address":            {Config: &rest.Config{Host: "http://user:hunter2@[::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewWatcher(o)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// answer makes the server answer matching requests with a status until it is nil.
func (s *apiServer) answer(match func(*http.Request) bool, st *metav1.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st == nil {
		s.before = nil
		return
	}
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		s.status(w, r, st)
		return true
	}
}

func all(*http.Request) bool       { return true }
func watches(r *http.Request) bool { return r.URL.Query().Get("watch") != "" }

func TestForbiddenIsTroubleUntilAllowed(t *testing.T) {
	server := newAPIServer(t)
	server.set(testPod("a"))
	server.answer(all, forbidden("list"))
	sink, _ := run(t, newWatcher(t, Options{Config: server.config(), Namespaces: []string{"shop"}}))
	calls := sink.wait(2)
	want := `shop: trouble not allowed to watch pods in namespace "shop": pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "shop"`
	if calls[0] != want || calls[1] != want {
		t.Errorf("got %q, want twice %q", calls, want)
	}
	server.answer(nil, nil)
	calls = sink.until(func(c []string) bool { return strings.HasPrefix(c[len(c)-1], "shop: replace") })
	if got := calls[len(calls)-2:]; !slices.Equal(got, []string{"shop: trouble <nil>", "shop: replace shop/a at 101"}) {
		t.Errorf("got %q", got)
	}
}

func TestWatchForbiddenAlthoughListIsAllowed(t *testing.T) {
	server := newAPIServer(t)
	server.noStreaming = true
	server.set(testPod("a"))
	server.answer(func(r *http.Request) bool { return watches(r) && r.URL.Query().Get("sendInitialEvents") == "" }, forbidden("watch"))
	sink, _ := run(t, newWatcher(t, Options{Config: server.config()}))
	calls := sink.wait(3)
	if !strings.HasPrefix(calls[0], "replace shop/a") || !strings.HasPrefix(calls[1], "trouble not allowed to watch pods in all namespaces") {
		t.Errorf("got %q", calls)
	}
}

func TestExpiredEvent(t *testing.T) {
	for _, noStreaming := range []bool{false, true} {
		server := newAPIServer(t)
		server.noStreaming = noStreaming
		server.set(testPod("a"))
		sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
		sink.want("replace shop/a at 101")
		server.fail(expired())
		sink.want("replace shop/a at 101", "trouble cannot watch pods in all namespaces: too old resource version: 1 (100)",
			"trouble <nil>", "replace shop/a at 102")
		server.set(testPod("b"))
		sink.until(func(c []string) bool { return c[len(c)-1] == "apply shop/b 103" })
		stop()
	}
}

// TestExpiredStatus has the connection cut, and the server forget what happened
// meanwhile.
func TestExpiredStatus(t *testing.T) {
	for _, noStreaming := range []bool{false, true} {
		server := newAPIServer(t)
		server.noStreaming = noStreaming
		server.set(testPod("a"))
		sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
		sink.want("replace shop/a at 101")
		// A watch that ends at once without an event would make the reflector list again.
		server.set(testPod("b"))
		sink.want("replace shop/a at 101", "apply shop/b 102")
		server.do(func() { server.cut, server.oldest = 103, 103 })
		server.set(testPod("c"))
		sink.want("replace shop/a at 101", "apply shop/b 102", "trouble cannot watch pods in all namespaces: too old resource version: 1 (100)",
			"trouble <nil>", "replace shop/a shop/b shop/c at 103")
		stop()
	}
}

// TestCutConnection ends the connection in the middle of an event, which is then
// read again, and nothing is listed again.
func TestCutConnection(t *testing.T) {
	for _, jsonOnly := range []bool{false, true} {
		server := newAPIServer(t)
		server.jsonOnly = jsonOnly
		server.set(testPod("a"))
		sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
		sink.want("replace shop/a at 101")
		server.set(testPod("b"))
		sink.want("replace shop/a at 101", "apply shop/b 102")
		server.do(func() { server.cut = 103 })
		server.set(testPod("c"))
		server.set(testPod("d"))
		sink.want("replace shop/a at 101", "apply shop/b 102", "apply shop/c 103", "apply shop/d 104")
		stop()
	}
}

func TestUnreachableWhileRunning(t *testing.T) {
	server := newAPIServer(t)
	server.set(testPod("a"))
	sink, stop := run(t, newWatcher(t, Options{Config: server.config()}))
	sink.want("replace shop/a at 101")
	server.Listener.Close()
	server.CloseClientConnections()
	calls := sink.wait(3)
	for _, c := range calls[1:3] {
		if !strings.Contains(c, "trouble cannot reach the cluster at 127.0.0.1:") || !strings.Contains(c, "connection refused") {
			t.Errorf("got %q", c)
		}
		if strings.Contains(c, "/api/v1") {
			t.Errorf("the trouble holds more of the address than the host: %q", c)
		}
	}
	stop() // must not wait for a back-off
}

// TestStopWhileUnreachable has the reflector wait for its longest.
func TestStopWhileUnreachable(t *testing.T) {
	w, err := NewWatcher(Options{Config: unreachable(t), backoff: &wait.Backoff{Duration: time.Hour, Factor: 1, Steps: 1}})
	if err != nil {
		t.Fatal(err)
	}
	sink, stop := run(t, w)
	calls := sink.wait(1)
	stop()
	if !strings.HasPrefix(calls[0], "trouble cannot reach the cluster") {
		t.Errorf("got %q", calls)
	}
}

// unreachable is the configuration of a server that has just gone.
func unreachable(t testing.TB) *rest.Config {
	server := newAPIServer(t)
	config := server.config()
	server.Close()
	return config
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		match   func(*http.Request) bool
		status  *metav1.Status
		problem Problem
		want    string
	}{
		{name: "fine"},
		{"unauthorized", all, &metav1.Status{Status: "Failure", Code: 401, Reason: metav1.StatusReasonUnauthorized, Message: "Unauthorized"},
			Unauthorized, "the cluster at HOST does not accept these credentials: Unauthorized"},
		{"list forbidden", all, forbidden("list"), Forbidden,
			`not allowed to list pods in namespace "shop": pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "shop"`},
		{"watch forbidden", watches, forbidden("watch"), Forbidden,
			`not allowed to watch pods in namespace "shop": pods is forbidden: User "dev" cannot watch resource "pods" in API group "" in the namespace "shop"`},
		{"no Kubernetes", all, &metav1.Status{Status: "Failure", Code: 404, Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource"},
			NotFound, `cannot list pods in namespace "shop": the server could not find the requested resource`},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newAPIServer(t)
			server.answer(c.match, c.status)
			err := newWatcher(t, Options{Config: server.config(), Namespaces: []string{"shop"}}).Check(t.Context())
			if c.status == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := strings.ReplaceAll(c.want, "HOST", server.Listener.Addr().String())
			var access *AccessError
			if !errors.As(err, &access) || access.Problem != c.problem || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

func TestCheckUnreachable(t *testing.T) {
	for name, config := range map[string]*rest.Config{
		"refused":      unreachable(t),
		"no such host": {Host: "https://cluster.invalid:6443", BearerToken: "hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newWatcher(t, Options{Config: config}).Check(t.Context())
			var access *AccessError
			if !errors.As(err, &access) || access.Problem != Unreachable {
				t.Fatalf("got %v", err)
			}
			if s := err.Error(); !strings.HasPrefix(s, "cannot reach the cluster at ") || strings.Contains(s, "/api") || strings.Contains(s, "hunter2") {
				t.Errorf("got %q", s)
			}
		})
	}
}

func TestCheckTimesOut(t *testing.T) {
	server := newAPIServer(t)
	hang := make(chan struct{})
	defer close(hang)
	server.before = func(http.ResponseWriter, *http.Request) bool { <-hang; return true }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := newWatcher(t, Options{Config: server.config()}).Check(ctx)
	var access *AccessError
	if !errors.As(err, &access) || access.Problem != Unreachable {
		t.Errorf("got %v", err)
	}
}
