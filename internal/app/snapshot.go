package app

import (
	"sync"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// snapshot is a sink that takes the first list of every scope, and then has enough.
type snapshot struct {
	*pipeline.Offline
	mu     sync.Mutex
	wanted int
	done   func()
}

// Replace implements pipeline.Sink.
func (s *snapshot) Replace(scope string, pods []pipeline.Object, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == 0 {
		return
	}
	s.Offline.Replace(scope, pods, version)
	if s.wanted--; s.wanted == 0 {
		s.done()
	}
}

// Apply implements pipeline.Sink: the list is what is wanted.
func (s *snapshot) Apply(string, pipeline.Object) {}

// Delete implements pipeline.Sink.
func (s *snapshot) Delete(string, pipeline.Object) {}

// Trouble implements pipeline.Sink: the watch tries again until its context ends.
func (s *snapshot) Trouble(string, error) {}
