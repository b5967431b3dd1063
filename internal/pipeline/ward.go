package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// podsKept bounds the pods that are kept whole for a coming diagnosis; beyond that they
	// are read when it is due.
	podsKept = 4000
	// podBytesKept bounds the memory that these take.
	podBytesKept = 24 << 20
	// stallsKept bounds the stalls that last whose record is at hand; beyond that it is read
	// from the history at the end.
	stallsKept = 10_000
)

// ward follows what does not go on: the pods with symptoms and the stalls that last. It
// is not safe for concurrent use.
type ward struct {
	engine  *Engine
	tracker *detect.Stalls
	absent  absent
	pods    map[string]keptPod // by UID
	bytes   int                // of pods
	open    map[record.StallKey]record.Record
	// count is told when a stall of a cause begins (1) or ends (-1); nil for nobody.
	count func(cause string, by int)
}

// keptPod is a pod that is kept whole, and how many bytes that takes.
type keptPod struct {
	full  func() (*corev1.Pod, error)
	bytes int
}

func newWard(e *Engine, tracker *detect.Stalls) *ward {
	return &ward{
		engine:  e,
		tracker: tracker,
		absent:  absent{cluster: e.cluster},
		pods:    make(map[string]keptPod),
		open:    make(map[record.StallKey]record.Record),
		count:   func(string, int) {},
	}
}

// observe takes what a pod shows, and returns the stalls that ended by it.
func (w *ward) observe(o *Object, now time.Time) []detect.Episode {
	ended := w.tracker.Observe(&o.View, now)
	uid := o.View.UID
	_, had := w.pods[uid]
	w.drop(uid)
	if w.tracker.Wanted(uid) && o.Full != nil && (had || len(w.pods) < podsKept) && w.bytes+o.Size <= podBytesKept {
		w.pods[uid] = keptPod{o.Full, o.Size}
		w.bytes += o.Size
	}
	return ended
}

func (w *ward) gone(uid string, now time.Time) []detect.Episode {
	w.drop(uid)
	return w.tracker.Gone(uid, now)
}

func (w *ward) drop(uid string) {
	w.bytes -= w.pods[uid].bytes
	delete(w.pods, uid)
}

// due returns the episodes to diagnose now.
func (w *ward) due(now time.Time) []detect.Episode {
	return append(w.tracker.Due(now), w.absent.due(now)...)
}

// news is what a judgement of an episode means for its record.
type news int

const (
	noNews news = iota
	stallBegins
	stallChanges
)

// judged takes the finding of an episode, nil for none, and tells what is to be recorded.
func (w *ward) judged(ep *detect.Episode, f *Finding, now time.Time) news {
	lasts := false
	if ep.Class == evidence.NotCreated {
		lasts = w.absent.judge(ep.StallKey, f != nil)
	} else {
		lasts = w.tracker.Judge(ep.StallKey, f != nil, now)
	}
	if !lasts || f == nil {
		return noNews
	}
	old, known := w.open[ep.StallKey]
	switch {
	case known && !differs(&old, &f.Record):
		return noNews // only older
	case known:
		w.count(old.Diagnosis.Cause, -1)
		w.open[ep.StallKey] = f.Record
	case len(w.open) < stallsKept:
		w.open[ep.StallKey] = f.Record
	}
	w.count(f.Record.Diagnosis.Cause, 1)
	if known || ep.Opened {
		return stallChanges
	}
	return stallBegins
}

// ended returns the record of a stall with its end; false where it is not at hand.
func (w *ward) ended(ep *detect.Episode) (record.Record, bool) {
	r, ok := w.open[ep.StallKey]
	if !ok {
		return record.Record{}, false
	}
	delete(w.open, ep.StallKey)
	w.count(r.Diagnosis.Cause, -1)
	return withEnd(r, ep.End), true
}

func withEnd(r record.Record, end time.Time) record.Record {
	r = r.Clone()
	if r.Stall == nil {
		r.Stall = &record.Stall{}
	}
	r.End = end
	return r
}

// seed continues the stalls of an earlier run that had not ended, those of a shard.
func (w *ward) seed(ctx context.Context, h Archive, cluster string, of shard.Shard) error {
	q := store.Query{Cluster: cluster, Kind: record.KindStall, Open: true}
	for len(w.open) < stallsKept {
		found, next, err := h.List(ctx, q)
		if err != nil {
			return fmt.Errorf("load the stalls that had not ended: %w", err)
		}
		for _, r := range found {
			if r.Stall == nil || !of.Contains(r.Namespace) {
				continue
			}
			e, err := h.Evidence(ctx, r.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("load the evidence of a stall that had not ended: %w", err)
			}
			ep, ok := episodeOf(r, &e)
			if !ok {
				continue // nobody can tell what it was
			}
			w.open[ep.StallKey] = r
			w.count(r.Diagnosis.Cause, 1)
			if ep.Class == evidence.NotCreated {
				w.absent.seed(ep, &e)
				continue
			}
			w.tracker.Seed(ep)
		}
		if next == "" {
			return nil
		}
		q.Cursor = next
	}
	return nil
}

