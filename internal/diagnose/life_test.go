package diagnose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// lifeLines writes steps as "second step container seconds text".
func lifeLines(steps []record.LifeStep) []string {
	var out []string
	for _, s := range steps {
		when := "?"
		if !s.Time.IsZero() {
			when = fmt.Sprint(s.Time.Sub(t0).Seconds())
		}
		took := ""
		if s.Seconds != nil {
			took = fmt.Sprintf(" took=%v", *s.Seconds)
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s%s %s", when, s.Step, s.Container, took, s.Text)))
	}
	return out
}

func TestLife(t *testing.T) {
	normal := func(reason, message, container string, when time.Time) evidence.Event {
		return evidence.Event{Type: "Normal", Reason: reason, Message: message, Other: container, First: when, Last: when, Count: 1}
	}
	e := &evidence.Evidence{
		AsOf: at(600),
		Pod: evidence.Pod{
			Namespace: "shop", Name: "api-1", UID: "u1", Node: "n1", Phase: "Running", CreatedAt: t0, StartedAt: at(3),
			Owner:             &record.Workload{Kind: "ReplicaSet", Name: "api-5f"},
			ReadinessGates:    []string{"example.com/lb"},
			DeletionTimestamp: at(330), DeletionGraceSeconds: 30,
			Conditions: []evidence.Condition{
				{Type: "PodReadyToStartContainers", Status: "True", Time: at(7)},
				{Type: "Initialized", Status: "True", Time: at(20)},
				{Type: "Ready", Status: "True", Time: at(60)},
				{Type: "ContainersReady", Status: "True", Time: at(50)},
				{Type: "PodScheduled", Status: "True", Time: at(2)},
				{Type: "example.com/lb", Status: "True", Reason: "Registered", Time: at(60)},
			},
		},
		Others: []evidence.Container{
			{Name: "migrate", Type: record.Init, State: "terminated", Ended: &evidence.Ended{Reason: "Completed", StartedAt: at(8), FinishedAt: at(19)}},
			{Name: "api", Type: record.App, State: "running", RunningSince: at(40), RestartCount: 1, LastEnded: &evidence.Ended{ExitCode: 137, Reason: "OOMKilled", ContainerID: "c", StartedAt: at(31), FinishedAt: at(38)}},
		},
		Events: []evidence.Event{
			normal("Scheduled", "Successfully assigned shop/api-1 to n1", "", at(2).Add(600*time.Millisecond)),
			normal("Pulling", `Pulling image "app:1"`, "api", at(20)),
			normal("Pulled", `Successfully pulled image "app:1" in 1.5s (8.2s including waiting). Image size: 1234 bytes.`, "api", at(29)),
			normal("Created", "Container created", "api", at(30)),
			normal("Started", "Container started", "api", at(31)),
			{Type: "Warning", Reason: "Unhealthy", Message: "Readiness probe failed: x", Other: "api", First: at(41), Last: at(45), Count: 3},
			{Type: "Warning", Reason: "FailedMount", Message: `MountVolume.SetUp failed for volume "v" : x`, First: at(4), Last: at(4), Count: 1},
			normal("Killing", "Stopping container api", "api", at(300)),
			normal("Irrelevant", "x", "", at(301)),
		},
	}
	want := []string{
		"0 created  by ReplicaSet api-5f",
		"2.6 scheduled  took=2.6 to n1",
		"3 accepted  took=0.4 by the kubelet",
		`4 warning  FailedMount: MountVolume.SetUp failed for volume "v" : x`,
		"7 sandbox_ready  took=4 volumes, network and sandbox",
		"8 started migrate init container",
		"19 finished migrate took=11 exit code 0",
		"20 image_pulling api app:1",
		"20 initialized",
		"29 image_pulled api took=1.5 app:1, 1234 bytes, 8.2s with waiting for other pulls",
		"31 started api",
		"38 stopped api took=7 exit code 137 OOMKilled (SIGKILL)",
		"40 started api after 1 restart",
		"45 probe_failed api Readiness probe failed: x (3 times in 4s)",
		"50 containers_ready  all readiness probes passed",
		"60 gate_open  example.com/lb Registered",
		"60 ready  took=20",
		"300 deletion_asked  with a grace period of 30 s",
		"300 killing api Stopping container api",
		"330 grace_period_over",
	}
	if d := cmp.Diff(want, lifeLines(Life(e))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLifePhases: the phases are told as Kubernetes means them.
func TestLifePhases(t *testing.T) {
	ended := func(code int32) change {
		return other(evidence.Container{Name: "api", Type: record.App, State: "terminated", Ended: &evidence.Ended{ExitCode: code, Reason: either(code == 0, "Completed", "Error"), StartedAt: at(1), FinishedAt: at(9)}})
	}
	phase := func(p, reason string) change {
		return func(e *evidence.Evidence) { e.Pod.Phase, e.Pod.Reason = p, reason }
	}
	for name, c := range map[string]struct {
		e    *evidence.Evidence
		want string
	}{
		"Succeeded is not started":     {stalling("", ended(0), phase("Succeeded", "")), "9 succeeded  every regular container exited with 0 and none is started again"},
		"Failed":                       {stalling("", ended(3), phase("Failed", "")), "9 failed  every regular container ended, at least one of them with a failure, or the node ended the pod"},
		"Failed for a reason":          {stalling("", ended(137), phase("Failed", "Evicted")), "9 failed  Evicted"},
		"Unknown and NodeLost are old": {stalling("", phase("Unknown", "NodeLost")), "? node_lost  the node did not report (a word of old releases)"},
	} {
		got := lifeLines(Life(c.e))
		if len(got) == 0 || got[len(got)-1] != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := lifeLines(Life(stalling("", phase("Running", "")))); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "succeeded") }) {
		t.Errorf("%q", got)
	}
}

// TestLifeOfNothing: no evidence gives no step, and the epoch is no time.
func TestLifeOfNothing(t *testing.T) {
	if got := Life(&evidence.Evidence{}); got != nil {
		t.Errorf("%v", got)
	}
}

// TestLifeOfStop: the instance that the evidence is about stands in it once, whether the
// status still shows it or not.
func TestLifeOfStop(t *testing.T) {
	e := exited(1, "Error")
	count := func() (n int) {
		for _, s := range Life(&e) {
			if s.Step == "stopped" {
				n++
			}
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("%d stops, want the one that is remembered", n)
	}
	e.Container.LastEnded = &evidence.Ended{ExitCode: 1, Reason: "Error", StartedAt: t0, FinishedAt: at(60)}
	if n := count(); n != 1 {
		t.Errorf("%d stops, want the one that the status shows too", n)
	}
	a, err := json.Marshal(Life(&e))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(Life(&e)); string(a) != string(b) {
		t.Error("not deterministic")
	}
}
