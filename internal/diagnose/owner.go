package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family tells who deleted a pod. The API does not record that; a controller that
// deletes a pod of its own says so in an event (pkg/controller/controller_utils.go
// DeletePod: SuccessfulDelete), a garbage collector's and a user's deletion leave none.
// The revisions of the controller's template tell a rollout from scaling down.

// attribute completes the answer for a deleted pod with who deleted it, as far as that
// can be known.
func attribute(e *evidence.Evidence, a *answer) {
	d := &deletion{e: e, from: deletionRequested(&e.Pod).Add(-skew), to: e.Pod.DeletionTimestamp.Add(skew)}
	if e.Pod.DeletionTimestamp.IsZero() {
		d.from, d.to = time.Time{}, time.Time{}
	}
	d.decide()
	if d.jobDeadline {
		a.category, a.cause = record.Failure, "deadline_exceeded"
	}
	a.detail = d.detail
	if d.why != "" {
		a.summary = strings.TrimSuffix(a.summary, ".") + "; " + d.why + "."
	}
	if d.unsure && a.confidence == record.Confirmed {
		a.confidence = record.Likely
	}
	a.evidence = append(a.evidence, d.evidence...)
	a.alternatives = append(a.alternatives, d.alternatives...)
	a.missing = append(a.missing, d.missing...)
}

// deletion is the search for who deleted a pod between two times; both are zero where
// the time is not known at all.
type deletion struct {
	e        *evidence.Evidence
	from, to time.Time
	// said is when the controller says that it deleted the pod, zero where it does not.
	said        time.Time
	detail, why string
	jobDeadline bool
	// unsure tells that who it was follows from what the events do not say, or not yet.
	unsure       bool
	evidence     []record.Evidence
	alternatives []record.Alternative
	missing      []record.Missing
}

func (d *deletion) decide() {
	e, o := d.e, d.e.Owner
	if !podKnown(e) {
		return
	}
	if o != nil && !o.NamespaceDeleting.IsZero() && !d.to.IsZero() && !o.NamespaceDeleting.After(d.to) {
		d.found("namespace", "its namespace is being deleted")
		d.evidence = append(d.evidence, record.Evidence{Source: "owner", Object: "Namespace " + e.Pod.Namespace, Field: "metadata.deletionTimestamp",
			Value: o.NamespaceDeleting.UTC().Format(time.RFC3339), Time: o.NamespaceDeleting})
		return
	}
	if e.Pod.Owner == nil && (o == nil || len(o.Chain) == 0) {
		if !e.Pod.Static {
			d.found("direct", "it has no controller, so somebody deleted the pod itself")
			if o == nil {
				d.unsure = true
				d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "its namespace may have been deleted; it was not read"})
			}
		}
		return
	}
	if o == nil || len(o.Chain) == 0 {
		d.missing = append(d.missing, record.Missing{What: "controller of the pod", Why: "it would tell a rollout from scaling down; it was not read"})
		return
	}
	own := &o.Chain[0]
	if own.Kind == "Job" && d.job(own) {
		return
	}
	if ev := d.event(o, own); ev != nil {
		q := record.Evidence{Source: "event", Object: namespaced(e, ev.Object), Field: ev.Reason, Value: ev.Message, Time: ev.Last}
		d.evidence = append(d.evidence, q)
		d.said = ev.Last
		d.byController(own)
		return
	}
	for i := range o.Chain {
		c := &o.Chain[i]
		switch {
		case !c.DeletedAt.IsZero() && (d.to.IsZero() || !c.DeletedAt.After(d.to)):
			d.found("controller", fmt.Sprintf("its %s %s is being deleted", c.Kind, c.Name))
			d.evidence = append(d.evidence, ownerEvidence(e, c, "metadata.deletionTimestamp", c.DeletedAt.UTC().Format(time.RFC3339), c.DeletedAt))
			return
		case c.Gone:
			d.found("controller", fmt.Sprintf("its %s %s was deleted, and the pod with it", c.Kind, c.Name))
			d.evidence = append(d.evidence, ownerEvidence(e, c, "", "not found", time.Time{}))
			return
		}
	}
	d.withoutEvent(o, own)
}

