package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// fleet is a night on call: 2,000 pods that crash for one of two reasons, a node that
// rebooted below twenty workloads, a new problem, and a rollout.
func fleet(now time.Time) []record.Record {
	var out []record.Record
	add := func(namespace, workload, pod, node, image string, ordinal int, ago time.Duration, category record.Category, d record.Diagnosis) *record.Record {
		ran := int64(190)
		code := int32(137)
		if d.Confidence == "" {
			d.Confidence = record.Confirmed
		}
		r := record.Record{
			Kind: record.KindStop, ID: record.StopKey{ContainerKey: record.ContainerKey{PodUID: namespace + pod, Type: record.App, Name: "api"}, Ordinal: ordinal}.ID(),
			Namespace: namespace, Pod: pod, PodUID: namespace + pod, Node: node, Container: "api", ContainerType: record.App,
			Workload: &record.Workload{Kind: "Deployment", Name: workload},
			Stop: &record.Stop{
				Ordinal: ordinal, RestartCount: ordinal + 1, ExitObserved: true, ExitCode: &code, Reason: "Error", Image: image, ImageID: "sha256:" + image,
				StartedAt: now.Add(-ago - 190*time.Second), FinishedAt: now.Add(-ago), RanSeconds: &ran,
			},
			ObservedAt: now.Add(-ago), PodCreatedAt: now.Add(-72 * time.Hour), Revision: "r1", Category: category, Diagnosis: d,
		}
		out = append(out, r)
		return &out[len(out)-1]
	}
	oom := record.Diagnosis{Cause: "oom_killed", Detail: "container_limit", Summary: "It used more memory than its limit of 256Mi."}
	for i := range 1000 {
		r := add("shop", "checkout", fmt.Sprintf("checkout-%04d", i), fmt.Sprintf("node-%02d", i%40), "shop/checkout:1.5", i%7, time.Duration(i)*time.Minute, record.Failure, oom)
		r.Changes = []record.Change{{
			Kind: record.ChangeRollout, Object: "Deployment shop/checkout", Time: now.Add(-1010 * time.Minute), From: "40", To: "41", By: "kubectl",
			Text:   "Revision 41 was rolled out 10m before the first stop.",
			Fields: []record.FieldChange{{Field: "containers[api].resources.limits.memory", Old: "512Mi", New: "256Mi"}},
		}}
	}
	for i := range 1000 {
		add("shop", "worker", fmt.Sprintf("worker-%04d", i), fmt.Sprintf("node-%02d", i%40), "shop/worker:2", 0, time.Duration(i)*5*time.Second, record.Failure,
			record.Diagnosis{Cause: "app_exit", Detail: "panic", Confidence: record.Likely, Signature: "panic: nil map", Summary: "The program ended itself."})
	}
	for i := range 23 {
		add("data", fmt.Sprintf("service-%02d", i%20), fmt.Sprintf("service-%02d-x", i), "node-17", "data/service:1", 0, 9*time.Minute-time.Duration(i)*time.Second, record.Disruption,
			record.Diagnosis{Cause: "runtime_restarted", Detail: "node_reboot", Summary: "The node rebooted.", Evidence: []record.Evidence{
				{Source: "node", Object: "Node node-17", Field: "status.nodeInfo.bootID", Value: "7b1f", Time: now.Add(-9 * time.Minute)},
			}})
	}
	for i := range 3 {
		add("shop", "web", "web-1", "node-03", "shop/web:7", i, time.Duration(3-i)*4*time.Minute, record.Failure,
			record.Diagnosis{Cause: "liveness_probe", Detail: "timeout", Summary: "The liveness probe timed out."})
	}
	for i := range 12 {
		add("shop", fmt.Sprintf("rolled-%02d", i), fmt.Sprintf("rolled-%02d-x", i), "node-03", "shop/rolled:1", 0, time.Hour, record.Lifecycle,
			record.Diagnosis{Cause: "pod_deleted", Detail: "rollout", Summary: "A rollout replaced the pod."})
	}
	return out
}

// makeFleet stores the fleet.
func makeFleet(ts *testscript.TestScript, path string) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	ts.Check(err)
	now := time.Now().Truncate(time.Second)
	observed := func(value string, ago time.Duration) record.Observation {
		return record.Observation{Object: "Node node-17", Field: "status.nodeInfo.kubeletVersion", Value: value, Time: now.Add(-ago)}
	}
	ts.Check(db.Append(ctx, store.Batch{
		Records: fleet(now), Observed: []record.Observation{observed("v1.35.3", 100*time.Hour), observed("v1.36.1", 8*time.Minute)},
	}))
	ts.Check(db.Close())
}
