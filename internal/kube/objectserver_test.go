package kube

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// objectServer gives objects of any kind over a real connection: one by one, in pages
// and as a watch, with selectors and the errors of a real server.
type objectServer struct {
	*httptest.Server

	mu       sync.Mutex
	objects  map[string]runtime.Object // by path
	changes  []change
	version  int
	oldest   int // watches from before it are expired
	changed  chan struct{}
	requests []string
	shards   divider // nil for a server that does not divide
	// before may answer a request in place of the server.
	before func(w http.ResponseWriter, r *http.Request) bool
}

type change struct {
	kind    watch.EventType
	path    string
	object  runtime.Object
	version int
}

func newObjectServer(t testing.TB, objects ...runtime.Object) *objectServer {
	s := &objectServer{objects: make(map[string]runtime.Object), version: 100, changed: make(chan struct{})}
	for _, o := range objects {
		s.set(o)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *objectServer) config() *rest.Config {
	return &rest.Config{Host: s.URL, BearerToken: "hunter2"}
}

// pathOf returns the paths of an object and of its collection.
func pathOf(o runtime.Object) (object, collection string) {
	prefix, resource := "/api/v1/", ""
	switch o.(type) {
	case *corev1.Pod:
		resource = "pods"
	case *corev1.Event:
		resource = "events"
	case *corev1.Node:
		resource = "nodes"
	case *corev1.Namespace:
		resource = "namespaces"
	case *corev1.PersistentVolumeClaim:
		resource = "persistentvolumeclaims"
	case *appsv1.ReplicaSet:
		prefix, resource = "/apis/apps/v1/", "replicasets"
	case *appsv1.Deployment:
		prefix, resource = "/apis/apps/v1/", "deployments"
	case *appsv1.StatefulSet:
		prefix, resource = "/apis/apps/v1/", "statefulsets"
	case *appsv1.DaemonSet:
		prefix, resource = "/apis/apps/v1/", "daemonsets"
	case *appsv1.ControllerRevision:
		prefix, resource = "/apis/apps/v1/", "controllerrevisions"
	case *batchv1.Job:
		prefix, resource = "/apis/batch/v1/", "jobs"
	case *batchv1.CronJob:
		prefix, resource = "/apis/batch/v1/", "cronjobs"
	}
	m, err := meta.Accessor(o)
	if err != nil {
		panic(err)
	}
	if m.GetNamespace() != "" {
		prefix += "namespaces/" + m.GetNamespace() + "/"
	}
	return prefix + resource + "/" + m.GetName(), prefix + resource
}

// set adds or changes an object.
func (s *objectServer) set(o runtime.Object) {
	s.do(func() {
		o = o.DeepCopyObject()
		s.version++
		m, _ := meta.Accessor(o)
		m.SetResourceVersion(strconv.Itoa(s.version))
		path, _ := pathOf(o)
		kind := watch.Added
		if s.objects[path] != nil {
			kind = watch.Modified
		}
		s.objects[path] = o
		s.changes = append(s.changes, change{kind, path, o, s.version})
	})
}

func (s *objectServer) remove(o runtime.Object) {
	s.do(func() {
		s.version++
		path, _ := pathOf(o)
		o = s.objects[path].DeepCopyObject()
		m, _ := meta.Accessor(o)
		m.SetResourceVersion(strconv.Itoa(s.version))
		delete(s.objects, path)
		s.changes = append(s.changes, change{watch.Deleted, path, o, s.version})
	})
}

// do changes the server's state and wakes its watches.
func (s *objectServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// answer lets f answer requests first; nil lets the server do it.
func (s *objectServer) answer(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.do(func() { s.before = f })
}

// asked returns the requests so far, as verb and path with the selectors.
func (s *objectServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *objectServer) handle(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	asked := r.URL.Path
	for _, p := range []string{"watch", "fieldSelector", "labelSelector"} {
		if v := q.Get(p); v != "" {
			asked += " " + p + "=" + v
		}
	}
	s.mu.Lock()
	s.requests = append(s.requests, asked)
	before, object := s.before, s.objects[r.URL.Path]
	s.mu.Unlock()
	switch {
	case before != nil && before(w, r):
	case object != nil:
		s.write(w, r, http.StatusOK, object)
	case strings.HasSuffix(r.URL.Path, "/configmaps"):
		configMapList(w, r)
	case q.Get("watch") != "":
		s.watch(w, r)
	case listOf(r.URL.Path) != nil:
		s.list(w, r)
	default:
		part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		resource, name := part[len(part)-2], part[len(part)-1]
		gone := apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name).Status()
		s.status(w, r, &gone)
	}
}

// configMapList gives two pages of the metadata of ConfigMaps, and nothing else of them.
func configMapList(w http.ResponseWriter, r *http.Request) {
	next, name := "two", "app"
	if r.URL.Query().Get("continue") == next {
		next, name = "", "other"
	}
	w.Header().Set("Content-Type", "application/json")
	if !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	_, _ = fmt.Fprintf(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"continue":%q},"items":[{"metadata":{"namespace":"shop","name":%q,"annotations":{"a":"hunter2"}}}]}`, next, name)
}

// listOf returns an empty list for the path of a collection, nil for any other.
func listOf(path string) runtime.Object {
	part := strings.Split(strings.Trim(path, "/"), "/")
	if part[0] == "apis" {
		part = part[1:]
	}
	if len(part) > 3 && part[2] == "namespaces" {
		part = append(part[:2:2], part[4:]...)
	}
	if len(part) != 3 {
		return nil
	}
	switch part[2] {
	case "pods":
		return &corev1.PodList{}
	case "events":
		return &corev1.EventList{}
	case "nodes":
		return &corev1.NodeList{}
	case "namespaces":
		return &corev1.NamespaceList{}
	case "persistentvolumeclaims":
		return &corev1.PersistentVolumeClaimList{}
	case "replicasets":
		return &appsv1.ReplicaSetList{}
	case "deployments":
		return &appsv1.DeploymentList{}
	case "statefulsets":
		return &appsv1.StatefulSetList{}
	case "daemonsets":
		return &appsv1.DaemonSetList{}
	case "controllerrevisions":
		return &appsv1.ControllerRevisionList{}
	case "jobs":
		return &batchv1.JobList{}
	case "cronjobs":
		return &batchv1.CronJobList{}
	}
	return nil
}

// selects returns whether an object is in the collection that r asks for.
func (s *objectServer) selects(r *http.Request) func(runtime.Object) bool {
	q := r.URL.Query()
	l, err := labels.Parse(q.Get("labelSelector"))
	if err != nil {
		panic(err)
	}
	f, err := fields.ParseSelector(q.Get("fieldSelector"))
	if err != nil {
		panic(err)
	}
	divided, _ := s.shards.of(r)
	return func(o runtime.Object) bool {
		if ok, err := divided.Matches(o); err != nil || !ok {
			return false
		}
		m, _ := meta.Accessor(o)
		_, collection := pathOf(o)
		if r.URL.Path != collection && r.URL.Path != strings.Replace(collection, "namespaces/"+m.GetNamespace()+"/", "", 1) {
			return false
		}
		set := fields.Set{"metadata.namespace": m.GetNamespace(), "metadata.name": m.GetName()}
		switch o := o.(type) {
		case *corev1.Event:
			about := o.InvolvedObject
			set["involvedObject.kind"], set["involvedObject.name"], set["involvedObject.uid"] = about.Kind, about.Name, string(about.UID)
		case *corev1.Pod:
			set["spec.nodeName"], set["status.phase"] = o.Spec.NodeName, string(o.Status.Phase)
		}
		return l.Matches(labels.Set(m.GetLabels())) && f.Matches(set)
	}
}

func (s *objectServer) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	match := s.selects(r)
	limit, _ := strconv.Atoi(q.Get("limit"))
	list := listOf(r.URL.Path)
	m, _ := meta.ListAccessor(list)
	if _, echo := s.shards.of(r); echo != "" {
		m.(metav1.ShardedListInterface).SetShardInfo(&metav1.ShardInfo{Selector: echo})
	}
	var items []runtime.Object
	s.mu.Lock()
	m.SetResourceVersion(strconv.Itoa(s.version))
	last := ""
	for _, path := range slices.Sorted(maps.Keys(s.objects)) {
		if path <= q.Get("continue") || !match(s.objects[path]) {
			continue
		}
		if limit > 0 && len(items) == limit {
			m.SetContinue(last)
			if q.Get("fieldSelector")+q.Get("labelSelector") == "" { // the server cannot tell otherwise
				left := int64(len(s.objects) - len(items))
				m.SetRemainingItemCount(&left)
			}
			break
		}
		items, last = append(items, s.objects[path]), path
	}
	s.mu.Unlock()
	if err := meta.SetList(list, items); err != nil {
		panic(err)
	}
	s.write(w, r, http.StatusOK, list)
}

func (s *objectServer) info(r *http.Request) runtime.SerializerInfo {
	media := "application/json"
	if strings.Contains(r.Header.Get("Accept"), mediaProtobuf) {
		media = mediaProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(objectCodecs().SupportedMediaTypes(), media)
	return info
}

func (s *objectServer) encode(info runtime.SerializerInfo, o runtime.Object) []byte {
	var b bytes.Buffer
	versions := schema.GroupVersions{{Version: "v1"}, {Group: "apps", Version: "v1"}, {Group: "batch", Version: "v1"}}
	if err := objectCodecs().EncoderForVersion(info.Serializer, versions).Encode(o.DeepCopyObject(), &b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (s *objectServer) write(w http.ResponseWriter, r *http.Request, code int, o runtime.Object) {
	info := s.info(r)
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(s.encode(info, o))
}

func (s *objectServer) status(w http.ResponseWriter, r *http.Request, st *metav1.Status) {
	s.write(w, r, int(st.Code), st)
}

// refuse makes the server say no to everything below these paths.
func (s *objectServer) refuse(paths ...string) {
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		for _, p := range paths {
			if strings.HasPrefix(r.URL.Path, p) {
				s.status(w, r, forbidden("get"))
				return true
			}
		}
		return false
	})
}

func (s *objectServer) watch(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	s.mu.Lock()
	oldest := s.oldest
	s.mu.Unlock()
	if from < oldest {
		s.status(w, r, expired())
		return
	}
	info, match := s.info(r), s.selects(r)
	w.Header().Set("Content-Type", info.MediaType+map[bool]string{true: ";stream=watch"}[info.MediaType == mediaProtobuf])
	w.WriteHeader(http.StatusOK)
	for {
		s.mu.Lock()
		changes, changed, oldest := s.changes, s.changed, s.oldest
		s.mu.Unlock()
		if from < oldest {
			_, _ = w.Write(s.frame(info, watch.Error, expired()))
			return
		}
		for _, c := range changes {
			if c.version > from {
				from = c.version
				if match(c.object) {
					_, _ = w.Write(s.frame(info, c.kind, c.object))
				}
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// frame encodes one event as the real server does.
func (s *objectServer) frame(info runtime.SerializerInfo, kind watch.EventType, o runtime.Object) []byte {
	e := &metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: s.encode(info, o)}}
	var b, event bytes.Buffer
	if err := info.StreamSerializer.Encode(e, &event); err != nil {
		panic(err)
	}
	if _, err := info.StreamSerializer.Framer.NewFrameWriter(&b).Write(event.Bytes()); err != nil {
		panic(err)
	}
	return b.Bytes()
}