func (d *deletion) found(detail, why string) { d.detail, d.why = detail, why }

// covers tells that an event's time lies where the deletion was asked for.
func (d *deletion) covers(t time.Time) bool {
	return !t.IsZero() && (d.to.IsZero() || !t.Before(d.from) && !t.After(d.to.Add(10*time.Second)))
}

// event returns the event by which a controller says that it deleted this pod, or scaled
// down the ReplicaSet that the pod belongs to; nil where there is none. The StatefulSet
// controller writes its own text (stateful_pod_control.go).
func (d *deletion) event(o *evidence.Owner, own *evidence.Controller) *evidence.Event {
	deleted, statefulSet := "Deleted pod: "+d.e.Pod.Name, "delete Pod "+d.e.Pod.Name+" in StatefulSet "
	scaled := "Scaled down replica set " + own.Name + " "
	var found *evidence.Event
	for i := range o.Events {
		ev := &o.Events[i]
		if !d.covers(ev.Last) {
			continue
		}
		switch {
		case ev.Reason == "SuccessfulDelete" && (ev.Message == deleted || strings.HasPrefix(ev.Message, statefulSet)):
			return ev
		case own.Kind == "ReplicaSet" && ev.Reason == "ScalingReplicaSet" && strings.HasPrefix(ev.Message, scaled):
			found = ev
		}
	}
	return found
}

// byController tells what the controller deleted the pod for.
func (d *deletion) byController(own *evidence.Controller) {
	e := d.e
	switch own.Kind {
	case "ReplicaSet":
		d.byReplicaSet(own)
	case "ReplicationController":
		d.found("scale_down", fmt.Sprintf("its %s %s scaled down", own.Kind, own.Name))
	case "Job":
		d.found("job", fmt.Sprintf("its Job %s deleted it", own.Name))
	case "StatefulSet", "DaemonSet":
		old, known := older(own.Revision, own.NewestRevision)
		switch {
		case surplus(e, own):
			// Those are deleted before any is replaced (stateful_set_control.go updateStatefulSet).
			d.found("scale_down", fmt.Sprintf("its StatefulSet %s scaled down to %d", own.Name, *own.Replicas))
			d.evidence = append(d.evidence, ownerEvidence(e, own, "spec.replicas", strconv.Itoa(int(*own.Replicas)), time.Time{}))
		case old:
			d.found("rollout", fmt.Sprintf("its %s %s rolled out a new revision", own.Kind, own.Name))
			d.evidence = append(d.evidence, d.revision(own, own)...)
		default:
			d.found("controller", fmt.Sprintf("its %s %s deleted it", own.Kind, own.Name))
			if !known {
				d.missing = append(d.missing, record.Missing{What: "revision of the " + own.Kind, Why: "it would tell a rollout from other reasons of the controller"})
			}
		}
	default:
		d.found("controller", fmt.Sprintf("its %s %s deleted it", own.Kind, own.Name))
	}
}

