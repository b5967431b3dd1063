//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

const (
	// soakPrefix begins the names of the namespaces of the soak.
	soakPrefix = "soak-"
	kwokPrefix = "kwok-"
	// kwokLabel and kwokAnnotations are those of test/cluster/internal/cluster/kwok.yaml.
	kwokLabel     = "whyrestart.test/node"
	kwokEndsAfter = "kwok.whyrestart.test/ends-after"
	kwokTermExit  = "kwok.whyrestart.test/term-exit"
	kwokTaint     = "whyrestart.test/kwok"
	// soakVersion is the environment variable by which a template is changed.
	soakVersion = "VERSION"
)

// member is a workload of the fleet.
type member struct {
	namespace, kind, name string
	replicas              int32
	// onDelete tells that its pods are replaced when they are deleted.
	onDelete bool
	// real tells that it runs on the real node.
	real bool
	hpa  bool
}

func (m *member) String() string { return fmt.Sprintf("%s %s/%s", m.kind, m.namespace, m.name) }

// owns tells the pods of the member. They are labelled with its name.
func (m *member) owns(p *corev1.Pod) bool {
	return p.Namespace == m.namespace && p.Labels["app"] == m.name
}

// makeNodes starts kwok and creates its nodes.
func (k *soak) makeNodes() {
	k.t.Helper()
	k.must(k.node.do(k.ctx, "start-kwok"), "start kwok")
	k.must(k.removeNodes(k.ctx), "remove the nodes of an earlier run")
	for i := range soakNodes {
		name := fmt.Sprintf("%s%d", kwokPrefix, i)
		_, err := k.kube.CoreV1().Nodes().Create(k.ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				kwokLabel: "kwok", corev1.LabelHostname: name, "zone": string(rune('a' + i%3)),
			}},
			Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: kwokTaint, Effect: corev1.TaintEffectNoSchedule}}},
		}, metav1.CreateOptions{})
		k.must(err, "create a node")
	}
	k.until(patience, "the nodes of kwok are ready", func() (bool, string) {
		list, err := k.kube.CoreV1().Nodes().List(k.ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		ready := 0
		for i := range list.Items {
			n := &list.Items[i]
			if n.Labels[kwokLabel] != "" && len(n.Spec.Taints) == 1 && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}) {
				ready++
			}
		}
		return ready == soakNodes, fmt.Sprintf("%d are", ready)
	})
}

func (k *soak) removeNodes(ctx context.Context) error {
	return k.kube.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: kwokLabel})
}

// onKwok puts a pod on the nodes of kwok.
func onKwok(p *corev1.Pod, annotations ...string) *corev1.Pod {
	p.Spec.NodeSelector = map[string]string{kwokLabel: "kwok"}
	p.Spec.Tolerations = []corev1.Toleration{{Key: kwokTaint, Operator: corev1.TolerationOpExists}}
	p.Annotations = map[string]string{}
	for i := 0; i+1 < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	grace := int64(5)
	p.Spec.TerminationGracePeriodSeconds = &grace
	return p
}

// onNode1 puts a pod on the real node. Nothing there tolerates that it is cordoned.
func onNode1(p *corev1.Pod) *corev1.Pod {
	p.Spec.Tolerations = nil
	return p
}

