package kube

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// query says what a list asks for.
type query struct {
	client              rest.Interface
	host                string
	resource, namespace string // the namespace is empty for all of them
	labels, fields      string
	shards              *sharded      // nil where nothing is divided
	timeout             time.Duration // of each page
}

// request begins a request for the resource.
func (q query) request(o metav1.ListOptions) *rest.Request {
	o.LabelSelector, o.FieldSelector, o.ShardSelector = q.labels, q.fields, q.shards.selector()
	return q.client.Get().
		NamespaceIfScoped(q.namespace, q.namespace != "").
		Resource(q.resource).
		VersionedParams(&o, metav1.ParameterCodec)
}

// apiList is a pointer to a list of the API such as corev1.PodList.
type apiList[L any] interface {
	*L
	runtime.Object
	metav1.ListInterface
}

// eachPage lists in pages, so that only one is in memory, and calls visit for each; an
// error of visit ends it. All pages are of one state, whose resource version each has.
func eachPage[L any, P apiList[L]](ctx context.Context, q query, visit func(P) error) error {
	next := ""
	for {
		page, err := onePage[L, P](ctx, q, next)
		if err != nil {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
		if next = page.GetContinue(); next == "" {
			return nil
		}
	}
}

func onePage[L any, P apiList[L]](ctx context.Context, q query, next string) (P, error) {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	page := P(new(L))
	err := q.request(metav1.ListOptions{Limit: pageSize, Continue: next}).Do(ctx).Into(page)
	if err != nil {
		return nil, access(certain(err), q.host, "list", q.resource, q.namespace)
	}
	return page, nil
}

// objectCodecs returns the codecs of a scheme of the kinds that are read whole.
func objectCodecs() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	core := schema.GroupVersion{Version: "v1"}
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	batch := schema.GroupVersion{Group: "batch", Version: "v1"}
	scheme.AddKnownTypes(core,
		&corev1.Pod{}, &corev1.PodList{}, &corev1.Event{}, &corev1.EventList{}, &corev1.Node{}, &corev1.NodeList{},
		&corev1.Namespace{}, &corev1.NamespaceList{}, &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaimList{},
		&corev1.ReplicationController{}, &corev1.ReplicationControllerList{})
	scheme.AddKnownTypes(apps,
		&appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{}, &appsv1.Deployment{}, &appsv1.DeploymentList{},
		&appsv1.StatefulSet{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSet{}, &appsv1.DaemonSetList{},
		&appsv1.ControllerRevision{}, &appsv1.ControllerRevisionList{})
	scheme.AddKnownTypes(batch, &batchv1.Job{}, &batchv1.JobList{}, &batchv1.CronJob{}, &batchv1.CronJobList{})
	for _, gv := range []schema.GroupVersion{core, apps, batch} {
		metav1.AddToGroupVersion(scheme, gv)
	}
	return serializer.NewCodecFactory(scheme)
}
