package kube

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// configMapTTL is how long the metadata of a ConfigMap is believed: less than it usually takes a
// container to fail by what was just written.
const configMapTTL = 2 * time.Second

// maxRevisions bounds the ReplicaSets or ControllerRevisions that one selector finds: a
// workload keeps ten by default.
const maxRevisions = 500

// Revisions returns the pod templates that a Deployment, StatefulSet or DaemonSet has had, the
// newest first; none for another kind. They are one list, by the workload's selector.
func (c *Cluster) Revisions(ctx context.Context, of metav1.Object) ([]pipeline.Revision, error) {
	switch of := of.(type) {
	case *appsv1.Deployment:
		sets, err := revisions(ctx, c, "replicasets", of, of.Spec.Selector, func(l *appsv1.ReplicaSetList) []appsv1.ReplicaSet { return l.Items })
		return pipeline.ReplicaSetRevisions(of, sets), err
	case *appsv1.StatefulSet:
		list, err := revisions(ctx, c, "controllerrevisions", of, of.Spec.Selector, func(l *appsv1.ControllerRevisionList) []appsv1.ControllerRevision { return l.Items })
		return pipeline.ControllerRevisions(of, list), err
	case *appsv1.DaemonSet:
		list, err := revisions(ctx, c, "controllerrevisions", of, of.Spec.Selector, func(l *appsv1.ControllerRevisionList) []appsv1.ControllerRevision { return l.Items })
		return pipeline.ControllerRevisions(of, list), err
	}
	return nil, nil
}

// revisions lists what a workload's selector finds of a kind.
func revisions[L, T any, PL apiList[L], P apiObject[T]](ctx context.Context, c *Cluster, resource string, of metav1.Object, selector *metav1.LabelSelector, items func(PL) []T) ([]P, error) {
	labels, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, access(fmt.Errorf("read the selector of %s: %w", of.GetName(), err), c.host, "list", resource, of.GetNamespace())
	}
	if labels.Empty() {
		return nil, nil // which the API does not allow
	}
	key := objectKey{verb: "list", resource: resource, namespace: of.GetNamespace(), name: string(of.GetUID())}
	return listed(ctx, c, key, objectTTL, func(ctx context.Context) ([]P, error) {
		q := c.query(c.apps, resource, of.GetNamespace())
		q.labels = labels.String()
		return readAll[L, T, PL, P](ctx, q, maxRevisions, items)
	})
}

// ConfigMap returns the metadata of a ConfigMap, with who wrote its data and when. Its data is not read.
func (c *Cluster) ConfigMap(ctx context.Context, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	const resource = "configmaps"
	v, err := c.cached(ctx, objectKey{"get", resource, namespace, name}, configMapTTL, clusterTimeout, func(ctx context.Context) (any, error) {
		m, err := c.metadata.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, access(certain(err), c.host, "get", resource, namespace)
		}
		return onlyWrites(m), nil
	})
	if err != nil {
		return nil, err
	}
	m, ok := v.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil, access(fmt.Errorf("the answer is a %T", v), c.host, "get", resource, namespace)
	}
	return m, nil
}

// onlyWrites leaves of the metadata of a ConfigMap who wrote its data and when.
func onlyWrites(m *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	extract.KeepWrites(m)
	m.Annotations = nil // kubectl keeps the data that it applied last in one
	return m
}

// configMaps reads the metadata of all ConfigMaps of a namespace, or of all but some.
func (r *snapshotReader) configMaps(ctx context.Context, namespace string, exclude []string) error {
	const resource = "configmaps"
	client := r.metadata.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource})
	q := r.query(nil, resource, namespace)
	o := metav1.ListOptions{Limit: pageSize}
	if namespace == metav1.NamespaceAll {
		o.FieldSelector = excluding(exclude)
	}
	for n := 0; ; {
		page, err := func() (*metav1.PartialObjectMetadataList, error) {
			ctx, cancel := context.WithTimeout(ctx, q.timeout)
			defer cancel()
			return client.Namespace(namespace).List(ctx, o)
		}()
		if err = access(err, q.host, "list", resource, namespace); err == nil {
			if n += len(page.Items); n > r.limit {
				err = tooMany(q, r.limit)
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			what := resource
			if namespace != "" {
				what += " of " + namespace
			}
			r.miss(what, err)
			return nil
		}
		for i := range page.Items {
			r.out.Objects = append(r.out.Objects, onlyWrites(&page.Items[i]))
		}
		if o.Continue = page.Continue; o.Continue == "" {
			return nil
		}
	}
}
