package kube

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/sharding"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// apiServer speaks the pod list and watch protocol over a real connection as the
// real server does: negotiated media types, pages, bookmarks, streamed lists and
// the errors of each.
type apiServer struct {
	*httptest.Server
	codecs serializer.CodecFactory

	mu       sync.Mutex
	pods     map[string]*corev1.Pod
	events   []podEvent
	version  int
	oldest   int // watches from before it are expired
	changed  chan struct{}
	requests []*http.Request

	jsonOnly    bool
	noStreaming bool
	// shards answers a request for a shard as a server with the feature gate ShardedListAndWatch
	// does; nil for one without, which does not know the parameter.
	shards divider
	// before may answer a request in place of the server.
	before func(w http.ResponseWriter, r *http.Request) bool
	// log answers requests for a log: a status code and a body.
	log func(container string, previous bool) (int, string)
	// cut makes watches end in the middle of the frame of the event with this version.
	cut int
}

type podEvent struct {
	kind    watch.EventType
	pod     *corev1.Pod
	version int
	status  *metav1.Status
}

func newAPIServer(t testing.TB) *apiServer {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &apiServer{
		codecs: serializer.NewCodecFactory(scheme), pods: make(map[string]*corev1.Pod),
		version: 100, changed: make(chan struct{}),
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: s.URL, BearerToken: "hunter2", QPS: -1}
}

// set adds or changes a pod.
func (s *apiServer) set(p *corev1.Pod) *corev1.Pod {
	kind := watch.Added
	s.do(func() {
		key := p.Namespace + "/" + p.Name
		if _, ok := s.pods[key]; ok {
			kind = watch.Modified
		}
		p = p.DeepCopy()
		s.version++
		p.ResourceVersion = strconv.Itoa(s.version)
		s.pods[key] = p
		s.events = append(s.events, podEvent{kind: kind, pod: p, version: s.version})
	})
	return p
}

func (s *apiServer) remove(namespace, name string) {
	s.do(func() {
		p := s.pods[namespace+"/"+name].DeepCopy()
		delete(s.pods, namespace+"/"+name)
		s.version++
		p.ResourceVersion = strconv.Itoa(s.version)
		s.events = append(s.events, podEvent{kind: watch.Deleted, pod: p, version: s.version})
	})
}

// leave sends what the server sends when a pod's labels cease to fit a selector.
func (s *apiServer) leave(namespace, name string) {
	s.do(func() {
		p := s.pods[namespace+"/"+name].DeepCopy()
		s.version++
		p.ResourceVersion = strconv.Itoa(s.version)
		s.events = append(s.events, podEvent{kind: watch.Deleted, pod: p, version: s.version})
	})
}

// bookmark lets watches progress without a change.
func (s *apiServer) bookmark() {
	s.do(func() {
		s.version++
		s.events = append(s.events, podEvent{kind: watch.Bookmark, version: s.version,
			pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.Itoa(s.version)}}})
	})
}

// fail sends an ERROR event to every watch.
func (s *apiServer) fail(st *metav1.Status) {
	s.do(func() {
		s.version++
		s.events = append(s.events, podEvent{kind: watch.Error, version: s.version, status: st})
	})
}

// do changes the server's state and wakes its watches.
func (s *apiServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// seen returns the queries of the requests that were asked so far.
func (s *apiServer) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *apiServer) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	before := s.before
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	namespace, rest, err := podPath(r.URL.Path)
	q := r.URL.Query()
	switch {
	case err != nil:
		s.status(w, r, &metav1.Status{Status: "Failure", Code: 404, Reason: metav1.StatusReasonNotFound, Message: err.Error()})
	case rest != "":
		s.get(w, r, namespace, rest)
	case q.Get("watch") == "true" || q.Get("watch") == "1":
		s.watch(w, r, namespace)
	default:
		s.list(w, r, namespace)
	}
}

func podPath(path string) (namespace, rest string, err error) {
	p := strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")
	if p[0] == "namespaces" && len(p) > 2 {
		namespace, p = p[1], p[2:]
	}
	if p[0] != "pods" {
		return "", "", fmt.Errorf("the server could not find the requested resource")
	}
	return namespace, strings.Join(p[1:], "/"), nil
}

