//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// churn makes changes every few seconds until the time is over.
func (k *soak) churn() {
	k.t.Helper()
	// The slow ones early, all of them in the first half: each is to live through changes.
	for _, p := range k.planted {
		within := k.lasts / 2
		if p.slow {
			within = k.lasts / 8
		}
		p.after = time.Duration(k.random.Int64N(int64(within)))
	}
	k.began = time.Now()
	for time.Since(k.began) < k.lasts && !k.t.Failed() {
		k.plantNext()
		k.once()
		k.reopen()
		k.wait(700*time.Millisecond + time.Duration(k.random.Int64N(int64(1500*time.Millisecond))))
	}
}

// plantNext rolls out the failures whose time has come.
func (k *soak) plantNext() {
	k.t.Helper()
	for _, p := range k.planted {
		if p.at.IsZero() && time.Since(k.began) >= p.after {
			p.at = time.Now()
			k.say("PLANT %s: %s", &p.member, p.truth)
			k.change(&p.member, p.breaking)
		}
	}
}

// once makes one change at random.
func (k *soak) once() {
	k.t.Helper()
	kinds := []struct {
		name   string
		weight int
		make   func() string
	}{
		{"rollout", 6, k.rollOut}, {"rollback", 4, k.rollBack}, {"scale", 5, k.rescale}, {"autoscaler", 3, k.rebound},
		{"drain of a kwok node", 4, k.drainKwok}, {"drain of the real node", 1, k.drainReal}, {"pod deletion", 4, k.deleteSome}, {"job", 3, k.runJob},
		{"namespace made", 2, k.makeSpace}, {"namespace deleted", 2, k.deleteSpace}, {"rollout of a failing workload", 3, k.rollOutPlanted},
		{"scale of a failing workload", 2, k.rescalePlanted}, {"deletion of a failing pod", 2, k.deletePlanted},
	}
	sum := 0
	for _, o := range kinds {
		sum += o.weight
	}
	n := k.random.IntN(sum)
	for _, o := range kinds {
		if n -= o.weight; n < 0 {
			if did := o.make(); did != "" {
				k.did[o.name]++
				k.say("%s: %s", o.name, did)
			}
			return
		}
	}
}

// pick returns a member at random, nil where none will do.
func (k *soak) pick(will func(*member) bool) *member {
	list := slices.DeleteFunc(slices.Clone(k.fleet), func(m *member) bool { return !will(m) })
	if len(list) == 0 {
		return nil
	}
	return list[k.random.IntN(len(list))]
}

func rolls(m *member) bool { return m.kind != "Job" && m.kind != "CronJob" }

// version changes an environment variable, and so the template.
func (k *soak) version() func(*corev1.PodSpec) {
	k.made++
	value := fmt.Sprint(k.made)
	return func(p *corev1.PodSpec) {
		c := &p.Containers[0]
		c.Env = []corev1.EnvVar{{Name: soakVersion, Value: value}}
	}
}

func (k *soak) rollOut() string {
	m := k.pick(rolls)
	k.change(m, k.version())
	if m.onDelete {
		k.deletePods(k.podsOf(m), 1)
	}
	return m.String()
}

// rollBack does what "kubectl rollout undo" does, by calling it.
func (k *soak) rollBack() string {
	m := k.pick(func(m *member) bool { return rolls(m) && !m.onDelete })
	var out bytes.Buffer
	cmd := exec.CommandContext(k.ctx, kubectlPath(), "rollout", "undo", "-n", m.namespace, strings.ToLower(m.kind)+"/"+m.name)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if strings.Contains(out.String(), "no rollout history") || strings.Contains(out.String(), "no last revision") || strings.Contains(out.String(), "skipped rollback") {
			return ""
		}
		k.t.Errorf("kubectl rollout undo of %s: %v: %s", m, err, out.String())
	}
	return m.String()
}

