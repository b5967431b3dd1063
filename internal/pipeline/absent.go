package pipeline

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// absentKept bounds the controllers that are followed.
	absentKept = 1000
	// createdKept bounds those of which is known when they created a pod.
	createdKept = 10_000
	// absentGrace is how long a controller must fail before that counts: a quota that is being
	// updated, or a webhook that is being replaced, refuses for a moment.
	absentGrace = 15 * time.Second
	// absentSilence is how long nothing is heard of a controller before it is taken to have
	// got its pods, or to be gone. Controllers try again at most every 1000 s (client-go's
	// default limiter of work queues), after about 10 minutes of failures the tries are rarer
	// than this; then the stall ends and, with the next try, is the same again.
	absentSilence = 20 * time.Minute
)

// absent follows the controllers that cannot create their pods, by the events that they
// write about themselves (pkg/controller/controller_utils.go, FailedCreate and
// SuccessfulCreate). There is no pod to show it.
type absent struct {
	cluster string
	// snapshot tells that there is nothing to wait for.
	snapshot bool
	owners   map[types.UID]*absentee
	// created is when controllers created a pod last: a list of events has no order of time.
	created map[types.UID]time.Time
}

type absentee struct {
	detect.Episode
	ref    corev1.ObjectReference
	heard  time.Time
	due    time.Time
	opened bool
}

// event takes an event about a controller, and returns the stall that it ends.
func (a *absent) event(ev *corev1.Event, now time.Time) (ended []detect.Episode) {
	o := &ev.InvolvedObject
	if o.UID == "" || o.Kind == "Pod" {
		return nil
	}
	at := extract.EventTime(ev)
	known := a.owners[o.UID]
	switch ev.Reason {
	case "SuccessfulCreate":
		a.success(o.UID, at)
		if known == nil || at.Before(known.heard) {
			return nil
		}
		delete(a.owners, o.UID)
		return known.end(at)
	case "FailedCreate":
	default:
		return nil
	}
	if !at.After(a.created[o.UID]) {
		return nil // it has got over that
	}
	if known == nil {
		if len(a.owners) >= absentKept {
			return nil
		}
		if a.owners == nil {
			a.owners = make(map[types.UID]*absentee)
		}
		begin := ev.FirstTimestamp.UTC()
		if detect.KnownTime(begin).IsZero() {
			begin = at
		}
		known = &absentee{
			Episode: detect.Episode{
				StallKey:  record.StallKey{Cluster: a.cluster, ContainerKey: record.ContainerKey{PodUID: string(o.UID)}, Cause: string(evidence.NotCreated)},
				Namespace: o.Namespace, Class: evidence.NotCreated, Begin: begin,
			},
			due: now.Add(absentGrace),
		}
		if a.snapshot {
			known.due = now
		}
		a.owners[o.UID] = known
	}
	known.ref = *o
	known.Pod = cmp.Or(podIn(ev.Message), known.Pod, o.Name)
	if at.After(known.heard) {
		known.heard = at
		if known.opened {
			known.due = now
		}
	}
	return nil
}

// success notes that a controller created a pod.
func (a *absent) success(uid types.UID, at time.Time) {
	if a.created == nil || len(a.created) >= createdKept {
		a.created = make(map[types.UID]time.Time) // at worst an old refusal counts until it is silent
	}
	if at.After(a.created[uid]) {
		a.created[uid] = at
	}
}

func (e *absentee) end(at time.Time) []detect.Episode {
	if !e.opened {
		return nil
	}
	out := e.Episode
	out.End = at.UTC()
	return []detect.Episode{out}
}

// podIn finds the pod, or the prefix of the names that it would get, that a message quotes.
func podIn(message string) string {
	for _, re := range []*regexp.Regexp{quotedPod, namedPod} {
		if m := re.FindStringSubmatch(message); m != nil {
			return m[1]
		}
	}
	return ""
}

