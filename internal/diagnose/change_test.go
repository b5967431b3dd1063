package diagnose

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/causes"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// rolledOut is revision 42 of a Deployment, some seconds before the instance ended at second 60.
func rolledOut(before int, fields ...record.FieldChange) change {
	return func(e *evidence.Evidence) {
		e.ChangesRead, e.FailingSince = true, at(60)
		e.Rollout = &evidence.Rollout{Object: "Deployment shop/api", Revision: "42", Time: at(60 - before), WatchedBefore: true}
		e.Changes = append(e.Changes, record.Change{Kind: record.ChangeRollout, Object: "Deployment shop/api", Time: at(60 - before), From: "41", To: "42", Fields: fields})
	}
}

func field(path, was, is string) record.FieldChange {
	return record.FieldChange{Field: path, Old: was, New: is, Hidden: was == is}
}

func also(ch record.Change) change {
	return func(e *evidence.Evidence) { e.Changes = append(e.Changes, ch) }
}

// quotes are those that changes are quoted with.
func quotes(d *record.Diagnosis) (out []string) {
	for _, q := range d.Evidence {
		if q.Source == "owner" || q.Source == "config-map" || q.Source == "node" || strings.HasPrefix(q.Field, "spec.containers[api].") && strings.Contains(q.Value, "until") {
			out = append(out, q.Object+" "+q.Field+" = "+q.Value)
		}
	}
	return out
}

func TestChangesThatBear(t *testing.T) {
	memory, image := field("containers[api].resources.limits.memory", "512Mi", "256Mi"), field("containers[api].image", "api:1", "api:2")
	probe, label := field("containers[api].livenessProbe.periodSeconds", "10", "1"), field("metadata.labels[team]", "a", "b")
	for _, tt := range []struct {
		name  string
		e     evidence.Evidence
		want  []string
		began bool
	}{
		{"a limit", exited(137, "OOMKilled", limited, rolledOut(360, label, memory)), []string{"Deployment shop/api spec.template.spec.containers[api].resources.limits.memory = 256Mi (512Mi until revision 42, 6m before the first stop)"}, true},
		{"the limit first", exited(137, "OOMKilled", limited, rolledOut(360, image, memory)), []string{
			"Deployment shop/api spec.template.spec.containers[api].resources.limits.memory = 256Mi (512Mi until revision 42, 6m before the first stop)",
			"Deployment shop/api spec.template.spec.containers[api].image = api:2 (api:1 until revision 42, 6m before the first stop)",
		}, true},
		{"the limit of another container", exited(137, "OOMKilled", limited, rolledOut(7200, field("containers[proxy].resources.limits.memory", "1Gi", "2Gi"))), nil, false},
		{"a new program", exited(1, "Error", rolledOut(3000, label, probe, image)), []string{"Deployment shop/api spec.template.spec.containers[api].image = api:2 (api:1 until revision 42, 50m before the first stop)"}, true},
		{"nothing that bears, and it began with it", exited(1, "Error", rolledOut(3, label)), []string{"Deployment shop/api revision = 42 (41 before), rolled out 3s before the first stop"}, true},
		{"long before", exited(1, "Error", rolledOut(3*24*3600, label, image)), []string{"Deployment shop/api spec.template.spec.containers[api].image = api:2 (api:1 until revision 42, 3d before the first stop)"}, false},
		{"others failed before", exited(1, "Error", rolledOut(3, label), func(e *evidence.Evidence) { e.Rollout.EarlierFailures = 1 }), nil, false},
		{"nobody watched before", exited(1, "Error", rolledOut(3, label), func(e *evidence.Evidence) { e.Rollout.WatchedBefore = false }), nil, false},
		{"it failed before", exited(1, "Error", rolledOut(3, label), func(e *evidence.Evidence) { e.FailingSince = at(-600) }), nil, false},
		{"when it began is not known", exited(1, "Error", rolledOut(120, image), func(e *evidence.Evidence) { e.FailingSince = time.Time{} }), []string{"Deployment shop/api spec.template.spec.containers[api].image = api:2 (api:1 until revision 42, 2m before this stop)"}, false},
		{"when it was rolled out is not known", exited(1, "Error", rolledOut(120, image), func(e *evidence.Evidence) { e.Rollout.Time, e.Changes[0].Time = time.Time{}, time.Time{} }), []string{"Deployment shop/api spec.template.spec.containers[api].image = api:2 (api:1 until revision 42)"}, false},
		{"the first revision", exited(1, "Error", rolledOut(120), func(e *evidence.Evidence) { e.Changes[0].From = "" }), nil, false},
		{"variables", exited(1, "Error", rolledOut(120, field("containers[api].env[A]", "", "secretKeyRef a/b"), field("containers[api].env[B]", "", ""), field("containers[api].env[C]", "literal value", ""), field("containers[api].env[D]", "x", "y"))), []string{
			"Deployment shop/api spec.template.spec.containers[api].env[A] = secretKeyRef a/b (not set until revision 42, 2m before the first stop)",
			"Deployment shop/api spec.template.spec.containers[api].env[B] = not the same as until revision 42, 2m before the first stop",
			"Deployment shop/api spec.template.spec.containers[api].env[C] = not set (literal value until revision 42, 2m before the first stop)",
		}, true},
		{"a ConfigMap", exited(1, "Error", also(record.Change{Kind: record.ChangeConfigMap, Object: "ConfigMap shop/app", By: "helm", Time: at(0)})), []string{"ConfigMap shop/app data = written by helm 60s before this stop"}, false},
		{"a ConfigMap that has no say", exited(127, "ContainerCannotRun", also(record.Change{Kind: record.ChangeConfigMap, Object: "ConfigMap shop/app", By: "helm", Time: at(0)})), nil, false},
		{"a node", exited(137, "Error", also(record.Change{Kind: record.ChangeNode, Object: "Node n1", Time: at(0), Fields: []record.FieldChange{field("status.nodeInfo.kubeletVersion", "v1.30.0", "v1.31.0")}})), []string{"Node n1 status.nodeInfo.kubeletVersion = v1.31.0 (v1.30.0 until 60s before this stop)"}, false},
		{"an edit", exited(1, "Error", also(record.Change{Kind: record.ChangePod, Object: "Pod shop/api-1", By: "kubectl-set", Time: at(0), Fields: []record.FieldChange{image}})), []string{"Pod shop/api-1 spec.containers[api].image = api:2 (api:1 until it was edited by kubectl-set, 60s before this stop)"}, false},
		{"no failure", exited(0, "Completed", policyIs("OnFailure"), rolledOut(3, image)), nil, false},
		{"a deletion", exited(143, "Error", deletedAt(at(50)), rolledOut(3, image)), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Diagnose(&tt.e).Diagnosis
			if diff := cmp.Diff(tt.want, quotes(&d)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", d.Cause, diff)
			}
			if got := strings.Contains(d.Summary, "; it began with revision 42 of Deployment shop/api, "); got != tt.began {
				t.Errorf("summary: %s", d.Summary)
			}
		})
	}
}

