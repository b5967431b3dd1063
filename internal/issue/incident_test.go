package issue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

func of(workload, pod, node string) func(*record.Record) {
	return func(r *record.Record) {
		r.Workload, r.Pod, r.Node = &record.Workload{Kind: "Deployment", Name: workload}, pod, node
	}
}

func disrupted(c, detail string) func(*record.Record) {
	return func(r *record.Record) {
		r.Category = record.Disruption
		r.Diagnosis = record.Diagnosis{Cause: c, Detail: detail, Confidence: record.Confirmed, Summary: c}
	}
}

func needs(class, target string) func(*record.Record) {
	return func(r *record.Record) {
		said(class, class+"||x")(r)
		r.Stop.ExitCode, r.Diagnosis.Target = new(int32(1)), target
	}
}

func inNamespace(n string) func(*record.Record) {
	return func(r *record.Record) { r.Namespace = n }
}

// TestIncidents tells incidents by their sentences, the newest first.
func TestIncidents(t *testing.T) {
	same := said("panic", "panic||main.run")
	sh := func(r *record.Record) { r.Stop.ExitCode = new(int32(1)); cause("app_exit", record.Confirmed)(r) }
	for _, tc := range []struct {
		name    string
		records []record.Record
		want    []string
	}{
		{"a restart of the runtime", []record.Record{
			stop("1", t0, of("a", "a-1", "node-17"), disrupted("runtime_restarted", "")),
			stop("2", t0.Add(10*time.Second), of("b", "b-1", "node-17"), disrupted("runtime_restarted", "")),
			stop("3", t0.Add(20*time.Second), of("b", "b-2", "node-17"), disrupted("runtime_restarted", "")),
		}, []string{"node-17: the container runtime or the node was restarted; 3 stops of 2 workloads in 20s"}},
		{"one pod with two containers is no incident", []record.Record{
			stop("1", t0, of("a", "a-1", "node-17"), disrupted("runtime_restarted", "")),
			stop("2", t0, of("a", "a-1", "node-17"), disrupted("runtime_restarted", ""), func(r *record.Record) { r.Container = "proxy" }),
		}, nil},
		{"two nodes are two", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), disrupted("runtime_restarted", "node_reboot")),
			stop("2", t0, of("b", "b-1", "n1"), disrupted("runtime_restarted", "node_reboot")),
			stop("3", t0.Add(minute), of("a", "a-2", "n2"), disrupted("eviction_api", "")),
			stop("4", t0.Add(minute), of("b", "b-2", "n2"), disrupted("eviction_api", "")),
		}, []string{"n2: pods were evicted through the API, as a drain does; 2 stops of 2 workloads", "n1: the node was rebooted; 2 stops of 2 workloads"}},
		{"six minutes later is another", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), disrupted("eviction_api", "")),
			stop("2", t0, of("b", "b-1", "n1"), disrupted("eviction_api", "")),
			stop("3", t0.Add(6*minute), of("a", "a-2", "n1"), disrupted("eviction_api", "")),
		}, []string{"n1: pods were evicted through the API, as a drain does; 2 stops of 2 workloads"}},
		{"a stop and a stall", []record.Record{
			stall("1", t0, time.Time{}, of("a", "a-1", "n1"), disrupted("node_lost", "")),
			stall("2", t0, time.Time{}, of("b", "b-1", "n1"), disrupted("node_lost", "")),
			stop("3", t0.Add(5*minute), of("c", "c-1", "n1"), disrupted("taint_eviction", "")),
		}, []string{"n1: the node does not answer, and pods were evicted by a taint; 1 stop and 2 stalls of 3 workloads in 5m"}},
		{"missed ones are told", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), disrupted("runtime_restarted", ""), func(r *record.Record) { r.MissedBefore = 4 }),
			stop("2", t0, of("b", "b-1", "n1"), disrupted("runtime_restarted", "")),
		}, []string{"n1: the container runtime or the node was restarted; 2 stops of 2 workloads, and 4 more that are only counted"}},
		{"the node's memory, not the container's", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), func(r *record.Record) { r.Diagnosis.Detail = "node" }),
			stop("2", t0, of("b", "b-1", "n1"), func(r *record.Record) { r.Diagnosis.Detail = "node" }),
			stop("3", t0, of("c", "c-1", "n1")),
		}, []string{"n1: the node ran out of memory; 2 stops of 2 workloads"}},
		{"a dependency, by its names", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), needs("connection_refused", "db:5432")),
			stop("2", t0.Add(minute), of("b", "b-1", "n2"), needs("timeout", "DB.shop.svc.cluster.local.:5432")),
			stop("3", t0.Add(2*minute), of("c", "c-1", "n3"), needs("connection_refused", "postgres://app@db.shop:5432/app"), inNamespace("web")),
		}, []string{"db.shop:5432: it refuses connections, and it does not answer in time; 3 stops of 3 workloads in 2m"}},
		{"one name in two namespaces", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), needs("connection_refused", "db:5432")),
			stop("2", t0, of("b", "b-1", "n1"), needs("connection_refused", "db:5432"), inNamespace("web")),
		}, nil},
		{"one workload alone is none", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), needs("dns_failure", "db")),
			stop("2", t0, of("a", "a-2", "n1"), needs("dns_failure", "db")),
		}, nil},
		{"itself is no dependency", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), needs("connection_refused", "localhost:8080")),
			stop("2", t0, of("b", "b-1", "n1"), needs("connection_refused", "localhost:8080"), func(r *record.Record) { r.Image = "other" }),
		}, nil},
		{"an image with the same words", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), exit(1), same),
			stop("2", t0.Add(5*minute+10*time.Second), of("b", "b-1", "n2"), exit(1), same),
		}, []string{"app:v1 app_exit/panic#841893: the program fails with the same last words (panic); 2 stops of 2 workloads in 5m"}},
		{"an image with other words", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), exit(1), same),
			stop("2", t0, of("b", "b-1", "n2"), exit(1), said("panic", "panic||main.other")),
		}, nil},
		{"a shell image, and nothing said", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), sh), stop("2", t0, of("b", "b-1", "n2"), sh),
		}, nil},
		{"a crash of an image", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), exit(139), cause("app_signal", record.Likely), func(r *record.Record) { r.Diagnosis.Detail = "SIGSEGV" }),
			stop("2", t0, of("b", "b-1", "n1"), exit(139), cause("app_signal", record.Likely), func(r *record.Record) { r.Diagnosis.Detail = "SIGSEGV" }),
		}, []string{"app:v1 app_signal/SIGSEGV: the program crashes with SIGSEGV; 2 stops of 2 workloads"}},
		{"pods of one name in two namespaces are two", []record.Record{
			stop("1", t0, of("a", "db-0", "n1"), disrupted("eviction_api", "")),
			stop("2", t0, of("a", "db-0", "n1"), disrupted("eviction_api", ""), inNamespace("web")),
		}, []string{"n1: pods were evicted through the API, as a drain does; 2 stops of 2 workloads"}},
		{"late evidence takes a stop out", []record.Record{
			stop("1", t0, of("a", "a-1", "n1"), disrupted("sandbox_changed", "")),
			stop("2", t0, of("b", "b-1", "n1"), disrupted("sandbox_changed", "")),
			stop("2", t0, of("b", "b-1", "n1")),
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := issue.NewMemory(0)
			for _, r := range tc.records {
				if _, err := m.Post(r); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, i := range m.Incidents() {
				got = append(got, i.Summary)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIncidentLasts: an hour of a node, a day of what is in crash loops.
func TestIncidentLasts(t *testing.T) {
	for _, tc := range []struct {
		f     func(*record.Record)
		apart time.Duration
		n     int
		want  int
	}{
		{disrupted("eviction_api", ""), 4 * minute, 16, 1},
		{disrupted("eviction_api", ""), 4 * minute, 18, 2},
		{needs("connection_refused", "db:5432"), 5*minute + 10*time.Second, 200, 1},
		{needs("connection_refused", "db:5432"), 5*minute + 10*time.Second, 300, 2},
	} {
		m := issue.NewMemory(0)
		for n := range tc.n {
			for _, w := range []string{"a", "b"} {
				if _, err := m.Post(stop(fmt.Sprint(w, n), t0.Add(time.Duration(n)*tc.apart), of(w, fmt.Sprint(w, n), "n1"), tc.f)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := m.Incidents(); len(got) != tc.want {
			t.Errorf("%d times each %v: %d incidents, want %d", tc.n, tc.apart, len(got), tc.want)
		}
	}
}

func TestDependency(t *testing.T) {
	for target, want := range map[string]string{
		"db:5432":                         "db.shop:5432",
		"db":                              "db.shop",
		"DB.":                             "db.shop",
		"db.shop":                         "db.shop",
		"db.shop.svc":                     "db.shop",
		"db.shop.svc.cluster.local:5432":  "db.shop:5432",
		"pg-0.db.shop.svc.my.zone:5432":   "pg-0.db.shop:5432",
		"svc.example.com":                 "svc.example.com",
		"api.svc.example.com":             "api.svc.example.com",
		"https://u:p@api.example.com/a:b": "api.example.com",
		"api.example.com:443":             "api.example.com:443",
		"10.96.0.1:443":                   "10.96.0.1:443",
		"::ffff:10.96.0.1":                "10.96.0.1",
		"[fd00::1]:53":                    "[fd00::1]:53",
		"fd00::1":                         "fd00::1",
		"127.0.0.1:80":                    "",
		"127.8.9.1":                       "",
		"[::1]:80":                        "",
		"::1":                             "",
		"0.0.0.0:80":                      "",
		"localhost":                       "",
		"localhost.localdomain:1":         "",
		"LOCALHOST:80":                    "",
		"ip6-localhost":                   "",
		"":                                "",
		" ":                               "",
		":80":                             "",
		"a b":                             "",
		"a\x1b[0m:1":                      "",
		"dbé:5432":                        "",
		"a:b:c":                           "",
	} {
		m := issue.NewMemory(0)
		for _, w := range []string{"a", "b"} {
			r := stop(w, t0, of(w, w, "n1"), needs("timeout", target))
			r.Image = w // else it would be the image
			if _, err := m.Post(r); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		for _, i := range m.Incidents() {
			got = i.Subject
		}
		if got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	m := issue.NewMemory(0)
	for n, r := range []record.Record{
		stop("", t0, of("a", "a-1", "n1"), disrupted("runtime_restarted", "")), // wholly in it
		stop("", t0, of("b", "b-1", "n1"), disrupted("runtime_restarted", "")),
		stop("", t0.Add(day), of("b", "b-1", "n2"), disrupted("runtime_restarted", "")), // and in one that is too small
		stop("", t0, of("c", "c-1", "n1")),                                              // in none
		stop("", t0.Add(2*day), of("d", "d-1", "n1"), disrupted("eviction_api", "")),    // in two
		stop("", t0.Add(2*day), of("e", "e-1", "n1"), disrupted("eviction_api", "")),
		stop("", t0.Add(3*day), of("d", "d-1", "n1"), disrupted("eviction_api", "")),
		stop("", t0.Add(3*day), of("e", "e-1", "n1"), disrupted("eviction_api", "")),
	} {
		r.ID = fmt.Sprint(n)
		if _, err := m.Post(r); err != nil {
			t.Fatal(err)
		}
	}
	names := func(all []issue.Issue) []string {
		var out []string
		for _, i := range all {
			out = append(out, i.Workload.Name)
		}
		return out
	}
	all := m.Issues(t0)
	if diff := cmp.Diff([]string{"c", "b"}, names(issue.Fold(all, m.Incidents()))); diff != "" {
		t.Errorf("folded (-want +got):\n%s", diff)
	}
	if got := issue.Fold(all, nil); len(got) != len(all) {
		t.Errorf("without incidents: %v", names(got))
	}
}
