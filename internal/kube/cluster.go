package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

const (
	// clusterQPS and clusterBurst bound the requests of a Cluster. A burst answers one
	// finding at once; a storm of them shares what the caches hold.
	clusterQPS, clusterBurst = 20, 40
	// clusterTimeout bounds one request, the wait for its turn included.
	clusterTimeout = 5 * time.Second
	// listTimeout bounds all pages of a list together.
	listTimeout = 20 * time.Second
	// objectTTL is how long an object or its absence is believed, and podUsageTTL the list of all pods.
	objectTTL, podUsageTTL = 15 * time.Second, 30 * time.Second
	// nodesTTL is how long the list of all nodes is: less than a pod waits before it counts as
	// unschedulable, so that the nodes are as they were when it could not be scheduled, or newer.
	nodesTTL = 5 * time.Second
	// hiccupTTL is how long an error is believed that may be over at once, such as no answer in time.
	hiccupTTL = 2 * time.Second
	// objectsKept bounds the cached objects.
	objectsKept = 512
	// maxPodsOnNodes bounds what PodsOnNodes reads: more than that would cost the API server
	// more than the answer is worth.
	maxPodsOnNodes = 20_000
)

// ClusterOptions says how a Cluster is read.
type ClusterOptions struct {
	// Config says how to reach the API server. It is not changed. Its limits of requests
	// are not used: a Cluster has its own.
	Config    *rest.Config
	UserAgent string

	// maxPods replaces maxPodsOnNodes, in tests.
	maxPods int
}

// Cluster reads the objects that evidence is taken from. It implements
// pipeline.ClusterReader.
//
// It asks at most 20 times a second, and at most once for what several callers want at
// the same time; an answer is kept for some seconds, and a refusal, which is believed to
// concern every object of the kind in the namespace, for five minutes. A caller that
// leaves does not end a read that others wait for. Its errors are *AccessError;
// apierrors.IsNotFound holds for them where the server said that there is no such object.
//
// Objects come without the last applied configuration, with what extract.KeepWrites leaves of
// their managed fields and, of a node, without the list of images.
type Cluster struct {
	core, apps, batch rest.Interface
	metadata          metadata.Interface
	host              string
	maxPods           int
	cache             *cache.LRUExpireCache
	flight            singleflight.Group
}

var _ pipeline.ClusterReader = (*Cluster)(nil)

// NewCluster prepares the connections; it does not use them.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to read: no client configuration")
	}
	limiter := flowcontrol.NewTokenBucketRateLimiter(clusterQPS, clusterBurst)
	c := &Cluster{maxPods: o.maxPods, cache: cache.NewLRUExpireCache(objectsKept)}
	if c.maxPods == 0 {
		c.maxPods = maxPodsOnNodes
	}
	codecs := objectCodecs().WithoutConversion()
	for _, g := range []struct {
		group  string
		client *rest.Interface
	}{{"", &c.core}, {"apps", &c.apps}, {"batch", &c.batch}} {
		config := clientConfig(o.Config, o.UserAgent)
		config.NegotiatedSerializer = codecs
		config.GroupVersion = &schema.GroupVersion{Group: g.group, Version: "v1"}
		if g.group != "" {
			config.APIPath = "/apis"
		}
		config.RateLimiter = limiter
		config.Timeout = 0 // each request has its own
		var err error
		if *g.client, c.host, err = clientFor(config); err != nil {
			return nil, err
		}
	}
	config := clientConfig(o.Config, o.UserAgent)
	config.RateLimiter, config.Timeout = limiter, 0
	var err error
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the cluster at %s: %w", c.host, err)
	}
	return c, nil
}

// objectKey names what the cache holds: an object, a list (without a name) or a refusal.
type objectKey struct {
	verb, resource, namespace, name string
}

// answer is what the cache holds: an object or a slice of them, or why there is none.
type answer struct {
	value any
	err   error
	// at is when it was asked for.
	at time.Time
}

// cached returns the answer to key from the cache, or by one read for all who ask at the
// same time, which goes on when a caller leaves.
func (c *Cluster) cached(ctx context.Context, key objectKey, ttl, timeout time.Duration, read func(context.Context) (any, error)) (any, error) {
	refusal := objectKey{verb: key.verb, resource: key.resource, namespace: key.namespace, name: "\x00refused"}
	for _, k := range []objectKey{key, refusal} {
		if v, ok := c.cache.Get(k); ok {
			if a, ok := v.(answer); ok && (k == refusal || !a.at.Before(pipeline.Oldest(ctx))) {
				return a.value, a.err
			}
		}
	}
	reading := c.flight.DoChan(fmt.Sprintf("%q", []string{key.verb, key.resource, key.namespace, key.name}), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		at := time.Now()
		value, err := read(ctx)
		switch problem := problemOf(err); {
		case err != nil && (problem == Forbidden || problem == Unauthorized):
			c.cache.Add(refusal, answer{err: err}, refusedTTL)
		case errors.Is(err, errTooMany):
			c.cache.Add(key, answer{err: err, at: at}, refusedTTL)
		case ttl == 0:
		case err != nil && problem != NotFound:
			c.cache.Add(key, answer{err: err, at: at}, hiccupTTL)
		default:
			c.cache.Add(key, answer{value: value, err: err, at: at}, ttl)
		}
		return value, err
	})
	select {
	case r := <-reading:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, access(ctx.Err(), c.host, key.verb, key.resource, key.namespace)
	}
}

