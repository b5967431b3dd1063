package storm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
)

const protobuf = "application/vnd.kubernetes.protobuf"

// apiServer speaks as much of the API as whyrestart asks for: pods and events by list and
// watch in protobuf, pods, nodes, ReplicaSets and logs one by one. A watch is sent every change
// however far behind it is, so that what is missing in the end was lost by its reader.
type apiServer struct {
	encoding sync.Mutex
	*httptest.Server
	pods   feed
	events feed
	// log writes the log of a container.
	log func(w http.ResponseWriter, r *http.Request)

	info runtime.SerializerInfo
	enc  runtime.Encoder
}

// feed is what is listed and watched of one resource.
type feed struct {
	mu      sync.Mutex
	changed sync.Cond
	version int
	objects map[string]object
	names   []string
	// log are the frames of watches, from the version since on.
	log    [][]byte
	since  int
	closed bool
}

// object is a pod or an event.
type object interface {
	runtime.Object
	metav1.Object
	Marshal() ([]byte, error)
}

func newAPIServer(t testing.TB) *apiServer {
	t.Helper()
	v1 := schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(v1, &corev1.Pod{}, &corev1.PodList{}, &corev1.Event{}, &corev1.EventList{})
	metav1.AddToGroupVersion(scheme, v1)
	codecs := serializer.NewCodecFactory(scheme)
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), protobuf)
	if !ok {
		t.Fatal("no serializer")
	}
	s := &apiServer{info: info, enc: codecs.EncoderForVersion(info.Serializer, v1)}
	for _, f := range []*feed{&s.pods, &s.events} {
		f.objects = make(map[string]object)
		f.changed.L = &f.mu
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(func() {
		for _, f := range []*feed{&s.pods, &s.events} {
			f.mu.Lock()
			f.closed = true
			f.changed.Broadcast()
			f.mu.Unlock()
		}
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// set adds or changes an object, which must not be written to afterwards.
func (s *apiServer) set(f *feed, o object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	o.SetResourceVersion(strconv.Itoa(f.version))
	kind, name := watch.Modified, o.GetNamespace()+"/"+o.GetName()
	if _, ok := f.objects[name]; !ok {
		kind = watch.Added
		f.names = append(f.names, name)
	}
	f.objects[name] = o
	f.log = append(f.log, s.frame(kind, o))
	f.changed.Broadcast()
}

// encode takes turns: the encoder sets the kind of the object while it writes it, and requests show the
// same objects.
func (s *apiServer) encode(o runtime.Object) []byte {
	s.encoding.Lock()
	defer s.encoding.Unlock()
	var b bytes.Buffer
	if err := s.enc.Encode(o, &b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// frame encodes one event of a watch as the real server does (apiserver
// pkg/endpoints/handlers/watch.go): an enveloped object in a bare WatchEvent.
func (s *apiServer) frame(kind watch.EventType, o runtime.Object) []byte {
	e := &metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: s.encode(o)}}
	var b, event bytes.Buffer
	if err := s.info.StreamSerializer.Encode(e, &event); err != nil {
		panic(err)
	}
	if _, err := s.info.StreamSerializer.Framer.NewFrameWriter(&b).Write(event.Bytes()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (s *apiServer) write(w http.ResponseWriter, code int, o runtime.Object) {
	w.Header().Set("Content-Type", protobuf)
	w.WriteHeader(code)
	_, _ = w.Write(s.encode(o))
}

func plain(w http.ResponseWriter, code int, o any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o)
}

func (s *apiServer) handle(w http.ResponseWriter, r *http.Request) {
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api/v1/pods":
		s.collection(w, r, &s.pods, func(rv string, next string, all []object) runtime.Object {
			l := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: rv, Continue: next}}
			for _, o := range all {
				l.Items = append(l.Items, *o.(*corev1.Pod))
			}
			return l
		})
	case r.URL.Path == "/api/v1/events":
		s.collection(w, r, &s.events, func(rv string, next string, all []object) runtime.Object {
			l := &corev1.EventList{ListMeta: metav1.ListMeta{ResourceVersion: rv, Continue: next}}
			for _, o := range all {
				l.Items = append(l.Items, *o.(*corev1.Event))
			}
			return l
		})
	case len(p) == 7 && p[4] == "pods" && p[6] == "log":
		s.log(w, r)
	case len(p) == 6 && p[4] == "pods":
		s.pods.mu.Lock()
		o, ok := s.pods.objects[p[3]+"/"+p[5]]
		s.pods.mu.Unlock()
		if !ok {
			notFound(w, p[5])
			return
		}
		s.write(w, http.StatusOK, o)
	case len(p) == 4 && p[2] == "nodes":
		plain(w, http.StatusOK, node(p[3]))
	case r.URL.Path == "/api/v1/nodes":
		l := &corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}}
		for n := range nodes {
			l.Items = append(l.Items, *node(fmt.Sprintf("node-%d", n)))
		}
		plain(w, http.StatusOK, l)
	case len(p) == 7 && p[5] == "replicasets":
		name := p[6]
		deployment := name[:strings.LastIndexByte(name, '-')]
		plain(w, http.StatusOK, &appsv1.ReplicaSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p[4], Name: name, UID: uidOf("rs", name),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment, UID: uidOf("deploy", deployment), Controller: new(true)}},
			},
		})
	case len(p) == 7 && p[5] == "deployments":
		plain(w, http.StatusOK, &appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: metav1.ObjectMeta{Namespace: p[4], Name: p[6], UID: uidOf("deploy", p[6])},
		})
	default:
		notFound(w, r.URL.Path)
	}
}