func (k *soak) rescale() string {
	m := k.pick(func(m *member) bool { return m.replicas > 0 })
	n := int32(k.random.IntN(6))
	if m.real {
		n = int32(k.random.IntN(3))
	}
	k.setReplicas(m, n)
	return fmt.Sprintf("%s to %d", m, n)
}

// rebound has the autoscaler cut the replicas, or lets them grow and sets them higher.
func (k *soak) rebound() string {
	m := k.pick(func(m *member) bool { return m.hpa })
	most := int32(1 + k.random.IntN(3))
	if k.random.IntN(2) == 0 {
		most = 6
		k.bound(m, most)
		k.setReplicas(m, 5)
		return fmt.Sprintf("%s at most %d, and set to 5", m, most)
	}
	k.bound(m, most)
	return fmt.Sprintf("%s at most %d", m, most)
}

func (k *soak) drainKwok() string {
	if len(k.drained) >= 4 {
		return ""
	}
	node := fmt.Sprintf("%s%d", kwokPrefix, k.random.IntN(soakNodes))
	return k.drain(node)
}

func (k *soak) drainReal() string { return k.drain(k.realNode()) }

func (k *soak) realNode() string {
	list, err := k.kube.CoreV1().Nodes().List(k.ctx, metav1.ListOptions{LabelSelector: "!" + kwokLabel})
	k.must(err, "list the nodes")
	return list.Items[0].Name
}

// drain cordons a node, and evicts what is on it but the pods of DaemonSets.
func (k *soak) drain(node string) string {
	if slices.Contains(k.drained, node) {
		return ""
	}
	k.must(k.setCordon(k.ctx, node, true), "cordon "+node)
	k.drained = append(k.drained, node)
	pods := k.livePods(func(p *corev1.Pod) bool {
		o := metav1.GetControllerOf(p)
		return p.Spec.NodeName == node && (o == nil || o.Kind != "DaemonSet") && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
	})
	for _, p := range pods {
		e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}}
		if err := k.kube.PolicyV1().Evictions(p.Namespace).Evict(k.ctx, e); err != nil && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			k.t.Errorf("evict %s/%s: %v", p.Namespace, p.Name, err)
		}
	}
	return fmt.Sprintf("%s, %d pods evicted", node, len(pods))
}

// reopen uncordons what was drained: the real node at once, those of kwok now and then.
func (k *soak) reopen() {
	k.t.Helper()
	real := slices.DeleteFunc(slices.Clone(k.drained), func(n string) bool { return strings.HasPrefix(n, kwokPrefix) })
	switch {
	case len(k.drained) == 0:
	case len(real) > 0 || len(k.drained) >= 4 || k.random.IntN(4) == 0:
		k.say("uncordon %s", strings.Join(k.drained, ", "))
		k.uncordon(k.ctx, "")
	}
}

func (k *soak) podsOf(m *member) []*corev1.Pod {
	return k.livePods(func(p *corev1.Pod) bool { return m.owns(p) })
}

// deletePods deletes up to n of the pods, at random.
func (k *soak) deletePods(pods []*corev1.Pod, n int) []string {
	k.t.Helper()
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	k.random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	var names []string
	for _, p := range pods[:min(n, len(pods))] {
		if err := k.kube.CoreV1().Pods(p.Namespace).Delete(k.ctx, p.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			k.t.Errorf("delete pod %s/%s: %v", p.Namespace, p.Name, err)
		}
		names = append(names, p.Name)
	}
	return names
}

func (k *soak) deleteSome() string {
	m := k.pick(rolls)
	return strings.Join(k.deletePods(k.podsOf(m), 1+k.random.IntN(3)), ", ")
}

func (k *soak) runJob() string {
	k.made++
	real := k.random.IntN(3) == 0
	m := &member{namespace: soakPrefix + "data", kind: "Job", name: fmt.Sprintf("batch-%d", k.made), real: real}
	if real {
		k.create(m, onNode1(withInit(newPod(m.name, misbehave("main", "sleep", "1s", "exit", "0")), misbehave("setup", "exit", "0"))))
	} else {
		k.create(m, onKwok(withInit(newPod(m.name, misbehave("main", "exit", "0")), sidecar(steady("escort"))), kwokEndsAfter, "2s"))
	}
	return m.String()
}