// errTooMany tells that a list is longer than is read.
var errTooMany = errors.New("too many to read")

func tooMany(q query, limit int) error {
	return access(fmt.Errorf("%w: more than %d", errTooMany, limit), q.host, "list", q.resource, q.namespace)
}

// apiObject is a pointer to an object of the API such as corev1.Pod.
type apiObject[T any] interface {
	*T
	runtime.Object
	metav1.Object
}

// get returns one object, from the cache where ttl is not 0.
func get[T any, P apiObject[T]](ctx context.Context, c *Cluster, client rest.Interface, resource, namespace, name string, ttl time.Duration) (P, error) {
	key := objectKey{"get", resource, namespace, name}
	v, err := c.cached(ctx, key, ttl, clusterTimeout, func(ctx context.Context) (any, error) {
		o := P(new(T))
		err := client.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Name(name).Do(ctx).Into(o)
		if err != nil {
			return nil, access(certain(err), c.host, "get", resource, namespace)
		}
		trim(o)
		return o, nil
	})
	if err != nil {
		return nil, err
	}
	o, ok := v.(P)
	if !ok {
		return nil, access(fmt.Errorf("the answer is a %T", v), c.host, "get", resource, namespace)
	}
	return o, nil
}

// trim takes out what nobody asks for here and what is often most of an object.
func trim(o metav1.Object) {
	extract.KeepWrites(o)
	delete(o.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	if node, ok := o.(*corev1.Node); ok {
		node.Status.Images = nil
	}
}

// readAll returns all objects that a query finds, at most limit of them.
func readAll[L, T any, PL apiList[L], P apiObject[T]](ctx context.Context, q query, limit int, items func(PL) []T) ([]P, error) {
	var out []P
	err := eachPage(ctx, q, func(page PL) error {
		these := items(page)
		if len(out)+len(these) > limit {
			return tooMany(q, limit)
		}
		for i := range these {
			o := P(&these[i])
			trim(o)
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

// listed returns what read lists, from the cache or anew.
func listed[P any](ctx context.Context, c *Cluster, key objectKey, ttl time.Duration, read func(context.Context) ([]P, error)) ([]P, error) {
	v, err := c.cached(ctx, key, ttl, listTimeout, func(ctx context.Context) (any, error) {
		list, err := read(ctx)
		if err == nil {
			// The cache itself forgets only what is asked for again, and a list may be large.
			time.AfterFunc(ttl, func() { c.cache.Remove(key) })
		}
		return list, err
	})
	if err != nil {
		return nil, err
	}
	list, _ := v.([]P) // read made it
	return list, nil
}

// Node returns the node of this name.
func (c *Cluster) Node(ctx context.Context, name string) (*corev1.Node, error) {
	return get[corev1.Node](ctx, c, c.core, "nodes", "", name, objectTTL)
}

// Nodes returns all nodes.
func (c *Cluster) Nodes(ctx context.Context) ([]*corev1.Node, error) {
	return listed(ctx, c, objectKey{verb: "list", resource: "nodes"}, nodesTTL, func(ctx context.Context) ([]*corev1.Node, error) {
		return readAll(ctx, c.query(c.core, "nodes", ""), c.maxPods, func(l *corev1.NodeList) []corev1.Node { return l.Items })
	})
}

// PodsOnNodes returns all pods that a node was chosen for and that have not finished,
// with what tells their requests alone. It is an error where there are very many.
func (c *Cluster) PodsOnNodes(ctx context.Context) ([]*corev1.Pod, error) {
	return listed(ctx, c, objectKey{verb: "list", resource: "pods"}, podUsageTTL, func(ctx context.Context) ([]*corev1.Pod, error) {
		q := c.query(c.core, "pods", "")
		if err := c.few(ctx, q); err != nil {
			return nil, err
		}
		// As "kubectl describe node" asks for what counts against a node.
		q.fields = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
		var out []*corev1.Pod
		err := eachPage(ctx, q, func(page *corev1.PodList) error {
			if len(out)+len(page.Items) > c.maxPods {
				return tooMany(q, c.maxPods)
			}
			for i := range page.Items {
				out = append(out, usage(&page.Items[i]))
			}
			return nil
		})
		return out, err
	})
}

// few returns an error where the server tells at once that there are too many. It counts
// what is left of a list without a selector alone.
func (c *Cluster) few(ctx context.Context, q query) error {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	var first corev1.PodList
	if err := q.request(metav1.ListOptions{Limit: 1}).Do(ctx).Into(&first); err != nil {
		return access(certain(err), q.host, "list", q.resource, q.namespace)
	}
	if n := first.RemainingItemCount; n != nil && *n >= int64(c.maxPods) {
		return tooMany(q, c.maxPods)
	}
	return nil
}

// usage returns what of a pod tells how much of a node it takes.
func usage(p *corev1.Pod) *corev1.Pod {
	u := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, DeletionTimestamp: p.DeletionTimestamp},
		Spec:       corev1.PodSpec{NodeName: p.Spec.NodeName, Overhead: p.Spec.Overhead, Resources: p.Spec.Resources, Priority: p.Spec.Priority},
		Status:     corev1.PodStatus{Phase: p.Status.Phase},
	}
	bare := func(from []corev1.Container) []corev1.Container {
		to := make([]corev1.Container, len(from))
		for i := range from {
			to[i] = corev1.Container{Name: from[i].Name, Resources: from[i].Resources, RestartPolicy: from[i].RestartPolicy, Ports: from[i].Ports}
		}
		return to
	}
	u.Spec.Containers, u.Spec.InitContainers = bare(p.Spec.Containers), bare(p.Spec.InitContainers)
	return u
}

// Claim returns a persistent volume claim.
func (c *Cluster) Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return get[corev1.PersistentVolumeClaim](ctx, c, c.core, "persistentvolumeclaims", namespace, name, objectTTL)
}

// Namespace returns the namespace of this name.
func (c *Cluster) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return get[corev1.Namespace](ctx, c, c.core, "namespaces", "", name, objectTTL)
}

// Pod returns the pod of this name as it is now.
func (c *Cluster) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return get[corev1.Pod](ctx, c, c.core, "pods", namespace, name, 0)
}

