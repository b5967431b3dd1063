package dump

import (
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// EventType is the type of a watch event, as the API spells it.
type EventType string

// The types of watch events.
const (
	Added    EventType = "ADDED"
	Modified EventType = "MODIFIED"
	Deleted  EventType = "DELETED"
	Bookmark EventType = "BOOKMARK"
	Error    EventType = "ERROR"
)

// Event is one recorded watch event.
type Event struct {
	Type EventType
	// Object is nil for Bookmark and Error. Whoever takes the event may keep it.
	Object Object
	// ResourceVersion is the object's or the bookmark's; 0 where it is not a number.
	ResourceVersion uint64
	// Err is what an Error event said.
	Err error
	// File and Line tell where the event stands.
	File string
	Line int
}

// Deliver hands an event about a pod, a bookmark or an error to the sink, as a live
// watch of scope would, and tells whether it was one that a sink takes.
func (e Event) Deliver(sink pipeline.Sink, scope string) bool {
	switch e.Type {
	case Bookmark:
		sink.Progress(scope, fmt.Sprint(e.ResourceVersion))
		return true
	case Error:
		sink.Trouble(scope, e.Err)
		return true
	}
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return false
	}
	if e.Type == Deleted {
		sink.Delete(scope, podObject(pod))
	} else {
		sink.Apply(scope, podObject(pod))
	}
	return true
}

// podObject shows a pod as a source does.
func podObject(pod *corev1.Pod) pipeline.Object {
	return pipeline.Object{
		View: detect.FromPod(pod),
		Full: func() (*corev1.Pod, error) { return pod, nil },
	}
}

// WatchReader reads the events of one recorded watch stream in the order in which
// they stand. Documents may be a line each or indented; plain objects and lists
// between them count as added.
type WatchReader struct {
	d *decoder
}

// NewWatchReader begins to read a stream, which may be compressed by gzip. The name
// is used in messages.
func NewWatchReader(name string, r io.Reader, limits Limits) (*WatchReader, error) {
	limits = limits.withDefaults()
	in, err := newInput(name, r, limits.Stream)
	if err != nil {
		return nil, err
	}
	return &WatchReader{d: newDecoder(name, in, limits)}, nil
}

// Next returns the next event, and io.EOF after the last one. Damage is not an
// error, see Missing, unless the stream has nothing in it that could be read.
func (w *WatchReader) Next() (Event, error) {
	for {
		f, err := w.d.next()
		if err != nil {
			if !errors.Is(err, io.EOF) || w.d.understood > 0 || len(w.d.missing) == 0 {
				return Event{}, err
			}
			return Event{}, notAWatch(w.d.missing[0])
		}
		e := Event{Type: f.event, Object: f.object, File: w.d.name, Line: f.line}
		switch {
		case f.log != "":
			w.d.miss(f.line, "a log among watch events is not used")
			continue
		case f.event == Error:
			e.Err = fmt.Errorf("%s, line %d: the recorded watch failed: %s", w.d.name, f.line, f.failure)
		case f.event == Bookmark:
			e.ResourceVersion = detect.ParseResourceVersion(f.version)
		default:
			if e.Type == "" {
				e.Type = Added
			}
			e.ResourceVersion = detect.ParseResourceVersion(f.object.GetResourceVersion())
		}
		return e, nil
	}
}

func notAWatch(m record.Missing) error {
	return fmt.Errorf("%s: %s; wanted is what \"kubectl get pods --watch --output-watch-events -o json\" prints", m.What, m.Why)
}

// Missing names what could not be used of what was read so far.
func (w *WatchReader) Missing() []record.Missing {
	return w.d.losses()
}

// ReadWatch reads one recorded watch stream and calls handle for each event, in the
// order in which they stand. It stops at the first error of handle and returns it.
func ReadWatch(ctx context.Context, name string, r io.Reader, limits Limits, handle func(Event) error) ([]record.Missing, error) {
	return Replay(ctx, []Input{{Name: name, Reader: r}}, limits, handle)
}