func (s *apiServer) get(w http.ResponseWriter, r *http.Request, namespace, name string) {
	if pod, ok := strings.CutSuffix(name, "/log"); ok {
		s.getLog(w, r, pod)
		return
	}
	s.mu.Lock()
	p := s.pods[namespace+"/"+name]
	s.mu.Unlock()
	if p == nil {
		s.status(w, r, &metav1.Status{Status: "Failure", Code: 404, Reason: metav1.StatusReasonNotFound, Message: fmt.Sprintf("pods %q not found", name)})
		return
	}
	s.write(w, r, http.StatusOK, p)
}

func (s *apiServer) getLog(w http.ResponseWriter, r *http.Request, _ string) {
	q := r.URL.Query()
	code, body := s.log(q.Get("container"), q.Get("previous") == "true")
	if code != http.StatusOK {
		reason := map[int]metav1.StatusReason{400: metav1.StatusReasonBadRequest, 403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound}[code]
		s.status(w, r, &metav1.Status{Status: "Failure", Code: int32(code), Reason: reason, Message: body})
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, body)
}

// info negotiates the media type.
func (s *apiServer) info(r *http.Request) runtime.SerializerInfo {
	s.mu.Lock()
	jsonOnly := s.jsonOnly
	s.mu.Unlock()
	media := "application/json"
	if !jsonOnly && strings.Contains(r.Header.Get("Accept"), mediaProtobuf) {
		media = mediaProtobuf
	}
	info, ok := runtime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), media)
	if !ok {
		panic("no serializer")
	}
	return info
}