// byReplicaSet tells a rollout from scaling down: the Deployment counts its revisions,
// and scales down the ReplicaSets of all but the newest.
func (d *deletion) byReplicaSet(own *evidence.Controller) {
	chain := d.e.Owner.Chain
	if len(chain) < 2 {
		d.found("scale_down", fmt.Sprintf("its ReplicaSet %s scaled down", own.Name))
		return
	}
	top := &chain[1]
	old, known := older(own.Revision, top.NewestRevision)
	switch {
	case known && old:
		d.found("rollout", fmt.Sprintf("%s %s rolled out revision %s in place of the pod's revision %s", top.Kind, top.Name, top.NewestRevision, own.Revision))
		d.evidence = append(d.evidence, d.revision(own, top)...)
	case known && d.scaledUpOther(own):
		// A rollback gives the old ReplicaSet the newest revision, after it had lost its pods.
		d.found("rollout", fmt.Sprintf("%s %s scaled up another ReplicaSet in place of the pod's", top.Kind, top.Name))
	case known && own.Replicas != nil && top.Replicas != nil && *own.Replicas < *top.Replicas:
		// As with the strategy Recreate, which deletes the old pods before there is a new revision.
		d.unsure = true
		d.found("rollout", fmt.Sprintf("its ReplicaSet was scaled down to %d while %s %s asks for %d", *own.Replicas, top.Kind, top.Name, *top.Replicas))
		d.evidence = append(d.evidence, ownerEvidence(d.e, own, "spec.replicas", strconv.Itoa(int(*own.Replicas)), time.Time{}), ownerEvidence(d.e, top, "spec.replicas", strconv.Itoa(int(*top.Replicas)), time.Time{}))
		d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "the two may not have been read at the same time, and the " + top.Kind + " have scaled down"})
	case known && own.Revived && d.createdLater(own):
		d.unsure = true
		d.found("rollout", fmt.Sprintf("%s %s made pods of this ReplicaSet again later, when a rollback had given it the newest revision", top.Kind, top.Name))
		d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "the " + top.Kind + " may have scaled down after the rollback, and up again"})
	case known:
		// The controllers are read after the deletion: what a rollback has made the newest
		// since then was not the newest yet.
		if own.Revived {
			d.unsure = true
			d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "a rollback has given the ReplicaSet the newest revision: if that came later, a rollout deleted the pod"})
		}
		d.found("scale_down", fmt.Sprintf("%s %s scaled down", top.Kind, top.Name))
		d.evidence = append(d.evidence, d.revision(own, top)...)
		if r := top.Replicas; r != nil {
			d.why = fmt.Sprintf("%s %s scaled down to %d", top.Kind, top.Name, *r)
			d.evidence = append(d.evidence, ownerEvidence(d.e, top, "spec.replicas", strconv.Itoa(int(*r)), time.Time{}))
		}
	case d.scaledUpOther(own):
		d.found("rollout", fmt.Sprintf("%s %s scaled up another ReplicaSet in place of the pod's", top.Kind, top.Name))
	default:
		d.found("controller", fmt.Sprintf("its ReplicaSet %s deleted it", own.Name))
		d.missing = append(d.missing, record.Missing{What: "revisions of the " + top.Kind, Why: "they would tell a rollout from scaling down"})
	}
}

// scaledUpOther tells that the last ReplicaSet that the Deployment scaled up not long
// before was another one.
func (d *deletion) scaledUpOther(own *evidence.Controller) bool {
	var last *evidence.Event
	for i := range d.e.Owner.Events {
		ev := &d.e.Owner.Events[i]
		if ev.Reason != "ScalingReplicaSet" || !strings.HasPrefix(ev.Message, "Scaled up replica set ") || d.to.IsZero() ||
			ev.Last.Before(d.from.Add(-10*time.Minute)) || ev.Last.After(d.last()) {
			continue
		}
		if last == nil || !ev.Last.Before(last.Last) {
			last = ev
		}
	}
	if last == nil || strings.HasPrefix(last.Message, "Scaled up replica set "+own.Name+" ") {
		return false
	}
	d.evidence = append(d.evidence, record.Evidence{Source: "event", Object: namespaced(d.e, last.Object), Field: last.Reason, Value: last.Message, Time: last.Last})
	return true
}

// last is the end of the time in which the deletion was decided. All controllers have one
// clock: what they say that they did later, as in a rollback at once, was no reason.
func (d *deletion) last() time.Time {
	if !d.said.IsZero() && d.said.Before(d.to) {
		return d.said
	}
	return d.to
}