// makeFleet creates the workloads, and waits until they run.
func (k *soak) makeFleet() {
	k.t.Helper()
	for _, ns := range []string{"shop", "pay", "data", "edge"} {
		k.createNamespace(soakPrefix + ns)
	}
	shop, pay, data, edge := soakPrefix+"shop", soakPrefix+"pay", soakPrefix+"data", soakPrefix+"edge"
	web := func(name string) *corev1.Pod { return onKwok(newPod(name, steady("main"))) }
	escorted := func(name string) *corev1.Pod {
		return onKwok(withInit(newPod(name, steady("main")), misbehave("setup", "exit", "0"), sidecar(steady("escort"))), kwokTermExit, "143")
	}
	pair := func(name string) *corev1.Pod {
		return onKwok(newPod(name, steady("main"), steady("proxy")), kwokTermExit, "143")
	}
	for i, make := range []func(string) *corev1.Pod{web, escorted, pair, web, escorted, pair, web, escorted, pair, web} {
		k.add(&member{namespace: []string{shop, pay, edge}[i%3], kind: "Deployment", name: fmt.Sprintf("app-%d", i), replicas: int32(2 + i%4)}, make(fmt.Sprintf("app-%d", i)))
	}
	k.add(&member{namespace: edge, kind: "Deployment", name: "scaled", replicas: 4, hpa: true}, pair("scaled"))
	k.add(&member{namespace: pay, kind: "Deployment", name: "elastic", replicas: 3, hpa: true}, escorted("elastic"))
	for i, make := range []func(string) *corev1.Pod{web, escorted, pair, web} {
		k.add(&member{namespace: data, kind: "StatefulSet", name: fmt.Sprintf("db-%c", 'a'+i), replicas: 3, onDelete: i == 3}, make(fmt.Sprintf("db-%c", 'a'+i)))
	}
	for i, make := range []func(string) *corev1.Pod{web, escorted, pair} {
		name := fmt.Sprintf("agent-%c", 'a'+i)
		p := make(name)
		p.Spec.NodeSelector["zone"] = string(rune('a' + i)) // a third of the nodes each
		k.add(&member{namespace: edge, kind: "DaemonSet", name: name, onDelete: i == 2}, p)
	}
	done := func(name string) *corev1.Pod {
		return onKwok(newPod(name, misbehave("main", "exit", "0")), kwokEndsAfter, "3s")
	}
	k.add(&member{namespace: data, kind: "CronJob", name: "report"}, done("report"))
	k.add(&member{namespace: data, kind: "CronJob", name: "clean-up"}, withInit(done("clean-up"), sidecar(steady("escort"))))
	k.add(&member{namespace: data, kind: "Job", name: "import"}, done("import"))
	k.add(&member{namespace: pay, kind: "Job", name: "settle"}, withInit(done("settle"), misbehave("setup", "exit", "0"), sidecar(steady("escort"))))

	k.add(&member{namespace: shop, kind: "Deployment", name: "front", replicas: 2, real: true}, onNode1(newPod("front", steady("main"))))
	k.add(&member{namespace: pay, kind: "Deployment", name: "till", replicas: 2, real: true}, onNode1(withInit(newPod("till", misbehave("main", "term-exit", "143", "forever")), misbehave("setup", "exit", "0"), sidecar(steady("escort")))))
	k.add(&member{namespace: data, kind: "StatefulSet", name: "queue", replicas: 2, real: true}, onNode1(newPod("queue", misbehave("main", "term-after", "500ms", "forever"))))
	k.add(&member{namespace: edge, kind: "DaemonSet", name: "probe", real: true}, onNode1(newPod("probe", with(misbehave("main", "listen", ":8080", "forever"), func(c *corev1.Container) { c.ReadinessProbe = httpProbe(8080) }))))
	k.add(&member{namespace: data, kind: "CronJob", name: "tick", real: true}, onNode1(newPod("tick", misbehave("main", "sleep", "1s", "exit", "0"))))
	k.add(&member{namespace: shop, kind: "Job", name: "index", real: true}, onNode1(withInit(newPod("index", misbehave("main", "sleep", "1s", "exit", "0")), sidecar(steady("escort")))))
	k.add(&member{namespace: shop, kind: "Deployment", name: "static", replicas: 1, real: true}, onNode1(newPod("static", steady("main"))))

	k.planted = k.plants()
	for _, p := range k.planted {
		k.create(&p.member, p.well)
	}
	if n := len(k.fleet) + len(k.planted); n != 40 {
		k.t.Errorf("the fleet has %d workloads, not 40", n)
	}
	for _, m := range k.fleet {
		if m.hpa {
			k.autoscale(m)
		}
	}
	k.until(patience, "the fleet runs", func() (bool, string) {
		var waiting []string
		pods := k.livePods(func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodPending })
		for _, p := range pods {
			waiting = append(waiting, p.Namespace+"/"+p.Name)
		}
		return len(waiting) == 0, strings.Join(waiting, ", ")
	})
	k.say("%d workloads on %d nodes run in %d pods", len(k.fleet)+len(k.planted), soakNodes+1, len(k.livePods(func(*corev1.Pod) bool { return true })))
}

func (k *soak) createNamespace(name string) {
	k.t.Helper()
	key, value, _ := strings.Cut(suiteLabel, "=")
	_, err := k.kube.CoreV1().Namespaces().Create(k.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{key: value}}}, metav1.CreateOptions{})
	k.must(err, "create a namespace")
}

// add creates a healthy workload.
func (k *soak) add(m *member, p *corev1.Pod) {
	k.t.Helper()
	k.fleet = append(k.fleet, m)
	k.create(m, p)
}

// create creates a workload of a pod.
func (k *soak) create(m *member, p *corev1.Pod) {
	k.t.Helper()
	t := template(p)
	t.Annotations = p.Annotations
	meta := metav1.ObjectMeta{Namespace: m.namespace, Name: m.name}
	var err error
	switch m.kind {
	case "Deployment":
		_, err = k.kube.AppsV1().Deployments(m.namespace).Create(k.ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &m.replicas, Selector: selector(p), Template: t}}, metav1.CreateOptions{})
	case "StatefulSet":
		s := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &m.replicas, Selector: selector(p), Template: t, ServiceName: m.name, PodManagementPolicy: appsv1.ParallelPodManagement}}
		if m.onDelete {
			s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		}
		_, err = k.kube.AppsV1().StatefulSets(m.namespace).Create(k.ctx, s, metav1.CreateOptions{})
	case "DaemonSet":
		d := &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector(p), Template: t}}
		if m.onDelete {
			d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
		}
		_, err = k.kube.AppsV1().DaemonSets(m.namespace).Create(k.ctx, d, metav1.CreateOptions{})
	case "CronJob":
		t.Spec.RestartPolicy = corev1.RestartPolicyNever
		none, one := int32(0), int32(1)
		_, err = k.kube.BatchV1().CronJobs(m.namespace).Create(k.ctx, &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", SuccessfulJobsHistoryLimit: &one, FailedJobsHistoryLimit: &one,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{BackoffLimit: &none, Template: t}},
		}}, metav1.CreateOptions{})
	case "Job":
		t.Spec.RestartPolicy = corev1.RestartPolicyNever
		none, ttl := int32(0), int32(2)
		_, err = k.kube.BatchV1().Jobs(m.namespace).Create(k.ctx, &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{BackoffLimit: &none, TTLSecondsAfterFinished: &ttl, Template: t}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil // the one before is not gone yet
		}
	default:
		err = fmt.Errorf("no workload is a %s", m.kind)
	}
	k.must(err, "create "+m.String())
}