// encode writes a copy: the encoder sets the kind of what it is given, and several watches show one object.
func (s *apiServer) encode(info runtime.SerializerInfo, o runtime.Object) []byte {
	var b bytes.Buffer
	if err := s.codecs.EncoderForVersion(info.Serializer, schema.GroupVersions{{Version: "v1"}}).Encode(o.DeepCopyObject(), &b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (s *apiServer) write(w http.ResponseWriter, r *http.Request, code int, o runtime.Object) {
	info := s.info(r)
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(s.encode(info, o))
}

func (s *apiServer) status(w http.ResponseWriter, r *http.Request, st *metav1.Status) {
	s.write(w, r, int(st.Code), st)
}

// divider says what a server makes of the shard that it is asked for, and what it says of that.
type divider func(asked string) (is sharding.Selector, echo string)

func (d divider) of(r *http.Request) (is sharding.Selector, echo string) {
	if asked := r.URL.Query().Get("shardSelector"); d != nil && asked != "" {
		return d(asked)
	}
	return sharding.Everything(), ""
}

func (s *apiServer) divided(r *http.Request) (is sharding.Selector, echo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards.of(r)
}

// divides is a server with the feature gate.
func divides(asked string) (is sharding.Selector, echo string) {
	quoted := strings.Split(asked, "'")
	if len(quoted) != 5 || quoted[0] != "shardRange(object.metadata.namespace, " {
		panic("not a shard: " + asked)
	}
	is = sharding.NewSelector(sharding.ShardRangeRequirement{Key: "object.metadata.namespace", Start: quoted[1], End: quoted[3]})
	return is, is.String()
}

// matching returns a filter for the selectors of a request.
func (s *apiServer) matching(r *http.Request, namespace string) func(*corev1.Pod) bool {
	q := r.URL.Query()
	l, err := labels.Parse(q.Get("labelSelector"))
	if err != nil {
		panic(err)
	}
	f, err := fields.ParseSelector(q.Get("fieldSelector"))
	if err != nil {
		panic(err)
	}
	divided, _ := s.divided(r)
	return func(p *corev1.Pod) bool {
		if ok, err := divided.Matches(p); err != nil || !ok {
			return false
		}
		return (namespace == "" || p.Namespace == namespace) && l.Matches(labels.Set(p.Labels)) &&
			f.Matches(fields.Set{"metadata.namespace": p.Namespace, "metadata.name": p.Name})
	}
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	match := s.matching(r, namespace)
	_, echo := s.divided(r)
	s.mu.Lock()
	list := &corev1.PodList{}
	if echo != "" {
		list.ShardInfo = &metav1.ShardInfo{Selector: echo}
	}
	list.ResourceVersion = strconv.Itoa(s.version)
	keys := slices.Sorted(maps.Keys(s.pods))
	limit, _ := strconv.Atoi(q.Get("limit"))
	for _, key := range keys {
		if !match(s.pods[key]) || key <= q.Get("continue") {
			continue
		}
		if limit > 0 && len(list.Items) == limit {
			last := &list.Items[limit-1]
			list.Continue = last.Namespace + "/" + last.Name
			break
		}
		list.Items = append(list.Items, *s.pods[key])
	}
	s.mu.Unlock()
	s.write(w, r, http.StatusOK, list)
}

// invalid is how a server without the WatchList feature answers a streamed list.
func invalid() *metav1.Status {
	return &metav1.Status{Status: "Failure", Code: 422, Reason: metav1.StatusReasonInvalid,
		Message: `ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled]`}
}

func expired() *metav1.Status {
	return &metav1.Status{Status: "Failure", Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old resource version: 1 (100)"}
}

func forbidden(verb string) *metav1.Status {
	return &metav1.Status{Status: "Failure", Code: 403, Reason: metav1.StatusReasonForbidden,
		Message: `pods is forbidden: User "dev" cannot ` + verb + ` resource "pods" in API group "" in the namespace "shop"`}
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	initial := q.Get("sendInitialEvents") == "true"
	from, _ := strconv.Atoi(q.Get("resourceVersion"))
	s.mu.Lock()
	noStreaming, oldest := s.noStreaming, s.oldest
	s.mu.Unlock()
	switch {
	case initial && noStreaming:
		s.status(w, r, invalid())
		return
	case !initial && from < oldest:
		s.status(w, r, expired())
		return
	}
	info := s.info(r)
	contentType := info.MediaType
	if contentType == mediaProtobuf {
		contentType += ";stream=watch"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	if s.stream(w, r, info, namespace, initial, from) {
		panic(http.ErrAbortHandler) // closes the connection in the middle of it all
	}
}

// stream sends events until the client is gone; true if the connection is to be cut.
func (s *apiServer) stream(w io.Writer, r *http.Request, info runtime.SerializerInfo, namespace string, initial bool, from int) bool {
	match := s.matching(r, namespace)
	if initial {
		s.mu.Lock()
		pods, version := slices.Collect(maps.Values(s.pods)), s.version
		s.mu.Unlock()
		for _, p := range pods {
			if match(p) {
				_, _ = w.Write(s.frame(info, watch.Added, p))
			}
		}
		end := &corev1.Pod{}
		end.ResourceVersion = strconv.Itoa(version)
		end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		_, _ = w.Write(s.frame(info, watch.Bookmark, end))
		from = version
	}
	for {
		s.mu.Lock()
		events, changed, cut := s.events, s.changed, s.cut
		s.mu.Unlock()
		for _, e := range events {
			if e.version <= from {
				continue
			}
			from = e.version
			switch {
			case e.kind == watch.Error:
				_, _ = w.Write(s.frame(info, watch.Error, e.status))
				w.(http.Flusher).Flush()
				return false
			case e.kind == watch.Bookmark || match(e.pod):
				f := s.frame(info, e.kind, e.pod)
				if e.version == cut {
					s.do(func() { s.cut = 0 })
					_, _ = w.Write(f[:len(f)/2])
					w.(http.Flusher).Flush()
					return true
				}
				_, _ = w.Write(f)
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return false
		}
	}
}

// frame encodes one event as the real server does (apiserver
// pkg/endpoints/handlers/watch.go): an enveloped object in a bare WatchEvent.
func (s *apiServer) frame(info runtime.SerializerInfo, kind watch.EventType, o runtime.Object) []byte {
	e := &metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: s.encode(info, o)}}
	var b bytes.Buffer
	out := info.StreamSerializer.Framer.NewFrameWriter(&b)
	var event bytes.Buffer
	if err := info.StreamSerializer.Encode(e, &event); err != nil {
		panic(err)
	}
	if _, err := out.Write(event.Bytes()); err != nil {
		panic(err)
	}
	return b.Bytes()
}
