package dump

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// Revisions implements pipeline.ClusterReader.
func (o *Objects) Revisions(context.Context, metav1.Object) ([]pipeline.Revision, error) {
	return nil, nil
}

// ConfigMap implements pipeline.ClusterReader.
func (o *Objects) ConfigMap(_ context.Context, namespace, _ string) (*metav1.PartialObjectMetadata, error) {
	return nil, notRecorded("configmaps", namespace)
}
