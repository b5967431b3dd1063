package kube

import (
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
	"k8s.io/apimachinery/pkg/sharding"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/whyrestart/whyrestart/internal/shard"
)

// half is the shard of these tests: of mine, and not of theirs.
var half = shard.Shard{Index: 0, Of: 2}

const mine, theirs, alsoTheirs = "shop", "cart", "default"

func podIn(namespace, name string) *corev1.Pod {
	p := testPod(name)
	p.Namespace = namespace
	return p
}

// filtered collects what Options.Sharded is told.
type filtered struct {
	mu   sync.Mutex
	said []bool
}

func (f *filtered) tell(byServer bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, byServer)
}

func (f *filtered) want(t *testing.T, want ...bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := cmp.Diff(want, f.said); d != "" {
		t.Errorf("told whether the server divides (-want +got):\n%s", d)
	}
}

// asked counts the requests that ask for a shard, and those that do not.
func (s *apiServer) asked() (shards, everything int) {
	for _, r := range s.seen() {
		if r.URL.Query().Get("shardSelector") != "" {
			shards++
		} else {
			everything++
		}
	}
	return shards, everything
}

func TestNamesOfTests(t *testing.T) {
	if !half.Contains(mine) || half.Contains(theirs) || half.Contains(alsoTheirs) {
		t.Fatal("the namespaces of these tests are not in the shards that they are meant to be in")
	}
}

// The sink gets the pods of the shard and no others, whether or not the server divides, and knows
// which it was.
func TestSharded(t *testing.T) {
	for _, media := range []string{"protobuf", "json"} {
		for _, sync := range []string{"stream", "list"} {
			for _, gate := range []bool{true, false} {
				t.Run(fmt.Sprintf("media=%s/sync=%s/gate=%t", media, sync, gate), func(t *testing.T) {
					server := newAPIServer(t)
					server.jsonOnly, server.noStreaming = media == "json", sync == "list"
					if gate {
						server.shards = divides
					}
					server.set(podIn(mine, "a"))              // 101
					server.set(restarted(podIn(theirs, "b"))) // 102
					var said filtered
					w := newWatcher(t, Options{Config: server.config(), Shard: half, Sharded: said.tell})
					if err := w.Check(t.Context()); err != nil {
						t.Fatal(err)
					}
					sink, stop := run(t, w)
					sink.want("replace shop/a at 102")
					server.set(restarted(podIn(alsoTheirs, "c"))) // 103
					server.set(restarted(podIn(mine, "d")))       // 104
					server.remove(theirs, "b")                    // 105
					server.remove(mine, "a")                      // 106
					server.bookmark()                             // 107
					calls := sink.until(func(calls []string) bool { return slices.Contains(calls, "progress 107") })
					calls = slices.DeleteFunc(calls, func(c string) bool { return c == "progress 103" }) // of theirs
					want := []string{"replace shop/a at 102", "apply shop/d 104", "delete shop/a 106", "progress 107"}
					if d := cmp.Diff(want, calls); d != "" {
						t.Errorf("calls (-want +got):\n%s", d)
					}
					stop()
					said.want(t, gate)
					if _, everything := server.asked(); everything > 0 {
						t.Errorf("%d requests did not ask for the shard", everything)
					}
				})
			}
		}
	}
}

