package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Offline is a Sink for recorded input, or for one list of a live cluster: everything is
// there already, so that each record is complete when it is emitted, and nothing
// depends on the clock. The stalls come from Finish.
type Offline struct {
	// Context bounds the reads: a Sink is handed none.
	Context context.Context
	// Cluster names the cluster in records; Redactor may be nil.
	Cluster  string
	Redactor Redactor
	// Readers are what evidence is collected from. History is what was emitted before, if it is nil.
	Readers Readers
	// Merge are the rules that merge issues; nil for none.
	Merge *issue.Rules
	// AsOf is the time in the input: when it was made, or how far it has been read.
	AsOf func() time.Time
	// Snapshot tells that every pod is shown once.
	Snapshot bool
	// Workers is how many stops of one list are collected for at once, where the Readers wait
	// for a cluster; 1 if zero.
	Workers int
	// Filter narrows down the pods that are looked at; nil for all. Pods that pass one and of which
	// there is nothing to find are emitted too, by Finish, with a record that has no kind.
	Filter func(*corev1.Pod) bool
	// Emit takes each record in the order of the stops; one that comes again with the
	// same ID replaces the earlier one.
	Emit func(Finding)

	// Pods counts those that were shown, Troubles holds what the recording says went wrong.
	Pods     int
	Troubles []record.Missing

	engine    *Engine
	collector *collector
	ward      *ward
	recents   recents
	seen      map[string]bool
	emitted   emitted
	// quiet are the pods that passed the filter.
	quiet []quietPod
}

type quietPod struct {
	view detect.Pod
	full func() (*corev1.Pod, error)
}

func (o *Offline) start() {
	if o.engine != nil {
		return
	}
	o.engine = NewEngine(o.Cluster, o.Redactor)
	tracker := detect.NewStalls(o.Cluster)
	if o.Snapshot {
		tracker = detect.NewSnapshotStalls(o.Cluster)
	}
	o.ward = newWard(o.engine, tracker)
	o.ward.absent.snapshot = o.Snapshot
	// What happens to show a last state is no history of a workload, and what is collected for
	// at once has no order.
	o.emitted.workloads = !o.Snapshot && o.Workers <= 1
	if o.Readers.History == nil {
		o.Readers.History = &o.emitted
	}
	o.collector = newCollector(o.engine, o.Readers, o.AsOf)
	o.engine.merge = o.Merge
	o.recents.forever = true
	o.seen = make(map[string]bool)
}

// Replace implements Sink.
func (o *Offline) Replace(_ string, pods []Object, _ string) {
	o.start()
	// All stops first, so that each knows of those beside it.
	var found []Finding
	for i := range pods {
		if o.wanted(&pods[i]) {
			found = append(found, o.engine.Observe(&pods[i], true, time.Time{})...)
			o.ended(o.ward.observe(&pods[i], o.AsOf()))
		}
	}
	o.found(found)
}

// Apply implements Sink.
func (o *Offline) Apply(_ string, pod Object) {
	o.start()
	if !o.wanted(&pod) {
		return
	}
	o.found(o.engine.Observe(&pod, true, time.Time{}))
	o.ended(o.ward.observe(&pod, o.AsOf()))
	o.stalls()
}

// Delete implements Sink.
func (o *Offline) Delete(_ string, pod Object) {
	o.start()
	if !o.wanted(&pod) {
		return
	}
	o.found(o.engine.Delete(&pod, true, time.Time{}))
	o.ended(o.ward.gone(pod.View.UID, o.AsOf()))
}

// wanted counts the pod and asks the filter, which gets the names alone of a pod that was not kept.
func (o *Offline) wanted(obj *Object) bool {
	v := &obj.View
	if o.Filter != nil {
		pod, err := full(obj)
		if err != nil || pod == nil {
			pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v.Namespace, Name: v.Name, UID: types.UID(v.UID)}}
		}
		if !o.Filter(pod) {
			return false
		}
	}
	if o.seen[v.UID] {
		return true
	}
	o.seen[v.UID] = true
	o.Pods++
	if o.Filter != nil {
		o.quiet = append(o.quiet, quietPod{*v, obj.Full})
	}
	return true
}

