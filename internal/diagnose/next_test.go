package diagnose

import (
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// commands returns the commands of a finding's next steps, a line each.
func commands(e evidence.Evidence) string {
	f := Diagnose(&e)
	var b strings.Builder
	for _, s := range f.Diagnosis.Next {
		b.WriteString(s.Command + "\n")
	}
	return b.String()
}

func TestNextSteps(t *testing.T) {
	deployed := ofDeployment("3", "3", 2)
	for _, tc := range []struct {
		name string
		e    evidence.Evidence
		has  string
		not  string
	}{
		{"an instance that was replaced", exited(1, "Error", inLast), "kubectl -n shop logs api-1 -c api --previous", ""},
		{"an instance that still stands there", exited(1, "Error"), "kubectl -n shop logs api-1 -c api\n", "--previous"},
		{"an init container", exited(0, "OOMKilled", typeIs(record.Init)), "logs api-1 -c api", ""},
		{"a start error has no log", exited(128, "StartError", message(runcText+`exec: "x": executable file not found in $PATH`)), "jsonpath='{range .spec.containers[*]}", " logs "},
		{"an init container's command", exited(128, "StartError", typeIs(record.Init), message(runcText+`exec: "x": executable file not found in $PATH`)), "jsonpath='{range .spec.initContainers[*]}", ".spec.containers"},
		{"a format, on a known node", exited(255, "Error", says("exec /app: exec format error"), calm), "kubectl get node n1 -o jsonpath='{.status.nodeInfo.architecture}'", ""},
		{"a limit", exited(137, "OOMKilled", memory(256), calm, deployed), "kubectl -n shop set resources deployment/api -c api --limits=memory=512Mi", "describe node"},
		{"a limit of nobody's", exited(137, "OOMKilled", memory(256), calm), "top pod api-1 --containers", "set resources"},
		{"no limit", exited(137, "OOMKilled", calm, deployed), "describe node n1", "set resources"},
		{"a probe", exited(143, "Error", event("Killing", failedStartup, at(59))), "{.startupProbe}", "livenessProbe"},
		{"a new revision", exited(1, "Error", deployed), "kubectl -n shop rollout undo deployment/api", ""},
		{"a first revision", exited(1, "Error", ofDeployment("1", "1", 2)), "", "rollout"},
		{"an old pod", exited(1, "Error", deployed, func(e *evidence.Evidence) { e.Pod.CreatedAt = at(-86400) }), "", "rollout"},
		{"refused", exited(1, "Error", says("dial tcp 10.0.0.9:5432: connect: connection refused")), "get services,endpointslices", ""},
		{"a Deployment that is gone", exited(137, "OOMKilled", memory(256), calm, deployed, func(e *evidence.Evidence) { e.Owner.Chain[1].Gone = true }), "", "set resources"},
		{"finished", exited(0, "Completed", policyIs("Never")), "", "kubectl"},
	} {
		got := commands(tc.e)
		if !strings.Contains(got, tc.has) || tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%s: want %q and not %q in:\n%s", tc.name, tc.has, tc.not, got)
		}
	}
}

// TestForgedNames holds that a name which the API would not accept comes into no command.
func TestForgedNames(t *testing.T) {
	for _, name := range []string{"x; rm -rf ~", "$(reboot)", "`reboot`", "-v=9", "--kubeconfig=/x", "a b", "a'b", `a"b`, "a\nb", "a\x1b[2J", "ä", "A", ".", "a|b", strings.Repeat("a", 254)} {
		forged := func(e *evidence.Evidence) {
			switch {
			case e.Pod.Namespace == "shop":
				e.Pod.Namespace = name
			}
		}
		for _, change := range []change{
			forged,
			func(e *evidence.Evidence) { e.Pod.Name = name },
			func(e *evidence.Evidence) { e.Container.Name = name },
			func(e *evidence.Evidence) { e.Pod.Node, e.Node.Name = name, name },
			func(e *evidence.Evidence) { e.Owner.Chain[1].Name, e.Pod.Owner.Name = name, name },
			func(e *evidence.Evidence) { e.Owner.Chain[0].Revision, e.Owner.Chain[1].NewestRevision = name, name },
		} {
			for _, e := range []evidence.Evidence{
				exited(1, "Error", calm, ofDeployment("3", "3", 2), change),
				exited(137, "Error", calm, ofDeployment("3", "3", 2), change),
				exited(137, "OOMKilled", memory(64), calm, ofDeployment("3", "3", 2), change),
				exited(143, "Error", calm, ofDeployment("3", "3", 2), deletedAt(at(58)), change),
				exited(143, "Error", calm, ofDeployment("3", "3", 2), event("Killing", failedLiveness, at(58)), change),
				exited(255, "Error", calm, ofDeployment("3", "3", 2), says("exec /app: exec format error"), change),
			} {
				if got := commands(e); strings.Contains(got, name) && name != "." {
					t.Errorf("%q is in:\n%s", name, got)
				}
			}
		}
	}
}