// What other shards' pods do tells how far a watch has come, once a second, and not while
// the state from which it begins is still to come.
func TestSieve(t *testing.T) {
	at := func(namespace, version string) watch.Event {
		p := &pod{}
		p.slim.View.Namespace, p.slim.ResourceVersion = namespace, version
		return watch.Event{Type: watch.Modified, Object: p}
	}
	end := &pod{}
	end.slim.ResourceVersion, end.slim.InitialEventsEnd = "50", true
	failed := watch.Event{Type: watch.Error, Object: &metav1.Status{}}
	s := &sieve{sharded: newSharded(half, nil), initial: true}
	now := time.Unix(1700000000, 0)
	for i, step := range []struct {
		after time.Duration
		event watch.Event
		want  string // type and version, empty for nothing
	}{
		{0, at(mine, "7"), "MODIFIED 7"},
		{0, at(theirs, "90"), ""},
		{time.Hour, at(theirs, "91"), ""},
		{0, watch.Event{Type: watch.Bookmark, Object: end}, "BOOKMARK 50"},
		{0, at(theirs, "92"), "BOOKMARK 92"},
		{0, at(theirs, "93"), ""},
		{0, at(mine, "94"), "MODIFIED 94"},
		{999 * time.Millisecond, at(theirs, "95"), ""},
		{time.Millisecond, at(theirs, "96"), "BOOKMARK 96"},
		{0, failed, "ERROR"},
	} {
		now = now.Add(step.after)
		e, ok := s.pass(step.event, now)
		got := ""
		if ok {
			got = string(e.Type)
			if p, isPod := e.Object.(*pod); isPod {
				got += " " + p.GetObjectMeta().GetResourceVersion()
			}
		}
		if got != step.want {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
}

// Whatever a server makes of the parameter, the pods of the shard are all there.
func TestServersThatDivideOtherwise(t *testing.T) {
	refuses := func(code int, reason metav1.StatusReason) func(*apiServer) {
		return func(s *apiServer) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("shardSelector") == "" {
					return false
				}
				s.status(w, r, &metav1.Status{Status: "Failure", Code: int32(code), Reason: reason, Message: "invalid shard selector: it is spelled otherwise now"})
				return true
			}
		}
	}
	for name, set := range map[string]func(*apiServer){
		"another range": func(s *apiServer) {
			s.shards = func(string) (sharding.Selector, string) {
				is, _ := divides(shard.Shard{Index: 1, Of: 2}.Selector())
				return is, is.String()
			}
		},
		"another hash": func(s *apiServer) { // that says it did what it was asked to
			s.shards = func(asked string) (sharding.Selector, string) {
				is, _ := divides(shard.Shard{Index: 1, Of: 2}.Selector())
				return is, asked
			}
		},
		"refuses with 400": refuses(400, metav1.StatusReasonBadRequest),
		"refuses with 422": refuses(422, metav1.StatusReasonInvalid),
		"refuses with 500": refuses(500, metav1.StatusReasonInternalError),
	} {
		for _, sync := range []string{"stream", "list"} {
			for _, checked := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/sync=%s/checked=%t", name, sync, checked), func(t *testing.T) {
					server := newAPIServer(t)
					server.noStreaming = sync == "list"
					set(server)
					server.set(podIn(mine, "a"))
					server.set(podIn(theirs, "b"))
					var said filtered
					w := newWatcher(t, Options{Config: server.config(), Shard: half, Sharded: said.tell})
					if checked {
						if err := w.Check(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					sink, stop := run(t, w)
					replaced := func(calls []string) bool {
						return slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "replace") })
					}
					for _, c := range sink.until(replaced) {
						if strings.HasPrefix(c, "replace") && c != "replace shop/a at 102" {
							t.Error(c)
						}
					}
					server.set(podIn(mine, "c")) // 103
					sink.until(func(calls []string) bool { return slices.Contains(calls, "apply shop/c 103") })
					stop()
					said.want(t, false)
				})
			}
		}
	}
}

// A server that learns to divide, or forgets it, while it is watched costs and saves bytes alone.
func TestServerIsUpgraded(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprintf("gate=%t", before), func(t *testing.T) {
			server := newAPIServer(t)
			gate := func(on bool) {
				server.do(func() {
					server.shards = nil
					if on {
						server.shards = divides
					}
				})
			}
			gate(before)
			server.set(podIn(mine, "a"))   // 101
			server.set(podIn(theirs, "b")) // 102
			var said filtered
			sink, stop := run(t, newWatcher(t, Options{Config: server.config(), Shard: half, Sharded: said.tell}))
			sink.want("replace shop/a at 102")
			gate(!before)
			server.set(podIn(mine, "c"))                             // 103
			server.remove(mine, "a")                                 // 104
			server.do(func() { server.oldest = server.version + 2 }) // what follows is too old to go on from
			server.fail(expired())                                   // 105
			calls := sink.until(func(calls []string) bool {
				return slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "replace shop/c at") })
			})
			for _, c := range calls {
				if strings.Contains(c, theirs) {
					t.Error(c)
				}
			}
			if !slices.Contains(calls, "apply shop/c 103") || !slices.Contains(calls, "delete shop/a 104") {
				t.Errorf("changes are missing among %q", calls)
			}
			stop()
			said.want(t, before, !before)
		})
	}
}

