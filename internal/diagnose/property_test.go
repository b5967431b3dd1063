package diagnose

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// anyEvidence makes evidence of a stop of parts that occur, in any mixture.
func anyEvidence(t *rapid.T) evidence.Evidence {
	pick := func(name string, list ...string) string { return rapid.SampledFrom(list).Draw(t, name) }
	yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
	when := func(name string) time.Time {
		if s := rapid.IntRange(-120, 300).Draw(t, name); s < 290 {
			return at(s)
		}
		return time.Time{}
	}
	code := func(name string) int32 {
		return rapid.SampledFrom([]int32{0, 1, 2, 3, 42, 101, 126, 127, 128, 130, 132, 134, 137, 139, 143, 159, 255, -1, -1073741510}).Draw(t, name)
	}
	typ := func(name string) record.ContainerType {
		return rapid.SampledFrom([]record.ContainerType{record.App, record.Init, record.Sidecar, record.Ephemeral}).Draw(t, name)
	}
	probe := func(name string) *evidence.Probe {
		if !yes(name) {
			return nil
		}
		return &evidence.Probe{
			Kind: pick(name+" kind", "httpGet", "tcpSocket", "grpc", "exec", ""), Target: pick(name+" target", "GET :8080/healthz", ":5432", "check", ""),
			PeriodSeconds: 10, TimeoutSeconds: rapid.Int32Range(0, 2).Draw(t, name+" timeout"), FailureThreshold: rapid.Int32Range(0, 3).Draw(t, name+" threshold"),
			GraceSeconds: rapid.Int64Range(0, 60).Draw(t, name+" grace"),
		}
	}
	events := func(name, object string) []evidence.Event {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) evidence.Event {
			first := rapid.IntRange(-120, 120).Draw(t, "first")
			return evidence.Event{
				Reason: rapid.SampledFrom([]string{"Killing", "Unhealthy", "Started", "SandboxChanged", "Evicted", "Preempting", "DeadlineExceeded", "FailedPostStartHook", "FailedPreStopHook",
					"SystemOOM", "OOMKilling", "Rebooted", "TaintManagerEviction", "SuccessfulDelete", "ScalingReplicaSet", "Preempted", "Moon"}).Draw(t, "reason"),
				Message: rapid.SampledFrom([]string{failedLiveness, failedStartup, stopping, "killing", "FailedPostStartHook", "Container api definition changed, will be restarted", "Container api resize requires restart",
					`Container is in "UNKNOWN" state, try killing it before restart`, refusedText, timeoutText, "Liveness probe failed: ", "Startup probe failed: possibly OOM-killed", "The node was low on resource: memory. ",
					`Usage of EmptyDir volume "s" exceeds the limit "20Mi". `, "Marking for deletion Pod shop/api-1", "Deleted pod: api-1", "Deleted pod: api-2", "Scaled down replica set api-5d4f to 1", "delete Pod api-1 in StatefulSet api successful",
					"System OOM encountered, victim process: server, pid: 1", ""}).Draw(t, "message"),
				Container: object == "" && rapid.Bool().Draw(t, "container"), Object: object,
				First: at(first), Last: at(first + rapid.IntRange(0, 200).Draw(t, "later")), Count: rapid.IntRange(0, 9).Draw(t, "count"), Combined: rapid.Bool().Draw(t, "combined"),
			}
		}), 0, 5).Draw(t, name)
	}
	ended := func(name string) *evidence.Ended {
		if !yes(name) {
			return nil
		}
		return &evidence.Ended{ExitCode: code(name + " code"), Reason: "Error", StartedAt: when(name + " started"), FinishedAt: when(name + " finished")}
	}
	rules := func(name string) []evidence.RestartRule {
		if !yes(name) {
			return nil
		}
		return []evidence.RestartRule{{Action: pick(name+" action", "Restart", "RestartAllContainers", "Dance"), Operator: pick(name+" operator", "In", "NotIn", "Near"), ExitCodes: []int32{42}}}
	}

	e := evidence.Evidence{
		Version: evidence.Version,
		Pod: evidence.Pod{
			Namespace: "shop", Name: pick("pod", "api-1", "api", "-o=x; rm -rf /"), UID: "u1", Node: pick("node", "n1", ""), Phase: pick("phase", "", "Pending", "Running", "Succeeded", "Failed"),
			Reason: pick("pod reason", "", "Evicted", "Preempting", "Terminated", "DeadlineExceeded", "OutOfcpu"), Message: pick("pod message", "", "The node was low on resource: memory. ", `Usage of EmptyDir volume "s" exceeds the limit "20Mi". `),
			RestartPolicy: pick("policy", "Always", "OnFailure", "Never", ""), TerminationGraceSeconds: rapid.Int64Range(0, 60).Draw(t, "grace"), AppsFinished: yes("apps finished"), Static: yes("static"), CreatedAt: when("created"),
		},
		Container: evidence.Container{
			Name: "api", Type: typ("type"), RestartPolicy: pick("own policy", "", "Always", "OnFailure", "Never"), RestartRules: rules("rules"),
			Liveness: probe("liveness"), Startup: probe("startup"), Readiness: probe("readiness"), MemoryLimit: rapid.Int64Range(0, 2).Draw(t, "limit") << 26,
			WaitingReason: pick("waits", "", "CrashLoopBackOff", "PostStartHookError"), WaitingMessage: pick("waiting message", "", "Exec lifecycle hook"), RestartCount: rapid.IntRange(0, 9).Draw(t, "restarts"),
		},
		EventsRead: yes("events read"), Events: events("events", ""),
		Stop: &evidence.Stop{
			Field:        pick("field", "", "status.containerStatuses[api].state.terminated", "status.containerStatuses[api].lastState.terminated"),
			ExitObserved: yes("observed"), HasExitCode: yes("has code"), ExitCode: code("code"),
			Reason:    pick("reason", "Error", "Completed", "OOMKilled", "ContainerStatusUnknown", "Unknown", "StartError", "ContainerCannotRun", "RestartingAllContainers", "seccomp killed", ""),
			Message:   pick("message", "", runcText+`exec: "x": executable file not found in $PATH`, "container init was OOM-killed", "panic: boom", "\x1b[31m\n\x00"),
			StartedAt: when("started"), FinishedAt: when("finished"), ContainerID: pick("id", "", "containerd://a", "cri-o://a"),
		},
	}
	if yes("hooks") {
		e.Container.PreStop, e.Container.PostStart = &evidence.Hook{Kind: "exec"}, &evidence.Hook{Kind: "httpGet", Target: "GET :80/"}
	}
	if yes("deleted") {
		e.Pod.DeletionTimestamp, e.Pod.DeletionGraceSeconds = when("deletion"), rapid.Int64Range(0, 30).Draw(t, "deletion grace")
	}
	if yes("disrupted") {
		e.Pod.Disruption = &evidence.Condition{Reason: pick("disruption", "EvictionByEvictionAPI", "PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet", "Moon"), Time: when("disruption time")}
	}
	if yes("pod limit") {
		podMemoryLimit(64)(&e)
	}
	if yes("others") {
		e.Others = []evidence.Container{{Name: "mesh", Type: typ("other type"), Ended: ended("ended"), LastEnded: ended("last ended"), RestartRules: rules("other rules"), Liveness: probe("other liveness")}}
	}
	if yes("log") {
		e.Log = &evidence.Log{Proven: yes("proven"), Lines: []string{pick("line", "exec /app: exec format error", "panic: boom", "Killed", "java.lang.OutOfMemoryError: Java heap space", "sh: x: not found", "")}}
	}
	if yes("node known") {
		calm(&e)
		e.Node.EventsRead, e.Node.Events, e.Node.Gone = yes("node events read"), events("node events", "Node n1"), yes("node gone")
		if yes("pressure") {
			e.Node.Conditions[0].Status = "True"
		}
	}
	if yes("owner known") {
		n := rapid.Int32Range(0, 3).Draw(t, "replicas")
		kind := pick("owner", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Moon")
		owned(evidence.Controller{Kind: kind, Name: "api-5d4f", Revision: pick("revision", "", "1", "2", "x"), NewestRevision: pick("newest", "", "2"), Replicas: &n, Gone: yes("owner gone"), DeletedAt: when("owner deleted")})(&e)
		if yes("parent") {
			e.Owner.Chain = append(e.Owner.Chain, evidence.Controller{Kind: "Deployment", Name: "api", NewestRevision: pick("rolled out", "", "1", "2"), Gone: yes("parent gone")})
		}
		e.Owner.EventsRead, e.Owner.Events, e.Owner.NamespaceDeleting = yes("owner events read"), events("owner events", kind+" api-5d4f"), when("namespace")
	}
	if yes("history") {
		history(timesOf(rapid.IntRange(0, 3).Draw(t, "earlier"), endedBeforehand{pick("earlier cause", "app_exit", "liveness_probe", "startup_probe", "oom_killed", "app_completed"), code("earlier code"), 60})...)(&e)
		e.History.BootID = pick("boot", "", "b0", "b1")
		h := e.History
		if yes("lifetimes") {
			h.RanSeconds = rapid.SliceOfN(rapid.Int64Range(0, 4000), 0, 10).Draw(t, "lifetimes of the pod")
		}
		h.OthersRanSeconds = rapid.SliceOfN(rapid.Int64Range(58, 62), 0, 6).Draw(t, "lifetimes of others")
		h.Image, h.ImagesCut = pick("image", "", "api:1", "api:2"), yes("images cut")
		for _, name := range []string{"api:1", "api:2"} {
			if yes(name) {
				h.Images = append(h.Images, evidence.ImageHistory{Image: name, Stops: 3, Failures: rapid.IntRange(0, 3).Draw(t, "failures"), First: when("first " + name), Began: when("began " + name), LongestSeconds: rapid.Int64Range(0, 9000).Draw(t, "longest")})
			}
		}
		h.Survived, h.SurvivedOf, h.SurvivedCause = rapid.IntRange(0, 3).Draw(t, "survived"), 3, pick("survived cause", "", "app_exit", "unknown")
	}
	if yes("neighbours") {
		neighbours(evidence.Neighbours{SameNode: evidence.Crowd{Pods: 5, SameInstant: 3}, SameWorkload: evidence.Crowd{Pods: 3, Nodes: 2}})(&e)
	}
	return e
}