// Progress implements Sink; a recording makes none.
func (o *Offline) Progress(string, string) {}

// Trouble implements Sink.
func (o *Offline) Trouble(_ string, err error) {
	if err != nil {
		o.Troubles = append(o.Troubles, record.Missing{What: "part of the watch", Why: err.Error()})
	}
}

// Node takes a node as the recording shows it.
func (o *Offline) Node(n *corev1.Node) {
	o.start()
	o.collector.sawNode(n, o.AsOf())
}

// Event implements EventSink: stops whose diagnosis the event changes are emitted again.
func (o *Offline) Event(ev *corev1.Event) {
	o.start()
	o.again(o.recents.about(ev))
	switch ob := &ev.InvolvedObject; ob.Kind {
	case "Pod":
		o.ward.tracker.Touch(string(ob.UID), o.AsOf())
	case "Node":
	default:
		o.ended(o.ward.absent.event(ev, o.AsOf()))
	}
	o.stalls()
}

// EventTrouble implements EventSink.
func (o *Offline) EventTrouble(string, error) {}

// Finish diagnoses what only the end of the input can tell: the stalls, and the stops that what
// happened after them explains.
func (o *Offline) Finish() {
	o.start()
	if !o.Snapshot {
		var unsure []*recent
		for _, r := range o.recents.order {
			if unsettled(&r.Record) {
				unsure = append(unsure, r)
			}
		}
		o.again(unsure)
	}
	o.ward.tracker.Freeze()
	o.stalls()
	for _, q := range o.quiet {
		if !o.emitted.pods[q.view.UID] {
			o.Emit(o.nothing(q))
		}
	}
}

// nothing is the finding of a pod of which there is nothing to find.
func (o *Offline) nothing(q quietPod) Finding {
	ep := detect.Episode{StallKey: record.StallKey{ContainerKey: record.ContainerKey{PodUID: q.view.UID}}, Namespace: q.view.Namespace, Pod: q.view.Name}
	pod, err := o.collector.podOf(o.Context, &ep, q.full)
	if pod == nil {
		pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ep.Namespace, Name: ep.Pod, UID: types.UID(ep.PodUID)}}
	}
	f := Finding{Evidence: extract.Bare(pod), Pod: pod, Record: record.Record{
		Cluster: o.Cluster, Namespace: pod.Namespace, Pod: pod.Name, PodUID: string(pod.UID), Node: pod.Spec.NodeName,
	}}
	if err != nil {
		miss(&f.Evidence, whatPod, err.Error())
	}
	o.collector.still(o.Context, &f)
	return f
}

func (o *Offline) found(found []Finding) {
	for i := range found {
		o.collector.near.add(&found[i])
	}
	for i := range found {
		f := &found[i]
		if kept, ok := o.recents.byID[f.Record.ID]; ok {
			carry(&kept.Finding, f)
		}
	}
	o.collect(found)
	for i := range found {
		o.recents.put(found[i], time.Time{})
		o.Emit(found[i])
	}
}

// collect gathers the evidence for stops, for those of one container in their order: each
// is history to the next.
func (o *Offline) collect(found []Finding) {
	var byContainer [][]*Finding
	at := make(map[record.ContainerKey]int)
	for i := range found {
		r := &found[i].Record
		key := record.ContainerKey{PodUID: r.PodUID, Type: r.ContainerType, Name: r.Container}
		n, ok := at[key]
		if !ok {
			n = len(byContainer)
			at[key] = n
			byContainer = append(byContainer, nil)
		}
		byContainer[n] = append(byContainer[n], &found[i])
	}
	var workers errgroup.Group
	workers.SetLimit(max(o.Workers, 1))
	for _, of := range byContainer {
		workers.Go(func() error {
			for _, f := range of {
				o.collector.stop(o.Context, f)
				o.emitted.add(f.Record)
			}
			return nil
		})
	}
	_ = workers.Wait() // nothing of it fails: what cannot be read is missing in the evidence
}

