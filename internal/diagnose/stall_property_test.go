package diagnose

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// vocabulary is what fields are filled with, so that rules meet their words in all combinations.
func vocabulary() []string {
	return []string{
		"", "api", "n1", "shop", "running", "waiting", "terminated", "True", "False", "Unknown", "Ready", "ContainersReady", "PodScheduled", "Initialized",
		"PodReadyToStartContainers", "ReplicaFailure", "DisruptionTarget", "DeletionByTaintManager", "Unschedulable", "SchedulingGated", "Pending", "Running", "Failed", "Succeeded",
		"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff", "ContainerCreating",
		"Pulling", "Pulled", "Started", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "NetworkNotReady", "FailedScheduling", "TriggeredScaleUp", "NodeNotReady",
		"Unhealthy", "FailedCreate", "SuccessfulCreate", "FailedKillPod", "Killing", "OOMKilled", "OutOfcpu", "ExternalProvisioning", "FailedBinding",
		"0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).", `0/1 nodes are available: persistentvolumeclaim "data" not found. not found`,
		`Back-off pulling image "api"`, `Back-off pulling image "api": ErrImagePull: x: not found`, `Failed to pull image "api": pull access denied`,
		`configmap "x" not found`, `couldn't find key a in Secret shop/b`, "services have not yet been read at least once",
		`MountVolume.SetUp failed for volume "api" : references non-existent secret key: k`, `Multi-Attach error for volume "api" x`,
		"Readiness probe failed: HTTP probe failed with statuscode: 500", "Startup probe errored: x", `pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`,
		"Successfully pulled image \"api\" in 1.2s (3s including waiting). Image size: 5 bytes.", "secret", "configMap", "ReplicaSet", "ReplicaSet api-1", "-o=x", "a b\x1b[31m", strings.Repeat("é", 300), "gpu", "cpu", "memory",
	}
}

// fill fills a value with words, times near t0 and small numbers.
func fill(r *rand.Rand, words []string, v reflect.Value, depth int) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		if r.IntN(4) > 0 {
			v.Set(reflect.ValueOf(t0.Add(time.Duration(r.IntN(4000)-600) * time.Second)))
		}
		return
	case reflect.TypeFor[record.ContainerType]():
		v.SetString(string([]record.ContainerType{"", record.App, record.Init, record.Sidecar, record.Ephemeral}[r.IntN(5)]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(words[r.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(200) - 20))
	case reflect.Pointer:
		if depth > 0 && r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, words, v.Elem(), depth-1)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(r, words, field, depth)
		}
	case reflect.Slice:
		n := 0
		if depth > 0 {
			n = r.IntN(4)
		}
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			fill(r, words, s.Index(i), depth-1)
		}
		v.Set(s)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for range r.IntN(4) {
			k, x := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(r, words, k, depth-1)
			fill(r, words, x, depth-1)
			m.SetMapIndex(k, x)
		}
		v.Set(m)
	}
}

