//go:build e2e

package e2e

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// workloadScenarios are about what controllers do to their pods.
func workloadScenarios() []scenario {
	const own = "Deployment/shop"
	replaced := expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no(), workload: own}
	return []scenario{
		{name: "rollout", truth: []claim{lifecycle("shop/main", "replaced by a rollout", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 3)
			s.createDeployment(d)
			s.untilReady(d.Name, 3, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: "2"}} })
			s.untilReady(d.Name, 3, "VERSION")
			s.check(s.untilStops("shop", "main", 3), replaced)
		}},
		{name: "rollout-of-crashing-version", truth: []claim{
			failure("shop/main", "the new version exits with 15", "app_exit", "", fair).only(exited(15)),
			lifecycle("shop/main", "replaced by a rollout", "pod_deleted", "rollout", fair).only(notExited(15)).maybe(),
		}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Args = []string{"sleep", "1s", "exit", "15"} })
			s.check(s.untilStops("shop", "main", crashes), expect{exit: -1, typ: record.App, workload: own})
			s.untilIssues("the one issue is of the new pods, and names the rollout", func(doc issue.Document) bool {
				return len(doc.Issues) == 1 && len(doc.Issues[0].Revisions.Values) == 1 && slices.ContainsFunc(doc.Issues[0].Changes, func(c record.Change) bool {
					return c.Kind == record.ChangeRollout && slices.ContainsFunc(c.Fields, func(f record.FieldChange) bool { return strings.HasPrefix(f.Field, "containers[main].args") })
				})
			})
			for _, r := range s.stops("shop", "main") {
				if r.ExitCode != nil && *r.ExitCode == 15 {
					s.check([]record.Record{r}, expect{exit: 15, category: record.Failure, restarts: yes()})
				}
			}
		}},
		{name: "scale-down", truth: []claim{lifecycle("shop/main", "scaled down to nothing", "pod_deleted", "scale_down", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 3)
			s.createDeployment(d)
			s.untilReady(d.Name, 3, "")
			s.scale(d.Name, 0)
			s.untilGone()
			s.check(s.untilStops("shop", "main", 3), replaced)
		}},
		{name: "statefulset-same-name", truth: []claim{lifecycle("db-0/main", "deleted with kubectl delete", "pod_deleted", "direct", fair)}, run: func(s *space) {
			_, err := s.kube.AppsV1().StatefulSets(s.ns).Create(s.ctx, statefulSet(newPod("db", counted("main", "trap 'exit 0' TERM; while :; do sleep 0.1; done")), 1), metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			seen := map[types.UID]bool{}
			for range 3 {
				p := s.untilPod("db-0", "runs anew", func(p *corev1.Pod) bool { return !seen[p.UID] && allRunning(p) })
				seen[p.UID] = true
				s.deletePod("db-0")
			}
			// A new pod counts from 0 again, and has a new scratch directory.
			s.check(s.untilStops("db-0", "main", 3), expect{exit: -1, typ: record.App, not: record.Failure, restarts: no(), workload: "StatefulSet/db", line: attempt})
		}},
	}
}

// jobScenarios are about pods that are to end.
func jobScenarios() []scenario {
	return []scenario{
		{name: "job-fails", truth: []claim{crashing("batch/main", "exits with 16, and again in the second pod")}, run: func(s *space) {
			j := job(newPod("batch", misbehave("main", "sleep", "1s", "exit", "16")), 1)
			s.createJob(j)
			s.untilJob(j.Name, failed)
			s.check(s.untilStops("batch", "main", 2), expect{exit: 16, typ: record.App, category: record.Failure, restarts: no(), workload: "Job/batch"})
		}},
		{name: "job-completes", truth: []claim{completedWell("batch/main", "exits with 0, as it should")}, run: func(s *space) {
			j := job(newPod("batch", misbehave("main", "sleep", "1s", "exit", "0")), 0)
			parallel := int32(3)
			j.Spec.Parallelism, j.Spec.Completions = &parallel, &parallel
			s.createJob(j)
			s.untilJob(j.Name, complete)
			s.check(s.untilStops("batch", "main", 3), expect{exit: 0, typ: record.App, category: record.Lifecycle, restarts: no(), workload: "Job/batch"})
		}},
		{name: "job-ttl", truth: []claim{completedWell("batch/main", "exits with 0, and the Job is deleted at once")}, run: func(s *space) {
			// The pod may be gone before anybody asks for its log or its owner.
			j := job(newPod("batch", misbehave("main", "exit", "0")), 0)
			ttl := int32(0)
			j.Spec.TTLSecondsAfterFinished = &ttl
			s.createJob(j)
			s.untilStops("batch", "main", 1)
			s.untilGone()
			s.check(s.untilStops("batch", "main", 1), expect{exit: 0, typ: record.App, not: record.Failure})
		}},
		{name: "job-deadline", truth: []claim{failure("batch/main", "the Job's activeDeadlineSeconds are over", "deadline_exceeded", "job", fair)}, run: func(s *space) {
			j := job(newPod("batch", steady("main")), 0)
			seconds := int64(4)
			j.Spec.ActiveDeadlineSeconds = &seconds
			s.createJob(j)
			s.untilJob(j.Name, failed)
			s.untilGone()
			s.check(s.untilStops("batch", "main", 1), expect{exit: 0, typ: record.App, restarts: no()})
		}},
	}
}
