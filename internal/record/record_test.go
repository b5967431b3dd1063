package record

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }

// fullStop returns a record in which every field has a value. (So that it stays so, see TestFullRecords.)
func fullStop() Record {
	exit, ran, again := int32(137), int64(192), true
	return Record{
		Kind: KindStop, ID: "0123456789abcdef01234567", Cluster: "prod", Namespace: "shop", Pod: "checkout-1", PodUID: "u1", Node: "n1",
		Container: "api", ContainerType: App, Workload: &Workload{Kind: "Deployment", Name: "checkout"},
		Stop: &Stop{
			Epoch: 1, Ordinal: 6, RestartCount: 7, MissedBefore: 2, MissedAfter: at(1), MissedUntil: at(2), ExitObserved: true, BeforeWatch: true,
			ExitCode: &exit, Signal: "SIGKILL", Reason: "OOMKilled", Message: "m", ContainerID: "containerd://a", Image: "i:1", ImageID: "i@sha256:1",
			StartedAt: at(2), FinishedAt: at(5), RanSeconds: &ran,
		},
		ObservedAt: at(6), Category: Failure, WillRestart: &again, BackOffSeconds: 40,
		Diagnosis: Diagnosis{
			Cause: "oom_killed", Detail: "container_limit", Confidence: Confirmed, Summary: "It used more memory than its limit.",
			Evidence:     []Evidence{{Source: "pod-status", Object: "Pod shop/checkout-1", UID: "u1", Field: "f", Value: "OOMKilled", Time: at(5)}},
			Alternatives: []Alternative{{Cause: "a", Why: "w"}}, RuledOut: []Alternative{{Cause: "r", Why: "w"}},
			Missing: []Missing{{What: "node events", Why: "forbidden"}}, Next: []NextStep{{Text: "t", Command: "kubectl"}}, RulesVersion: "1",
			Signature: "panic||main.run", Target: "db.shop:5432",
			Advice: []Advice{{Code: "no_limit", Text: "t", Evidence: []Evidence{{Source: "pod-spec", Object: "Pod shop/checkout-1", UID: "u1", Field: "f", Value: "v", Time: at(5)}}}},
		},
		Life: []LifeStep{{Step: "started", Container: "api", Time: at(5), Seconds: new(1.5), UsualSeconds: new(2.5), Text: "t", Source: "event"}},
		Log:  &Log{Lines: []string{"one", "two"}, Instance: LogProven, Truncated: true, Redactions: 2, Missing: "m"},

		PodCreatedAt: at(1), Revision: "5d8f7c", GenerateName: "checkout-", Group: "g", Issue: &IssueRef{ID: "WR-4F2A1C", State: "new", Count: 3, Pods: 2, MorePods: true, Incident: "WI-1"},
		Changes: []Change{{
			Kind: ChangeRollout, Object: "Deployment shop/checkout", Time: at(1), From: "40", To: "41", By: "kubectl-set", Text: "t",
			Fields: []FieldChange{{Field: "containers[api].resources.limits.memory", Old: "512Mi", New: "256Mi", Hidden: true}},
		}},
	}
}

func fullStall() Record {
	r := fullStop()
	r.Kind, r.Stop, r.Stall = KindStall, nil, &Stall{Begin: at(1), End: at(2)}
	return r
}

// fields calls f with the path of every field of v, and follows pointers and slices.
func fields(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		f(path, v)
		if !v.IsNil() {
			fields(path, v.Elem(), f)
		}
	case reflect.Slice:
		f(path, v)
		for i := range v.Len() {
			fields(fmt.Sprintf("%s[%d]", path, i), v.Index(i), f)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			f(path, v)
			return
		}
		for i := range v.NumField() {
			fields(path+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	default:
		f(path, v)
	}
}

// TestFullRecords keeps the records above full, as other tests rest on that.
func TestFullRecords(t *testing.T) {
	for _, r := range []Record{fullStop(), fullStall()} {
		fields("", reflect.ValueOf(r), func(path string, v reflect.Value) {
			if v.IsZero() && path != ".Stop" && path != ".Stall" {
				t.Errorf("%s: %s has no value", r.Kind, path)
			}
		})
	}
}

// keys lists the JSON fields of v with their paths.
func keys(t *testing.T, v any) []string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(string, any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				paths = append(paths, path+k)
				walk(path+k+".", e)
			}
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		}
	}
	walk("", doc)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// TestFieldNames is the contract with everybody who reads the JSON: a name that is
