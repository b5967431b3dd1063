package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// Revisions implements pipeline.ClusterReader.
func (c *Cluster) Revisions(context.Context, metav1.Object) ([]pipeline.Revision, error) {
	return nil, nil
}

// ConfigMap implements pipeline.ClusterReader.
func (c *Cluster) ConfigMap(context.Context, string, string) (*metav1.PartialObjectMetadata, error) {
	return &metav1.PartialObjectMetadata{}, nil
}
