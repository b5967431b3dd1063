package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// issueFlags choose and order issues.
type issueFlags struct {
	states []string
	unfold bool
	sortBy string
	// given tells which flags of the command were.
	given func(string) bool
}

func (f *issueFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.states, "state", nil, "only these states: "+strings.Join(stateNames(), ", ")+", or all (default new,ongoing,escalating,regressed)")
	flags.BoolVar(&f.unfold, "unfold", false, "also show the issues that are wholly a part of an incident, and all incidents of disruptions")
	flags.StringVar(&f.sortBy, "sort-by", "", "order by "+strings.Join(sortNames(), ", ")+" (default: the most pressing first)")
}

func (f *issueFlags) complete(cmd *cobra.Command) {
	completeFlag(cmd, "state", append(stateNames(), "all")...)
	completeFlag(cmd, "sort-by", sortNames()...)
}

func stateNames() []string {
	var out []string
	for _, s := range issue.States() {
		out = append(out, string(s))
	}
	return out
}

// unused refuses what makes no sense for single stops.
func (f *issueFlags) unused() error {
	for _, name := range []string{"state", "unfold", "sort-by"} {
		if f.given(name) {
			return fmt.Errorf("--%s is about issues, and --ungrouped lists single stops", name)
		}
	}
	return nil
}

func (f *issueFlags) check() error {
	for _, s := range f.states {
		if s != "all" && !slices.Contains(issue.States(), issue.State(s)) {
			return fmt.Errorf("--state=%s: want one of %s, or all", s, strings.Join(stateNames(), ", "))
		}
	}
	if f.sortBy != "" && orders(time.Time{})[f.sortBy] == nil {
		return fmt.Errorf("--sort-by=%s: want one of %s", f.sortBy, strings.Join(sortNames(), ", "))
	}
	return nil
}

// wants tells whether issues of a state are shown.
func (f *issueFlags) wants(s issue.State) bool {
	if len(f.states) == 0 {
		return s.Active()
	}
	return slices.Contains(f.states, "all") || slices.Contains(f.states, string(s))
}

// orders are the orders of lists by their names: the largest and the newest first, names
// from a to z. What is equal is in the usual order.
func orders(now time.Time) map[string]func(a, b *issue.Issue) int {
	return map[string]func(a, b *issue.Issue) int{
		"last":  func(a, b *issue.Issue) int { return b.Last.Compare(a.Last) },
		"first": func(a, b *issue.Issue) int { return b.First.Compare(a.First) },
		"stops": func(a, b *issue.Issue) int { return cmp.Compare(b.Count+b.Missed, a.Count+a.Missed) },
		"pods":  func(a, b *issue.Issue) int { return cmp.Compare(len(b.Pods.Values), len(a.Pods.Values)) },
		"state": func(a, b *issue.Issue) int {
			return cmp.Compare(slices.Index(issue.States(), a.State), slices.Index(issue.States(), b.State))
		},
		"namespace": func(a, b *issue.Issue) int { return cmp.Compare(a.Namespace, b.Namespace) },
		"workload": func(a, b *issue.Issue) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(printer.IssueWorkload(a), printer.IssueWorkload(b)))
		},
		"container": func(a, b *issue.Issue) int { return cmp.Compare(a.Container, b.Container) },
		"cause":     func(a, b *issue.Issue) int { return cmp.Compare(a.Cause, b.Cause) },
		"id":        func(a, b *issue.Issue) int { return cmp.Compare(a.ID, b.ID) },
		"pressing":  issue.Compare(now),
	}
}

func sortNames() []string {
	return []string{"pressing", "last", "first", "stops", "pods", "state", "namespace", "workload", "container", "cause", "id"}
}

func runIssues(ctx context.Context, e *environment, o *listOptions) error {
	if err := o.issues.check(); err != nil {
		return err
	}
	q := store.IssueQuery{
		Cluster:   o.source.cluster,
		Container: o.filter.container,
		Node:      o.node,
		Kind:      record.Kind(o.filter.kind),
		Causes:    o.causes,
	}
	seen, several, err := o.findIssues(ctx, e, q)
	if err != nil {
		return err
	}
	return o.showIssues(e, seen, several)
}

// longestSilence is how long an issue can be silent that is not resolved by that; see
// issue.Issue.At.
const longestSilence = 14 * 24 * time.Hour

// findIssues returns the issues of all states and categories, so that those which are not
// shown can be counted.
func (o *listOptions) findIssues(ctx context.Context, e *environment, q store.IssueQuery) (seen app.Issues, several bool, err error) {
	if o.from != "store" {
		found, coverage, several, err := o.look(ctx, e)
		if err != nil {
			return seen, several, err
		}
		now := app.AsOf(found, o.from == "file")
		if o.since > 0 {
			q.Since = now.Add(-o.since)
		}
		return app.GroupIssues(found, coverage, q, now), several, nil
	}
	q.Namespaces = o.source.storeNamespaces()
	now := time.Now()
	switch {
	case o.since > 0:
		q.Since = now.Add(-o.since)
	case len(o.issues.states) == 0:
		q.Since = now.Add(-longestSilence) // what is older is resolved, and may be very much
	}
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return seen, several, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	seen, err = app.StoredIssues(ctx, db, q, now)
	return seen, len(q.Namespaces) != 1, err
}