// createdLater tells that the ReplicaSet created a pod after this one was deleted.
func (d *deletion) createdLater(own *evidence.Controller) bool {
	for i := range d.e.Owner.Events {
		ev := &d.e.Owner.Events[i]
		if ev.Reason == "SuccessfulCreate" && strings.HasPrefix(ev.Message, "Created pod: "+own.Name+"-") && !d.to.IsZero() && ev.Last.After(d.last()) {
			d.evidence = append(d.evidence, record.Evidence{Source: "event", Object: namespaced(d.e, ev.Object), Field: ev.Reason, Value: ev.Message, Time: ev.Last})
			return true
		}
	}
	return false
}

// withoutEvent: the controllers are there, and none says that it deleted the pod.
func (d *deletion) withoutEvent(o *evidence.Owner, own *evidence.Controller) {
	if surplus(d.e, own) {
		d.unsure = true
		d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "the StatefulSet does not say that it deleted it: somebody may have deleted the pod itself before"})
		d.found("scale_down", fmt.Sprintf("its StatefulSet %s has no more than %d pods", own.Name, *own.Replicas))
		d.evidence = append(d.evidence, ownerEvidence(d.e, own, "spec.replicas", strconv.Itoa(int(*own.Replicas)), time.Time{}))
		return
	}
	if own.Kind == "StatefulSet" || own.Kind == "DaemonSet" {
		if old, _ := older(own.Revision, own.NewestRevision); old {
			d.found("rollout", fmt.Sprintf("its %s %s has a newer revision than the pod", own.Kind, own.Name))
			d.evidence = append(d.evidence, d.revision(own, own)...)
			d.unsure = true
			d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "somebody may have deleted the pod itself: no event of the controller says that it did"})
			return
		}
	}
	read := o.EventsRead && !d.from.IsZero() && (d.e.EventsSince.IsZero() || d.from.After(d.e.EventsSince))
	if read && writesEvents(own.Kind) {
		d.found("direct", fmt.Sprintf("its %s does not say that it deleted it, so somebody probably deleted the pod itself", own.Kind))
		d.unsure = true
		d.alternatives = append(d.alternatives, record.Alternative{Cause: "pod_deleted", Why: "the controller may have deleted it, if its event was lost: of many at once the API server gets 25"})
		return
	}
	if len(o.Chain) > 1 && own.Kind == "ReplicaSet" {
		if old, _ := older(own.Revision, o.Chain[1].NewestRevision); old {
			top := &o.Chain[1]
			d.unsure = true
			d.found("rollout", fmt.Sprintf("%s %s has rolled out revision %s since, the pod is of revision %s", top.Kind, top.Name, top.NewestRevision, own.Revision))
			d.evidence = append(d.evidence, d.revision(own, top)...)
		}
	}
	d.missing = append(d.missing, record.Missing{What: "events of the controller", Why: "they would tell whether it deleted the pod, or somebody else did; none of that time were read"})
}

// writesEvents tells controllers that write an event for each pod that they delete.
func writesEvents(kind string) bool {
	switch kind {
	case "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job":
		return true
	}
	return false
}

