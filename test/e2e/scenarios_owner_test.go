//go:build e2e

package e2e

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ownerScenarios are controllers that cannot make their pods.
func ownerScenarios() []scenario {
	const shop = "Deployment:shop"
	refused := func(name, truth, detail, quote string, before func(*space), change func(*corev1.PodSpec)) scenario {
		return scenario{name: "not-created-" + name, truth: []claim{stalled(shop, truth, "pod_not_created", detail, fair).quoting(quote)}, run: func(s *space) {
			before(s)
			s.createDeployment(deployment(changed(newPod("shop", steady("main")), change), 1))
		}}
	}
	keep := func(*corev1.PodSpec) {}
	return []scenario{
		refused("quota", "the namespace's quota allows no pod", "quota", "exceeded quota", func(s *space) {
			_, err := s.kube.CoreV1().ResourceQuotas(s.ns).Create(s.ctx, &corev1.ResourceQuota{
				ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: quantity("0")}},
			}, metav1.CreateOptions{})
			s.must(err, "create a quota")
			s.until("the quota counts", func() (bool, string) {
				q, err := s.kube.CoreV1().ResourceQuotas(s.ns).Get(s.ctx, "none", metav1.GetOptions{})
				return err == nil && len(q.Status.Hard) > 0, fmt.Sprint(err)
			})
		}, keep),
		refused("limit-range", "the namespace's LimitRange allows no more than 16 MiB", "limit_range", "maximum memory usage", func(s *space) {
			_, err := s.kube.CoreV1().LimitRanges(s.ns).Create(s.ctx, &corev1.LimitRange{
				ObjectMeta: metav1.ObjectMeta{Name: "small"},
				Spec:       corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: quantity("16Mi")}}}},
			}, metav1.CreateOptions{})
			s.must(err, "create a limit range")
		}, func(p *corev1.PodSpec) { p.Containers[0] = limited(p.Containers[0], "64Mi") }),
		refused("pod-security", "the namespace enforces the restricted level of pod security", "pod_security", "violates PodSecurity", func(s *space) {
			patch := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
			_, err := s.kube.CoreV1().Namespaces().Patch(s.ctx, s.ns, types.MergePatchType, patch, metav1.PatchOptions{})
			s.must(err, "label the namespace")
		}, keep),
		refused("priority-class", "a priority class that does not exist", "priority_class", "no PriorityClass", func(*space) {}, func(p *corev1.PodSpec) { p.PriorityClassName = "no-such-class" }),
		refused("webhook", "an admission webhook does not answer", "webhook|webhook_unreachable", "failed calling webhook", func(s *space) { s.deadWebhook() }, keep),
		{
			name: "not-created-of-job", truth: []claim{stalled("Job:batch", "the namespace's quota allows no pod", "pod_not_created", "quota", fair).quoting("exceeded quota")}, run: func(s *space) {
				_, err := s.kube.CoreV1().ResourceQuotas(s.ns).Create(s.ctx, &corev1.ResourceQuota{
					ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: quantity("0")}},
				}, metav1.CreateOptions{})
				s.must(err, "create a quota")
				s.until("the quota counts", func() (bool, string) {
					q, err := s.kube.CoreV1().ResourceQuotas(s.ns).Get(s.ctx, "none", metav1.GetOptions{})
					return err == nil && len(q.Status.Hard) > 0, fmt.Sprint(err)
				})
				s.createJob(job(newPod("batch", misbehave("main", "exit", "0")), 0))
			},
		},
	}
}

