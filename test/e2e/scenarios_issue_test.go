//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// issueScenarios are about what many stops have in common.
func issueScenarios() []scenario {
	// The bridge of the pods' network: an address of the node where nobody listens.
	const database = "10.247.0.1:5439"
	refused := func(name string) *appsv1.Deployment {
		return deployment(newPod(name, misbehave("main", "sleep", "1s", "dial", database)), 1)
	}
	return []scenario{
		{name: "issue-over-rollouts", truth: []claim{
			crashing("shop/main", "exits with 15, in each of three versions").only(exited(15)),
			besideDeletion("shop/main").only(exited(15)),
			lifecycle("shop/main", "replaced by a rollout while it ran", "pod_deleted|grace_period_exceeded", "rollout", fair).only(notExited(15)).maybe(),
			failure("shop/main", "replaced by a rollout while it ended", "unknown", "*", untold).only(notExited(15)).maybe(),
		}, run: func(s *space) {
			d := deployment(newPod("shop", misbehave("main", "sleep", "1s", "exit", "15")), 1)
			d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
			s.createDeployment(d)
			s.untilStops("shop", "main", 2)
			for _, version := range []string{"2", "3"} {
				before := s.revisions("shop")
				s.changeDeployment(d.Name, func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "VERSION", Value: version}} })
				s.until("a pod of version "+version+" was restarted", func() (bool, string) {
					return slices.ContainsFunc(s.pods(), func(p *corev1.Pod) bool {
						st := statusOf(p, "main")
						return !slices.Contains(before, p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]) && st != nil && st.RestartCount >= 2
					}), describe(s.pods()...)
				})
			}
			s.untilIssues("there is one issue, of three revisions", func(doc issue.Document) bool {
				return len(doc.Issues) == 1 && len(doc.Issues[0].Revisions.Values) == 3 && len(doc.Issues[0].Pods.Values) >= 3 && doc.Issues[0].State == issue.New
			})
		}},
		{name: "issue-of-rollout", truth: []claim{
			failure("shop/main", "a rollout lowers its limit from 96Mi to 24Mi, and it takes 48 MiB", "oom_killed", "*", fair).only(exited(137)),
			lifecycle("shop/main", "replaced by a rollout", "pod_deleted", "rollout", fair).only(notExited(137)).maybe(),
		}, run: func(s *space) {
			d := deployment(newPod("shop", limited(misbehave("main", "sleep", "1s", "hold", "50331648", "forever"), "96Mi")), 2)
			s.createDeployment(d)
			s.untilReady(d.Name, 2, "")
			s.changeDeployment(d.Name, func(c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: quantity("24Mi")}
				c.Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "swordfish"}}
			})
			s.untilStops("shop", "main", 2)
			s.untilIssues("the issue names the rollout and its fields", func(doc issue.Document) bool {
				return len(doc.Issues) == 1 && namesRollout(doc.Issues[0].Changes,
					record.FieldChange{Field: "containers[main].resources.limits.memory", Old: "96Mi", New: "24Mi"})
			})
			for _, line := range s.records.printed(s.ns) {
				if strings.Contains(line, "swordfish") {
					s.t.Errorf("the value of an environment variable is shown: %s", line)
				}
			}
		}},
		{name: "incident-of-dependency", truth: []claim{
			failure("cart/main", "nobody listens at the database's address", "app_exit", "connection_refused", fair), unheard("cart/main"),
			failure("till/main", "nobody listens at the database's address", "app_exit", "connection_refused", fair), unheard("till/main"),
		}, run: func(s *space) {
			s.createDeployment(refused("cart"))
			s.createDeployment(refused("till"))
			s.untilStops("cart", "main", 2)
			s.untilStops("till", "main", 2)
			s.untilIncident(issue.OnDependency, database, "deploy/cart", "deploy/till")
		}},
	}
}

// namesRollout tells whether one of the changes is a rollout that changed a field so.
func namesRollout(list []record.Change, f record.FieldChange) bool {
	return slices.ContainsFunc(list, func(c record.Change) bool {
		return c.Kind == record.ChangeRollout && slices.Contains(c.Fields, f)
	})
}

// untilIssues waits until the failure issues of the scenario are as they have to be.
func (s *space) untilIssues(what string, right func(issue.Document) bool) {
	s.t.Helper()
	s.until(what, func() (bool, string) {
		doc, err := s.program.issues(s.ctx, "-n", s.ns, "--category", "failure", "--state", "all", "--unfold")
		if err != nil {
			return false, err.Error()
		}
		var list []string
		for i := range doc.Issues {
			is := &doc.Issues[i]
			list = append(list, fmt.Sprintf("%s %s %s %s %d times, %d pods, revisions %+v, changes %+v", is.ID, is.State, is.Workload.Name, is.Cause, is.Count, len(is.Pods.Values), is.Revisions.Values, is.Changes))
		}
		return right(doc), strings.Join(list, "; ")
	})
}

// untilIncident waits until there is one incident of a kind and subject that has all of the
// scenario's workloads that are named.
func (s *space) untilIncident(kind, subject string, workloads ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("there is an incident of %s with %v", subject, workloads), func() (bool, string) {
		doc, err := s.program.issues(s.ctx, "-A", "--category", "all", "--state", "all")
		if err != nil {
			return false, err.Error()
		}
		var list []string
		for i := range doc.Incidents {
			in := &doc.Incidents[i]
			if in.Kind != kind || in.Subject != subject {
				continue
			}
			missing := slices.DeleteFunc(slices.Clone(workloads), func(w string) bool {
				return slices.ContainsFunc(in.Workloads.Values, func(c issue.Count) bool { return c.Value == s.ns+"/"+w })
			})
			if len(missing) == 0 {
				return true, ""
			}
			list = append(list, fmt.Sprintf("%s of %s has %d workloads: %v are missing", in.ID, in.Subject, len(in.Workloads.Values), missing))
		}
		return false, fmt.Sprintf("%d incidents; %s", len(doc.Incidents), strings.Join(list, "; "))
	})
}