func (o *Offline) emit(f *Finding) {
	o.emitted.add(f.Record)
	o.Emit(*f)
}

// again looks at stops once more, and emits those whose diagnosis says something else.
func (o *Offline) again(found []*recent) {
	for _, r := range found {
		f := r.Finding
		before := f.Record
		f.Record = f.Record.Clone()
		f.Evidence = copied(f.Evidence)
		o.collector.refresh(o.Context, &f)
		if differs(&before, &f.Record) && !weaker(&before, &f.Record) {
			r.Finding = f
			o.emit(&f)
		}
	}
}

// stalls diagnoses the episodes that are due.
func (o *Offline) stalls() {
	now := o.AsOf()
	if now.IsZero() && !o.Snapshot {
		return
	}
	o.ended(o.ward.absent.silent(now))
	due := o.ward.due(now)
	for i := range due {
		ep := &due[i]
		pod, err := o.collector.podOf(o.Context, ep, o.ward.pods[ep.PodUID].full)
		f := o.engine.stall(ep, pod, time.Time{})
		if err != nil {
			miss(&f.Evidence, whatPod, err.Error())
		}
		ofController(&f, o.ward.absent.ref(ep))
		of := &f
		if !o.collector.stall(o.Context, &f) {
			of = nil
		}
		if o.ward.judged(ep, of, now) != noNews {
			o.emit(&f)
		}
	}
}

func (o *Offline) ended(episodes []detect.Episode) {
	for i := range episodes {
		if r, ok := o.ward.ended(&episodes[i]); ok {
			o.emit(&Finding{Record: r, Refined: true})
		}
	}
}

// emitted is the history of an Offline: the newest stops of each container. It may be used
// from several goroutines.
type emitted struct {
	mu          sync.Mutex
	byContainer map[record.ContainerKey][]record.Record
	pods        map[string]bool
	// byWorkload has those of workloads, where workloads tells to keep them.
	workloads  bool
	byWorkload map[pastKey][]record.Record
}

func (h *emitted) add(r record.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pods == nil {
		h.byContainer, h.pods = make(map[record.ContainerKey][]record.Record), make(map[string]bool)
		h.byWorkload = make(map[pastKey][]record.Record)
	}
	h.pods[r.PodUID] = true
	if r.Stop == nil {
		return
	}
	r.Log = nil
	key := record.ContainerKey{PodUID: r.PodUID, Name: r.Container}
	h.byContainer[key] = newer(h.byContainer[key], r, historyKept+1)
	if h.workloads && r.Workload != nil {
		key := pastKey{namespace: r.Namespace, workload: *r.Workload, container: r.Container}
		h.byWorkload[key] = newer(h.byWorkload[key], r, workloadKept)
	}
}

// newer replaces a record among others, or adds it to the newest of them.
func newer(of []record.Record, r record.Record, most int) []record.Record {
	if i := slices.IndexFunc(of, func(x record.Record) bool { return x.ID == r.ID }); i >= 0 {
		of[i] = r
		return of
	}
	of = append(of, r)
	return of[max(0, len(of)-most):]
}

// List implements HistoryReader for what a collector asks.
func (h *emitted) List(_ context.Context, q store.Query) ([]record.Record, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []record.Record
	if q.Workload != nil {
		if len(q.Namespaces) == 1 {
			out = slices.Clone(h.byWorkload[pastKey{namespace: q.Namespaces[0], workload: *q.Workload, container: q.Container}])
		}
	} else {
		out = slices.Clone(h.byContainer[record.ContainerKey{PodUID: q.PodUID, Name: q.Container}])
	}
	slices.Reverse(out)
	return out, "", nil
}

var (
	_ Sink      = (*Offline)(nil)
	_ EventSink = (*Offline)(nil)
)