var (
	// The API server's refusals: pods "web-5d4f8-" is forbidden: exceeded quota: ...
	quotedPod = regexp.MustCompile(`\b[Pp]ods? "([a-z0-9][-a-z0-9.]*)"`)
	// A StatefulSet's: create Pod web-0 in StatefulSet web failed error: ...
	namedPod = regexp.MustCompile(`\bcreate Pod ([a-z0-9][-a-z0-9.]*) in `)
)

func (a *absent) due(now time.Time) []detect.Episode {
	var due []detect.Episode
	for _, e := range a.owners {
		if !e.due.IsZero() && !now.Before(e.due) {
			e.due = now.Add(time.Minute) // should nobody judge it
			due = append(due, e.Episode)
		}
	}
	slices.SortFunc(due, func(x, y detect.Episode) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Pod, y.Pod), cmp.Compare(x.PodUID, y.PodUID))
	})
	return due
}

// ref returns the controller of an episode, nil if it is none of these.
func (a *absent) ref(ep *detect.Episode) *corev1.ObjectReference {
	if ep.Class != evidence.NotCreated {
		return nil
	}
	e := a.owners[types.UID(ep.PodUID)]
	if e == nil {
		return &corev1.ObjectReference{}
	}
	ref := e.ref
	return &ref
}

func (a *absent) judge(key record.StallKey, found bool) bool {
	e := a.owners[types.UID(key.PodUID)]
	if e == nil {
		return false
	}
	e.due = time.Time{}
	e.opened = e.opened || found
	return true
}

// silent ends those of which nothing was heard for long.
func (a *absent) silent(now time.Time) (ended []detect.Episode) {
	for uid, e := range a.owners {
		if now.Sub(e.heard) > absentSilence {
			delete(a.owners, uid)
			ended = append(ended, e.end(e.heard)...)
		}
	}
	slices.SortFunc(ended, func(x, y detect.Episode) int { return cmp.Compare(x.PodUID, y.PodUID) })
	return ended
}

func (a *absent) seed(ep detect.Episode, e *evidence.Evidence) {
	if a.owners == nil {
		a.owners = make(map[types.UID]*absentee)
	}
	ref := corev1.ObjectReference{Namespace: ep.Namespace, UID: types.UID(ep.PodUID)}
	if e.Pod.Owner != nil {
		ref.Kind, ref.Name = e.Pod.Owner.Kind, e.Pod.Owner.Name
	}
	a.owners[ref.UID] = &absentee{Episode: ep, ref: ref, heard: e.AsOf, opened: true}
}

// notCreated gathers what may explain why a controller cannot create its pods.
func (c *collector) notCreated(ctx context.Context, f *Finding) {
	e := &f.Evidence
	e.Missing = nil // there is no pod to miss
	if e.Pod.Owner == nil {
		return
	}
	owner := metav1.OwnerReference{
		APIVersion: apiVersionOf(e.Pod.Owner.Kind), Kind: e.Pod.Owner.Kind, Name: e.Pod.Owner.Name, UID: types.UID(e.Pod.UID), Controller: new(true),
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.Pod.Namespace, Name: e.Pod.Name, OwnerReferences: []metav1.OwnerReference{owner}}}
	if c.Cluster != nil {
		chain, err := c.Cluster.Controllers(ctx, pod)
		e.Owner = extract.Owner(chain, nil, nil, pod)
		c.note(e, whatOwner, err)
		if len(chain) > 0 {
			if t := extract.Template(chain[0]); t != nil {
				pod.Annotations = t.Annotations // which it would have
			}
		}
	}
	if e.Owner == nil {
		e.Owner = extract.Owner(nil, nil, nil, pod)
	}
	c.ownerEvents(ctx, e)
	if c.Owners != nil {
		f.Record.Workload, _ = c.Owners.Workload(ctx, pod) // the best guess is what is wanted
		c.engine.group(f, pod.Annotations)
	}
}

// apiVersionOf is the group and version of the controllers of Kubernetes itself.
func apiVersionOf(kind string) string {
	switch kind {
	case "Job", "CronJob":
		return "batch/v1"
	case "ReplicationController":
		return "v1"
	default:
		return "apps/v1"
	}
}