// taken out of these lists, or changed, breaks them.
func TestFieldNames(t *testing.T) {
	both := strings.Fields(`kind id cluster namespace pod podUID node container containerType workload workload.kind workload.name
		observedAt category willRestart backOffSeconds
		diagnosis diagnosis.cause diagnosis.detail diagnosis.confidence diagnosis.summary diagnosis.rulesVersion
		diagnosis.evidence diagnosis.evidence.source diagnosis.evidence.object diagnosis.evidence.uid diagnosis.evidence.field diagnosis.evidence.value diagnosis.evidence.time
		diagnosis.alternatives diagnosis.alternatives.cause diagnosis.alternatives.why diagnosis.ruledOut diagnosis.ruledOut.cause diagnosis.ruledOut.why
		diagnosis.missing diagnosis.missing.what diagnosis.missing.why diagnosis.next diagnosis.next.text diagnosis.next.command
		diagnosis.advice diagnosis.advice.code diagnosis.advice.text diagnosis.advice.evidence diagnosis.advice.evidence.source diagnosis.advice.evidence.object diagnosis.advice.evidence.uid diagnosis.advice.evidence.field
		diagnosis.advice.evidence.value diagnosis.advice.evidence.time life life.step life.container life.time life.seconds life.usualSeconds life.text life.source
		log log.lines log.instance log.truncated log.redactions log.missing
		diagnosis.signature diagnosis.target podCreatedAt revision generateName group issue issue.id issue.state issue.count issue.pods issue.morePods issue.incident
		changes changes.kind changes.object changes.time changes.from changes.to changes.by changes.text
		changes.fields changes.fields.field changes.fields.old changes.fields.new changes.fields.hidden`)
	for _, tc := range []struct {
		name string
		v    any
		want []string
	}{
		{"a full stop", fullStop(), append(strings.Fields(`epoch ordinal restartCount missedBefore missedAfter missedUntil exitObserved beforeWatch exitCode signal reason
			message containerID image imageID startedAt finishedAt ranSeconds`), both...)},
		{"a full stall", fullStall(), append(strings.Fields(`begin end`), both...)},
		{"an empty stop", Record{Stop: &Stop{}}, strings.Fields(`kind id namespace pod podUID category
			ordinal restartCount missedBefore exitObserved beforeWatch
			diagnosis diagnosis.cause diagnosis.confidence diagnosis.summary`)},
		{"an empty stall", Record{Stall: &Stall{}}, strings.Fields(`kind id namespace pod podUID category
			diagnosis diagnosis.cause diagnosis.confidence diagnosis.summary`)},
		{"a document", Document{Findings: []Record{}, Coverage: Coverage{Gaps: []Gap{{From: at(1), To: at(2), Scope: "shop", Why: "w"}}, Missing: []Missing{{}}}}, strings.Fields(`schema findings
			coverage coverage.pods coverage.stops coverage.missed coverage.gaps coverage.gaps.from coverage.gaps.to coverage.gaps.scope coverage.gaps.why
			coverage.missing coverage.missing.what coverage.missing.why`)},
		{"an empty document", Document{}, strings.Fields(`schema findings coverage coverage.pods coverage.stops coverage.missed`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, keys(t, tc.v)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestZeroOfAStopThatHasMeaning(t *testing.T) {
	exit, ran := int32(0), int64(0)
	b, err := json.Marshal(Record{Stop: &Stop{ExitCode: &exit, RanSeconds: &ran}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"exitObserved":false`, `"beforeWatch":false`, `"missedBefore":0`, `"ordinal":0`, `"exitCode":0`, `"ranSeconds":0`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []Record{fullStop(), fullStall(), {Kind: KindStop, Stop: &Stop{}}, {Kind: KindStall, Stall: &Stall{Begin: at(1)}}} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Record
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b, diff)
		}
	}
}

// TestCloneSharesNothing writes to whatever a pointer or slice of the clone leads to.
func TestCloneSharesNothing(t *testing.T) {
	for _, make := range []func() Record{fullStop, fullStall} {
		original := make()
		clone := original.Clone()
		if diff := cmp.Diff(original, clone); diff != "" {
			t.Fatalf("clone (-original +clone):\n%s", diff)
		}
		fields("", reflect.ValueOf(&clone).Elem(), func(path string, v reflect.Value) {
			if v.Kind() != reflect.Pointer && v.CanSet() {
				v.SetZero()
			}
		})
		if diff := cmp.Diff(make(), original); diff != "" {
			t.Errorf("the clone was written to, and the original changed (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(Record{}, Record{}.Clone()); diff != "" {
		t.Errorf("clone of nothing (-want +got):\n%s", diff)
	}
}

func TestRefine(t *testing.T) {
	stop := func(change func(*Record)) Record {
		r := fullStop()
		change(&r)
		return r
	}
	for _, tc := range []struct {
		name             string
		old, newer, want func(*Record)
	}{
		{"nothing changed", func(*Record) {}, func(*Record) {}, func(*Record) {}},
		{"a new label",
			func(r *Record) { r.Reason = "Error" },
			func(r *Record) { r.Reason = "OOMKilled" },
			func(r *Record) { r.Reason = "OOMKilled" }},
		{"what only the first sighting knows",
			func(r *Record) {
				r.ObservedAt, r.BeforeWatch, r.MissedAfter = at(1), false, at(3)
			},
			func(r *Record) {
				r.ObservedAt, r.BeforeWatch, r.MissedAfter = at(9), true, time.Time{}
			},
			func(r *Record) {
				r.ObservedAt, r.BeforeWatch, r.MissedAfter = at(1), false, at(3)
			}},
		{"what was collected beside it is not lost",
			func(*Record) {},
			func(r *Record) { r.Workload, r.Node, r.Log, r.ContainerID = nil, "", nil, "" },
			func(*Record) {}},
		{"the group of the same workload",
			func(*Record) {},
			func(r *Record) { r.Group = "" },
			func(*Record) {}},
		{"the group of what the workload was taken for",
			func(*Record) {},
			func(r *Record) { r.Group, r.Workload = "", &Workload{Kind: "Rollout", Name: "other"} },
			func(r *Record) { r.Group, r.Workload = "", &Workload{Kind: "Rollout", Name: "other"} }},
		{"a log without lines does not replace one with lines",
			func(*Record) {},
			func(r *Record) { r.Log = &Log{Missing: "gone"} },
			func(*Record) {}},
		{"a log with lines replaces any",
			func(*Record) {},
			func(r *Record) { r.Log = &Log{Lines: []string{"new"}} },
			func(r *Record) { r.Log = &Log{Lines: []string{"new"}} }},
		{"why there is no log stays, where nothing newer is known",
			func(r *Record) { r.Log = &Log{Missing: "gone"} },
			func(r *Record) { r.Log = nil },
			func(r *Record) { r.Log = &Log{Missing: "gone"} }},
		{"what the newer one has counts",
			func(r *Record) { r.Workload, r.Node, r.ContainerID = &Workload{Kind: "Pod", Name: "p"}, "old", "old" },
			func(*Record) {},
			func(*Record) {}},
		{"an old one that nobody saw",
			func(r *Record) { r.ObservedAt = time.Time{} },
			func(*Record) {},
			func(*Record) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old, newer := stop(tc.old), stop(tc.newer)
			got := Refine(old, newer)
			if diff := cmp.Diff(stop(tc.want), got); diff != "" {
				t.Errorf("refined (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, Refine(old, got)); diff != "" {
				t.Errorf("refined again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(stop(tc.newer), newer); diff != "" {
				t.Errorf("the newer one was written to (-want +got):\n%s", diff)
			}
		})
	}

	old, newer := fullStall(), fullStall()
	newer.Begin, newer.End = at(8), at(9)
	if got := Refine(old, newer); !got.Begin.Equal(at(1)) || !got.End.Equal(at(9)) {
		t.Errorf("stall from %v to %v, want the first begin and the newest end", got.Begin, got.End)
	}
	old.Begin = time.Time{}
	if got := Refine(old, newer); !got.Begin.Equal(at(8)) {
		t.Errorf("stall from %v, want the only known begin", got.Begin)
	}
}

func TestWhen(t *testing.T) {
	stop, stall := fullStop(), fullStall()
	for _, tc := range []struct {
		name   string
		record Record
		change func(*Record)
		want   time.Time
	}{
		{"a stop", stop, func(*Record) {}, at(5)},
		{"a stop whose end has no time", stop, func(r *Record) { r.FinishedAt = time.Time{} }, at(6)},
		{"a stop whose end has the time of a clock that is minutes behind", stop, func(r *Record) { r.PodCreatedAt = at(30) }, at(5)},
		{"a stop whose end has the time of a clock that is years behind", stop, func(r *Record) { r.PodCreatedAt = at(5).AddDate(3, 0, 0) }, at(6)},
		{"a stall", stall, func(*Record) {}, at(1)},
		{"a stall whose begin has no time", stall, func(r *Record) { r.Begin = time.Time{} }, at(6)},
		{"neither", Record{ObservedAt: at(6)}, func(*Record) {}, at(6)},
	} {
		r := tc.record.Clone()
		tc.change(&r)
		if got := r.When(); !got.Equal(tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