// change edits the template of a workload, as a person does who rolls something out.
func (k *soak) change(m *member, edit func(*corev1.PodSpec)) {
	k.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() (err error) {
		switch m.kind {
		case "Deployment":
			o, err := k.kube.AppsV1().Deployments(m.namespace).Get(k.ctx, m.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			edit(&o.Spec.Template.Spec)
			_, err = k.kube.AppsV1().Deployments(m.namespace).Update(k.ctx, o, metav1.UpdateOptions{})
			return err
		case "StatefulSet":
			o, err := k.kube.AppsV1().StatefulSets(m.namespace).Get(k.ctx, m.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			edit(&o.Spec.Template.Spec)
			_, err = k.kube.AppsV1().StatefulSets(m.namespace).Update(k.ctx, o, metav1.UpdateOptions{})
			return err
		case "DaemonSet":
			o, err := k.kube.AppsV1().DaemonSets(m.namespace).Get(k.ctx, m.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			edit(&o.Spec.Template.Spec)
			_, err = k.kube.AppsV1().DaemonSets(m.namespace).Update(k.ctx, o, metav1.UpdateOptions{})
			return err
		case "CronJob":
			o, err := k.kube.BatchV1().CronJobs(m.namespace).Get(k.ctx, m.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			edit(&o.Spec.JobTemplate.Spec.Template.Spec)
			_, err = k.kube.BatchV1().CronJobs(m.namespace).Update(k.ctx, o, metav1.UpdateOptions{})
			return err
		}
		return fmt.Errorf("the template of a %s is not changed", m.kind)
	})
	k.must(err, "change "+m.String())
}

// setReplicas scales a Deployment or a StatefulSet.
func (k *soak) setReplicas(m *member, n int32) {
	k.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
	var err error
	if m.kind == "StatefulSet" {
		_, err = k.kube.AppsV1().StatefulSets(m.namespace).Patch(k.ctx, m.name, types.MergePatchType, patch, metav1.PatchOptions{})
	} else {
		_, err = k.kube.AppsV1().Deployments(m.namespace).Patch(k.ctx, m.name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	k.must(err, "scale "+m.String())
}

// autoscale gives a Deployment an autoscaler. There are no metrics in the cluster: what it
// still does is to keep the replicas within its bounds.
func (k *soak) autoscale(m *member) {
	k.t.Helper()
	k.must(createAutoscaler(k.ctx, k.suite, m.namespace, m.name, 6), "create an autoscaler")
}

// createAutoscaler creates one that keeps a Deployment at no more than most replicas.
func createAutoscaler(ctx context.Context, s *suite, namespace, name string, most int32) error {
	least, half := int32(1), int32(50)
	_, err := s.kube.AutoscalingV2().HorizontalPodAutoscalers(namespace).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MinReplicas:    &least, MaxReplicas: most,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &half},
			}}},
		},
	}, metav1.CreateOptions{})
	return err
}

// bound changes the most replicas that an autoscaler allows.
func (k *soak) bound(m *member, most int32) {
	k.t.Helper()
	_, err := k.kube.AutoscalingV2().HorizontalPodAutoscalers(m.namespace).Patch(k.ctx, m.name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"maxReplicas":%d}}`, most), metav1.PatchOptions{})
	k.must(err, "change the autoscaler of "+m.String())
}

// setCordon closes a node for new pods, or opens it.
func (k *soak) setCordon(ctx context.Context, node string, closed bool) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"unschedulable": closed}})
	if err != nil {
		return err
	}
	_, err = k.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// uncordon opens the drained nodes but one.
func (k *soak) uncordon(ctx context.Context, but string) {
	k.drained = slices.DeleteFunc(k.drained, func(n string) bool {
		if n == but {
			return false
		}
		if err := k.setCordon(ctx, n, false); err != nil {
			k.t.Errorf("uncordon %s: %v", n, err)
		}
		return true
	})
}

// settleFor is how long the cluster is left alone before the judgement.
const settleFor = 8 * time.Second
