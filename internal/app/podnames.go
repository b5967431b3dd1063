package app

import (
	"context"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// PodNames returns the names of the pods of a source, for completion.
func PodNames(ctx context.Context, s Source) ([]string, error) {
	var names []string
	_, _, err := Look(ctx, s, func(pod *corev1.Pod) bool {
		names = append(names, pod.Name)
		return false
	}, slog.New(slog.DiscardHandler))
	slices.Sort(names)
	return slices.Compact(names), err
}