// deadWebhook puts a webhook that does not answer in the way of the namespace's pods.
func (s *space) deadWebhook() {
	s.t.Helper()
	name, url, fail, none := s.ns+".whyrestart.test", "https://127.0.0.1:1/", admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	webhooks := s.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := webhooks.Create(s.ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: name, ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url}, FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create}, Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		s.must(err, "create a webhook")
	}
	s.t.Cleanup(func() { _ = webhooks.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// controllerScenarios are pods that their controllers take away, or that are taken from them.
func controllerScenarios() []scenario {
	return []scenario{
		{name: "rollback", truth: []claim{lifecycle("shop/main", "replaced by a rollout, and by the rollback of it", "pod_deleted", "rollout", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: "2"}} })
			s.untilReady(d.Name, 2, "VERSION")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = nil })
			s.untilReady(d.Name, 2, "")
			s.untilStops("shop", "main", 4)
		}},
		{name: "deployment-deleted", truth: []claim{lifecycle("shop/main", "its Deployment was deleted", "pod_deleted", "controller", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.must(s.kube.AppsV1().Deployments(s.ns).Delete(s.ctx, d.Name, metav1.DeleteOptions{}), "delete the deployment")
			s.untilGone()
			s.untilStops("shop", "main", 2)
		}},
		{name: "pod-of-deployment-deleted", truth: []claim{lifecycle("shop/main", "deleted with kubectl delete pod", "pod_deleted", "direct", fair)}, run: func(s *space) {
			d := deployment(newPod("shop", steady("main")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.deletePod(s.pods()[0].Name)
			s.untilStops("shop", "main", 1)
			s.untilReady(d.Name, 2, "")
		}},
		{name: "statefulset-scaled-down", truth: []claim{lifecycle("db-1/main", "scaled down from two to one", "pod_deleted", "scale_down", fair)}, run: func(s *space) {
			sets := s.kube.AppsV1().StatefulSets(s.ns)
			_, err := sets.Create(s.ctx, statefulSet(newPod("db", steady("main")), 2), metav1.CreateOptions{})
			s.must(err, "create the stateful set")
			s.untilRunning("db-0", "db-1")
			_, err = sets.Patch(s.ctx, "db", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
			s.must(err, "scale the stateful set")
			s.untilGone("db-1")
			s.untilStops("db-1", "main", 1)
		}},
		{name: "rollout-ignores-sigterm", truth: []claim{lifecycle("shop/main", "replaced by a rollout; it ignores SIGTERM", "grace_period_exceeded", "rollout", fair)}, run: func(s *space) {
			d := deployment(graceful(newPod("shop", misbehave("main", "ignore-term", "forever")), 3), 1)
			s.createDeployment(d)
			s.untilReady(d.Name, 1, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: "2"}} })
			s.untilReady(d.Name, 1, "VERSION")
			s.untilStops("shop", "main", 1)
		}},
		{name: "job-backoff", truth: []claim{
			crashing("batch/main", "the first pod of the Job exits with 3").only(exited(3)),
			lifecycle("batch/main", "stopped, since the Job has failed", "pod_deleted", "job", fair).only(notExited(3)),
		}, run: func(s *space) {
			j := job(newPod("batch", shell("main", "trap 'exit 0' TERM; [ $JOB_COMPLETION_INDEX = 0 ] && sleep 4 && exit 3; while :; do sleep 0.1; done")), 0)
			two, indexed := int32(2), batchv1.IndexedCompletion
			j.Spec.Parallelism, j.Spec.Completions, j.Spec.CompletionMode = &two, &two, &indexed
			s.createJob(j)
			s.untilJob(j.Name, failed)
			s.untilStops("batch", "main", 2)
		}},
		{name: "cron-job", truth: []claim{completedWell("nightly/main", "exits with 0, as it should")}, run: func(s *space) {
			// Its pods belong to the CronJob, by way of a Job that "kubectl create job --from" makes.
			suspended := true
			j := job(newPod("nightly", misbehave("main", "sleep", "1s", "exit", "0")), 0)
			c, err := s.kube.BatchV1().CronJobs(s.ns).Create(s.ctx, &batchv1.CronJob{
				ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
				Spec:       batchv1.CronJobSpec{Schedule: "0 3 * * *", Suspend: &suspended, JobTemplate: batchv1.JobTemplateSpec{Spec: j.Spec}},
			}, metav1.CreateOptions{})
			s.must(err, "create the cron job")
			j.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
			s.createJob(j)
			s.untilJob(j.Name, complete)
			s.check(s.untilStops("nightly", "main", 1), expect{exit: 0, workload: "CronJob/nightly"})
		}},
		{name: "pod-deadline", truth: []claim{failure("late/main", "the pod's activeDeadlineSeconds are over", "deadline_exceeded", "pod", proven)}, run: func(s *space) {
			seconds := int64(4)
			s.create(policy(changed(newPod("late", steady("main")), func(p *corev1.PodSpec) { p.ActiveDeadlineSeconds = &seconds }), corev1.RestartPolicyNever))
			s.untilStops("late", "main", 1)
		}},
		{name: "restart-rule", truth: []claim{
			crashing("ruled/main", "exits with 42, for which a rule restarts it").only(exited(42)),
			completedWell("ruled/main", "exits with 0 on its third run").only(exited(0)),
		}, run: func(s *space) {
			never := corev1.ContainerRestartPolicyNever
			c := misbehave("main", "sleep", "1s", "exit-until-run", scratch+"/runs", "3", "42", "exit", "0")
			c.RestartPolicy = &never
			c.RestartPolicyRules = []corev1.ContainerRestartRule{{
				Action:    corev1.ContainerRestartRuleActionRestart,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
			}}
			s.create(policy(newPod("ruled", c), corev1.RestartPolicyNever))
			s.check(s.untilStops("ruled", "main", 3)[:2], expect{exit: 42, typ: "app"})
		}},
	}
}