// showIssues chooses, orders and prints.
func (o *listOptions) showIssues(e *environment, seen app.Issues, several bool) error {
	hidden := printer.Hidden{States: make(map[issue.State]int), Categories: make(map[record.Category]int)}
	wanted := o.filter.wanted()
	issues := slices.DeleteFunc(seen.Issues, func(i issue.Issue) bool {
		switch {
		case slices.Contains(o.source.exclude, i.Namespace):
		case wanted != nil && !slices.Contains(wanted, i.Category):
			hidden.Categories[i.Category]++
		case !o.issues.wants(i.State):
			hidden.States[i.State]++
		default:
			return false
		}
		return true
	})
	incidents := slices.DeleteFunc(seen.Incidents, func(in issue.Incident) bool { return !o.wantsIncident(&in, wanted, seen.AsOf) })
	slices.SortStableFunc(incidents, printer.CompareIncidents)
	pressing := issue.Compare(seen.AsOf)
	order := cmp.Or(o.issues.sortBy, "pressing")
	slices.SortStableFunc(issues, func(a, b issue.Issue) int { return cmp.Or(orders(seen.AsOf)[order](&a, &b), pressing(&a, &b)) })

	people := o.output.format == "" || o.output.format == "wide"
	if people && !o.issues.unfold {
		all := len(issues)
		issues = issue.Fold(issues, incidents)
		hidden.Folded = all - len(issues)
		all = len(incidents)
		incidents = foremost(incidents)
		hidden.Incidents = all - len(incidents)
	}
	if o.limit > 0 && len(issues) > o.limit {
		hidden.Beyond = len(issues) - o.limit
		issues = issues[:o.limit]
	}
	doc := issue.Document{Schema: record.Schema, Issues: issues, Incidents: incidents, Coverage: seen.Coverage}
	if people {
		sayMissing(e.Err, doc.Coverage.Missing)
		window := o.since
		if window <= 0 {
			window = printer.DefaultWindow
		}
		sayGaps(e.Err, doc.Coverage.Gaps, seen.AsOf.Add(-window))
		if err := o.issueTable(e, doc, seen.AsOf, several); err != nil {
			return err
		}
	} else if err := o.output.issues(e, doc); err != nil {
		return err
	}
	nothing := len(issues) == 0 && (len(incidents) == 0 || !people)
	if nothing && o.output.structured() {
		return errNothing
	}
	if nothing {
		fmt.Fprintln(e.Err, "No issues found.")
	}
	if text := hidden.String(); text != "" && people {
		if !nothing {
			fmt.Fprintln(e.Err)
		}
		fmt.Fprintln(e.Err, text)
	}
	if nothing {
		return errNothing
	}
	return nil
}

// disruptions is how many incidents without a failure are shown: a person who drains a cluster
// makes one of every node.
const disruptions = 3

// foremost leaves out all but the newest incidents that are of disruptions alone. They are in
// the order of printer.CompareIncidents.
func foremost(incidents []issue.Incident) []issue.Incident {
	for i := range incidents {
		if printer.IncidentCategory(&incidents[i]) != record.Failure {
			return incidents[:min(len(incidents), i+disruptions)]
		}
	}
	return incidents
}

// wantsIncident tells whether an incident is of what is asked for: of what was lately,
// where no flag says otherwise.
func (o *listOptions) wantsIncident(in *issue.Incident, wanted []record.Category, now time.Time) bool {
	if len(o.issues.states) == 0 {
		if o.since <= 0 && in.Last.Before(now.Add(-printer.DefaultWindow)) {
			return false
		}
	} else if !slices.ContainsFunc(issue.States(), func(s issue.State) bool { return s.Active() && o.issues.wants(s) }) {
		return false
	}
	return wanted == nil || slices.ContainsFunc(in.Categories.Values, func(c issue.Count) bool {
		return slices.Contains(wanted, record.Category(c.Value))
	})
}

func (o *listOptions) issueTable(e *environment, doc issue.Document, asOf time.Time, several bool) error {
	color, err := e.colored()
	if err != nil {
		return err
	}
	clusters := make(map[string]bool)
	for i := range doc.Issues {
		clusters[doc.Issues[i].Cluster] = true
	}
	return printer.IssueTable{
		TableOptions: printer.TableOptions{
			Wide: o.output.format == "wide", Namespace: several, Absolute: o.output.absolute, AsOf: asOf, Color: color, Now: time.Now(),
		},
		Width: terminalWidth(e.Out), ASCII: asciiOnly(), Window: o.since, Cluster: len(clusters) > 1,
	}.Write(e.Out, doc.Issues, doc.Incidents)
}

// issues prints a document of issues in a format for programs.
func (f *outputFlags) issues(e *environment, d issue.Document) error {
	if d.Issues == nil {
		d.Issues = []issue.Issue{} // "[]" in JSON, not "null"
	}
	if d.Incidents == nil {
		d.Incidents = []issue.Incident{}
	}
	_, err := forPrograms(f, e.Out, d, d.Issues, printer.IssueName)
	return err
}
