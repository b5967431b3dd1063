package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Epoch is the time that the samples count from.
func Epoch() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// Sample returns a stop as a cluster gives it, different for every n: the n-th in time,
// of one of 500 workloads in 50 namespaces. Its texts have the length and the variety
// of real ones, so that it serves to measure.
func Sample(n int) record.Record {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	app := n % 500
	namespace := fmt.Sprintf("team-%02d", app%50)
	name := fmt.Sprintf("service-%03d", app)
	podUID := fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<12), rng.IntN(1<<12), rng.Uint64()>>16)
	pod := fmt.Sprintf("%s-%08x-%05x", name, rng.Uint32(), rng.IntN(1<<20))
	key := record.StopKey{
		Cluster:      "prod",
		ContainerKey: record.ContainerKey{PodUID: podUID, Type: record.App, Name: "api"},
		Ordinal:      n % 7,
	}
	finished := Epoch().Add(time.Duration(n) * time.Second)
	ran := int64(rng.IntN(90000))
	code := int32(1 + rng.IntN(3))
	restarts := true
	image := fmt.Sprintf("registry.example.com/%s/%s:v1.%d.0", namespace, name, rng.IntN(20))
	object := "Pod " + namespace + "/" + pod
	return record.Record{
		Kind: record.KindStop, ID: key.ID(), Cluster: key.Cluster,
		Namespace: namespace, Pod: pod, PodUID: podUID, Node: fmt.Sprintf("node-%03d", rng.IntN(200)),
		Container: key.Name, ContainerType: key.Type,
		Workload: &record.Workload{Kind: "Deployment", Name: name},
		Stop: &record.Stop{
			Ordinal: key.Ordinal, RestartCount: key.Ordinal + 1, ExitObserved: true,
			ExitCode: &code, Reason: "Error",
			ContainerID: fmt.Sprintf("containerd://%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()),
			Image:       image,
			ImageID:     fmt.Sprintf("%s@sha256:%064x", image, app),
			StartedAt:   finished.Add(-time.Duration(ran) * time.Second), FinishedAt: finished, RanSeconds: &ran,
		},
		ObservedAt: finished.Add(time.Duration(rng.IntN(1e9))),
		Category:   record.Failure, WillRestart: &restarts, BackOffSeconds: 40,
		Diagnosis: record.Diagnosis{
			Cause: "app_exit", Detail: "connection_refused", Confidence: record.Likely,
			Summary: fmt.Sprintf("Container api exited with code %d after its last words said that the database refused the connection.", code),
			Evidence: []record.Evidence{
				{Source: "pod-status", Object: object, UID: podUID, Field: "status.containerStatuses[api].lastState.terminated.exitCode", Value: fmt.Sprint(code), Time: finished},
				{Source: "pod-status", Object: object, UID: podUID, Field: "status.containerStatuses[api].lastState.terminated.reason", Value: "Error", Time: finished},
				{Source: "log", Object: object, UID: podUID, Field: "line 40", Value: fmt.Sprintf("dial tcp 10.0.%d.%d:5432: connect: connection refused", rng.IntN(256), rng.IntN(256))},
			},
			RuledOut: []record.Alternative{
				{Cause: "liveness_probe", Why: "no Killing event in the instance's lifetime"},
				{Cause: "oom_killed", Why: "the runtime reports the reason Error"},
			},
			Missing: []record.Missing{{What: "node events", Why: "forbidden"}},
			Next: []record.NextStep{
				{Text: "Read the whole log of the stopped instance", Command: fmt.Sprintf("kubectl logs -n %s %s -c api --previous", namespace, pod)},
				{Text: "Check whether the database listens at that address", Command: fmt.Sprintf("kubectl get endpointslices -n %s", namespace)},
			},
			RulesVersion: "2026.3",
		},
	}
}

// SampleLog returns a tail of 40 lines, different for every n.
func SampleLog(n int) *record.Log {
	rng := rand.New(rand.NewPCG(uint64(n), 8))
	l := &record.Log{Instance: record.LogProven, Truncated: true}
	for i := range 40 {
		at := Epoch().Add(time.Duration(n)*time.Second + time.Duration(i)*time.Millisecond)
		l.Lines = append(l.Lines, fmt.Sprintf(`{"time":%q,"level":"INFO","msg":"request served","path":"/api/v1/items/%d","status":200,"duration_ms":%d,"trace":"%016x"}`,
			at.Format(time.RFC3339Nano), rng.IntN(100000), rng.IntN(900), rng.Uint64()))
	}
	return l
}
