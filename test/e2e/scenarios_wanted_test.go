//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/record"
)

// wanted lists what people and controllers do to pods that are well, and the scenarios that
// prove on the cluster that none of it is called a failure.
var wanted = []struct {
	what      string
	scenarios []string
}{
	{"rolling update", []string{"rollout", "calm-rollout", "rollout-ignores-sigterm"}},
	{"rollback", []string{"rollback", "rollback-undo"}},
	{"scale-down by hand", []string{"scale-down", "statefulset-scaled-down"}},
	{"scale-down by the HorizontalPodAutoscaler", []string{"scale-down-by-hpa"}},
	{"node drain", []string{"node-drain", "eviction-api", "drained-ignores-sigterm", "trap-child-oom-then-drained"}},
	{"the end of a Job", []string{"job-completes", "trap-job-suspended"}},
	{"the end of a CronJob's Job, and of the Job by the history limit", []string{"cron-job", "cron-job-history", "cron-job-scheduled"}},
	{"TTL after finished", []string{"job-ttl"}},
	{"sidecars at the end", []string{"sidecar-of-job", "sidecars-of-job", "trap-sidecar-killed-at-the-end"}},
	{"completed init containers", []string{"init-chain", "calm-long-init"}},
	{"deleted namespace", []string{"delete-namespace", "delete-namespace-of-everything"}},
	{"StatefulSet update", []string{"trap-statefulset-rollout", "statefulset-rollout", "statefulset-on-delete"}},
	{"DaemonSet update", []string{"trap-daemonset-rollout", "daemonset-on-delete"}},
	{"in-place resize", []string{"resized", "calm-resize"}},
	{"image patch of a bare pod", []string{"image-changed"}},
}

// TestWanted holds that the scenarios exist, and that no failure is true in any of them.
func TestWanted(t *testing.T) {
	byName := map[string]scenario{}
	for _, sc := range slices.Concat(together(), alone()) {
		byName[sc.name] = sc
	}
	for _, w := range wanted {
		for _, name := range w.scenarios {
			sc, ok := byName[name]
			if !ok {
				t.Errorf("%s: there is no scenario %s", w.what, name)
			}
			for _, c := range sc.truth {
				if c.category == record.Failure {
					t.Errorf("%s: in scenario %s it is true of %s that it failed", w.what, name, c.of)
				}
			}
		}
	}
}

