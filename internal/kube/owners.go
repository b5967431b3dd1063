package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// ownersKept bounds the cache.
	ownersKept = 10_000
	// ownerTTL is how long an owner is believed. A ReplicaSet's or Job's controller only
	// changes when somebody orphans or adopts it.
	ownerTTL = time.Hour
	// refusedTTL is how long a refusal or an absence is believed, and troubleTTL anything
	// that may be over soon.
	refusedTTL = 5 * time.Minute
	troubleTTL = 15 * time.Second
	// ownerTimeout bounds one read, which several callers may wait for.
	ownerTimeout = 5 * time.Second
)

// OwnersOptions says how owners are read.
type OwnersOptions struct {
	// Config says how to reach the API server. It is not changed.
	Config    *rest.Config
	UserAgent string
}

// Owners finds the workload that a pod belongs to. It implements
// pipeline.OwnerResolver.
//
// The workload is the pod's controller, or the controller's controller where the
// first is a ReplicaSet (of a Deployment or an Argo Rollout) or a Job (of a CronJob).
// For those it reads the metadata, once each; where it must not or they are gone, it
// goes by their names, as extract.InferOwner has it. A pod without a controller is its own
// workload, and so is one that a kubelet runs from a file and only mirrors, whose
// controller is its Node.
type Owners struct {
	client metadata.Interface
	host   string
	cache  *cache.LRUExpireCache
	flight singleflight.Group
}

var _ pipeline.OwnerResolver = (*Owners)(nil)

// ownerKey identifies a ReplicaSet or Job.
type ownerKey struct {
	namespace, kind, name string
	uid                   types.UID
}

// owner is what a read brought: the controller, nil if there is none, or why it is not known.
type owner struct {
	workload *record.Workload
	err      error
}

// NewOwners prepares the connection; it does not use it.
func NewOwners(o OwnersOptions) (*Owners, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to read owners of: no client configuration")
	}
	config := clientConfig(o.Config, o.UserAgent)
	config.Timeout = 0 // each read has its own
	host, err := hostOf(config)
	if err != nil {
		return nil, err
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client for the cluster at %s: %w", host, err)
	}
	return &Owners{client: client, host: host, cache: cache.NewLRUExpireCache(ownersKept)}, nil
}

// Workload returns the workload of a pod. With an error, it is the best guess.
func (o *Owners) Workload(ctx context.Context, p *corev1.Pod) (*record.Workload, error) {
	ref := metav1.GetControllerOf(p)
	if ref == nil || ref.Kind == "Node" {
		return &record.Workload{Kind: "Pod", Name: p.Name}, nil
	}
	known := &record.Workload{Kind: ref.Kind, Name: ref.Name}
	resource, ok := resourceOf(ref)
	if !ok {
		return known, nil
	}
	found, err := o.controller(ctx, resource, ownerKey{p.Namespace, ref.Kind, ref.Name, ref.UID})
	switch {
	case err != nil:
		if g := extract.InferOwner(p, ref); g != nil {
			known = g
		}
		return known, err
	case found != nil:
		w := *found
		return &w, nil
	default:
		return known, nil
	}
}

// resourceOf returns where to read those owners that usually have a controller.
func resourceOf(ref *metav1.OwnerReference) (schema.GroupVersionResource, bool) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return schema.GroupVersionResource{}, false
	}
	switch (schema.GroupKind{Group: gv.Group, Kind: ref.Kind}) {
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, true
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, true
	}
	return schema.GroupVersionResource{}, false
}

// controller returns the controller of an owner, nil if it has none, from the cache
// or by one read for all who ask at the same time.
func (o *Owners) controller(ctx context.Context, resource schema.GroupVersionResource, key ownerKey) (*record.Workload, error) {
	if v, ok := o.cache.Get(key); ok {
		if cached, ok := v.(owner); ok {
			return cached.workload, cached.err
		}
	}
	// The read goes on when a caller leaves, for the others and for the cache.
	reading := o.flight.DoChan(fmt.Sprintf("%q", []string{key.namespace, key.kind, key.name, string(key.uid)}), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ownerTimeout)
		defer cancel()
		found := o.read(ctx, resource, key)
		o.cache.Add(key, found, found.ttl())
		return found, nil
	})
	select {
	case r := <-reading:
		if found, ok := r.Val.(owner); ok {
			return found.workload, found.err
		}
		return nil, r.Err
	case <-ctx.Done():
		return nil, access(ctx.Err(), o.host, "get", resource.Resource, key.namespace)
	}
}

func (o *Owners) read(ctx context.Context, resource schema.GroupVersionResource, key ownerKey) owner {
	m, err := o.client.Resource(resource).Namespace(key.namespace).Get(ctx, key.name, metav1.GetOptions{})
	if err != nil {
		return owner{err: access(err, o.host, "get", resource.Resource, key.namespace)}
	}
	if m.UID != key.uid {
		return owner{err: access(pipeline.Replaced(resource.GroupResource(), key.name), o.host, "get", resource.Resource, key.namespace)}
	}
	ref := metav1.GetControllerOf(m)
	if ref == nil {
		return owner{}
	}
	return owner{workload: &record.Workload{Kind: ref.Kind, Name: ref.Name}}
}

func (o owner) ttl() time.Duration {
	if o.err == nil {
		return ownerTTL
	}
	switch problemOf(o.err) {
	case Forbidden, NotFound, Unauthorized:
		return refusedTTL
	default:
		return troubleTTL
	}
}
