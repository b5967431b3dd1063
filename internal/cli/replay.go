package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/record"
)

type replayOptions struct {
	output  outputFlags
	filter  filterFlags
	cluster string
}

func newReplay(e *environment) *cobra.Command {
	o := &replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Find the container stops and stalls in recorded watch events",
		Long: `Find the container stops in recorded watch events, in the order in which a watch would
have shown them. Files are what this prints, merged by resource version; - is stdin:

  kubectl get pods,replicasets,jobs --watch --output-watch-events -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runReplay(cmd.Context(), e, o, args) },
	}
	o.output.add(cmd.Flags(), "wide", "jsonl", "json", "yaml", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	cmd.Flags().StringVar(&o.cluster, "cluster-name", "", "name of the cluster in records")
	return cmd
}

func runReplay(ctx context.Context, e *environment, o *replayOptions, files []string) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if err := o.filter.check(); err != nil {
		return err
	}
	if len(o.filter.categories) == 0 {
		o.filter.all = true // a recording is looked at whole
	}
	doc := record.Document{Schema: record.Schema}
	if o.output.format != "jsonl" && o.output.format != "name" {
		// What is known in the end: late events may explain what came before them.
		cov, err := app.Replay(ctx, o.cluster, files, e.In, replacing(&doc.Findings, &o.filter))
		if err != nil {
			return err
		}
		doc.Coverage, o.output.clock = cov, true
		return o.output.findings(e, doc, true)
	}
	show, err := o.output.stream(e, true)
	if err != nil {
		return err
	}
	shown := 0
	cov, err := app.Replay(ctx, o.cluster, files, e.In, func(r record.Record) error {
		if !o.filter.match(&r) {
			return nil
		}
		shown++
		return show(r)
	})
	sayMissing(e.Err, cov.Missing)
	if err != nil {
		return err
	}
	if shown == 0 {
		fmt.Fprintln(e.Err, "No stops and no stalls found.")
		return errNothing
	}
	return nil
}

// replacing collects records; one that comes again takes the place of the earlier one.
func replacing(out *[]record.Record, filter *filterFlags) func(record.Record) error {
	at := make(map[string]int)
	return func(r record.Record) error {
		if !filter.match(&r) {
			return nil
		}
		if i, ok := at[r.ID]; ok {
			(*out)[i] = r
			return nil
		}
		at[r.ID] = len(*out)
		*out = append(*out, r)
		return nil
	}
}