// Controllers returns the controllers above an object, the nearest first, as far as their
// kinds are known. With an error it returns those below the one that could not be
// read; one that is gone and whose name another has is not found.
func (c *Cluster) Controllers(ctx context.Context, of metav1.Object) ([]metav1.Object, error) {
	return pipeline.ControllersAbove(of, func(namespace string, ref *metav1.OwnerReference) (metav1.Object, error) {
		o, resource, err := c.controller(ctx, namespace, ref)
		if err == nil && o != nil && ref.UID != "" && o.GetUID() != ref.UID {
			return nil, access(pipeline.Replaced(resource, ref.Name), c.host, "get", resource.Resource, namespace)
		}
		return o, err
	})
}

// controller reads one controller; nil where its kind is not known.
func (c *Cluster) controller(ctx context.Context, namespace string, ref *metav1.OwnerReference) (metav1.Object, schema.GroupResource, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, schema.GroupResource{}, nil //nolint:nilerr // no kind that is known
	}
	var o metav1.Object
	r := schema.GroupResource{Group: gv.Group}
	switch gv.Group + "/" + ref.Kind {
	case "apps/ReplicaSet":
		r.Resource = "replicasets"
		o, err = asObject(get[appsv1.ReplicaSet](ctx, c, c.apps, r.Resource, namespace, ref.Name, objectTTL))
	case "apps/Deployment":
		r.Resource = "deployments"
		o, err = asObject(get[appsv1.Deployment](ctx, c, c.apps, r.Resource, namespace, ref.Name, objectTTL))
	case "apps/StatefulSet":
		r.Resource = "statefulsets"
		o, err = asObject(get[appsv1.StatefulSet](ctx, c, c.apps, r.Resource, namespace, ref.Name, objectTTL))
	case "apps/DaemonSet":
		r.Resource = "daemonsets"
		o, err = asObject(get[appsv1.DaemonSet](ctx, c, c.apps, r.Resource, namespace, ref.Name, objectTTL))
	case "batch/Job":
		r.Resource = "jobs"
		o, err = asObject(get[batchv1.Job](ctx, c, c.batch, r.Resource, namespace, ref.Name, objectTTL))
	case "batch/CronJob":
		r.Resource = "cronjobs"
		o, err = asObject(get[batchv1.CronJob](ctx, c, c.batch, r.Resource, namespace, ref.Name, objectTTL))
	}
	return o, r, err
}

// asObject keeps a nil pointer from becoming an interface that is not nil.
func asObject[T any, P apiObject[T]](o P, err error) (metav1.Object, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (c *Cluster) query(client rest.Interface, resource, namespace string) query {
	return query{client: client, host: c.host, resource: resource, namespace: namespace, timeout: clusterTimeout}
}
