package extract

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// InferOwner returns the workload that a pod's ReplicaSet or Job, the controller in ref,
// belongs to by its name and the pod's labels, nil where they tell nothing. It serves
// where the ReplicaSet or Job itself cannot be read.
//
// A Deployment calls its ReplicaSets NAME-HASH and labels their pods with the hash
// (pkg/controller/deployment/sync.go, getNewReplicaSet), and so does an Argo Rollout,
// with a label of its own. A CronJob calls its Jobs NAME-MINUTES, for the time they
// were scheduled at (pkg/controller/cronjob/utils.go, getJobName); that is taken for one
// only where the pod is not older than those minutes say, nor much younger.
func InferOwner(p *corev1.Pod, ref *metav1.OwnerReference) *record.Workload {
	switch ref.Kind {
	case "ReplicaSet":
		for _, by := range []struct{ label, kind string }{
			{"rollouts-pod-template-hash", "Rollout"},
			{"pod-template-hash", "Deployment"},
		} {
			hash := p.Labels[by.label]
			if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" && name != "" {
				return &record.Workload{Kind: by.kind, Name: name}
			}
		}
	case "Job":
		i := strings.LastIndexByte(ref.Name, '-')
		if i <= 0 {
			return nil
		}
		minutes, err := strconv.ParseInt(ref.Name[i+1:], 10, 32)
		if err != nil {
			return nil
		}
		late := p.CreationTimestamp.Sub(time.Unix(minutes*60, 0))
		if late >= -time.Minute && late < 24*time.Hour {
			return &record.Workload{Kind: "CronJob", Name: ref.Name[:i]}
		}
	}
	return nil
}