// Two servers behind one address, of which one divides: pages of both are put together.
func TestShardedPagesOfTwoServers(t *testing.T) {
	server := newAPIServer(t)
	server.noStreaming = true
	n := 0
	server.shards = func(asked string) (sharding.Selector, string) {
		// One list asks twice: for its echo, and for each pod.
		if n++; n%2 == 0 {
			return sharding.Everything(), ""
		}
		return divides(asked)
	}
	var want []string
	for i := range 2*pageSize + 7 {
		server.set(podIn(mine, fmt.Sprintf("m%04d", i)))
		server.set(podIn(theirs, fmt.Sprintf("t%04d", i)))
		want = append(want, fmt.Sprintf("shop/m%04d", i))
	}
	sink, stop := run(t, newWatcher(t, Options{Config: server.config(), Shard: half}))
	sink.want(fmt.Sprintf("replace %d pods at %d", len(want), 100+2*len(want)))
	stop()
}

func TestShardOfNamedNamespaces(t *testing.T) {
	server := newAPIServer(t)
	server.set(podIn(mine, "a"))
	server.set(podIn(theirs, "b"))
	o := Options{Config: server.config(), Namespaces: []string{theirs, mine}, Shard: half}
	w := newWatcher(t, o)
	if d := cmp.Diff([]string{mine}, w.Scopes()); d != "" {
		t.Errorf("scopes (-want +got):\n%s", d)
	}
	sink, stop := run(t, w)
	sink.want("shop: replace shop/a at 102")
	stop()
	if shards, _ := server.asked(); shards > 0 {
		t.Error("a shard of one namespace was asked for")
	}
	o.Namespaces = []string{theirs, alsoTheirs}
	if _, err := NewWatcher(o); err == nil || !strings.Contains(err.Error(), "shard 0/2") {
		t.Errorf("a shard without a namespace: %v", err)
	}
}

// Events come of the namespaces of the shard, and those about nodes to every shard.
func TestShardedEvents(t *testing.T) {
	for _, s := range []shard.Shard{half, {Index: 1, Of: 2}} {
		for _, gate := range []bool{true, false} {
			t.Run(fmt.Sprintf("shard=%s/gate=%t", s, gate), func(t *testing.T) {
				server := newObjectServer(t,
					testEvent(mine, "of-mine", "v1", "Pod", 1),
					testEvent(theirs, "of-theirs", "v1", "Pod", 1),
					testEvent(alsoTheirs, "of-default", "v1", "Pod", 1),
					testEvent(alsoTheirs, "of-node", "v1", "Node", 1))
				if gate {
					server.shards = divides
				}
				h, stop := listen(t, EventWatchOptions{Config: server.config(), Shard: s})
				want := map[bool][]string{
					true:  {"of-mine", "of-node", "of-mine-2", "of-node-2"},
					false: {"of-theirs", "of-default", "of-node", "of-theirs-2", "of-default-2", "of-node-2"},
				}[s == half]
				h.until(func(got []string) bool { return len(got) >= len(want)/2 })
				for _, e := range []*corev1.Event{
					testEvent(mine, "of-mine-2", "v1", "Pod", 1), testEvent(theirs, "of-theirs-2", "v1", "Pod", 1),
					testEvent(alsoTheirs, "of-default-2", "v1", "Pod", 1), testEvent(alsoTheirs, "of-node-2", "v1", "Node", 1),
				} {
					server.set(e)
				}
				got := h.until(func(got []string) bool { return len(got) >= len(want) })
				stop()
				slices.Sort(want)
				slices.Sort(got)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("events (-want +got):\n%s", d)
				}
			})
		}
	}
}

// until waits for names of events.
func (h *heard) until(done func(names []string) bool) []string {
	h.t.Helper()
	for {
		h.mu.Lock()
		var names []string
		for _, c := range h.calls {
			if f := strings.Fields(c); f[1] == "of" {
				names = append(names, f[3])
			}
		}
		h.mu.Unlock()
		if done(names) {
			return names
		}
		select {
		case <-h.more:
		case <-time.After(20 * time.Second):
			h.t.Fatalf("no more events after %q", names)
		}
	}
}
