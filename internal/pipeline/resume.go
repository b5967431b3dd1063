package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// resumeFor is how old a stop may be whose collecting is gone on with, resumeMost how many are:
	// the newest. After that, log and events have moved on to later instances.
	resumeFor  = 10 * time.Minute
	resumeMost = 200
)

// loadUnfinished finds the stops for which an earlier run did not get to collect everything, as it was
// ended before that: their evidence says so. Detection does not depend on it: what cannot be
// read is left as it is.
func (r *Runtime) loadUnfinished(ctx context.Context) {
	found, _, err := r.opts.Archive.List(ctx, store.Query{
		Cluster: r.opts.Cluster, Kind: record.KindStop, Categories: []record.Category{record.Failure, record.Disruption},
		Since: r.opts.Now().Add(-resumeFor), Limit: resumeMost,
	})
	for i := range found {
		if err != nil {
			break
		}
		if !r.opts.Shard.Contains(found[i].Namespace) || !inScopes(r.opts.Scopes, found[i].Namespace) {
			continue
		}
		var f Finding
		f.Evidence, err = r.opts.Archive.Evidence(ctx, found[i].ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && !f.Evidence.Partial {
			err = nil
			continue
		}
		if err == nil {
			f.Record, err = r.opts.Archive.Get(ctx, found[i].ID)
		}
		if err == nil && f.Record.Stop != nil {
			f.Record.Issue, f.Refined = nil, true
			r.unfinished = append(r.unfinished, f)
		}
	}
	if err != nil {
		r.opts.Logger.Warn("cannot tell what was not collected before the last end", "err", fmt.Errorf("read the newest stops: %w", err))
	}
	slices.Reverse(r.unfinished) // the oldest first, as they were found
}

// resume hands to the collectors what an earlier run left unfinished in a scope that was listed. Its
// records replace themselves; one of which nothing more is learned is not told again. The caller
// holds mu.
func (r *Runtime) resume(scope string, pods []Object) {
	var mine []Finding
	r.unfinished = slices.DeleteFunc(r.unfinished, func(f Finding) bool {
		if scope != "" && f.Record.Namespace != scope {
			return false
		}
		mine = append(mine, f)
		return true
	})
	if len(mine) == 0 {
		return
	}
	at := make(map[string]*Object, len(pods))
	for i := range pods {
		at[pods[i].View.UID] = &pods[i]
	}
	for i := range mine {
		f := &mine[i]
		if _, open := r.open[f.Record.ID]; open {
			continue // it has another label since, and is collected for
		}
		if o := at[f.Record.PodUID]; o != nil {
			f.Pod, f.Previous = resumed(o, &f.Record)
		}
		if f.Pod == nil && f.Record.Log == nil && f.Record.ContainerID != "" {
			f.Record.Log = &record.Log{Missing: "not captured: whyrestart was ended before it was read, and the pod is gone"}
			miss(&f.Evidence, whatLog, f.Record.Log.Missing)
		}
		if !r.collect(*f) {
			return // there is newer work than the collectors can do
		}
	}
}

// resumed returns the pod of a stop, and whether the instance was followed by another one.
func resumed(o *Object, rec *record.Record) (pod *corev1.Pod, previous bool) {
	pod, err := full(o)
	if err != nil {
		return nil, false // it is told where the pod is read for its own sake
	}
	i := slices.IndexFunc(o.View.Containers, func(c detect.Container) bool { return c.Type == rec.ContainerType && c.Name == rec.Container })
	return pod, i >= 0 && o.View.Containers[i].ContainerID != rec.ContainerID
}
