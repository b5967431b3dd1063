package kube

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/client-go/tools/cache"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// scope hands what one reflector finds to the Sink, and keeps none of it. It is
// the reflector's store.
//
// A reflector stores from one goroutine but lists from others, which may outlive
// its Run for a moment; so every call of the Sink goes through the lock, and none
// after close.
type scope struct {
	name string
	sink pipeline.Sink
	// selects tells that there is a label selector, which a pod may cease to fit.
	selects bool

	mu       sync.Mutex
	troubled bool
	closed   bool
}

var (
	_ cache.ReflectorStore         = (*scope)(nil)
	_ cache.ReflectorBookmarkStore = (*scope)(nil)
	_ cache.TransformingStore      = (*scope)(nil)
)

// Replace hands over a list.
func (s *scope) Replace(objects []any, resourceVersion string) error {
	pods := make([]pipeline.Object, 0, len(objects))
	for _, o := range objects {
		p, err := asPod(o)
		if err != nil {
			return err
		}
		pods = append(pods, p.object())
	}
	s.seen(func() { s.sink.Replace(s.name, pods, resourceVersion) })
	return nil
}

// Add hands over a pod that appeared.
func (s *scope) Add(o any) error {
	p, err := asPod(o)
	if err != nil {
		return err
	}
	s.seen(func() { s.sink.Apply(s.name, p.object()) })
	return nil
}

// Update hands over a pod that changed.
func (s *scope) Update(o any) error { return s.Add(o) }

// Delete hands over the last state of a pod that is gone. A pod that only ceased to
// fit the label selector comes here as well (apiserver
// pkg/storage/cacher/cache_watcher.go), with the state of before, and lives on: that
// is not told. A pod that is gone has been marked for deletion, even one that was
// deleted by force.
func (s *scope) Delete(o any) error {
	p, err := asPod(o)
	if err != nil {
		return err
	}
	if s.selects && !p.slim.View.Deleting {
		return nil
	}
	s.seen(func() { s.sink.Delete(s.name, p.object()) })
	return nil
}

// Bookmark hands over the progress of a watch that has nothing else to say.
func (s *scope) Bookmark(resourceVersion string) error {
	s.seen(func() { s.sink.Progress(s.name, resourceVersion) })
	return nil
}

// Transformer is what the reflector does to the pods of a streamed list as they come.
func (s *scope) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		p, err := asPod(o)
		if err != nil {
			return nil, err
		}
		p.pack()
		return p, nil
	}
}

// Resync has no meaning here: there is nothing to compare with.
func (s *scope) Resync() error { return nil }

// seen calls f, which hands over something that was seen; so whatever was wrong is over.
func (s *scope) seen(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.troubled {
		s.troubled = false
		s.sink.Trouble(s.name, nil)
	}
	f()
}

// trouble hands over a failed attempt, as long as ctx does not say that it was called off.
func (s *scope) trouble(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || ctx.Err() != nil {
		return
	}
	s.troubled = true
	s.sink.Trouble(s.name, err)
}

// fine tells that a watch stands again after trouble.
func (s *scope) fine() { s.seen(func() {}) }

func (s *scope) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func asPod(o any) (*pod, error) {
	p, ok := o.(*pod)
	if !ok {
		return nil, fmt.Errorf("got a %T in place of a pod", o)
	}
	return p, nil
}
