package kube

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/shard"
)

const (
	// eventPageTimeout bounds one page of a list of events.
	eventPageTimeout = time.Minute
	// eventWatchTime is how long the server is asked to keep one watch open, and
	// eventWatchSlack how much longer the client waits for its end.
	eventWatchTime, eventWatchSlack = 10 * time.Minute, time.Minute
	// shortWatch is what no healthy watch is shorter than.
	shortWatch = time.Second
)

// EventWatchOptions says which events an EventWatcher watches.
type EventWatchOptions struct {
	// Config says how to reach the API server. It is not changed.
	Config    *rest.Config
	UserAgent string
	// Namespaces and ExcludeNamespaces are as those of Options.
	Namespaces, ExcludeNamespaces []string
	// Shard is as that of Options; events about nodes are told to every one.
	Shard shard.Shard
	// Logger takes what client-go has to say, at debug level. Nil discards it.
	Logger *slog.Logger

	// backoff replaces the usual one between attempts, in tests.
	backoff *wait.Backoff
}

// EventWatcher shows events to a pipeline.EventSink: those about pods, nodes, claims
// and controllers that the API still has, and then each that is added or repeats. It
// keeps none, so that its memory does not grow with their number: a list comes in
// pages, each of which is handed over before the next is asked for.
//
// Its scopes are those of a Watcher with the same namespaces, and pipeline.NodeEventScope
// where the namespace "default", which events about nodes are written to, is not among
// them. Where single namespaces are watched, that this one cannot be is told only if it
// once could: whoever gives the program a Role in some namespaces means to give no more.
//
// After a watch that cannot be resumed, the events that were handed over before are
// left out, as far as their resource versions tell.
type EventWatcher struct {
	scopes  []*eventScope
	logger  *slog.Logger
	backoff wait.Backoff
}

// NewEventWatcher checks the options and prepares the connection; it does not use it.
func NewEventWatcher(o EventWatchOptions) (*EventWatcher, error) {
	if o.Config == nil {
		return nil, errors.New("no cluster to watch the events of: no client configuration")
	}
	namespaces, exclude, err := selectNamespaces(o.Namespaces, o.ExcludeNamespaces, o.Shard)
	if err != nil {
		return nil, err
	}
	config := clientConfig(o.Config, o.UserAgent)
	config.NegotiatedSerializer = podCodecs().WithoutConversion()
	config.Timeout = 0 // a list has its own, a watch the server's
	client, host, err := clientFor(config)
	if err != nil {
		return nil, err
	}
	w := &EventWatcher{logger: o.Logger, backoff: wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 7, Cap: time.Minute}}
	if o.backoff != nil {
		w.backoff = *o.backoff
	}
	if w.logger == nil {
		w.logger = slog.New(slog.DiscardHandler)
	}
	q := query{client: client, host: host, resource: "events", timeout: eventPageTimeout}
	for _, ns := range namespaces {
		q.namespace = ns
		if ns == metav1.NamespaceAll {
			q.fields, q.shards = excluding(exclude), newSharded(o.Shard, nil)
		}
		w.scopes = append(w.scopes, &eventScope{name: ns, query: q})
	}
	all := namespaces[0] == metav1.NamespaceAll
	if all && (slices.Contains(exclude, metav1.NamespaceDefault) || !o.Shard.Contains(metav1.NamespaceDefault)) || !all && !slices.Contains(namespaces, metav1.NamespaceDefault) {
		q.shards = nil
		q.namespace, q.fields = metav1.NamespaceDefault, fields.OneTermEqualSelector("involvedObject.kind", "Node").String()
		w.scopes = append(w.scopes, &eventScope{name: pipeline.NodeEventScope, query: q, optional: !all})
	}
	return w, nil
}

// Scopes returns the names of the scopes that the EventSink may hear of.
func (w *EventWatcher) Scopes() []string {
	names := make([]string, len(w.scopes))
	for i, s := range w.scopes {
		names[i] = s.name
	}
	return names
}

// Run watches until ctx is done, and then returns nil; a server that does not answer,
// or refuses, is told as EventTrouble and asked again with a growing delay. When it
// returns, the EventSink is not called any more. An EventWatcher runs once at a time.
func (w *EventWatcher) Run(ctx context.Context, sink pipeline.EventSink) error {
	ctx = withLogger(ctx, w.logger)
	out := &eventOut{ctx: ctx, sink: sink}
	var running sync.WaitGroup
	for _, s := range w.scopes {
		r := &eventRun{eventScope: s, out: out}
		running.Go(func() { r.run(ctx, w.backoff) })
	}
	running.Wait()
	return nil
}

// eventOut lets one scope at a time call the sink, and none once the run is over.
type eventOut struct {
	ctx  context.Context //nolint:containedctx // of the run that it is a part of
	mu   sync.Mutex
	sink pipeline.EventSink
}

