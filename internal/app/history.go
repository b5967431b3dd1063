package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// StoreCoverage sums up what a history says of the records that were found in it, and
// when it saw nothing since a time (zero: since ever).
func StoreCoverage(ctx context.Context, r store.Reader, cluster string, found []record.Record, since time.Time) (record.Coverage, error) {
	gaps, err := StoredGaps(ctx, r, cluster, nil, since)
	if err != nil {
		return record.Coverage{}, err
	}
	c := record.Coverage{Gaps: gaps}
	pods := make(map[string]bool)
	for i := range found {
		pods[found[i].PodUID] = true
	}
	c.Pods = len(pods)
	c.Stops, c.Missed = sum(found)
	return c, nil
}

const (
	// alikeKept is how many other pods of a workload tell what is usual for it, alikeOf how many
	// workloads are looked at.
	alikeKept, alikeOf = 10, 10
	// alikeLooked is how many records are looked through for them.
	alikeLooked = 200
)

// Alike returns from a history the newest findings of other pods of the workloads of what
// was found, one of each pod, with their evidence: to tell what is usual. What cannot be
// read is left out.
func Alike(ctx context.Context, r store.Reader, found []pipeline.Finding) []pipeline.Finding {
	var out []pipeline.Finding
	pods := make(map[string]bool)
	var asked []sibling
	for i := range found {
		pods[found[i].Record.PodUID] = true
	}
	for i := range found {
		of := siblingOf(&found[i].Record)
		if of == (sibling{}) || slices.Contains(asked, of) || len(asked) == alikeOf {
			continue
		}
		asked = append(asked, of)
		records, _, err := r.List(ctx, store.Query{Cluster: of.cluster, Namespaces: []string{of.namespace}, Workload: &of.workload, Limit: alikeLooked})
		if err != nil {
			continue
		}
		kept := 0
		for j := range records {
			rec := &records[j]
			if kept == alikeKept || pods[rec.PodUID] {
				continue
			}
			pods[rec.PodUID] = true
			e, err := r.Evidence(ctx, rec.ID)
			if errors.Is(err, store.ErrNotFound) {
				pods[rec.PodUID] = false // another record of it may have some
				continue
			}
			if err != nil {
				break
			}
			kept++
			out = append(out, pipeline.Finding{Record: *rec, Evidence: e})
		}
	}
	return out
}

// sibling is what pods of one workload share.
type sibling struct {
	cluster, namespace string
	workload           record.Workload
}

// siblingOf returns the zero sibling for a pod that has no workload.
func siblingOf(r *record.Record) sibling {
	if r.Workload == nil || r.Workload.Kind == "Pod" {
		return sibling{}
	}
	return sibling{r.Cluster, r.Namespace, *r.Workload}
}

// AddUsual says of the steps in the lives of findings how long they usually take, as far
// as other pods of the same workload are among the findings or what is given beside them.
func AddUsual(found, beside []pipeline.Finding) {
	type life struct {
		pod   string
		steps []record.LifeStep
	}
	lives := make(map[sibling][]life)
	for _, list := range [][]pipeline.Finding{found, beside} {
		for i := range list {
			f := &list[i]
			of := siblingOf(&f.Record)
			if of == (sibling{}) || f.Evidence.Version == "" || slices.ContainsFunc(lives[of], func(l life) bool { return l.pod == f.Record.PodUID }) {
				continue
			}
			lives[of] = append(lives[of], life{f.Record.PodUID, diagnose.Life(&f.Evidence)})
		}
	}
	for i := range found {
		r := &found[i].Record
		var others [][]record.LifeStep
		for _, l := range lives[siblingOf(r)] {
			if l.pod != r.PodUID {
				others = append(others, l.steps)
			}
		}
		r.Life = diagnose.Usual(r.Life, others)
	}
}