func TestChangesBeforeStalls(t *testing.T) {
	roll := func(fields ...record.FieldChange) change {
		return all(rolledOut(120, fields...), func(e *evidence.Evidence) {
			e.FailingSince, e.Stall.Begin = at(60), at(60)
		})
	}
	for _, tt := range []struct {
		name  string
		e     *evidence.Evidence
		cause string
		want  []string
	}{
		{"image", stalling(evidence.Image, waits("ErrImagePull", `rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/team/app:2.1": failed to resolve reference "registry.example/team/app:2.1": registry.example/team/app:2.1: not found`),
			roll(field("containers[api].image", "team/app:2.0", "team/app:2.1"))), "image_not_found",
			[]string{"Deployment shop/api spec.template.spec.containers[api].image = team/app:2.1 (team/app:2.0 until revision 42, 2m before the first stall)"}},
		{"config", stalling(evidence.Config, waits("CreateContainerConfigError", `configmap "app-v2" not found`), roll(field("containers[api].envFrom", "configMapRef app-v1", "configMapRef app-v2"))), "missing_configmap",
			[]string{"Deployment shop/api spec.template.spec.containers[api].envFrom = configMapRef app-v2 (configMapRef app-v1 until revision 42, 2m before the first stall)"}},
		{"requests of any container", stalling(evidence.Unscheduled, unfound("0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."), roll(field("containers[api].image", "1", "2"), field("containers[api].resources.requests.memory", "1Gi", "64Gi"))), "unschedulable",
			[]string{"Deployment shop/api spec.template.spec.containers[api].resources.requests.memory = 64Gi (1Gi until revision 42, 2m before the first stall)", "Deployment shop/api spec.template.spec.containers[api].image = 2 (1 until revision 42, 2m before the first stall)"}},
	} {
		f, ok := Stalled(tt.e)
		if !ok || f.Diagnosis.Cause != tt.cause {
			t.Errorf("%s: %v, %s", tt.name, ok, f.Diagnosis.Cause)
		}
		if diff := cmp.Diff(tt.want, quotes(&f.Diagnosis)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if !strings.HasSuffix(f.Diagnosis.Summary, "; it began with revision 42 of Deployment shop/api, 2m after that was rolled out.") {
			t.Errorf("%s: summary %s", tt.name, f.Diagnosis.Summary)
		}
	}
}

func TestBearingFirst(t *testing.T) {
	fields := []record.FieldChange{field("containers[api].image", "1", "2"), field("containers[api].resources.limits.memory", "1", "2"), field("containers[proxy].resources.limits.memory", "1", "2"), field("volumes[a]", "", "x")}
	for cause, want := range map[string][]int{"oom_killed": {1, 0, 2, 3}, "app_exit": {0, 3, 1, 2}, "liveness_probe": {0, 1, 2, 3}, "moon": {0, 1, 2, 3}} {
		var ordered []record.FieldChange
		for _, i := range want {
			ordered = append(ordered, fields[i])
		}
		if diff := cmp.Diff(ordered, BearingFirst(cause, "api", fields)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", cause, diff)
		}
	}
}

// TestChangesDecideNothing holds that no change makes another cause of anything, nor one surer.
func TestChangesDecideNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvidence(t)
		without := Diagnose(&e)
		rolledOut(rapid.IntRange(-100, 10_000).Draw(t, "before"),
			field("containers[api].image", "1", "2"), field("containers[api].resources.limits.memory", "1Gi", "2Gi"), field("containers[api].livenessProbe", "", "x"), field("volumes[a]", "", ""))(&e)
		also(record.Change{Kind: record.ChangeConfigMap, Object: "ConfigMap shop/a", Time: at(rapid.IntRange(-100, 100).Draw(t, "written"))})(&e)
		also(record.Change{Kind: record.ChangeNode, Object: "Node n1", Fields: []record.FieldChange{field("status.nodeInfo.bootID", "a", "b")}})(&e)
		also(record.Change{Kind: "moon"})(&e)
		with := Diagnose(&e)
		if with.Category != record.Failure && !reflect.DeepEqual(with, without) {
			t.Fatalf("a change is quoted for what is no failure:\n%s", cmp.Diff(without, with))
		}
		var of []record.Evidence
		for _, q := range with.Diagnosis.Evidence {
			if !slices.Contains(without.Diagnosis.Evidence, q) {
				if q.Value == "" || strings.Contains(q.Value, "until )") || strings.HasSuffix(q.Value, " ") {
					t.Fatalf("quote %+v", q)
				}
				of = append(of, q)
			}
		}
		with.Diagnosis.Evidence = slices.DeleteFunc(slices.Clone(with.Diagnosis.Evidence), func(q record.Evidence) bool { return slices.Contains(of, q) })
		if len(of) > changesQuoted {
			t.Fatalf("%d quotes more", len(of))
		}
		summary, _, _ := strings.Cut(with.Diagnosis.Summary, "; it began with revision")
		if !strings.HasPrefix(without.Diagnosis.Summary, summary) {
			t.Fatalf("summary %q, without %q", with.Diagnosis.Summary, without.Diagnosis.Summary)
		}
		with.Diagnosis.Summary = without.Diagnosis.Summary
		if diff := cmp.Diff(without, with, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("a change decides (-without +with):\n%s", diff)
		}
	})
}

// TestEveryFailureHasChangesThatBear holds that somebody thought of each cause of a failure.
func TestEveryFailureHasChangesThatBear(t *testing.T) {
	none := map[string]string{
		"deadline_exceeded": "a Job has no revisions", "grace_period_exceeded": "is rarely a failure", "node_lost": "no template can", "readiness_gate": "somebody else sets it",
		"terminating_stuck": "it is about the end of the pod",
	}
	for _, c := range causes.All() {
		b := bears(c.Code)
		has := len(b.container)+len(b.anyContainer)+len(b.pod) > 0
		if _, excepted := none[c.Code]; c.Category == string(record.Failure) && has == excepted {
			t.Errorf("%s: changes bear on it: %v, excepted: %v", c.Code, has, excepted)
		}
	}
}
