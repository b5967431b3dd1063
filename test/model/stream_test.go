package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// stream is what lies between the cluster and whyrestart: one list, then its watch, as a reflector
// has them.
type stream struct {
	rng     *rand.Rand
	cluster *cluster
	plan    plan
	faults  *faults
	// blind is told of a time in which nothing could be seen.
	blind func(stretch)
}

func object(p *corev1.Pod) pipeline.Object {
	return pipeline.Object{View: detect.FromPod(p), Full: func() (*corev1.Pod, error) { return p, nil }}
}

// sleep waits; false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errCut = errors.New("connection cut")

// run shows the cluster to a sink until ctx ends.
func (s *stream) run(ctx context.Context, sink pipeline.Sink) {
	for ctx.Err() == nil {
		pods, version := s.cluster.list()
		if !sleep(ctx, time.Duration(s.rng.IntN(300))*time.Millisecond) {
			return
		}
		objects := make([]pipeline.Object, len(pods))
		for i, p := range pods {
			objects[i] = object(p)
		}
		sink.Replace("", objects, strconv.Itoa(version))
		s.watch(ctx, sink, version)
	}
}

// watch goes on from a version until that is no longer possible.
func (s *stream) watch(ctx context.Context, sink pipeline.Sink, version int) {
	for ctx.Err() == nil {
		entries, more, ok := s.cluster.since(version)
		if !ok {
			return // 410: everything is listed again
		}
		if len(entries) == 0 {
			select {
			case <-ctx.Done():
			case <-more:
			case <-time.After(time.Minute):
				sink.Progress("", strconv.Itoa(version))
			}
			continue
		}
		for i, e := range entries {
			if s.hit(s.plan.late) {
				s.faults.count("late")
				if !sleep(ctx, time.Until(e.at.Add(time.Duration(s.rng.IntN(20_000))*time.Millisecond))) {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			s.tell(sink, e)
			version = e.version
			if s.hit(s.plan.repeat) && i > 0 {
				// A watch that was resumed from an earlier version shows what was shown.
				s.faults.count("repeated")
				for _, old := range entries[s.rng.IntN(i):i] {
					s.tell(sink, old)
				}
			}
			if !s.breaks(ctx, sink) {
				return
			}
		}
	}
}

// breaks cuts the connection now and then; false where the watch cannot be resumed.
func (s *stream) breaks(ctx context.Context, sink pipeline.Sink) bool {
	switch {
	case s.hit(s.plan.cut):
		s.faults.count("cut")
		sink.Trouble("", errCut)
		if !sleep(ctx, time.Duration(s.rng.IntN(60))*time.Second) {
			return false
		}
		sink.Trouble("", nil)
	case s.hit(s.plan.gone):
		s.faults.count("gone")
		from := time.Now()
		sink.Trouble("", fmt.Errorf("410: %w", errCut))
		if !sleep(ctx, time.Duration(s.rng.IntN(120))*time.Second) {
			return false
		}
		s.cluster.compact()
		s.blind(stretch{from, time.Now()})
		return false
	}
	return true
}

func (s *stream) tell(sink pipeline.Sink, e entry) {
	if e.typ == watch.Deleted {
		sink.Delete("", object(e.pod))
		return
	}
	sink.Apply("", object(e.pod))
}

// hit tells, with a probability of one in n, that a fault happens; never for 0.
func (s *stream) hit(n int) bool { return !s.faults.over() && n > 0 && s.rng.IntN(n) == 0 }