func (o *eventOut) call(f func(pipeline.EventSink)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() == nil {
		f(o.sink)
	}
}

// eventScope is what one list and watch asks for.
type eventScope struct {
	name  string
	query query
	// optional tells that it is not told that it cannot be watched from the start.
	optional bool
}

// eventRun is one run of a scope.
type eventRun struct {
	*eventScope
	out *eventOut
	// version is where the watch goes on, empty where a list has to come first.
	version string
	// seen is the newest version that was handed over together with everything before it.
	seen uint64
	// good tells that the last thing told was that the watch stands, known that anything was told.
	good, known bool
}

func (r *eventRun) run(ctx context.Context, backoff wait.Backoff) {
	delay := backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := r.attempt(ctx)
		stood := r.good && time.Since(began) >= shortWatch
		if stood {
			delay = backoff
		}
		switch {
		case ctx.Err() != nil:
			return
		case problemOf(err) == Expired:
			r.version = "" // nothing is wrong: the list says what was missed
			if stood {
				continue
			}
		case err != nil:
			r.trouble(err)
		case stood:
			continue
		}
		timer := time.NewTimer(delay.Step())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// attempt lists where that is necessary, and watches until the watch ends.
func (r *eventRun) attempt(ctx context.Context) error {
	if r.version == "" {
		if err := r.list(ctx); err != nil {
			return err
		}
	}
	return r.watch(ctx)
}

func (r *eventRun) list(ctx context.Context) error {
	version, asked := "", r.query.shards.selector()
	err := eachPage(ctx, r.query, func(page *corev1.EventList) error {
		version = page.ResourceVersion
		foreign := 0
		for i := range page.Items {
			if !r.query.shards.keeps(page.Items[i].Namespace) {
				foreign++
			}
		}
		if err := r.query.shards.answered(asked, page.ShardInfo, foreign); err != nil {
			return err
		}
		at := detect.ParseResourceVersion(version)
		if at < r.seen {
			r.seen = 0 // the cluster was restored from a backup, and counts anew
		}
		for i := range page.Items {
			ev := &page.Items[i]
			if v := detect.ParseResourceVersion(ev.ResourceVersion); v == 0 || v > r.seen {
				r.event(ev)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		r.query.shards.refusedBy(asked, err) // the next attempt does without
		return err
	}
	r.version, r.seen = version, detect.ParseResourceVersion(version)
	return nil
}

func (r *eventRun) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, eventWatchTime+eventWatchSlack)
	defer cancel()
	seconds := int64(eventWatchTime / time.Second)
	w, err := r.query.request(metav1.ListOptions{
		Watch: true, ResourceVersion: r.version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	}).MaxRetries(0).Watch(ctx)
	if err != nil {
		return access(err, r.query.host, "watch", "events", r.query.namespace)
	}
	defer w.Stop()
	r.fine()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return access(apierrors.FromObject(e.Object), r.query.host, "watch", "events", r.query.namespace)
		}
		ev, ok := e.Object.(*corev1.Event)
		if !ok {
			continue
		}
		if e.Type == watch.Added || e.Type == watch.Modified {
			r.event(ev)
		}
		// A deleted one is one that the API has forgotten; a bookmark has a version alone.
		r.version = ev.ResourceVersion
		r.seen = max(r.seen, detect.ParseResourceVersion(r.version))
	}
	return nil
}

// event hands over an event about something that matters.
func (r *eventRun) event(ev *corev1.Event) {
	if !matters(&ev.InvolvedObject) || !r.query.shards.keeps(ev.Namespace) {
		return
	}
	kept := *ev
	kept.ManagedFields = nil // a third of an event, which says nothing that is asked here
	r.out.call(func(s pipeline.EventSink) { s.Event(&kept) })
}

func (r *eventRun) trouble(err error) {
	if r.optional && !r.known {
		return
	}
	r.good = false
	r.out.call(func(s pipeline.EventSink) { s.EventTrouble(r.name, err) })
}

func (r *eventRun) fine() {
	if !r.good {
		r.good, r.known = true, true
		r.out.call(func(s pipeline.EventSink) { s.EventTrouble(r.name, nil) })
	}
}

// matters tells whether an event is about a kind that diagnosis looks at. Other API
// groups have kinds of the same names; some writers leave the version out.
func matters(about *corev1.ObjectReference) bool {
	group := ""
	switch about.Kind {
	case "Pod", "Node", "PersistentVolumeClaim", "ReplicationController":
	case "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet":
		group = "apps"
	case "Job", "CronJob":
		group = "batch"
	default:
		return false
	}
	if about.APIVersion == "" {
		return true
	}
	of, _, grouped := strings.Cut(about.APIVersion, "/")
	if !grouped {
		of = ""
	}
	return of == group
}
