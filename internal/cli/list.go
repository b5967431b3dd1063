package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

type listOptions struct {
	source    sourceFlags
	output    outputFlags
	filter    filterFlags
	issues    issueFlags
	from      string
	store     string
	file      string
	node      string
	causes    []string
	since     time.Duration
	limit     int
	ungrouped bool
}

func newList(e *environment) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List issues, the most pressing first",
		Long: `List issues: the stops of a container of a workload that have one cause, or what keeps it
from going on. An incident is what hit several workloads at once, such as a node that
rebooted; those of failures come first, and those of disruptions last. Issues that are
wholly a part of one are folded into its line (--unfold).

An issue is new for a day, ongoing then, escalating while it stops far more often than the
day before, regressed where it came back after it was resolved, and resolved when a person
says so (resolve), its image was replaced, or it has been silent for long. By default
those that are resolved, muted or archived are left out, and so is what somebody wanted to
happen, such as a rollout: a line at the end says how many. TREND is over the last 24 hours,
or over --since.

With --ungrouped it lists the single stops and stalls, newest first; RAN says how long
a stall lasts, with a plus while it does.

It reads the history that serve keeps, or, where there is none, what the cluster's own
statuses still show; or a recorded state of a cluster (--file, see analyze).

Exit codes: 0 something was found, 1 error, 2 nothing to report.`,
		Example: `  whyrestart list -A
  whyrestart list -n shop --since 2h -o wide
  whyrestart list --node node-17 --category all
  whyrestart list --state resolved,muted
  whyrestart list -A --ungrouped --since 10m
  whyrestart list --file must-gather.tar.gz -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.issues.given = cmd.Flags().Changed
			return runList(cmd.Context(), e, o)
		},
	}
	o.source.add(cmd.Flags())
	o.source.settings.add(cmd.Flags())
	o.output.add(cmd.Flags(), "wide", "json", "yaml", "jsonl", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	o.filter.addKind(cmd.Flags())
	o.issues.add(cmd.Flags())
	f := cmd.Flags()
	f.BoolVar(&o.ungrouped, "ungrouped", false, "single stops and stalls in place of issues")
	f.StringVar(&o.node, "node", "", "only what happened on this node")
	f.StringSliceVar(&o.causes, "cause", nil, "only these causes, such as oom_killed (see codes)")
	f.StringVar(&o.from, "source", "auto", "where from: store, cluster, or auto (the store if there is one)")
	addStore(f, &o.store)
	f.StringVarP(&o.file, "file", "f", "", "recorded state of a cluster to look at, as analyze takes it; - for stdin")
	f.DurationVar(&o.since, "since", 0, "only what is of the last while, such as 24h")
	f.IntVar(&o.limit, "limit", 0, "at most this many; 0 means all")
	completeFilters(cmd)
	completeOutput(cmd, &o.output)
	o.issues.complete(cmd)
	completeFlag(cmd, "source", "auto", "store", "cluster")
	return cmd
}

func (o *listOptions) check() error {
	switch {
	case o.since < 0:
		return fmt.Errorf("--since=%s: want a while from now back, such as 24h", o.since)
	case o.limit < 0:
		return fmt.Errorf("--limit=%d: want a number from 0 on", o.limit)
	case o.from != "auto" && o.from != "store" && o.from != "cluster":
		return fmt.Errorf("--source=%s: want auto, store or cluster", o.from)
	case o.file != "" && o.issues.given("source"):
		return errors.New("--file and --source exclude each other")
	case o.file != "" && o.issues.given("store"):
		return errors.New("--file and --store exclude each other")
	}
	for _, c := range o.causes {
		if err := knownCause("--cause", c); err != nil {
			return err
		}
	}
	return nil
}

func runList(ctx context.Context, e *environment, o *listOptions) error {
	if err := firstError(o.output.check, o.filter.check, o.check); err != nil {
		return err
	}
	if o.from == "auto" {
		o.from = "store"
		if !app.StoreThere(o.store) {
			o.from = "cluster"
		}
	}
	if o.file != "" {
		o.from = "file"
	}
	if o.from == "store" && o.source.selector != "" {
		return errors.New("--selector: the history keeps no labels of pods; see --source=cluster")
	}
	if !o.ungrouped {
		return runIssues(ctx, e, o)
	}
	if err := o.issues.unused(); err != nil {
		return err
	}
	var doc record.Document
	var several bool
	var err error
	if o.from == "store" {
		namespaces := o.source.storeNamespaces()
		several = len(namespaces) != 1
		doc, err = o.recordsOfStore(ctx, namespaces)
	} else {
		doc, several, err = o.recordsOfLook(ctx, e)
	}
	if err != nil {
		return err
	}
	return o.output.findings(e, doc, several)
}

// look finds what the cluster, or a recorded state of one, still shows, and tells whether it
// may be of several namespaces.
func (o *listOptions) look(ctx context.Context, e *environment) (found []pipeline.Finding, c record.Coverage, several bool, err error) {
	if o.from == "file" {
		filter, err := o.source.podFilter()
		if err != nil {
			return nil, c, false, err
		}
		found, c, err = o.source.lookInto(ctx, e, o.file, filter)
		return found, c, len(o.source.namespaces) != 1, err
	}
	// Which issue a stop belongs to depends on the last words of the program.
	s, err := o.source.source(!o.ungrouped)
	if err != nil {
		return nil, c, false, err
	}
	defer e.progress("Reading the cluster")()
	found, c, err = app.Look(ctx, s, nil, e.logger(quiet))
	return found, c, len(s.Namespaces) != 1, err
}

func (o *listOptions) recordsOfLook(ctx context.Context, e *environment) (doc record.Document, several bool, err error) {
	found, coverage, several, err := o.look(ctx, e)
	if err != nil {
		return doc, several, err
	}
	asOf := app.AsOf(found, o.from == "file")
	if o.from == "file" {
		o.output.asOf = asOf
	}
	doc = app.Document(found, coverage)
	newestFirst(doc.Findings)
	doc.Findings = o.filter.keep(doc.Findings)
	if o.since > 0 {
		doc.Findings = since(doc.Findings, asOf.Add(-o.since))
	}
	doc.Findings = slices.DeleteFunc(doc.Findings, func(r record.Record) bool {
		return o.node != "" && r.Node != o.node || len(o.causes) > 0 && !slices.Contains(o.causes, r.Diagnosis.Cause)
	})
	if o.limit > 0 && len(doc.Findings) > o.limit {
		doc.Findings = doc.Findings[:o.limit]
	}
	return doc, several, nil
}

func (o *listOptions) recordsOfStore(ctx context.Context, namespaces []string) (doc record.Document, err error) {
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return doc, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := store.Query{
		Cluster:    o.source.cluster,
		Namespaces: namespaces,
		Container:  o.filter.container,
		Node:       o.node,
		Kind:       record.Kind(o.filter.kind),
		Categories: o.filter.wanted(),
		Causes:     o.causes,
	}
	if o.since > 0 {
		q.Since = time.Now().Add(-o.since)
	}
	doc.Schema = record.Schema
	for {
		if o.limit > 0 {
			q.Limit = min(500, o.limit-len(doc.Findings))
		}
		page, next, err := db.List(ctx, q)
		if err != nil {
			return doc, err
		}
		page = slices.DeleteFunc(page, func(r record.Record) bool { return slices.Contains(o.source.exclude, r.Namespace) })
		doc.Findings = append(doc.Findings, page...)
		if next == "" || o.limit > 0 && len(doc.Findings) >= o.limit {
			break
		}
		q.Cursor = next
	}
	doc.Coverage, err = app.StoreCoverage(ctx, db, o.source.cluster, doc.Findings, q.Since)
	return doc, err
}