// episodeOf makes an episode of its record; false where the two do not fit.
func episodeOf(r record.Record, e *evidence.Evidence) (detect.Episode, bool) {
	if e.Stall == nil {
		if r.Diagnosis.Cause != "admission_rejected" {
			return detect.Episode{}, false
		}
		// The one stall that was recorded before there was evidence.
		e.Stall = &evidence.Stall{Class: evidence.Rejected, Key: "admission_rejected"}
	}
	ep := detect.Episode{
		StallKey: record.StallKey{
			Cluster:      r.Cluster,
			ContainerKey: record.ContainerKey{PodUID: r.PodUID, Type: r.ContainerType, Name: r.Container},
			Cause:        e.Stall.Key,
		},
		Namespace: r.Namespace, Pod: r.Pod, Class: e.Stall.Class, Begin: r.Begin, Opened: true,
	}
	if ep.Class == evidence.NotCreated {
		ep.PodUID = e.Pod.UID // that of the controller
	}
	return ep, ep.ID() == r.ID
}

// stall makes the finding of an episode, before anything beside the pod is collected.
func (e *Engine) stall(ep *detect.Episode, pod *corev1.Pod, now time.Time) Finding {
	ev := extract.Stall(ep, pod)
	ev.Stall.Key = ep.Cause
	f := Finding{Record: extract.StallRecord(ep, pod, now), Evidence: ev, Pod: pod}
	e.belongs(&f)
	return f
}

// stall gathers what may explain a stall, and tells whether there is one.
func (c *collector) stall(ctx context.Context, f *Finding) bool {
	e := &f.Evidence
	e.AsOf = c.now().UTC()
	class := e.Stall.Class
	if class == evidence.NotCreated {
		c.notCreated(ctx, f)
	} else {
		c.podEvents(ctx, e)
		c.node(ctx, e)
	}
	if c.Cluster != nil && f.Pod != nil {
		switch class {
		case evidence.Unscheduled, evidence.Rejected:
			c.claims(ctx, e, f.Pod)
			c.scheduling(ctx, e, f.Pod)
		case evidence.Preparing:
			c.claims(ctx, e, f.Pod)
		case evidence.Image, evidence.Config, evidence.Create, evidence.Initializing, evidence.Unready, evidence.Terminating, evidence.NotCreated:
		}
	}
	if class != evidence.NotCreated {
		c.workload(ctx, f)
	}
	c.engine.hide(e)
	found, ok := DiagnoseStall(e)
	if !ok {
		return false
	}
	c.engine.diagnosed(&f.Record, found)
	if c.changed(ctx, f) {
		c.engine.hide(e)
		if found, ok = DiagnoseStall(e); ok {
			c.engine.diagnosed(&f.Record, found)
		}
	}
	return true
}

// podOf returns the pod of an episode: as it was kept, or as the cluster has it now. It is
// nil without an error where there is none.
func (c *collector) podOf(ctx context.Context, ep *detect.Episode, kept func() (*corev1.Pod, error)) (*corev1.Pod, error) {
	switch {
	case ep.Class == evidence.NotCreated:
		return nil, nil
	case kept != nil:
		return kept()
	case c.Cluster == nil:
		return nil, errors.New("it was not kept")
	}
	pod, err := c.Cluster.Pod(ctx, ep.Namespace, ep.Pod)
	if err != nil {
		return nil, err
	}
	if string(pod.UID) != ep.PodUID {
		return nil, errors.New("another one has its name now")
	}
	return pod, nil
}

// ofController completes the finding of a controller that cannot create its pods: what the
// tracker has as the pod's UID is the controller's.
func ofController(f *Finding, ref *corev1.ObjectReference) {
	if ref == nil {
		return
	}
	f.Record.PodUID = ""
	f.Evidence.Pod.Owner = &record.Workload{Kind: ref.Kind, Name: ref.Name}
}

// claims reads the persistent volume claims of a pod.
func (c *collector) claims(ctx context.Context, e *evidence.Evidence, pod *corev1.Pod) {
	e.Claims = nil
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			// The controller of ephemeral volumes names the claim after pod and volume (KEP-1698).
			name = pod.Name + "-" + v.Name
		default:
			continue
		}
		claim, err := c.Cluster.Claim(ctx, pod.Namespace, name)
		switch {
		case apierrors.IsNotFound(err):
			e.Claims = append(e.Claims, evidence.Claim{Name: name, Gone: true})
			continue
		case err != nil:
			c.note(e, whatClaims, err)
			return
		}
		var events []*corev1.Event
		if c.Events != nil {
			events, err = c.Events.Events(ctx, pod.Namespace, string(claim.UID))
			c.note(e, whatClaimEvents, err)
		}
		e.Claims = append(e.Claims, extract.Claim(claim, events))
	}
	c.note(e, whatClaims, nil)
}

// scheduling reads how the nodes look to a pod.
func (c *collector) scheduling(ctx context.Context, e *evidence.Evidence, pod *corev1.Pod) {
	nodes, err := c.Cluster.Nodes(ctx)
	c.note(e, whatScheduling, err)
	if err != nil {
		return
	}
	pods, err := c.Cluster.PodsOnNodes(ctx)
	c.note(e, whatUsage, err)
	switch {
	case err != nil:
		pods = nil
	case pods == nil:
		pods = []*corev1.Pod{}
	}
	e.Scheduling = extract.Scheduling(pod, nodes, pods)
}

// still gathers what is known of a pod of which there is nothing to find.
func (c *collector) still(ctx context.Context, f *Finding) {
	e := &f.Evidence
	e.AsOf = c.now().UTC()
	c.podEvents(ctx, e)
	c.node(ctx, e)
	c.workload(ctx, f)
	c.engine.hide(e)
}