// makeSpace makes a namespace with workloads that are well.
func (k *soak) makeSpace() string {
	if len(k.spaces) > 2 {
		return ""
	}
	k.made++
	sp := &passing{name: fmt.Sprintf("%spreview-%d", soakPrefix, k.made), made: time.Now()}
	k.spaces = append(k.spaces, sp)
	k.createNamespace(sp.name)
	k.create(&member{namespace: sp.name, kind: "Deployment", name: "web", replicas: 3}, onKwok(newPod("web", steady("main"), steady("proxy")), kwokTermExit, "143"))
	k.create(&member{namespace: sp.name, kind: "StatefulSet", name: "db", replicas: 2}, onKwok(withInit(newPod("db", steady("main")), misbehave("setup", "exit", "0"))))
	k.create(&member{namespace: sp.name, kind: "Deployment", name: "api", replicas: 1}, onNode1(newPod("api", steady("main"))))
	return sp.name
}

func (k *soak) deleteSpace() string {
	i := slices.IndexFunc(k.spaces, func(sp *passing) bool { return time.Since(sp.made) > 5*time.Second })
	if i < 0 {
		return ""
	}
	name := k.spaces[i].name
	k.spaces = slices.Delete(k.spaces, i, i+1)
	k.must(k.kube.CoreV1().Namespaces().Delete(k.ctx, name, metav1.DeleteOptions{}), "delete the namespace "+name)
	return name
}

// failing returns a planted workload that fails and that will do.
func (k *soak) failing(will func(*plant) bool) *plant {
	list := slices.DeleteFunc(slices.Clone(k.planted), func(p *plant) bool { return p.at.IsZero() || time.Since(p.at) < 5*time.Second || !will(p) })
	if len(list) == 0 {
		return nil
	}
	return list[k.random.IntN(len(list))]
}

// rollOutPlanted rolls out a change that does not help, once the failure was told: what is
// rolled out before that is as good an explanation as what was planted.
func (k *soak) rollOutPlanted() string {
	p := k.failing(func(p *plant) bool { return k.isTold(p) })
	if p == nil {
		return ""
	}
	for _, other := range k.planted { // each has its turn
		if !other.at.IsZero() && other.rolled < p.rolled && k.isTold(other) {
			p = other
		}
	}
	p.rolled++
	k.change(&p.member, k.version())
	return p.String()
}

func (k *soak) rescalePlanted() string {
	p := k.failing(func(p *plant) bool { return p.replicas > 0 })
	if p == nil {
		return ""
	}
	n := int32(1 + k.random.IntN(3))
	k.setReplicas(&p.member, n)
	return fmt.Sprintf("%s to %d", p, n)
}

func (k *soak) deletePlanted() string {
	p := k.failing(func(p *plant) bool { return p.member.kind != "CronJob" })
	if p == nil {
		return ""
	}
	return strings.Join(k.deletePods(k.podsOf(&p.member), 2), ", ")
}

// isTold tells whether there is a record of the planted failure.
func (k *soak) isTold(p *plant) bool {
	return slices.ContainsFunc(k.records.of(p.kind, func(ns string) bool { return ns == p.namespace }), func(r record.Record) bool { return p.about(&r) })
}

// calm ends the changes, and waits until every planted failure was told and nothing more comes.
func (k *soak) calm() {
	k.t.Helper()
	k.uncordon(k.ctx, "")
	var parts []string
	for name, n := range k.did {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	k.say("no more changes; %s", strings.Join(parts, ", "))
	k.until(stallPatience, "every planted failure is told", func() (bool, string) {
		var silent []string
		for _, p := range k.planted {
			if !p.at.IsZero() && !k.isTold(p) {
				silent = append(silent, p.String())
			}
		}
		return len(silent) == 0, strings.Join(silent, ", ")
	})
	k.wait(settleFor)
}