// wantedScenarios are those of them that nothing else is about.
func wantedScenarios() []scenario {
	const rolled = "replaced by a rollout"
	// With the strategy OnDelete it is a person who rolls out, by deleting.
	const byHand = "direct|rollout"
	return []scenario{
		{name: "rollback-undo", truth: []claim{lifecycle("shop/main", "replaced by a rollout, and by kubectl rollout undo", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			first := s.revisions("shop")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: "2"}} })
			s.untilReady(d.Name, 2, "VERSION")
			second := s.revisions("shop")
			s.kubectl("rollout", "undo", "deployment/shop")
			s.untilReady(d.Name, 2, "")
			s.untilStops("shop", "main", 4)
			if again := s.revisions("shop"); !slices.Equal(again, first) || slices.Equal(first, second) {
				s.t.Errorf("the pods are of %v, then of %v, and after the rollback of %v", first, second, again)
			}
		}},
		{name: "scale-down-by-hpa", truth: []claim{lifecycle("shop/main", "the autoscaler allows no more than one replica", "pod_deleted", "scale_down", fair)}, run: func(s *space) {
			// Without metrics it still keeps to its bounds (pkg/controller/podautoscaler, reconcileAutoscaler).
			d := deployment(newPod("shop", steady("main")), 4)
			s.createDeployment(d)
			s.untilReady(d.Name, 4, "")
			s.must(createAutoscaler(s.ctx, s.suite, s.ns, d.Name, 1), "create an autoscaler")
			s.untilReady(d.Name, 1, "")
			s.untilStops("shop", "main", 3)
		}},
		{name: "node-drain", needsNode: true, truth: []claim{
			disruption("drained/main", "kubectl drain", "eviction_api", "", proven),
			disruption("drained/escort", "kubectl drain", "eviction_api", "", proven),
			completedWell("drained/setup", "exits with 0, as it should"),
			disruption("member-0/main", "kubectl drain", "eviction_api", "", proven),
		}, run: func(s *space) {
			// What replaces them tolerates that the node is cordoned, as there is no other one.
			p := withInit(newPod("drained", misbehave("main", "term-exit", "143", "forever")), misbehave("setup", "exit", "0"), sidecar(steady("escort")))
			s.createDeployment(deployment(p, 2))
			set := statefulSet(newPod("member", steady("main")), 1)
			set.Spec.Template.Labels = map[string]string{"app": "drained"}
			set.Spec.Template.Labels["set"], set.Spec.Selector.MatchLabels = "yes", map[string]string{"set": "yes"}
			_, err := s.kube.AppsV1().StatefulSets(s.ns).Create(s.ctx, set, metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			s.untilReady("drained", 3, "")
			s.cordonAlone()
			s.t.Cleanup(func() { s.cordon(false) })
			s.kubectl("drain", s.anyNode(), "--pod-selector=app=drained", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
			s.cordon(false)
			s.untilStops("drained", "main", 2)
			s.untilStops("member-0", "main", 1)
			s.untilReady("drained", 3, "")
		}},
		{name: "sidecars-of-job", truth: []claim{
			completedWell("work/main", "exits with 0, as it should"),
			completedWell("work/setup", "exits with 0, as it should"),
			lifecycle("work/escort", "its pod was done; it exits with 143", "sidecar_stopped", "", fair),
			lifecycle("work/agent", "its pod was done; it exits with 1", "sidecar_stopped", "", fair),
		}, run: func(s *space) {
			j := job(withInit(graceful(newPod("work", misbehave("main", "sleep", "2s", "exit", "0")), 5),
				misbehave("setup", "exit", "0"), sidecar(misbehave("escort", "term-exit", "143", "forever")), sidecar(misbehave("agent", "term-exit", "1", "forever"))), 0)
			s.createJob(j)
			s.untilJob(j.Name, complete)
			s.check(s.untilStops("work", "escort", 1), expect{exit: 143, restarts: no()})
			s.check(s.untilStops("work", "agent", 1), expect{exit: 1, restarts: no()})
		}},
		{name: "cron-job-history", truth: []claim{completedWell("nightly/main", "exits with 0; then its Job is removed by the history limit")}, run: func(s *space) {
			// A suspended CronJob still cleans up (pkg/controller/cronjob, cleanupFinishedJobs).
			c := s.createCronJob("0 3 * * *", true, 1, misbehave("main", "sleep", "1s", "exit", "0"))
			for i := range 2 {
				j := job(newPod(fmt.Sprintf("nightly-%d", i), misbehave("main", "sleep", "1s", "exit", "0")), 0)
				j.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
				s.createJob(j)
				s.untilStops(j.Name, "main", 1)
				s.wait(time.Second) // the older one goes, by the second
			}
			s.until("the older Job is gone", func() (bool, string) {
				_, err := s.kube.BatchV1().Jobs(s.ns).Get(s.ctx, "nightly-0", metav1.GetOptions{})
				return apierrors.IsNotFound(err), fmt.Sprint(err)
			})
		}},
		{name: "cron-job-scheduled", truth: []claim{
			completedWell("nightly/main", "exits with 0; then its Job is removed, since none is kept"),
			lifecycle("nightly/escort", "its pod was done", "sidecar_stopped", "", fair),
		}, run: func(s *space) {
			s.createCronJob("* * * * *", false, 0, misbehave("main", "sleep", "1s", "exit", "0"), sidecar(steady("escort")))
			list := s.untilStops("nightly", "main", 1)
			s.untilStops("nightly", "escort", 1)
			s.must(s.kube.BatchV1().CronJobs(s.ns).Delete(s.ctx, "nightly", metav1.DeleteOptions{}), "delete the cron job")
			s.untilGone()
			s.check(list, expect{exit: 0, workload: "CronJob/nightly"})
		}},
		{name: "delete-namespace-of-everything", truth: []claim{
			lifecycle("db/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
			lifecycle("agent/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
			lifecycle("batch/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
			completedWell("escorted/setup", "exits with 0, as it should"),
			lifecycle("escorted/main", "its namespace was deleted", "pod_deleted", "namespace", fair),
			lifecycle("escorted/escort", "its namespace was deleted", "pod_deleted", "namespace", fair),
			lifecycle("stubborn/main", "its namespace was deleted; it ignores SIGTERM", "grace_period_exceeded", "namespace", fair),
		}, run: func(s *space) {
			_, err := s.kube.AppsV1().StatefulSets(s.ns).Create(s.ctx, statefulSet(newPod("db", steady("main")), 2), metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			s.createDaemonSet(newPod("agent", misbehave("main", "term-exit", "143", "forever")), appsv1.RollingUpdateDaemonSetStrategyType)
			s.createJob(job(newPod("batch", steady("main")), 0))
			s.create(withInit(newPod("escorted", steady("main")), misbehave("setup", "exit", "0"), sidecar(steady("escort"))), graceful(newPod("stubborn", misbehave("main", "ignore-term", "forever")), 3))
			s.untilRunning("db-0", "db-1", "escorted", "stubborn")
			s.untilReadyLike("agent", 1)
			s.untilReadyLike("batch", 1)
			s.must(s.kube.CoreV1().Namespaces().Delete(s.ctx, s.ns, metav1.DeleteOptions{}), "delete the namespace")
			s.untilGone()
			s.untilStops("stubborn", "main", 1)
		}},
		{name: "statefulset-rollout", truth: []claim{lifecycle("db/main", rolled, "pod_deleted", "rollout", fair)}, run: func(s *space) {
			sets := s.kube.AppsV1().StatefulSets(s.ns)
			_, err := sets.Create(s.ctx, statefulSet(newPod("db", misbehave("main", "term-exit", "143", "forever")), 3), metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			s.untilReady("db", 3, "")
			_, err = sets.Patch(s.ctx, "db", types.StrategicMergePatchType, newVersion("main"), metav1.PatchOptions{})
			s.must(err, "change the stateful set")
			s.untilReady("db", 3, "VERSION")
			s.untilStops("db", "main", 3)
		}},
		{name: "statefulset-on-delete", truth: []claim{lifecycle("db/main", "changed, and its pods deleted by hand", "pod_deleted", byHand, fair)}, run: func(s *space) {
			sets := s.kube.AppsV1().StatefulSets(s.ns)
			set := statefulSet(newPod("db", steady("main")), 2)
			set.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
			_, err := sets.Create(s.ctx, set, metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			s.untilReady("db", 2, "")
			_, err = sets.Patch(s.ctx, "db", types.StrategicMergePatchType, newVersion("main"), metav1.PatchOptions{})
			s.must(err, "change the stateful set")
			s.replaceByHand("db", 2)
		}},
		{name: "daemonset-on-delete", truth: []claim{lifecycle("agent/main", "changed, and its pod deleted by hand", "pod_deleted", byHand, fair)}, run: func(s *space) {
			s.createDaemonSet(newPod("agent", steady("main")), appsv1.OnDeleteDaemonSetStrategyType)
			s.untilReadyLike("agent", 1)
			_, err := s.kube.AppsV1().DaemonSets(s.ns).Patch(s.ctx, "agent", types.StrategicMergePatchType, newVersion("main"), metav1.PatchOptions{})
			s.must(err, "change the daemon set")
			s.replaceByHand("agent", 1)
		}},
	}
}

// revisions returns the hashes of the ReplicaSets that the pods of a Deployment belong to.
func (s *space) revisions(name string) []string {
	var list []string
	for _, p := range s.pods() {
		if p.Labels["app"] == name && p.DeletionTimestamp == nil {
			list = append(list, p.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// kubectl does what a person does.
func (s *space) kubectl(args ...string) {
	s.t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(s.ctx, kubectlPath(), append([]string{"-n", s.ns}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out.String())
	}
}

// kubectlPath returns that of test/cluster, or else the one of the path.
func kubectlPath() string {
	file := filepath.Join(stateDir(), "bin", "kubectl")
	if _, err := os.Stat(file); err != nil {
		return "kubectl"
	}
	return file
}

// cordonAlone keeps the scenarios from each other that close the node, until this one ends.
func (s *space) cordonAlone() {
	s.cordoning.Lock()
	s.t.Cleanup(s.cordoning.Unlock)
}

func (s *space) createDaemonSet(p *corev1.Pod, strategy appsv1.DaemonSetUpdateStrategyType) {
	s.t.Helper()
	_, err := s.kube.AppsV1().DaemonSets(s.ns).Create(s.ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       appsv1.DaemonSetSpec{Selector: selector(p), Template: template(p), UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: strategy}},
	}, metav1.CreateOptions{})
	s.must(err, "create the daemon set")
}

// createCronJob creates "nightly", which keeps so many of its Jobs that are done.
func (s *space) createCronJob(schedule string, suspended bool, keep int32, main corev1.Container, init ...corev1.Container) *batchv1.CronJob {
	s.t.Helper()
	j := job(withInit(newPod("nightly", main), init...), 0)
	c, err := s.kube.BatchV1().CronJobs(s.ns).Create(s.ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec:       batchv1.CronJobSpec{Schedule: schedule, Suspend: &suspended, SuccessfulJobsHistoryLimit: &keep, JobTemplate: batchv1.JobTemplateSpec{Spec: j.Spec}},
	}, metav1.CreateOptions{})
	s.must(err, "create the cron job")
	return c
}

// replaceByHand deletes the n pods of a controller that replaces none by itself, and waits
// for those of the new version.
func (s *space) replaceByHand(name string, n int) {
	s.t.Helper()
	s.wait(3 * time.Second) // in which the controller does nothing
	for _, p := range s.pods() {
		if len(p.Spec.Containers[0].Env) > 0 {
			s.t.Errorf("pod %s was replaced by the controller", p.Name)
		}
		s.deletePod(p.Name)
	}
	s.untilReady(name, n, "VERSION")
	s.untilStops(name, "main", n)
}
