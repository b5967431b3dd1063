//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/whyrestart/whyrestart/internal/shard"
)

// shardsFor is how long the containers restart while shards watch them.
const shardsFor = 10 * time.Second

// TestShards lets four shards watch containers that restart every second in all of their namespaces:
// two as the server divides, where it does, and two behind a proxy that takes the wish for a shard
// away, as a server would that does not know it. Together they must have recorded the truth, and none
// anything of another's.
func TestShards(t *testing.T) {
	const of = 4
	ctx := t.Context()
	// The stops that these shards record are the only ones that are looked at here.
	s := &suite{
		kube: theSuite.kube, dir: filepath.Join(theSuite.dir, "shards"), changed: theSuite.changed, node: theSuite.node, recorder: theSuite.recorder,
		truth: theSuite.truth, records: newRecords(theSuite.changed), report: &report{}, accuracy: newAccuracy(),
	}
	t.Setenv("WHYRESTART_BIN", theSuite.program.bin)
	proxy := withoutShards(t, theSuite.program.kubeconfig)
	divides := serverDivides(ctx, t, s)
	t.Logf("the API server divides: %t", divides)
	var programs []*program
	for i := range of {
		dir := filepath.Join(s.dir, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		p, err := newProgram(ctx, dir, theSuite.program.kubeconfig, s.records)
		if err != nil {
			t.Fatal(err)
		}
		p.args = []string{"--shard", shard.Shard{Index: i, Of: of}.String()}
		if i >= of/2 {
			p.args = append(p.args, "--server", proxy)
		}
		if err := p.start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := p.terminate(ctx); err != nil {
				t.Error(err)
			}
		})
		programs = append(programs, p)
	}
	for i, p := range programs {
		want := fmt.Sprintf("whyrestart_shard_server_side %d", map[bool]int{true: 1}[divides && i < of/2])
		for _, line := range []string{want, fmt.Sprintf("whyrestart_total_shards %d", of), fmt.Sprintf(`whyrestart_shard_ordinal{shard_ordinal="%d"} %d`, i, i)} {
			if !strings.Contains(metricsOf(ctx, t, p)+"\n", "\n"+line+"\n") {
				t.Errorf("the metrics of shard %d do not have the line %s", i, line)
			}
		}
	}

	var spaces []*space
	for _, name := range namespacesOf(of) {
		sp := newSpace(t, s, name)
		defer sp.explain()
		spaces = append(spaces, sp)
	}
	for _, sp := range spaces {
		sp.create(newPod("restless", counted("main", "sleep 0.3; exit 1"), counted("other", "sleep 0.7; exit 3")))
	}
	select {
	case <-time.After(shardsFor):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	for _, sp := range spaces {
		sp.untilRestarts("restless", 2, "main", "other")
	}
	for _, sp := range spaces { // so that they end beside each other
		sp.must(s.kube.CoreV1().Namespaces().Delete(ctx, sp.ns, metav1.DeleteOptions{}), "delete the namespace")
	}
	for _, sp := range spaces {
		sp.settle()
	}

	owner := map[string]int{}
	for i, p := range programs {
		doc, err := p.list(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range doc.Findings {
			if !strings.HasPrefix(r.Namespace, prefix) {
				continue // other things run on the cluster
			}
			if !(shard.Shard{Index: i, Of: of}).Contains(r.Namespace) {
				t.Errorf("shard %d recorded a stop in namespace %s", i, r.Namespace)
			}
			if j, twice := owner[r.ID]; twice {
				t.Errorf("record %s is in the stores of the shards %d and %d", r.ID, i, j)
			}
			owner[r.ID] = i
		}
	}
	t.Logf("%d records in %d namespaces", len(owner), len(spaces))
}

// namespacesOf returns two namespaces of each shard.
func namespacesOf(of int) []string {
	var names []string
	have := map[int]int{}
	for n := 0; len(names) < 2*of; n++ {
		name := fmt.Sprintf("%sshard-%c%d-team", prefix, 'a'+n%26, n)
		for i := range of {
			if (shard.Shard{Index: i, Of: of}).Contains(name) && have[i] < 2 {
				have[i]++
				names = append(names, name)
			}
		}
	}
	return names
}

// serverDivides asks for a shard and looks whether the answer says that it is one.
func serverDivides(ctx context.Context, t *testing.T, s *suite) bool {
	t.Helper()
	list, err := s.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{Limit: 1, ShardSelector: shard.Shard{Of: 2}.Selector()})
	if err != nil {
		t.Fatal(err)
	}
	return list.ShardInfo != nil
}

// withoutShards returns the address of a proxy to the API server that takes the wish for a shard away.
func withoutShards(t *testing.T, kubeconfig string) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		q := r.Out.URL.Query()
		q.Del("shardSelector")
		r.Out.URL.RawQuery = q.Encode()
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

func metricsOf(ctx context.Context, t *testing.T, p *program) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
