package pipeline

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/extract"
)

const (
	// eventsPerObject bounds the events of one object, eventsKept those of all.
	eventsPerObject = 64
	eventsKept      = 20_000
	// eventTTL is how long the API server keeps events, unless it is told otherwise
	// (kube-apiserver --event-ttl).
	eventTTL = time.Hour
	// maxEventMessage bounds a message. Those of events are at most 1 KiB where
	// events.k8s.io validates them; the older API has no bound.
	maxEventMessage = 2 << 10
)

// NodeEventScope names the scope of the events about nodes, where those are watched by
// themselves.
const NodeEventScope = "default (nodes)"

// EventIndex keeps the newest events of a watch by the object that they are about, so that a
// finding need not ask the API server for them. It is bounded: of an object that has
// too many those go first that tell of an ordinary start, and of all objects the one of
// which nothing was heard for longest. It may be used from several goroutines.
type EventIndex struct {
	// fallback reads what the index cannot answer; may be nil.
	fallback EventReader
	now      func() time.Time

	mu      sync.Mutex
	objects map[eventKey]*list.Element // of *objectEvents
	order   *list.List                 // the object heard of last stands last
	total   int
	dropped int
	// scopes tells of each scope that was heard of why it is not watched, nil where it is.
	scopes map[string]error

	// heard is closed when the first scope was heard of, or waited for in vain.
	heard    chan struct{}
	heardOne sync.Once
}

// firstList is how long a reader waits for the first list of events, which saves a list of
// each pod's.
const firstList = 5 * time.Second

// eventKey is the object that events are about: its UID, or the name of a node, for which
// writers disagree on the UID: the kubelet gives the name for it.
type eventKey struct {
	uid  types.UID
	node string
}

type objectEvents struct {
	key    eventKey
	events []*corev1.Event // in the order in which they came
	heard  time.Time
	// lost tells that some were dropped.
	lost bool
}

// NewEventIndex returns an index for a watch of events. What it cannot answer, because the
// watch has not listed everything yet, is interrupted, or had too many, is read from fallback,
// which may be nil.
func NewEventIndex(fallback EventReader, now func() time.Time) *EventIndex {
	return &EventIndex{
		fallback: fallback,
		now:      now,
		objects:  make(map[eventKey]*list.Element),
		order:    list.New(),
		scopes:   make(map[string]error),
		heard:    make(chan struct{}),
	}
}

// Await tells that the events of a scope will be watched, so that none of them is taken for
// absent before that scope was heard of.
func (x *EventIndex) Await(scope string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, heard := x.scopes[scope]; !heard {
		x.scopes[scope] = errors.New("they were not listed yet")
	}
}

// Unwatched tells that no watch fills the index: everything is read from the fallback.
func (x *EventIndex) Unwatched() { x.release() }

// release lets those go on that wait for the first list.
func (x *EventIndex) release() { x.heardOne.Do(func() { close(x.heard) }) }

// wait waits shortly for the first list, once.
func (x *EventIndex) wait(ctx context.Context) {
	select {
	case <-x.heard:
		return
	default:
	}
	patience := time.NewTimer(firstList)
	defer patience.Stop()
	select {
	case <-x.heard:
	case <-ctx.Done():
	case <-patience.C:
		x.release()
	}
}

func keyOf(o *corev1.ObjectReference) eventKey {
	if o.Kind == "Node" {
		return eventKey{node: o.Name}
	}
	return eventKey{uid: o.UID}
}

// Event implements EventSink.
func (x *EventIndex) Event(ev *corev1.Event) {
	key := keyOf(&ev.InvolvedObject)
	if key == (eventKey{}) {
		return
	}
	ev = lean(ev)
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.now()
	x.expire(now)
	el, ok := x.objects[key]
	if !ok {
		el = x.order.PushBack(&objectEvents{key: key})
		x.objects[key] = el
	}
	o := el.Value.(*objectEvents) //nolint:errcheck,forcetypeassert // the list holds nothing else
	o.heard = now
	x.order.MoveToBack(el)
	x.total += o.put(ev)
	for x.total > eventsKept && x.order.Len() > 1 {
		x.drop(x.order.Front())
		x.dropped++
	}
}

// expire forgets objects of which nothing was heard for as long as the API keeps events.
func (x *EventIndex) expire(now time.Time) {
	for el := x.order.Front(); el != nil; el = x.order.Front() {
		o := el.Value.(*objectEvents) //nolint:errcheck,forcetypeassert // the list holds nothing else
		if now.Sub(o.heard) <= eventTTL {
			return
		}
		x.drop(el)
	}
}

func (x *EventIndex) drop(el *list.Element) {
	o := x.order.Remove(el).(*objectEvents) //nolint:errcheck,forcetypeassert // the list holds nothing else
	delete(x.objects, o.key)
	x.total -= len(o.events)
}

