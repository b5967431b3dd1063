package issue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

var t0 = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// stop is a stop of container api of Deployment shop/checkout.
func stop(id string, at time.Time, changes ...func(*record.Record)) record.Record {
	r := record.Record{
		Kind: record.KindStop, ID: id, Cluster: "prod", Namespace: "shop", Pod: "checkout-7d9-x2kpl", PodUID: "u1", Node: "node-1", Container: "api",
		ContainerType: record.App, Workload: &record.Workload{Kind: "Deployment", Name: "checkout"}, Category: record.Failure,
		Stop:       &record.Stop{ExitCode: new(int32(137)), FinishedAt: at, ExitObserved: true, Image: "app:v1", ImageID: "sha256:1"},
		ObservedAt: at, PodCreatedAt: t0.Add(-time.Hour), Revision: "7d9",
		Diagnosis: record.Diagnosis{Cause: "oom_killed", Detail: "container_limit", Confidence: record.Confirmed, Summary: "The kernel killed it."},
	}
	for _, c := range changes {
		c(&r)
	}
	return r
}

func stall(id string, begin, end time.Time, changes ...func(*record.Record)) record.Record {
	r := stop(id, begin, changes...)
	r.Kind, r.Stop, r.Stall = record.KindStall, nil, &record.Stall{Begin: begin, End: end}
	if r.Diagnosis.Cause == "oom_killed" {
		r.Diagnosis = record.Diagnosis{Cause: "image_not_found", Confidence: record.Confirmed, Summary: "No such image."}
	}
	return r
}

func cause(cause string, c record.Confidence) func(*record.Record) {
	return func(r *record.Record) { r.Diagnosis = record.Diagnosis{Cause: cause, Confidence: c, Summary: cause} }
}

func exit(n int32) func(*record.Record) { return func(r *record.Record) { r.Stop.ExitCode = new(n) } }

func said(class, signature string) func(*record.Record) {
	return func(r *record.Record) {
		r.Diagnosis = record.Diagnosis{Cause: "app_exit", Detail: class, Confidence: record.Confirmed, Signature: signature, Summary: "It ended itself."}
		r.Log = &record.Log{Lines: []string{"panic"}}
	}
}

// TestFingerprints must never change for a version of the rules: IDs are stored, are known to
// people and stand in their links.
func TestFingerprints(t *testing.T) {
	for _, tc := range []struct {
		name        string
		record      record.Record
		fingerprint string
	}{
		{"oom", stop("1", t0), "93a6276435bd5356d863a57c"},
		{"app_exit", stop("1", t0, exit(1), said("panic", "panic||main.run")), "f3acbc9c41c47bf18550eb0d"},
		{"app_exit without a signature", stop("1", t0, exit(1), cause("app_exit", record.Likely)), "a2c9983e8aff2f7dc236767f"},
		{"stall", stall("1", t0, time.Time{}), "84b1a030002b73d14cc73159"},
		{"bare pod", stop("1", t0, func(r *record.Record) { r.Workload = nil; r.Pod = "debug" }), "c8334aa23de0bfcc4261129f"},
		{"bare pods with generated names", stop("1", t0, func(r *record.Record) {
			r.Workload, r.Pod, r.GenerateName = &record.Workload{Kind: "Pod", Name: "run-x2kpl"}, "run-x2kpl", "run-"
		}), "3bb2c554b82a142db082b1c4"},
		{"a pod of another name than it was to have", stop("1", t0, func(r *record.Record) { r.Workload = nil; r.Pod, r.GenerateName = "debug", "run-" }), "c8334aa23de0bfcc4261129f"},
		{"static pod", stop("1", t0, func(r *record.Record) {
			r.Workload = &record.Workload{Kind: "Pod", Name: "etcd-node-1"}
			r.Pod = "etcd-node-1"
		}), "297f57baa950163f0580b6da"},
		{"group", stop("1", t0, func(r *record.Record) { r.Group = "nightly" }), "4f5a657c3329e2531d82ddd4"},
		{"pod-level, no cluster", stall("1", t0, time.Time{}, func(r *record.Record) { r.Cluster, r.Container = "", "" }), "405dac7c0d6746c5646b7148"},
		{"nothing", record.Record{}, "0260e4a18e34963db307f9b7"},
	} {
		k := issue.KeyOf(&tc.record)
		if got := k.Fingerprint(); got != tc.fingerprint {
			t.Errorf("%s: fingerprint %q, want %q", tc.name, got, tc.fingerprint)
		}
	}
}

func TestKeyHasNothingOfOneStop(t *testing.T) {
	a := stop("1", t0, exit(1), said("panic", "panic||main.run"))
	b := a.Clone()
	b.ID, b.Pod, b.PodUID, b.Node, b.Revision = "2", "checkout-66c-aaaaa", "u2", "node-9", "66c"
	b.Image, b.ImageID, b.ContainerID = "app:v2", "sha256:2", "containerd://2"
	b.ObservedAt, b.FinishedAt, b.PodCreatedAt = t0.Add(time.Hour), t0.Add(time.Hour), t0
	b.Diagnosis.Summary, b.Diagnosis.Confidence, b.Diagnosis.Target = "other words", record.Likely, "db:5432"
	if diff := cmp.Diff(issue.KeyOf(&a), issue.KeyOf(&b)); diff != "" {
		t.Errorf("key (-one +other stop):\n%s", diff)
	}
}