// TestAnyEvidence holds what is true of every answer: it is one, the same each time, sure
// of nothing without a fact, and it claims no probe, no eviction and no lack of memory
// that nothing speaks of.
func TestAnyEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvidence(t)
		before, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		f := Diagnose(&e)
		after, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if string(before) != string(after) {
			t.Fatal("the evidence was written to")
		}
		var again evidence.Evidence
		if err := json.Unmarshal(before, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, Diagnose(&again)); diff != "" {
			t.Fatalf("another answer for what was stored:\n%s", diff)
		}
		check(t, f)

		d := &f.Diagnosis
		spoken := func(text string) bool { return strings.Contains(string(before), text) }
		switch d.Cause {
		case "oom_killed":
			if e.Stop.Reason != "OOMKilled" && e.Stop.Reason != "StartError" && e.Stop.Reason != "ContainerCannotRun" {
				t.Fatalf("out of memory without proof: %+v", e.Stop)
			}
		case "liveness_probe", "startup_probe":
			if d.Confidence == record.Confirmed && killing(&e) == nil {
				t.Fatal("a probe without its event")
			}
		case "eviction_api", "preempted", "taint_eviction", "pod_gc":
			if e.Pod.Disruption == nil && !spoken(`"reason":"Preempted"`) && !spoken("TaintManagerEviction") {
				t.Fatal("a disruption without its condition or event")
			}
		case "pod_deleted", "grace_period_exceeded":
			if e.Stop.ExitObserved && e.Pod.DeletionTimestamp.IsZero() {
				t.Fatal("a deletion without its time")
			}
		case "sandbox_changed":
			if !spoken("SandboxChanged") {
				t.Fatal("a sandbox without its event")
			}
		case "app_exit", "app_completed":
			if d.Confidence == record.Confirmed {
				t.Fatal("nothing in the API confirms a program's own end")
			}
		}
		if d.Confidence == record.Confirmed {
			for _, q := range d.Evidence {
				if q.Source == "log" && len(d.Evidence) == 1 {
					t.Fatal("confirmed by a log alone")
				}
			}
		}
		if d.Cause == "runtime_restarted" && d.Detail == "node_reboot" && !spoken("Rebooted") && !spoken(`"bootID":"b0"`) {
			t.Fatal("a reboot that nothing tells of")
		}
		for _, s := range d.Next {
			if strings.ContainsAny(s.Command, ";|&`\x00\n") || strings.Contains(s.Command, "-o=x") {
				t.Fatalf("a command that runs more than kubectl: %q", s.Command)
			}
		}
		for _, a := range d.Advice {
			if a.Code == "" || a.Text == "" || len(a.Evidence) == 0 {
				t.Fatalf("advice that rests on nothing: %+v", a)
			}
		}
	})
}
