package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// What can be missing of what changed.
const (
	whatRevisions  = "revisions of the workload"
	whatConfigMaps = "config maps"
)

const (
	// changesKept bounds the changes of a record, fieldsKept the fields of one of them.
	changesKept, fieldsKept = 8, 24
	// configMapsRead bounds the ConfigMaps of a container that are read.
	configMapsRead = 8
	// lately is how long before a failure something was changed that may be a reason for it, also
	// where the pod is younger; of a rollout, which its pods run until the next one, longer.
	lately, latelyRolledOut = 24 * time.Hour, 30 * 24 * time.Hour
	// watchedFor is how long the revisions before must have been watched to say that the container did
	// not fail with them, and how many times as long as it then took to fail.
	watchedFor, watchedTimes = 5 * time.Minute, 3
	// fresh is how old a reading may be for what was changed just now to be in it, with the time for
	// which the readers believe what they read.
	fresh = 20 * time.Second
	// believed is how long a reading is used that nothing newer can concern.
	believed = time.Hour
	// remembers bounds each kind of what is remembered of readings.
	remembers = 2048
)

// changes remembers what was read of changes: of a container that crashes again and again, or
// of a workload with thousands of pods, little is read again.
type changes struct {
	rollouts table[rolloutKey, rollout]
	configs  table[types.NamespacedName, configMap]
	rows     table[rowKey, row]
	moves    table[string, string]
	nodes    nodeMemory
	// reading bounds the readings while others wait for their turn to be collected for.
	reading chan struct{}
}

// readingsBeside is how many of the collectors may read what changed while stops wait for them: a log
// can be lost by waiting, and this cannot.
const readingsBeside = 2

func newChanges() *changes { return &changes{reading: make(chan struct{}, readingsBeside)} }

// postponed tells that what changed before a failure is to be read later, since stops wait and it was
// not read for others of its kind; else end is to be called afterwards.
func (c *collector) postponed(of metav1.Object, r *record.Record) (end func(), later bool) {
	if r.Stop == nil || c.busy == nil || !c.busy() {
		return func() {}, false // a stall is not looked at again
	}
	if ref := metav1.GetControllerOf(of); ref == nil {
		return func() {}, false
	} else if ro, ok := c.changes.rollouts.get(rolloutKey{ref.UID, revisionLabel(of)}); ok && ro.holds(c.now(), of.GetCreationTimestamp().Time) {
		if _, ok := c.changes.rows.get(keyOfRow(r, &ro)); ok || r.Workload == nil {
			return func() {}, false
		}
	}
	select {
	case c.changes.reading <- struct{}{}:
		return func() { <-c.changes.reading }, false
	default:
		return nil, true
	}
}

// table is a map that forgets the oldest beyond a bound. It may be used from several goroutines.
type table[K comparable, V any] struct {
	mu    sync.Mutex
	of    map[K]V
	order []K
}

func (t *table[K, V]) get(k K) (V, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.of[k]
	return v, ok
}

func (t *table[K, V]) put(k K, v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[K]V)
	}
	if _, known := t.of[k]; !known {
		t.order = append(t.order, k)
		if len(t.order) > remembers {
			delete(t.of, t.order[0])
			t.order = t.order[1:]
		}
	}
	t.of[k] = v
}

// changed collects what was changed before a failure, once, and tells whether there is anything
// that the failure was not diagnosed with.
func (c *collector) changed(ctx context.Context, f *Finding) bool {
	e, r := &f.Evidence, &f.Record
	if c.Cluster == nil || r.Category != record.Failure || e.ChangesRead {
		return false
	}
	of := subject(f)
	if of == nil {
		return false
	}
	end, later := c.postponed(of, r)
	if f.unread = later; later {
		return false
	}
	defer end()
	missed := slices.Clone(e.Missing)
	ro := c.rollout(ctx, of)
	c.note(e, whatRevisions, ro.err)
	e.ChangesRead = ro.err == nil
	p := passage{when: r.When(), noun: "stop"}
	if r.Stall != nil {
		p.noun = "stall"
	}
	p.began, p.since = p.when, c.row(ctx, r, &ro)
	if !p.since.first.IsZero() && p.since.first.Before(p.began) {
		p.began = p.since.first
	}
	e.FailingSince = p.since.first
	var out []record.Change
	add := func(ch *record.Change) {
		if ch != nil && !ch.Time.After(p.began) {
			out = append(out, *ch)
		}
	}
	add(ro.change(r, &p))
	e.Rollout = ro.evidence(&p, c.watchedSince(r.Namespace))
	if f.Pod != nil {
		for _, ch := range c.edits(f, &ro, &p) {
			add(&ch)
		}
	}
	for _, ch := range c.configMaps(ctx, f, &p) {
		add(&ch)
	}
	add(c.nodeChange(ctx, r, &p))
	add(c.moved(ctx, f, &p))
	// What has no time is older than what the pod saw, and known to be before it.
	slices.SortStableFunc(out, func(a, b record.Change) int { return b.Time.Compare(a.Time) })
	e.Changes = out[:min(len(out), changesKept)]
	r.Changes = slices.Clone(e.Changes)
	return len(e.Changes) > 0 || e.Rollout != nil || !slices.Equal(missed, e.Missing)
}