// put adds an event or replaces an older form of it, and returns by how many the events grew.
func (o *objectEvents) put(ev *corev1.Event) int {
	if i := slices.IndexFunc(o.events, func(e *corev1.Event) bool { return e.UID == ev.UID && e.Name == ev.Name }); i >= 0 {
		if !extract.EventTime(ev).Before(extract.EventTime(o.events[i])) {
			o.events = append(slices.Delete(o.events, i, i+1), ev)
		}
		return 0
	}
	o.events = append(o.events, ev)
	if len(o.events) <= eventsPerObject {
		return 1
	}
	i := max(0, slices.IndexFunc(o.events, ordinary))
	o.lost = o.lost || !ordinary(o.events[i])
	o.events = slices.Delete(o.events, i, i+1)
	return 0
}

// ordinary tells events that every container that starts has, and that explain no end.
func ordinary(ev *corev1.Event) bool {
	switch ev.Reason {
	case "Pulled", "Pulling", "Created", "Started", "SuccessfulAttachVolume", "SuccessfulMountVolume":
		return ev.Type == corev1.EventTypeNormal
	}
	return false
}

// lean returns a copy with what is used of an event.
func lean(ev *corev1.Event) *corev1.Event {
	out := &corev1.Event{
		InvolvedObject:      ev.InvolvedObject,
		Reason:              ev.Reason,
		Message:             ev.Message,
		Source:              ev.Source,
		FirstTimestamp:      ev.FirstTimestamp,
		LastTimestamp:       ev.LastTimestamp,
		Count:               ev.Count,
		Type:                ev.Type,
		EventTime:           ev.EventTime,
		Series:              ev.Series,
		Action:              ev.Action,
		ReportingController: ev.ReportingController,
	}
	out.Namespace, out.Name, out.UID, out.ResourceVersion = ev.Namespace, ev.Name, ev.UID, ev.ResourceVersion
	if len(out.Message) > maxEventMessage {
		out.Message = strings.ToValidUTF8(out.Message[:maxEventMessage], "") + "…"
	}
	return out
}

// EventTrouble implements EventSink.
func (x *EventIndex) EventTrouble(scope string, err error) {
	x.mu.Lock()
	x.scopes[scope] = err
	x.mu.Unlock()
	x.release()
}

// Kept tells how many events are kept, and of how many objects they were dropped.
func (x *EventIndex) Kept() (events, dropped int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.total, x.dropped
}

// Events implements EventReader.
func (x *EventIndex) Events(ctx context.Context, namespace, uid string) ([]*corev1.Event, error) {
	x.wait(ctx)
	found, complete, err := x.find(eventKey{uid: types.UID(uid)}, namespace, "")
	if complete {
		return found, nil
	}
	if x.fallback == nil {
		return nil, err
	}
	return x.fallback.Events(ctx, namespace, uid)
}

// atHand returns the events of a pod where all of them are kept; it reads nothing and does
// not wait.
func (x *EventIndex) atHand(namespace, uid string) ([]*corev1.Event, bool) {
	found, complete, _ := x.find(eventKey{uid: types.UID(uid)}, namespace, "") // why not all is no concern here
	return found, complete
}

// NodeEvents implements NodeEventReader.
func (x *EventIndex) NodeEvents(ctx context.Context, name string) ([]*corev1.Event, error) {
	x.wait(ctx)
	// Events about nodes stand in the namespace default (client-go tools/record/event.go
	// makeEvent), which may be watched for them alone.
	found, complete, err := x.find(eventKey{node: name}, NodeEventScope, "default", "")
	if complete {
		return found, nil
	}
	if r, ok := x.fallback.(NodeEventReader); ok {
		return r.NodeEvents(ctx, name)
	}
	return nil, err
}

// find returns what is kept of an object, and whether that is all that the API has; where it
// is not, the error says why.
func (x *EventIndex) find(key eventKey, scopes ...string) ([]*corev1.Event, bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.trouble(scopes); err != nil {
		return nil, false, err
	}
	el, ok := x.objects[key]
	if !ok {
		if x.dropped > 0 {
			return nil, false, errors.New("there are more events than are kept")
		}
		return nil, true, nil
	}
	o := el.Value.(*objectEvents) //nolint:errcheck,forcetypeassert // the list holds nothing else
	if o.lost {
		return nil, false, errors.New("there are more events about it than are kept")
	}
	oldest := x.now().Add(-eventTTL)
	var out []*corev1.Event
	for _, ev := range o.events {
		if t := extract.EventTime(ev); t.IsZero() || !t.Before(oldest) {
			out = append(out, ev)
		}
	}
	slices.SortStableFunc(out, func(a, b *corev1.Event) int {
		return cmp.Or(extract.EventTime(a).Compare(extract.EventTime(b)), cmp.Compare(a.Name, b.Name))
	})
	return out, true, nil
}

// trouble tells why the events of a scope are not all there, the first of some that was
// heard of; nil if they are.
func (x *EventIndex) trouble(scopes []string) error {
	for _, scope := range scopes {
		if err, heard := x.scopes[scope]; heard {
			if err != nil {
				return fmt.Errorf("events are not watched: %w", err)
			}
			return nil
		}
	}
	return errors.New("events are not watched yet")
}

var (
	_ EventSink       = (*EventIndex)(nil)
	_ EventReader     = (*EventIndex)(nil)
	_ NodeEventReader = (*EventIndex)(nil)
)
