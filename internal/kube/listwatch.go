package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// listWatch asks the server for the pods of one scope on behalf of a reflector,
// and tells the scope of every attempt that fails.
//
// The reflector first tries to stream the list (a watch with sendInitialEvents).
// Where the server cannot do that it falls back to a list, and it does the same
// where the server could not be reached at all. Here only the first makes it fall
// back; any other error of the stream is the answer to the list as well, so that
// an attempt costs one request and is told once.
type listWatch struct {
	client        rest.Interface
	host          string
	namespace     string
	labelSelector string
	fieldSelector string
	// shards divides all namespaces; nil where the scope is one of them, or nothing is divided.
	shards *sharded
	scope  *scope

	mu sync.Mutex
	// streamErr is the error of a streaming list that the list to come shall return.
	streamErr error
	// lists are those under way.
	lists gate
}

var (
	_ cache.ListerWatcher            = (*listWatch)(nil)
	_ cache.ListerWatcherWithContext = (*listWatch)(nil)
)

// List and Watch are there because NewReflectorWithOptions takes the older
// interface; the reflector uses the methods with a context.
func (l *listWatch) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

// Watch is WatchWithContext for the older interface.
func (l *listWatch) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// ListWithContext lists one page of the pods.
func (l *listWatch) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if !l.lists.enter() {
		return nil, context.Canceled
	}
	defer l.lists.leave()
	if err := l.takeStreamErr(); err != nil {
		return nil, err
	}
	// A reflector begins with resource version 0: any state that some server's cache has,
	// all in one answer. That may be older than what was recorded before a restart, and
	// hundreds of megabytes; without a version the list is consistent and comes in pages,
	// as kubectl's does.
	if o.ResourceVersion == "0" {
		o.ResourceVersion = ""
	}
	list, err := l.list(ctx, o)
	if err != nil {
		l.scope.trouble(ctx, access(err, l.host, "list", "pods", l.namespace))
		return nil, err
	}
	return list, nil
}

// list asks for a list of pods.
func (l *listWatch) list(ctx context.Context, o metav1.ListOptions) (*podList, error) {
	o = l.options(o)
	got, err := l.request(o).Do(ctx).Get()
	if l.shards.refusedBy(o.ShardSelector, err) && o.Continue == "" {
		o.ShardSelector = ""
		got, err = l.request(o).Do(ctx).Get()
	}
	if err != nil {
		return nil, err
	}
	list, ok := got.(*podList)
	if !ok {
		return nil, fmt.Errorf("the answer is a %T, not a list of pods", got)
	}
	list.sift(l.shards)
	if err := l.shards.answered(o.ShardSelector, list.ShardInfo, list.foreign); err != nil {
		return nil, err
	}
	return list, nil
}

// options completes what a request asks for.
func (l *listWatch) options(o metav1.ListOptions) metav1.ListOptions {
	o.LabelSelector, o.FieldSelector, o.ShardSelector = l.labelSelector, l.fieldSelector, l.shards.selector()
	return o
}

// WatchWithContext begins a watch.
func (l *listWatch) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	streaming := o.SendInitialEvents != nil && *o.SendInitialEvents
	if streaming {
		l.ask(ctx)
	}
	o.Watch = true
	o = l.options(o)
	w, err := l.request(o).Watch(ctx)
	if l.shards.refusedBy(o.ShardSelector, err) {
		o.ShardSelector = ""
		w, err = l.request(o).Watch(ctx)
	}
	switch {
	case err == nil && streaming:
		return l.tap(ctx, w, streaming), nil // what is wrong is over once the list is complete
	case err == nil:
		l.scope.fine()
		return l.tap(ctx, w, streaming), nil
	case streaming && cannotStream(err):
		return nil, err
	case streaming && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)):
		// The reflector asks again at once, for the newest state.
		l.scope.trouble(ctx, access(err, l.host, "watch", "pods", l.namespace))
		return nil, err
	}
	told := access(err, l.host, "watch", "pods", l.namespace)
	l.scope.trouble(ctx, told)
	if streaming {
		// The text of it only: for "connection refused" and 429 the reflector would wait, deaf
		// to its context, and try the stream again (reflector.go, watchList).
		l.setStreamErr(told)
		return nil, &streamError{told}
	}
	return nil, err
}

// ask finds out what the server makes of a shard, by a list of one pod: a streamed list does not
// say. What is wrong otherwise, the stream will say.
func (l *listWatch) ask(ctx context.Context) {
	if l.shards == nil {
		return
	}
	_, _ = l.list(ctx, metav1.ListOptions{Limit: 1})
}

// streamError hides what an error is from the reflector.
type streamError struct{ hidden error }

func (e *streamError) Error() string { return e.hidden.Error() }

// cannotStream tells that the server does not know streaming lists: those without
// the WatchList feature find "sendInitialEvents" or "resourceVersionMatch" of a
// watch invalid (apimachinery pkg/apis/meta/internalversion/validation).
func cannotStream(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

func (l *listWatch) request(o metav1.ListOptions) *rest.Request {
	return l.client.Get().
		NamespaceIfScoped(l.namespace, l.namespace != "").
		Resource("pods").
		VersionedParams(&o, metav1.ParameterCodec)
}

func (l *listWatch) setStreamErr(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streamErr = err
}

func (l *listWatch) takeStreamErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.streamErr
	l.streamErr = nil
	return err
}

// tap passes the events of w on that are of the shard, and tells the scope of the errors among
// them, which the reflector only logs.
func (l *listWatch) tap(ctx context.Context, w watch.Interface, streaming bool) watch.Interface {
	t := &tapped{Interface: w, events: make(chan watch.Event), done: make(chan struct{})}
	if l.shards != nil {
		t.sieve = &sieve{sharded: l.shards, initial: streaming}
	}
	go t.run(func(e watch.Event) {
		l.scope.trouble(ctx, access(apierrors.FromObject(e.Object), l.host, "watch", "pods", l.namespace))
	})
	return t
}

type tapped struct {
	watch.Interface
	events chan watch.Event
	done   chan struct{}
	once   sync.Once
	sieve  *sieve // nil where everything passes
}

// ResultChan returns the events.
func (t *tapped) ResultChan() <-chan watch.Event { return t.events }

// Stop ends the watch.
func (t *tapped) Stop() {
	t.once.Do(func() { close(t.done) })
	t.Interface.Stop()
}

func (t *tapped) run(failed func(watch.Event)) {
	defer close(t.events)
	for e := range t.Interface.ResultChan() {
		select {
		case <-t.done: // so that e is about the connection that was closed
			return
		default:
		}
		if e.Type == watch.Error {
			failed(e)
		}
		if t.sieve != nil {
			var ok bool
			if e, ok = t.sieve.pass(e, time.Now()); !ok {
				continue
			}
		}
		select {
		case t.events <- e:
		case <-t.done:
			return
		}
	}
}
