// Shardload measures what one of several shards of whyrestart receives and holds, beside one
// process that watches everything: with an API server that divides, and with one that
// does not. It fills a cluster with pods that no node runs, of which it writes the statuses
// itself, so an API server alone is enough. It removes them afterwards.
//
//	go run ./test/shardload --kubeconfig FILE --bin bin/whyrestart
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/whyrestart/whyrestart/internal/shard"
)

type options struct {
	kubeconfig, bin               string
	pods, namespaces, churn, many int
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "of a cluster that may be filled with pods")
	flag.StringVar(&o.bin, "bin", "bin/whyrestart", "the program")
	flag.IntVar(&o.pods, "pods", 4000, "how many pods there are")
	flag.IntVar(&o.namespaces, "namespaces", 200, "in how many namespaces they are")
	flag.IntVar(&o.churn, "changes", 8000, "how many times one of them changes while it is watched")
	flag.IntVar(&o.many, "shards", 4, "into how many shards the namespaces are divided")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "shardload:", err)
		os.Exit(1)
	}
}

// names returns names as words have them. The same ones come each time.
func names(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, n)
	for i := range out {
		var b strings.Builder
		for range 4 {
			b.WriteByte("bcdfghklmnprstvw"[r.IntN(16)])
			b.WriteByte("aeiou"[r.IntN(5)])
		}
		out[i] = b.String() + "-shardload"
	}
	return out
}

type load struct {
	*options
	config *rest.Config
	kube   kubernetes.Interface
	spaces []string
	// changes counts them, so that no one is like the one before.
	changes atomic.Int64
}

func run(ctx context.Context, o *options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 1000, 1000
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l := &load{options: o, config: config, kube: kube, spaces: names(o.namespaces)}
	defer l.remove()
	if err := l.fill(ctx); err != nil {
		return err
	}
	part := shard.Shard{Of: o.many}
	own := 0
	for i := range o.pods {
		if part.Contains(l.space(i)) {
			own++
		}
	}
	fmt.Printf("%d pods in %d namespaces, %d changes; shard %s has %d of the pods (%.0f %%)\n\n", o.pods, o.namespaces, o.churn, part, own, 100*float64(own)/float64(o.pods))
	fmt.Println("| | list, MB | watch, MB | received | peak memory, MB | memory | CPU, s | CPU |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var base *result
	for _, way := range []struct {
		name  string
		of    shard.Shard
		strip bool
	}{
		{"one process, everything", shard.Shard{}, false},
		{"shard " + part.String() + ", the server divides", part, false},
		{"shard " + part.String() + ", the server does not", part, true},
	} {
		r, err := l.measure(ctx, way.of, way.strip)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if base == nil {
			base = r
		}
		received := func(r *result) float64 { return r.listed + r.watched }
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.0f | %.2f | %.1f | %.2f |\n", way.name, r.listed, r.watched, received(r)/received(base), r.memory, r.memory/base.memory, r.cpu, r.cpu/base.cpu)
	}
	return nil
}

func (l *load) space(pod int) string { return l.spaces[pod%len(l.spaces)] }

// each calls f for every pod, several at once.
func (l *load) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

func (l *load) fill(ctx context.Context) error {
	for _, ns := range l.spaces {
		if _, err := l.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	return l.each(ctx, l.pods, func(ctx context.Context, i int) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "pod-" + strconv.Itoa(i), Labels: map[string]string{"app": "shardload"}},
			Spec:       corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{Name: "main", Image: "registry.example/team/app:1"}}},
		}
		r := rand.New(rand.NewPCG(3, uint64(i))) //nolint:gosec // what cannot be compressed away, and is the same each time
		for n := range 40 {
			pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", n), Value: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())})
		}
		if _, err := l.kube.CoreV1().Pods(l.space(i)).Create(ctx, pod, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create a pod: %w", err)
		}
		return l.change(ctx, i)
	})
}

// change writes the status of a pod as a kubelet does when its readiness changes.
func (l *load) change(ctx context.Context, i int) error {
	n := l.changes.Add(1)
	ready := map[bool]string{true: "True", false: "False"}[n%2 == 0]
	patch := fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":%q,"message":"change %d"}],"containerStatuses":[{"name":"main","image":"registry.example/team/app:1","imageID":"sha256:0","containerID":"containerd://%064d","ready":%t,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}`, ready, n, i, n%2 == 0)
	_, err := l.kube.CoreV1().Pods(l.space(i)).Patch(ctx, "pod-"+strconv.Itoa(i), types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("change a pod: %w", err)
	}
	return nil
}

func (l *load) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	now := int64(0)
	for _, ns := range l.spaces {
		_ = l.kube.CoreV1().Pods(ns).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "app=shardload"})
		_ = l.kube.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{})
	}
}

type result struct {
	listed, watched float64 // MB
	memory          float64 // MB
	cpu             float64 // seconds
}

// counter is a proxy that counts what goes through it to the program.
type counter struct {
	proxy *httputil.ReverseProxy
	// strip takes the parameter away: so the server answers as one that does not know it.
	strip bool
	bytes atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if q := r.URL.Query(); c.strip && q.Has("shardSelector") {
		q.Del("shardSelector")
		r.URL.RawQuery = q.Encode()
	}
	c.proxy.ServeHTTP(&counted{ResponseWriter: w, n: &c.bytes}, r)
}

type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// quiet waits until nothing comes for a while, and returns all that came.
func (c *counter) quiet(ctx context.Context) (float64, error) {
	const still = 3 * time.Second
	last := int64(-1)
	for {
		now := c.bytes.Load()
		if now == last {
			return float64(now) / 1e6, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(still):
		}
	}
}

// measure runs the program once.
func (l *load) measure(ctx context.Context, of shard.Shard, strip bool) (*result, error) {
	transport, err := rest.TransportFor(l.config)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(l.config.Host)
	if err != nil {
		return nil, err
	}
	c := &counter{strip: strip, proxy: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	dir, err := os.MkdirTemp("", "shardload-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	args := []string{"serve", "--server", "http://" + listener.Addr().String(), "--store", filepath.Join(dir, "w.db"), "--listen", "127.0.0.1:0", "--kubeconfig", os.DevNull}
	if !of.Whole() {
		args = append(args, "--shard", of.String())
	}
	cmd := exec.CommandContext(ctx, l.bin, args...)
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &words
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var r result
	if r.listed, err = c.quiet(ctx); err == nil {
		err = l.each(ctx, l.churn, func(ctx context.Context, i int) error { return l.change(ctx, i%l.pods) })
	}
	if err == nil {
		r.watched, err = c.quiet(ctx)
		r.watched -= r.listed
	}
	if err == nil {
		r.memory, err = peak(cmd.Process.Pid)
	}
	err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("the program: %w: %s", werr, words.Bytes())
	}
	if divided := bytes.Contains(words.Bytes(), []byte("sends this shard alone")); divided != (!of.Whole() && !strip) {
		err = errors.Join(err, fmt.Errorf("whether the server divides: %t; see the feature gate ShardedListAndWatch", divided))
	}
	r.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return &r, err
}

// peak returns the most memory that a process had, in MB.
func peak(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("the system does not tell the memory of a process")
}