func TestAdvice(t *testing.T) {
	probed := liveness(httpGet("GET :8080/healthz"))
	killed := event("Killing", failedLiveness, at(59))
	before := history(endedBeforehand{"liveness_probe", 143, 31})
	soon := all(ranFor(31), probed, before, event("Unhealthy", refusedText, at(58)), killed)
	for _, tc := range []struct {
		name string
		e    evidence.Evidence
		want string // codes, divided by blanks
	}{
		{"killed during each start", exited(143, "Error", soon), "no_startup_probe"},
		{"killed during its first start", exited(143, "Error", ranFor(31), probed, event("Unhealthy", refusedText, at(58)), killed), ""},
		{"there is a startup probe", exited(143, "Error", soon, startup(httpGet("GET :8080/"))), ""},
		{"it answered, with 500", exited(143, "Error", ranFor(31), probed, before, event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", at(58)), killed), ""},
		{"the same question", exited(143, "Error", probed, readiness(httpGet("GET :8080/healthz")), event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", at(58)), killed), "probe_shared"},
		{"another question", exited(143, "Error", probed, readiness(httpGet("GET :8080/readyz")), killed), ""},
		{"the same question, and nobody is there", exited(143, "Error", probed, readiness(httpGet("GET :8080/healthz")), event("Unhealthy", refusedText, at(58)), killed), ""},
		{"one second", exited(143, "Error", probed, event("Unhealthy", timeoutText, at(58)), killed), "short_timeout"},
		{"five seconds", exited(143, "Error", probed, func(e *evidence.Evidence) { e.Container.Liveness.TimeoutSeconds = 5 }, event("Unhealthy", timeoutText, at(58)), killed), ""},
		{"ignored SIGTERM", exited(137, "Error", deletedAt(at(30))), "ignores_sigterm"},
		{"killed at once", exited(137, "Error", deletedAt(at(58))), ""},
		{"a grace period of a second", exited(137, "Error", func(e *evidence.Evidence) {
			e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds = at(60), 1
		}), ""},
		{"no limit", exited(137, "OOMKilled", calm), "no_memory_limit"},
		{"a limit of the pod", exited(137, "OOMKilled", calm, podMemoryLimit(64)), ""},
		{"out of memory at each start", exited(137, "OOMKilled", memory(64), calm, ranFor(3), history(timesOf(2, endedBeforehand{"oom_killed", 137, 2})...)), "limit_too_low"},
		{"out of memory after a while", exited(137, "OOMKilled", memory(64), calm, ranFor(300), history(timesOf(2, endedBeforehand{"oom_killed", 137, 250})...)), ""},
		{"out of memory at this start", exited(137, "OOMKilled", memory(64), calm, ranFor(3), history(timesOf(2, endedBeforehand{"oom_killed", 137, 250})...)), ""},
		{"one exit 0", exited(0, "Completed"), ""},
		{"exit 0 after a crash", exited(0, "Completed", history(endedBeforehand{"app_completed", 0, 1}, endedBeforehand{"app_exit", 1, 1})), ""},
		{"exit 0 again", exited(0, "Completed", history(endedBeforehand{"app_exit", 1, 1}, endedBeforehand{"app_completed", 0, 1})), "exit_zero_loop"},
		{"a crash", exited(1, "Error"), ""},
	} {
		f := Diagnose(&tc.e)
		var got []string
		for _, a := range f.Diagnosis.Advice {
			got = append(got, a.Code)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: advice %q, want %q", tc.name, got, tc.want)
		}
	}
}
