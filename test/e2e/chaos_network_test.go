//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"k8s.io/client-go/tools/clientcmd"
)

// wire is a proxy between whyrestart and the API server that harms connections.
type wire struct {
	k     *chaos
	proxy *toxiproxy.Proxy
}

// toxic is a way to harm a connection, see the documentation of toxiproxy.
type toxic struct{ kind, stream, attributes string }

// newWire lets whyrestart talk to the API server through a proxy, until the end of the fault.
func (k *chaos) newWire() *wire {
	k.t.Helper()
	config, err := clientcmd.LoadFromFile(k.suite.program.kubeconfig)
	k.must(err, "read the kubeconfig")
	var server *url.URL
	for _, c := range config.Clusters {
		server, err = url.Parse(c.Server)
		k.must(err, "read the address of the API server")
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{k: k, proxy: toxiproxy.NewProxy(api, "api", "127.0.0.1:0", server.Host)}
	k.must(w.proxy.Start(), "start toxiproxy")
	k.t.Cleanup(w.proxy.Stop)
	k.through("https://"+w.proxy.Listen, server.Hostname())
	return w
}

// through lets whyrestart reach the API server by another address until the end of the fault.
func (k *chaos) through(server, name string) {
	k.t.Helper()
	config, err := clientcmd.LoadFromFile(k.suite.program.kubeconfig)
	k.must(err, "read the kubeconfig")
	for _, c := range config.Clusters {
		c.Server, c.TLSServerName = server, name
		if strings.HasPrefix(server, "http:") {
			c.CertificateAuthorityData, c.CertificateAuthority, c.TLSServerName = nil, "", ""
		}
	}
	file := filepath.Join(k.dir, "kubeconfig-"+strings.NewReplacer("/", "-", ":", "-").Replace(server))
	k.must(clientcmd.WriteToFile(*config, file), "write a kubeconfig")
	k.program.kubeconfig = file
	k.restart()
}

// direct ends that.
func (k *chaos) direct() {
	k.t.Helper()
	k.program.kubeconfig, k.program.env = k.suite.program.kubeconfig, nil
	k.restart()
}

// with harms all connections, old and new, for a while.
func (w *wire) with(d time.Duration, toxics ...toxic) {
	w.k.t.Helper()
	w.harm(toxics...)
	w.k.wait(d)
	w.heal(toxics...)
}

func (w *wire) harm(toxics ...toxic) {
	w.k.t.Helper()
	for _, t := range toxics {
		text := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%s}}`, t.kind, t.stream, t.attributes)
		_, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(text))
		w.k.must(err, "add a toxic")
	}
}

func (w *wire) heal(toxics ...toxic) {
	w.k.t.Helper()
	for _, t := range toxics {
		w.k.must(w.proxy.Toxics.RemoveToxic(w.k.ctx, t.kind+"_"+t.stream), "remove a toxic")
	}
}

func (k *chaos) networkFaults() []fault {
	var noticed time.Duration
	// wired is a fault of the wire.
	wired := func(name string, n int, note string, harm func(*wire)) fault {
		return fault{group: groupNetwork, name: name, run: func() (int, string) {
			w := k.newWire()
			for range n {
				harm(w)
				k.wait(k.moment(1500 * time.Millisecond))
			}
			k.must(k.program.untilReady(patience), "wait for whyrestart")
			k.direct()
			return n, note
		}}
	}
	half := wired("half-open: nothing comes from the server, and the connection stays", 1, "", func(w *wire) {
		stops := toxic{"timeout", "downstream", `"timeout": 0`}
		w.harm(stops)
		from := time.Now()
		for k.program.ready() == "" {
			if time.Since(from) > 2*time.Minute {
				k.t.Errorf("whyrestart did not notice within %s", time.Since(from))
				break
			}
			k.wait(100 * time.Millisecond)
		}
		noticed = time.Since(from)
		w.heal(stops)
	})
	return []fault{
		wired("connections reset", k.times(3, 8), "", func(w *wire) {
			w.with(200*time.Millisecond, toxic{"reset_peer", []string{"upstream", "downstream"}[k.random.IntN(2)], `"timeout": 0`})
		}),
		inLong(wired("every connection reset after half a second", 1, "", func(w *wire) {
			w.with(k.during(4*time.Second, 8*time.Second), toxic{"reset_peer", "downstream", `"timeout": 500`})
		})),
		wired("delayed by 1 s, give or take 1 s", 1, "", func(w *wire) {
			w.with(k.during(4*time.Second, 8*time.Second), toxic{"latency", "downstream", `"latency": 1000, "jitter": 1000`}, toxic{"latency", "upstream", `"latency": 200, "jitter": 200`})
		}),
		inLong(wired("throttled to 8 KB/s, in slices, and slow to close", 1, "", func(w *wire) {
			w.with(k.during(4*time.Second, 8*time.Second), toxic{"bandwidth", "downstream", `"rate": 8`}, toxic{"slicer", "upstream", `"average_size": 40, "size_variation": 20, "delay": 1000`}, toxic{"slow_close", "downstream", `"delay": 2000`})
		})),
		k.halfOpen(half, &noticed),
		inLong(wired("half-open: nothing gets to the server, and the connection stays", 1, "The watch goes on, as events still come; what is asked for beside it (logs, nodes) gets no answer meanwhile.", func(w *wire) {
			w.with(k.during(5*time.Second, 12*time.Second), toxic{"timeout", "upstream", `"timeout": 0`})
		})),
		inLong(k.mangling("events sent twice, and again later", &mangler{again: 0.4, late: 0.3})),
		inLong(k.mangling("events in another order", &mangler{swap: 0.4})),
		inLong(k.mangling("events missing", &mangler{drop: 0.3})),
		k.mangling("all three", &mangler{again: 0.2, late: 0.2, swap: 0.2, drop: 0.2}),
	}
}

// halfOpen lets whyrestart ask sooner in the short form whether the other side is there.
func (k *chaos) halfOpen(f fault, noticed *time.Duration) fault {
	inner := f.run
	f.run = func() (int, string) {
		how := "a ping after 30 s without a frame, given up 15 s later"
		if !k.long() {
			k.program.env = []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS=2", "HTTP2_PING_TIMEOUT_SECONDS=1"}
			how = "here a ping after 2 s (HTTP2_READ_IDLE_TIMEOUT_SECONDS) instead of 30, given up 1 s later instead of 15"
		}
		n, _ := inner()
		return n, fmt.Sprintf("/readyz said so after %s, by client-go's pings of HTTP/2: %s.", noticed.Round(100*time.Millisecond), how)
	}
	return f
}

// inLong leaves a fault to the long form.
func inLong(f fault) fault {
	f.long = true
	return f
}
