package extract_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// A pod of a thousand containers that all stop is told in thousands of containers, not in tens of
// thousands; of an ordinary pod all are told.
func TestOthersAreBounded(t *testing.T) {
	for _, c := range []struct{ containers, want int }{{1, 0}, {3, 2}, {33, 32}, {64, 32}, {128, 16}, {1000, 4}} {
		var p corev1.Pod
		for n := range c.containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint(n)})
		}
		s := &detect.Stop{ContainerKey: record.ContainerKey{Type: record.App, Name: "0"}, Terminated: &detect.Terminated{}}
		if got := len(extract.Evidence(s, &p).Others); got != c.want {
			t.Errorf("of %d containers, %d others, want %d", c.containers, got, c.want)
		}
	}
}
