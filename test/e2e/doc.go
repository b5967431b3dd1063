// Package e2e runs whyrestart against a real cluster and compares what it recorded
// with what the container runtime itself says happened.
//
// The tests need the build tag e2e and a cluster:
//
//	cd test/cluster && go build -o /tmp/cluster ./cmd/cluster && /tmp/cluster up
//	eval "$(/tmp/cluster env)"
//	go test -tags e2e -count=1 -timeout 30m -v ./test/e2e/...
//
// Every scenario has a namespace of its own, whose name begins with "e2e-". One
// whyrestart watches them all; it is started before the first scenario and its totals
// are checked once more after the last one, on its output and in its store.
//
// What is true is read from three accounts that whyrestart has no part in:
//
//   - the account that test/cluster keeps of containerd: every instance that ended.
//     It is the measure: recorded and missed stops must add up to it, container by
//     container, and no recorded stop may be one that it does not know.
//   - what the kubelet noticed, from its log: not complete, but what it names happened.
//   - a plain watch of pods by the test. It replaces the first where the cluster is
//     not that of test/cluster; scenarios that harm the node are skipped there.
//
// Each scenario also writes down what is true of every stop and stall that it provokes,
// see claim: the explanation has to agree with it in cause, detail, category and
// confidence, nothing may be left out, and nothing said that nobody provoked.
//
// After the scenarios comes a soak: forty workloads on the real node and on nodes of kwok
// are rolled, rescaled, drained and deleted at random, ten of them begin to fail, and in the
// end whyrestart has to list ten failure issues and no other one. "make soak" runs it alone,
// and for longer.
//
// TestChaos kills, stops, starves and cuts off a whyrestart of its own while containers
// restart every second, and holds after each fault that what it recorded is what happened.
// "make chaos" runs it alone, in its long form, and writes docs/reliability.md.
//
// Environment:
//
//	KUBECONFIG                 the cluster; needed
//	WHYRESTART_BIN             the program under test; built unless set
//	WHYRESTART_CLUSTER_DIR     state folder of test/cluster, /var/lib/whyrestart-cluster unless set
//	WHYRESTART_CLUSTER_BIN     the tool of test/cluster; built unless set
//	WHYRESTART_E2E_ACCURACY    a file that the table of what was explained is written to, beside what
//	                           kubectl shows; "make accuracy" writes docs/accuracy.md
//	WHYRESTART_E2E_REPORT      a file that the table of all scenarios is written to
//	WHYRESTART_SOAK_REPORT     a file that the report of the soak is written to; "make soak" writes
//	                           docs/soak.md
//	SOAK_FOR                   how long the changes of the soak go on, such as 10m
//	WHYRESTART_CHAOS_REPORT    a file that the table of faults is written to; "make chaos" writes
//	                           docs/reliability.md
//	CHAOS_FOR                  how long the faults go on, such as 10m; a short form of each unless set
//	CHAOS_SEED                 the seed of an earlier run, which its log names: the same choices again
//	CHAOS_ONLY                 a regular expression: only faults whose name matches it
//	SOAK_SEED                  the seed of an earlier soak, which its log names: the same choices again
package e2e