// passage is where a failure stands in the row of failures that it belongs to.
type passage struct {
	// when is that of the failure, began that of the first of its row, as far as it is known.
	when, began time.Time
	since       row
	noun        string
}

// subject returns the pod of a finding, or what stands for one that could not be created: an
// object with its controller. Nil where there is neither.
func subject(f *Finding) metav1.Object {
	if f.Pod != nil {
		return f.Pod
	}
	e := &f.Evidence
	owner := e.Pod.Owner
	if e.Stall == nil || e.Stall.Class != evidence.NotCreated || owner == nil || e.Pod.UID == "" {
		return nil
	}
	switch owner.Kind {
	case "ReplicaSet", "StatefulSet", "DaemonSet":
	default:
		return nil
	}
	yes := true
	return &metav1.ObjectMeta{Namespace: e.Pod.Namespace, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: appsv1.SchemeGroupVersion.String(), Kind: owner.Kind, Name: owner.Name, UID: types.UID(e.Pod.UID), Controller: &yes,
	}}}
}

// rolloutKey is a revision of a controller; without one, its newest.
type rolloutKey struct {
	controller types.UID
	revision   string
}

// rollout is the revision that made a pod, compared with the one before it.
type rollout struct {
	// read is when it was read, err why it was not.
	read time.Time
	err  error
	// object is the workload as "Deployment shop/checkout", empty where it has no revisions.
	object string
	// from and to are the numbers of the revisions; from is empty where none before it is kept.
	from, to string
	// first tells that there was none before it.
	first bool
	// at is when it was rolled out, zero where that is not known, and by who wrote it.
	at time.Time
	by string
	// fields are those that differ.
	fields []record.FieldChange
	// template is what of the revision's template can be edited in its pods.
	template *corev1.PodTemplateSpec
}

// holds tells whether a reading is good enough for a pod that was created at a time.
func (ro *rollout) holds(now, created time.Time) bool {
	age := now.Sub(ro.read)
	switch {
	case age < fresh:
		return true
	case ro.err != nil:
		return false
	}
	// A pod that was made after the reading may be of a revision that was rolled out again.
	return age < believed && created.Before(ro.read.Add(-fresh))
}

// rollout returns the revision that made a pod.
func (c *collector) rollout(ctx context.Context, of metav1.Object) rollout {
	ref := metav1.GetControllerOf(of)
	if ref == nil {
		return rollout{}
	}
	key := rolloutKey{ref.UID, revisionLabel(of)}
	now := c.now()
	if ro, ok := c.changes.rollouts.get(key); ok && ro.holds(now, of.GetCreationTimestamp().Time) {
		return ro
	}
	ro := c.readRollout(ctx, of, key.revision)
	ro.read = now
	if ctx.Err() == nil {
		c.changes.rollouts.put(key, ro)
	}
	return ro
}

func revisionLabel(of metav1.Object) string {
	l := of.GetLabels()
	return cmp.Or(l[appsv1.DefaultDeploymentUniqueLabelKey], l[appsv1.ControllerRevisionHashLabelKey])
}