func notFound(w http.ResponseWriter, what string) {
	plain(w, http.StatusNotFound, &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   "Failure", Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: fmt.Sprintf("%q not found", what),
	})
}

// collection lists or watches.
func (s *apiServer) collection(w http.ResponseWriter, r *http.Request, f *feed, list func(version, next string, all []object) runtime.Object) {
	q := r.URL.Query()
	if q.Get("watch") == "true" {
		s.watch(w, r, f)
		return
	}
	limit, _ := strconv.Atoi(q.Get("limit"))
	from, _ := strconv.Atoi(q.Get("continue"))
	f.mu.Lock()
	to, next := len(f.names), ""
	if limit > 0 && from+limit < to {
		to = from + limit
		next = strconv.Itoa(to)
	}
	var all []object
	for _, name := range f.names[from:to] {
		all = append(all, f.objects[name])
	}
	version := strconv.Itoa(f.version)
	f.mu.Unlock()
	s.write(w, http.StatusOK, list(version, next, all))
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, f *feed) {
	q := r.URL.Query()
	out, ok := w.(http.Flusher)
	if !ok {
		panic("no flusher")
	}
	from, _ := strconv.Atoi(q.Get("resourceVersion"))
	initial := q.Get("sendInitialEvents") == "true"
	f.mu.Lock()
	expired := !initial && from < f.since
	f.mu.Unlock()
	if expired {
		s.write(w, http.StatusGone, &metav1.Status{Status: "Failure", Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "too old resource version"})
		return
	}
	w.Header().Set("Content-Type", protobuf+";stream=watch")
	w.WriteHeader(http.StatusOK)
	out.Flush()
	if initial {
		f.mu.Lock()
		all := make([]object, 0, len(f.names))
		for _, name := range f.names {
			all = append(all, f.objects[name])
		}
		from = f.version
		f.mu.Unlock()
		for _, o := range all {
			_, _ = w.Write(s.frame(watch.Added, o))
		}
		end := &corev1.Pod{}
		end.ResourceVersion = strconv.Itoa(from)
		end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		_, _ = w.Write(s.frame(watch.Bookmark, end))
		out.Flush()
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
		f.mu.Lock()
		f.changed.Broadcast()
		f.mu.Unlock()
	}()
	for {
		f.mu.Lock()
		for !f.closed && f.version == from && r.Context().Err() == nil {
			f.changed.Wait()
		}
		// What is sent is not kept: only one watch of each resource goes on for long.
		frames := f.log[from-f.since:]
		from = f.version
		done := f.closed || r.Context().Err() != nil
		if !done {
			f.log, f.since = nil, from
		}
		f.mu.Unlock()
		if done {
			return
		}
		for _, b := range frames {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
		out.Flush()
	}
}
