package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

var _ pipeline.WorkloadReader = (*Cluster)(nil)

// Workload implements pipeline.WorkloadReader.
func (c *Cluster) Workload(ctx context.Context, namespace string, w record.Workload) (metav1.Object, error) {
	ref := metav1.OwnerReference{Kind: w.Kind, Name: w.Name}
	switch w.Kind {
	case "Pod":
		return asObject(c.Pod(ctx, namespace, w.Name))
	case "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet":
		ref.APIVersion = "apps/v1"
	case "Job", "CronJob":
		ref.APIVersion = "batch/v1"
	default:
		return nil, nil
	}
	o, _, err := c.controller(ctx, namespace, &ref)
	return o, err
}
