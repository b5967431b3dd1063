package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// ErrNoIssue tells that there is no issue, or no incident, of an ID.
var ErrNoIssue = errors.New("there is no such issue")

// Issues are those of a history, or those that findings make, with their states.
type Issues struct {
	Issues    []issue.Issue
	Incidents []issue.Incident
	Coverage  record.Coverage
	// AsOf is when they were as they are.
	AsOf time.Time
}

// StoredIssues returns the issues of a history that match, and the incidents of which they
// can be a part, the newest first.
func StoredIssues(ctx context.Context, r store.Reader, q store.IssueQuery, now time.Time) (Issues, error) {
	out := Issues{AsOf: now}
	for {
		page, next, err := r.Issues(ctx, q)
		if err != nil {
			return out, err
		}
		out.Issues = append(out.Issues, page...)
		if next == "" {
			break
		}
		q.Cursor = next
	}
	incidents, err := r.Incidents(ctx, store.IncidentQuery{Cluster: q.Cluster, Node: q.Node, Since: q.Since})
	if err != nil {
		return out, err
	}
	out.Incidents = concern(incidents, &q)
	out.setStates()
	gaps, err := StoredGaps(ctx, r, q.Cluster, q.Namespaces, q.Since)
	if err != nil {
		return out, err
	}
	out.Coverage = issueCoverage(out.Issues)
	out.Coverage.Gaps = gaps
	stats, err := r.Stats(ctx)
	if n := stats.Ungrouped; n > 0 {
		out.Coverage.Missing = append(out.Coverage.Missing, record.Missing{
			What: fmt.Sprintf("%d of the stops and stalls", n),
			Why:  "an earlier version stored them, and serve has not counted them in their issues yet; --ungrouped lists them",
		})
	}
	return out, err
}

// GroupIssues makes issues of findings that nobody keeps, and returns those that match.
func GroupIssues(found []pipeline.Finding, coverage record.Coverage, q store.IssueQuery, now time.Time) Issues {
	issues, incidents := issue.Group(Records(latest(found)), now)
	issues = slices.DeleteFunc(issues, func(i issue.Issue) bool { return !matches(&q, &i) })
	incidents = slices.DeleteFunc(incidents, func(i issue.Incident) bool {
		return !i.Shown() || i.Last.Before(q.Since) || q.Node != "" && (i.Kind != issue.OnNode || i.Subject != q.Node) && !has(i.Nodes, q.Node)
	})
	out := Issues{Issues: issues, Incidents: concern(incidents, &q), Coverage: coverage, AsOf: now}
	out.setStates()
	return out
}

// Merge tells findings of recorded pods which groups merge rules put them into.
func Merge(found []pipeline.Finding, rules *issue.Rules) {
	for i := range found {
		found[i].Record.Group = rules.Group(&found[i].Record)
	}
}

func (s *Issues) setStates() {
	for i := range s.Issues {
		s.Issues[i].State = s.Issues[i].At(s.AsOf)
	}
}

// matches tells what a store would select.
func matches(q *store.IssueQuery, i *issue.Issue) bool {
	switch {
	case len(q.Namespaces) > 0 && !slices.Contains(q.Namespaces, i.Namespace),
		q.Workload != nil && *q.Workload != i.Workload,
		q.Container != "" && q.Container != i.Container,
		q.Node != "" && !has(i.Nodes, q.Node),
		q.Kind != "" && q.Kind != i.Kind,
		len(q.Categories) > 0 && !slices.Contains(q.Categories, i.Category),
		len(q.Causes) > 0 && !slices.Contains(q.Causes, i.Cause),
		i.Last.Before(q.Since) && i.Open == 0:
		return false
	}
	return true
}

func has(t issue.Tally, value string) bool {
	return slices.ContainsFunc(t.Values, func(c issue.Count) bool { return c.Value == value })
}

// concern keeps the incidents that have to do with what is asked for.
func concern(incidents []issue.Incident, q *store.IssueQuery) []issue.Incident {
	return slices.DeleteFunc(incidents, func(in issue.Incident) bool {
		if q.Kind == record.KindStall && in.Stalls == 0 || q.Kind == record.KindStop && in.Stalls == in.Count {
			return true
		}
		if len(q.Causes) > 0 && !slices.ContainsFunc(in.Causes.Values, func(c issue.Count) bool {
			cause, _, _ := strings.Cut(c.Value, "/") // with its detail
			return slices.Contains(q.Causes, cause)
		}) {
			return true
		}
		return len(q.Namespaces) > 0 && !slices.ContainsFunc(in.Workloads.Values, func(w issue.Count) bool {
			ns, _, _ := strings.Cut(w.Value, "/")
			return slices.Contains(q.Namespaces, ns)
		})
	})
}

// issueCoverage sums up what issues count.
func issueCoverage(issues []issue.Issue) record.Coverage {
	var c record.Coverage
	pods := make(map[string]bool)
	for i := range issues {
		in := &issues[i]
		if in.Kind == record.KindStop {
			c.Stops += int(in.Count)
			c.Missed += int(in.Missed)
		}
		for _, p := range in.Pods.Values {
			pods[in.Cluster+"/"+in.Namespace+"/"+p.Value] = true
		}
	}
	c.Pods = len(pods)
	return c
}

