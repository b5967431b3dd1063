package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/shard"
)

// pageSize is how many pods one answer of a list holds, where the server cannot
// stream it; as kubectl's --chunk-size.
const pageSize = 500

// defaultQPS and defaultBurst bound the requests of each client, where the
// configuration does not.
const defaultQPS, defaultBurst = 50, 100

// The media types in the order in which they are wanted.
const (
	mediaProtobuf    = "application/vnd.kubernetes.protobuf"
	protobufThenJSON = mediaProtobuf + ",application/json"
)

// Options says what a Watcher watches.
type Options struct {
	// Config says how to reach the API server. It is not changed.
	Config *rest.Config
	// UserAgent is what the server's audit log shows, such as "whyrestart/1.2.3".
	UserAgent string
	// Namespaces are watched one by one, which needs no more than a Role in each. None
	// means all namespaces, by one watch that needs a ClusterRole.
	Namespaces []string
	// ExcludeNamespaces are left out, by the server, where all are watched.
	ExcludeNamespaces []string
	// LabelSelector narrows down the pods. Of a pod whose labels change so that it no longer
	// fits, nothing more is told, but the next list lacks it.
	LabelSelector string
	// Shard is what of the namespaces is watched. It is asked of the server, and what belongs to
	// others and comes nevertheless is dropped as soon as it is read.
	Shard shard.Shard
	// Sharded is told whether the server sends only the Shard: when that becomes known, and when it
	// changes. It may be called from several goroutines; nil for nobody.
	Sharded func(byServer bool)
	// Logger takes what client-go has to say, at debug level. Nil discards it.
	Logger *slog.Logger

	// backoff replaces the usual one between attempts, in tests.
	backoff *wait.Backoff
}

// Watcher shows the pods of a cluster to a Sink. It has one scope for each of the
// Namespaces, named as the namespace, or a single one named "" for all of them.
type Watcher struct {
	host    string
	scopes  []*listWatch
	logger  *slog.Logger
	backoff *wait.Backoff
}

// NewWatcher checks the options and prepares the connection; it does not use it.
func NewWatcher(o Options) (*Watcher, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to watch: no client configuration")
	}
	if _, err := labels.Parse(o.LabelSelector); err != nil {
		return nil, fmt.Errorf("label selector %q: %w", o.LabelSelector, err)
	}
	namespaces, exclude, err := selectNamespaces(o.Namespaces, o.ExcludeNamespaces, o.Shard)
	if err != nil {
		return nil, err
	}
	config := clientConfig(o.Config, o.UserAgent)
	shards := newSharded(o.Shard, o.Sharded)
	config.NegotiatedSerializer = newCodecs(shards)
	// A watch has no end; the time-outs of requests are the server's, and Check's own.
	config.Timeout = 0
	client, host, err := clientFor(config)
	if err != nil {
		return nil, err
	}
	w := &Watcher{host: host, logger: o.Logger, backoff: o.backoff}
	if w.backoff == nil {
		w.backoff = againSoon()
	}
	if w.logger == nil {
		w.logger = slog.New(slog.DiscardHandler)
	}
	for _, ns := range namespaces {
		lw := &listWatch{client: client, host: host, namespace: ns, labelSelector: o.LabelSelector}
		if ns == metav1.NamespaceAll {
			lw.fieldSelector, lw.shards = excluding(exclude), shards
		}
		w.scopes = append(w.scopes, lw)
	}
	return w, nil
}

// againSoon is how long a Watcher waits between attempts: half a second at first, 5 to 7.5 in
// the end. client-go's own grows to 30 to 60 seconds and is reset by two minutes without a
// failure alone. After an API server was away for half a minute that would be another minute or two
// of blindness, since the first watch of one that has just started often ends in 410, which is the
// next attempt; and of a pod that is deleted meanwhile nobody ever hears again. The server protects
// itself from many such clients by priority and fairness.
func againSoon() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 5 * time.Second}
}

// Scopes returns the names of the scopes that the Sink will hear of.
func (w *Watcher) Scopes() []string {
	names := make([]string, 0, len(w.scopes))
	for _, l := range w.scopes {
		names = append(names, l.namespace)
	}
	return names
}

