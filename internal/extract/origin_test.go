package extract

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestOrigin(t *testing.T) {
	created := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		meta metav1.ObjectMeta
		want record.Record
	}{
		{"nothing", metav1.ObjectMeta{}, record.Record{Node: "n1"}},
		{
			"deployment",
			metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created.In(time.FixedZone("", 3600))), Labels: map[string]string{"pod-template-hash": "5f6", "app": "x"}},
			record.Record{Node: "n1", PodCreatedAt: created, Revision: "5f6"},
		},
		{"stateful set", metav1.ObjectMeta{Labels: map[string]string{"controller-revision-hash": "db-77c"}}, record.Record{Node: "n1", Revision: "db-77c"}},
		{"group", metav1.ObjectMeta{Annotations: map[string]string{"whyrestart.dev/group": " imports\n"}}, record.Record{Node: "n1", Group: "imports"}},
		{
			"group that is a book",
			metav1.ObjectMeta{Annotations: map[string]string{"whyrestart.dev/group": strings.Repeat("é", 500)}},
			record.Record{Node: "n1", Group: strings.Repeat("é", 126) + "…"},
		},
		{"epoch", metav1.ObjectMeta{CreationTimestamp: metav1.Unix(0, 0)}, record.Record{Node: "n1"}},
	} {
		p := &corev1.Pod{ObjectMeta: tt.meta, Spec: corev1.PodSpec{NodeName: "n1"}}
		var got record.Record
		origin(&got, p)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		// A stop and a stall of the pod say the same.
		for _, r := range []record.Record{Stop("", &detect.Stop{}, p, created), StallRecord(&detect.Episode{}, p, created)} {
			got := record.Record{Node: r.Node, PodCreatedAt: r.PodCreatedAt, Revision: r.Revision, Group: r.Group}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", tt.name, r.Kind, d)
			}
		}
	}
}
