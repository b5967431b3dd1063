//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// plant is a workload that runs well until somebody rolls out what makes it fail.
type plant struct {
	member
	container string
	truth     string
	kind      record.Kind
	cause     string
	// detail is the refinement, with | between those that are as true.
	detail string
	// well is its pod before, break what the rollout changes.
	well     *corev1.Pod
	breaking func(*corev1.PodSpec)
	// changed is the field that the rollout changes, as an explanation names it.
	changed string
	// slow tells that it takes long until it is told: it is planted first.
	slow bool
	// at is when it is planted, zero until then.
	at    time.Time
	after time.Duration
	// issue is the ID of its issue, told how many records that has, and of how many pods; rolled is
	// how often something was rolled out that did not help.
	issue  string
	told   int
	pods   int
	rolled int
}

// plants returns the ten failures.
func (k *soak) plants() []*plant {
	shop, pay, data, edge := soakPrefix+"shop", soakPrefix+"pay", soakPrefix+"data", soakPrefix+"edge"
	on := func(namespace, kind, name string, replicas int32) member {
		return member{namespace: namespace, kind: kind, name: name, replicas: replicas, real: true}
	}
	pod := func(name string, c corev1.Container) *corev1.Pod { return onNode1(newPod(name, c)) }
	main := func(edit func(*corev1.Container)) func(*corev1.PodSpec) {
		return func(p *corev1.PodSpec) { edit(&p.Containers[0]) }
	}
	args := func(verbs ...string) func(*corev1.PodSpec) {
		return main(func(c *corev1.Container) { c.Args = verbs })
	}
	probed := func(c corev1.Container, path string) corev1.Container {
		c.ReadinessProbe = httpProbe(8080)
		c.ReadinessProbe.HTTPGet.Path = path
		return c
	}
	return []*plant{
		{
			member: on(shop, "Deployment", "checkout", 2), container: "main", kind: record.KindStop, cause: "oom_killed", detail: "container_limit|level_unknown", // until the node was read
			truth: "the memory limit is lowered from 128Mi to 32Mi, and the program needs 64 MiB",
			well:  pod("checkout", limited(misbehave("main", "sleep", "1s", "hold", "67108864", "forever"), "128Mi")),
			breaking: main(func(c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: quantity("32Mi")}
			}),
			changed: "containers[main].resources.limits.memory",
		},
		{
			member: on(shop, "Deployment", "cart", 2), container: "main", kind: record.KindStop, cause: "liveness_probe", detail: "http_500",
			truth: "/healthz answers 500 from the third second on",
			well: pod("cart", with(misbehave("main", "term-exit", "143", "listen", ":8080", "forever"), func(c *corev1.Container) {
				c.LivenessProbe = httpProbe(8080)
				c.LivenessProbe.InitialDelaySeconds = 2
			})),
			breaking: args("term-exit", "143", "listen", ":8080", "fail-after", "3s", "forever"), changed: "containers[main].args",
		},
		{
			member: on(data, "CronJob", "nightly", 0), container: "main", kind: record.KindStop, cause: "app_exit", detail: "panic", slow: true,
			truth: "a Go program panics, once a minute in a new Job",
			well:  pod("nightly", misbehave("main", "sleep", "1s", "exit", "0")), breaking: args("sleep", "1s", "panic"),
		},
		{
			member: on(data, "StatefulSet", "orders", 2), container: "main", kind: record.KindStop, cause: "app_exit", detail: "connection_refused",
			truth: "nobody listens where the program connects to",
			well:  pod("orders", steady("main")), breaking: args("sleep", "1s", "dial", "10.247.0.1:5432"), changed: "containers[main].args",
		},
		{
			member: on(pay, "Deployment", "search", 3), container: "main", kind: record.KindStop, cause: "command_not_found",
			truth: "the command is not in the image",
			well:  pod("search", steady("main")), breaking: main(func(c *corev1.Container) { c.Command = []string{"/usr/bin/search-server"} }), changed: "containers[main].command",
		},
		{
			member: on(pay, "Deployment", "media", 2), container: "main", kind: record.KindStall, cause: "image_not_found", slow: true,
			truth: "the registry says that it has no such tag",
			well:  pod("media", steady("main")), breaking: main(func(c *corev1.Container) { c.Image = k.registry.addr + "/shop/media:2.0.1" }), changed: "containers[main].image",
		},
		{
			member: on(edge, "Deployment", "mail", 2), container: "main", kind: record.KindStall, cause: "missing_configmap", detail: "env", slow: true,
			truth: "envFrom a ConfigMap that does not exist",
			well:  pod("mail", steady("main")), breaking: main(func(c *corev1.Container) {
				c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "mail-settings"}}}}
			}), changed: "containers[main].envFrom",
		},
		{
			member: on(pay, "Deployment", "ledger", 2), kind: record.KindStall, cause: "unschedulable", detail: "*", slow: true,
			truth: "a node selector that no node has",
			well:  pod("ledger", steady("main")), breaking: func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"disk": "nvme"} }, changed: "nodeSelector",
		},
		{
			member: on(edge, "Deployment", "gateway", 2), container: "main", kind: record.KindStall, cause: "readiness_probe", detail: "http_503", slow: true,
			truth: "/readyz answers 503",
			well:  pod("gateway", probed(misbehave("main", "listen", ":8080", "forever"), "/readyz")), breaking: args("listen", ":8080", "ready-after", "1h", "forever"), changed: "containers[main].args",
		},
		{
			member: on(edge, "DaemonSet", "exporter", 0), container: "setup", kind: record.KindStop, cause: "app_exit", detail: "*",
			truth: "the init container exits with 4",
			well:  onNode1(withInit(newPod("exporter", steady("main")), misbehave("setup", "exit", "0"))),
			breaking: func(p *corev1.PodSpec) {
				p.InitContainers[0].Args = []string{"sleep", "1s", "stderr", "fatal: schema version 4 is newer than 3", "exit", "4"}
			}, changed: "initContainers[setup].args",
		},
	}
}

// about tells whether a record is of the planted failure.
func (p *plant) about(r *record.Record) bool {
	return r.Namespace == p.namespace && r.Workload != nil && r.Workload.Kind == p.member.kind && r.Workload.Name == p.name &&
		r.Container == p.container && r.Kind == p.kind && r.Diagnosis.Cause == p.cause &&
		(p.detail == "*" || slices.Contains(strings.Split(p.detail, "|"), r.Diagnosis.Detail))
}