// Check tells whether every scope can be listed and watched, by doing both for a
// moment. Its error is an *AccessError of the first scope that cannot, ready to be
// shown to a person.
func (w *Watcher) Check(ctx context.Context) error {
	ctx = withLogger(ctx, w.logger)
	for _, l := range w.scopes {
		if err := l.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// check lists one pod and opens a watch from there, which it closes at once: the
// server decides on both before it sends anything.
func (l *listWatch) check(ctx context.Context) error {
	pods, err := l.list(ctx, metav1.ListOptions{Limit: 1})
	if errors.Is(err, errShards) {
		pods, err = l.list(ctx, metav1.ListOptions{Limit: 1})
	}
	if err != nil {
		return access(err, l.host, "list", "pods", l.namespace)
	}
	second := int64(1)
	w, err := l.request(l.options(metav1.ListOptions{Watch: true, TimeoutSeconds: &second, ResourceVersion: pods.ResourceVersion})).Watch(ctx)
	if err != nil {
		return access(err, l.host, "watch", "pods", l.namespace)
	}
	w.Stop()
	return nil
}

// Run watches until ctx is done, and then returns nil; a server that does not
// answer, or refuses, is told as Trouble and asked again with client-go's back-off.
// When it returns, the Sink is not called any more. A Watcher runs once at a time.
func (w *Watcher) Run(ctx context.Context, sink pipeline.Sink) error {
	ctx = withLogger(ctx, w.logger)
	var running sync.WaitGroup
	for _, lw := range w.scopes {
		l := lw.fresh(&scope{name: lw.namespace, sink: sink, selects: lw.labelSelector != ""})
		running.Go(func() {
			w.runScope(ctx, l)
		})
	}
	running.Wait()
	return nil
}

func (w *Watcher) runScope(ctx context.Context, l *listWatch) {
	name := "pods"
	if l.namespace != "" {
		name += "/" + l.namespace
	}
	logger := klog.FromContext(ctx)
	r := cache.NewReflectorWithOptions(l, &pod{}, l.scope, cache.ReflectorOptions{
		Name: name, TypeDescription: "pods", Logger: &logger, Backoff: w.backoff,
	})
	r.WatchListPageSize = pageSize
	// What fails, the listWatch tells; the reflector's own handler only logs it.
	r.RunWithContext(ctx)
	l.scope.close()
	l.lists.shut()
}

// fresh returns l for one run.
func (l *listWatch) fresh(s *scope) *listWatch {
	return &listWatch{
		client: l.client, host: l.host, namespace: l.namespace,
		labelSelector: l.labelSelector, fieldSelector: l.fieldSelector, shards: l.shards, scope: s,
	}
}

// clientConfig returns a copy of c for requests of core/v1, in protobuf where possible.
func clientConfig(c *rest.Config, userAgent string) *rest.Config {
	c = rest.CopyConfig(c)
	c.APIPath = "/api"
	c.GroupVersion = &schema.GroupVersion{Version: "v1"}
	c.ContentType = mediaProtobuf
	c.AcceptContentTypes = protobufThenJSON
	c.WarningHandlerWithContext = rest.NoWarnings{}
	if userAgent != "" {
		c.UserAgent = userAgent
	}
	// client-go's default of 5 requests a second is fewer than a crashing node asks for;
	// the server protects itself by priority and fairness. Watches are not counted.
	if c.QPS == 0 && c.RateLimiter == nil {
		c.QPS, c.Burst = defaultQPS, defaultBurst
	}
	return c
}

// clientFor prepares the connection, and returns the host that errors show.
func clientFor(config *rest.Config) (rest.Interface, string, error) {
	host, err := hostOf(config)
	if err != nil {
		return nil, "", err
	}
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, "", fmt.Errorf("client for the cluster at %s: %w", host, err)
	}
	return client, host, nil
}

// hostOf returns the host and port, which is all of an address that errors show.
func hostOf(c *rest.Config) (string, error) {
	u, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		// The error quotes the address.
		return "", errors.New("the cluster's address in the client configuration is not valid")
	}
	return u.Host, nil
}

// selectNamespaces returns the namespaces of a shard to watch, sorted and each once, with ""
// for all of them, and those to leave out where it is all of them.
func selectNamespaces(only, exclude []string, of shard.Shard) (namespaces, excluded []string, err error) {
	for _, ns := range slices.Concat(only, exclude) {
		if p := validation.IsDNS1123Label(ns); len(p) > 0 {
			return nil, nil, fmt.Errorf("namespace %q: %s", ns, strings.Join(p, "; "))
		}
	}
	excluded = slices.Compact(slices.Sorted(slices.Values(exclude)))
	if len(only) == 0 {
		return []string{metav1.NamespaceAll}, excluded, nil
	}
	for _, ns := range slices.Compact(slices.Sorted(slices.Values(only))) {
		if !slices.Contains(excluded, ns) {
			namespaces = append(namespaces, ns)
		}
	}
	if len(namespaces) == 0 {
		return nil, nil, errors.New("every namespace to watch is excluded")
	}
	namespaces = slices.DeleteFunc(namespaces, func(ns string) bool { return !of.Contains(ns) })
	if len(namespaces) == 0 {
		return nil, nil, fmt.Errorf("none of the namespaces to watch is in the shard %s", of)
	}
	return namespaces, nil, nil
}

// excluding returns the field selector that leaves namespaces out.
func excluding(namespaces []string) string {
	s := make([]fields.Selector, 0, len(namespaces))
	for _, ns := range namespaces {
		s = append(s, fields.OneTermNotEqualSelector("metadata.namespace", ns))
	}
	return fields.AndSelectors(s...).String()
}
