package kube

import (
	"context"
	"errors"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// eventLimit bounds the events of one pod that are read. The API server lists them by
// name, which is by the time of their first occurrence for those of the kubelet.
const eventLimit = 500

// refusalsKept bounds the namespaces of which a refusal is remembered.
const refusalsKept = 1000

// eventTimeout bounds one read.
const eventTimeout = 5 * time.Second

// EventsOptions says how events are read.
type EventsOptions struct {
	// Config says how to reach the API server. It is not changed.
	Config    *rest.Config
	UserAgent string
}

// Events reads the events about pods from the API server. It implements pipeline.EventReader.
//
// A refusal is believed for five minutes, and for all objects of the namespace: whoever
// may not read events in one would otherwise ask for every finding.
type Events struct {
	client  rest.Interface
	host    string
	refused *cache.LRUExpireCache // by namespace
}

var (
	_ pipeline.EventReader     = (*Events)(nil)
	_ pipeline.NodeEventReader = (*Events)(nil)
)

// NewEvents prepares the connection; it does not use it.
func NewEvents(o EventsOptions) (*Events, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to read events of: no client configuration")
	}
	config := clientConfig(o.Config, o.UserAgent)
	config.NegotiatedSerializer = podCodecs().WithoutConversion()
	config.Timeout = eventTimeout
	client, host, err := clientFor(config)
	if err != nil {
		return nil, err
	}
	return &Events{client: client, host: host, refused: cache.NewLRUExpireCache(refusalsKept)}, nil
}

// Events returns the events about the pod with this UID that the API still has. Its
// error is an *AccessError.
func (e *Events) Events(ctx context.Context, namespace, uid string) ([]*corev1.Event, error) {
	return e.list(ctx, namespace, fields.OneTermEqualSelector("involvedObject.uid", uid))
}

// NodeEvents returns the events about the node with this name that the API still has:
// whatever UID their writers give it, they stand in the namespace default. Its error is an
// *AccessError.
func (e *Events) NodeEvents(ctx context.Context, name string) ([]*corev1.Event, error) {
	return e.list(ctx, metav1.NamespaceDefault, fields.Set{"involvedObject.kind": "Node", "involvedObject.name": name}.AsSelector())
}

func (e *Events) list(ctx context.Context, namespace string, about fields.Selector) ([]*corev1.Event, error) {
	if v, ok := e.refused.Get(namespace); ok {
		if err, ok := v.(error); ok {
			return nil, err
		}
	}
	var list corev1.EventList
	err := e.client.Get().Namespace(namespace).Resource("events").
		Param("fieldSelector", about.String()).
		Param("limit", strconv.Itoa(eventLimit)).
		Do(ctx).Into(&list)
	if err != nil {
		err = access(err, e.host, "list", "events", namespace)
		if problemOf(err) == Forbidden {
			e.refused.Add(namespace, err, refusedTTL)
		}
		return nil, err
	}
	out := make([]*corev1.Event, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, nil
}