func (c *collector) readRollout(ctx context.Context, of metav1.Object, name string) rollout {
	chain, err := c.Cluster.Controllers(ctx, of)
	switch {
	case apierrors.IsNotFound(err):
		return rollout{} // gone, and its revisions with it
	case err != nil:
		return rollout{err: err}
	case len(chain) == 0:
		return rollout{}
	}
	top := chain[len(chain)-1]
	kind := kindWithRevisions(top)
	if kind == "" {
		return rollout{}
	}
	list, err := c.Cluster.Revisions(ctx, top)
	if err != nil {
		return rollout{err: err}
	}
	if rs, ok := chain[0].(*appsv1.ReplicaSet); ok && name == "" {
		name = rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	}
	is := revisionOf(list, name)
	if is == nil && name == "" && len(list) > 0 {
		is = &list[0] // that a pod is to be made of
	}
	if is == nil || is.Template == nil {
		return rollout{}
	}
	ro := rollout{object: kind + " " + top.GetNamespace() + "/" + top.GetName(), to: strconv.FormatInt(is.Number, 10), template: editable(is.Template)}
	if !reused(list, is) {
		ro.at = is.CreatedAt
	} else {
		ro.at = c.scaledUp(ctx, top, chain[0])
	}
	was, number := revisionBefore(list, is)
	if was == nil || was.Template == nil {
		ro.first = is.Number == 1
		return ro
	}
	ro.from = strconv.FormatInt(number, 10)
	ro.fields = c.hideFields(extract.TemplateChanges(was.Template, is.Template, c.engine.hideWords))
	if is.Number == list[0].Number {
		ro.by = writer(extract.Writes(top), was.CreatedAt, ro.at)
	}
	return ro
}

// kindWithRevisions is the kind of a controller that keeps its revisions; empty for another.
func kindWithRevisions(o metav1.Object) string {
	switch o.(type) {
	case *appsv1.Deployment:
		return "Deployment"
	case *appsv1.StatefulSet:
		return "StatefulSet"
	case *appsv1.DaemonSet:
		return "DaemonSet"
	}
	return ""
}

// editable returns what of a template can be edited in its pods.
func editable(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	bare := func(list []corev1.Container) []corev1.Container {
		out := make([]corev1.Container, len(list))
		for i := range list {
			out[i] = corev1.Container{Name: list[i].Name, Image: list[i].Image, Resources: list[i].Resources}
		}
		return out
	}
	return &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: bare(t.Spec.Containers), InitContainers: bare(t.Spec.InitContainers)}}
}

// scaledUp returns when a Deployment scaled up a ReplicaSet from zero the last time, as its events
// tell: that is when a rollback began. The zero time where none does.
func (c *collector) scaledUp(ctx context.Context, of, rs metav1.Object) time.Time {
	if _, ok := of.(*appsv1.Deployment); !ok || c.Events == nil {
		return time.Time{}
	}
	events, err := c.Events.Events(ctx, of.GetNamespace(), string(of.GetUID()))
	if err != nil {
		return time.Time{} // it is left out, as where the API forgot the event
	}
	var at time.Time
	for _, ev := range extract.Events(events) {
		// pkg/controller/deployment/sync.go scaleReplicaSet; before Kubernetes 1.28 "to 3 from 0".
		if ev.Reason == "ScalingReplicaSet" && strings.HasPrefix(ev.Message, "Scaled up replica set "+rs.GetName()+" ") &&
			(strings.Contains(ev.Message, " from 0 to ") || strings.HasSuffix(ev.Message, " from 0")) && ev.Last.After(at) {
			at = ev.Last
		}
	}
	return at
}

// writer returns who wrote the template just before a rollout; empty where that is not certain: of
// each writer only the last write is known, which may have been to something else.
func writer(writes []extract.Write, from, to time.Time) string {
	if to.IsZero() {
		return ""
	}
	for _, w := range writes {
		if !w.Time.After(to.Add(2*time.Second)) && w.Time.After(from) && w.Time.After(to.Add(-time.Minute)) {
			return w.By
		}
	}
	return ""
}

// hideFields hides secrets in the values of fields. Those of variables are references alone.
func (c *collector) hideFields(fields []record.FieldChange) []record.FieldChange {
	for i := range fields {
		f := &fields[i]
		if strings.Contains(f.Field, ".env[") || f.Hidden {
			continue
		}
		was, is := c.engine.redact(f.Old), c.engine.redact(f.New)
		if key, ok := strings.CutPrefix(f.Field, "metadata.labels["); ok {
			// A label's name may tell that its value is one.
			key = strings.TrimSuffix(key, "]") + "="
			was, is = strings.TrimPrefix(c.engine.redact(key+f.Old), key), strings.TrimPrefix(c.engine.redact(key+f.New), key)
		}
		if f.Old, f.New = was, is; was == is {
			f.Old, f.New, f.Hidden = "", "", true
		}
	}
	return fields
}