// job tells what a Job ended its pod for; false where the Job does not say.
func (d *deletion) job(own *evidence.Controller) bool {
	e := d.e
	for i := range own.Conditions {
		c := &own.Conditions[i]
		if c.Status != "True" || !d.to.IsZero() && !c.Time.IsZero() && (c.Time.Before(d.from) || c.Time.After(d.to.Add(time.Minute))) {
			continue
		}
		switch c.Type {
		case "Failed", "FailureTarget":
			if c.Reason == "DeadlineExceeded" {
				d.jobDeadline = true
				d.found("job", fmt.Sprintf("its Job %s ran longer than its activeDeadlineSeconds", own.Name))
				if s := own.DeadlineSeconds; s != nil {
					d.why += fmt.Sprintf(", which is %d", *s)
				}
			} else {
				d.found("job", fmt.Sprintf("its Job %s failed (%s) and ended the pods that still ran", own.Name, c.Reason))
			}
		case "Suspended":
			d.found("job", fmt.Sprintf("its Job %s was suspended", own.Name))
		case "SuccessCriteriaMet", "Complete":
			d.found("job", fmt.Sprintf("its Job %s is complete and ended the pods that still ran", own.Name))
		default:
			continue
		}
		d.evidence = append(d.evidence, ownerEvidence(e, own, "status.conditions["+c.Type+"].reason", c.Reason, c.Time))
		if c.Message != "" {
			d.evidence = append(d.evidence, ownerEvidence(e, own, "status.conditions["+c.Type+"].message", c.Message, c.Time))
		}
		return true
	}
	for i := range e.Owner.Events {
		ev := &e.Owner.Events[i]
		if ev.Reason == "DeadlineExceeded" && ev.Object == "Job "+own.Name && !d.to.IsZero() && !ev.Last.Before(d.from) && !ev.Last.After(d.to.Add(time.Minute)) {
			d.jobDeadline = true
			d.found("job", fmt.Sprintf("its Job %s ran longer than its activeDeadlineSeconds", own.Name))
			d.evidence = append(d.evidence, record.Evidence{Source: "event", Object: namespaced(e, ev.Object), Field: ev.Reason, Value: ev.Message, Time: ev.Last})
			return true
		}
	}
	if own.Gone || !own.DeletedAt.IsZero() {
		for i := range e.Owner.Events {
			ev := &e.Owner.Events[i]
			if ev.Reason == "SuccessfulDelete" && ev.Message == "Deleted job "+own.Name && d.covers(ev.Last) {
				d.found("job", fmt.Sprintf("its CronJob deleted the Job %s", own.Name))
				d.evidence = append(d.evidence, record.Evidence{Source: "event", Object: namespaced(e, ev.Object), Field: ev.Reason, Value: ev.Message, Time: ev.Last})
				return true
			}
		}
	}
	return false
}

// revision quotes the pod's revision and the newest one.
func (d *deletion) revision(own, top *evidence.Controller) []record.Evidence {
	if own == top {
		return []record.Evidence{
			func() record.Evidence {
				q := statusEvidence(d.e)("metadata.labels[controller-revision-hash]", own.Revision)
				q.Source = "pod-metadata"
				return q
			}(),
			ownerEvidence(d.e, own, "status.updateRevision", own.NewestRevision, time.Time{}),
		}
	}
	const annotation = "metadata.annotations[deployment.kubernetes.io/revision]"
	return []record.Evidence{
		ownerEvidence(d.e, own, annotation, own.Revision, time.Time{}),
		ownerEvidence(d.e, top, annotation, top.NewestRevision, time.Time{}),
	}
}

// older tells that a revision is not the newest one, and whether that is known. Those of
// a Deployment are numbers, those of others hashes.
func older(revision, newest string) (old, known bool) {
	if revision == "" || newest == "" {
		return false, false
	}
	r, errR := strconv.ParseInt(revision, 10, 64)
	n, errN := strconv.ParseInt(newest, 10, 64)
	if errR == nil && errN == nil {
		return r < n, true
	}
	return revision != newest, true
}

// surplus tells that a StatefulSet asks for no pod of this number.
func surplus(e *evidence.Evidence, own *evidence.Controller) bool {
	return own.Kind == "StatefulSet" && own.Replicas != nil && ordinal(e.Pod.Name) >= int(own.FirstOrdinal+*own.Replicas)
}

// ordinal is the number at the end of the name of a StatefulSet's pod, -1 where there is none.
func ordinal(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// owners are the workloads that the pod belongs to and that are not known to be gone, the
// topmost first.
func owners(e *evidence.Evidence) []record.Workload {
	var out []record.Workload
	if e.Owner != nil {
		for _, c := range slices.Backward(e.Owner.Chain) {
			if !c.Gone {
				out = append(out, record.Workload{Kind: c.Kind, Name: c.Name})
			}
		}
	}
	for _, o := range []*record.Workload{e.Pod.Workload, e.Pod.Owner} {
		if o != nil {
			out = append(out, *o)
		}
	}
	return out
}
