package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
)

const (
	// defaultSnapshotObjects bounds the objects of one kind, the others the logs.
	defaultSnapshotObjects = 20_000
	defaultSnapshotLogs    = 200
	defaultSnapshotLines   = 200
)

// Object is a pointer to an object of the API.
type Object = interface {
	metav1.Object
	runtime.Object
}

// SnapshotOptions says what a Snapshot holds. Zero bounds stand for defaults.
type SnapshotOptions struct {
	// Namespaces and ExcludeNamespaces are as those of Options.
	Namespaces, ExcludeNamespaces []string
	// MaxObjects bounds the objects of one kind that are read of one scope: 20,000.
	MaxObjects int
}

// Snapshot is the present state of some namespaces and of all nodes, as whoever explains
// stops needs it. It holds what the API gave, with every secret that people put there.
type Snapshot struct {
	// Objects are pods, events, nodes, namespaces, claims, controllers and their revisions, kind by
	// kind; of ConfigMaps the metadata alone.
	Objects []Object
	// Missing says what could not be read.
	Missing []record.Missing
}

// ContainerLog is the end of the current or the previous log of a container, or why
// there is none.
type ContainerLog struct {
	Namespace, Pod, Container string
	Previous                  bool
	Lines                     []string
	Missing                   string
}

// Snapshot reads the present state in bounded pages. It fails where pods cannot be read;
// what else cannot is named.
func (c *Cluster) Snapshot(ctx context.Context, o SnapshotOptions) (*Snapshot, error) {
	namespaces, exclude, err := selectNamespaces(o.Namespaces, o.ExcludeNamespaces, shard.Shard{})
	if err != nil {
		return nil, err
	}
	r := &snapshotReader{Cluster: c, limit: cmp.Or(o.MaxObjects, defaultSnapshotObjects), out: new(Snapshot)}
	all := namespaces[0] == metav1.NamespaceAll
	if err := r.cluster(ctx, all, namespaces, exclude); err != nil {
		return nil, err
	}
	for _, ns := range namespaces {
		if err := r.namespace(ctx, ns, exclude); err != nil {
			return nil, err
		}
	}
	if !all && !slices.Contains(namespaces, metav1.NamespaceDefault) {
		q := r.query(c.core, "events", metav1.NamespaceDefault)
		q.fields = fields.OneTermEqualSelector("involvedObject.kind", "Node").String()
		if _, err := part(ctx, r, q, pipeline.NodeEventScope, func(l *corev1.EventList) []corev1.Event { return l.Items }); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

// snapshotReader gathers a Snapshot.
type snapshotReader struct {
	*Cluster
	limit int
	out   *Snapshot
}

// part reads all objects of one query, and notes what of it cannot be read, which is
// an error only where ctx ended.
func part[L, T any, PL apiList[L], P interface {
	apiObject[T]
	Object
}](ctx context.Context, r *snapshotReader, q query, scope string, items func(PL) []T) ([]P, error) {
	objects, err := readAll[L, T, PL, P](ctx, q, r.limit, items)
	for _, o := range objects {
		r.out.Objects = append(r.out.Objects, o)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		what := q.resource
		if scope != "" {
			what += " of " + scope
		}
		r.miss(what, err)
	}
	return objects, nil
}

func (r *snapshotReader) miss(what string, err error) {
	r.out.Missing = append(r.out.Missing, record.Missing{What: what, Why: missing(err)})
}

// cluster reads what is in no namespace.
func (r *snapshotReader) cluster(ctx context.Context, all bool, namespaces, exclude []string) error {
	if _, err := part(ctx, r, r.query(r.core, "nodes", ""), "", func(l *corev1.NodeList) []corev1.Node { return l.Items }); err != nil {
		return err
	}
	if all {
		q := r.query(r.core, "namespaces", "")
		_, err := part(ctx, r, q, "", func(l *corev1.NamespaceList) []corev1.Namespace {
			return slices.DeleteFunc(l.Items, func(n corev1.Namespace) bool { return slices.Contains(exclude, n.Name) })
		})
		return err
	}
	for _, name := range namespaces {
		ns, err := r.Namespace(ctx, name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.miss("namespace "+name, err)
		default:
			r.out.Objects = append(r.out.Objects, ns)
		}
	}
	return nil
}

// namespace reads what is in one namespace or, where its name is empty, in all but some of them.
func (r *snapshotReader) namespace(ctx context.Context, namespace string, exclude []string) error {
	q := func(client rest.Interface, resource string) query {
		q := r.query(client, resource, namespace)
		if namespace == metav1.NamespaceAll {
			q.fields = excluding(exclude)
		}
		return q
	}
	pods, err := readAll(ctx, q(r.core, "pods"), r.limit, func(l *corev1.PodList) []corev1.Pod { return l.Items })
	if err != nil {
		if !errors.Is(err, errTooMany) {
			return err
		}
		r.miss("pods", err)
	}
	for _, p := range pods {
		r.out.Objects = append(r.out.Objects, p)
	}
	for _, read := range []func() error{
		func() error {
			_, err := part(ctx, r, q(r.core, "events"), namespace, func(l *corev1.EventList) []corev1.Event { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.core, "persistentvolumeclaims"), namespace, func(l *corev1.PersistentVolumeClaimList) []corev1.PersistentVolumeClaim { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.apps, "deployments"), namespace, func(l *appsv1.DeploymentList) []appsv1.Deployment { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.apps, "replicasets"), namespace, func(l *appsv1.ReplicaSetList) []appsv1.ReplicaSet { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.apps, "statefulsets"), namespace, func(l *appsv1.StatefulSetList) []appsv1.StatefulSet { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.apps, "daemonsets"), namespace, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.apps, "controllerrevisions"), namespace, func(l *appsv1.ControllerRevisionList) []appsv1.ControllerRevision { return l.Items })
			return err
		},
		func() error { return r.configMaps(ctx, namespace, exclude) },
		func() error {
			_, err := part(ctx, r, q(r.batch, "jobs"), namespace, func(l *batchv1.JobList) []batchv1.Job { return l.Items })
			return err
		},
		func() error {
			_, err := part(ctx, r, q(r.batch, "cronjobs"), namespace, func(l *batchv1.CronJobList) []batchv1.CronJob { return l.Items })
			return err
		},
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// ContainerLogs reads the ends of the logs that tell of a problem: of containers of these
// pods that ended or are not ready. It reads at most so many, 200 where most is 0, and of each
// at most so many lines, 200 where lines is 0; it is not an error that one cannot be read.
func (c *Cluster) ContainerLogs(ctx context.Context, pods []*corev1.Pod, most, lines int) ([]ContainerLog, []record.Missing, error) {
	most = cmp.Or(most, defaultSnapshotLogs)
	logs := &Logs{client: c.core, host: c.host, tailLines: cmp.Or(lines, defaultSnapshotLines), limitBytes: maxLogBytes, timeout: clusterTimeout}
	var out []ContainerLog
	left := 0
	for _, p := range pods {
		for _, log := range wantedLogs(p) {
			if len(out) >= most {
				left++
				continue
			}
			log.Lines, log.Missing = logs.end(ctx, log)
			if ctx.Err() != nil {
				return out, nil, ctx.Err()
			}
			out = append(out, log)
		}
	}
	if left > 0 {
		return out, []record.Missing{{What: "logs", Why: fmt.Sprintf("%d more were not read", left)}}, nil
	}
	return out, nil, nil
}

// end returns the end of a log, whose instance it may be, or why there is none.
func (l *Logs) end(ctx context.Context, of ContainerLog) (texts []string, why string) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	lines, _, err := l.read(ctx, pipeline.LogRequest{Namespace: of.Namespace, Pod: of.Pod, Container: of.Container}, of.Previous)
	if err != nil {
		return nil, missing(err)
	}
	texts, _ = clip(lines, l.tailLines, l.limitBytes)
	return texts, ""
}

// wantedLogs returns the logs of a pod's containers that ended or are not ready.
func wantedLogs(p *corev1.Pod) []ContainerLog {
	var out []ContainerLog
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			log := ContainerLog{Namespace: p.Namespace, Pod: p.Name, Container: s.Name}
			if s.LastTerminationState.Terminated != nil {
				log.Previous = true
				out = append(out, log)
			}
			ended := s.State.Terminated != nil && (s.State.Terminated.ExitCode != 0 || p.Spec.RestartPolicy == corev1.RestartPolicyAlways)
			if ended || s.State.Running != nil && !s.Ready {
				log.Previous = false
				out = append(out, log)
			}
		}
	}
	return out
}