// steer makes of random evidence what a class of stalls looks like, so that its rules are met.
func steer(r *rand.Rand, words []string, class evidence.Class, e *evidence.Evidence) {
	word := func(of ...string) string { return of[r.IntN(len(of))] }
	e.AsOf, e.Pod.Phase, e.Node, e.Pod.Node = at(r.IntN(4000)), "Running", nil, "n1"
	e.Container.State, e.Container.Type = "waiting", record.App
	switch class {
	case evidence.Unscheduled:
		e.Pod.Node, e.Pod.SchedulingGates = "", e.Pod.SchedulingGates[:min(len(e.Pod.SchedulingGates), r.IntN(2))]
		e.Pod.Conditions = []evidence.Condition{{Type: "PodScheduled", Status: "False", Message: words[r.IntN(len(words))]}}
	case evidence.Preparing:
		e.Container, e.Pod.Conditions = evidence.Container{}, nil
		for i := range e.Events {
			e.Events[i].Container, e.Events[i].Other = false, ""
			e.Events[i].Reason = word("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "NetworkNotReady")
		}
	case evidence.Image:
		e.Container.WaitingReason = word("ErrImagePull", "ImagePullBackOff")
		e.Container.WaitingMessage = word("", "x: not found", "toomanyrequests", "dial tcp: connection refused", "401 Unauthorized", "no match for platform in manifest: not found")
	case evidence.Config:
		e.Container.WaitingReason = "CreateContainerConfigError"
	case evidence.Create:
		e.Container.WaitingReason = "CreateContainerError"
	case evidence.Initializing:
		e.Container.Type, e.Container.Name, e.Container.State = record.Init, "api", "running"
	case evidence.Unready:
		e.Container.State, e.Container.Ready, e.Container.Started = "running", false, true
		if e.Container.Readiness == nil {
			e.Container.Name = ""
			e.Pod.Conditions = []evidence.Condition{{Type: "Ready", Status: "False"}, {Type: "ContainersReady", Status: "True"}}
		}
	case evidence.Terminating:
		e.Pod.DeletionTimestamp = at(r.IntN(1000))
	case evidence.NotCreated:
		if e.Owner != nil {
			e.Owner.NamespaceDeleting = time.Time{}
		}
	case evidence.Rejected:
	}
}

func stallClasses() []evidence.Class {
	return []evidence.Class{
		evidence.Unscheduled, evidence.Rejected, evidence.Preparing, evidence.Image, evidence.Config, evidence.Create,
		evidence.Initializing, evidence.Unready, evidence.Terminating, evidence.NotCreated,
	}
}

// knownStalls are the causes that the design has for stalls.
func knownStalls() []string {
	return []string{
		"image_not_found", "image_pull_auth", "image_registry_unreachable", "image_rate_limited", "image_platform_mismatch", "image_invalid_name", "image_never_pull", "image_pull_failed",
		"missing_configmap", "missing_secret", "missing_key", "run_as_non_root", "container_create_failed", "volume_mount_failed", "volume_attach_failed", "sandbox_failed",
		"unschedulable", "scheduling_gated", "not_scheduled", "admission_rejected", "pod_not_created", "init_not_finished", "readiness_probe", "readiness_gate", "node_lost", "terminating_stuck", "unknown",
	}
}

// checkStall holds what is true of every finding about a stall.
func checkStall(t *testing.T, e *evidence.Evidence) {
	t.Helper()
	before, err := json.Marshal(e)
	if err != nil {
		t.Skip("not evidence")
	}
	f, ok := Stalled(e)
	again, _ := Stalled(e)
	if d := cmp.Diff(f, again); d != "" {
		t.Fatalf("not deterministic:\n%s", d)
	}
	Life(e)
	if after, _ := json.Marshal(e); string(after) != string(before) {
		t.Fatal("the evidence was changed")
	}
	if !ok {
		return
	}
	d := f.Diagnosis
	bad := ""
	switch {
	case !slices.Contains(knownStalls(), d.Cause):
		bad = "unknown cause"
	case d.Confidence != record.Confirmed && d.Confidence != record.Likely && d.Confidence != record.Unknown:
		bad = "no confidence"
	case d.Confidence == record.Confirmed && len(d.Evidence) == 0:
		bad = "confirmed without evidence"
	case d.Confidence == record.Likely && len(d.Alternatives)+len(d.Missing) == 0:
		bad = "likely, and nothing competes or is missing"
	case (d.Cause == "unknown") != (d.Confidence == record.Unknown) && d.Cause != "admission_rejected":
		bad = "unknown is not unknown"
	case d.Confidence == record.Unknown && len(d.Missing) == 0 && d.Cause == "unknown":
		bad = "unknown, and nothing would settle it"
	case d.Summary == "" || strings.Contains(d.Summary, "%!"):
		bad = "no summary"
	case f.Category == "":
		bad = "no category"
	}
	for _, r := range d.RuledOut {
		if r.Why == "" || r.Cause == d.Cause || slices.ContainsFunc(d.Alternatives, func(a record.Alternative) bool { return a.Cause == r.Cause }) {
			bad = "ruled out, and possible: " + r.Cause
		}
	}
	for _, q := range d.Evidence {
		if q.Source == "" || q.Object == "" || q.Field == "" && q.Source != "event" || q.Value == "" {
			bad = "evidence that quotes nothing"
		}
	}
	for _, n := range d.Next {
		if n.Text == "" || strings.ContainsAny(n.Command, "\n\x1b") || strings.Contains(n.Command, " -o=x") {
			bad = "a step that is none: " + n.Command
		}
	}
	if bad != "" {
		t.Fatalf("%s: %+v\nof %s", bad, f, before)
	}
}

// TestStalledProperties: whatever the evidence is, no rule panics, and every finding
// rests on something.
func TestStalledProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := vocabulary()
	found := map[string]int{}
	for i := range 3000 {
		var e evidence.Evidence
		fill(r, words, reflect.ValueOf(&e).Elem(), 3)
		if i%3 > 0 {
			steer(r, words, stallClasses()[i%len(stallClasses())], &e)
		}
		e.Stall = &evidence.Stall{Class: stallClasses()[i%len(stallClasses())], Begin: t0}
		checkStall(t, &e)
		if f, ok := Stalled(&e); ok {
			found[f.Diagnosis.Cause]++
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d causes were met, so that this says little: %v", len(found), found)
	}
}

// FuzzStalled: no JSON of evidence panics.
func FuzzStalled(f *testing.F) {
	for _, class := range stallClasses() {
		e := stalling(class, waits("ErrImagePull", "x: not found"), unfound("0/1 nodes are available: 1 Insufficient cpu."), warns("FailedMount", `MountVolume.SetUp failed for volume "v" : x`, at(5)))
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e evidence.Evidence
		if json.Unmarshal(data, &e) != nil {
			return
		}
		if e.Stall == nil {
			Life(&e)
			return
		}
		checkStall(t, &e)
	})
}

// FuzzKubectl: a word of a command is one word of a shell, or there is no command.
func FuzzKubectl(f *testing.F) {
	f.Add("pod", "it's")
	f.Add("$(reboot)", "--all")
	f.Fuzz(func(t *testing.T, a, b string) {
		command := kubectl("get", a, b)
		if command == "" {
			return
		}
		if got := shellWords(command); !slices.Equal(got, []string{"kubectl", "get", a, b}) {
			t.Fatalf("%q is %q to a shell", command, got)
		}
	})
}

// shellWords splits a command as a shell does that knows single quotes and backslashes.
func shellWords(s string) []string {
	var words []string
	var word strings.Builder
	inQuotes := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			inQuotes = !inQuotes
		case c == '\\' && !inQuotes && i+1 < len(s):
			i++
			word.WriteByte(s[i])
		case c == ' ' && !inQuotes:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	return append(words, word.String())
}

func BenchmarkStalled(b *testing.B) {
	e := stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."), fits("cpu", 2000, 1800, 4000), tainted("dedicated", "gpu", 2))
	b.ReportAllocs()
	for b.Loop() {
		Stalled(e)
	}
}
