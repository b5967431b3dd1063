package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

type listOptions struct {
	source sourceFlags
	output outputFlags
	filter filterFlags
	from   string
	store  string
	since  time.Duration
	limit  int
}

func newList(e *environment) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List container stops and stalls, newest first",
		Long: `List container stops and stalls, newest first, from the history that serve keeps, or from
what the cluster's own statuses still show. A stall is a container or pod that cannot
start, become ready or go away; RAN says how long it lasts, with a plus while it does.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), e, o) },
	}
	o.source.add(cmd.Flags())
	o.output.add(cmd.Flags(), "wide", "json", "yaml", "jsonl", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	o.filter.addKind(cmd.Flags())
	completeFilters(cmd)
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	f.StringVar(&o.from, "source", "auto", "where from: store, cluster, or auto (the store if there is one)")
	f.StringVar(&o.store, "store", defaultStore(), "file of the history")
	f.DurationVar(&o.since, "since", 0, "only what is of the last while, such as 24h")
	f.IntVar(&o.limit, "limit", 0, "at most this many; 0 means all")
	return cmd
}

func runList(ctx context.Context, e *environment, o *listOptions) error {
	if err := errors.Join(o.output.check(), o.filter.check()); err != nil {
		return err
	}
	from := o.from
	if from == "auto" {
		from = "store"
		if _, err := os.Stat(o.store); errors.Is(err, fs.ErrNotExist) {
			from = "cluster"
		}
	}
	var doc record.Document
	var namespaces []string
	var err error
	switch from {
	case "store":
		namespaces = o.source.storeNamespaces()
		doc, err = o.fromStore(ctx, namespaces)
	case "cluster":
		var s app.Source
		if s, err = o.source.source(false); err == nil {
			namespaces = s.Namespaces
			doc, err = o.fromCluster(ctx, e, s)
		}
	default:
		err = fmt.Errorf("--source=%s: want auto, store or cluster", o.from)
	}
	if err != nil {
		return err
	}
	return o.output.findings(e, doc, len(namespaces) != 1)
}

func (o *listOptions) fromCluster(ctx context.Context, e *environment, s app.Source) (record.Document, error) {
	doc, err := app.Last(ctx, s, e.logger(quiet))
	if err != nil {
		return doc, err
	}
	newestFirst(doc.Findings)
	doc.Findings = o.filter.keep(doc.Findings)
	if o.since > 0 {
		doc.Findings = since(doc.Findings, time.Now().Add(-o.since))
	}
	if o.limit > 0 && len(doc.Findings) > o.limit {
		doc.Findings = doc.Findings[:o.limit]
	}
	return doc, nil
}

func (o *listOptions) fromStore(ctx context.Context, namespaces []string) (doc record.Document, err error) {
	db, err := sqlite.Open(ctx, sqlite.Options{Path: o.store, ReadOnly: true})
	if err != nil {
		return doc, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := store.Query{
		Cluster:    o.source.cluster,
		Namespaces: namespaces,
		Container:  o.filter.container,
		Kind:       record.Kind(o.filter.kind),
		Categories: o.filter.wanted(),
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
		doc.Findings = append(doc.Findings, page...)
		if next == "" || o.limit > 0 && len(doc.Findings) >= o.limit {
			break
		}
		q.Cursor = next
	}
	doc.Coverage, err = app.StoreCoverage(ctx, db, o.source.cluster, doc.Findings, q.Since)
	return doc, err
}