// SeenIssue is what was found of an issue.
type SeenIssue struct {
	Issue     issue.Issue
	Incidents []issue.Incident
	// Newest is its newest record of those that are known best, with what is known around it, and
	// nothing where none is kept any more.
	Newest Seen
	AsOf   time.Time
}

// StoredIssue returns what a history knows of an issue.
func StoredIssue(ctx context.Context, r store.Reader, id string, now time.Time) (SeenIssue, error) {
	out := SeenIssue{AsOf: now}
	i, err := FindIssue(ctx, r, id)
	if err != nil {
		return out, err
	}
	i.State = i.At(now)
	out.Issue = i
	for _, v := range i.Incidents.Values {
		in, err := r.Incident(ctx, v.Value)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return out, err
		case in.Shown():
			out.Incidents = append(out.Incidents, in)
		}
	}
	for _, id := range telling(&i) {
		rec, err := r.Get(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound): // retention took it
			continue
		case err != nil:
			return out, err
		}
		out.Newest, err = withContext(ctx, r, []pipeline.Finding{{Record: rec}})
		return out, err
	}
	return out, nil
}

// telling are the IDs of the records that tell most of an issue: the newest of those that are
// known best, and the newest of all.
func telling(i *issue.Issue) []string {
	var out []string
	for _, id := range []string{i.Best, i.Newest} {
		if id != "" {
			out = append(out, id)
		}
	}
	return out
}

// FindIssue returns an issue by its ID, by that of one which it absorbed, or by the beginning
// of its ID.
func FindIssue(ctx context.Context, r store.Reader, id string) (issue.Issue, error) {
	found, err := r.Issue(ctx, id)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return found, err
	}
	var all []issue.Issue
	var q store.IssueQuery
	for {
		page, next, err := r.Issues(ctx, q)
		if err != nil {
			return found, err
		}
		for i := range page {
			if this := page[i].ID; len(id) < len(this) && strings.EqualFold(this[:len(id)], id) {
				all = append(all, page[i])
			}
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	one, err := withPrefix(id, all, func(i *issue.Issue) string { return i.ID })
	if err != nil {
		return found, noIssue(id, err)
	}
	return *one, nil
}

func noIssue(id string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%s: %w", id, ErrNoIssue)
	case errors.Is(err, store.ErrAmbiguous):
		return fmt.Errorf("%s is the beginning of several IDs: %w", id, err)
	}
	return err
}

// GroupedIssue returns what findings that nobody keeps tell of an issue.
func GroupedIssue(found []pipeline.Finding, coverage record.Coverage, id string, now time.Time) (SeenIssue, error) {
	found = latest(found)
	records := Records(found)
	issues, incidents := issue.Group(records, now)
	out := SeenIssue{AsOf: now, Newest: Seen{Coverage: coverage}}
	one, err := withPrefix(id, issues, func(i *issue.Issue) string { return i.ID })
	if err != nil {
		return out, noIssue(id, err)
	}
	out.Issue = *one
	out.Issue.State = out.Issue.At(now)
	for i := range incidents {
		if incidents[i].Shown() && has(out.Issue.Incidents, incidents[i].ID) {
			out.Incidents = append(out.Incidents, incidents[i])
		}
	}
	for _, id := range telling(&out.Issue) {
		for i := range found {
			if found[i].Record.ID == id {
				out.Newest.Findings = found[i : i+1]
				return out, nil
			}
		}
	}
	return out, nil
}

// withPrefix returns the only one whose ID is that, or begins so; store.ErrNotFound or
// store.ErrAmbiguous otherwise. What all IDs begin with names none, not even where there is
// only one: it is what is left of an ID that a script failed to put in.
func withPrefix[T any](id string, all []T, of func(*T) string) (*T, error) {
	var found *T
	for i := range all {
		switch this := of(&all[i]); {
		case strings.EqualFold(this, id):
			return &all[i], nil
		case len(id) < len(this) && strings.EqualFold(this[:len(id)], id):
			if found != nil {
				return nil, store.ErrAmbiguous
			}
			found = &all[i]
		}
	}
	if found == nil || len(id) <= len("WR-") {
		return nil, store.ErrNotFound
	}
	return found, nil
}

// comparing is issue.Compare for values.
func comparing(now time.Time) func(a, b issue.Issue) int {
	compare := issue.Compare(now)
	return func(a, b issue.Issue) int { return compare(&a, &b) }
}

// SetStates fills in the states of the issues that records belong to, as they are now.
func SetStates(ctx context.Context, r store.Reader, found []pipeline.Finding, now time.Time) error {
	for i := range found {
		ref := found[i].Record.Issue
		if ref == nil || ref.ID == "" {
			continue
		}
		one, err := r.Issue(ctx, ref.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		ref.State = string(one.At(now))
		ref.Count, ref.Pods, ref.MorePods = one.Count+one.Missed, len(one.Pods.Values), one.Pods.More
	}
	return nil
}