// hideWords hides secrets in the words of a command.
func (e *Engine) hideWords(words []string) []string {
	if e.redactor == nil {
		return words
	}
	return e.hideArguments(words)
}

// change is the rollout as a change before a failure of a container; nil where it is none, or long ago.
func (ro *rollout) change(r *record.Record, p *passage) *record.Change {
	if ro.object == "" || !ro.at.IsZero() && p.began.Sub(ro.at) > latelyRolledOut {
		return nil
	}
	ch := record.Change{Kind: record.ChangeRollout, Object: ro.object, Time: ro.at, From: ro.from, To: ro.to, By: ro.by}
	switch {
	case ro.from != "":
		ch.Fields = diagnose.BearingFirst(r.Diagnosis.Cause, r.Container, extract.Foremost(ro.fields, r.Container, len(ro.fields)))
		ch.Fields = ch.Fields[:min(len(ch.Fields), fieldsKept)]
		ch.Text = fmt.Sprintf("Revision %s of %s %s%s", ro.to, ro.object, fieldsText(ch.Fields, len(ro.fields), r.Container), p.before(ro.at))
	case ro.first && !ro.at.IsZero() && p.began.Sub(ro.at) <= lately:
		ch.Text = fmt.Sprintf("%s was created with revision 1%s", ro.object, p.before(ro.at))
	default:
		return nil
	}
	return &ch
}

// evidence is what rules may know of the rollout.
func (ro *rollout) evidence(p *passage, watched time.Time) *evidence.Rollout {
	if ro.object == "" {
		return nil
	}
	return &evidence.Rollout{
		Object: ro.object, Revision: ro.to, Time: ro.at,
		WatchedBefore:   p.since.known && !ro.at.IsZero() && !watched.IsZero() && ro.at.Sub(watched) >= max(watchedFor, watchedTimes*p.began.Sub(ro.at)),
		EarlierFailures: p.since.earlier,
	}
}

// edits returns the edits of the containers of the pod itself, as its managed fields tell them.
func (c *collector) edits(f *Finding, ro *rollout, p *passage) []record.Change {
	var out []record.Change
	object := "Pod " + f.Pod.Namespace + "/" + f.Pod.Name
	for _, edit := range extract.Edits(f.Pod) {
		if len(out) == changesKept || edit.Time.After(p.began) {
			continue
		}
		ch := record.Change{Kind: record.ChangePod, Object: object, Time: edit.Time, By: edit.By}
		if ro.template != nil {
			ch.Fields = c.hideFields(extract.EditedFields(ro.template, f.Pod, edit))
			if len(ch.Fields) == 0 {
				continue // it is again as it was
			}
		} else {
			ch.Fields = []record.FieldChange{editedBefore(f, edit)}
		}
		ch.Fields = ch.Fields[:min(len(ch.Fields), fieldsKept)]
		ch.Text = fmt.Sprintf("%s was edited by %s, which %s%s", object, edit.By, fieldsText(ch.Fields, len(ch.Fields), f.Record.Container), p.before(edit.Time))
		out = append(out, ch)
	}
	return out
}

// editedBefore is the edited field of a pod that has no template: its image as the stops before
// have it, and else only that it differs.
func editedBefore(f *Finding, edit extract.Edit) record.FieldChange {
	list := "containers"
	for i := range f.Pod.Spec.InitContainers {
		if f.Pod.Spec.InitContainers[i].Name == edit.Container {
			list = "initContainers"
		}
	}
	field := record.FieldChange{Field: list + "[" + edit.Container + "]." + edit.Field, Hidden: true}
	h := f.Evidence.History
	if h == nil || h.Image == "" || f.Evidence.Pod.Owner != nil || edit.Field != "image" || edit.Container != f.Record.Container {
		return field
	}
	var last *evidence.ImageHistory
	for i := range h.Images {
		if im := &h.Images[i]; im.Image != h.Image && !im.Last.After(edit.Time.Add(time.Minute)) && (last == nil || im.Last.After(last.Last)) {
			last = im
		}
	}
	if last != nil {
		field.Old, field.New, field.Hidden = last.Image, h.Image, false
	}
	return field
}
